"""Tokenizers side by side: how many texts each gets wrong, then megabytes a second, on one core.

    python -m benchmarks.tokenization [--model byte-level] [--texts 20000] [--rounds 3] [--data FOLDER] [--only SST-2] [--json FILE]

The texts are SST-2's training sentences (train.tsv in FOLDER, with --data) and lines in sixteen scripts made from a
seed (multilingual.py). Every tokenizer has the same vocabulary: BERT's of 30,522 pieces or, with --model byte-level, one of
--pieces that is trained on these texts, for RoBERTa's tokenizer. First its ids, and its offsets and word
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
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

os.environ.update(TOKENIZERS_PARALLELISM="false", RAYON_NUM_THREADS="1")  # read when those libraries are imported

from . import multilingual
from .measuring import document, markdown, write
from .tokenization_peers import Peer, byte_level_peers, model_folder, reference, train_byte_level, version_of, wordpiece_peers

BASELINE = "tokenizers encode_batch_fast"
COLD, WARM = 0, 1
PACKED, PACKED_IDS = "minibert encode_packed", "minibert encode_packed, ids alone"
# (description, ours, the other, cold or warm, the ratio of speeds to reach)
PURE_GOALS = (
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
GOALS = {
    "wordpiece": (
        ("encode_packed, all three, against tokenizers' fastest call, cold", PACKED, BASELINE, COLD, 30),
        ("the same, warm", PACKED, BASELINE, WARM, 50),
        ("encode_packed, ids alone, against nanotoken, cold", PACKED_IDS, "nanotoken", COLD, 1),
        ("the same, warm", PACKED_IDS, "nanotoken", WARM, 1),
        *PURE_GOALS,
    ),
    "byte-level": (
        ("encode_packed, all three, against tokenizers' fastest call, cold", PACKED, BASELINE, COLD, 15),
        ("the same, warm", PACKED, BASELINE, WARM, 25),
        *(
            (sentence, PACKED_IDS, name, cache_state, 1)
            for name in ("gigatoken", "tiktoken", "tokie")
            for sentence, cache_state in ((f"encode_packed, ids alone, against {name}, cold", COLD), ("the same, warm", WARM))
        ),
    ),
}
TABLES = {"wordpiece": "tokenization", "byte-level": "tokenization-byte-level"}
PEERS = {"wordpiece": wordpiece_peers, "byte-level": byte_level_peers}


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


def expected(texts: list[str], folder: Path) -> list[tuple]:
    """(ids, offsets, word ids) of each text by `tokenizers`, which defines them."""
    return [(row.ids, row.offsets, row.word_ids) for row in reference(folder).encode_batch(texts)]


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
    """name -> median seconds (cold, warm). In a round each peer is constructed again, and sees the texts twice."""
    for peer in peers.values():
        peer.make()(texts[:10])  # compiles, and reads what is read once
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in peers}
    for _ in range(rounds):
        for name, peer in peers.items():
            call = peer.make()
            times[name].append((seconds(call, texts), seconds(call, texts)))
    return {name: tuple(map(statistics.median, zip(*pairs))) for name, pairs in times.items()}


def compare(peers: dict[str, Peer], folder: Path, texts: list[str], rounds: int) -> dict[str, Row]:
    """name -> Row, for one collection of texts."""
    right = expected(texts, folder)
    errors: dict[str, int | str] = {}
    for name, peer in peers.items():
        try:
            errors[name] = count_errors(peer, texts, right)
        except ImportError:
            errors[name] = "not installed"
    installed = {name: peer for name, peer in peers.items() if isinstance(errors[name], int)}
    times = measure(installed, texts, rounds)
    return {name: Row(errors[name], times.get(name)) for name in peers}


def pair(cold: float, warm: float) -> str:
    return " / ".join(f"{value:.3g}" if value < 100 else f"{value:.0f}" for value in (cold, warm))


def speeds(peers: dict[str, Peer], title: str, texts: list[str], rows: dict[str, Row]) -> dict:
    """The table of the tokenizers."""
    size, base = sum(len(text.encode()) for text in texts), rows[BASELINE].seconds
    columns = ["tokenizer", "gives", f"{title}, MB/s cold / warm", f"{title}, × {BASELINE}", f"{title}, texts wrong"]
    lines = []
    for name, (errors, times) in rows.items():
        figures = [None, None]
        if times:
            figures = [pair(*(size / one / 1e6 for one in times)), pair(*(b / one for b, one in zip(base, times)))]
        lines.append([version_of(name), peers[name].gives, *figures, errors])
    return {"columns": columns, "rows": lines}


def goals(model: str, title: str, rows: dict[str, Row]) -> dict:
    """The table of goals; one that is missed says so."""
    lines, before = [], ""
    for sentence, ours, other, cache_state, goal in GOALS[model]:
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
    parser.add_argument("--model", choices=tuple(PEERS), default="wordpiece", help="which subword model")
    parser.add_argument("--pieces", type=int, default=50_000, help="of the vocabulary that is trained for byte-level BPE")
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
    with tempfile.TemporaryDirectory() as temporary:
        tables = tables_of(options, Path(temporary))
    write(options.json, document("tokenization", 1, tables))


def tables_of(options: argparse.Namespace, temporary: Path) -> dict[str, dict]:
    """Compare, and print the tables -> name: table. temporary: a folder for a vocabulary that is trained."""
    kinds, tables = collections(options), {}
    folder = model_folder() if options.model == "wordpiece" else temporary
    if folder is temporary:
        train_byte_level([text for texts in kinds.values() for text in texts], options.pieces, folder)
    peers, table_name = PEERS[options.model](folder), TABLES[options.model]
    for title, texts in kinds.items():
        rows = compare(peers, folder, texts, options.rounds)
        both = speeds(peers, title, texts, rows), goals(options.model, title, rows)
        for name, table in zip((table_name, f"{table_name}-goals"), both):
            print(markdown(table["columns"], table["rows"]), end="\n\n", flush=True)
            tables[name] = join_columns(tables.get(name), table)
    return tables


def join_columns(left: dict | None, right: dict) -> dict:
    """Join two tables that have the same rows: new columns of the second are appended to the first's."""
    if left is None:
        return right
    new = [index for index, column in enumerate(right["columns"]) if column not in left["columns"]]
    rows = [[*row, *(other[index] for index in new)] for row, other in zip(left["rows"], right["rows"], strict=True)]
    return {"columns": [*left["columns"], *(right["columns"][index] for index in new)], "rows": rows}


if __name__ == "__main__":
    main()
