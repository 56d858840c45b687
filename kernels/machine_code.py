"""A kernel's machine code, kept in a file and called without Numba.

Importing Numba and calling one function out of its cache takes half a second and 90 MiB; reading machine code back with
llvmlite, which is Numba's assembler, a tenth of that. From the outside in:

    bind(kernel, x, y)   a call that any thread may make, without the interpreter's lock
    words                the arguments as 64-bit words: an array's address as an object, a number as it is
    entry                a function of the words' address, in LLVM's language: it reads the arrays' places and shapes
                         where NumPy keeps them, and calls the kernel as Numba compiled it
    object file          both, in the cache's folder, under a name made of all that it depends on

Only a kernel that allocates and returns nothing can be kept so; any other is called through Numba (`jit.py`).
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import struct
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minibert.errors import KernelError, ModelFileError
from minibert.files import write_whole

from .jit import COMPILER, Kernel, warn_of_no_folder

ENTRY = "minibert_kernel"  # the entry's name in each object file
FINE = (0, -2)  # what Numba's functions return after `return` and at their end
HEAD = object.__basicsize__  # bytes before an array's own fields: data, rank, dimensions, strides


class ArrayKind(NamedTuple):
    dtype: str
    rank: int


KINDS = {(char, rank): ArrayKind(char, rank) for char in np.typecodes["All"] for rank in range(5)}  # made once: some are
# looked for in each call


class Code(NamedTuple):
    """A kernel for arguments of certain kinds, as machine code."""

    entry: Callable  # (the words) -> status
    address: int  # the entry's
    pack: Callable  # (the words as numbers) -> the words


class Call:
    """A kernel and the words of its arguments, which live as long as the call."""

    __slots__ = ("code", "words", "arguments")

    def __init__(self, code: Code, words: list, arguments: tuple):
        self.code, self.words, self.arguments = code, code.pack(*words), arguments

    def __call__(self) -> None:
        check(self.code.entry(self.words))

    @property
    def addresses(self) -> tuple[int, int]:
        """Of the entry, and of the words it takes."""
        return self.code.address, id(self.words) + WORDS_AT


WORDS_AT = bytes.__basicsize__ - 1  # where the content of a bytes object begins


def check(status: int) -> None:
    """KernelError where a kernel came to no good end."""
    if status not in FINE:
        raise KernelError(f"a compiled kernel raised an exception (Numba's status {status}); kernels must not.")


def bind(kernel: Kernel, *arguments) -> Callable[[], object]:
    """-> a call of kernel(*arguments). Numba compiles the kernel first where no file has it for such arguments."""
    words: list = []
    kinds = kinds_of(arguments, words)
    code = kernel.codes.get(kinds)
    if code is None:
        with COMPILER:
            code = kernel.codes.get(kinds) or machine_code(kernel, kinds)
            kernel.codes[kinds] = code
    return Call(code, words, arguments) if type(code) is Code else lambda: kernel(*arguments)


def kinds_of(arguments: tuple, words: list) -> tuple:
    """What a kernel is compiled for: an array's dtype and rank, "int", "float", or a tuple of these, for each argument.
    `words` gets the number that each is, or is found by."""
    kinds = []  # one loop and few calls: a short text's product takes some 50 µs, and this was 10
    for argument in arguments:
        if isinstance(argument, np.ndarray):
            if not argument.flags.c_contiguous:
                shape, strides = argument.shape, argument.strides
                raise KernelError(f"a kernel's arrays are contiguous; got strides {strides} for {shape}.")
            kinds.append(KINDS[argument.dtype.char, argument.ndim])
            words.append(id(argument))
        elif isinstance(argument, tuple):
            kinds.append(kinds_of(argument, words))
        else:
            kinds.append("float" if isinstance(argument, float) else "int")
            words.append(argument)
    return tuple(kinds)


def pattern_of(kinds: tuple) -> str:
    """The words of arguments of these kinds, as `struct` has them."""
    return "".join([pattern_of(kind) if type(kind) is tuple else "d" if kind == "float" else "q" for kind in kinds])


def machine_code(kernel: Kernel, kinds: tuple) -> Code | Kernel:
    """Its code, from a file or from Numba; the kernel itself where it must be called through Numba."""
    from .vectors import FUTEX, MACHINE

    if sys.platform != "linux" or MACHINE not in FUTEX:  # nobody has tried
        return kernel
    name, version = file_name(kernel, kinds)
    kept = read(f"{name}.{version}.o")
    if kept is None:
        kept = compile_entry(kernel, kinds)
        if kept is None:
            return kernel
        keep(name, f"{name}.{version}.o", kept)
    entry, address = load(kept)
    return Code(entry, address, struct.Struct(pattern_of(kinds)).pack)


# The cache's files


def folders() -> Iterator[Path]:
    """Where kernels may be kept, as Numba has it: NUMBA_CACHE_DIR, beside the sources, or the user's own cache."""
    named = os.environ.get("NUMBA_CACHE_DIR")
    if named:
        yield Path(named)
        return
    yield Path(__file__).parent.resolve() / "__pycache__"
    yield Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minibert"


def file_name(kernel: Kernel, kinds: tuple) -> tuple[str, str]:
    """-> a name for this kernel, its arguments and the machine, and one for the sources it is compiled from."""
    import llvmlite

    from .vectors import CPU, FEATURES

    machine = (kinds, kernel.options, CPU, sorted(FEATURES), llvmlite.__version__, HEAD, np.intp(0).itemsize)
    return f"{kernel.file}.{kernel.__name__}.{digest(machine)}", kernel.stamp


def digest(value) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


