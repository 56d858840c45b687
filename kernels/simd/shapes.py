"""The width of a vector on this processor, the largest register tile that fits its registers, and how its loop is unrolled."""

from __future__ import annotations

from ..compiler.cpu import FEATURES


def tile_shape(features: set[str]) -> tuple[int, int, int]:
    """-> (floats in a vector, rows in a tile, steps in an iteration of its innermost loop).

    A tile keeps two vectors of sums per row, and needs four more registers. With 16 none is left: the totals wait on the stack. Four
    steps in an iteration are then 1.05 to 1.14 times as fast as one (Zen 3)."""
    if "avx512f" in features:
        return 16, 6, 1  # 28 of 32 registers, with the totals
    if {"avx2", "fma"} <= features:
        return 8, 6, 4  # 16 of 16
    return 4, 4, 4  # SSE2 and NEON have 16 or more


WIDTH, MR, UNROLL = tile_shape(FEATURES)
NR = 2 * WIDTH
