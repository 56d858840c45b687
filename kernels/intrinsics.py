"""What Python cannot say and the machine can: a register tile, a fused multiply-add, a counter that threads share.

Numba's `@intrinsic` lets a function write its own LLVM instructions. There are three here and no more; every other
kernel is Python that Numba compiles. The one choice made for the machine is the width of a vector.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce

from llvmlite import ir
from numba import types
from numba.core.cgutils import get_or_insert_function
from numba.extending import intrinsic

from .vectors import COLUMNS, FUSED, ROWS, WIDTH

FLOAT, INT, ADDRESS = ir.FloatType(), ir.IntType(64), ir.IntType(8).as_pointer()


def multiply_add(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
    """a b + c, rounded once where the machine can: the same instruction for a vector and for a single value."""
    if not FUSED:
        return builder.fadd(builder.fmul(a, b), c)
    name = f"llvm.fma.v{a.type.count}f32" if isinstance(a.type, ir.VectorType) else "llvm.fma.f32"
    function = get_or_insert_function(builder.module, ir.FunctionType(a.type, [a.type] * 3), name)
    return builder.call(function, [a, b, c])


def each_height(builder: ir.IRBuilder, rows: ir.Value, most: int) -> Iterator[int]:
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


def prefetch(builder: ir.IRBuilder, address: ir.Value) -> None:
    """The line there is on its way to the nearest cache; any address may be named."""
    number = ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [address.type, number, number, number])
    fetch = get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    builder.call(fetch, [address, number(0), number(3), number(1)])  # to read, often, as data


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
def add_product(typing, y, x, panel, coming):
    """y (R, C) += x (R, K) @ panel (K, C), where R is 1 to ROWS and C is COLUMNS.

    The sums of the whole tile stay in registers, two vectors a row. A step of k reads one line of the panel, and each
    of its vectors is multiplied with R values of x, each spread over a vector:

        panel[k]      b0 = 8 floats   b1 = 8 floats
        x[0, k] = a   sum00 += a b0   sum01 += a b1
        x[1, k] = a   sum10 += a b0   sum11 += a b1      ... R rows: 2 R multiply-adds for 2 + R reads

    On the way the lines of `coming`, which are soon to be read, are asked for, a little at each step: reading weights
    from memory takes as long as 10 to 20 rows' arithmetic, and so costs nothing beside it.

    A row's instructions are the same whatever R is. The panel is contiguous, and so is each row of y; x may have any strides.
    """

    def emit(context, builder, signature, values):
        arrays = [context.make_array(kind)(context, builder, value) for kind, value in zip(signature.args, values)]
        starts = [builder.bitcast(array.data, ADDRESS) for array in arrays]
        strides = [builder.extract_value(arrays[place].strides, axis) for place, axis in ((0, 0), (1, 0), (1, 1))]
        rows, depth, lines = (builder.extract_value(arrays[place].shape, axis) for place, axis in ((0, 0), (1, 1), (3, 0)))
        arguments = [*starts, *strides, depth, lines]
        for count in each_height(builder, rows, ROWS):
            builder.call(tile_of(builder.module, count), arguments)

    return types.void(y, x, panel, coming), emit


def tile_of(module: ir.Module, rows: int) -> ir.Function:
    """add_product for this many rows, as a function that all places in a module call: a second copy takes a second to
    compile."""
    name = f"minibert_tile_{rows}"
    tile = get_or_insert_function(module, ir.FunctionType(ir.VoidType(), [ADDRESS] * 4 + [INT] * 5), name)
    if tile.is_declaration:
        tile.linkage = "internal"
        tile.attributes.add("noinline")
        builder = ir.IRBuilder(tile.append_basic_block())
        emit_tile(builder, rows, *tile.args)
        builder.ret_void()
    return tile


def emit_tile(builder, rows, y, x, panel, coming, y_stride, x_stride, step, depth, lines) -> None:
    """The instructions of `add_product` for a fixed number of rows: four addresses, three strides in bytes, two lengths."""
    vector = ir.VectorType(FLOAT, WIDTH)
    undefined, zeros = ir.Constant(vector, ir.Undefined), ir.Constant(vector, [0.0] * WIDTH)
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)

    def after(start, *factors):  # the address so many bytes on
        return builder.gep(start, [reduce(builder.mul, factors)])

    def half(start, which):  # the first or the second vector of a line
        return builder.gep(builder.bitcast(start, vector.as_pointer()), [INT(which)])

    def spread(pointer):
        value = builder.load(builder.bitcast(pointer, FLOAT.as_pointer()))
        return builder.shuffle_vector(builder.insert_element(undefined, value, ir.IntType(32)(0)), undefined, lanes)

    x_rows = [after(x, INT(row), x_stride) for row in range(rows)]
    apart = builder.udiv(builder.mul(lines, INT(COLUMNS * 4)), builder.or_(depth, INT(1)))  # bytes of `coming` a step
    before, loop, done = builder.block, builder.append_basic_block("step"), builder.append_basic_block("sums")
    builder.branch(loop)

    builder.position_at_end(loop)
    k = builder.phi(INT)
    old = [[builder.phi(vector) for _ in range(2)] for _ in range(rows)]
    line = after(panel, k, INT(COLUMNS * 4))
    b = [builder.load(half(line, which), align=4) for which in range(2)]
    prefetch(builder, after(coming, k, apart))
    new = []
    for row in range(rows):
        a = spread(after(x_rows[row], k, step))
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
        target = after(y, INT(row), y_stride)
        for which in range(2):
            value = builder.fadd(builder.load(half(target, which), align=4), new[row][which])
            builder.store(value, half(target, which), align=4)
