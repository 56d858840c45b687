"""Atomics for threads that share memory: acquire, release, compare-exchange, spin, futex; and a call of a native address."""

from __future__ import annotations

import os

from llvmlite import ir

from ..compiler.cpu import ARCH, FUTEX
from ..compiler.intrinsic import intrinsic
from ..compiler.toolchain import types
from .emit import ADDRESS, INT, WORD, call

SPIN_HINTS = {"x86_64": ("llvm.x86.sse2.pause",), "arm": ("llvm.aarch64.hint", WORD(1))}  # hint 1 is "yield"


def element_address(context, builder, signature, values):
    """The address of array[index], from an intrinsic's first two arguments."""
    return builder.gep(context.make_array(signature.args[0])(context, builder, values[0]).data, [values[1]])


@intrinsic
def load_acquire(typing, array, index):
    """array[index]; later reads see everything written before the `store_release` that wrote it."""

    def emit(context, builder, signature, values):
        return builder.load_atomic(element_address(context, builder, signature, values), "acquire", 8)

    return types.int64(array, types.int64), emit


@intrinsic
def store_release(typing, array, index, value):
    """array[index] = value, visible to other threads after everything this thread wrote before."""

    def emit(context, builder, signature, values):
        builder.store_atomic(values[2], element_address(context, builder, signature, values), "release", 8)
        return context.get_dummy_value()

    return types.none(array, types.int64, types.int64), emit


@intrinsic
def compare_exchange(typing, array, index, old, new):
    """array[index] = new if it was `old`, atomically -> whether it was."""

    def emit(context, builder, signature, values):
        address = element_address(context, builder, signature, values)
        return builder.extract_value(builder.cmpxchg(address, values[2], values[3], "seq_cst", "seq_cst"), 1)

    return types.boolean(array, types.int64, types.int64, types.int64), emit


@intrinsic
def spin_hint(typing, spins):
    """Tell the processor that this thread spins (some 10 ns); every 64th time, yield the core to the scheduler."""

    def emit(context, builder, signature, values):
        if ARCH in SPIN_HINTS:
            name, *arguments = SPIN_HINTS[ARCH]
            call(builder, name, ir.VoidType(), *arguments)
        if os.name == "posix":
            with builder.if_then(builder.icmp_unsigned("==", builder.and_(values[0], INT(63)), INT(0))):
                call(builder, "sched_yield", WORD)
        return context.get_dummy_value()

    return types.none(types.int64), emit


FUTEX_WAIT_PRIVATE, FUTEX_WAKE_PRIVATE = 128, 129  # private: among the threads of one process


def futex(context, builder, signature, values, operation: int, value: int):
    """The system call futex(the low 32 bits of array[index], operation, value); `value` is what it waits on, or how many
    threads it wakes."""
    address = builder.ptrtoint(element_address(context, builder, signature, values), INT)
    call(builder, "syscall", INT, INT(FUTEX[ARCH]), address, INT(operation), INT(value), INT(0), INT(0), INT(0))
    return context.get_dummy_value()


@intrinsic
def futex_wait(typing, array, index):
    """Sleep until another thread calls `futex_wake`. Returns at once if array[index] is not 1; may return spuriously."""

    def emit(context, builder, signature, values):
        return futex(context, builder, signature, values, FUTEX_WAIT_PRIVATE, 1)

    return types.none(array, types.int64), emit


@intrinsic
def futex_wake(typing, array, index):
    """Wake one thread that sleeps at array[index]."""

    def emit(context, builder, signature, values):
        return futex(context, builder, signature, values, FUTEX_WAKE_PRIVATE, 1)

    return types.none(array, types.int64), emit


@intrinsic
def call_address(typing, address, packed_args):
    """Call the native function at `address` with a pointer to its packed arguments -> its status (`compiler/call.py`)."""

    def emit(context, builder, signature, values):
        function = builder.inttoptr(values[0], ir.FunctionType(WORD, [ADDRESS]).as_pointer())
        return builder.sext(builder.call(function, [builder.inttoptr(values[1], ADDRESS)]), INT)

    return types.int64(types.int64, types.int64), emit
