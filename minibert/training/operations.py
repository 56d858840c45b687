"""Which operations a training computes with: the kernels of a preset, for parameters of one type."""

from __future__ import annotations

from functools import cache

import numpy as np

from minibert.kernels.catalog import TrainingOps, make_training_ops

from ..errors import InputError, KernelError, short_repr


def choose_ops(kernels: str, dtype: np.dtype) -> TrainingOps:
    """A preset, and the type of the parameters -> the operations. "auto" is "fast" for float32 if Numba is installed, else NumPy."""
    if not isinstance(kernels, str):
        raise KernelError(f"kernels must be a preset's name; got {short_repr(kernels)}.")
    if kernels == "auto":
        try:
            return training_ops("fast" if dtype == np.float32 else "reference")
        except KernelError:  # no Numba
            return training_ops("reference")
    ops = training_ops(kernels)
    if dtype != np.float32 and ops.preset != "reference":
        raise InputError(f"kernels={kernels!r} computes in float32, but the parameters are {dtype}; leave kernels out.")
    return ops


@cache
def training_ops(kernels: str) -> TrainingOps:
    return make_training_ops(kernels)
