"""Ids and mask of a padded batch (B, T) -> packed tokens (N,), and the packed answer back: padding is never computed.

    [[101, 7592, 102,   0],      mask [[1, 1, 1, 0],       token_ids  101 7592  102  101 2088  999  102
     [101, 2088, 999, 102]]            [1, 1, 1, 1]]  ->   bounds     0 3 7

A token stays when its mask is 1, or when it is its row's first: heads read that one. Where that first one's mask is 0
it asks, but no token looks at it (`key_mask`). A token keeps the position of its column, as `transformers` has it, so
padding on the left moves positions and changes answers, there and here; `position_ids` says otherwise where wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..config import Architecture
from ..errors import InputError, InputTypeError, brief


class Packed(NamedTuple):
    """N tokens of S sequences; with the row and column each one came from."""

    token_ids: np.ndarray  # (N,)
    type_ids: np.ndarray  # (N,)
    position_ids: np.ndarray  # (N,)
    bounds: np.ndarray  # (S+1,): sequence s is the tokens from bounds[s] to bounds[s+1]
    key_mask: np.ndarray | None  # (N,) bool: whether others look at it; None when all do
    kept: np.ndarray  # (B, T) bool

    @property
    def first(self) -> np.ndarray:
        """The index of each sequence's first token (S,)."""
        return self.bounds[:-1]

    def unpack(self, x: np.ndarray) -> np.ndarray:
        """x (N, D) -> (B, T, D), zeros where padding was."""
        padded = np.zeros((*self.kept.shape, x.shape[1]), x.dtype)
        padded[self.kept] = x
        return padded

    def unpack_squares(self, squares: list[np.ndarray], heads: int) -> np.ndarray:
        """S arrays (H, L, L) -> (B, H, T, T), zeros where padding was."""
        rows, columns = self.kept.shape
        padded = np.zeros((rows, heads, columns, columns), np.float32)
        for row, square in enumerate(squares):
            places = np.flatnonzero(self.kept[row])
            padded[row][:, places[:, None], places] = square
        return padded


def pack(input_ids, attention_mask, token_type_ids, position_ids, made: Architecture) -> Packed:
    """input_ids (B, T) and, where given, the others in its shape; or texts that `encode_packed` made, which have no
    padding to drop -> packed. InputError for what the model cannot take."""
    if hasattr(input_ids, "bounds"):
        given = {"attention_mask": attention_mask, "token_type_ids": token_type_ids, "position_ids": position_ids}
        if any(values is not None for values in given.values()):
            raise InputError(f"texts that are packed have no {', '.join(given)}; pass them alone.")
        return checked(pack_joined(input_ids), made, given=())
    ids = whole_numbers(input_ids, "input_ids")
    if ids.ndim == 1:
        raise InputError(
            f"input_ids must be of shape (B, T), a batch of sequences; got one sequence of shape {ids.shape}. "
            "Add the batch axis: np.array([ids])."
        )
    if ids.ndim != 2 or ids.shape[1] == 0:
        raise InputError(f"input_ids must be of shape (B, T) with T at least 1; got {ids.shape}.")
    kept, key_mask = read_mask(attention_mask, ids.shape)
    if np.logical_and.reduce(kept, axis=None):  # this and what else is short here: NumPy's functions take ten times as
        token_ids, columns = ids.flatten(), np.arange(ids.size) % ids.shape[1]  # long after a pass has filled the caches
        bounds = np.arange(len(ids) + 1) * ids.shape[1]
    else:
        token_ids, columns = ids[kept], kept.nonzero()[1].copy()
        bounds = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
    types = np.zeros(len(token_ids), np.intp) if token_type_ids is None else spread(token_type_ids, kept, "token_type_ids")
    packed = Packed(
        token_ids=token_ids,
        type_ids=types,
        position_ids=columns if position_ids is None else spread(position_ids, kept, "position_ids"),
        bounds=bounds,
        key_mask=key_mask,
        kept=kept,
    )
    others = {"token_type_ids": token_type_ids, "position_ids": position_ids}
    return checked(packed, made, given=[name for name, values in others.items() if values is not None])


