"""Tokenizers side by side: how many texts each gets wrong, then megabytes a second, on one core.

    python -m benchmarks.tokenization [--texts 20000] [--rounds 3] [--data FOLDER] [--only SST-2] [--json FILE]

The texts are SST-2's training sentences (train.tsv in FOLDER, if one is given) and lines in sixteen scripts made from a
seed (multilingual.py). Every tokenizer has the same vocabulary of 30,522 pieces. First its ids, and its offsets and word
ids where it gives them, are compared with those of `tokenizers`. Then all are timed in turn, round by round in one
process pinned to one core; the median of the processor's time stands in the table, as others may use the core too.

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
# What is to be reached: a sentence, the two tokenizers, cold or warm, how many times as fast the first is to be.
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
    """What was found out about a tokenizer; seconds are None where it is not installed."""

    wrong: int | str
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


def wrong(peer: Peer, texts: list[str], right: list[tuple]) -> int:
    """How many texts come out otherwise than they should, in what this peer gives."""
    rows = peer.rows(peer.make()(texts))
    return sum(tuple(row) != other[: len(row)] for row, other in zip(rows, right, strict=True))


def seconds(call: Callable, texts: list[str]) -> float:
    """The processor's time of a call. What was there before is kept out of the garbage collector's sight: it went through
    the answers compared above, too, now in the time of one tokenizer and now of another, up to twice what that took."""
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
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in peers}
    for _ in range(rounds):
        for name, peer in peers.items():
            call = peer.make()
            found[name].append((seconds(call, texts), seconds(call, texts)))
    return {name: tuple(map(statistics.median, zip(*pairs))) for name, pairs in found.items()}


def compare(texts: list[str], rounds: int) -> dict[str, Row]:
    """name -> Row, for one collection of texts."""
    right = expected(texts)
    faults: dict[str, int | str] = {}
    for name, peer in PEERS.items():
        try:
            faults[name] = wrong(peer, texts, right)
        except ImportError:
            faults[name] = "not installed"
    there = {name: peer for name, peer in PEERS.items() if isinstance(faults[name], int)}
    times = measure(there, texts, rounds)
    return {name: Row(faults[name], times.get(name)) for name in PEERS}


def pair(cold: float, warm: float) -> str:
    return " / ".join(f"{value:.3g}" if value < 100 else f"{value:.0f}" for value in (cold, warm))


def speeds(title: str, texts: list[str], rows: dict[str, Row]) -> dict:
    """The table of the tokenizers."""
    size, base = sum(len(text.encode()) for text in texts), rows[BASELINE].seconds
    columns = ["tokenizer", "gives", f"{title}, MB/s cold / warm", f"{title}, × {BASELINE}", f"{title}, texts wrong"]
    lines = []
    for name, (faults, times) in rows.items():
        figures = [None, None]
        if times:
            figures = [pair(*(size / one / 1e6 for one in times)), pair(*(b / one for b, one in zip(base, times)))]
        lines.append([version_of(name), PEERS[name].gives, *figures, faults])
    return {"columns": columns, "rows": lines}


def goals(title: str, rows: dict[str, Row]) -> dict:
    """The table of what is to be reached; a goal that is missed is marked so."""
    lines, before = [], ""
    for sentence, ours, other, when, wanted in GOALS:
        sentence = sentence.replace("the same", before)
        before = sentence.removesuffix(", cold")
        figure = None
        if rows[ours].seconds and rows[other].seconds:
            times = rows[other].seconds[when] / rows[ours].seconds[when]
            figure = f"{times:.3g}×" + ("" if times >= wanted else ", missed")
        lines.append([sentence, f"{wanted}×", figure])
    return {"columns": ["goal", "wanted", title], "rows": lines}


def pin() -> str:
    """Keep this process on one core; says which, or that the system has no way to."""
    if not hasattr(os, "sched_setaffinity"):
        return "not pinned: this system has no sched_setaffinity"
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return f"pinned to core {core}"


def collections(options: argparse.Namespace) -> dict[str, list[str]]:
    """title -> texts, of those that are asked for and there."""
    made = {}
    if options.data and options.only in (None, "SST-2"):
        made["SST-2"] = sst2(options.data)[: options.texts]
    if options.only in (None, "multilingual"):
        made["multilingual"] = multilingual.lines(options.texts)
    return made


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
            tables[name] = beside(tables.get(name), table)
    write(options.json, document("tokenization", 1, tables))


def beside(left: dict | None, right: dict) -> dict:
    """Two tables of the same rows as one: the columns of the second that the first lacks come behind."""
    if left is None:
        return right
    new = [place for place, column in enumerate(right["columns"]) if column not in left["columns"]]
    rows = [[*row, *(other[place] for place in new)] for row, other in zip(left["rows"], right["rows"], strict=True)]
    return {"columns": [*left["columns"], *(right["columns"][place] for place in new)], "rows": rows}


if __name__ == "__main__":
    main()
