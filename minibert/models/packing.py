"""Ids and mask of a padded batch (B, T) -> packed tokens (N,), and hidden states back: padding is never computed.

    [[101, 7592, 102,   0],      mask [[1, 1, 1, 0],       token_ids  101 7592  102  101 2088  999  102
     [101, 2088, 999, 102]]            [1, 1, 1, 1]]  ->   bounds     0 3 7

A token is packed if its mask is 1, or if it is its row's first, which heads read. A first token whose mask is 0 attends
to the others, but they do not attend to it (`key_mask`). A token keeps the position of its column, as in transformers, so
padding on the left moves positions and changes the outputs; pass `position_ids` for others. Some families count positions
without padding instead (`position_padding_id`). If attention depends on the distance of two tokens (`relative_buckets`,
`windows`), a masked token before an unmasked one is packed too, as distances count it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import tensors
from ..config import Architecture
from ..errors import InputError, InputTypeError, short_repr
from .query_masks import read_query_mask


class Packed(NamedTuple):
    """N tokens of S sequences; with the row and column each one came from."""

    token_ids: np.ndarray  # (N,)
    type_ids: np.ndarray  # (N,)
    position_ids: np.ndarray  # (N,)
    bounds: np.ndarray  # (S+1,): sequence s is the tokens from bounds[s] to bounds[s+1]; cu_seqlens in FlashAttention
    key_mask: np.ndarray | None  # (N,) bool: whether the others attend to it; None if they attend to all
    token_mask: np.ndarray  # (B, T) bool: which tokens of the padded batch are packed
    words: np.ndarray | None = None  # the caller's embeddings, of which `token_ids` are rows; None: the model's
    choices: int = 1  # of each question, if rows are choices: they follow each other
    score_bias: np.ndarray | None = None  # (S, 1 or H, T, T), added to attention's scores: a mask for each query
    global_mask: np.ndarray | None = None  # (N,) bool: which tokens see all and are seen by all, if there are windows

    @property
    def first(self) -> np.ndarray:
        """The index of each sequence's first token (S,)."""
        return self.bounds[:-1]

    def unpack(self, x: np.ndarray) -> np.ndarray:
        """x (N, D) -> (B, T, D), zeros at padding."""
        padded = np.zeros((*self.token_mask.shape, x.shape[1]), x.dtype)
        padded[self.token_mask] = x
        return padded

    def unpack_squares(self, squares: list[np.ndarray], heads: int) -> np.ndarray:
        """S arrays (H, L, L) -> (B, H, T, T), zeros at padding."""
        rows, columns = self.token_mask.shape
        padded = np.zeros((rows, heads, columns, columns), np.float32)
        for row, square in enumerate(squares):
            positions = np.flatnonzero(self.token_mask[row])
            padded[row][:, positions[:, None], positions] = square
        return padded


def pack(input_ids: Any, attention_mask: Any, token_type_ids: Any, position_ids: Any, arch: Architecture) -> Packed:
    """input_ids (B, T), and the others None or in its shape; or the result of `encode_packed`, which has no padding ->
    packed. attention_mask may also be for each query, as `read_query_mask` has it: then no token is padding.

    InputError for ids, masks or lengths that the model cannot take.
    """
    if hasattr(input_ids, "bounds"):
        others = {"attention_mask": attention_mask, "token_type_ids": token_type_ids, "position_ids": position_ids}
        if any(values is not None for values in others.values()):
            raise InputError(f"texts that are packed have no {', '.join(others)}; pass them alone.")
        return check_packed(pack_joined(input_ids, arch), arch)
    ids = as_integers(input_ids, "input_ids")
    if ids.ndim == 1:
        raise InputError(
            f"input_ids must be of shape (B, T), a batch of sequences; got one sequence of shape {ids.shape}. "
            "Add the batch axis: np.array([ids])."
        )
    if ids.ndim != 2 or ids.shape[1] == 0:
        raise InputError(f"input_ids must be of shape (B, T) with T at least 1; got {ids.shape}.")
    token_mask, key_mask, score_bias = np.ones(ids.shape, bool), None, None
    if attention_mask is not None:
        mask = as_array(attention_mask, "attention_mask")
        if mask.ndim > 2:
            score_bias = read_query_mask(mask, ids.shape, arch.heads)
        else:
            distance_counts = arch.relative_buckets > 0 or arch.windows is not None  # then a masked token between two does too
            token_mask, key_mask = read_mask(mask, ids.shape, keeps_distances=distance_counts)
    if np.logical_and.reduce(token_mask, axis=None):  # methods of NumPy that run no Python: a pass evicts Python's code
        token_ids, columns = ids.flatten(), np.arange(ids.size) % ids.shape[1]
        bounds = np.arange(len(ids) + 1) * ids.shape[1]
    else:
        token_ids, columns = ids[token_mask], token_mask.nonzero()[1].copy()
        bounds = np.concatenate([[0], np.cumsum(token_mask.sum(axis=1))])
    types, positions = np.zeros(len(token_ids), np.intp), columns
    if arch.position_padding_id is not None:
        rows = np.arange(len(ids) + 1) * ids.shape[1]
        positions = positions_without_padding(ids.ravel(), rows, arch.position_padding_id)[token_mask.ravel()]
    if token_type_ids is not None:
        types = packed_values(token_type_ids, token_mask, "token_type_ids")
    if position_ids is not None:
        positions = packed_values(position_ids, token_mask, "position_ids")
    packed = Packed(
        token_ids=token_ids,
        type_ids=types,
        position_ids=positions,
        bounds=bounds,
        key_mask=key_mask,
        token_mask=token_mask,
        score_bias=score_bias,
    )
    return check_packed(packed, arch, token_type_ids is not None, position_ids is not None)


