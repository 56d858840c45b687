"""Figures of a training or an evaluation for people and scripts: printed, and in files, as transformers writes both."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from ..errors import DataFileError, InputTypeError, short_repr
from ..files import read_json, write_json

ALL_RESULTS = "all_results.json"


def check_split(split: Any, metrics: Any) -> None:
    if not isinstance(split, str) or not re.fullmatch(r"[\w.-]+", split):
        raise InputTypeError(f"split must be a name such as 'train' or 'eval'; got {short_repr(split)}.")
    if not isinstance(metrics, Mapping) or not all(isinstance(name, str) for name in metrics):
        raise InputTypeError(f"metrics must be a dictionary of names and numbers; got {short_repr(metrics)}.")


def formatted(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Seconds as 0:01:02.35, other fractions with four digits."""
    return {name: format_value(name, value) for name, value in metrics.items()}


def format_value(name: str, value: Any) -> Any:
    if not isinstance(value, float):
        return value
    if name.endswith("_runtime"):
        text = str(timedelta(seconds=value))
        return text[: text.index(".") + 3] if "." in text else text
    return round(value, 4)


def print_metrics(split: str, metrics: Mapping[str, Any]) -> None:
    """
    ***** eval metrics *****
      eval_accuracy =   0.75
    """
    lines = formatted(metrics)
    width, value_width = max(map(len, lines), default=0), max((len(str(value)) for value in lines.values()), default=0)
    print(f"***** {split} metrics *****")
    for name in sorted(lines):
        print(f"  {name:{width}} = {lines[name]!s:>{value_width}}")


def write_metrics(folder: Path, split: str, metrics: Mapping[str, Any], combined: bool) -> None:
    """folder/SPLIT_results.json; and, if `combined`, all_results.json, which has those of earlier calls too."""
    try:
        metrics = json.loads(json.dumps(dict(metrics), sort_keys=True))
    except (TypeError, ValueError) as error:
        raise InputTypeError(f"metrics must be a dictionary of names and numbers that JSON can hold: {error}.") from None
    write_json(folder / f"{split}_results.json", metrics)
    if combined:
        path = folder / ALL_RESULTS
        earlier = read_json(path, DataFileError) if path.is_file() else {}
        write_json(path, dict(sorted({**earlier, **metrics}.items())))
