"""minibert's speed goals against other engines, and the ratios reached, from the turns that `model.py` measured.

The table it prints:

    times as fast as                                         1×16                         ...   SST-2 by 32
    minibert fast: the fastest other fp32                    0.99 [0.97, 1.01], not 1.3   ...   1.02 [1.01, 1.03], not 1.05
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .intervals import Ratio, paired, unpaired

SHAPES = ("1×16", "1×128", "8×128", "32×128", "1×512")
ALONE, AS_THEY_COME, SORTED = "SST-2 one by one", "SST-2 by 32", "SST-2 by 32, sorted"
LABELS = (*SHAPES, ALONE, AS_THEY_COME, SORTED)
COMPARE_WITH = {AS_THEY_COME: SORTED}  # batches of mixed lengths here are compared with the others' sorted ones

Goals = dict[tuple[str, str], dict[str, float]]  # ours, the end of the others' names, of which the fastest counts -> the ratios
FAST, BF16, INT8 = "minibert fast", "minibert bf16", "minibert int8"
AT_LEAST = 1 / 1.05  # of a format with fewer bits beside one with more
SHOWN = dict.fromkeys(LABELS, 0.0)  # no goal, but worth knowing
FEWER_BITS: Goals = {(BF16, FAST): dict.fromkeys(LABELS, AT_LEAST), (INT8, BF16): dict.fromkeys(LABELS, AT_LEAST)}
ANYWHERE: Goals = {(FAST, " fp32"): SHOWN, (BF16, "OpenVINO bf16"): SHOWN, (INT8, " int8"): SHOWN, **FEWER_BITS}
AVX512: Goals = {
    (FAST, " fp32"): {**dict.fromkeys(SHAPES, 1), "1×16": 1.3, ALONE: 1.25, AS_THEY_COME: 1.05, SORTED: 1.05},
    (FAST, "fp32 ceiling"): {"32×128": 0.92},
    (BF16, "OpenVINO bf16"): dict.fromkeys(SHAPES, 1),
    (INT8, "ONNX Runtime int8"): {**dict.fromkeys(SHAPES, 1.5), "1×16": 2, ALONE: 2.2, AS_THEY_COME: 1.35, SORTED: 1.35},
    ("int8 ceiling", "ONNX Runtime int8"): dict.fromkeys((*SHAPES, ALONE), 0),  # the most that is possible
    **FEWER_BITS,
}
AMX: Goals = {
    (FAST, " fp32"): {**dict.fromkeys(SHAPES, 1.5), "1×16": 1.1},
    (FAST, "fp32 ceiling"): {"8×128": 1, "32×128": 1},
    (BF16, "OpenVINO bf16"): {**dict.fromkeys(SHAPES, 1.3), ALONE: 1.3, AS_THEY_COME: 1.5, SORTED: 1.5},
    (INT8, " int8"): dict.fromkeys(SHAPES, 1.5),
    (INT8, "ONNX Runtime int8"): {ALONE: 1.5, AS_THEY_COME: 2, SORTED: 2},
    (BF16, FAST): dict.fromkeys(LABELS, AT_LEAST),
    (INT8, BF16): dict.fromkeys(LABELS, 1),
}
GOALS = {"AMX": AMX, "AVX-512 with VNNI and BF16": AVX512, "AVX-512 with VNNI": AVX512}  # kind of machine -> its goals

Turns = Mapping[str, Mapping[str, Mapping]]  # what is computed -> engine -> its `Timing` as a mapping


def table(seconds: Turns, kind: str) -> dict:
    """{"columns", "rows"} of the ratios reached on this kind of machine; one below its goal names the goal."""
    rows = []
    for (ours, others), goals in GOALS.get(kind, ANYWHERE).items():
        cells = [cell(ratio_of(seconds, ours, others, label), goals[label]) if label in goals else None for label in seconds]
        if any(cells):
            rows.append([f"{ours}: {'the fastest other' if others.startswith(' ') else ''}{others}", *cells])
    return {"columns": ["times as fast as", *seconds], "rows": rows}


def ratios(seconds: Turns, label: str, kind: str) -> Iterator[Ratio]:
    """Those that the table shows for what is computed, without the ceilings'."""
    for (ours, others), goals in GOALS.get(kind, ANYWHERE).items():
        found = ratio_of(seconds, ours, others, label) if label in goals and "ceiling" not in ours + others else None
        if found:
            yield found


def ratio_of(seconds: Turns, ours: str, others: str, label: str) -> Ratio | None:
    """How many times as fast ours is; None if either was not timed."""
    beside = label if others.startswith("minibert") else COMPARE_WITH.get(label, label)
    mine, timed = seconds.get(label, {}).get(ours), seconds.get(beside, {})
    names = [name for name in timed if name.endswith(others) and not (name.startswith("minibert") and others.startswith(" "))]
    if mine is None or not names:
        return None
    theirs = timed[min(names, key=lambda name: timed[name]["median"])]
    return (paired if beside == label else unpaired)(mine["turns"], theirs["turns"])


def cell(ratio: Ratio | None, goal: float) -> str | None:
    if ratio is None:
        return None
    return str(ratio) if ratio.median >= goal else f"{ratio}, not {goal:.3g}"
