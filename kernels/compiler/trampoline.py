"""The entry of a compiled kernel: a function of one pointer, to the packed arguments, which are 64-bit words.

    packed arguments    an array: the address of its Python object; a number: itself; a tuple: its items, one by one
    trampoline          reads each array's data pointer, shape and strides from its object, and calls the kernel

So a call is two addresses, of the entry and of the packed arguments, and any thread can run it without the interpreter's lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

ENTRY = "minibert_kernel"  # the function's name in each object file
PYOBJECT_HEADER = object.__basicsize__  # bytes before an array's own fields: data, rank, dimensions, strides


class ArrayType(NamedTuple):
    """The type of a C-contiguous array. A signature consists of these, "int", "float", and tuples of the same."""

    dtype: str
    rank: int


def numba_types(signature: tuple) -> tuple:
    """A signature in Numba's types."""
    return tuple(map(numba_type, signature))


def numba_type(part):
    from numba import types
    from numba.np.numpy_support import from_dtype

    if part in ("int", "float"):
        return types.int64 if part == "int" else types.float64
    if isinstance(part, ArrayType):
        return types.Array(from_dtype(np.dtype(part.dtype)), part.rank, "C")
    return types.Tuple([numba_type(item) for item in part])


def struct_format(signature: tuple) -> str:
    """The format of packed arguments of this signature, for `struct`."""
    return "".join([struct_format(part) if type(part) is tuple else "d" if part == "float" else "q" for part in signature])


def build_trampoline(result, signature: tuple):
    """minibert_kernel(packed arguments) -> status, as a module of LLVM IR; `result` is Numba's, of the kernel.

    Numba passes an array as two pointers for its owner (null here), its size, an item's size, its data pointer, and then
    each length of its shape and each stride.
    """
    from llvmlite import ir

    word, byte = ir.IntType(64), ir.IntType(8).as_pointer()
    context = result.target_context
    kernel_type = context.call_conv.get_function_type(result.fndesc.restype, result.fndesc.argtypes)
    module = context.codegen()._create_empty_module(ENTRY)
    kernel = ir.Function(module, kernel_type, result.fndesc.llvm_func_name)
    entry = ir.Function(module, ir.FunctionType(ir.IntType(32), [word.as_pointer()]), ENTRY)
    builder = ir.IRBuilder(entry.append_basic_block())

    def field(start, offset, llvm_type=word):
        address = builder.gep(builder.inttoptr(start, byte), [word(offset)])
        return builder.load(builder.bitcast(address, llvm_type.as_pointer()))

    def flatten_args(parts) -> Iterator:
        for part in parts:
            if part in ("int", "float"):
                llvm_type = word if part == "int" else ir.DoubleType()
                yield builder.load(builder.bitcast(next(addresses), llvm_type.as_pointer()))
            elif isinstance(part, ArrayType):
                yield from flatten_array(builder.load(next(addresses)), np.dtype(part.dtype).itemsize, part.rank)
            else:
                yield from flatten_args(part)

    def flatten_array(array, itemsize, rank) -> Iterator:
        data, dimensions, strides = (field(array, PYOBJECT_HEADER + offset) for offset in (0, 16, 24))
        shape = [field(dimensions, 8 * axis) for axis in range(rank)]
        size = word(1)
        for length in shape:
            size = builder.mul(size, length)
        yield from (word(0), word(0), size, word(itemsize), data, *shape)
        yield from (field(strides, 8 * axis) for axis in range(rank))

    addresses = (builder.gep(entry.args[0], [word(index)]) for index in range(1 << 16))
    outputs = [builder.alloca(pointer.pointee) for pointer in kernel_type.args[:2]]  # for its return value and its exception
    inputs = [
        builder.inttoptr(value, llvm_type) if isinstance(llvm_type, ir.PointerType) else value
        for value, llvm_type in zip(flatten_args(signature), kernel_type.args[2:], strict=True)
    ]
    builder.ret(builder.call(kernel, [*outputs, *inputs]))
    return module