def pack_joined(encoding) -> Packed:
    """A PackedEncoding's ids (N,) and bounds (S+1,), as they are -> Packed, each text counting its positions from 0."""
    bounds = np.asarray(encoding.bounds)
    lengths = np.diff(bounds)
    if not len(bounds) or bounds[0] != 0 or bounds[-1] != len(encoding.ids) or lengths.min(initial=0) < 0:
        raise InputError(f"bounds must rise from 0 to {len(encoding.ids)}, the number of ids; got {brief(bounds.tolist())}.")
    if not lengths.all():
        raise InputError("each text must have a token; got one of none. Leave add_special_tokens on, or the text out.")
    return Packed(
        token_ids=encoding.ids,
        type_ids=np.zeros(len(encoding.ids), np.intp),
        position_ids=np.arange(len(encoding.ids)) - np.repeat(bounds[:-1], lengths),
        bounds=bounds,
        key_mask=None,
        kept=np.arange(lengths.max(initial=0)) < lengths[:, None],
    )


def checked(packed: Packed, made: Architecture, given: Sequence[str]) -> Packed:
    """The same, or InputError for an id or a length that the model does not have; types and positions that were not
    `given` count from 0."""
    check_range(packed.token_ids, made.vocabulary, "input_ids", "Was another model's tokenizer used?")
    if "token_type_ids" in given:
        check_range(packed.type_ids, made.types, "token_type_ids", "Was another model's tokenizer used?")
    longest = int(np.maximum.reduce(packed.position_ids, initial=0)) + 1
    if longest > made.positions:
        raise InputError(
            f"a sequence may have {made.positions} tokens, the positions this model has; got {longest}. "
            "Call the tokenizer with truncation=True."
        )
    if "position_ids" in given:
        check_range(packed.position_ids, made.positions, "position_ids", "Positions count from 0.")
    return packed


def whole_numbers(values, name: str) -> np.ndarray:
    """Whatever the caller gave -> an integer array."""
    if values is None:
        raise InputTypeError(f"{name} must be whole numbers of shape (B, T); got None.")
    array = as_array(values, name)
    if array.size == 0:
        array = array.astype(np.intp)
    if not np.issubdtype(array.dtype, np.integer):
        raise InputTypeError(f"{name} must be whole numbers of shape (B, T); got {array.dtype} of shape {array.shape}.")
    return array.astype(np.intp, copy=False)


def as_array(values, name: str) -> np.ndarray:
    try:
        return np.asarray(values)
    except ValueError:
        raise InputError(
            f"{name} must be of one shape (B, T); got rows of different lengths. "
            "Call the tokenizer with padding=True, and give the model its attention_mask too."
        ) from None
    except (TypeError, RuntimeError, OverflowError) as error:  # a tensor that is sparse, on a GPU, or needs gradients
        raise InputTypeError(f"{name} must be dense numbers in memory; got {type(values).__name__}: {error}") from None


def read_mask(values, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray | None]:
    """-> `kept`, and `key_mask`, as Packed has them."""
    if values is None:
        return np.ones(shape, bool), None
    mask = as_array(values, "attention_mask")
    if mask.shape != shape:
        raise InputError(f"attention_mask must have the shape of input_ids, {shape}; got {mask.shape}.")
    numbers = mask.dtype.kind in "biuf"
    looked_at = mask.astype(bool) if numbers else mask
    if not numbers or not np.logical_and.reduce(mask == looked_at, axis=None):
        raise InputError("attention_mask must hold 1 for a token and 0 for padding; got other values.")
    if np.logical_and.reduce(looked_at[:, 0]):
        return looked_at, None
    kept = looked_at.copy()
    kept[:, 0] = True
    return kept, looked_at[kept]


def spread(values, kept: np.ndarray, name: str) -> np.ndarray:
    """Whole numbers (B, T), or what becomes so by being repeated -> those of the kept places (N,)."""
    numbers = whole_numbers(values, name)
    try:
        return np.broadcast_to(numbers, kept.shape)[kept]
    except ValueError:
        raise InputError(f"{name} must have the shape of input_ids, {kept.shape}; got {numbers.shape}.") from None


def check_range(values: np.ndarray, limit: int, name: str, hint: str) -> None:
    low, high = np.minimum.reduce(values, initial=0), np.maximum.reduce(values, initial=0)
    if low < 0 or high >= limit:
        raise InputError(f"{name} must be from 0 to {limit - 1}; got from {low} to {high}. {hint}")
