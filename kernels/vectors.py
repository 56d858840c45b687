"""What Python cannot say and the machine can: a register tile, a fused multiply-add, a counter that threads share.

Numba's `@intrinsic` lets a function write its own LLVM instructions. There are four here and no more; every other
kernel is Python that Numba compiles. The one choice made for the machine is the width of a vector.
"""

from __future__ import annotations

import platform

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import config, types
from numba.core.cgutils import get_or_insert_function
from numba.extending import intrinsic

FLOAT, INT = ir.FloatType(), ir.IntType(64)


def features() -> set[str]:
    """What Numba may compile for: this machine, or the lesser one that NUMBA_CPU_FEATURES names."""
    named = config.CPU_FEATURES
    if named is None:
        named = "" if config.CPU_NAME else get_host_cpu_features().flatten()
    return {word[1:] for word in named.split(",") if word.startswith("+")}


def shape_of_tile(found: set[str]) -> tuple[int, int]:
    """(floats in a vector, rows in a tile): two vectors a row are summed in registers, and three more are needed."""
    if "avx512f" in found:
        return 16, 12  # 24 of 32 registers
    if {"avx2", "fma"} <= found:
        return 8, 6  # 12 of 16 registers
    return 4, 4  # SSE2 and NEON have 16 or more


FEATURES = features()
WIDTH, ROWS = shape_of_tile(FEATURES)
COLUMNS = 2 * WIDTH
# Without the instruction, LLVM would call the C library for each fused multiply-add.
FUSED = "fma" in FEATURES or platform.machine() in ("aarch64", "arm64")


def multiply_add(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
    """a b + c, rounded once where the machine can: the same instruction for a vector and for a single value."""
    if not FUSED:
        return builder.fadd(builder.fmul(a, b), c)
    name = f"llvm.fma.v{a.type.count}f32" if isinstance(a.type, ir.VectorType) else "llvm.fma.f32"
    function = get_or_insert_function(builder.module, ir.FunctionType(a.type, [a.type] * 3), name)
    return builder.call(function, [a, b, c])


@intrinsic
def fma(typing, a, b, c):
    """a b + c for float32; a loop over it becomes vectors, with the same bits in the loop's last few."""

    def emit(context, builder, signature, values):
        return multiply_add(builder, *values)

    return types.float32(types.float32, types.float32, types.float32), emit


@intrinsic
def next_task(typing, counter):
    """The number in counter[0], which becomes one larger: no two threads get the same."""

    def emit(context, builder, signature, values):
        array = context.make_array(counter)(context, builder, values[0])
        return builder.atomic_rmw("add", array.data, INT(1), "monotonic")

    return types.int64(counter), emit


@intrinsic
def look(typing, place):
    """place[0] as other threads have left it by now, and a moment's pause."""

    def emit(context, builder, signature, values):
        array = context.make_array(place)(context, builder, values[0])
        if platform.machine() in ("x86_64", "AMD64"):
            pause = get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), []), "llvm.x86.sse2.pause")
            builder.call(pause, [])
        return builder.load_atomic(array.data, "acquire", 8)

    return types.int64(place), emit


@intrinsic
def add_product(typing, y, x, panel):
    """y (R, C) += x (R, K) @ panel (K, C), where R is 1 to ROWS and C is COLUMNS.

    The sums of the whole tile stay in registers, two vectors a row. A step of k reads one line of the panel, and each
    of its vectors is multiplied with R values of x, each spread over a vector:

        panel[k]      b0 = 8 floats   b1 = 8 floats
        x[0, k] = a   sum00 += a b0   sum01 += a b1
        x[1, k] = a   sum10 += a b0   sum11 += a b1      ... R rows: 2 R multiply-adds for 2 + R reads

    A row's instructions are the same whatever R is. The panel is contiguous, and so is each row of y; x may have any strides.
    """

    def emit(context, builder, signature, values):
        arrays = [context.make_array(kind)(context, builder, value) for kind, value in zip(signature.args, values)]
        rows = builder.extract_value(arrays[0].shape, 0)
        after = builder.append_basic_block("after")
        choose = builder.switch(rows, after)  # one loop for each number of rows
        for count in range(1, ROWS + 1):
            block = builder.append_basic_block(f"rows_{count}")
            choose.add_case(INT(count), block)
            builder.position_at_end(block)
            emit_tile(builder, count, *arrays)
            builder.branch(after)
        builder.position_at_end(after)

    return types.void(y, x, panel), emit


def emit_tile(builder: ir.IRBuilder, rows: int, y, x, panel) -> None:
    """The instructions of `add_product` for a fixed number of rows."""
    vector = ir.VectorType(FLOAT, WIDTH)
    undefined, zeros = ir.Constant(vector, ir.Undefined), ir.Constant(vector, [0.0] * WIDTH)
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)

    def address(array, *offsets):
        moved = builder.bitcast(array.data, ir.IntType(8).as_pointer())
        for offset in offsets:
            moved = builder.gep(moved, [offset])
        return moved

    def stride(array, axis):
        return builder.extract_value(array.strides, axis)

    def half(start, which):  # the first or the second vector of a line
        pointer = builder.bitcast(start, vector.as_pointer())
        return builder.gep(pointer, [INT(which)])

    def spread(pointer):
        value = builder.load(builder.bitcast(pointer, FLOAT.as_pointer()))
        return builder.shuffle_vector(builder.insert_element(undefined, value, ir.IntType(32)(0)), undefined, lanes)

    x_rows = [address(x, builder.mul(INT(row), stride(x, 0))) for row in range(rows)]
    step, depth = stride(x, 1), builder.extract_value(x.shape, 1)
    before, loop, done = builder.block, builder.append_basic_block("step"), builder.append_basic_block("sums")
    builder.branch(loop)

    builder.position_at_end(loop)
    k = builder.phi(INT)
    old = [[builder.phi(vector) for _ in range(2)] for _ in range(rows)]
    line = address(panel, builder.mul(k, INT(COLUMNS * 4)))
    b = [builder.load(half(line, which), align=4) for which in range(2)]
    new = []
    for row in range(rows):
        a = spread(builder.gep(x_rows[row], [builder.mul(k, step)]))
        new.append([multiply_add(builder, a, b[which], old[row][which]) for which in range(2)])
    k_next = builder.add(k, INT(1))
    builder.cbranch(builder.icmp_signed("<", k_next, depth), loop, done)
    k.add_incoming(INT(0), before)
    k.add_incoming(k_next, loop)
    for row in range(rows):
        for which in range(2):
            old[row][which].add_incoming(zeros, before)
            old[row][which].add_incoming(new[row][which], loop)

    builder.position_at_end(done)
    for row in range(rows):
        target = address(y, builder.mul(INT(row), stride(y, 0)))
        for which in range(2):
            value = builder.fadd(builder.load(half(target, which), align=4), new[row][which])
            builder.store(value, half(target, which), align=4)
