"""The table of operations that editors and mypy see, against the registry; and what `Ops` puts in its place."""

import numpy as np
import pytest

from minibert.kernels.catalog import PRESETS, Ops, TrainingOps, make_ops, make_training_ops, operations, variants
from minibert.kernels.registry import REGISTRY, TRAINING
from minibert.kernels.runtime import threads


def listed(table, registry):
    return {name: value for name, value in vars(table).items() if name in registry.variants}


def formula(registry, operation):
    """The function that defines an operation."""
    reference = registry.variants[operation].get("reference")
    return (reference or registry.compositions[operation]).function


@pytest.mark.parametrize(("table", "registry"), [(Ops, REGISTRY), (TrainingOps, TRAINING)], ids=["forward", "training"])
def test_every_operation_is_listed_with_its_formula(table, registry):
    operations()
    entries = listed(table, registry)
    assert list(entries) == list(registry.variants)
    for operation, entry in entries.items():
        function = entry.__func__ if isinstance(entry, staticmethod) else entry
        assert function is formula(registry, operation), operation


@pytest.mark.parametrize("preset", PRESETS)
def test_a_model_s_table_has_the_chosen_variants_in_their_place(preset):
    ops = make_ops(preset)
    assert ops.chosen.keys() == listed(Ops, REGISTRY).keys() <= vars(ops).keys()


def test_the_table_of_training_has_all_operations():
    ops = make_training_ops()
    assert ops.chosen.keys() == REGISTRY.variants.keys() | TRAINING.variants.keys() <= vars(ops).keys()


def test_the_listed_functions_are_the_reference():
    random = np.random.default_rng(0)
    x, weight, bias = (random.standard_normal(shape, np.float32) for shape in ((3, 8), (8, 8), 8))
    ops = make_ops("reference")
    expected = Ops.linear_gelu(ops, x, weight, bias)
    assert np.array_equal(ops.linear_gelu(x, weight, bias), expected)
    assert np.array_equal(expected, Ops.gelu(Ops.linear(x, weight, bias)))


def test_variants_say_whether_kernels_pack_their_weights(monkeypatch):
    """A model whose variants do is compiled before its weights are packed, all kernels at once."""
    calls, bind = [], threads.bind
    monkeypatch.setattr(threads, "bind", lambda *arguments: calls.append(arguments) or bind(*arguments))
    weight, bias = np.ones((40, 33), np.float32), np.zeros(40, np.float32)
    for name, variant in variants("linear").items():
        calls.clear()
        if variant.pack_weights:
            variant.pack_weights(weight, bias)
        assert bool(calls) == variant.packs_by_kernels, name
    chosen = [variants("linear")[ops.names["linear"]] for ops in map(make_ops, PRESETS)]
    assert [ops.packs_by_kernels for ops in map(make_ops, PRESETS)] == [variant.packs_by_kernels for variant in chosen]
