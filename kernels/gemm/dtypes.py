"""What the microkernel must know of a data type: float32, bf16 or int8.

`microkernel.py` is the register tile. `int8_isa.py` chooses the instruction that multiplies int8.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from llvmlite import ir
from llvmlite.binding import llvm_version_info

from ..simd.emit import BYTE, FLOAT, WORD, byte_offset, call, emit_fma, load_unaligned, splat
from ..simd.shapes import MR, NR, WIDTH
from . import int8_layout
from .int8_isa import INT8_ISA
from .int8_layout import K_PACK

SHORT = ir.IntType(16)


class MicrokernelSpec(NamedTuple):
    """What differs between the microkernels of three data types."""

    mr: int  # rows of a tile at most
    nr: int  # outputs of a panel
    outputs: int  # of one vector; a panel wider than two vectors is taken in several parts
    x_step_bytes: int  # bytes of one row of packed x in a step
    weights: ir.Type  # a vector of outputs in a row of a panel
    sums: ir.Type
    multiply_add: Callable  # (builder, two vectors of sums, address of a row's x, two vectors of weights) -> two of sums
    exact: bool  # whether a running sum may take all steps
    to_floats: Callable  # (builder, sums) -> what is added to the totals
    epilogue: Callable  # (builder, totals, addresses of their epilogue vectors, and of their row's scale) -> y


class BFloat(ir.Type):
    """LLVM's bfloat, which llvmlite lacks."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other) -> bool:
        return isinstance(other, BFloat)

    def __hash__(self) -> int:
        return hash(BFloat)


FLOATS, WORDS = ir.VectorType(FLOAT, WIDTH), ir.VectorType(WORD, WIDTH)
BF16_PAIRS = ir.VectorType(BFloat(), 2 * WIDTH) if llvm_version_info[0] >= 16 else WORDS  # before: passed as words


def float32() -> MicrokernelSpec:
    return MicrokernelSpec(MR, NR, WIDTH, 4, FLOATS, FLOATS, fma_f32, False, identity, add_bias)


def bf16() -> MicrokernelSpec:
    return MicrokernelSpec(MR, NR, WIDTH, 4, WORDS, FLOATS, dot_bf16, False, identity, add_bias)


def int8() -> MicrokernelSpec:
    dot, sums, reduce_lanes = INT8_EMITTERS[INT8_ISA.name]
    weights = ir.VectorType(BYTE, INT8_ISA.outputs * K_PACK)
    return MicrokernelSpec(
        INT8_ISA.mr,
        int8_layout.INT8_NR,
        INT8_ISA.outputs,
        INT8_ISA.x_step_bytes,
        weights,
        ir.VectorType(WORD, sums * INT8_ISA.outputs),
        for_both_vectors(dot),
        True,
        floats_of(reduce_lanes),
        dequantize,
    )


# float32 and bf16


def identity(builder, sums):
    return sums


def add_bias(builder, totals, vectors, row_scales):
    return builder.fadd(totals, load_constant(builder, vectors[0], totals.type))


def load_constant(builder, address, llvm_type):
    """What no store of the kernel changes, so that LLVM may load it once for all rows."""
    value = load_unaligned(builder, address, llvm_type)
    value.set_metadata("invariant.load", builder.module.add_metadata([]))
    return value


def multiply_scales(builder, totals, vectors, row_scales):
    """total · scale · weight_scale + bias, of floats that were multiplied with the inverses (`split_floats.py`). The smaller
    scale is first: the other might make a total infinite."""
    bias, weight_scale = (load_constant(builder, vector, totals.type) for vector in vectors[:2])
    scale = splat(builder, load_unaligned(builder, row_scales, FLOAT), totals.type.count)
    less = builder.fcmp_ordered("<", scale, weight_scale)
    smaller, larger = builder.select(less, scale, weight_scale), builder.select(less, weight_scale, scale)
    return builder.fadd(builder.fmul(builder.fmul(totals, smaller), larger), bias)


def scale_rows(builder, totals, vectors, row_scales):
    """total · scale."""
    return builder.fmul(totals, splat(builder, load_unaligned(builder, row_scales, FLOAT), totals.type.count))


def fma_f32(builder, sums, x, weights):
    a = builder.bitcast(splat(builder, load_unaligned(builder, x, WORD), WIDTH), FLOATS)
    return [emit_fma(builder, a, b, c) for b, c in zip(weights, sums)]


