"""How near vectors are: each with each, or in pairs. More is nearer; distances are negated.

Vectors are arrays, lists or torch tensors. The result is a torch tensor if one of the two is, else NumPy. float64 stays
float64, integers become it, and float16 is widened to float32.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

import numpy as np

from ..errors import InputError, read_int, short_repr, strict_arguments
from ..models.heads import real_numbers
from ..pipelines.sentence_config import SIMILARITIES, normalized
from ..tensors import as_array, holds_tensors, like

# --- Each with each --------------------------------------------------------------------------------------------------


@strict_arguments
def cos_sim(a, b):
    """a (S, D) or (D,), b (R, D) or (D,) -> (S, R), the cosine of each with each."""
    return compared("cosine", a, b)


@strict_arguments
def pytorch_cos_sim(a, b):
    """The former name of `cos_sim`."""
    return compared("cosine", a, b)


@strict_arguments
def dot_score(a, b):
    """a (S, D) or (D,), b (R, D) or (D,) -> (S, R), dot products."""
    return compared("dot", a, b)


@strict_arguments
def euclidean_sim(a, b):
    """a (S, D) or (D,), b (R, D) or (D,) -> (S, R), Euclidean distances, negated."""
    return compared("euclidean", a, b)


@strict_arguments
def manhattan_sim(a, b):
    """a (S, D) or (D,), b (R, D) or (D,) -> (S, R), sums of absolute differences, negated."""
    return compared("manhattan", a, b)


def compared(name: str, a, b):
    one, other = as_matrix(a, "a"), as_matrix(b, "b")
    check_lengths(one, other)
    return like(a if holds_tensors(a) else b, SIMILARITIES[name](one, other))


# --- In pairs --------------------------------------------------------------------------------------------------------


@strict_arguments
def pairwise_cos_sim(a, b):
    """a (S, D), b (S, D) -> (S,), the cosine of each with its partner."""
    return compared_in_pairs(lambda one, other: (normalized(one) * normalized(other)).sum(axis=-1), a, b)


@strict_arguments
def pairwise_dot_score(a, b):
    """a (S, D), b (S, D) -> (S,), dot products."""
    return compared_in_pairs(lambda one, other: (one * other).sum(axis=-1), a, b)


@strict_arguments
def pairwise_euclidean_sim(a, b):
    """a (S, D), b (S, D) -> (S,), Euclidean distances, negated."""
    return compared_in_pairs(lambda one, other: -np.linalg.norm(one - other, axis=-1), a, b)


@strict_arguments
def pairwise_manhattan_sim(a, b):
    """a (S, D), b (S, D) -> (S,), sums of absolute differences, negated."""
    return compared_in_pairs(lambda one, other: -np.abs(one - other).sum(axis=-1), a, b)


@strict_arguments
def pairwise_angle_sim(x, y):
    """x (S, D), y (S, D) -> (S,), |cosine + sine| with halves of a vector as real and imaginary parts (AnglE, Li and Li 2023)."""
    return compared_in_pairs(angle, x, y)


def angle(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    one, other = normalized(one), normalized(other)
    if one.shape[-1] % 2:  # halves of one length
        padding = [(0, 0)] * (one.ndim - 1) + [(0, 1)]
        one, other = np.pad(one, padding), np.pad(other, padding)
    (real, imaginary), (other_real, other_imaginary) = np.split(one, 2, axis=-1), np.split(other, 2, axis=-1)
    sines = (imaginary * other_real - real * other_imaginary).sum(axis=-1)
    return np.abs((one * other).sum(axis=-1) + sines)


def compared_in_pairs(function: Callable, a, b):
    one, other = as_vectors(a, "a"), as_vectors(b, "b")
    check_lengths(one, other)
    if one.ndim == other.ndim == 2 and len(one) != len(other) and 1 not in (len(one), len(other)):
        raise InputError(f"each vector must have a partner; got {len(one)} and {len(other)}.")
    return like(a if holds_tensors(a) else b, function(*np.broadcast_arrays(one, other)))


# --- One collection --------------------------------------------------------------------------------------------------


@strict_arguments
def normalize_embeddings(embeddings):
    """(S, D) or (D,) -> the same shape, each vector of length 1; zeros stay zeros."""
    return like(embeddings, normalized(as_vectors(embeddings, "embeddings")))


@strict_arguments
def truncate_embeddings(embeddings, truncate_dim: int | None):
    """(..., D) -> (..., truncate_dim), the first components; None keeps all."""
    count = None if truncate_dim is None else read_int("truncate_dim", truncate_dim, 1)
    array = as_array(embeddings, "embeddings")
    if not array.ndim:
        raise InputError(f"embeddings must have an axis of components; got {short_repr(embeddings)}.")
    return like(embeddings, array[..., :count])


def as_vectors(values, name: str) -> np.ndarray:
    """A vector (D,) or several (S, D) -> an array of float32 or float64."""
    vectors = real_numbers(as_array(values, name), name)
    if vectors.ndim not in (1, 2):
        raise InputError(f"{name} must be of shape (D,) or (S, D); got {vectors.shape}.")
    return vectors.astype(np.float32) if vectors.dtype.itemsize < 4 else vectors


def as_matrix(values, name: str) -> np.ndarray:
    """As `as_vectors`, one vector as (1, D)."""
    return np.atleast_2d(as_vectors(values, name))


def check_lengths(one: np.ndarray, other: np.ndarray) -> None:
    if one.shape[-1] != other.shape[-1]:
        raise InputError(f"vectors must be of one length; got {one.shape[-1]} and {other.shape[-1]}.")


# --- By name ---------------------------------------------------------------------------------------------------------


class SimilarityFunction(Enum):
    """The similarities that a SentenceTransformer may have."""

    COSINE = "cosine"
    DOT_PRODUCT = "dot"
    DOT = "dot"  # noqa: PIE796 (an alias, as in sentence-transformers)
    EUCLIDEAN = "euclidean"
    MANHATTAN = "manhattan"

    @classmethod
    def _missing_(cls, value):
        raise InputError(f"the similarity is one of {', '.join(cls.possible_values())}; got {short_repr(value)}.")

    @staticmethod
    def to_similarity_fn(similarity_function) -> Callable:
        """A name or a member -> the function for each with each."""
        return EACH_WITH_EACH[SimilarityFunction(similarity_function)]

    @staticmethod
    def to_similarity_pairwise_fn(similarity_function) -> Callable:
        """A name or a member -> the function for pairs."""
        return IN_PAIRS[SimilarityFunction(similarity_function)]

    @staticmethod
    def possible_values() -> list[str]:
        return [member.value for member in SimilarityFunction]


EACH_WITH_EACH = {
    SimilarityFunction.COSINE: cos_sim,
    SimilarityFunction.DOT_PRODUCT: dot_score,
    SimilarityFunction.EUCLIDEAN: euclidean_sim,
    SimilarityFunction.MANHATTAN: manhattan_sim,
}
IN_PAIRS = {
    SimilarityFunction.COSINE: pairwise_cos_sim,
    SimilarityFunction.DOT_PRODUCT: pairwise_dot_score,
    SimilarityFunction.EUCLIDEAN: pairwise_euclidean_sim,
    SimilarityFunction.MANHATTAN: pairwise_manhattan_sim,
}
