"""Calls of compiled kernels, without Numba.

    bind(kernel, x, y)   a call that any thread can run, without the interpreter's lock

Importing Numba and calling one function from its cache takes half a second and 90 MiB. Reading an object file with llvmlite
takes a tenth of that. A kernel that allocates or returns something has no object file, and is called through Numba.
"""

from __future__ import annotations

import ctypes
import struct
import sys
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

from minibert.errors import KernelError

from .jit import COMPILE_LOCK, Kernel
from .object_cache import compile_lock, read_object, store_object
from .trampoline import ENTRY, ArrayType, struct_format

OK_STATUSES = (0, -2)  # what Numba's functions return after `return` and at their end
BYTES_DATA_OFFSET = bytes.__basicsize__ - 1  # where the content of a bytes object begins
ENGINES: list = []  # LLVM's, which own the memory of the code; never freed: the first would delete what the others share
# Created once, because each call looks some up.
ARRAY_TYPES = {(char, rank): ArrayType(char, rank) for char in np.typecodes["All"] for rank in range(5)}


class NativeKernel(NamedTuple):
    """A kernel for one signature, as machine code."""

    entry: Callable  # (packed arguments) -> status
    address: int  # the entry's
    pack: Callable  # (values) -> packed arguments


class BoundCall:
    """A kernel with its arguments, which live as long as the call."""

    __slots__ = ("native", "packed", "arguments")

    def __init__(self, native: NativeKernel, values: list, arguments: tuple):
        self.native, self.packed, self.arguments = native, native.pack(*values), arguments

    def __call__(self) -> None:
        check(self.native.entry(self.packed))

    @property
    def addresses(self) -> tuple[int, int]:
        """The entry's, and the packed arguments'."""
        return self.native.address, id(self.packed) + BYTES_DATA_OFFSET


def check(status: int) -> None:
    """Raise KernelError if a kernel returned an error."""
    if status not in OK_STATUSES:
        raise KernelError(f"a compiled kernel raised an exception (Numba's status {status}); kernels must not.")


def bind(kernel: Kernel, *arguments) -> Callable[[], object]:
    """-> a call of kernel(*arguments). It is compiled first if there is no object file for arguments of these types."""
    values: list = []
    signature = signature_of(arguments, values)
    native = kernel.native.get(signature)
    if native is None:
        native = native_kernel(kernel, signature)
    return BoundCall(native, values, arguments) if type(native) is NativeKernel else lambda: kernel(*arguments)


def signature_of(arguments: tuple, values: list) -> tuple:
    """The type of each argument: an ArrayType, "int", "float", or a tuple of these. Append to `values` each number, and the
    address of each array's object."""
    signature = []  # one loop and few calls: it took 10 µs, where the product of a short text takes 50
    for argument in arguments:
        if isinstance(argument, np.ndarray):
            if not argument.flags.c_contiguous:
                shape, strides = argument.shape, argument.strides
                raise KernelError(f"a kernel's arrays are contiguous; got strides {strides} for {shape}.")
            signature.append(ARRAY_TYPES[argument.dtype.char, argument.ndim])
            values.append(id(argument))
        elif isinstance(argument, tuple):
            signature.append(signature_of(argument, values))
        else:
            signature.append("float" if isinstance(argument, float) else "int")
            values.append(argument)
    return tuple(signature)


def native_kernel(kernel: Kernel, signature: tuple) -> NativeKernel | Kernel:
    """The machine code, read from a file or compiled now; the kernel itself if it must be called through Numba."""
    code = object_code(kernel, signature) if runs_natively() else None
    with COMPILE_LOCK:
        if signature not in kernel.native:  # else another thread was faster
            kernel.native[signature] = kernel if code is None else link_object(code, signature)
        return kernel.native[signature]


def object_code(kernel: Kernel, signature: tuple) -> bytes | None:
    """The kernel's object file, compiled now if there is none; None if it cannot be one."""
    code = read_object(kernel.object_path(signature))
    if code is None:
        with compile_lock():  # another process may have compiled it meanwhile
            code = read_object(kernel.object_path(signature)) or compile_and_store(kernel, signature)
    return code


def runs_natively() -> bool:
    """Whether kernels are called without Numba on this platform; it has not been tried on others."""
    from .cpu import ARCH, FUTEX

    return sys.platform == "linux" and ARCH in FUTEX


def compile_and_store(kernel: Kernel, signature: tuple, announced: bool = False) -> bytes | None:
    """-> its object file, which is also stored; None if it cannot be one."""
    from .lowering import compile_object

    if not announced:
        announce()
    code = compile_object(kernel, signature)
    if code is not None:
        store_object(kernel.object_path(signature), code)
    return code


@cache
def announce() -> None:
    """Print, once per process, why this call takes longer."""
    if sys.stderr is not None:
        print("minibert: compiling kernels for this processor.", file=sys.stderr, flush=True)


def link_object(code: bytes, signature: tuple) -> NativeKernel:
    """An object file, compiled for this signature -> machine code that can be called."""
    import llvmlite.binding as llvm

    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), loading_machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address = engine.get_function_address(ENTRY)
    ENGINES.append(engine)
    entry = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_char_p)(address)
    return NativeKernel(entry, address, struct.Struct(struct_format(signature)).pack)


@cache
def loading_machine():
    """The target machine that links object files; it need not be the one that they were compiled for."""
    import llvmlite.binding as llvm

    from .lowering import initialize

    initialize()
    return llvm.Target.from_default_triple().create_target_machine()
