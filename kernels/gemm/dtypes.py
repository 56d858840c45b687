"""What a register tile must know of its numbers, for the three kinds there are: float32, bf16 and int8.

`intrinsics_tile.py` is the tile. How a machine multiplies int8 is told in `vectors_int8.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from llvmlite import ir
from llvmlite.binding import llvm_version_info

from ..compiler.cpu import HAS_AVX512_BF16
from ..simd.emit import BYTE, FLOAT, WORD, byte_offset, call, emit_fma, load_unaligned, splat
from ..simd.shapes import MR, NR, WIDTH
from . import int8_layout
from .int8_isa import INT8_ISA
from .int8_layout import K_PACK

SHORT = ir.IntType(16)


class Numbers(NamedTuple):
    """What a kind of numbers is to the tile."""

    rows: int  # of a tile at most
    columns: int  # outputs of a panel
    outputs: int  # of one vector; a panel wider than two is taken in several parts
    x_bytes: int  # of a row, in a step
    weights: ir.Type  # of one vector of outputs in a line
    sums: ir.Type
    add: Callable  # (builder, two vectors of sums, where a row's x is, two vectors of weights) -> two vectors of sums
    scale: Callable  # (builder, sums, where their scales are) -> what is added to the totals
    finish: Callable  # (builder, totals, where their columns are, and the next line of these, a row's ranges) -> y


class BFloat(ir.Type):
    """LLVM's bfloat, which llvmlite has no name for."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other) -> bool:
        return isinstance(other, BFloat)

    def __hash__(self) -> int:
        return hash(BFloat)


FLOATS, WORDS = ir.VectorType(FLOAT, WIDTH), ir.VectorType(WORD, WIDTH)
PAIRS = ir.VectorType(BFloat(), 2 * WIDTH) if llvm_version_info[0] >= 16 else WORDS  # older ones take them as words


def float32() -> Numbers:
    return Numbers(MR, NR, WIDTH, 4, FLOATS, FLOATS, add_floats, as_they_are, plus_bias)


def bf16() -> Numbers:
    add = add_pairs_at_once if HAS_AVX512_BF16 else add_pairs_widened
    return Numbers(MR, NR, WIDTH, 4 if HAS_AVX512_BF16 else 8, WORDS, FLOATS, add, as_they_are, plus_bias)


def int8() -> Numbers:
    add, sums, unite = WAYS[INT8_ISA.name]
    weights = ir.VectorType(BYTE, INT8_ISA.outputs * K_PACK)
    return Numbers(INT8_ISA.rows, int8_layout.INT8_NR, INT8_ISA.outputs, INT8_ISA.x_bytes, weights,
                   ir.VectorType(WORD, sums * INT8_ISA.outputs), in_both(add), scaled(unite), dequantised)  # fmt: skip


# float32 and bf16


def as_they_are(builder, sums, scales):
    return sums


def plus_bias(builder, totals, bias, _, ranges):
    return builder.fadd(totals, load_unaligned(builder, bias, totals.type))


def add_floats(builder, sums, place, weights):
    a = builder.bitcast(splat(builder, load_unaligned(builder, place, WORD), WIDTH), FLOATS)
    return [emit_fma(builder, a, b, c) for b, c in zip(weights, sums)]


def add_pairs_at_once(builder, sums, place, weights):
    """vdpbf16ps: both products of a pair, added to the sum, in one instruction."""
    a = builder.bitcast(splat(builder, load_unaligned(builder, place, WORD), WIDTH), PAIRS)
    name = f"llvm.x86.avx512bf16.dpbf16ps.{32 * WIDTH}"
    return [call(builder, name, FLOATS, c, a, builder.bitcast(b, PAIRS)) for b, c in zip(weights, sums)]


