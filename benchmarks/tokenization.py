"""Tokenizers side by side: how many texts each gets wrong, then megabytes a second, on one core.

    python -m benchmarks.tokenization [--texts 20000] [--rounds 3] [--data FOLDER] [--only SST-2] [--json FILE]

The texts are SST-2's training sentences (train.tsv in FOLDER, with --data) and lines in sixteen scripts made from a
seed (multilingual.py). Every tokenizer has the same vocabulary of 30,522 pieces. First its ids, and its offsets and word
ids if it has them, are compared with those of `tokenizers`. Then all are timed in turn, round by round in one process
pinned to one core; the table has the median of processor time, as the core may be shared.

cold: a tokenizer that has seen no text before (its loading is not counted). warm: one that has seen these texts.
The second table has the ratios that minibert means to reach. `benchmarks/report.py` puts both into the README.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

os.environ.update(TOKENIZERS_PARALLELISM="false", RAYON_NUM_THREADS="1")  # read when those libraries are imported

from . import multilingual
from .measuring import document, markdown, write
from .tokenization_peers import PEERS, Peer, model_folder, version_of

BASELINE = "tokenizers encode_batch_fast"
COLD, WARM = 0, 1
# (description, ours, the other, cold or warm, the ratio of speeds to reach)
GOALS = (
    ("encode_packed, all three, against tokenizers' fastest call, cold", "minibert encode_packed", BASELINE, COLD, 30),
    ("the same, warm", "minibert encode_packed", BASELINE, WARM, 50),
    ("encode_packed, ids alone, against nanotoken, cold", "minibert encode_packed, ids alone", "nanotoken", COLD, 1),
    ("the same, warm", "minibert encode_packed, ids alone", "nanotoken", WARM, 1),
    (
        "pure Python, ids, against tokenizers' encode, warm (wanted on SST-2)",
        "minibert encode",
        "tokenizers encode, ids",
        WARM,
        8,
    ),
    ("pure Python, ids, against tokenizers' encode, cold", "minibert encode", "tokenizers encode, ids", COLD, 1),
    ("pure Python, all three, against tokenizers' encode, cold", "minibert call", "tokenizers encode", COLD, 1),
)


class Row(NamedTuple):
    """The figures of a tokenizer; seconds are None if it is not installed."""

    errors: int | str  # texts that differ from the reference, or "not installed"
    seconds: tuple[float, float] | None  # (cold, warm)


def sst2(folder: Path) -> list[str]:
    """The sentences of train.tsv."""
    path = folder / "train.tsv"
    if not path.is_file():
        raise SystemExit(f"--data must be a folder that holds SST-2's train.tsv; {path} is not there.")
    return [line.split("\t")[1] for line in path.read_text(encoding="utf-8").rstrip("\n").split("\n")[1:]]


def expected(texts: list[str]) -> list[tuple]:
    """(ids, offsets, word ids) of each text by `tokenizers`, which defines them."""
    import tokenizers

    reference = tokenizers.Tokenizer.from_file(str(model_folder() / "tokenizer.json"))
    reference.no_padding()
    reference.no_truncation()
    return [(row.ids, row.offsets, row.word_ids) for row in reference.encode_batch(texts)]


def count_errors(peer: Peer, texts: list[str], right: list[tuple]) -> int:
    """How many texts differ from the reference, in the columns that this peer gives."""
    rows = peer.rows(peer.make()(texts))
    return sum(tuple(row) != other[: len(row)] for row, other in zip(rows, right, strict=True))


def seconds(call: Callable, texts: list[str]) -> float:
    """Processor time of a call. Existing objects are frozen first: the garbage collector would scan the answers compared
    above in the time of whichever tokenizer is running, which could triple it."""
    gc.collect()
    gc.freeze()
    start = time.process_time()
    call(texts)
    taken = time.process_time() - start
    gc.unfreeze()
    return taken


def measure(peers: dict[str, Peer], texts: list[str], rounds: int) -> dict[str, tuple[float, float]]:
    """name -> median seconds (cold, warm). In a round each peer is made anew, and sees the texts twice."""
    for peer in peers.values():
        peer.make()(texts[:10])  # compiles, and reads what is read once
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in peers}
    for _ in range(rounds):
        for name, peer in peers.items():
            call = peer.make()
            times[name].append((seconds(call, texts), seconds(call, texts)))
    return {name: tuple(map(statistics.median, zip(*pairs))) for name, pairs in times.items()}


def compare(texts: list[str], rounds: int) -> dict[str, Row]:
    """name -> Row, for one collection of texts."""
    right = expected(texts)
    errors: dict[str, int | str] = {}
    for name, peer in PEERS.items():
        try:
            errors[name] = count_errors(peer, texts, right)
        except ImportError:
            errors[name] = "not installed"
    installed = {name: peer for name, peer in PEERS.items() if isinstance(errors[name], int)}
    times = measure(installed, texts, rounds)
    return {name: Row(errors[name], times.get(name)) for name in PEERS}


def pair(cold: float, warm: float) -> str:
    return " / ".join(f"{value:.3g}" if value < 100 else f"{value:.0f}" for value in (cold, warm))


def speeds(title: str, texts: list[str], rows: dict[str, Row]) -> dict:
    """The table of the tokenizers."""
    size, base = sum(len(text.encode()) for text in texts), rows[BASELINE].seconds
    columns = ["tokenizer", "gives", f"{title}, MB/s cold / warm", f"{title}, × {BASELINE}", f"{title}, texts wrong"]
    lines = []
    for name, (errors, times) in rows.items():
        figures = [None, None]
        if times:
            figures = [pair(*(size / one / 1e6 for one in times)), pair(*(b / one for b, one in zip(base, times)))]
        lines.append([version_of(name), PEERS[name].gives, *figures, errors])
    return {"columns": columns, "rows": lines}


def goals(title: str, rows: dict[str, Row]) -> dict:
    """The table of goals; one that is missed says so."""
    lines, before = [], ""
    for sentence, ours, other, cache_state, goal in GOALS:
        sentence = sentence.replace("the same", before)
        before = sentence.removesuffix(", cold")
        figure = None
        if rows[ours].seconds and rows[other].seconds:
            times = rows[other].seconds[cache_state] / rows[ours].seconds[cache_state]
            figure = f"{times:.3g}×" + ("" if times >= goal else ", missed")
        lines.append([sentence, f"{goal}×", figure])
    return {"columns": ["goal", "wanted", title], "rows": lines}


def pin() -> str:
    """Pin this process to one core -> which, or that this system cannot."""
    if not hasattr(os, "sched_setaffinity"):
        return "not pinned: this system has no sched_setaffinity"
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return f"pinned to core {core}"


def collections(options: argparse.Namespace) -> dict[str, list[str]]:
    """title -> texts, of the collections that the options select."""
    texts = {}
    if options.data and options.only in (None, "SST-2"):
        texts["SST-2"] = sst2(options.data)[: options.texts]
    if options.only in (None, "multilingual"):
        texts["multilingual"] = multilingual.lines(options.texts)
    return texts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=20_000, help="how many of each kind")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", type=Path, help="a folder with SST-2's train.tsv")
    parser.add_argument("--only", choices=("SST-2", "multilingual"), help="one kind of text")
    parser.add_argument("--json", type=Path, help="write the tables here, too")
    options = parser.parse_args()
    if min(options.texts, options.rounds) < 1:
        parser.error("--texts and --rounds must be 1 or more")
    if options.only == "SST-2" and not options.data:
        parser.error("--only SST-2 needs --data, the folder with its train.tsv")
    print(f"{options.texts} texts of each kind, {options.rounds} rounds, {pin()}\n", flush=True)
    tables: dict[str, dict] = {}
    for title, texts in collections(options).items():
        rows = compare(texts, options.rounds)
        for name, table in (("tokenization", speeds(title, texts, rows)), ("tokenization-goals", goals(title, rows))):
            print(markdown(table["columns"], table["rows"]), end="\n\n", flush=True)
            tables[name] = join_columns(tables.get(name), table)
    write(options.json, document("tokenization", 1, tables))


def join_columns(left: dict | None, right: dict) -> dict:
    """Join two tables that have the same rows: new columns of the second are appended to the first's."""
    if left is None:
        return right
    new = [index for index, column in enumerate(right["columns"]) if column not in left["columns"]]
    rows = [[*row, *(other[index] for index in new)] for row, other in zip(left["rows"], right["rows"], strict=True)]
    return {"columns": [*left["columns"], *(right["columns"][index] for index in new)], "rows": rows}


if __name__ == "__main__":
    main()
