"""What the calls of both classes do with their arguments and results."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..errors import InputTypeError, short_repr
from ..tensors import to_torch


def one_of(name: str, value, former_name: str, former):
    """An argument under its name or its former one -> its value. InputTypeError for both."""
    if value is not None and former is not None:
        raise InputTypeError(f"{former_name} is the former name of {name}; got both. Leave {former_name} out.")
    return former if value is None else value


def merged_prompts(
    saved: Mapping[str, str], prompts: Mapping[str, str | None] | None, names: tuple[str, ...] = ()
) -> dict[str, str]:
    """A folder's prompts, over which the constructor's go. None is the folder's, or else empty, as those of `names` are."""
    if prompts is not None and not isinstance(prompts, Mapping):
        raise InputTypeError(f"prompts must map names to texts; got {short_repr(prompts)}.")
    own = {name: prompt for name, prompt in (prompts or {}).items() if prompt is not None}
    return {**dict.fromkeys((*names, *(prompts or ())), ""), **saved, **own}


def in_form(results, as_tensors: bool, as_arrays: bool):
    """NumPy results -> what a call asks for: an array stays whole or becomes one tensor, or a list of them."""
    if isinstance(results, np.ndarray) and as_tensors:
        return to_torch(results)
    if as_arrays and not as_tensors:
        return results
    return [{name: to_torch(row[name]) for name in row} if isinstance(row, dict) else to_torch(row) for row in results]
