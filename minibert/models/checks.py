"""Checks of two things that belong together: ids and their mask, a model and its tokenizer."""

from __future__ import annotations

import warnings
from typing import Any

from ..errors import MinibertWarning, VocabularyError, short_repr
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
