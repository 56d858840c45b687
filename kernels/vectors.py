"""The machine a kernel is compiled for: how wide its vectors are, and the instructions Python has no word for.

The width is the one choice made for the machine. The instructions are written in `intrinsics.py` and
`intrinsics_elementwise.py`.
"""

from __future__ import annotations

from .compiler.cpu import ARCH as MACHINE
from .compiler.cpu import CPU, FEATURES, FUTEX
from .compiler.cpu import HAS_AVX512_BF16 as PAIRED
from .compiler.cpu import HAS_FMA as FUSED
from .compiler.jit import LazyIntrinsic


def shape_of_tile(found: set[str]) -> tuple[int, int, bool]:
    """(floats in a vector, rows in a tile, whether a tile's totals are in registers beside its running sums).

    Two vectors a row are summed, and four more are needed."""
    if "avx512f" in found:
        return 16, 6, True  # 28 of 32 registers
    if {"avx2", "fma"} <= found:
        return 8, 6, False  # 16 of 16
    return 4, 4, False  # SSE2 and NEON have 16 or more


WIDTH, ROWS, TOTALS_IN_REGISTERS = shape_of_tile(FEATURES)
COLUMNS = 2 * WIDTH
CHUNK = 128  # products in one running sum: error against float64 0.86 of torch's; with 192 it is 1.00, with 256 1.14

fma = LazyIntrinsic("fma")  # (a, b, c) -> a b + c, rounded once where the machine can
next_task = LazyIntrinsic("next_task")  # (counter) -> its number, which becomes one larger
# (source, target): WIDTH rows of WIDTH values, transposed
transpose_block = LazyIntrinsic("transpose_block", "minibert.kernels.intrinsics_layout")
# (y, x, panel, coming, scales, columns, ranges, residual, place, first, last): y += xᵀ @ panel, a tile in registers
add_product = LazyIntrinsic("add_product", "minibert.kernels.intrinsics_tile")
add_product_of_pairs = LazyIntrinsic("add_product_of_pairs", "minibert.kernels.intrinsics_tile")  # the same in bf16
# (source, target): target[k R + r] = source[r, k], for words of 32 or 64 bits
interleave = LazyIntrinsic("interleave", "minibert.kernels.intrinsics_layout")
fetch = LazyIntrinsic("fetch", "minibert.kernels.intrinsics_elementwise")  # (line): it will be read soon
stream = LazyIntrinsic("stream", "minibert.kernels.intrinsics_elementwise")  # (target, source, factor): past the caches
plus = LazyIntrinsic("plus", "minibert.kernels.intrinsics_elementwise")  # (a, b) -> a + b, in any order with other sums
larger = LazyIntrinsic("larger", "minibert.kernels.intrinsics_elementwise")  # (a, b) -> the larger of two numbers
at_most = LazyIntrinsic("at_most", "minibert.kernels.intrinsics_elementwise")  # (a, b) -> b if a > b else a
at_least = LazyIntrinsic("at_least", "minibert.kernels.intrinsics_elementwise")  # (a, b) -> b if a < b else a
# (y, place, function): an activation of `functions.py`, of a tile of y
activate_tile = LazyIntrinsic("activate_tile", "minibert.kernels.intrinsics_traced")
