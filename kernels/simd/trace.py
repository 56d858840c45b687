"""Run a scalar function's Python code on LLVM vectors, so that it emits its own vector instructions.

    trace(gelu, builder, vector)    runs the lines of `gelu`; each operation emits one instruction for all lanes

So the formula stands once, in `scalar_math.py`, and the epilogue of a register tile applies it to the few vectors of the
tile while they are in L1, instead of in a later loop over a task's rows.
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


class TracedVector:
    """A vector of float32 or int32, whose arithmetic emits instructions."""

    __array_ufunc__ = None  # so that NumPy's scalars leave the operation to this class

    def __init__(self, builder: ir.IRBuilder, value: ir.Value):
        self.builder, self.value = builder, value

    def operands(self, other) -> tuple[ir.Value, ir.Value]:
        """The values of this vector and of another one, or of a Python or NumPy scalar in every lane."""
        if isinstance(other, TracedVector):
            return self.value, other.value
        return self.value, ir.Constant(self.value.type, [other.item() if hasattr(other, "item") else other] * WIDTH)

    def _emit(self, float_op: str, int_op: str, left, right) -> TracedVector:
        emit = getattr(self.builder, float_op if self.value.type.element == FLOAT else int_op)
        return TracedVector(self.builder, emit(left, right))

    def __add__(self, other) -> TracedVector:
        return self._emit("fadd", "add", *self.operands(other))

    __radd__ = __add__

    def __sub__(self, other) -> TracedVector:
        return self._emit("fsub", "sub", *self.operands(other))

    def __mul__(self, other) -> TracedVector:
        return self._emit("fmul", "mul", *self.operands(other))

    __rmul__ = __mul__

    def __truediv__(self, other) -> TracedVector:
        return self._emit("fdiv", "sdiv", *self.operands(other))

    def __neg__(self) -> TracedVector:
        return TracedVector(self.builder, self.builder.fneg(self.value))

    def __lshift__(self, other) -> TracedVector:
        return self._emit("", "shl", *self.operands(other))

    def __rshift__(self, other) -> TracedVector:
        return self._emit("", "ashr", *self.operands(other))

    def __abs__(self) -> TracedVector:
        return TracedVector(self.builder, call(self.builder, f"llvm.fabs.v{WIDTH}f32", FLOATS, self.value))

    def view(self, dtype) -> TracedVector:
        return TracedVector(self.builder, self.builder.bitcast(self.value, FLOATS if dtype is F else WORDS))


def fma(a: TracedVector, b, c) -> TracedVector:
    return TracedVector(a.builder, emit_fma(a.builder, a.value, a.operands(b)[1], a.operands(c)[1]))


def clamp_max(a: TracedVector, limit) -> TracedVector:
    value, limit = a.operands(limit)
    return TracedVector(a.builder, a.builder.select(a.builder.fcmp_ordered(">", value, limit), limit, value))


def clamp_min(a: TracedVector, limit) -> TracedVector:
    value, limit = a.operands(limit)
    return TracedVector(a.builder, a.builder.select(a.builder.fcmp_ordered("<", value, limit), limit, value))


def F(value):
    """Replaces `np.float32`: a traced vector is of float32 already."""
    return value if isinstance(value, TracedVector) else np.float32(value)


TRACED_GLOBALS = {
    "fma": fma,
    "clamp_max": clamp_max,
    "clamp_min": clamp_min,
    "F": F,
    "np": SimpleNamespace(int32=lambda value: value),
}


def rebind_globals(kernel: Kernel) -> Callable:
    """A kernel's Python function with the names of TRACED_GLOBALS rebound, and likewise the kernels that it calls."""
    names = {**kernel.function.__globals__, **TRACED_GLOBALS}
    callees = {
        name: rebind_globals(names[name]) for name in kernel.function.__code__.co_names if isinstance(names.get(name), Kernel)
    }
    return FunctionType(kernel.function.__code__, {**names, **callees})


def trace(kernel: Kernel, builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """Emit the kernel's instructions for a vector -> its result."""
    return rebind_globals(kernel)(TracedVector(builder, value)).value


@intrinsic
def activate_tile(typing, y, tile, function):
    """Apply an activation in place to a tile of y: `tile` is its (row, rows, column, columns). A row of y is contiguous, and
    `columns` is a multiple of two vectors."""

    def emit(context, builder, signature, values):
        array = context.make_array(y)(context, builder, values[0])
        row, rows, column, columns = (builder.extract_value(values[1], i) for i in range(4))
        stride = builder.extract_value(array.strides, 0)
        start = byte_offset(
            builder, builder.bitcast(array.data, ADDRESS), builder.mul(row, stride), builder.mul(column, INT(4))
        )
        arguments = [values[2], start, stride, rows, builder.udiv(columns, INT(2 * WIDTH))]
        builder.call(activation_function(builder.module), arguments)

    return types.void(y, tile, types.int64), emit


def activation_function(module: ir.Module) -> ir.Function:
    """(activation, address, bytes per row, rows, pairs of vectors in a row): a function of its own, not inlined. Inlined into
    the loop over tiles, its constants would be loaded for every tile, whether that has an activation or not."""
    function_type = ir.FunctionType(ir.VoidType(), [INT, ADDRESS, INT, INT, INT])
    function = cgutils.get_or_insert_function(module, function_type, "minibert_activation")
    if function.is_declaration:
        function.linkage = "internal"
        function.attributes.add("noinline")
        activation, start, stride, rows, pairs = function.args
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        after = function.append_basic_block("activated")
        switch = builder.switch(activation, after)
        for code, kernel in ACTIVATIONS.items():
            block = builder.append_basic_block(kernel.__name__)
            switch.add_case(INT(code), block)
            builder.position_at_end(block)
            with cgutils.for_range(builder, rows) as row, cgutils.for_range(builder, pairs) as pair:
                first = byte_offset(builder, start, builder.mul(row.index, stride), builder.mul(pair.index, INT(8 * WIDTH)))
                addresses = [first, byte_offset(builder, first, 4 * WIDTH)]
                activated = [trace(kernel, builder, load_unaligned(builder, address, FLOATS)) for address in addresses]
                for value, address in zip(activated, addresses):
                    store_unaligned(builder, value, address)
            builder.branch(after)
        builder.position_at_end(after)
        builder.ret_void()
    return function