def pack_embeds(inputs_embeds: Any, attention_mask: Any, token_type_ids: Any, position_ids: Any, arch: Architecture) -> Packed:
    """inputs_embeds (B, T, E) in place of ids, and the others as in `pack` -> packed. They are the table of words, in which
    each token has a row of its own; none is padding to families that count positions without it."""
    words = read_embeds(inputs_embeds, arch.embedding_width)
    rows, length, width = words.shape
    if position_ids is None and arch.position_padding_id is not None:
        position_ids = np.arange(length) + arch.position_padding_id + 1
    indices = np.arange(rows * length).reshape(rows, length)
    own_table = arch._replace(vocabulary=rows * length + 1)
    packed = pack(indices, attention_mask, token_type_ids, position_ids, own_table)
    return packed._replace(words=words.reshape(-1, width))


def read_embeds(inputs_embeds: Any, width: int) -> np.ndarray:
    """A caller's embeddings of tokens -> float32 (B, T, E)."""
    words = as_array(inputs_embeds, "inputs_embeds")
    if words.dtype.kind not in "iuf" or words.ndim != 3 or words.shape[1] == 0 or words.shape[2] != width:
        raise InputError(
            f"inputs_embeds must be numbers of shape (B, T, {width}) with T at least 1, an embedding for each token; got "
            f"{words.dtype} of shape {words.shape}."
        )
    with np.errstate(all="ignore"):
        words = np.ascontiguousarray(words, np.float32)
    if not np.isfinite(words).all():
        raise InputError("inputs_embeds must be finite; got NaN or infinity.")
    return words


def positions_without_padding(ids: np.ndarray, bounds: np.ndarray, padding_id: int) -> np.ndarray:
    """ids (N,), bounds (S+1,) of sequences -> positions (N,) as RoBERTa and MPNet count them: padding_id + 1 for the first
    token of a sequence that is not padding, one more for each next one; padding_id for padding."""
    is_token = ids != padding_id
    counts = np.concatenate([[0], np.cumsum(is_token)])  # of tokens before each
    return (counts[1:] - np.repeat(counts[bounds[:-1]], np.diff(bounds))) * is_token + padding_id


def pack_joined(encoding: Any, arch: Architecture) -> Packed:
    """A PackedEncoding's ids (N,) and bounds (S+1,), as they are -> Packed. Positions as in a row without padding."""
    bounds = np.asarray(encoding.bounds)
    lengths = np.diff(bounds)
    if not len(bounds) or bounds[0] != 0 or bounds[-1] != len(encoding.ids) or lengths.min(initial=0) < 0:
        raise InputError(
            f"bounds must rise from 0 to {len(encoding.ids)}, the number of ids; got {short_repr(bounds.tolist())}."
        )
    if not lengths.all():
        raise InputError("each text must have a token; got one of none. Leave add_special_tokens on, or the text out.")
    if arch.position_padding_id is None:
        positions = np.arange(len(encoding.ids)) - np.repeat(bounds[:-1], lengths)
    else:
        positions = positions_without_padding(encoding.ids, bounds, arch.position_padding_id)
    return Packed(
        token_ids=encoding.ids,
        type_ids=np.zeros(len(encoding.ids), np.intp),
        position_ids=positions,
        bounds=bounds,
        key_mask=None,
        token_mask=np.arange(lengths.max(initial=0)) < lengths[:, None],
    )


