"""Before the first pass with some kernels: compile all that it will call, unless this machine has their object files.

A tiny model tells which these are: its pass is recorded and not run. A kernel serves models of every size. On AMX, rare ones (heads
of no multiple of 32, in int8 a width of no multiple of 64) are not for tiles; what they call is compiled when they call it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minibert.kernels.catalog import Ops, make_ops
from minibert.kernels.runtime.capture import thread_state
from minibert.kernels.runtime.process_lock import ProcessLock

PASS_LOCK = ProcessLock()


def ensure_compiled(ops: Ops, head_size: int | None = None) -> None:
    """Make sure that each kernel of `ops` has an object file, of a model with heads of this size or of any. Do nothing if some
    operation runs through Numba or NumPy, nor while calls are recorded: by `needed_kernels`, which asks for them."""
    if thread_state.capture is not None:
        return
    with PASS_LOCK:
        if not ops.compiled and ops.capturable:
            from minibert.kernels.runtime.precompile import precompile

            precompile(needed_kernels(ops, head_size), __name__, ops.spec)
        ops.compiled = True


def compile_for_all_sizes(kernels: Any) -> None:
    """`ensure_compiled` by the name of a preset or a mapping, for heads of any size."""
    ensure_compiled(make_ops(kernels))


def needed_kernels(ops: Ops, head_size: int | None = None) -> list[tuple]:
    """(kernel, signature) of all that a model with these operations calls, if its heads have this size; None: of any. [] if kernels
    are called through Numba here."""
    from minibert.kernels.compiler.call import runs_natively
    from minibert.kernels.ops.quantization import quantize_table
    from minibert.kernels.runtime.capture import KernelList
    from minibert.kernels.runtime.threads import capture
    from minibert.kernels.runtime.worker_pool import WorkerPool

    from .base import rebuild
    from .encoder import encode
    from .quantized import computes_in_int8
    from .tiny import TinyClassifier, TinyConfig

    if not runs_natively():
        return []
    config = TinyConfig()
    shapes = {**TinyClassifier.encoder_shapes(config), **TinyClassifier.head_shapes(config)}
    zeros = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    recorded = KernelList()
    with capture(recorded), np.errstate(all="ignore"):
        model = rebuild(TinyClassifier, config, zeros, ops.spec)
        packed = model.pack([[1, 2, 3], [4, 5, 0]], attention_mask=[[1, 1, 1], [1, 1, 0]])
        # On AMX, attention takes heads of 64 in bf16, and others in float32.
        forms = {ops.attention_takes_rounded(size) for size in ((64, 32) if head_size is None else (head_size,))}
        for takes_rounded in forms:
            encoder = model.encoder._replace(takes_rounded=takes_rounded)
            model.head_outputs(packed, encode(packed, encoder, model.kernels, cls_only=True))
        if computes_in_int8(model.kernels, model.architecture):  # an int8 checkpoint's words
            words, *others = model.encoder.tables
            tables = (quantize_table(words), *others)
            model.kernels.embed(*packed[:3], tables, *model.encoder.embedding_norm)
    return [*recorded.kernels, *WorkerPool.SIGNATURES.items()]


def help_compile(spec: str) -> None:
    """What a helper process of `kernels/runtime/precompile.py` runs; `spec` is `Ops.spec` as JSON."""
    import json

    from minibert.kernels.runtime.precompile import help_compile

    help_compile(needed_kernels(make_ops(json.loads(spec))))
