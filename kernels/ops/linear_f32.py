"""x weightᵀ + bias in float32 at the machine's speed: the top rung of the ladder in `linear_naive.py`.

A panel's row is one value of k for NR outputs. The loops are in `../gemm/gemm.py`, the register tile in
`../gemm/microkernel.py`.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from ..gemm.gemm import GemmSpec, Weights, gemm, gemm_tasks
from ..gemm.packing import as_weights, pack_rows_of
from ..gemm.shapes import K_ACCUMULATE
from ..registry import variant
from ..runtime.buffer_pool import empty_aligned
from ..simd.scalar_math import NO_ACTIVATION
from ..simd.shapes import MR, NR
from .epilogues import register_fused

F32_TOLERANCE = {"tolerance": 2e-6, "tolerance_reason": "float32 rounding: sums of 128 products, then added to each other"}


def pack_f32(*arrays, multiple=1):
    """weight (N, K), bias (N,), once or three times -> Weights whose panels are (P, K, 4 NR bytes).

    A panel is NR outputs side by side, so that a step of k reads one row of it. The last panel is padded with 0, and K up to
    a multiple of `multiple`.
    """
    weights, biases = arrays[0::2], arrays[1::2]
    outputs, inputs = weights[0].shape
    panels_per_weight = -(-outputs // NR)
    panels = empty_aligned(len(weights) * panels_per_weight, inputs + -inputs % multiple, NR)
    bias = np.zeros((len(weights), 1, panels_per_weight * NR), np.float32)
    for part, weight in enumerate(weights):
        bias[part, 0, :outputs] = biases[part]
        for i in range(panels_per_weight):
            rows = weight[i * NR : (i + 1) * NR]
            panel = panels[part * panels_per_weight + i]
            panel[:inputs, : len(rows)] = rows.T
            panel[:inputs, len(rows) :] = 0
            panel[inputs:] = 0
    return Weights(panels.view(np.uint8), bias, outputs)


def repack_f32(*arrays, multiple=1):
    """As `pack_f32`, by kernels on threads, into memory that is reused."""
    return as_weights(pack_rows_of(*arrays[0::2], multiple=multiple), arrays[1::2], len(arrays[0]))


FLOAT32 = GemmSpec(MR, 4, gemm_tasks, K_ACCUMULATE)
gemm_f32 = partial(gemm, FLOAT32)  # (activation, x, *packed, residual=None, parts=ALL) -> (parts, M, N)


@variant("linear", pack_weights=pack_f32, **F32_TOLERANCE, capturable=True, repack_weights=repack_f32)
def linear_register(x, *packed):
    """Sums in registers, blocks in caches, tasks on threads, weights prefetched: BLIS's product.

    Compared with the same multiply-adds on registers only, on one thread of a Zen 4: 94 to 97 % at 1,024 rows of
    768 → 3,072, 89 to 91 % of 3,072 → 768, 77 % at 16 rows, whose weights come from memory."""
    return gemm_f32(NO_ACTIVATION, x, *packed)[0]


register_fused("register", gemm_f32, pack_f32, repack_f32, **F32_TOLERANCE)