def dot_bf16(builder, sums, x, weights):
    """vdpbf16ps: both products of a pair are added to the sum in one instruction."""
    a = builder.bitcast(splat(builder, load_unaligned(builder, x, WORD), WIDTH), BF16_PAIRS)
    name = f"llvm.x86.avx512bf16.dpbf16ps.{32 * WIDTH}"
    return [call(builder, name, FLOATS, c, a, builder.bitcast(b, BF16_PAIRS)) for b, c in zip(weights, sums)]


# int8: the three dot products of `int8_isa.py`


def for_both_vectors(dot: Callable) -> Callable:
    """A dot product for one vector of sums -> the same for a row's two vectors."""

    def dot_both(builder, sums, x, weights):
        x = load_unaligned(builder, x, ir.IntType(8 * INT8_ISA.x_step_bytes))
        return [dot(builder, total, x, b) for total, b in zip(sums, weights)]

    dot_both.__name__ = dot.__name__
    return dot_both


def floats_of(reduce_lanes: Callable) -> Callable:
    """-> (builder, sums) -> floats: each output's sum."""

    def to_floats(builder, sums):
        integers = reduce_lanes(builder, sums)
        return builder.sitofp(integers, ir.VectorType(FLOAT, integers.type.count))

    return to_floats


def dequantize(builder, totals, vectors, row_scales):
    """(total − zero_point · weight_sum) · weight_scale · scale + bias."""
    bias, weight_scale, weight_sum = (load_constant(builder, vector, totals.type) for vector in vectors)
    scale, zero_point = (
        splat(builder, load_unaligned(builder, byte_offset(builder, row_scales, offset), FLOAT), totals.type.count)
        for offset in (0, 4)
    )
    corrected = builder.fsub(totals, builder.fmul(zero_point, weight_sum))
    return builder.fadd(builder.fmul(builder.fmul(corrected, weight_scale), scale), bias)


def dot_vnni(builder, sums, x, weights):
    """sums[n] += x · weights[4 n : 4 n + 4], in one instruction."""
    x, bits = splat(builder, x, sums.type.count), 32 * sums.type.count
    if llvm_version_info[0] >= 21:  # older versions take the bytes as words
        x = builder.bitcast(x, weights.type)
    else:
        weights = builder.bitcast(weights, x.type)
    return call(builder, f"llvm.x86.avx512.vpdpbusd.{bits}", sums.type, sums, x, weights)


def dot_pmaddwd(builder, sums, x, weights):
    """sums[2 n] += the first two products of output n, sums[2 n + 1] += the last two."""
    wide = ir.VectorType(SHORT, weights.type.count)
    x = builder.bitcast(splat(builder, x, INT8_ISA.outputs), wide)
    name = "llvm.x86.avx2.pmadd.wd" if INT8_ISA.outputs == 4 else "llvm.x86.sse2.pmadd.wd"
    return builder.add(sums, call(builder, name, sums.type, x, builder.sext(weights, wide)))


def dot_scalar(builder, sums, x, weights):
    """sums[4 n + i] += product i of output n."""
    x = builder.bitcast(splat(builder, x, INT8_ISA.outputs), weights.type)
    return builder.add(sums, builder.mul(builder.zext(x, sums.type), builder.sext(weights, sums.type)))


def add_lane_pairs(builder, sums):
    """[a0 a1 b0 b1 ...] -> [a0 + a1, b0 + b1, ...]."""
    undefined, count = ir.Constant(sums.type, ir.Undefined), sums.type.count // 2
    lanes = [ir.Constant(ir.VectorType(WORD, count), list(range(first, 2 * count, 2))) for first in (0, 1)]
    return builder.add(*(builder.shuffle_vector(sums, undefined, part) for part in lanes))


def add_lane_quads(builder, sums):
    return add_lane_pairs(builder, add_lane_pairs(builder, sums))


INT8_EMITTERS = {  # name of the ISA -> its dot product, the sums it keeps for each output, how these become one
    "vnni": (dot_vnni, 1, identity),
    "pmaddwd": (dot_pmaddwd, 2, add_lane_pairs),
    "scalar": (dot_scalar, 4, add_lane_quads),
}
