"""How a model runs: immediately; or captured as a whole and then executed, without Python between one kernel and the next;
or, for one short text, replayed if a text of the same length was captured before.

The idea is a CUDA graph's: static inputs, a list of commands, outputs. `encoder.py` says what is computed; a head is
captured too if it only calls operations. The bits are the same.

Without capture the interpreter takes 1 to 2 ms for a pass of six layers, because the kernels evict it from the caches.
Replay saves recording the calls too: in int8, DistilBERT-base takes 4.66 ms of one thread for 16 tokens instead of 6.20, and
31.1 ms for 128 tokens instead of 32.7 (AMD EPYC, 2026-11-28). Longer passes gain too little to be kept.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from threading import Lock
from typing import NamedTuple

import numpy as np

from minibert.kernels.runtime.buffer_pool import dependent_caches
from minibert.kernels.runtime.capture import Capture, CommandList
from minibert.kernels.runtime.thread_count import get_num_threads
from minibert.kernels.runtime.threads import capture, execute, replay

from .packing import Packed

MAX_TOKENS = 128  # of a text whose pass is kept. A DistilBERT-base's, of all 128 lengths, take 40 MiB
Fields = dict[str, np.ndarray]


class CapturedPass(NamedTuple):
    """A captured forward pass."""

    static_inputs: Packed  # which each new text is copied into; bounds are always the same
    commands: CommandList
    outputs: Fields

    def replay(self, packed: Packed) -> Fields:
        for static, new in zip(self.static_inputs[:3], packed[:3]):
            static[:] = new
        replay(self.commands)
        return {name: array.copy() for name, array in self.outputs.items()}


class GraphCache:
    """A model's captured passes of short texts, by length. They share buffers, so only one runs at a time: a second thread
    that comes meanwhile captures and executes its pass as if there were no cache."""

    def __init__(self) -> None:
        self.passes: dict[tuple, CapturedPass | None] = {}  # (tokens, threads, method, *arguments); None: cannot be replayed
        self.pinned: dict[int, int] = {}  # id of a buffer -> how many arrays in it belong to these passes
        self.lock = Lock()

    def clear(self) -> None:
        with self.lock:
            self.passes, self.pinned = {}, {}

    def run(self, compute: Callable[..., Fields], packed: Packed, *arguments: Hashable) -> Fields:
        """compute(packed, *arguments), a method of the model, which must read results by capturable operations alone."""
        if is_short_text(packed) and self.lock.acquire(blocking=False):
            try:
                captured = self.get_or_capture(compute, packed, arguments)
                if captured is not None:
                    return captured.replay(packed)
            finally:
                self.lock.release()
        with capture() as recorded:
            outputs = compute(packed, *arguments)
            execute(recorded)
        return outputs

    def get_or_capture(self, compute: Callable[..., Fields], packed: Packed, arguments: tuple) -> CapturedPass | None:
        """The pass for texts of this length; None if it cannot be replayed."""
        key = len(packed.token_ids), get_num_threads(), compute.__name__, *arguments
        if key not in self.passes:
            dependent_caches.add(self)
            self.passes[key] = self.capture_pass(compute, packed, arguments)
        return self.passes[key]

    def capture_pass(self, compute: Callable[..., Fields], packed: Packed, arguments: tuple) -> CapturedPass | None:
        static = packed._replace(**{name: getattr(packed, name).astype(np.int64) for name in packed._fields[:4]})
        with capture(Capture(self.pinned)) as recorded:
            outputs = compute(static, *arguments)
            outputs = dict(zip(outputs, recorded.pin_buffers(tuple(outputs.values()))))
        if not recorded.replayable or not recorded.calls:  # a result was read; or kernels are called through Numba
            return None
        self.pinned = recorded.pinned
        return CapturedPass(static, CommandList(recorded.calls, recorded.counter_blocks), outputs)


def is_short_text(packed: Packed) -> bool:
    return (
        len(packed.bounds) == 2 and packed.key_mask is None and packed.words is None and 0 < len(packed.token_ids) <= MAX_TOKENS
    )
