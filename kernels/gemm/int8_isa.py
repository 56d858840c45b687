"""Which instructions of this processor multiply int8. This is where int8's dot product is chosen.

All three give the same integers: nothing is rounded, and a sum of `K_EXACT` products fits into 32 bits.

    vnni       vpdpbusd: four products for each of 16 (or 8) outputs, added to their sums, in one instruction
    pmaddwd    weights widened to 16 bits, then pmaddwd: two products an output; the two halves are added after the loop.
               (Not pmaddubsw: its 16-bit sums saturate unless one side has 7 bits only, which makes the error half as
               large again. With the pmaddwd that must follow it: 0.34 ns for 32 products instead of 0.47, on Zen 3.)
    scalar     32-bit products in plain LLVM IR; the compiler vectorizes them if it can

`dtypes.py` emits them. Next: `ops/linear_int8.py`, the kernel.
"""

from __future__ import annotations

from typing import NamedTuple

from ..compiler.cpu import ARCH, FEATURES
from .int8_layout import K_PACK


class DotProductISA(NamedTuple):
    """An instruction set for the int8 dot product, and the register tile for it."""

    name: str
    outputs: int  # of one vector
    mr: int  # rows of a tile at most: two vectors a row are summed in registers
    x_dtype: str  # of packed x

    @property
    def x_step_bytes(self) -> int:
        """Bytes of one row of packed x in a step."""
        return K_PACK * (2 if self.x_dtype == "int16" else 1)


def detect_int8_isa(features: set[str]) -> DotProductISA:
    if {"avx512vnni", "avx512f"} <= features:
        return DotProductISA("vnni", 16, 6, "uint8")  # 28 of 32 registers, with the totals
    if {"avxvnni", "avx2", "fma"} <= features:
        return DotProductISA("vnni", 8, 6, "uint8")  # 12 of 16
    if {"avx2", "fma"} <= features:
        return DotProductISA("pmaddwd", 4, 6, "int16")
    if ARCH == "x86_64":
        return DotProductISA("pmaddwd", 2, 4, "int16")  # SSE2
    return DotProductISA("scalar", 2, 4, "uint8")


INT8_ISA = detect_int8_isa(FEATURES)
