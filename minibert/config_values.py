"""Values of a configuration, as a caller or config.json has them -> as `config.py` keeps them."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from .errors import ConfigError, InputTypeError, read_flag, short_repr


def plain(value: Any) -> Any:
    """A scalar of NumPy as Python's own, and a torch.dtype as config.json has it; others as they are."""
    module = type(value).__module__
    if module == "torch" and type(value).__name__ == "dtype":
        return str(value).removeprefix("torch.")
    if module == "numpy" and isinstance(value, sys.modules["numpy"].generic):
        return value.item()
    return value


def check_storable(name: str, value: Any) -> None:
    """ConfigError for what config.json cannot hold."""
    try:
        json.dumps(value, sort_keys=True)
    except (TypeError, ValueError, RecursionError):
        raise ConfigError(f"{name} must be something that JSON can hold; got {short_repr(value)}.") from None


def read_config_flag(name: str, value: Any) -> bool:
    try:
        return value is not None and read_flag(name, value)
    except InputTypeError as error:
        raise ConfigError(str(error)) from None


def default_labels(count: int) -> dict[int, str]:
    return {index: f"LABEL_{index}" for index in range(count)}


def read_labels(num_labels: int | None, id2label: Mapping | None) -> dict[int, Any]:
    """config.json's id2label (keys may be strings) or a count -> {0: label, 1: label, ...}. A name that is a number
    stays one."""
    num_labels = plain(num_labels)
    if num_labels is not None and (type(num_labels) is not int or not 1 <= num_labels <= 1_000_000):
        raise ConfigError(f"num_labels must be a whole number, 1 or more; got {short_repr(num_labels)}.")
    if id2label is None:
        return default_labels(2 if num_labels is None else num_labels)
    try:
        labels = {int(index): label for index, label in id2label.items()}
    except (AttributeError, TypeError, ValueError, OverflowError):
        raise ConfigError(f"id2label must map 0, 1, 2, ... to names; got {short_repr(id2label)}.") from None
    if sorted(labels) != list(range(len(id2label))) or not labels:
        raise ConfigError(f"id2label must map 0, 1, 2, ... without a gap to names; got {short_repr(id2label)}.")
    if num_labels not in (None, len(labels)):
        raise ConfigError(f"num_labels must be the length of id2label; got {num_labels} and {len(labels)} labels.")
    labels = {index: plain(labels[index]) for index in range(len(labels))}
    for label in labels.values():
        if not isinstance(label, str):
            if not isinstance(label, (int, float, type(None))):
                raise ConfigError(f"a label's name is a text or a number; got {short_repr(label)}.")
            check_storable("a label's name", label)
    return labels


def read_label2id(label2id: Any) -> dict[str, int]:
    """{label: index}, with Python's own numbers."""
    try:
        numbers = {plain(label): plain(index) for label, index in label2id.items()}
    except (AttributeError, TypeError):
        numbers = None
    if numbers is None or not all(isinstance(label, str) and type(index) is int for label, index in numbers.items()):
        raise ConfigError(f"label2id must map names to 0, 1, 2, ...; got {short_repr(label2id)}.")
    check_storable("label2id", numbers)
    return numbers
