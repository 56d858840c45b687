"""An Explanation -> one page: HTML with its style, its script and its numbers inside. It requests nothing, and evaluates no text.

The panels are HTML and SVG written here (`panels.py`, `drawings.py`); `page.js` draws the attention heads and lets the reader choose.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from .drawings import esc
from .panels import panels, shown_tokens

if TYPE_CHECKING:
    from .result import Explanation

LARGEST = 1_200_000  # attention weights of a page, a byte each
STRIP = 24  # components of an embedding that are drawn
# What a page may do: its own style and script. No request of any sort, and no eval.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def make_page(explanation: Explanation) -> str:
    """The page's HTML. InputError if its attention would make it too large to send."""
    check_size(explanation)
    sections = panels(explanation)
    links = "".join(f'<li><a href="#{name}">{esc(title)}</a></li>' for name, title, _ in sections)
    body = "".join(
        f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{esc(title)}</h2>{content}</section>'
        for name, title, content in sections
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{esc(heading(explanation))}</title>
<style>{resource("page.css")}</style>
</head>
<body>
<header>
<p class="kicker">minibert explain · {esc(explanation.task)}</p>
<h1>{esc(heading(explanation))}</h1>
{"".join(f'<blockquote dir="auto">{esc(text)}</blockquote>' for text in explanation.texts)}
<p class="model">{esc(explanation.model)}</p>
<nav aria-label="Steps"><ol>{links}</ol></nav>
</header>
<main>{body}</main>
<footer><p>All numbers were computed for this text by minibert; nothing on this page is loaded from elsewhere.</p></footer>
<script type="application/json" id="data">{page_data(explanation)}</script>
<script>{resource("page.js")}</script>
</body>
</html>
"""


def heading(explanation: Explanation) -> str:
    if explanation.task == "similarity":
        return f"How these texts came to a {explanation.answer}"
    return f"How this text became “{explanation.answer}”"


def resource(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def check_size(explanation: Explanation) -> None:
    weights = sum(step.array[0].size for name, step in explanation.items() if is_attention(name))
    if weights > LARGEST:
        raise InputError(
            f"a page may show {LARGEST:,} attention weights, layers × heads × tokens²; this text has {weights:,}. "
            "Explain a shorter text; the arrays of this one are in the Explanation."
        )


def is_attention(name: str) -> bool:
    return name.startswith("layer.") and name.endswith(".attention")


def page_data(explanation: Explanation) -> str:
    """What the script reads, as JSON in which no tag can end. Attention is in whole percent, a byte each (H, T, T)."""
    length = len(shown_tokens(explanation))
    attention = [step.array[0, :, :length, :length] for name, step in explanation.items() if is_attention(name)]
    data: dict[str, Any] = {
        "tokens": shown_tokens(explanation),
        "heads": attention[0].shape[0],
        "attention": [packed(np.rint(layer * 100).astype(np.uint8)) for layer in attention],
        "row": explanation.targets[0].row if explanation.targets else 0,
        "strips": {
            name: packed(levels(explanation.array(f"embeddings.{name}")[0, :length, :STRIP]))
            for name in ("words", "positions", "types", "sum", "norm")
            if f"embeddings.{name}" in explanation
        },
    }
    return json.dumps(data, ensure_ascii=False).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def levels(values: np.ndarray) -> np.ndarray:
    """Numbers -> -127 to 127, the largest of them at the end."""
    return np.rint(values / max(float(np.abs(values).max()), 1e-12) * 127).astype(np.int8)


def packed(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()
