"""Embeddings of fewer bits: 8 bits a component between the least and the greatest of its values, or its sign alone.

int8, uint8       floor((x − least) / ((greatest − least) / 255)), of each component; int8 is that minus 128
binary, ubinary   a bit a component, 1 if it is above 0, eight to a byte; binary is that minus 128
"""

from __future__ import annotations

import numpy as np

from ..errors import DataFileError, InputError, short_repr

PRECISIONS = {"float32": np.float32, "int8": np.int8, "uint8": np.uint8, "binary": np.int8, "ubinary": np.uint8}
NEED_RANGES = ("int8", "uint8")


def quantize(vectors: np.ndarray, precision: str, ranges: np.ndarray | None) -> np.ndarray:
    """vectors (S, D) or (D,), ranges (2, D) for int8 and uint8 -> vectors of a precision."""
    if precision == "float32":
        return vectors.astype(np.float32)
    if precision.endswith("binary"):
        bits = np.packbits(vectors > 0, axis=-1)
        return bits if precision == "ubinary" else (bits.astype(np.int16) - 128).astype(np.int8)
    if ranges is None:  # no embeddings
        return vectors.astype(PRECISIONS[precision])
    least, greatest = ranges
    steps = (greatest - least) / 255
    steps = np.where(steps == 0, 1, steps)  # a component that is the same everywhere
    levels = np.clip(np.floor((vectors - least) / steps), 0, 255)
    return (levels - 128 if precision == "int8" else levels).astype(PRECISIONS[precision])


def check_precision(precision: str) -> None:
    if not isinstance(precision, str) or precision not in PRECISIONS:
        raise InputError(f"precision is one of {', '.join(PRECISIONS)}; got {short_repr(precision)}.")


def read_ranges_file(path: str, width: int) -> np.ndarray:
    """A .npy file of ranges (2, D) -> float32. DataFileError if it cannot be read, or holds something else."""
    try:
        with open(path, "rb") as file:
            ranges = np.lib.format.read_array(file, allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, MemoryError) as error:
        raise DataFileError(f"ranges must be a file that numpy.save wrote; {path!a} cannot be read as one: {error}") from None
    if ranges.shape != (2, width) or ranges.dtype.kind not in "iuf" or not np.isfinite(ranges).all():
        raise DataFileError(
            f"ranges must be finite numbers of shape (2, {width}), least and greatest of each component; {path!a} has "
            f"{ranges.dtype} of shape {ranges.shape}."
        )
    return ranges.astype(np.float32)
