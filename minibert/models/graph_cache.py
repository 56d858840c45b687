"""How a model runs: immediately; or captured as a whole and then executed, without Python between one kernel and the next;
or replayed, if texts of the same lengths were captured before.

The passes of short texts are kept, one for each length. Longer ones are kept if the same lengths come twice in a row, as the
windows of a long text do. The idea is a CUDA graph's: static inputs, a list of commands, outputs.

`encoder.py` says what is computed; a head is captured too if it only calls operations. The bits are the same. Without
capture the interpreter takes 1 to 2 ms for a pass of six layers, because the kernels evict it from the caches.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import NamedTuple

import numpy as np

from minibert.kernels.registry import Ops
from minibert.kernels.runtime.buffer_pool import dependent_caches
from minibert.kernels.runtime.capture import Capture, CommandList
from minibert.kernels.runtime.thread_count import get_num_threads
from minibert.kernels.runtime.threads import capture, execute, replay

from .packing import Packed

MAX_SHORT_TOKENS = 128  # of one text, whose pass is kept. A DistilBERT-base's, of all 128 lengths, take 40 MiB
MAX_TOKENS = 1024  # of all texts of a longer pass that is kept: a DistilBERT-base's holds 62 to 77 MiB
MAX_LONG_PASSES = 8  # which share those
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


def is_short(packed: Packed) -> bool:
    return len(packed.bounds) == 2 and len(packed.token_ids) <= MAX_SHORT_TOKENS


class GraphCache:
    """A model's captured passes, by the lengths of their texts. They share buffers, so only one runs at a time: a second
    thread that comes meanwhile captures and executes its pass as if there were no cache."""

    def __init__(self):
        self.passes: dict[tuple, CapturedPass | None] = {}  # (bounds, threads, *computation); None: cannot be replayed
        self.pinned: dict[int, int] = {}  # id of a buffer -> how many arrays in it belong to these passes
        self.long_passes = 0  # how many of them are not of one short text
        self.last_key: tuple | None = None  # of the last long pass
        self.lock = Lock()

    def clear(self) -> None:
        with self.lock:
            self.drop_passes()

    def drop_passes(self) -> None:
        self.passes, self.pinned, self.long_passes = {}, {}, 0

    def run(self, compute: Callable[[Packed], Fields], packed: Packed, ops: Ops, computation: tuple) -> Fields:
        """compute(packed), which must read results by operations of `ops` alone. `computation` names what it computes."""
        if not ops.capturable:
            return compute(packed)
        key = self.cache_key(packed, computation)
        if key is not None and self.lock.acquire(blocking=False):
            try:
                captured = self.get_or_capture(compute, packed, key)
                if captured is not None:
                    return captured.replay(packed)
            finally:
                self.lock.release()
        with capture() as recorded:
            outputs = compute(packed)
            execute(recorded)
        return outputs

    def cache_key(self, packed: Packed, computation: tuple) -> tuple | None:
        """What passes must share for one to be replayed for the other; None for a pass that is not worth keeping."""
        tokens = len(packed.token_ids)
        if packed.key_mask is not None or not 0 < tokens <= MAX_TOKENS:
            return None
        key = packed.bounds.tobytes(), get_num_threads(), *computation
        if is_short(packed):
            return key
        repeated, self.last_key = key == self.last_key, key
        return key if repeated or key in self.passes else None

    def get_or_capture(self, compute: Callable[[Packed], Fields], packed: Packed, key: tuple) -> CapturedPass | None:
        """The pass for texts of these lengths; None if it cannot be replayed."""
        if key not in self.passes:
            dependent_caches.add(self)
            if not is_short(packed):
                if self.long_passes == MAX_LONG_PASSES:
                    self.drop_passes()
                self.long_passes += 1
            self.passes[key] = self.capture_pass(compute, packed)
        return self.passes[key]

    def capture_pass(self, compute: Callable[[Packed], Fields], packed: Packed) -> CapturedPass | None:
        static = packed._replace(**{name: getattr(packed, name).astype(np.int64) for name in packed._fields[:4]})
        with capture(Capture(self.pinned)) as recorded:
            outputs = compute(static)
            outputs = dict(zip(outputs, recorded.pin_buffers(tuple(outputs.values()))))
        if not recorded.replayable or not recorded.calls:  # a result was read; or kernels are called through Numba
            return None
        self.pinned = recorded.pinned
        return CapturedPass(static, CommandList(recorded.calls, recorded.counter_blocks), outputs)
