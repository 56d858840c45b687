"""What minibert means to reach beside other engines, and how far it came, from the table of engines that `model.py` makes.

The table it prints:

    times as fast as                            1×16            ...   SST-2 by 32
    minibert fast: the fastest other fp32       0.99, not 1.3   ...   1, not 1.05
"""

from __future__ import annotations

SHAPES = ("1×16", "1×128", "8×128", "32×128", "1×512")
ALONE, AS_THEY_COME, SORTED = "SST-2 one by one", "SST-2 by 32", "SST-2 by 32, sorted"
# Ours, the others (those whose names end so; the fastest of them counts), and column -> how many times as fast it is to be;
# of what is beside the others for comparison, nothing is wanted.
WANTED = (
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
INSTEAD = {AS_THEY_COME: SORTED}  # a batch of mixed lengths is to be as quick here as the others are when it is sorted


def table(engines: dict) -> dict:
    """{"columns", "rows"} of the engines -> the same of the goals; a figure that is below what is wanted says so."""
    columns = engines["columns"][1:]
    figures = {name: dict(zip(columns, cells)) for name, *cells in engines["rows"]}
    labels = {column.rsplit(", ", 1)[0]: column for column in columns}
    rows = []
    for ours, others, wanted in WANTED:
        found = {label: reached(figures, ours, others, labels, label) for label in labels}
        cells = [shown(found[label], wanted.get(label)) for label in labels if label != "error"]
        if any(cells):
            rows.append([f"{ours}: {'the fastest other ' if others == 'fp32' else ''}{others}", *cells])
    return {"columns": ["times as fast as", *(label for label in labels if label != "error")], "rows": rows}


def reached(figures: dict, ours: str, others: str, labels: dict, label: str) -> float | None:
    """How many times as fast ours is; None where either has no figure."""
    column, beside = labels[label], labels.get(INSTEAD.get(label, label), "")
    mine = figures.get(ours, {}).get(column)
    theirs = [cells.get(beside) for name, cells in figures.items() if name.endswith(others) and name != ours]
    theirs = [figure for figure in theirs if isinstance(figure, (int, float))]
    if not isinstance(mine, (int, float)) or not theirs:
        return None
    return mine / max(theirs) if column.endswith("/s") else min(theirs) / mine


def shown(found: float | None, wanted: float | None) -> str | None:
    if found is None or wanted is None:
        return None
    return f"{found:.2f}" if found >= wanted else f"{found:.2f}, not {wanted:g}"
