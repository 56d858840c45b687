"""The page of `minibert explain` for a DistilBERT-base: seconds of each part of it, and the page's size.

    python -m benchmarks.explanation [--tokens 30] [--rounds 5] [--json FILE]

Random weights and the real vocabulary; a text of words that are a token each. Nothing is timed unless each logit's
contributions add up to it within 1e-4 (else FAIL). "gradients", "changes" and "page" are parts of "all".
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

import numpy as np

from minibert import BertTokenizer, DistilBertConfig, DistilBertForSequenceClassification, explain, pipeline, set_num_threads
from minibert.explanation.explain import Work
from minibert.explanation.targets import read_example

from .measuring import document, machine, markdown, time_in_turn, write
from .tokenization_peers import model_folder

TOLERANCE = 1e-4


def make_pipeline():
    tokenizer = BertTokenizer(vocab_file=str(model_folder() / "vocab.txt"), model_max_length=512)
    config = DistilBertConfig(vocab_size=len(tokenizer))
    model = DistilBertForSequenceClassification(config, seed=0, kernels="fast")
    return pipeline("text-classification", model, tokenizer=tokenizer)


def text_of(tokens: int) -> str:
    lines = (model_folder() / "vocab.txt").read_text(encoding="utf-8").splitlines()
    words = [word for word in lines if word.isascii() and word.isalpha() and len(word) > 2]
    return " ".join(random.Random(0).choices(words, k=tokens - 2))


def run(options: argparse.Namespace) -> int:
    print(f"{machine()}; {options.threads} threads")
    pipe, text = make_pipeline(), text_of(options.tokens)
    explanation = explain(pipe, text)
    error = float(np.abs(explanation.array("contributions.error")).max())
    if error > TOLERANCE:
        print(f"FAIL: contributions miss the logit by {error:.0e}")
        return 1
    work = Work(pipe, read_example(pipe, text))
    work.add_layers()
    calls = {
        "all": lambda: explain(pipe, text).to_html(),
        "steps": lambda: pipe.model.intermediates(**work.example.inputs),
        "contributions": work.add_contributions,
        "gradients": work.add_gradients,
        "changes": lambda: work.add_changes(None),
        "page": explanation.to_html,
    }
    timed = time_in_turn(calls, options.rounds)
    size = len(explanation.to_html().encode())
    table = {"columns": ["part", "seconds"], "rows": [[name, time.median] for name, time in timed.items()]}
    print(markdown(table["columns"], table["rows"]))
    print(f"{options.tokens} tokens, a page of {size / 1e6:.2f} MB; contributions miss the logit by {error:.0e}")
    write(options.json, document("explanation", options.threads, {"explanation": table}, page_bytes=size))
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=30, help="of the text, [CLS] and [SEP] included")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    options = parser.parse_args()
    if min(options.threads, options.rounds) < 1 or options.tokens < 3:
        parser.error("--threads and --rounds must be 1 or more, --tokens 3 or more")
    set_num_threads(options.threads)
    return run(options)


if __name__ == "__main__":
    sys.exit(main())
