"""The inputs every kernel meets, in tests and benchmarks alike: odd sizes, one row, outliers, masks, strided memory.

`cases(operation)` gives named (inputs, parameters) pairs in float64; `check` runs a variant on them in float32 and
compares with the reference in float64.
"""

from __future__ import annotations

import os

import numpy as np

from minibert.kernels.catalog import Ops, make_ops
from minibert.kernels.registry import REGISTRY, Composition, Variant

SIZES = {  # M, K, N
    "one row": (1, 64, 48),
    "odd": (7, 61, 37),
    "tile edges": (25, 128, 96),
    "tall": (130, 32, 33),
    "chunk edges": (13, 259, 65),
    **{f"{rows} rows": (rows, 19, 17) for rows in range(2, 13)},
}
HEADS = 4


def cases(operation: str) -> dict[str, tuple[tuple, tuple]]:
    """operation -> {case's name: (what it is called on, the arrays that `pack_weights` gets)}."""
    by_name = {}
    for seed, (name, (rows, inputs, outputs)) in enumerate(SIZES.items()):
        random = np.random.default_rng(seed)
        by_name[name] = MAKERS[operation](random, rows, inputs, outputs)
    random = np.random.default_rng(99)
    by_name["outlier columns"] = outliers(MAKERS[operation](random, 9, 64, 40))
    by_name["large offsets"] = offset(MAKERS[operation](random, 9, 64, 40))
    by_name["strided"] = strided(MAKERS[operation](random, 9, 64, 40))
    return {**by_name, **EXTRA.get(operation, dict)()}


def linear_case(random, rows, inputs, outputs):
    x, weight = random.normal(size=(rows, inputs)), random.normal(size=(outputs, inputs)) / np.sqrt(inputs)
    return (x,), (weight, random.normal(size=outputs))


def linear_add_case(random, rows, inputs, outputs):
    (x,), parameters = linear_case(random, rows, inputs, outputs)
    return (x, random.normal(size=(rows, outputs))), parameters


def query_key_value_case(random, rows, inputs, outputs):
    x, parameters = random.normal(size=(rows, inputs)), []
    for _ in range(3):
        parameters += [random.normal(size=(outputs, inputs)) / np.sqrt(inputs), random.normal(size=outputs)]
    return (x, x), tuple(parameters)


def elementwise_case(random, rows, inputs, outputs):
    return (random.normal(size=(rows, inputs)) * 3,), ()


def softmax_case(random, rows, inputs, outputs):
    return (random.normal(size=(rows, inputs)) * 4, None), ()


def layer_norm_case(random, rows, inputs, outputs):
    return (random.normal(size=(rows, inputs)), random.normal(size=inputs), random.normal(size=inputs), 1e-12), ()


def embed_case(random, rows, inputs, outputs):
    tables = tuple(random.normal(size=(count, inputs)) for count in (97, 2, 150))
    ids = tuple(random.integers(0, count, rows) for count in (97, 2, 150))
    return (*ids, tables, random.normal(size=inputs), random.normal(size=inputs), 1e-12), ()


