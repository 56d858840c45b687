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


def shape_of_tile(found: set[str]) -> tuple[int, int, bool]:
    """(floats in a vector, rows in a tile, whether a tile's totals are in registers beside its running sums).

    Two vectors a row are summed, and four more are needed."""
    if "avx512f" in found:
        return 16, 6, True  # 28 of 32 registers
    if {"avx2", "fma"} <= found:
        return 8, 6, False  # 16 of 16
    return 4, 4, False  # SSE2 and NEON have 16 or more


MACHINE = {"AMD64": "x86_64", "aarch64": "arm", "arm64": "arm"}.get(platform.machine(), platform.machine())
FUTEX = {"x86_64": 202, "arm": 98}  # Linux's number of that call, with which helpers sleep; arm is its 64-bit form
CPU = os.environ.get("NUMBA_CPU_NAME") or llvm.get_host_cpu_name()
FEATURES = features()
WIDTH, ROWS, TOTALS_IN_REGISTERS = shape_of_tile(FEATURES)
COLUMNS = 2 * WIDTH
# Without the instruction, LLVM would call the C library for each fused multiply-add.
FUSED = "fma" in FEATURES or MACHINE == "arm"
PAIRED = {"avx512bf16", "avx512f"} <= FEATURES  # whether the machine multiplies two bf16 at once
CHUNK = 128  # products in one running sum: error against float64 0.86 of torch's; with 192 it is 1.00, with 256 1.14

fma = Instruction("fma")  # (a, b, c) -> a b + c, rounded once where the machine can
next_task = Instruction("next_task")  # (counter) -> its number, which becomes one larger
# (source, target): WIDTH rows of WIDTH values, transposed
transpose_block = Instruction("transpose_block", "minibert.kernels.intrinsics_layout")
# (y, x, panel, coming, scales, columns, ranges, residual, place, first, last): y += xᵀ @ panel, a tile in registers
add_product = Instruction("add_product", "minibert.kernels.intrinsics_tile")
add_product_of_pairs = Instruction("add_product_of_pairs", "minibert.kernels.intrinsics_tile")  # the same in bf16
# (source, target): target[k R + r] = source[r, k], for words of 32 or 64 bits
interleave = Instruction("interleave", "minibert.kernels.intrinsics_layout")
fetch = Instruction("fetch", "minibert.kernels.intrinsics_elementwise")  # (line): it will be read soon
stream = Instruction("stream", "minibert.kernels.intrinsics_elementwise")  # (target, source, factor): past the caches
plus = Instruction("plus", "minibert.kernels.intrinsics_elementwise")  # (a, b) -> a + b, in any order with other sums
larger = Instruction("larger", "minibert.kernels.intrinsics_elementwise")  # (a, b) -> the larger of two numbers
at_most = Instruction("at_most", "minibert.kernels.intrinsics_elementwise")  # (a, b) -> b if a > b else a
at_least = Instruction("at_least", "minibert.kernels.intrinsics_elementwise")  # (a, b) -> b if a < b else a
# (y, place, function): an activation of `functions.py`, of a tile of y
activate_tile = Instruction("activate_tile", "minibert.kernels.intrinsics_traced")
