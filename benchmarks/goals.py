"""minibert's speed goals against other engines, and the ratios reached, from the table of engines of `model.py`.

The table it prints:

    times as fast as                            1×16            ...   SST-2 by 32
    minibert fast: the fastest other fp32       0.99, not 1.3   ...   1, not 1.05
"""

from __future__ import annotations

SHAPES = ("1×16", "1×128", "8×128", "32×128", "1×512")
ALONE, AS_THEY_COME, SORTED = "SST-2 one by one", "SST-2 by 32", "SST-2 by 32, sorted"
# (ours, the others by the end of their name: the fastest of them counts, column -> the ratio to reach; 0 only shows the ratio)
GOALS = (
    ("minibert fast", "fp32", {**dict.fromkeys(SHAPES, 1), "1×16": 1.3, ALONE: 1.25, AS_THEY_COME: 1.05, SORTED: 1.05}),
    ("minibert fast", "fp32 ceiling", {"32×128": 0.92}),
    ("minibert bf16", "OpenVINO bf16", dict.fromkeys(SHAPES, 1)),
    (
        "minibert int8",
        "ONNX Runtime int8",
        {**dict.fromkeys(SHAPES, 1.5), "1×16": 2, ALONE: 2.2, AS_THEY_COME: 1.35, SORTED: 1.35},
    ),
    ("int8 ceiling", "ONNX Runtime int8", dict.fromkeys((*SHAPES, ALONE), 0)),
)
COMPARE_WITH = {AS_THEY_COME: SORTED}  # batches of mixed lengths here are compared with the others' sorted ones


def table(engines: dict) -> dict:
    """{"columns", "rows"} of the engines -> the same of the goals; a ratio below its goal names the goal."""
    columns = engines["columns"][1:]
    figures = {name: dict(zip(columns, cells)) for name, *cells in engines["rows"]}
    labels = {column.rsplit(", ", 1)[0]: column for column in columns}
    rows = []
    for ours, others, goal in GOALS:
        ratios = {label: ratio_of(figures, ours, others, labels, label) for label in labels}
        cells = [cell(ratios[label], goal.get(label)) for label in labels if label != "error"]
        if any(cells):
            rows.append([f"{ours}: {'the fastest other ' if others == 'fp32' else ''}{others}", *cells])
    return {"columns": ["times as fast as", *(label for label in labels if label != "error")], "rows": rows}


def ratio_of(figures: dict, ours: str, others: str, labels: dict, label: str) -> float | None:
    """How many times as fast ours is; None if either has no figure."""
    column, other_column = labels[label], labels.get(COMPARE_WITH.get(label, label), "")
    mine = figures.get(ours, {}).get(column)
    theirs = [cells.get(other_column) for name, cells in figures.items() if name.endswith(others) and name != ours]
    theirs = [figure for figure in theirs if isinstance(figure, (int, float))]
    if not isinstance(mine, (int, float)) or not theirs:
        return None
    return mine / max(theirs) if column.endswith("/s") else min(theirs) / mine


def cell(ratio: float | None, goal: float | None) -> str | None:
    if ratio is None or goal is None:
        return None
    return f"{ratio:.2f}" if ratio >= goal else f"{ratio:.2f}, not {goal:g}"
