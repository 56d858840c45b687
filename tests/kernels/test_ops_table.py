"""The table of operations that editors and mypy see, against the registry; and what `Ops` puts in its place."""

import numpy as np
import pytest

from minibert.kernels.catalog import PRESETS, Ops, make_ops, operations
from minibert.kernels.registry import REGISTRY

LISTED = {name: value for name, value in vars(Ops).items() if name in REGISTRY.variants}


def formula(operation):
    """The function that defines an operation."""
    reference = REGISTRY.variants[operation].get("reference")
    return (reference or REGISTRY.compositions[operation]).function


def test_every_operation_is_listed_with_its_formula():
    assert list(LISTED) == list(operations())
    for operation, listed in LISTED.items():
        function = listed.__func__ if isinstance(listed, staticmethod) else listed
        assert function is formula(operation), operation


@pytest.mark.parametrize("preset", PRESETS)
def test_a_model_s_table_has_the_chosen_variants_in_their_place(preset):
    ops = make_ops(preset)
    assert ops.chosen.keys() == LISTED.keys() <= vars(ops).keys()


def test_the_listed_functions_are_the_reference():
    random = np.random.default_rng(0)
    x, weight, bias = (random.standard_normal(shape, np.float32) for shape in ((3, 8), (8, 8), 8))
    ops = make_ops("reference")
    expected = Ops.linear_gelu(ops, x, weight, bias)
    assert np.array_equal(ops.linear_gelu(x, weight, bias), expected)
    assert np.array_equal(expected, Ops.gelu(Ops.linear(x, weight, bias)))
