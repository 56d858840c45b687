"""The width of a vector on this processor, the largest register tile that fits its registers, and how its loop is unrolled."""

from __future__ import annotations

from ..compiler.cpu import CPU, FEATURES


def tile_shape(features: set[str], cpu: str = "") -> tuple[int, int, int]:
    """-> (floats in a vector, rows in a tile, steps in an iteration of its innermost loop).

    A tile keeps two vectors of sums per row, and needs four more registers. With 16 none is left: the totals wait on the stack. Four
    steps in an iteration are then 1.05 to 1.14 times as fast as one (Zen 3). With 32 they are 1.08 to 1.12 times as fast in float32,
    1.03 to 1.08 in int8 (a Xeon with AMX); on Zen 4 and 5, where one step reaches 93 to 99 % of the ceiling, it stays one."""
    if "avx512f" in features:
        return 16, 6, 1 if cpu.startswith("znver") else 4  # 28 of 32 registers, with the totals
    if {"avx2", "fma"} <= features:
        return 8, 6, 4  # 16 of 16
    return 4, 4, 4  # SSE2 and NEON have 16 or more


WIDTH, MR, UNROLL = tile_shape(FEATURES, CPU)
NR = 2 * WIDTH
