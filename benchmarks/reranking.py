"""A cross-encoder over the candidates of a query: pairs a second, here and in sentence-transformers.

    python -m benchmarks.reranking [--pairs 100] [--kernels fast int8] [--rounds 5] [--json FILE]

The model has the sizes of MiniLM-L6 (6 layers, 384 wide), random weights and the real vocabulary. A query has 8 tokens, a
passage 30 to 200. All engines get the same texts, tokenizer included, in batches of 32 as their default is; ONNX Runtime's
are of like lengths, with `tokenizers` in front of it. (sentence-transformers' own ONNX backend runs the same session.) Each is first
compared with sentence-transformers on torch in float32 (its largest difference, over the largest logit; FAIL and no time
if rounding to its format cannot explain it). Then all are timed in turn; the table has medians.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from minibert import BertConfig, BertForSequenceClassification, BertTokenizer, Reranker, set_num_threads
from minibert.errors import KernelError
from minibert.kernels.catalog import PRESETS

from .export import export_onnx
from .measuring import document, machine, markdown, time_in_turn, write
from .model import MAX_ERROR
from .tokenization_peers import model_folder

SIZES = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
IDENTITY = {"activation_fn": "torch.nn.modules.linear.Identity"}  # scores are logits
QUERY_WORDS = 8
PASSAGE_WORDS = (30, 200)
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
BATCH = 32
REFERENCE = "sentence-transformers, torch fp32"

Engine = Callable[[list], np.ndarray]  # pairs of texts -> logits (S,)


def make_model(folder: Path) -> None:
    """Write the random model and its tokenizer."""
    tokenizer = BertTokenizer(vocab_file=str(model_folder() / "vocab.txt"), model_max_length=512)
    config = BertConfig(vocab_size=len(tokenizer), num_labels=1, sentence_transformers=IDENTITY, **SIZES)
    BertForSequenceClassification(config, seed=0, kernels="reference").save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def candidates(count: int) -> list[tuple[str, str]]:
    """A query and as many passages, of words that are a token each; lengths in no order."""
    lines = (model_folder() / "vocab.txt").read_text(encoding="utf-8").splitlines()
    words, draw = [word for word in lines if word.isascii() and word.isalpha() and len(word) > 2], random.Random(0)
    query = " ".join(draw.choices(words, k=QUERY_WORDS))
    return [(query, " ".join(draw.choices(words, k=draw.randint(*PASSAGE_WORDS)))) for _ in range(count)]


def engines(folder: Path, kernels: list[str], threads: int) -> dict[str, Engine]:
    """The reference first, then minibert with each preset that this machine can run."""
    import sentence_transformers
    import torch

    torch.set_num_threads(threads)
    set_num_threads(threads)
    original = sentence_transformers.CrossEncoder(str(folder), device="cpu")
    ready: dict[str, Engine] = {REFERENCE: lambda pairs: original.predict(pairs, show_progress_bar=False)}
    for name in kernels:
        try:
            ready[f"minibert {name}"] = Reranker.from_pretrained(folder, kernels=name).predict
        except KernelError as error:
            print(f"minibert {name:12} missing: {error}")
    for numbers in ("fp32", "int8"):
        try:
            ready[f"ONNX Runtime {numbers}"] = onnxruntime_with(numbers, folder, threads)
        except ImportError as error:
            print(f"ONNX Runtime {numbers:8} missing: {error}")
    return ready


def onnxruntime_with(numbers: str, folder: Path, threads: int) -> Engine:
    import onnxruntime
    import tokenizers
    import transformers

    if not (folder / "model.onnx").exists():
        export_onnx(transformers.BertForSequenceClassification.from_pretrained(folder).eval(), folder, INPUTS)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    file = folder / ("model.int8.onnx" if numbers == "int8" else "model.onnx")
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()

    def logits(pairs: list) -> np.ndarray:
        rows, scores = tokenizer.encode_batch_fast(pairs), np.empty(len(pairs), np.float32)
        order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
        for batch in (order[start : start + BATCH] for start in range(0, len(order), BATCH)):
            inputs = padded([rows[index] for index in batch])
            scores[batch] = session.run(None, inputs)[0][:, 0]
        return scores

    return logits


def padded(rows: list) -> dict[str, np.ndarray]:
    """Encodings of `tokenizers` -> the model's inputs (B, T)."""
    inputs = {name: np.zeros((len(rows), max(map(len, rows))), np.int64) for name in INPUTS}
    for index, row in enumerate(rows):
        for name, values in zip(INPUTS, (row.ids, row.attention_mask, row.type_ids)):
            inputs[name][index, : len(row)] = values
    return inputs


def errors_of(ready: dict[str, Engine], pairs: list) -> dict[str, float]:
    """name -> largest difference from the reference's logits, over the largest of them."""
    expected = ready[REFERENCE](pairs)
    return {name: float(np.abs(engine(pairs) - expected).max() / np.abs(expected).max()) for name, engine in ready.items()}


def compare(ready: dict[str, Engine], pairs: list, rounds: int) -> tuple[dict, dict]:
    """Engines, checked and timed -> a README's table; the raw figures."""
    errors = errors_of(ready, pairs)
    right = {name: ready[name] for name in ready if errors[name] < MAX_ERROR.get(name.rpartition(" ")[2], MAX_ERROR["fp32"])}
    calls = {name: lambda engine=engine: engine(pairs) for name, engine in right.items()}
    timed = time_in_turn(calls, rounds)
    rows: list[list] = []
    for name, error in errors.items():
        speed = len(pairs) / timed[name].median if name in timed else "FAIL"
        ratio = timed[REFERENCE].median / timed[name].median if name in timed else None
        rows.append([name, f"{error:.0e}", speed, ratio])
    columns = ["engine", "error", "pairs/s", "times as fast as sentence-transformers"]
    return {"columns": columns, "rows": rows}, {name: time._asdict() for name, time in timed.items()}


def run(options: argparse.Namespace, folder: Path) -> None:
    warnings.simplefilter("ignore")  # deprecations of the peer's
    make_model(folder)
    print(f"{machine()}; {options.threads} threads")
    ready = engines(folder, options.kernels, options.threads)
    table, seconds = compare(ready, candidates(options.pairs), options.rounds)
    print(markdown(table["columns"], table["rows"]))
    write(options.json, document("reranking", options.threads, {"reranking": table}, seconds=seconds))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=100, help="candidates of the query")
    parser.add_argument("--kernels", nargs="*", default=[name for name in PRESETS if name != "naive"], metavar="PRESET")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    options = parser.parse_args()
    if min(options.threads, options.rounds, options.pairs) < 1:
        parser.error("--threads, --rounds and --pairs must be 1 or more")
    with tempfile.TemporaryDirectory() as folder:
        run(options, Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
