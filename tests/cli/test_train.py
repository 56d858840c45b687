"""`minibert train`: every task on small files, what it writes and says; and that a killed command resumes to the same bytes.

How a model learns, as options say it, is in `test_train_recipe.py`.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from checkpoints import make_checkpoint, small_config, write_tokenizer
from paths import ROOT
from reviews import BAD, GOOD, write_lines

import minibert
from minibert import AutoTokenizer, cli, pipeline
from minibert.cli.train_data import read_conll
from minibert.cli.train_options import check_options
from minibert.training.tasks import TASKS, TaskOptions


def test_a_classifier_of_texts_learns_its_labels_by_name(train, reviews):
    out, err, folder = train(reviews, "--eval", reviews, "--epochs", "40")
    assert len(out) == 41 and out[-1] == str(folder) and not err
    assert out[0].startswith("epoch 1.00  step 6  loss ") and " accuracy " in out[0] and " matthews " in out[0]
    classify = pipeline("text-classification", folder)
    assert [answer["label"] for answer in classify([*GOOD, *BAD])] == ["POS"] * 3 + ["NEG"] * 3
    names = {path.name for path in folder.iterdir()}
    assert {"README.md", "config.json", "model.safetensors", "trainer_state.json", "vocab.txt"} <= names
    state = json.loads((folder / "trainer_state.json").read_text())
    assert state["global_step"] == 240 and state["best_metric"] == 1.0
    card = (folder / "README.md").read_text(encoding="utf-8")
    for line in (
        "| trained on | reviews.tsv, 24 rows |",
        "| labels | NEG, POS |",
        "| seed | 42 |",
        "| lr | 0.02 |",
        "minibert train",
    ):
        assert line in card
    assert "| 40 | 240 |" in card


def test_pairs_of_texts(train, tmp_path):
    rows = [("a film", ("good", "bad")[index % 2], index % 2) for index in range(16)]
    path = write_lines(tmp_path / "pairs.tsv", ("first", "second", "same"), rows)
    columns = ("--text-column", "first", "--pair-column", "second", "--label-column", "same")
    _, _, folder = train(path, *columns, model=("--model", str(make_checkpoint(tmp_path / "bert", "bert", "Model"))))
    answers = pipeline("text-classification", folder)([("a film", "good"), ("a film", "bad")])
    assert [answer["label"] for answer in answers] == ["LABEL_0", "LABEL_1"]


def test_numbers(train, tmp_path):
    rows = [((GOOD, BAD)[index % 2][index % 3], (4.5, 1)[index % 2]) for index in range(24)]
    path = write_lines(tmp_path / "stars.tsv", ("text", "label"), rows)
    out, _, folder = train(path, "--task", "regression", "--eval", path, "--metric", "loss", "--epochs", "80")
    assert " pearson " in out[0] and " spearman " in out[0]
    model = minibert.AutoModelForSequenceClassification.from_pretrained(folder)
    assert model.config.problem_type == "regression" and model.config.num_labels == 1
    scores = [answer["score"] for answer in pipeline("text-classification", folder)([*GOOD, *BAD])]
    assert np.abs(np.array(scores) - ([4.5] * 3 + [1] * 3)).max() < 1


def test_several_labels_of_a_text(train, tmp_path):
    rows = [
        ({0: "a good film", 1: "a bad film", 2: "good"}[index % 3], ("praise,film", "film", "praise")[index % 3])
        for index in range(24)
    ]
    path = write_lines(tmp_path / "labels.tsv", ("text", "label"), [*rows, ("is it ?", "")])
    out, _, folder = train(path, "--task", "multi-label-classification", "--eval", path, "--epochs", "30")
    assert " f1 " in out[0]
    (answer,) = pipeline("text-classification", folder, top_k=None)(["a good film"])
    assert {one["label"] for one in answer if one["score"] > 0.5} == {"praise", "film"}
    lines = [json.dumps({"text": text, "label": labels.split(",")}) for text, labels in rows]
    (tmp_path / "labels.jsonl").write_text("\n".join(lines))
    assert train(str(tmp_path / "labels.jsonl"), "--task", "multi-label-classification", folder="lists")[0]


def test_words_and_tags_in_conll_columns_and_in_lists(train, tmp_path):
    sentences = [
        (["i", "love", "great", "movie"], ["B-PER", "O", "O", "B-ART"]),
        (["a", "film", "is", "good"], ["O", "B-ART", "O", "O"]),
    ] * 8
    text = "-DOCSTART- -X- O O\n\n" + "\n".join("".join(f"{w} NN {t}\n" for w, t in zip(*one)) for one in sentences)
    (tmp_path / "ner.conll").write_text(text)
    (tmp_path / "ner.jsonl").write_text("\n".join(json.dumps({"text": w, "label": t}) for w, t in sentences))
    words, path = "tests", str(tmp_path / "ner.conll")
    out, _, folder = train(path, "--task", "token-classification", "--eval", path)
    assert " f1 1.0000" in out[-2] and words
    entities = pipeline("ner", folder, aggregation_strategy="simple")("a film")
    assert [(one["entity_group"], one["word"]) for one in entities] == [("ART", "film")]
    lists = train(str(tmp_path / "ner.jsonl"), "--task", "token-classification", folder="lists")[2]
    for name in ("config.json", "checkpoint-40/optimizer.safetensors"):
        assert (lists / name).read_bytes()
    assert minibert.AutoConfig.from_pretrained(folder).id2label == {0: "B-ART", 1: "B-PER", 2: "O"}


@pytest.mark.parametrize("separator", [" ", "\t", " NN "])
@pytest.mark.parametrize("suffix", [".conll", ".bio"])
def test_a_number_sign_is_a_word_of_a_conll_file_with_its_tag(separator, suffix, tmp_path):
    sentences = [["a", "#", "film"], ["#", "good"], ["#"]]
    text = "".join("".join(f"{word}{separator}B-{word}\n" for word in words) + "\n" for words in sentences)
    path = tmp_path / f"ner{suffix}"
    path.write_text("# a comment of five fields\n\n# another comment of these fields\n" + text)
    rows = [row.columns for row in read_conll(str(path), TaskOptions())]
    assert rows == [{"text": words, "label": [f"B-{word}" for word in words]} for words in sentences]


def test_a_number_sign_begins_a_comment_of_a_conllu_file(tmp_path):
    path = tmp_path / "ner.conllu"
    path.write_text("# newdoc\n# text = a\na O\n# O\nfilm B-ART\n\n# the end\n")
    assert [row.columns for row in read_conll(str(path), TaskOptions())] == [{"text": ["a", "film"], "label": ["O", "B-ART"]}]


def test_masked_words_from_a_configuration_alone(train, tmp_path, reviews):
    config = small_config("bert")
    config.save_pretrained(tmp_path / "config")
    (tmp_path / "tokenizer").mkdir()
    write_tokenizer(tmp_path / "tokenizer", "bert")
    start = ("--config", str(tmp_path / "config" / "config.json"), "--tokenizer", str(tmp_path / "tokenizer"))
    out, _, folder = train(reviews, "--task", "masked-lm", "--eval", reviews, model=start)
    assert out[0].startswith("epoch 1.00  step 6  loss ")
    losses = [float(line.split("loss ")[1]) for line in out[:-1]]
    assert min(losses) < losses[0]
    assert pipeline("fill-mask", folder)("a good [MASK]")[0]["token_str"]
    again = train(reviews, "--task", "masked-lm", "--eval", reviews, model=start, folder="again")[2]
    assert (again / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()


def test_parquet(train, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.table({"text": [*GOOD, *BAD] * 3, "label": [1, 1, 1, 0, 0, 0] * 3})
    parquet.write_table(table, tmp_path / "rows.parquet")
    folder = train(str(tmp_path / "rows.parquet"))[2]
    assert pipeline("text-classification", folder)("i hate it")[0]["label"] == "LABEL_0"


def test_a_model_s_own_labels_keep_their_numbers(train, tmp_path):
    rows = [((GOOD, BAD)[index % 2][index % 3], ("POSITIVE", "NEGATIVE")[index % 2]) for index in range(12)]
    for label, name in ((0, "names"), (1, "numbers")):
        lines = [(text, name_ if not label else int(name_ == "POSITIVE")) for text, name_ in rows]
        path = write_lines(tmp_path / f"{name}.tsv", ("text", "label"), lines)
        folder = train(path, "--epochs", "1", "--lr", "0", model=("--model", "minibert-sst2"), folder=name)[2]
        assert minibert.AutoConfig.from_pretrained(folder).id2label == {0: "NEGATIVE", 1: "POSITIVE"}
        assert pipeline("text-classification", folder)("i hate it")[0]["label"] == "NEGATIVE"


def test_a_head_of_another_size_is_replaced(train, tmp_path):
    rows = [(text, index) for index, text in enumerate([*GOOD, *BAD] * 2) for index in [index % 6]]
    path = write_lines(tmp_path / "six.tsv", ("text", "label"), rows)
    folder = train(path, "--epochs", "1", model=("--model", "minibert-sst2"))[2]
    assert minibert.AutoConfig.from_pretrained(folder).num_labels == 6


def test_rows_that_cannot_be_used_are_left_out_or_end_it(train, tmp_path):
    lines = ["text,label", '"a good film",POS', "a bad film,NEG", "one,two,three", "no label,", "i hate it,NEG"]
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(lines) + "\n")
    _, err, folder = train(str(path))
    assert len(err) == 1 and "2 rows of" in err[0] and "are left out. line 4: " in err[0] and "line 5: column 'label'" in err[0]
    assert "| trained on | rows.csv, 3 rows |" in (folder / "README.md").read_text()
    _, err, _ = train(str(path), "--strict", status=1, folder="strict")
    assert len(err) == 1 and "rows.csv, line 4: " in err[0]


def test_plot(train, reviews):
    pytest.importorskip("matplotlib")
    folder = train(reviews, "--eval", reviews, "--plot")[2]
    assert (folder / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_progress_is_on_stderr(train, reviews):
    _, err, _ = train(reviews, "--progress", "--epochs", "200")
    assert "examples/s" in "".join(err) and "left" in "".join(err)


MISTAKES = {
    "no start": (("--model",), (), "pass one of them"),
    "a folder in use": ((), ("again",), "continue it with --resume, or name another folder"),
    "another task's metric": ((), ("--eval", "{}", "--metric", "pearson"), "the metrics of text-classification are accuracy"),
    "a metric without rows": ((), ("--metric", "f1"), "they need --eval FILE"),
    "no such column": ((), ("--label-column", "mood"), "there is no column 'mood'; there are 'text', 'label'"),
    "a rate below 0": ((), ("--lr", "-1"), "learning_rate must be a number, 0 or more; got -1"),
    "too many layers": ((), ("--freeze", "9"), "freeze_layers may be up to the model's 2 layers; got 9"),
    "no file": ((), ("--eval", "nowhere.tsv"), "nowhere.tsv cannot be read"),
    "numbers that are names": ((), ("--task", "regression"), "must be a number; got 'POS'"),
    "a vocabulary for nothing": ((), ("--config", "config.json"), "pass one of them"),
    "balance of numbers": ((), ("--task", "masked-lm", "--balanced"), "--balanced weighs classes"),
    "a head of words": ((), ("--task", "masked-lm", "--head-only"), "--head-only trains classifiers"),
    "a teacher of numbers": ((), ("--task", "regression", "--teacher", "x"), "--teacher is for classes, one each"),
    "two teachers": ((), ("--teacher", "x", "--teacher-column", "labels"), "pass one of them"),
    "a column for words": ((), ("--task", "token-classification", "--teacher-column", "x"), "is for text-classification"),
    "pairs of words": ((), ("--task", "masked-lm", "--pair-column", "x"), "--pair-column does nothing for masked-lm"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line(train, reviews, mistake):
    without, options, message = MISTAKES[mistake]
    options = [option.format(reviews) for option in options]
    if options == ["again"]:
        train(reviews)
        options = []
    _, err, _ = train(reviews, *options, status=1, **({"model": ()} if without else {}))
    assert len(err) == 1 and err[0].startswith("minibert: ") and message in err[0]


@pytest.mark.parametrize("below", ["", "/out"])
def test_a_folder_that_cannot_be_written_is_known_before_anything_is_read(train, tmp_path, below):
    (tmp_path / "file").write_text("here")
    _, err, _ = train("nowhere.tsv", status=1, folder=f"file{below}")
    assert err == [f"minibert: {tmp_path}/file{below} cannot be written: {tmp_path}/file is no folder. Name another one."]
    assert (tmp_path / "file").read_text() == "here"


LABELS = {  # what a column holds -> options, the end of the message
    "the same": (["POS"] * 4, (), "a classifier learns to tell labels apart; column 'label' holds 'POS' alone"),
    "the same tag": (["O"] * 4, ("--task", "token-classification"), "column 'label' holds 'O' alone"),
    "numbers": (["1.5", "0.2", "3", "4.0"], (), "numbers with fractions, such as 1.5: pass --task regression"),
}


@pytest.mark.parametrize("case", LABELS)
def test_labels_that_are_no_classes_are_one_line(train, tmp_path, case):
    labels, options, message = LABELS[case]
    path = write_lines(tmp_path / "labels.tsv", ("text", "label"), [("film", label) for label in labels])
    _, err, folder = train(path, *options, status=1)
    assert len(err) == 1 and message in err[0] and not folder.exists()


def test_labels_that_look_like_those_are_learned(train, tmp_path):
    for index, labels in enumerate((["1.0", "2", "1"], ["stars 1.5", "0.2", "stars 2"], ["nan", "inf", "1"])):
        path = write_lines(tmp_path / "labels.tsv", ("text", "label"), [("a film", label) for label in labels])
        train(path, "--epochs", "1", folder=f"out{index}")
    rows = [("a film", "POS"), ("a plot", "POS")]
    path = write_lines(tmp_path / "labels.tsv", ("text", "label"), rows)
    train(path, "--task", "multi-label-classification", "--epochs", "1", folder="one")


def test_a_label_that_the_training_data_lacks(train, reviews, tmp_path):
    path = write_lines(tmp_path / "dev.tsv", ("text", "label"), [("a film", "POS"), ("a film", "MIXED")])
    _, err, _ = train(reviews, "--eval", path, "--epochs", "1")
    assert len(err) == 1 and "line 3: a label must be one of the training data's, ['NEG', 'POS']; got 'MIXED'" in err[0]


# --- Nothing lost ----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_command_resumes_to_the_same_bytes(base, reviews, tmp_path, kill):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    usual = ["--model", base, "--train", reviews, "--eval", reviews, "--epochs", "30", "--batch-size", "4", "--patience", "99"]

    def command(name, *more):
        return [sys.executable, "-m", "minibert", "train", "-o", name, *usual, *more]

    options = {"env": environment, "cwd": tmp_path, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    assert subprocess.run(command("whole"), timeout=120, **options).returncode == 0
    (tmp_path / "cut").mkdir()
    with subprocess.Popen(command("cut"), **options) as process:
        while process.poll() is None and not (tmp_path / "cut" / "checkpoint-12").exists():
            time.sleep(0.002)
        process.send_signal(kill)
        _, err = process.communicate(timeout=60)
    assert process.returncode != 0
    if kill != signal.SIGKILL:
        assert "is saved. Run the same command with --resume to continue." in err
    done = subprocess.run(command("cut", "--resume"), timeout=120, **options)
    assert done.returncode == 0, done.stderr

    def files(name):
        return {
            path.name: path.read_bytes() for path in (tmp_path / name).rglob("*") if path.is_file() and path.name != "README.md"
        }

    assert files("cut") == files("whole")
    card = (tmp_path / "cut" / "README.md").read_text().replace("cut", "whole")
    assert card == (tmp_path / "whole" / "README.md").read_text()


def test_resume_without_a_checkpoint_starts_at_the_beginning(train, reviews):
    _, err, folder = train(reviews, "--resume")
    assert len(err) == 1 and err[0].endswith("has no checkpoint yet; the training starts at its beginning.")
    before = (folder / "model.safetensors").read_bytes()
    assert train(reviews, "--resume")[1] == []  # which is complete
    assert (folder / "model.safetensors").read_bytes() == before
    _, err, _ = train(reviews, "--resume", "--lr", "0.5", status=1)
    assert "learning_rate was 0.02, is 0.5" in err[0]


def test_a_tokenizer_of_another_model_is_refused_by_its_ids(train, reviews):
    _, err, _ = train(reviews, "--tokenizer", "minibert-sst2", status=1)
    assert "a tokenizer's ids must be below the model's vocabulary of" in err[0]
    assert AutoTokenizer.from_pretrained("minibert-sst2")


README = (ROOT / "minibert" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("line", [line for line in README.splitlines() if line.startswith("minibert train ")])
def test_the_commands_of_the_readme_are_understood(line):
    options = cli.make_parser().parse_args(shlex.split(line)[1:])
    check_options(options, TASKS[options.task])
