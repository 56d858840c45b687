"""Small drawings of a page, in HTML and SVG: bars, colored words, lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

WIDTH, HEIGHT, MARGIN = 640, 220, 44  # of the line chart


def esc(text: object) -> str:
    return escape(str(text), quote=True)


def signed(value: float, digits: int = 3) -> str:
    """+0.123 or −0.123, with the sign that is as wide as the plus."""
    return "not there" if math.isnan(value) else f"{value:+.{digits}f}".replace("-", "−")


def number(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}f}".replace("-", "−")


def percent(value: float) -> str:
    return "not there" if math.isnan(value) else f"{value * 100:.1f}%"


def score(value: float, target: Any) -> str:
    """A target's score: in percent, unless it is the logit itself."""
    return number(value) if target.score == "none" else percent(value)


def source(*functions: str) -> str:
    """Which functions computed a panel."""
    names = ", ".join(f"<code>{esc(function)}</code>" for function in dict.fromkeys(functions))
    return f'<p class="source">Computed by {names}</p>'


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], caption: str, css: str = "") -> str:
    """Cells are HTML; the first of a row is its heading."""
    head = "".join(f'<th scope="col">{column}</th>' for column in columns)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>' + "".join(f"<td>{cell}</td>" for cell in row[1:]) + "</tr>" for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{esc(caption)}"><table class="{css}">'
        f"<caption>{esc(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def bar(value: float, largest: float) -> str:
    """A bar to the right for what adds, to the left for what takes away."""
    share = 0.0 if math.isnan(value) else min(abs(value) / (largest or 1), 1) * 50
    side = "plus" if value >= 0 else "minus"
    start = 50 if value >= 0 else 50 - share
    return (
        '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="{side}" x="{start:.2f}" y="1" width="{share:.2f}" height="8"/>'
        '<line class="axis" x1="50" y1="0" x2="50" y2="10"/></svg>'
    )


def colored_words(words: Sequence[str], values: Sequence[float], title: str, digits: int = 3, unsigned: bool = False) -> str:
    """Words with their numbers below, in a color as strong as the number is large beside the largest."""
    largest = max((abs(value) for value in values if not math.isnan(value)), default=1) or 1
    items = []
    for word, value in zip(words, values):
        strength = 0 if math.isnan(value) else round(abs(value) / largest * 0.6, 3)
        side = "even" if unsigned else "plus" if value >= 0 else "minus"
        text = percent(value) if unsigned else signed(value, digits)
        items.append(f'<li class="{side}" style="--strength:{strength}"><bdi>{esc(word)}</bdi> <small>{text}</small></li>')
    return f'<ul class="words" aria-label="{esc(title)}">{"".join(items)}</ul>'


def line_chart(values: np.ndarray, names: Sequence[str], points: Sequence[str], title: str) -> str:
    """values (P, G) from 0 to 1 -> a line for each of G names over P points, each with its name at its end."""
    step = (WIDTH - 2 * MARGIN - 110) / max(len(values) - 1, 1)

    def place(point: int, value: float) -> tuple[float, float]:
        return MARGIN + point * step, HEIGHT - MARGIN - value * (HEIGHT - 2 * MARGIN)

    parts = [f'<svg class="lines" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{esc(title)}">']
    for level in (0, 0.5, 1):
        x, y = place(0, level)
        parts.append(f'<line class="grid" x1="{x}" y1="{y}" x2="{x + step * (len(values) - 1)}" y2="{y}"/>')
        parts.append(f'<text x="{x - 6}" y="{y + 4}" text-anchor="end">{level:.0%}</text>')
    for point, name in enumerate(points):
        parts.append(f'<text x="{place(point, 0)[0]}" y="{HEIGHT - 12}" text-anchor="middle">{esc(name)}</text>')
    heights = label_heights([place(len(values) - 1, value)[1] for value in values[-1]])
    for index, name in enumerate(names):
        line = " ".join("{:.1f},{:.1f}".format(*place(point, value)) for point, value in enumerate(values[:, index]))
        x, y = place(len(values) - 1, values[-1, index])
        dots = "".join(
            '<circle cx="{:.1f}" cy="{:.1f}" r="3"/>'.format(*place(point, value))
            for point, value in enumerate(values[:, index])
        )
        parts.append(f'<g class="line-{index}"><polyline points="{line}"/>{dots}')
        parts.append(f'<text x="{x + 10:.1f}" y="{heights[index] + 4:.1f}">{esc(shortened(name))}</text></g>')
    return "".join(parts) + "</svg>"


def label_heights(heights: list[float]) -> list[float]:
    """The heights of labels, moved apart where they would cover each other."""
    moved, lowest = list(heights), -math.inf
    for index in sorted(range(len(heights)), key=lambda index: heights[index]):
        moved[index] = lowest = max(heights[index], lowest + 15)
    return moved


def shortened(text: str, length: int = 16) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
