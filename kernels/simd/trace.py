"""A function of one float as vectors, without a compiler's loop: its Python code is run once, on vectors of LLVM's.

    traced(gelu, builder, vector)    runs gelu's lines; each operation of theirs writes an instruction for all lanes

So `functions.py` says once what is computed, and a place that has a few vectors at hand, such as behind a register tile,
has it computed there, while they are in the nearest cache: gelu of 128 × 3,072 values takes 65 µs so, and took 100 in a loop
over a task's rows.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType, SimpleNamespace

import numpy as np
from llvmlite import ir

from ..compiler.intrinsic import intrinsic
from ..compiler.jit import Kernel
from ..compiler.toolchain import cgutils, types
from .emit import ADDRESS, FLOAT, INT, WORD, byte_offset, call, emit_fma, load_unaligned, store_unaligned
from .scalar_math import ACTIVATIONS
from .shapes import WIDTH

FLOATS, WORDS = ir.VectorType(FLOAT, WIDTH), ir.VectorType(WORD, WIDTH)


class Lanes:
    """A vector of floats, or of words, that arithmetic is written down for."""

    __array_ufunc__ = None  # so that NumPy's numbers leave the operation to this class

    def __init__(self, builder: ir.IRBuilder, value: ir.Value):
        self.builder, self.value = builder, value

    def with_value(self, other) -> tuple[ir.Value, ir.Value]:
        """Its own value and the other's, which may be a number."""
        if isinstance(other, Lanes):
            return self.value, other.value
        return self.value, ir.Constant(self.value.type, [other.item() if hasattr(other, "item") else other] * WIDTH)

    def written(self, of_floats: str, of_words: str, left, right) -> Lanes:
        write = getattr(self.builder, of_floats if self.value.type.element == FLOAT else of_words)
        return Lanes(self.builder, write(left, right))

    def __add__(self, other) -> Lanes:
        return self.written("fadd", "add", *self.with_value(other))

    __radd__ = __add__

    def __sub__(self, other) -> Lanes:
        return self.written("fsub", "sub", *self.with_value(other))

    def __mul__(self, other) -> Lanes:
        return self.written("fmul", "mul", *self.with_value(other))

    __rmul__ = __mul__

    def __truediv__(self, other) -> Lanes:
        return self.written("fdiv", "sdiv", *self.with_value(other))

    def __neg__(self) -> Lanes:
        return Lanes(self.builder, self.builder.fneg(self.value))

    def __lshift__(self, other) -> Lanes:
        return self.written("", "shl", *self.with_value(other))

    def __rshift__(self, other) -> Lanes:
        return self.written("", "ashr", *self.with_value(other))

    def __abs__(self) -> Lanes:
        return Lanes(self.builder, call(self.builder, f"llvm.fabs.v{WIDTH}f32", FLOATS, self.value))

    def view(self, kind) -> Lanes:
        return Lanes(self.builder, self.builder.bitcast(self.value, FLOATS if kind is F else WORDS))


def fma(a: Lanes, b, c) -> Lanes:
    return Lanes(a.builder, emit_fma(a.builder, a.value, a.with_value(b)[1], a.with_value(c)[1]))


def clamp_max(a: Lanes, limit) -> Lanes:
    value, limit = a.with_value(limit)
    return Lanes(a.builder, a.builder.select(a.builder.fcmp_ordered(">", value, limit), limit, value))


def clamp_min(a: Lanes, limit) -> Lanes:
    value, limit = a.with_value(limit)
    return Lanes(a.builder, a.builder.select(a.builder.fcmp_ordered("<", value, limit), limit, value))


def F(value):
    """In the place of NumPy's float32: a vector is of floats already."""
    return value if isinstance(value, Lanes) else np.float32(value)


HERE = {"fma": fma, "clamp_max": clamp_max, "clamp_min": clamp_min, "F": F, "np": SimpleNamespace(int32=lambda value: value)}


def on_lanes(kernel: Kernel) -> Callable:
    """A kernel's function, with those here behind the names it uses, and with other kernels as functions like it."""
    names = {**kernel.function.__globals__, **HERE}
    used = {name: on_lanes(names[name]) for name in kernel.function.__code__.co_names if isinstance(names.get(name), Kernel)}
    return FunctionType(kernel.function.__code__, {**names, **used})


def traced(kernel: Kernel, builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """The kernel of a vector."""
    return on_lanes(kernel)(Lanes(builder, value)).value


@intrinsic
def activate_tile(typing, y, place, function):
    """The activation of the tile of y that `place` tells, its (row, rows, column, columns), in its place. A row of y is
    contiguous, and the tile's are whole pairs of vectors."""

    def emit(context, builder, signature, values):
        array = context.make_array(y)(context, builder, values[0])
        row, rows, column, columns = (builder.extract_value(values[1], i) for i in range(4))
        line = builder.extract_value(array.strides, 0)
        start = byte_offset(builder, builder.bitcast(array.data, ADDRESS), builder.mul(row, line), builder.mul(column, INT(4)))
        builder.call(activation(builder.module), [values[2], start, line, rows, builder.udiv(columns, INT(2 * WIDTH))])

    return types.void(y, place, types.int64), emit


def activation(module: ir.Module) -> ir.Function:
    """(which, where, bytes from row to row, rows, pairs of vectors in each), as a function: were its lines written into the
    loop that calls it, the constants of a gelu would be fetched for each tile, whether it has one or not."""
    kind = ir.FunctionType(ir.VoidType(), [INT, ADDRESS, INT, INT, INT])
    made = cgutils.get_or_insert_function(module, kind, "minibert_activation")
    if made.is_declaration:
        made.linkage = "internal"
        made.attributes.add("noinline")
        which, start, line, rows, pairs = made.args
        builder = ir.IRBuilder(made.append_basic_block("entry"))
        after = made.append_basic_block("activated")
        choose = builder.switch(which, after)
        for number, kernel in ACTIVATIONS.items():
            block = builder.append_basic_block(kernel.__name__)
            choose.add_case(INT(number), block)
            builder.position_at_end(block)
            with cgutils.for_range(builder, rows) as row, cgutils.for_range(builder, pairs) as pair:
                place = byte_offset(builder, start, builder.mul(row.index, line), builder.mul(pair.index, INT(8 * WIDTH)))
                places = [place, byte_offset(builder, place, 4 * WIDTH)]
                found = [traced(kernel, builder, load_unaligned(builder, one, FLOATS)) for one in places]
                for value, one in zip(found, places):
                    store_unaligned(builder, value, one)
            builder.branch(after)
        builder.position_at_end(after)
        builder.ret_void()
    return made
