"""What Python cannot say and the machine can: a fused multiply-add, and a counter that threads share.

Numba's `@intrinsic` lets a function write its own LLVM instructions. The words that such functions are made of stand
here, too; the other files called intrinsics are written in them.
"""

from __future__ import annotations

from collections.abc import Iterator

from llvmlite import ir

from ..compiler.cpu import HAS_FMA
from ..compiler.intrinsic import intrinsic
from ..compiler.toolchain import cgutils, types

FLOAT, BYTE, WORD, INT = ir.FloatType(), ir.IntType(8), ir.IntType(32), ir.IntType(64)
ADDRESS = BYTE.as_pointer()


def byte_offset(builder: ir.IRBuilder, address: ir.Value, *distances: ir.Value | int) -> ir.Value:
    """The address so many bytes further on."""
    for distance in distances:
        address = builder.gep(address, [INT(distance) if isinstance(distance, int) else distance])
    return address


def load_unaligned(builder: ir.IRBuilder, address: ir.Value, kind: ir.Type) -> ir.Value:
    """The value of this kind that stands there, aligned or not."""
    return builder.load(builder.bitcast(address, kind.as_pointer()), align=1)


def store_unaligned(builder: ir.IRBuilder, value: ir.Value, address: ir.Value) -> None:
    """The value is put there, aligned or not."""
    builder.store(value, builder.bitcast(address, value.type.as_pointer()), align=1)


def splat(builder: ir.IRBuilder, value: ir.Value, count: int) -> ir.Value:
    """A value in every lane of a vector."""
    undefined = ir.Constant(ir.VectorType(value.type, count), ir.Undefined)
    lanes = ir.Constant(ir.VectorType(WORD, count), [0] * count)
    return builder.shuffle_vector(builder.insert_element(undefined, value, WORD(0)), undefined, lanes)


def call(builder: ir.IRBuilder, name: str, result: ir.Type, *values: ir.Value) -> ir.Value:
    """A function of LLVM's own, by its name."""
    kind = ir.FunctionType(result, [value.type for value in values])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), values)


def emit_fma(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
    """a b + c, rounded once where the machine can: the same instruction for a vector and for a single value."""
    if not HAS_FMA:
        return builder.fadd(builder.fmul(a, b), c)
    name = f"llvm.fma.v{a.type.count}f32" if isinstance(a.type, ir.VectorType) else "llvm.fma.f32"
    return call(builder, name, a.type, a, b, c)


def switch_on_rows(builder: ir.IRBuilder, rows: ir.Value, most: int) -> Iterator[int]:
    """1, 2, ... to `most`: what is emitted for a number is run where `rows` is that number. So each has its own loop."""
    after = builder.append_basic_block("after")
    choose = builder.switch(rows, after)
    for count in range(1, most + 1):
        block = builder.append_basic_block(f"rows_{count}")
        choose.add_case(INT(count), block)
        builder.position_at_end(block)
        yield count
        builder.branch(after)
    builder.position_at_end(after)


def prefetch(builder: ir.IRBuilder, address: ir.Value, to_write: bool = False) -> None:
    """The line there is on its way to the second cache; any address may be named. (To the first: 67 GFLOP/s of 87 at 16
    rows of 3,072 → 768, whose weights come from memory. So few lines can be on their way there at a time.)"""
    call(builder, "llvm.prefetch.p0", ir.VoidType(), address, WORD(int(to_write)), WORD(3 if to_write else 2), WORD(1))


@intrinsic
def fma(typing, a, b, c):
    """a b + c for float32; a loop over it becomes vectors, with the same bits in the loop's last few."""

    def emit(context, builder, signature, values):
        return emit_fma(builder, *values)

    return types.float32(types.float32, types.float32, types.float32), emit


@intrinsic
def fetch_add(typing, counter):
    """The number in counter[0], which becomes one larger: no two threads get the same. Who gets a number sees what those
    that got the ones before had written."""

    def emit(context, builder, signature, values):
        array = context.make_array(counter)(context, builder, values[0])
        return builder.atomic_rmw("add", array.data, INT(1), "acq_rel")

    return types.int64(counter), emit
