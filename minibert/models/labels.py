"""A caller's labels -> arrays that a loss takes, checked. Next: `losses.py`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import InputError, InputTypeError, short_repr
from ..tensors import as_array

IGNORED = -100  # the label of a token or a sequence that is no part of the loss, as in PyTorch


def as_labels(name: str, values: Any) -> np.ndarray:
    """A caller's labels -> an array of numbers."""
    array = as_array(values, name)
    if array.dtype.kind not in "biuf" or not array.size:
        raise InputTypeError(f"{name} must be an array of numbers; got {array.dtype} of shape {array.shape}.")
    return array.astype(np.intp) if array.dtype.kind == "b" else array


def as_classes(name: str, values: Any) -> np.ndarray:
    array = as_labels(name, values)
    if array.dtype.kind not in "iu":
        raise InputTypeError(f"{name} must be whole numbers; got {array.dtype} of shape {array.shape}.")
    return array.astype(np.intp)


def class_labels(name: str, labels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Labels (R,) or (R, 1) -> (R,), each a class or −100. InputError for others, or if all are −100."""
    classes = as_classes(name, labels)
    if classes.size != shape[0] or classes.shape[:1] != shape[:1]:
        raise InputError(f"{name} must have one label for each row of {shape[0]}; got an array of shape {classes.shape}.")
    classes = classes.reshape(-1)
    wrong = classes[(classes != IGNORED) & ((classes < 0) | (classes >= shape[1]))]
    if wrong.size:
        raise InputError(f"{name} must be from 0 to {shape[1] - 1}, or {IGNORED} for none; got {wrong[0]}.")
    if (classes == IGNORED).all():
        raise InputError(f"{name} must hold a label; got {IGNORED} alone, which is no part of a loss. Leave the batch out.")
    return classes


def real_labels(name: str, labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Labels (R, C), or (R,) for one logit each -> an array of the logits' shape and type."""
    fits = labels.shape == logits.shape or (logits.shape == (*labels.shape, 1))
    if not fits:
        raise InputError(f"{name} must have the shape of the logits, {logits.shape}; got {labels.shape}.")
    targets = labels.astype(logits.dtype).reshape(logits.shape)
    if not np.isfinite(targets).all():
        raise InputError(f"{name} must be finite; got NaN or infinity.")
    return targets


def token_labels(form: str, name: str, labels: np.ndarray, token_mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels (B, T) -> those of the P tokens that the loss reads (P,), and which these are (B, T) bool.

    "token": those whose label is not −100, which padding must have; "replaced": all but padding, as transformers does.
    """
    array = as_classes(name, labels)
    if array.shape != token_mask.shape:
        raise InputError(f"{name} must have the shape of input_ids, {token_mask.shape}; got {array.shape}.")
    if form == "replaced":
        if not token_mask.any():
            raise InputError(f"{name} must be of a token; got a batch of padding alone. Leave it out.")
        if not np.isin(array[token_mask], (0, 1)).all():
            raise InputError(f"{name} must be 1 for a replaced token and 0 for another; got other values.")
        return array[token_mask], token_mask
    rows = array != IGNORED
    if (rows & ~token_mask).any():
        raise InputError(
            f"{name} must be {IGNORED} at padding, whose logits are not computed; got {short_repr(array[rows & ~token_mask][0])}."
        )
    if not rows.any():
        raise InputError(f"{name} must hold a label; got {IGNORED} alone, which is no part of a loss. Leave the batch out.")
    return array[rows], rows


def position_labels(name: str, labels: np.ndarray, token_mask: np.ndarray) -> np.ndarray:
    """Indices of tokens (B,) -> the same; −100 for those at or past the row's end, which transformers leaves out too."""
    positions = as_classes(name, labels)
    rows, length = token_mask.shape
    if positions.size != rows:
        raise InputError(f"{name} must hold one position for each of {rows} rows; got an array of shape {positions.shape}.")
    positions = np.maximum(positions.reshape(-1), 0)
    inside = positions < length
    padding = inside & ~token_mask[np.arange(rows), np.where(inside, positions, 0)]
    if padding.any():
        raise InputError(f"{name} must be the index of a token; got {positions[padding][0]}, which is padding.")
    return np.where(inside, positions, IGNORED)


def check_class_weights(weights: np.ndarray | None, classes: int) -> np.ndarray | None:
    if weights is None:
        return None
    array = as_labels("class_weights", weights)
    if array.shape != (classes,) or not np.isfinite(array).all() or array.min() < 0:
        raise InputError(f"class_weights must be {classes} numbers, 0 or more; got {short_repr(weights)}.")
    return array
