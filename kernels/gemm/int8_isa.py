"""Whole numbers: which instructions this machine adds their products with.

Three ways to add a line's products, told by what the machine has. All of them give the same numbers, for nothing is
rounded, and the products that share a scale are less than a 32-bit sum holds:

    vnni      vpdpbusd: four products for each of 16 (or 8) outputs, added to their sums, in one instruction
    pairs     the weights widened to 16 bits, pmaddwd: two products an output; the two halves are added after the loop.
              (Not pmaddubsw, whose 16-bit sums saturate unless one side has 7 bits only: with the pmaddwd that must
              follow it, 0.34 ns for 32 products against 0.47 on Zen 3, and half as much error again.)
    plain     32-bit products, for the compiler to make of them what it can

Their instructions are written in `intrinsics_numbers.py`. Next: `linear_int8.py`, the kernel.
"""

from __future__ import annotations

import platform
from typing import NamedTuple

from ..compiler.cpu import FEATURES
from .int8_layout import K_PACK


class DotProductISA(NamedTuple):
    """How this machine adds a line's products."""

    name: str
    outputs: int  # of one vector
    rows: int  # of a tile: two vectors a row are summed in registers
    value: str  # the type in which the activations lie ready for it

    @property
    def x_bytes(self) -> int:
        """Of a row, in a step."""
        return K_PACK * (2 if self.value == "int16" else 1)


def detect_int8_isa(found: set[str]) -> DotProductISA:
    if {"avx512vnni", "avx512f"} <= found:
        return DotProductISA("vnni", 16, 6, "uint8")  # 28 of 32 registers, the totals among them
    if {"avxvnni", "avx2"} <= found:
        return DotProductISA("vnni", 8, 6, "uint8")  # 12 of 16
    if "avx2" in found:
        return DotProductISA("pairs", 4, 6, "int16")
    if platform.machine() in ("x86_64", "AMD64"):
        return DotProductISA("pairs", 2, 4, "int16")  # SSE2
    return DotProductISA("plain", 2, 4, "uint8")


INT8_ISA = detect_int8_isa(FEATURES)
