"""What threads that share memory say to one another: values that all see in one order, a pause, sleep; a call of kept code."""

from __future__ import annotations

import os

from llvmlite import ir

from ..compiler.cpu import ARCH, FUTEX
from ..compiler.intrinsic import intrinsic
from ..compiler.toolchain import types
from .emit import ADDRESS, INT, WORD, call

PAUSES = {"x86_64": ("llvm.x86.sse2.pause",), "arm": ("llvm.aarch64.hint", WORD(1))}  # hint 1 is "yield"


def place_in(context, builder, signature, values):
    """The address of box[index], from an intrinsic's first two arguments."""
    return builder.gep(context.make_array(signature.args[0])(context, builder, values[0]).data, [values[1]])


@intrinsic
def load_acquire(typing, box, index):
    """box[index], and after it whatever was written before it was put there."""

    def emit(context, builder, signature, values):
        return builder.load_atomic(place_in(context, builder, signature, values), "acquire", 8)

    return types.int64(box, types.int64), emit


@intrinsic
def store_release(typing, box, index, value):
    """box[index] = value, after whatever was written before."""

    def emit(context, builder, signature, values):
        builder.store_atomic(values[2], place_in(context, builder, signature, values), "release", 8)
        return context.get_dummy_value()

    return types.none(box, types.int64, types.int64), emit


@intrinsic
def compare_exchange(typing, box, index, old, new):
    """box[index] = new if it was old, in one step that no other thread comes into; whether it was."""

    def emit(context, builder, signature, values):
        place = place_in(context, builder, signature, values)
        return builder.extract_value(builder.cmpxchg(place, values[2], values[3], "seq_cst", "seq_cst"), 1)

    return types.boolean(box, types.int64, types.int64, types.int64), emit


@intrinsic
def spin_hint(typing, turn):
    """Wait a moment, some ten nanoseconds; every 64th turn, let another thread have this core if one wants it."""

    def emit(context, builder, signature, values):
        if ARCH in PAUSES:
            name, *arguments = PAUSES[ARCH]
            call(builder, name, ir.VoidType(), *arguments)
        if os.name == "posix":
            with builder.if_then(builder.icmp_unsigned("==", builder.and_(values[0], INT(63)), INT(0))):
                call(builder, "sched_yield", WORD)
        return context.get_dummy_value()

    return types.none(types.int64), emit


WAIT, WAKE = 128, 129  # among the threads of one process


def futex(context, builder, signature, values, wanted: int, operation: int):
    """Linux's futex(the low word of box[index], operation, a value or a number of threads)."""
    place = builder.ptrtoint(place_in(context, builder, signature, values), INT)
    call(builder, "syscall", INT, INT(FUTEX[ARCH]), place, INT(operation), INT(wanted), INT(0), INT(0), INT(0))
    return context.get_dummy_value()


@intrinsic
def futex_wait(typing, box, index):
    """Until another thread wakes those who sleep here; at once where box[index] is not 1, and now and then for no reason."""

    def emit(context, builder, signature, values):
        return futex(context, builder, signature, values, 1, WAIT)

    return types.none(box, types.int64), emit


@intrinsic
def futex_wake(typing, box, index):
    """The thread that sleeps at box[index]."""

    def emit(context, builder, signature, values):
        return futex(context, builder, signature, values, 1, WAKE)

    return types.none(box, types.int64), emit


@intrinsic
def call_address(typing, code, words):
    """The function at the address `code`, called with the address `words` -> its status (`compiler/call.py`)."""

    def emit(context, builder, signature, values):
        function = builder.inttoptr(values[0], ir.FunctionType(WORD, [ADDRESS]).as_pointer())
        return builder.sext(builder.call(function, [builder.inttoptr(values[1], ADDRESS)]), INT)

    return types.int64(types.int64, types.int64), emit
