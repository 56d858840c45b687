"""Runs over a file with a function in place of a model, for tests that stop them."""

import os
import random

import pytest

from minibert.errors import InputError
from minibert.pipelines import streaming
from minibert.run import job
from minibert.run.open import open_source
from minibert.run.output import Results
from minibert.run.progress import Progress
from minibert.run.tasks import Task

UNIX = pytest.mark.skipif(os.name == "nt", reason="Unix's fork and kill")
WORDS = [
    "a",
    "bad",
    "film,",
    "not",
    "very",
    "good;",
    "this",
    "movie",
    "is",
    "great",
    "and",
    "i",
    "love",
    "it\nor",
    "hate",
    "it",
]


class Words:
    """A tokenizer that cuts at blanks."""

    model_max_length = 512

    def __call__(self, text, verbose):
        return {"input_ids": text.split()}


def stub(answer=lambda text: {"label": text.upper()}):
    """A task whose model is a function."""

    def predict(texts):
        return streaming.in_batches(texts, Words(), lambda batch: map(answer, batch))

    return Task(lambda columns: columns["text"], predict, lambda answer: answer, {"label": str}, {"--text-column": "text"}, {})


def sentences(count, seed=0):
    random.seed(seed)
    return [" ".join(random.choices(WORDS, k=random.randint(0, 30))) for _ in range(count)]


def go(folder, resume=False, fingerprint="these", limit=None):
    def answer(text):
        if text == "bad":
            raise InputError("bad")
        return {"label": text.upper()}

    results = Results(str(folder / "out.jsonl.gz"), str(folder / "bad.jsonl"))
    with open_source(str(folder / "in.txt")) as source:
        results.begin({"arguments": fingerprint}, resume, os.stat(folder / "in.txt").st_mtime_ns)
        if results.state.complete:
            results.finish()
        else:
            job.run(source, stub(answer), results, Progress(False), limit=limit)
    return results
