"""What each operation is timed on: DistilBERT-base's sizes, with the inputs that the tests make (`kernel_cases.py`).

An operation that takes weights is a product, and its size is counted in multiplications and additions; one that does
not is as fast as memory, and its size is counted in bytes. So an operation new to the registry needs no line here, once
the tests know how to make its inputs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))
from kernel_cases import MAKERS, cast

WIDTH, FEED_FORWARD, HEADS = 768, 3072, 12
ROWS_BEYOND_CACHE = 16_384  # rows of 768: 48 MiB to read and 48 to write, where a large L3 has 32
SEQUENCES = ((1, 16), (8, 128), (1, 512))
LONG, WINDOW = (512, 1024, 4096), 256  # tokens of a text, and how many away one sees: longformer-base's
# The layers of the encoder as (inputs, outputs), and how many rows: a sentence, some, a batch, a large one.
SHAPES = {"linear_add": (FEED_FORWARD, WIDTH), "query_key_value": (WIDTH, WIDTH), "linear_relu": (WIDTH, WIDTH)}
ROWS = {"linear": (1, 16, 128, 1024, 4096)}
# Operations of the formula for an element, counted by hand: they only place a point on the roofline.
OPERATIONS_PER_ELEMENT = {"softmax": 5, "layer_norm": 8, "embed": 10, "gelu": 6, "gelu_tanh": 9, "silu": 4, "relu": 1}


class Size(NamedTuple):
    label: str
    inputs: tuple
    parameters: tuple  # what `prepare` gets
    operations: float  # multiplications and additions
    bytes: float  # each array read or written once
    product: bool


def sizes_of(operation: str, quick: bool = False) -> Iterator[Size]:
    if operation == "attention":
        return attention_sizes(SEQUENCES[:2] if quick else SEQUENCES)
    if operation in ("window_attention", "global_attention"):
        return long_text_sizes(operation, LONG[:1] if quick else LONG)
    _, parameters = make_inputs(operation, 1, 8, 8)
    if parameters:
        return product_sizes(operation, (16, 128) if quick else ROWS.get(operation, (16, 128, 1024)))
    return row_sizes(operation, (128,) if quick else (128, ROWS_BEYOND_CACHE))


def make_inputs(operation: str, rows: int, inputs: int, outputs: int) -> tuple[tuple, tuple]:
    """The tests' inputs and parameters of these sizes, in float32."""
    return cast(MAKERS[operation](np.random.default_rng(0), rows, inputs, outputs), np.float32)


def product_sizes(operation: str, counts: tuple[int, ...]) -> Iterator[Size]:
    inputs, outputs = SHAPES.get(operation, (WIDTH, FEED_FORWARD))
    _, parameters = make_inputs(operation, 1, inputs, outputs)
    weights = [array for array in parameters if array.ndim == 2]
    for rows in counts:
        called_on, _ = make_inputs(operation, rows, inputs, 1 if operation != "linear_add" else outputs)
        sizes_by_array = {id(array): array.nbytes for array in (*called_on, *parameters)}
        moved = sum(sizes_by_array.values()) + 4 * rows * sum(map(len, weights))
        work = 2 * rows * sum(weight.size for weight in weights)
        yield Size(f"{rows} × {inputs} → {sum(map(len, weights))}", called_on, parameters, work, moved, True)


def attention_sizes(shapes: tuple[tuple[int, int], ...]) -> Iterator[Size]:
    for sequences, length in shapes:
        rows = sequences * length
        query, key, value = np.random.default_rng(0).standard_normal((3, rows, WIDTH), dtype=np.float32)
        inputs = query, key, value, np.arange(sequences + 1) * length, None, HEADS
        yield Size(f"{sequences} × {length}", inputs, (), 4 * rows * length * WIDTH, 16 * rows * WIDTH, True)


def long_text_sizes(operation: str, lengths: tuple[int, ...]) -> Iterator[Size]:
    """One text whose first token is global. The operations are the formula's: keys that are in no window are not counted, and
    for the global token all keys and values are projected."""
    for length in lengths:
        bounds, bytes_of_row = np.array([0, length]), 4 * WIDTH
        if operation == "global_attention":
            _, parameters = make_inputs("query_key_value", 1, WIDTH, WIDTH)
            hidden = np.random.default_rng(0).standard_normal((length, WIDTH), dtype=np.float32)
            inputs = hidden, np.array([0]), bounds, None, HEADS
            work, moved = 4 * length * WIDTH * (WIDTH + 1), length * bytes_of_row + 3 * WIDTH * bytes_of_row
            yield Size(f"1 of {length}", inputs, parameters, work, moved, True)
            continue
        query, key, value = np.random.default_rng(0).standard_normal((3, length, WIDTH), dtype=np.float32)
        positions = np.arange(length)
        seen = int((np.minimum(positions + WINDOW + 1, length) - np.maximum(positions - WINDOW, 0)).sum())
        inputs = query, key, value, bounds, None, HEADS, WINDOW, positions == 0
        yield Size(f"1 × {length}, {WINDOW} on each side", inputs, (), 4 * seen * WIDTH, 4 * length * bytes_of_row, True)


def row_sizes(operation: str, counts: tuple[int, ...]) -> Iterator[Size]:
    """In the caches and beyond them: one array read, one written."""
    for rows in counts:
        inputs, _ = make_inputs(operation, rows, WIDTH, WIDTH)
        if operation == "embed":  # each row from another place, as far as the words' table is large
            words = np.random.default_rng(0).standard_normal((rows, WIDTH), dtype=np.float32)
            ids, types, positions, (_, *tables), *norm = inputs
            inputs = (np.random.default_rng(0).permutation(rows), types, positions, (words, *tables), *norm)
        elements = rows * WIDTH
        yield Size(f"{rows} × {WIDTH}", inputs, (), OPERATIONS_PER_ELEMENT.get(operation, 1) * elements, 8 * elements, False)
