"""Checks of two things that belong together: ids and their mask, a model and its tokenizer, a class and its configuration, two
sets of tensors."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..config import PreTrainedConfig
from ..errors import InputError, InputTypeError, MinibertWarning, VocabularyError, short_repr
from .packing import Packed


def warn_of_padding(packed: Packed, pad_token_id: int | None) -> bool:
    """Warn if rows without a mask begin or end with padding, and return whether they do."""
    if type(pad_token_id) is not int:
        return False
    rows = packed.token_ids.reshape(packed.token_mask.shape)  # without a mask, all tokens are packed
    if not (rows[:, [0, -1]] == pad_token_id).any():
        return False
    warnings.warn(
        f"input_ids hold padding (pad_token_id, {pad_token_id}) at the beginning or the end of a row, and no "
        "attention_mask came: the model reads padding as words. Pass the tokenizer's attention_mask.",
        MinibertWarning,
        stacklevel=5,  # of whoever calls the model
    )
    return True


def check_is_family(model_class: type) -> None:
    """InputTypeError for PreTrainedModel itself, which describes no encoder."""
    if not hasattr(model_class, "config_class"):
        raise InputTypeError(
            f"a {model_class.__name__} describes no encoder; use AutoModel, or a family's class such as BertModel."
        )


def check_config(config: Any, config_class: type[PreTrainedConfig], overrides: Mapping[str, Any]) -> None:
    """Raise if a configuration that a caller passed to `from_pretrained` is of another class, or not the only source."""
    if not isinstance(config, config_class):
        raise InputTypeError(f"config must be a {config_class.__name__}; got {type(config).__name__}.")
    if overrides:
        raise InputError(f"with config=..., set the others on it; got {', '.join(overrides)} beside it.")
    config.check()


def check_vocabulary(model: Any, tokenizer: Any) -> None:
    """VocabularyError if a tokenizer has an id that the model has no row for."""
    tokens = tokenizer.get_vocab() if hasattr(tokenizer, "get_vocab") else {}
    token = max(tokens, key=tokens.__getitem__, default=None)
    rows = model.architecture.vocabulary
    if token is not None and tokens[token] >= rows:
        raise VocabularyError(
            f"a tokenizer's ids must be below the model's vocabulary of {rows} rows; the id of {short_repr(token)} is "
            f"{tokens[token]}. Is the tokenizer another model's, or was a token added that the model never learned?"
        )


def check_same_tensors(argument: str, passed: Any, tensors: Mapping[str, np.ndarray]) -> None:
    """Raise unless what was passed maps the model's names to arrays of its shapes, all float32 or all float64. Those that
    an int8 checkpoint has in int8 must be int8."""
    if not isinstance(passed, Mapping) or not all(isinstance(array, np.ndarray) for array in passed.values()):
        raise InputTypeError(f"{argument} must map names of tensors to arrays; got {short_repr(passed)}.")
    different = [name for name in {**tensors, **passed} if name not in tensors or name not in passed]
    different += [name for name in tensors if name in passed and passed[name].shape != tensors[name].shape]
    if different:
        raise InputError(f"{argument} must have the names and shapes of model.tensors; others are {short_repr(different)}.")
    int8 = {name for name, array in tensors.items() if array.dtype == np.int8}
    if wrong := [name for name in int8 if passed[name].dtype != np.int8]:
        raise InputError(f"{argument} must have int8 where model.tensors has; others are {short_repr(sorted(wrong))}.")
    dtypes = {array.dtype for name, array in passed.items() if name not in int8}
    if dtypes not in ({np.dtype(np.float32)}, {np.dtype(np.float64)}):
        raise InputError(f"{argument} must be all float32 or all float64; got {', '.join(sorted(map(str, dtypes)))}.")
