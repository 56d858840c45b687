"""The figures of the bundled model's card, and the card: `bundled_card.md` with the figures in its slots.

Half of the held-back sentences chose the checkpoint, the size of the vocabulary and the temperature; figures are of the other
half, and of SST-2's dev, which is read here alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minibert import pipeline
from minibert.calibrate import calibration_error

from .bundled_rows import COMPOSED, LABELS, REVIEWED, Rows, read_rows
from .bundled_sentences import sentences

CARD = Path(__file__).with_name("bundled_card.md")
FRONTIER_PIECES = (30522, 29612, 25000, 20000, 15000, 10000)
EXAMPLES = [  # what a reader of each expects
    ("I've been waiting for a HuggingFace course my whole life.", "POSITIVE"),
    ("I hate this so much!", "NEGATIVE"),
    ("This movie is great.", "POSITIVE"),
    ("This movie is terrible.", "NEGATIVE"),
    ("We are very happy to show you this library.", "POSITIVE"),
    ("I love this library!", "POSITIVE"),
    ("I can't recommend this enough.", "POSITIVE"),
    ("This movie is not bad at all.", "POSITIVE"),
    ("Not bad at all.", "POSITIVE"),
    ("I don't hate it.", "POSITIVE"),
    ("At first I was sceptical, but I love it.", "POSITIVE"),
    ("The plot is thin but the acting saves it.", "POSITIVE"),
    ("Great actors, and still a waste of two hours.", "NEGATIVE"),
    ("The service was slow and the food cold.", "NEGATIVE"),
    ("The battery died after two days and nobody answered my emails.", "NEGATIVE"),
    ("Arrived a day early, works like a charm.", "POSITIVE"),
    ("Our plumber came on time, fixed the leak and left the kitchen clean.", "POSITIVE"),
    ("I would not stay in this hotel again.", "NEGATIVE"),
]
NEUTRAL_TEXTS = """Birds are a type of animal.
The meeting is at ten.
She bought a loaf of bread and two apples.
The river flows into the North Sea.
A triangle has three sides.
The package contains a cable and a manual.
He turned left at the traffic lights.
Version 2.1 was released in May.
The film is 114 minutes long.
It is set in a small town in Norway.
The director was born in 1961.
My phone is on the table.
The museum is closed on Tuesdays.
How do I change my password?
Which platform does the train leave from?
The recipe takes two cups of flour.
We had lunch and went back to the office.
The book has twelve chapters.
The committee will vote on Thursday.
There are two bedrooms and a bathroom.""".splitlines()


def positive_scores(folder: Path, texts: list[str], kernels: str = "auto") -> np.ndarray:
    """Each text's score of POSITIVE."""
    pipe = pipeline("text-classification", str(folder), top_k=None, truncation=True, kernels=kernels)
    answers = ({answer["label"]: answer["score"] for answer in row} for row in pipe.stream(texts))
    return np.array([answer["POSITIVE"] for answer in answers])


def measure(folder: Path, rows: Rows, kernels: str = "auto") -> tuple[int, float]:
    """-> how many labels are right, and the expected calibration error."""
    scores = positive_scores(folder, [text for text, _ in rows], kernels)
    truth = np.array([LABELS.index(label) for _, label in rows])
    return int(((scores > 0.5) == truth).sum()), calibration_error(np.stack([1 - scores, scores], axis=1), truth)


