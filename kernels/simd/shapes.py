"""How wide this processor's vectors are, and the register tile that its registers hold."""

from __future__ import annotations

from ..compiler.cpu import FEATURES


def shape_of_tile(found: set[str]) -> tuple[int, int, bool]:
    """(floats in a vector, rows in a tile, whether a tile's totals are in registers beside its running sums).

    Two vectors a row are summed, and four more are needed."""
    if "avx512f" in found:
        return 16, 6, True  # 28 of 32 registers
    if {"avx2", "fma"} <= found:
        return 8, 6, False  # 16 of 16
    return 4, 4, False  # SSE2 and NEON have 16 or more


WIDTH, MR, TOTALS_IN_REGISTERS = shape_of_tile(FEATURES)
NR = 2 * WIDTH
