"""Helpers that emit LLVM instructions, and two intrinsics made of them: `fma` and `fetch_add`.

An `@intrinsic` (`compiler/intrinsic.py`) emits its own LLVM IR. The helpers here are shared by the intrinsics of `simd/`
and `gemm/`.
"""

from __future__ import annotations

from collections.abc import Iterator

from llvmlite import ir

from ..compiler.cpu import HAS_FMA
from ..compiler.intrinsic import intrinsic
from ..compiler.toolchain import cgutils, types

FLOAT, BYTE, WORD, INT = ir.FloatType(), ir.IntType(8), ir.IntType(32), ir.IntType(64)
ADDRESS = BYTE.as_pointer()
CACHE_LINE = 64  # bytes


def byte_offset(builder: ir.IRBuilder, address: ir.Value, *distances: ir.Value | int) -> ir.Value:
    """The address plus the sum of `distances`, in bytes."""
    for distance in distances:
        address = builder.gep(address, [INT(distance) if isinstance(distance, int) else distance])
    return address


def load_unaligned(builder: ir.IRBuilder, address: ir.Value, llvm_type: ir.Type) -> ir.Value:
    """Load a value of this type; the address need not be aligned."""
    return builder.load(builder.bitcast(address, llvm_type.as_pointer()), align=1)


def store_unaligned(builder: ir.IRBuilder, value: ir.Value, address: ir.Value) -> None:
    """Store a value; the address need not be aligned."""
    builder.store(value, builder.bitcast(address, value.type.as_pointer()), align=1)


def splat(builder: ir.IRBuilder, value: ir.Value, count: int) -> ir.Value:
    """A vector of `count` lanes, each of them `value`."""
    undefined = ir.Constant(ir.VectorType(value.type, count), ir.Undefined)
    lanes = ir.Constant(ir.VectorType(WORD, count), [0] * count)
    return builder.shuffle_vector(builder.insert_element(undefined, value, WORD(0)), undefined, lanes)


def call(builder: ir.IRBuilder, name: str, result: ir.Type, *values: ir.Value) -> ir.Value:
    """Call an LLVM intrinsic or a C function by its name."""
    function_type = ir.FunctionType(result, [value.type for value in values])
    return builder.call(cgutils.get_or_insert_function(builder.module, function_type, name), values)


def emit_fma(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
    """a b + c for vectors or single floats, rounded once if the processor has FMA."""
    if not HAS_FMA:
        return builder.fadd(builder.fmul(a, b), c)
    name = f"llvm.fma.v{a.type.count}f32" if isinstance(a.type, ir.VectorType) else "llvm.fma.f32"
    return call(builder, name, a.type, a, b, c)


def switch_on_rows(builder: ir.IRBuilder, rows: ir.Value, max_rows: int) -> Iterator[int]:
    """Yield 1, 2, ... `max_rows`: the code emitted for a count runs if `rows` equals it, so each count has its own loop."""
    after = builder.append_basic_block("after")
    choose = builder.switch(rows, after)
    for count in range(1, max_rows + 1):
        block = builder.append_basic_block(f"rows_{count}")
        choose.add_case(INT(count), block)
        builder.position_at_end(block)
        yield count
        builder.branch(after)
    builder.position_at_end(after)


def prefetch(builder: ir.IRBuilder, address: ir.Value, to_write: bool = False) -> None:
    """Prefetch the cache line at any address, valid or not: into L2, or into L1 if it will be written. L1 has too few fill
    buffers for prefetching weights."""
    call(builder, "llvm.prefetch.p0", ir.VoidType(), address, WORD(int(to_write)), WORD(3 if to_write else 2), WORD(1))


def smaller(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    """The smaller of two signed integers."""
    return builder.select(builder.icmp_signed("<", a, b), a, b)


@intrinsic
def fma(typing, a, b, c):
    """a b + c for float32. A loop over it is vectorized, and the scalar remainder has the same bits."""

    def emit(context, builder, signature, values):
        return emit_fma(builder, *values)

    return types.float32(types.float32, types.float32, types.float32), emit


@intrinsic
def fetch_add(typing, counter):
    """Add 1 to counter[0] -> its old value, which no other thread gets. Acquire-release: the thread sees everything written
    by the threads that got smaller values before they got them."""

    def emit(context, builder, signature, values):
        array = context.make_array(counter)(context, builder, values[0])
        return builder.atomic_rmw("add", array.data, INT(1), "acq_rel")

    return types.int64(counter), emit
