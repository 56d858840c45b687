"""`quantize_embeddings`: embeddings of fewer bits. The formulas are in pipelines/embedding_precision.py."""

from __future__ import annotations

import warnings

import numpy as np

from ..errors import InputError, InputTypeError, MinibertWarning, strict_arguments
from ..pipelines.embedding_precision import check_precision, quantize
from .similarity import as_vectors

ENOUGH = 100  # embeddings; the ranges of fewer vary from one sample to the next


@strict_arguments
def quantize_embeddings(embeddings, precision: str, ranges=None, calibration_embeddings=None):
    """(S, D) or (D,) -> NumPy (S, D), or (S, D / 8 rounded up) for binary and ubinary; a list of matrices -> a list.

    `ranges` (2, D) are each component's least and greatest value, for int8 and uint8; else those of
    `calibration_embeddings` (R, D), else of the embeddings themselves, with a MinibertWarning if there are fewer than 100.
    NumPy for torch tensors too, as in sentence-transformers. InputError for one embedding whose ranges nothing says.
    """
    check_precision(precision)
    several = isinstance(embeddings, list) and bool(embeddings) and all(getattr(row, "ndim", 0) == 2 for row in embeddings)
    matrices = [as_floats(matrix, "embeddings") for matrix in (embeddings if several else [embeddings])]
    if several and len({matrix.shape[1] for matrix in matrices}) > 1:
        raise InputError("embeddings must be of one length; got matrices of several.")
    limits = None
    if precision.endswith("int8") and any(map(len, matrices)):
        limits = read_ranges(matrices, precision, ranges, calibration_embeddings)
    quantized = [quantize(matrix, precision, limits) for matrix in matrices]
    return quantized if several else quantized[0]


def read_ranges(matrices: list[np.ndarray], precision: str, ranges, calibration_embeddings) -> np.ndarray:
    """What says the ranges, in this order: the ranges, the calibration embeddings, the embeddings -> (2, D) float32."""
    width = matrices[0].shape[-1]
    if ranges is None:
        if calibration_embeddings is None:
            sample = np.concatenate(matrices) if matrices[0].ndim == 2 else matrices[0]
            check_enough(sample, precision)
        else:
            sample = as_floats(calibration_embeddings, "calibration_embeddings")
        if sample.ndim != 2 or not len(sample):
            raise InputError(f"calibration_embeddings must be of shape (R, D), R at least 1; got {sample.shape}.")
        limits = np.stack([sample.min(axis=0), sample.max(axis=0)])
    else:
        limits = as_floats(ranges, "ranges")
    if limits.shape != (2, width):
        raise InputError(f"ranges must be of shape (2, {width}), least and greatest of each component; got {limits.shape}.")
    return limits.astype(np.float32)


def check_enough(sample: np.ndarray, precision: str) -> None:
    fix = "Pass ranges or calibration_embeddings to quantize_embeddings."
    if sample.ndim == 1 or len(sample) == 1:
        raise InputError(f"one embedding has no ranges for {precision}. {fix}")
    if len(sample) < ENOUGH:
        message = f"the ranges for {precision} come from {len(sample)} embeddings, which is few. {fix}"
        warnings.warn(message, MinibertWarning, stacklevel=5)


def as_floats(values, name: str) -> np.ndarray:
    """Embeddings (S, D) or (D,) -> an array of finite float32 or float64."""
    if getattr(values, "dtype", None) in (np.int8, np.uint8):
        raise InputTypeError(f"{name} must be floats; got {values.dtype}. Are they quantized already?")
    vectors = as_vectors(values, name)
    with np.errstate(over="ignore"):
        finite = np.isfinite(vectors.astype(np.float32)).all()
    if not finite:
        raise InputError(f"{name} must be finite float32 values; got NaN, infinity or a greater one.")
    return vectors