def add_pairs_widened(builder, sums, place, weights):
    """A bf16 is the upper half of a float: the first of a pair is shifted up, the second's lower half is cleared."""
    sixteen, upper = ir.Constant(WORDS, [16] * WIDTH), ir.Constant(WORDS, [0xFFFF0000] * WIDTH)
    for which, widen in enumerate((lambda b: builder.shl(b, sixteen), lambda b: builder.and_(b, upper))):
        floats = [builder.bitcast(widen(b), FLOATS) for b in weights]
        sums = add_floats(builder, sums, byte_offset(builder, place, 4 * which), floats)
    return sums


# int8: three ways to add a line's products, as `vectors_int8.py` tells them


def in_both(add: Callable) -> Callable:
    """A way to add to one vector of sums -> the same for a row's two."""

    def add_both(builder, sums, place, weights):
        x = load_unaligned(builder, place, ir.IntType(8 * INT8_ISA.x_bytes))
        return [add(builder, total, x, b) for total, b in zip(sums, weights)]

    add_both.__name__ = add.__name__
    return add_both


def scaled(unite: Callable) -> Callable:
    """(builder, sums, where their scales are) -> floats, one an output, times its scale."""

    def scale(builder, sums, scales):
        whole = unite(builder, sums)
        floats = ir.VectorType(FLOAT, whole.type.count)
        return builder.fmul(builder.sitofp(whole, floats), load_unaligned(builder, scales, floats))

    return scale


def dequantised(builder, totals, bias, sums, ranges):
    """What whole numbers stood for: scale · (total − zero · the weights' sum) + bias."""
    scale, zero = (splat(builder, load_unaligned(builder, byte_offset(builder, ranges, at), FLOAT), totals.type.count) for at in (0, 4))
    found = builder.fsub(totals, builder.fmul(zero, load_unaligned(builder, sums, totals.type)))
    return builder.fadd(builder.fmul(found, scale), load_unaligned(builder, bias, totals.type))


def add_vnni(builder, sums, x, weights):
    """sums[n] += x · weights[4 n : 4 n + 4], in one instruction."""
    x, bits = splat(builder, x, sums.type.count), 32 * sums.type.count
    if llvm_version_info[0] >= 21:  # older ones take the bytes as words
        x = builder.bitcast(x, weights.type)
    else:
        weights = builder.bitcast(weights, x.type)
    return call(builder, f"llvm.x86.avx512.vpdpbusd.{bits}", sums.type, sums, x, weights)


def add_pairs(builder, sums, x, weights):
    """sums[2 n] += the first two products of output n, sums[2 n + 1] += the last two."""
    wide = ir.VectorType(SHORT, weights.type.count)
    x = builder.bitcast(splat(builder, x, INT8_ISA.outputs), wide)
    name = "llvm.x86.avx2.pmadd.wd" if INT8_ISA.outputs == 4 else "llvm.x86.sse2.pmadd.wd"
    return builder.add(sums, call(builder, name, sums.type, x, builder.sext(weights, wide)))


def add_plain(builder, sums, x, weights):
    """sums[4 n + i] += product i of output n."""
    x = builder.bitcast(splat(builder, x, INT8_ISA.outputs), weights.type)
    return builder.add(sums, builder.mul(builder.zext(x, sums.type), builder.sext(weights, sums.type)))


def whole_already(builder, sums):
    return sums


def halves(builder, sums):
    """[a0 a1 b0 b1 ...] -> [a0 + a1, b0 + b1, ...]."""
    undefined, count = ir.Constant(sums.type, ir.Undefined), sums.type.count // 2
    parts = [ir.Constant(ir.VectorType(WORD, count), list(range(first, 2 * count, 2))) for first in (0, 1)]
    return builder.add(*(builder.shuffle_vector(sums, undefined, part) for part in parts))


def quarters(builder, sums):
    return halves(builder, halves(builder, sums))


WAYS = {  # name -> how a line is added, the sums of each output, how they become one
    "vnni": (add_vnni, 1, whole_already),
    "pairs": (add_pairs, 2, halves),
    "plain": (add_plain, 4, quarters),
}
