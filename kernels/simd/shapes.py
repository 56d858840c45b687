"""The width of a vector on this processor, and the largest register tile that fits its registers."""

from __future__ import annotations

from ..compiler.cpu import FEATURES


def tile_shape(features: set[str]) -> tuple[int, int, bool]:
    """-> (floats in a vector, rows in a tile, whether totals stay in registers next to the running sums).

    A tile keeps two vectors of sums per row, and needs four more registers."""
    if "avx512f" in features:
        return 16, 6, True  # 28 of 32 registers
    if {"avx2", "fma"} <= features:
        return 8, 6, False  # 16 of 16
    return 4, 4, False  # SSE2 and NEON have 16 or more


WIDTH, MR, TOTALS_IN_REGISTERS = tile_shape(FEATURES)
NR = 2 * WIDTH