def attention_case(random, rows, inputs, outputs):
    width = max(inputs // HEADS, 1) * HEADS
    bounds = np.unique([0, rows // 3, rows // 2, rows])
    return (*(random.normal(size=(rows, width)) for _ in range(3)), bounds, None, HEADS), ()


def window_attention_case(random, rows, inputs, outputs):
    (query, key, value, bounds, key_mask, heads), _ = attention_case(random, rows, inputs, outputs)
    return (query, key, value, bounds, key_mask, heads, rows // 4, np.arange(rows) % 5 == 0), ()


def global_attention_case(random, rows, inputs, outputs):
    (query, _, _, bounds, key_mask, heads), _ = attention_case(random, rows, inputs, outputs)
    width, parameters = query.shape[1], []
    for _ in range(3):
        parameters += [random.normal(size=(width, width)) / np.sqrt(width), random.normal(size=width)]
    return (query, np.arange(0, rows, 3), bounds, key_mask, heads), tuple(parameters)


def take_case(random, rows, inputs, outputs):
    return (random.normal(size=(rows, inputs)), random.integers(0, rows, rows)), ()


def masked_softmax():
    random = np.random.default_rng(5)
    scores, mask = random.normal(size=(2, 5, 33)), random.random(33) < 0.5
    only = np.arange(33) == 7
    return {
        "masked": ((scores, mask), ()),
        "all but one masked": ((scores, only), ()),
        "wholly masked": ((scores, only & False), ()),
        "huge scores": ((scores * 1e4, mask), ()),
    }


def special_attention():
    (query, key, value, _, _, heads), _ = attention_case(np.random.default_rng(6), 20, 32, 0)
    bounds = np.array([0, 1, 9, 20])
    masks = {"masked": np.arange(20) % 3 > 0, "all but one masked": np.isin(np.arange(20), (0, 4, 19))}
    masks["a sequence wholly masked"] = np.arange(20) < 9
    masked = {name: ((query, key, value, bounds, mask, heads), ()) for name, mask in masks.items()}
    one = query[bounds[:-1]]  # of each sequence
    return masked | {
        "one query each": ((one, key, value, bounds, None, heads), ()),
        "one query each, masked": ((one, key, value, bounds, masks["masked"], heads), ()),
    }


def special_window_attention():
    """Longer than a block of queries and a window, so that some keys are in reach of none; and masks of all sorts."""
    random, heads = np.random.default_rng(8), 2
    bounds = np.array([0, 1, 50, 50, 710])
    query, key, value = random.normal(size=(3, 710, 26))
    tokens = np.arange(710)
    masks = {"nothing masked": None, "masked": random.random(710) < 0.7, "a sequence wholly masked": tokens >= 50}
    global_tokens = {
        "no global token": None,
        "the first global": np.isin(tokens, bounds),
        "some global": random.random(710) < 0.1,
        "all global": tokens >= 0,
    }
    return {
        f"window {window}, {masked}, {which}": ((query, key, value, bounds, mask, heads, window, global_mask), ())
        for window in (1, 37, 1000)
        for masked, mask in masks.items()
        for which, global_mask in global_tokens.items()
    }


def special_global_attention():
    """Rows of some of the sequences, one or all of each; and masks."""
    random, heads = np.random.default_rng(9), 2
    bounds = np.array([0, 1, 50, 50, 310])
    (hidden, _, _, _, _), parameters = global_attention_case(random, 310, 26, 0)
    masks = {"nothing masked": None, "masked": random.random(310) < 0.7}
    rows = {"the first of each": bounds[[0, 1, 3]], "one of all": np.array([60]), "all": np.arange(310)}
    return {
        f"rows: {which}, {masked}": ((hidden, some, bounds, mask, heads), parameters)
        for which, some in rows.items()
        for masked, mask in masks.items()
    }


def some_ask():
    """Queries of a few rows, and keys and values of all; these have outliers, or are not contiguous."""
    (_, x), parameters = query_key_value_case(np.random.default_rng(7), 25, 64, 40)
    large = np.where(np.arange(64) == 3, x * 1000, x)
    apart = np.repeat(x, 2, axis=1)[:, ::2]
    return {f"some ask, {name}": ((y[[0, 7, 8]], y), parameters) for name, y in {"outliers": large, "strided": apart}.items()}


def extreme_values():
    return {"extreme values": ((np.array([[-1e4, -90, -6, -1e-30, 0, 1e-30, 6, 90, 1e4]]),), ())}


MAKERS = {
    **dict.fromkeys(("linear", "linear_gelu", "linear_gelu_tanh", "linear_relu", "linear_silu"), linear_case),
    **dict.fromkeys(("gelu", "gelu_tanh", "relu", "silu", "tanh"), elementwise_case),
    "linear_add": linear_add_case,
    "query_key_value": query_key_value_case,
    "softmax": softmax_case,
    "layer_norm": layer_norm_case,
    "embed": embed_case,
    "attention": attention_case,
    "window_attention": window_attention_case,
    "global_attention": global_attention_case,
    "take": take_case,
}
EXTRA = {
    "softmax": masked_softmax,
    "attention": special_attention,
    "window_attention": special_window_attention,
    "global_attention": special_global_attention,
    "query_key_value": some_ask,
    **dict.fromkeys(("gelu", "gelu_tanh", "relu", "silu", "tanh"), extreme_values),
}


def first_matrix(case, change):
    """The case with `change` done to the first float matrix it is called on."""
    (first, *others), parameters = case
    if not np.issubdtype(np.asarray(first).dtype, np.floating):  # embed: ids come first, the table of words fourth
        types, positions, (words, *tables), *norm = others
        return (first, types, positions, (change(words), *tables), *norm), parameters
    return (change(first), *others), parameters


def outliers(case):
    """One column a thousand times the others, as trained encoders have them."""
    return first_matrix(case, lambda x: np.where(np.arange(x.shape[1]) == 3, x * 1000, x))


def offset(case):
    """A mean far from 0, where variance as E[x²] − E[x]² would be lost."""
    return first_matrix(case, lambda x: x + 100)


def strided(case):
    """Every other column of an array twice as wide: not contiguous."""
    return first_matrix(case, lambda x: np.repeat(x, 2, axis=1)[:, ::2])


def cast(value, dtype):
    """Float arrays of a nested tuple to `dtype`, with their strides' order kept; what is there twice stays one array."""
    if isinstance(value, tuple):
        converted = {id(item): cast(item, dtype) for item in value}
        return tuple(converted[id(item)] for item in value)
    if isinstance(value, np.ndarray) and np.issubdtype(value.dtype, np.floating):
        if value.flags.c_contiguous:
            return value.astype(dtype)
        return np.repeat(value.astype(dtype), 2, axis=1)[:, ::2]
    return value


def run(ops: Ops, operation: str, case, dtype):
    """A table's operation on a case in one float type -> its outputs, as a tuple."""
    inputs, parameters = cast(case, dtype)
    output = getattr(ops, operation)(*inputs, *ops.pack_weights(operation, *parameters))
    return output if isinstance(output, tuple) else (output,)


def error(ops: Ops, operation: str, case) -> float:
    """The largest |difference| from the reference in float64, over the reference's largest value."""
    expected = run(make_ops("reference"), operation, cast(cast(case, np.float32), np.float64), np.float64)
    outputs = run(ops, operation, case, np.float32)
    worst = 0.0
    for right, output in zip(expected, outputs, strict=True):
        if output.shape != right.shape or output.dtype != np.float32 or not np.isfinite(output).all():
            return np.inf
        worst = max(worst, np.abs(output - right).max() / max(np.abs(right).max(), 1e-30))
    return worst


def table_with(variant: Variant) -> Ops:
    """The reference's table with one operation done by this variant."""
    return Ops({**make_ops("reference").chosen, variant.operation: variant})


def tolerance(ops: Ops, operation: str) -> float:
    """What the chosen variant promises; a composition, what its parts do together."""
    variant = ops.chosen[operation]
    if isinstance(variant, Composition):
        added = 2e-6  # the composition's own float32 sums: a product's, or that of three embeddings
        return added + 2 * sum(ops.chosen[part].tolerance for part in variant.parts)
    return variant.tolerance


def all_operations() -> list[str]:
    make_ops("naive")  # every file that registers is imported
    return list(REGISTRY.variants)


PINNED = ("MINIBERT_ISA", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES")  # the first sets the others


def environment_with(**changes: str) -> dict[str, str]:
    """The environment of a process that compiles for this machine's processor, or for the one that the changes name."""
    return {name: value for name, value in os.environ.items() if name not in PINNED} | changes


def assembly_of(spec: str, panels, scratch: str = "array(2), array(2)") -> str:
    """Code for a process that prints the instructions of a GemmSpec's kernel, for panels and scratch of these types."""
    module, _, name = spec.rpartition(".")
    return (
        f"from minibert.kernels.{module} import {name};"
        "from minibert.kernels.compiler.lowering import compile_object, optimize, target_machine;"
        "from minibert.kernels.compiler import lowering; from minibert.kernels.compiler.trampoline import ArrayType;"
        "array = lambda rank: ArrayType('f', rank);"
        "lowering.optimize = lambda module: (optimize(module), print(target_machine().emit_assembly(module)));"
        f"weights = ({panels!r}, array(3));"
        f"signature = [ArrayType('l', 1), ({scratch}), array(2), (array(1), array(2)), weights, array(3), array(2), ('int',) * 7, 'int'];"
        f"compile_object({name}.tasks, tuple(signature))"
    )
