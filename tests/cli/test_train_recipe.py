"""`minibert train`: how a model learns, as options say it; a head alone, low-rank changes, and a teacher."""

import json
import re

import numpy as np
import pytest
from reviews import BAD, GOOD, write_lines

import minibert
from minibert.training import head_only


@pytest.mark.parametrize("task", ["text-classification", "token-classification", "regression", "multi-label-classification"])
def test_the_head_alone(train, tmp_path, task, monkeypatch):
    if task == "token-classification":
        path = tmp_path / "tags.jsonl"
        path.write_text("\n".join(json.dumps({"text": "a good film", "label": "O O B"}) for _ in range(6)))
        path = str(path)
    else:
        labels = (4, 1) if task == "regression" else ("POS", "NEG")
        rows = [((GOOD, BAD)[index % 2][index % 3], labels[index % 2]) for index in range(24)]
        path = write_lines(tmp_path / "rows.tsv", ("text", "label"), rows)
    out, _, folder = train(path, "--task", task, "--head-only", "--eval", path, "--weight-decay", "1e-5")
    assert len(out) == 2 and out[1] == str(folder)
    assert float(out[0].split("loss ")[1].split()[0]) < 0.1
    auto = (
        minibert.AutoModelForTokenClassification
        if task == "token-classification"
        else minibert.AutoModelForSequenceClassification
    )
    model, encoder = auto.from_pretrained(folder), minibert.DistilBertModel.from_pretrained(tmp_path / "base")
    assert all(np.array_equal(model.tensors[name], tensor) for name, tensor in encoder.tensors.items())
    again = train(path, "--task", task, "--head-only", "--weight-decay", "1e-5", folder="again")[2]
    assert (again / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    stronger = train(path, "--task", task, "--head-only", "--weight-decay", "0.1", folder="stronger")[2]
    assert (stronger / "model.safetensors").read_bytes() != (folder / "model.safetensors").read_bytes()
    rounded = train(path, "--task", task, "--head-only", "--weight-decay", "1e-5", "--bf16", folder="rounded")[2]
    assert (rounded / "model.safetensors").read_bytes() != (folder / "model.safetensors").read_bytes()
    monkeypatch.setattr(head_only, "MANY_ROWS", 2)  # first a share of them, then all
    sampled, _, other = train(path, "--task", task, "--head-only", "--eval", path, "--weight-decay", "1e-5", folder="sampled")
    assert float(sampled[0].split("loss ")[1].split()[0]) < 0.1
    assert (other / "model.safetensors").read_bytes() != (folder / "model.safetensors").read_bytes()


def test_a_student_learns_from_a_column_what_it_learns_from_the_teacher(train, reviews, run, tmp_path):
    teacher = train(reviews, "--epochs", "20", folder="teacher")[2]
    labeled = str(tmp_path / "labeled.jsonl")
    assert run("run", "--model", str(teacher), "--top-k", "2", reviews, "-o", labeled)[0] == 0
    options = ("--distillation-weight", "0.9", "--temperature", "3", "--epochs", "2")
    at_each_step = train(reviews, "--teacher", str(teacher), *options, folder="at_each_step")[2]
    from_column = train(labeled, "--teacher-column", "labels", *options, folder="from_column")[2]
    alone = train(labeled, *options, folder="alone")[2]
    models = [minibert.DistilBertForSequenceClassification.from_pretrained(one) for one in (at_each_step, from_column, alone)]
    weights = [np.concatenate([tensor.ravel() for tensor in model.tensors.values()]) for model in models]
    # not to the bit: a score is the softmax of the logits, rounded; and AdamW's step of a gradient near 0 is as large as any
    assert np.abs(weights[1] - weights[0]).mean() < 0.05 * np.abs(weights[2] - weights[0]).mean()
    assert "| teacher | the column labels, weight 0.9, temperature 3 |" in (from_column / "README.md").read_text()


SCORES = [{"label": "POS", "score": 0.75}, {"label": "NEG", "score": 0.25}]


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (0.5, r"column 'labels' must be a list of labels and scores .* got 0.5"),
        ([{"label": "POS", "score": 2}, SCORES[1]], "scores from 0 to 1"),
        ([{"label": "POS", "score": True}, SCORES[1]], "scores from 0 to 1"),
        ([{"name": "POS"}], "must be a list of labels and scores"),
        (SCORES[:1], r"must have a score for each label, \['NEG', 'POS'\]; got"),
        ([{"label": "FINE", "score": 0.5}, SCORES[0]], "must have a score for each label"),
    ],
    ids=str,
)
def test_a_column_that_holds_no_scores_is_an_error_with_its_line(train, tmp_path, answers, message):
    path = tmp_path / "labeled.jsonl"
    rows = [{"text": "good", "label": "POS", "labels": SCORES}, {"text": "bad", "label": "NEG", "labels": answers}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    _, err, _ = train(str(path), "--teacher-column", "labels", "--strict", status=1)
    assert re.search(f"line 2: .*{message}", err[-1]), err


def test_lora_writes_the_merged_model_and_an_adapter(train, reviews, tmp_path):
    folder = train(reviews, "--lora", "2", "--epochs", "20")[2]
    assert {path.name for path in (folder / "adapter").iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}
    assert "| LoRA | rank 2; adapter/ holds PEFT's files |" in (folder / "README.md").read_text()
    model, base = minibert.DistilBertModel.from_pretrained(folder), minibert.DistilBertModel.from_pretrained(tmp_path / "base")
    changed = {name for name in base.tensors if not np.array_equal(base.tensors[name], model.tensors[name])}
    assert {name.rpartition(".attention.")[2] for name in changed} == {"q_lin.weight", "v_lin.weight"}


def test_a_student_learns_from_a_teacher(train, reviews, tmp_path):
    teacher = train(reviews, "--epochs", "20", folder="teacher")[2]
    alone = train(reviews, folder="alone")[2]
    folder = train(reviews, "--teacher", str(teacher), "--distillation-weight", "0.9", "--temperature", "3")[2]
    assert (alone / "model.safetensors").read_bytes() != (folder / "model.safetensors").read_bytes()
    assert f"| teacher | {teacher}, weight 0.9, temperature 3 |" in (folder / "README.md").read_text()
    options = "--teacher", str(teacher), "--distillation-weight", "0.9", "--temperature", "3", "--hidden-weight", "0.5"
    hidden = train(reviews, *options, folder="hidden")[2]
    assert (hidden / "model.safetensors").read_bytes() != (folder / "model.safetensors").read_bytes()
    assert "weight 0.9, temperature 3, hidden weight 0.5 |" in (hidden / "README.md").read_text()


OPTIONS = {  # options -> others that both trainings have; all must change the weights
    ("--epochs", "2"): (),
    ("--lr", "0.001"): (),
    ("--batch-size", "8"): (),
    ("--bf16",): (),
    ("--accumulate", "2"): (),
    ("--max-length", "4"): (),
    ("--group-by-length",): (),
    ("--schedule", "constant"): (),
    ("--warmup", "0.5"): (),
    ("--weight-decay", "0.5"): (),
    ("--layer-decay", "0.5"): (),
    ("--label-smoothing", "0.2"): (),
    ("--balanced",): ("uneven",),
    ("--freeze", "1"): (),
    ("--head-only",): (),
    ("--lora", "2"): (),
    ("--seed", "7"): (),
    ("--pair-column", "label"): (),
    ("--label-column", "text"): (),
    ("--text-column", "label"): (),
}


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option[0].strip("-"))
def test_an_option_changes_the_weights(train, tmp_path, option):
    rows = [((GOOD, BAD)[index % 2][index % 3], ("POS", "NEG")[index % 2]) for index in range(24)]
    rows = rows[:12] + [rows[0]] * 12 if OPTIONS[option] else rows
    path = write_lines(tmp_path / "rows.tsv", ("text", "label"), rows)
    folders = [train(path, "--epochs", "1", *more, folder=name)[2] for name, more in (("a", ()), ("b", option))]
    one, other = [(folder / "model.safetensors").read_bytes() for folder in folders]
    assert one != other


def test_patience_and_metric_end_a_training_early(train, reviews):
    out, _, folder = train(reviews, "--eval", reviews, "--metric", "loss", "--patience", "2", "--lr", "0")
    assert len(out) == 4  # the first, two that are no better, and the folder
    out = train(reviews, "--eval", reviews, "--every", "4", "--epochs", "2", folder="every")[0]
    assert [line.split("  ")[1] for line in out[:-1]] == ["step 4", "step 8", "step 12"] or len(out) >= 3
