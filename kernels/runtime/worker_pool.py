"""Helpers that are there at once: for some time after a call each watches a box for the next one, and so need not be woken.

Calls come in a list, which is gone through here and not in Python: between two kernels that have filled the caches, the
interpreter's own code and objects must be fetched anew, and what takes it 10 µs elsewhere takes 50 to 150.

Waking a thread takes some 50 µs, which is what a product of a short text takes in all; a call handed over like this costs
3 µs more than one made alone (Zen 4). A box is a row of numbers that caller and helper both look at; in it stands whose
turn it is:

    FREE -> RESERVED -> OFFERED -> TAKEN -> DONE -> FREE      a caller offers a call, a helper takes it and makes it
                        OFFERED ----------------> FREE        or comes too late, and the caller takes it back

So a helper that is busy for another caller, or sleeps, is never waited for. `threads.py` has the threads themselves.
"""

from __future__ import annotations

import threading

import numpy as np

from ..compiler.call import OK_STATUSES, bind, check
from ..compiler.jit import jit
from ..compiler.trampoline import ArrayType
from ..simd.atomics import call_address, compare_exchange, futex_wait, futex_wake, load_acquire, spin_hint, store_release
from .capture import Program

STATE, CODE, WORDS, STATUS, ASLEEP = range(5)
SIZE = 16  # numbers of a box: two lines of the cache, which no other box shares
FREE, RESERVED, OFFERED, TAKEN, DONE = range(5)
PATIENCE = 60_000  # looks at a box before its helper sleeps, 2 ms (Zen 4): longer than Python takes between two passes


@jit(nogil=True, error_model="numpy")
def lead(boxes, calls, result):
    """Make one call (code, words, helpers) after another: offer it to the first boxes, make it, and wait for the helpers
    that took it. The result is the first bad status, or the last call's."""
    for code, words, count in calls:
        offered = 0
        for number in range(min(count, len(boxes))):
            box = boxes[number]
            if compare_exchange(box, STATE, FREE, RESERVED):
                box[CODE], box[WORDS] = code, words
                compare_exchange(box, STATE, RESERVED, OFFERED)  # before it is looked whether someone sleeps
                offered |= 1 << number
                if compare_exchange(box, ASLEEP, 1, 0):
                    futex_wake(box, ASLEEP)
        status = call_address(code, words)
        for number in range(min(count, len(boxes))):
            box, turn = boxes[number], 0
            if offered >> number & 1 and not compare_exchange(box, STATE, OFFERED, FREE):
                while load_acquire(box, STATE) != DONE:
                    turn += 1
                    spin_hint(turn)
                if box[STATUS] not in OK_STATUSES:
                    status = box[STATUS]
                store_release(box, STATE, FREE)
        result[0] = status
        if status not in OK_STATUSES:
            return


@jit(nogil=True, error_model="numpy")
def serve(box, patience):
    """Make whatever call is offered in this box, and sleep when none has been for some time; for ever."""
    turn = 0
    while True:
        if load_acquire(box, STATE) == OFFERED and compare_exchange(box, STATE, OFFERED, TAKEN):
            box[STATUS] = call_address(box[CODE], box[WORDS])
            store_release(box, STATE, DONE)
            turn = 0
        turn += 1
        spin_hint(turn)
        if turn > patience:
            compare_exchange(box, ASLEEP, 0, 1)
            if load_acquire(box, STATE) != OFFERED:  # else its caller may have looked too early to wake anyone
                futex_wait(box, ASLEEP)
            compare_exchange(box, ASLEEP, 1, 0)
            turn = 0


class Spinners:
    """Threads that serve boxes; started when first needed."""

    MOST = 64
    SIGNATURES = {lead: (ArrayType("l", 2), ArrayType("l", 2), ArrayType("l", 1)), serve: (ArrayType("l", 1), "int")}

    def __init__(self):
        self.boxes = np.zeros((self.MOST, SIZE), np.int64)
        self.count = 0
        self.starting = threading.Lock()

    def ensure(self, count: int) -> None:
        with self.starting:
            for number in range(self.count, count):
                call = bind(serve, self.boxes[number], PATIENCE)
                threading.Thread(target=call, daemon=True, name=f"minibert-{number}").start()
                self.count += 1

    def share(self, program: Program) -> None:
        """Make its calls, together with helpers."""
        if self.count < min(program.helpers, self.MOST):
            self.ensure(min(program.helpers, self.MOST))
        if program.led[0] is not self.boxes:
            result = np.zeros(1, np.int64)
            program.led = self.boxes, result, bind(lead, self.boxes, program.listed, result)
        _, result, call = program.led
        call()
        check(int(result[0]))
