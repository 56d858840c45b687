"""`minibert rerank`: texts in the order of how well they fit a query."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from heapq import nlargest
from typing import Any

from .predict import add_arguments, answers_of, load_task
from .shared import CommandParser, at_least_one, command, input_texts

TASK = "text-ranking"


def add_commands(commands: Any) -> None:
    parser = command(commands, "rerank", rerank_texts, "print the texts that fit a query best, best first: score, text")
    parser.add_arguments = add_rerank_arguments


def add_rerank_arguments(parser: CommandParser, arguments: list[str]) -> None:
    add_arguments(TASK, parser, arguments)
    parser.add_argument("--top-k", type=at_least_one, metavar="N", help="the N best texts (all)")


def rerank_texts(options: argparse.Namespace) -> None:
    """Print a line for each text when all are read. Texts of equal scores keep their order."""
    scored = scored_texts(options)
    best = sorted(scored, reverse=True) if options.top_k is None else nlargest(options.top_k, scored)
    for score, negative_index, text in best:
        if options.json:
            print(json.dumps({"text": text, "score": score, "index": -negative_index}))
        else:
            print(f"{score:.4f}\t{' '.join(text.split())}")


def scored_texts(options: argparse.Namespace) -> Iterator[tuple[float, int, str]]:
    """(score, −index, text) of each text."""
    from ..pipelines.streaming import CHUNK_ROWS

    texts, task = input_texts(options), load_task(TASK, options)
    for index, (text, answer) in enumerate(answers_of(texts, task, CHUNK_ROWS)):
        yield task.to_columns(answer)["score"], -index, text
