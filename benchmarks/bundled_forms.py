"""The bundled model as floats, in bf16 and in int8: accuracy, size and speed.

    python -m benchmarks.bundled_forms --data FOLDER [--rounds 5] [--json FILE]

The floats are what `minibert dequantize` writes. Labels of SST-2's dev come first: a form whose labels are too often others than
the floats' prints FAIL and no time. A label's first time is a whole process, as in `startup.py`. With `--rounds 0`,
nothing is timed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from minibert import pipeline
from minibert.hub import BUNDLED
from minibert.kernels.runtime.thread_count import get_num_threads
from minibert.quantize import dequantize

from .bundled_rows import read_rows
from .measuring import document, markdown, time_in_turn, write
from .startup import OURS, SENTENCE, measure

MODEL = "minibert-sst2"
BATCH = 32
MAX_CHANGED = 0.02  # of the labels, from those of the floats
FORMS = (("float32", "fast"), ("bf16", "bf16"), ("int8", "int8"))
COLUMNS = ["form", "weights, MB", "SST-2 dev, %", "labels changed"]
TIMED = ["one sentence, ms", "by 32, sentences/s", "first label, s", "peak, MiB"]


def labels_of(pipe: Any, texts: list[str]) -> list[str]:
    return [answer["label"] for answer in pipe.stream(texts)]


def timed_columns(pipes: dict[str, Any], folders: dict[str, Path], texts: list[str], rounds: int) -> dict[str, list[float]]:
    """form -> its cells of TIMED."""
    batch = texts[:BATCH]
    one = time_in_turn({form: lambda pipe=pipe: pipe(SENTENCE) for form, pipe in pipes.items()}, rounds)
    many = time_in_turn({form: lambda pipe=pipe: pipe(batch, batch_size=BATCH) for form, pipe in pipes.items()}, rounds)
    cells = {}
    for form, kernels in FORMS:
        if form in pipes:
            program = OURS.format(checkpoint="", kernels=kernels)
            seconds, peaks = zip(*measure({form: program}, folders[form], rounds)[form])
            cells[form] = [1000 * one[form].median, BATCH / many[form].median, statistics.median(seconds), max(peaks)]
    return cells


def run(options: argparse.Namespace, floats: Path) -> None:
    dequantize(MODEL, floats)
    folders = {form: BUNDLED / MODEL if form == "int8" else floats for form, _ in FORMS}
    pipes = {form: pipeline("text-classification", str(folders[form]), kernels=kernels) for form, kernels in FORMS}
    rows = read_rows(options.data / "dev.tsv")
    texts, truth = zip(*rows)
    answers = {form: labels_of(pipe, list(texts)) for form, pipe in pipes.items()}
    table = {}
    for form in pipes:
        changed = sum(label != exact for label, exact in zip(answers[form], answers["float32"]))
        right = sum(label == name for label, name in zip(answers[form], truth))
        size = (folders[form] / "model.safetensors").stat().st_size / 1e6
        verdict = changed if changed <= MAX_CHANGED * len(rows) else f"FAIL: {changed}"
        table[form] = [form, round(size, 1), round(100 * right / len(rows), 1), verdict]
    columns = COLUMNS
    if options.rounds:
        columns = COLUMNS + TIMED
        passed = {form: pipe for form, pipe in pipes.items() if isinstance(table[form][-1], int)}
        cells = timed_columns(passed, folders, list(texts), options.rounds)
        table = {form: [*row, *cells.get(form, [None] * len(TIMED))] for form, row in table.items()}
    print(markdown(columns, table.values()))
    tables = {"bundled-forms": {"columns": columns, "rows": list(table.values())}}
    write(options.json, document("bundled_forms", get_num_threads(), tables))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="FOLDER", required=True, help="with SST-2's dev.tsv")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    options = parser.parse_args()
    if options.rounds < 0:
        parser.error("--rounds must be 0 or more")
    with tempfile.TemporaryDirectory() as folder:
        run(options, Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
