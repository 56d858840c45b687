"""From a cross-encoder's logits to its scores: the function that its files name, or one of the caller's.

config.json names a class of torch, such as "torch.nn.modules.linear.Identity". It is computed in NumPy; nothing is imported.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ConfigError, InputError, InputTypeError, MinibertWarning, short_repr
from ..models.heads import real_numbers, softmax
from ..tensors import as_array, takes_tensors, to_torch
from .sentence_config import ACTIVATIONS, torch_name

OUTPUT = "what activation_fn returns"


@dataclass(frozen=True)
class Activation:
    """One of ACTIVATIONS, by its name: `Activation("Sigmoid")(logits)`."""

    name: str

    def __call__(self, logits: np.ndarray) -> np.ndarray:
        return ACTIVATIONS[self.name](logits)

    def __repr__(self) -> str:
        return f"{self.name}()"


def activation_of_files(config: Mapping[str, Any], settings: Mapping[str, Any], labels: int, source: str) -> Activation:
    """The activation of a checkpoint: that of config_sentence_transformers.json (`settings`), else of config.json under its
    newer or its former key, else the sigmoid for one label and the identity for several.

    ConfigError for a class of torch that is not in ACTIVATIONS. Of another package's class, MinibertWarning, and the default.
    """
    newer, former = config.get("sentence_transformers"), config.get("sbert_ce_default_activation_function")
    stated = newer["activation_fn"] if isinstance(newer, Mapping) and "activation_fn" in newer else former
    for path in (settings.get("activation_fn"), stated):
        if path is not None and (activation := read_activation_name(path, source)) is not None:
            return activation
    return Activation("Sigmoid" if labels == 1 else "Identity")


def read_activation_name(path: Any, source: str) -> Activation | None:
    """ "torch.nn.modules.activation.Sigmoid" -> the activation; None for a class that is not torch's."""
    if isinstance(path, str) and not path.startswith("torch."):
        warnings.warn(
            f"{source} names the activation {short_repr(path)}, code that minibert does not run; scores get the default one. "
            "Pass activation_fn=... for another.",
            MinibertWarning,
            stacklevel=3,
        )
        return None
    name = path.rpartition(".")[2] if isinstance(path, str) else None
    if name not in ACTIVATIONS:
        known = ", ".join(map(torch_name, ACTIVATIONS))
        raise ConfigError(f"the activation of a cross-encoder is one of {known}; {source} has {short_repr(path)}.")
    return Activation(name)


def read_activation_fn(function: Any) -> Callable:
    """A caller's activation_fn -> itself; InputTypeError for what cannot be called, and for a class."""
    if not callable(function) or isinstance(function, type):
        hint = "Pass an object of the class, such as torch.nn.Sigmoid()." if isinstance(function, type) else "Leave it out."
        raise InputTypeError(f"activation_fn must be a function of logits (1, labels); got {short_repr(function)}. {hint}")
    return function


def name_to_save(function: Callable) -> str:
    """An activation -> the path under which sentence-transformers finds it. InputError for one that has no such path."""
    if isinstance(function, Activation):
        return torch_name(function.name)
    name = type(function).__name__
    if type(function).__module__.startswith("torch.nn.modules.") and name in ACTIVATIONS:
        return torch_name(name)
    raise InputError(
        f"files can name the activations {', '.join(ACTIVATIONS)} of torch.nn; got {short_repr(function)}. Set activation_fn to "
        "one of these before saving, and pass the other one to predict()."
    )


def scores_of(logits: np.ndarray, function: Callable, apply_softmax: bool) -> np.ndarray:
    """logits (S, labels) -> scores, (S,) for one label; then their softmax over the labels, if there are several."""
    scores = function(logits) if isinstance(function, Activation) else activated_one_by_one(logits, function)
    if logits.shape[1] == 1 and scores.ndim > 1 and scores.shape[-1] == 1:
        scores = scores[..., 0]
    if apply_softmax and scores.ndim > 1:
        scores = softmax(scores, axis=1)
    with np.errstate(over="ignore"):  # a caller's function may return float64
        return scores.astype(np.float32, copy=False)


def activated_one_by_one(logits: np.ndarray, function: Callable) -> np.ndarray:
    """A caller's function of each row (1, labels), a tensor for torch's own functions: its neighbors never change a bit.

    (A vector unit may round otherwise than the code for what remains at an array's end; torch's does.)
    """
    rows = []
    for row in logits[:, None]:
        values = function(to_torch(row) if takes_tensors(function) else row)
        scores = real_numbers(as_array(values, OUTPUT), OUTPUT)
        rows.append(scores[0] if scores.ndim and len(scores) == 1 else scores)
    shapes = {row.shape for row in rows}
    if len(shapes) > 1:
        raise InputError(f"{OUTPUT} must have one shape for every pair; got {', '.join(map(str, sorted(shapes)))}.")
    return np.stack(rows) if rows else logits