def check_packed(packed: Packed, arch: Architecture, passed_types: bool = False, passed_positions: bool = False) -> Packed:
    """The same, or InputError for an id or a length that the model does not have. Types and positions that the caller did
    not pass need no check."""
    check_range(packed.token_ids, arch.vocabulary, "input_ids", "Was another model's tokenizer used?")
    if passed_types:
        check_range(packed.type_ids, arch.types, "token_type_ids", "Was another model's tokenizer used?")
    longest = int(np.maximum.reduce(packed.position_ids, initial=0)) + 1 - (arch.positions - arch.max_tokens)
    if longest > arch.max_tokens:
        raise InputError(
            f"a sequence may have {arch.max_tokens} tokens, the positions this model has; got {longest}. "
            "Call the tokenizer with truncation=True."
        )
    if passed_positions:
        check_range(packed.position_ids, arch.positions, "position_ids", "Positions count from 0.")
    return packed


def as_integers(values: Any, name: str) -> np.ndarray:
    """A caller's values -> an integer array."""
    if values is None:
        raise InputTypeError(f"{name} must be whole numbers of shape (B, T); got None.")
    array = as_array(values, name)
    if array.size == 0:
        array = array.astype(np.intp)
    if not np.issubdtype(array.dtype, np.integer):
        raise InputTypeError(f"{name} must be whole numbers of shape (B, T); got {array.dtype} of shape {array.shape}.")
    return array.astype(np.intp, copy=False)


def as_array(values: Any, name: str) -> np.ndarray:
    try:
        return np.asarray(values)
    except ValueError:
        raise InputError(
            f"{name} must be of one shape (B, T); got rows of different lengths. "
            "Call the tokenizer with padding=True, and give the model its attention_mask too."
        ) from None
    except (TypeError, RuntimeError, OverflowError):  # NumPy reads no tensor of bfloat16, on a GPU, or with a gradient
        return tensors.as_array(values, name)


def read_mask(values: Any, shape: tuple[int, int], keeps_distances: bool = False) -> tuple[np.ndarray, np.ndarray | None]:
    """-> `token_mask`, and `key_mask`, as Packed has them. With `keeps_distances`, all tokens before an unmasked one are
    packed."""
    if values is None:
        return np.ones(shape, bool), None
    mask = as_array(values, "attention_mask")
    if mask.shape != shape:
        raise InputError(f"attention_mask must have the shape of input_ids, {shape}; got {mask.shape}.")
    is_numeric = mask.dtype.kind in "biuf"
    attended = mask.astype(bool) if is_numeric else mask
    if not is_numeric or not np.logical_and.reduce(mask == attended, axis=None):
        raise InputError("attention_mask must hold 1 for a token and 0 for padding; got other values.")
    token_mask = attended.copy()
    if keeps_distances:
        token_mask = np.logical_or.accumulate(attended[:, ::-1], axis=1)[:, ::-1]
    elif np.logical_and.reduce(attended[:, 0]):
        return attended, None
    token_mask[:, 0] = True
    key_mask = attended[token_mask]
    return token_mask, None if np.logical_and.reduce(key_mask) else key_mask


def packed_values(values: Any, token_mask: np.ndarray, name: str) -> np.ndarray:
    """Integers (B, T), or of a shape that broadcasts to it -> those of the packed tokens (N,)."""
    integers = as_integers(values, name)
    try:
        return np.broadcast_to(integers, token_mask.shape)[token_mask]
    except ValueError:
        raise InputError(f"{name} must have the shape of input_ids, {token_mask.shape}; got {integers.shape}.") from None


def check_range(values: np.ndarray, limit: int, name: str, hint: str) -> None:
    low, high = np.minimum.reduce(values, initial=0), np.maximum.reduce(values, initial=0)
    if low < 0 or high >= limit:
        raise InputError(f"{name} must be from 0 to {limit - 1}; got from {low} to {high}. {hint}")