def read(name: str) -> bytes | None:
    """A kept object file, if it is whole."""
    for folder in folders():
        try:
            found = (folder / name).read_bytes()
        except OSError:
            continue
        if hashlib.sha256(found[32:]).digest() == found[:32]:
            return found[32:]
    return None


def keep(name: str, file: str, code: bytes) -> None:
    """Write it in the first folder that can be written, in the place of those that other sources made."""
    for folder in folders():
        try:
            write_whole(folder / file, lambda aside: aside.write_bytes(hashlib.sha256(code).digest() + code))
        except (OSError, ModelFileError):
            continue
        for old in folder.glob(f"{name}.*.o"):
            if old.name != file:
                old.unlink(missing_ok=True)
        return
    warn_of_no_folder()


# LLVM


def load(code: bytes) -> tuple[Callable, int]:
    """An object file -> its entry, as a function of the words, and the entry's address."""
    import llvmlite.binding as llvm

    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target_machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address = engine.get_function_address(ENTRY)
    entry = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_char_p)(address)
    entry.engine = engine  # which owns the memory
    return entry, address


@cache
def target_machine():
    import llvmlite.binding as llvm

    for prepare in (llvm.initialize, llvm.initialize_native_target, llvm.initialize_native_asmprinter):
        try:
            prepare()
        except RuntimeError:  # newer versions of llvmlite have done it already, and say so
            pass
    return llvm.Target.from_default_triple().create_target_machine()


@cache
def announce() -> None:
    print("minibert: compiling kernels for this processor, once; it takes some ten seconds.", file=sys.stderr, flush=True)


def compile_entry(kernel: Kernel, kinds: tuple) -> bytes | None:
    """Have Numba compile the kernel and put the entry before it -> an object file; None where it cannot be kept."""
    announce()
    import numba
    from numba.core.compiler_lock import global_compiler_lock

    alone = {"_nrt": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}  # no allocation, no Python objects
    dispatcher = numba.njit(**{**kernel.options, **alone})(kernel.with_names_compiled())
    signature = tuple(map(numba_type, kinds))
    try:
        dispatcher.compile(signature)
    except numba.core.errors.NumbaError:
        return None  # it allocates; or is wrong, which calling it through Numba will say
    compiled = dispatcher.overloads[signature]
    library = compiled.target_context.codegen().create_library(ENTRY)
    with global_compiler_lock:
        library.enable_object_caching()
        library.add_ir_module(entry_module(compiled, kinds))
        library.add_linking_library(compiled.library)
        library.finalize()
    called = set(re.findall(r"^declare [^@]*@\"?([\w.$]+)", library.get_llvm_str(), re.M))
    process = ctypes.CDLL(None)
    if not all(name.startswith("llvm.") or hasattr(process, name) for name in called):
        return None
    return library._get_compiled_object()


def numba_type(kind):
    from numba import types
    from numba.np.numpy_support import from_dtype

    if kind in ("int", "float"):
        return types.int64 if kind == "int" else types.float64
    if isinstance(kind, ArrayKind):
        return types.Array(from_dtype(np.dtype(kind.dtype)), kind.rank, "C")
    return types.Tuple([numba_type(part) for part in kind])


def entry_module(compiled, kinds: tuple):
    """minibert_kernel(words) -> status, as a module of LLVM's language.

    Numba passes an array as two pointers for its owner (none here), its size, an item's size, the address of its data,
    its shape and its strides, each by itself.
    """
    from llvmlite import ir

    word, byte = ir.IntType(64), ir.IntType(8).as_pointer()
    context = compiled.target_context
    kernel_type = context.call_conv.get_function_type(compiled.fndesc.restype, compiled.fndesc.argtypes)
    module = context.codegen()._create_empty_module(ENTRY)
    kernel = ir.Function(module, kernel_type, compiled.fndesc.llvm_func_name)
    entry = ir.Function(module, ir.FunctionType(ir.IntType(32), [word.as_pointer()]), ENTRY)
    builder = ir.IRBuilder(entry.append_basic_block())

    def field(start, place, kind=word):  # the value that stands so many bytes after an address
        at = builder.gep(builder.inttoptr(start, byte), [word(place)])
        return builder.load(builder.bitcast(at, kind.as_pointer()))

    def leaves(kinds) -> Iterator:
        for kind in kinds:
            if kind in ("int", "float"):
                yield builder.load(builder.bitcast(next(places), (word if kind == "int" else ir.DoubleType()).as_pointer()))
            elif isinstance(kind, ArrayKind):
                yield from array_leaves(builder.load(next(places)), np.dtype(kind.dtype).itemsize, kind.rank)
            else:
                yield from leaves(kind)

    def array_leaves(array, itemsize, rank) -> Iterator:
        data, dimensions, strides = (field(array, HEAD + offset) for offset in (0, 16, 24))
        shape = [field(dimensions, 8 * axis) for axis in range(rank)]
        size = word(1)
        for length in shape:
            size = builder.mul(size, length)
        yield from (word(0), word(0), size, word(itemsize), data, *shape)
        yield from (field(strides, 8 * axis) for axis in range(rank))

    places = (builder.gep(entry.args[0], [word(number)]) for number in range(1 << 16))
    outputs = [builder.alloca(kind.pointee) for kind in kernel_type.args[:2]]  # what it returns, and its exception
    inputs = [
        builder.inttoptr(leaf, kind) if isinstance(kind, ir.PointerType) else leaf
        for leaf, kind in zip(leaves(kinds), kernel_type.args[2:], strict=True)
    ]
    builder.ret(builder.call(kernel, [*outputs, *inputs]))
    return module
