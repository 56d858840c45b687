"""x weightᵀ + bias in float32 at the machine's speed: the top of the ladder that `linear.py` begins.

A panel's line is one value of k for COLUMNS outputs; x is laid as it is. The loops are in `tiles.py`, the register tile
in `intrinsics_tile.py`.
"""

from __future__ import annotations

import numpy as np

from ..gemm.gemm import Format, Weights, multiply, product
from ..gemm.shapes import K_ACCUMULATE
from ..registry import variant
from ..runtime.buffer_pool import empty_aligned
from ..simd.scalar_math import NO_ACTIVATION
from ..simd.shapes import MR, NR
from .epilogues import fused

BOUND = {"tolerance": 2e-6, "tolerance_reason": "float32 rounding: sums of 128 products, added up"}


def pack(*arrays):
    """weight (N, K), bias (N,), once or three times -> Weights whose panels are (P, K, 4 COLUMNS bytes).

    A panel is COLUMNS outputs side by side, so that a step of k reads one line of memory; the last is filled with 0.
    """
    weights, biases = arrays[0::2], arrays[1::2]
    outputs, inputs = weights[0].shape
    across = -(-outputs // NR)
    panels = empty_aligned(len(weights) * across, inputs, NR)
    columns = np.zeros((len(weights), 1, across * NR), np.float32)
    for part, weight in enumerate(weights):
        columns[part, 0, :outputs] = biases[part]
        for number in range(across):
            lines = weight[number * NR : (number + 1) * NR]
            panels[part * across + number, :, : len(lines)] = lines.T
            panels[part * across + number, :, len(lines) :] = 0
    return Weights(panels.view(np.uint8), columns, columns, outputs)


FLOAT32 = Format(MR, 4, multiply, lambda steps: K_ACCUMULATE)


def multiplied(finish, x, *packed, **options):
    return product(FLOAT32, finish, x, packed, **options)


@variant("linear", pack_weights=pack, **BOUND, capturable=True)
def linear_register(x, *packed):
    """Sums in registers, blocks in caches, tasks on threads, weights asked for before they are needed.

    Beside multiply-adds between registers, on one thread of a Zen 4 (in turn with them): 94 to 97 % at 1,024 rows of
    768 → 3,072, 89 to 91 % of 3,072 → 768, 77 % at 16 rows, whose weights come from memory."""
    return multiplied(NO_ACTIVATION, x, *packed)[0]


fused("register", multiplied, pack, **BOUND)
