"""How a model is run: at once; or noted as a whole and then made, without Python between one kernel and the next; or made
again as it was noted for texts of the same lengths: one short text, or what comes twice in a row, as windows of a long
text do.

What is computed is `encoder.py`, with the head where that too is made of operations alone, and the bits are the same. The
interpreter takes 1 to 2 ms for a pass of six layers, whose kernels have swept it out of the caches meanwhile: in int8 a
quarter of a short text's time, and 3 % of 512 tokens'.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import NamedTuple

import numpy as np

from minibert.kernels.registry import Ops
from minibert.kernels.runtime.buffer_pool import keepers
from minibert.kernels.runtime.capture import Notes, Program
from minibert.kernels.runtime.thread_count import get_num_threads
from minibert.kernels.runtime.threads import make, make_again, noting

from .packing import Packed

SHORT = 128  # tokens of a text whose pass is kept. A DistilBERT-base's, of all 128 lengths, take 40 MiB
LONG = 1024  # tokens in all of texts whose pass is kept when they come again: a DistilBERT-base's holds 62 to 77 MiB
FEW = 8  # passes of such texts, which share those
Fields = dict[str, np.ndarray]


class Pass(NamedTuple):
    """A noted pass."""

    packed: Packed  # its own, which each text is written into; bounds are alike, and stay
    program: Program
    found: Fields

    def again(self, packed: Packed) -> Fields:
        for own, given in zip(self.packed[:3], packed[:3]):
            own[:] = given
        make_again(self.program)
        return {name: array.copy() for name, array in self.found.items()}


def is_short(packed: Packed) -> bool:
    return len(packed.bounds) == 2 and len(packed.token_ids) <= SHORT


class Passes:
    """A model's passes, by their texts' lengths. They share their buffers, and so are made one at a time: a second thread
    that comes meanwhile makes its pass as if there were none."""

    def __init__(self):
        self.kept: dict[tuple, Pass | None] = {}  # (bounds, threads, *kind) -> a pass; None where it cannot be made again
        self.held: dict[int, int] = {}  # what they hold of each buffer
        self.large = 0  # how many of them are not of one short text
        self.last: tuple | None = None  # the key of such texts that came last
        self.lock = Lock()

    def clear(self) -> None:
        with self.lock:
            self.forget()

    def forget(self) -> None:
        self.kept, self.held, self.large = {}, {}, 0

    def run(self, compute: Callable[[Packed], Fields], packed: Packed, ops: Ops, kind: tuple) -> Fields:
        """compute(packed), in which nothing but operations of `ops` looks at a result. All of a kind compute the same."""
        if not ops.capturable:
            return compute(packed)
        key = self.key_of(packed, kind)
        if key is not None and self.lock.acquire(blocking=False):
            try:
                kept = self.alike(compute, packed, key)
                if kept is not None:
                    return kept.again(packed)
            finally:
                self.lock.release()
        with noting() as notes:
            found = compute(packed)
            make(notes)
        return found

    def key_of(self, packed: Packed, kind: tuple) -> tuple | None:
        """What passes that are made again have in common; None where it is not worth while to keep one."""
        tokens = len(packed.token_ids)
        if packed.key_mask is not None or not 0 < tokens <= LONG:
            return None
        key = packed.bounds.tobytes(), get_num_threads(), *kind
        if is_short(packed):
            return key
        again, self.last = key == self.last, key
        return key if again or key in self.kept else None

    def alike(self, compute: Callable[[Packed], Fields], packed: Packed, key: tuple) -> Pass | None:
        """A pass for texts as long as these; None where it cannot be made again."""
        if key not in self.kept:
            keepers.add(self)
            if not is_short(packed):
                if self.large == FEW:
                    self.forget()
                self.large += 1
            self.kept[key] = self.note(compute, packed)
        return self.kept[key]

    def note(self, compute: Callable[[Packed], Fields], packed: Packed) -> Pass | None:
        own = packed._replace(**{name: getattr(packed, name).astype(np.int64) for name in packed._fields[:4]})
        with noting(Notes(self.held)) as notes:
            found = compute(own)
            found = dict(zip(found, notes.views(tuple(found.values()))))
        if not notes.whole or not notes.calls:  # someone has looked at a result; or calls are not machine code
            return None
        self.held = notes.held
        return Pass(own, Program(notes.calls, notes.counters), found)
