"""Tokenizers side by side: how many texts each gets wrong, then megabytes and tokens a second, on one core.

    python -m benchmarks.tokenization [--texts 20000] [--rounds 5] [--data FOLDER] [--json FILE]

The texts are SST-2's training sentences (train.tsv in FOLDER, if one is given) and lines in sixteen scripts made from a
seed (multilingual.py). Every tokenizer has the same vocabulary of 30,522 pieces. First its ids, and its offsets and word
ids where it gives them, are compared with those of `tokenizers`. Then all are timed in turn, round by round in one
process pinned to one core; the median of the processor's time stands in the table, as others may use the core too.

cold: a tokenizer that has seen no text before (its loading is not counted). warm: one that has seen these texts.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

os.environ.update(TOKENIZERS_PARALLELISM="false", RAYON_NUM_THREADS="1")  # read when those libraries are imported

from . import multilingual  # noqa: E402
from .tokenization_peers import PEERS, Peer, model_folder  # noqa: E402

HEADER = ("text", "tokenizer", "gives", "texts wrong", "cold MB/s", "warm MB/s", "warm M tokens/s", "warm, against tokenizers")
BASELINE = "tokenizers encode_batch_fast"


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
    start = time.process_time()
    call(texts)
    return time.process_time() - start


def measure(peers: dict[str, Peer], texts: list[str], rounds: int) -> dict[str, tuple[float, float]]:
    """name -> median seconds (cold, warm). In a round each peer is made anew, and sees the texts twice."""
    for peer in peers.values():
        peer.make()(texts[:10])  # compiles, and reads what is read once
    cold: dict[str, list[float]] = {name: [] for name in peers}
    warm: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(rounds):
        for name, peer in peers.items():
            call = peer.make()
            cold[name].append(seconds(call, texts))
            warm[name].append(seconds(call, texts))
    return {name: (statistics.median(cold[name]), statistics.median(warm[name])) for name in peers}


def compare(title: str, texts: list[str], rounds: int) -> list[dict]:
    """The rows of the table for one collection of texts; a peer that is not installed is a row without figures."""
    right = expected(texts)
    size, tokens = sum(len(text.encode()) for text in texts), sum(len(row[0]) for row in right)
    faults: dict[str, int | str] = {}
    for name, peer in PEERS.items():
        try:
            faults[name] = wrong(peer, texts, right)
        except ImportError as missing:
            faults[name] = f"missing: {missing}"
    there = {name: peer for name, peer in PEERS.items() if isinstance(faults[name], int)}
    times = measure(there, texts, rounds)
    table = []
    for name, peer in PEERS.items():
        row = dict.fromkeys(HEADER, "") | {"text": title, "tokenizer": name, "gives": peer.gives, "texts wrong": faults[name]}
        if name in times:
            cold, warm = times[name]
            figures = size / cold / 1e6, size / warm / 1e6, tokens / warm / 1e6, times[BASELINE][1] / warm
            row |= dict(zip(HEADER[4:], (round(figure, 1) for figure in figures)))
        table.append(row)
    return table


def markdown(table: list[dict]) -> str:
    lines = [HEADER, ["---"] * len(HEADER), *([row[name] for name in HEADER] for row in table)]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def pin() -> str:
    """Keep this process on one core; says which, or that the system has no way to."""
    if not hasattr(os, "sched_setaffinity"):
        return "not pinned: this system has no sched_setaffinity"
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return f"pinned to core {core}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=20_000, help="how many of each kind")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", type=Path, help="a folder with SST-2's train.tsv")
    parser.add_argument("--json", type=Path, help="write the rows here, too")
    options = parser.parse_args()
    if min(options.texts, options.rounds) < 1:
        parser.error("--texts and --rounds must be 1 or more")
    print(f"{options.texts} texts of each kind, {options.rounds} rounds, {pin()}\n", flush=True)
    collections = {"multilingual": multilingual.lines(options.texts)}
    if options.data:
        collections = {"SST-2": sst2(options.data)[: options.texts], **collections}
    table = [row for title, texts in collections.items() for row in compare(title, texts, options.rounds)]
    print(markdown(table))
    if options.json:
        options.json.write_text(json.dumps(table, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