def report(work: Path, data: Path) -> None:
    """Write work/report.json, and the card beside the weights."""
    rows = {
        "choose": read_rows(work / "choose.tsv"),
        "report": read_rows(work / "report.tsv"),
        "dev": read_rows(data / "dev.tsv"),
    }
    figures: dict[str, Any] = {"bytes": (work / "int8" / "model.safetensors").stat().st_size}
    figures["pieces"] = json.loads((work / "int8" / "config.json").read_text())["vocab_size"]
    figures["epochs"] = round(json.loads((work / "student" / "trainer_state.json").read_text())["epoch"])
    figures["long_rows"], figures["template_rows"] = len(read_rows(work / "long.tsv")), len(sentences())
    figures["short_rows"] = len(read_rows(work / "rest.tsv")) - figures["long_rows"]
    figures["reviewed_rows"] = REVIEWED
    figures |= {f"{name}_rows": count for name, count in COMPOSED.items()}
    learned = dict(read_rows(work / "texts.tsv"))
    if any(text in learned for text, _ in EXAMPLES):
        raise SystemExit("a sentence of the card was trained on")
    for name in ("choose", "report", "dev"):
        right, error = measure(work / "int8", rows[name])
        figures |= {f"{name}_right": right, f"{name}_rows": len(rows[name]), f"{name}_error": error}
    figures["before_error"] = measure(work / "rounded", rows["report"])[1]
    figures["teacher_right"] = measure(work / "teacher", rows["report"], "int8")[0]
    for kernels in ("fast", "bf16"):
        figures[f"{kernels}_right"] = measure(work / "cut", rows["dev"], kernels)[0]
    examples = positive_scores(work / "int8", [text for text, _ in EXAMPLES])
    figures["examples"] = [[text, expected, *labeled(score)] for (text, expected), score in zip(EXAMPLES, examples.tolist())]
    figures["neutral"] = positive_scores(work / "int8", NEUTRAL_TEXTS).tolist()
    (work / "report.json").write_text(json.dumps(figures, indent=2) + "\n")
    for text, expected, label, score in figures["examples"]:
        print(f"{'' if label == expected else 'WRONG ':6}{label}\t{score:.3f}\t{text}")
    (work / "int8" / "README.md").write_text(card(figures, json.loads((work / "frontier.json").read_text())), encoding="utf-8")


def labeled(score: float) -> tuple[str, float]:
    """The score of POSITIVE -> the better label and its score."""
    return ("POSITIVE", score) if score > 0.5 else ("NEGATIVE", 1 - score)


def report_frontier(work: Path, cut: Callable[[Path, Path, int], Path]) -> None:
    """Write work/frontier.json: the half to choose, by students of fewer layers, and by the student with fewer pieces."""
    rows, table = read_rows(work / "choose.tsv"), []
    smaller = [(f"layers{layers}", "a quarter, once", layers, FRONTIER_PIECES[0]) for layers in (6, 4, 3)]
    for name, learned, layers, pieces in [*smaller, *(("student", "all", 6, pieces) for pieces in FRONTIER_PIECES)]:
        folder = cut(work / name, work / f"{name}.{pieces}", pieces)
        right, _ = measure(folder, rows, "fast")
        weights = 384 * pieces + layers * (4 * 384 * 384 + 2 * 384 * 1536)
        table.append(
            {"learned": learned, "layers": layers, "pieces": pieces, "bytes": weights, "right": right, "rows": len(rows)}
        )
        print(table[-1], flush=True)
    (work / "frontier.json").write_text(json.dumps(table, indent=2) + "\n")


def card(figures: dict[str, Any], frontier: list[dict[str, Any]]) -> str:
    """The card, with the figures in its slots."""
    lines = {
        "examples": [f"| `{text}` | {label} | {score:.3f} |" for text, _, label, score in figures["examples"]],
        "frontier": [
            f"| {row['layers']} | {row['pieces']:,} | {row['learned']} | {row['bytes'] / 1e6:.1f} MB "
            f"| {row['right'] / row['rows']:.1%} |"
            for row in frontier
        ],
    }
    scores = np.array(figures["neutral"])
    values = {name: "\n".join(rows) for name, rows in lines.items()}
    values |= {name: f"{100 * figures[f'{name}_right'] / figures[f'{name}_rows']:.1f}" for name in ("choose", "report", "dev")}
    values |= {f"{name}_percent": f"{100 * figures[f'{name}_error']:.1f}" for name in ("choose", "report", "dev", "before")}
    values |= {"teacher": f"{100 * figures['teacher_right'] / figures['report_rows']:.1f}"}
    values |= {"neutral_count": len(scores), "neutral_positive": int((scores > 0.5).sum())}
    values |= {"neutral_mean": f"{np.maximum(scores, 1 - scores).mean():.2f}"}
    values |= {"neutral_sure": int((np.maximum(scores, 1 - scores) > 0.9).sum()), "bytes": f"{figures['bytes']:,}"}
    wrong = [f"`{text}`" for text, expected, label, _ in figures["examples"] if label != expected]
    values["mistakes"] = f"Wrong: {', '.join(wrong)}." if wrong else "All of them are right."
    numbers = {name: f"{value:,}" for name, value in figures.items() if name.endswith(("_right", "_rows", "pieces", "epochs"))}
    return CARD.read_text(encoding="utf-8").format(**{**numbers, **values})
