"""A model card: README.md of a trained model's folder, with the data, the recipe and the figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..files import atomic_write


def model_card(title: str, tables: Mapping[str, Mapping[str, Any]], evaluations: list[dict[str, Any]], command: str) -> str:
    """Names and values under headings, the evaluations in a table, and the command that does it again."""
    lines = [f"# {title}", ""]
    for heading, values in tables.items():
        lines += [f"## {heading}", "", "| | |", "| --- | --- |"]
        lines += [f"| {cell(name)} | {cell(value)} |" for name, value in values.items()] + [""]
    figures = [{name.removeprefix("eval_"): value for name, value in entry.items()} for entry in evaluations]
    if figures:
        names = ["epoch", "step", *(name for name in figures[0] if name not in ("epoch", "step"))]
        lines += ["## Evaluations", "", f"| {' | '.join(names)} |", f"| {' | '.join(['---'] * len(names))} |"]
        lines += [f"| {' | '.join(cell(entry.get(name, '')) for name in names)} |" for entry in figures] + [""]
    lines += ["Trained with [minibert](https://pypi.org/project/minibert-cpu/), on a CPU:", "", "```", command, "```", ""]
    return "\n".join(lines)


def cell(value: Any) -> str:
    """A value as one cell of a table."""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def write_model_card(folder: Path, text: str) -> None:
    atomic_write(folder / "README.md", lambda path: path.write_text(text, encoding="utf-8"))
