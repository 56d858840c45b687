"""Before the first pass with some kernels: compile all that it will call, where this machine has not done so before.

Which these are is found out by a tiny model, whose pass is taken down and not run: a kernel serves models of every size.
"""

from __future__ import annotations

from threading import Lock

import numpy as np

from minibert.kernels.catalog import make_ops
from minibert.kernels.registry import Ops

from ..config import DistilBertConfig

PASS_LOCK = Lock()


def ensure_compiled(ops: Ops) -> None:
    """Have an object file for each kernel of a table; for a table that runs through Numba or NumPy, do nothing."""
    with PASS_LOCK:
        if not ops.compiled and ops.capturable:
            from minibert.kernels.runtime.precompile import precompile

            precompile(needed_kernels(ops), __name__, ops.wanted)
        ops.compiled = True


def needed_kernels(ops: Ops) -> list[tuple]:
    """(kernel, signature) of all that a model with this table calls; none where kernels are called through Numba."""
    from minibert.kernels.compiler.call import runs_natively
    from minibert.kernels.runtime.capture import KernelList
    from minibert.kernels.runtime.threads import noting
    from minibert.kernels.runtime.worker_pool import Spinners

    from .base import rebuilt
    from .classification import DistilBertForSequenceClassification as Tiny
    from .encoder import encode

    if not runs_natively():
        return []
    config = DistilBertConfig(vocab_size=8, dim=64, n_layers=1, n_heads=1, hidden_dim=64, max_position_embeddings=4)
    shapes = {**Tiny.encoder_shapes(config), **Tiny.head_shapes(config)}
    zeros = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    with noting(KernelList()) as listed, np.errstate(all="ignore"):
        model = rebuilt(Tiny, config, zeros, ops.wanted)
        packed = model.pack([[1, 2, 3], [4, 5, 0]], attention_mask=[[1, 1, 1], [1, 1, 0]])
        model.answer(packed, encode(packed, model.encoder, model.kernels, cls_only=True))
    return [*listed.kernels, *Spinners.SIGNATURES.items()]


def help_compile(wanted: str) -> None:
    """What a helper of `kernels/runtime/precompile.py` runs; `wanted` is JSON of what the table is made of."""
    import json

    from minibert.kernels.runtime.precompile import help_compile

    help_compile(needed_kernels(make_ops(json.loads(wanted))))
