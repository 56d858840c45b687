"""How a model is run: at once; or noted as a whole and then made, without Python between one kernel and the next; or, for
a short text, made again as it was noted for another of the same length.

What is computed is `encoder.py`, with the head where that too is made of operations alone, and the bits are the same. The
interpreter takes 1 to 2 ms for a pass of six layers, whose kernels have swept it out of the caches meanwhile: a quarter of
a short text's time in int8.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import NamedTuple

import numpy as np

from minibert.kernels.buffers import keepers
from minibert.kernels.noting import Notes
from minibert.kernels.registry import Table
from minibert.kernels.spinning import Program
from minibert.kernels.threads import get_num_threads, make, make_again, noting

from .packing import Packed

SHORT = 128  # tokens of a text whose pass is kept. A DistilBERT-base's, of all 128 lengths, take 40 MiB
Fields = dict[str, np.ndarray]


class Pass(NamedTuple):
    """The noted pass of one text."""

    packed: Packed  # its own, which each text is written into; bounds are of one length, and stay
    program: Program
    found: Fields

    def again(self, packed: Packed) -> Fields:
        for own, given in zip(self.packed[:3], packed[:3]):
            own[:] = given
        make_again(self.program)
        return {name: array.copy() for name, array in self.found.items()}


class Passes:
    """A model's passes of short texts, by length. They share their buffers, and so are made one at a time: a second thread
    that comes meanwhile makes its pass as for a longer text."""

    def __init__(self):
        self.kept: dict[tuple, Pass | None] = {}  # (tokens, threads, *kind) -> a pass; None where it cannot be made again
        self.held: dict[int, int] = {}  # what they hold of each buffer
        self.lock = Lock()

    def clear(self) -> None:
        with self.lock:
            self.kept, self.held = {}, {}

    def run(self, compute: Callable[[Packed], Fields], packed: Packed, ops: Table, kind: tuple) -> Fields:
        """compute(packed), in which nothing but operations of `ops` looks at a result. All of a kind compute the same."""
        if not ops.noted:
            return compute(packed)
        short = len(packed.kept) == 1 and len(packed.token_ids) <= SHORT and packed.key_mask is None
        if short and self.lock.acquire(blocking=False):
            try:
                kept = self.alike(compute, packed, kind)
                if kept is not None:
                    return kept.again(packed)
            finally:
                self.lock.release()
        with noting() as notes:
            found = compute(packed)
            make(notes)
        return found

    def alike(self, compute: Callable[[Packed], Fields], packed: Packed, kind: tuple) -> Pass | None:
        """A pass for texts of as many tokens as this one; None where it cannot be made again."""
        key = len(packed.token_ids), get_num_threads(), *kind
        if key not in self.kept:
            keepers.add(self)
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
