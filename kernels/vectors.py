"""The machine a kernel is compiled for: how wide its vectors are, and the instructions Python has no word for.

The width is the one choice made for the machine. The instructions are written in `intrinsics.py` and
`intrinsics_elementwise.py`.
"""

from __future__ import annotations

import os
import platform

import llvmlite.binding as llvm

from .jit import Instruction


def features() -> set[str]:
    """What Numba may compile for: this machine, or the lesser one that NUMBA_CPU_FEATURES names."""
    named = os.environ.get("NUMBA_CPU_FEATURES")
    if named is None:
        named = "" if os.environ.get("NUMBA_CPU_NAME") else llvm.get_host_cpu_features().flatten()
    return {word[1:] for word in named.split(",") if word.startswith("+")}


def shape_of_tile(found: set[str]) -> tuple[int, int]:
    """(floats in a vector, rows in a tile): two vectors a row are summed in registers, and three more are needed."""
    if "avx512f" in found:
        return 16, 12  # 24 of 32 registers
    if {"avx2", "fma"} <= found:
        return 8, 6  # 12 of 16 registers
    return 4, 4  # SSE2 and NEON have 16 or more


CPU = os.environ.get("NUMBA_CPU_NAME") or llvm.get_host_cpu_name()
FEATURES = features()
WIDTH, ROWS = shape_of_tile(FEATURES)
COLUMNS = 2 * WIDTH
# Without the instruction, LLVM would call the C library for each fused multiply-add.
FUSED = "fma" in FEATURES or platform.machine() in ("aarch64", "arm64")

fma = Instruction("fma")  # (a, b, c) -> a b + c, rounded once where the machine can
next_task = Instruction("next_task")  # (counter) -> its number, which becomes one larger
add_product = Instruction("add_product")  # (y, x, panel, coming): y += x @ panel, a tile in registers
fetch = Instruction("fetch", "minibert.kernels.intrinsics_elementwise")  # (line): it will be read soon
stream = Instruction("stream", "minibert.kernels.intrinsics_elementwise")  # (target, source): a copy past the caches
larger = Instruction("larger", "minibert.kernels.intrinsics_elementwise")  # (a, b) -> the larger of two numbers
