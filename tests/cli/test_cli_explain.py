"""`minibert explain`: the page that it writes, and what it says to a mistake."""

import json

import numpy as np
import pytest
from checkpoints import make_checkpoint

from minibert import explain, pipeline

TEXT, SECOND = "the movie is not good", "i hate this"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("explain")


@pytest.fixture(scope="module")
def classifier(folder):
    return str(make_checkpoint(folder / "classifier", "bert"))


def test_it_prints_the_answer_and_writes_the_page(run, classifier, tmp_path):
    page = tmp_path / "page.html"
    status, out, err = run("explain", "--model", classifier, TEXT, SECOND, "-o", str(page))
    explanation = explain(pipeline(model=classifier, kernels="fast"), TEXT, beside=SECOND)
    assert (status, out, err) == (0, [f"{explanation.answer}\t{page}"], [])
    assert page.read_text(encoding="utf-8") == explanation.to_html()


def test_a_name_that_ends_in_json_gets_the_arrays(run, classifier, tmp_path):
    path = tmp_path / "arrays.json"
    command = ["explain", "--model", classifier, "--second", "pair", "--replace", "dull", "--replace", "great"]
    assert run(*command, TEXT, SECOND, "-o", str(path))[0] == 0
    explanation = explain(pipeline(model=classifier, kernels="fast"), (TEXT, SECOND), replacements=["dull", "great"])
    stored = json.loads(path.read_text(encoding="utf-8"))
    assert {text for _, text in stored["changes"]} == {"[MASK]", "dull", "great"}
    np.testing.assert_allclose(stored["arrays"]["contributions"]["values"], explanation["contributions"], atol=1e-9)


@pytest.mark.parametrize(
    ("task", "head", "arguments"),
    [
        ("question-answering", "ForQuestionAnswering", ["--question", "is it good?", TEXT]),
        ("token-classification", "ForTokenClassification", [TEXT]),
        ("fill-mask", "ForMaskedLM", ["a [MASK] film"]),
        ("similarity", "Model", [TEXT, SECOND]),
    ],
)
def test_every_task_has_a_page(run, folder, tmp_path, task, head, arguments):
    name = str(make_checkpoint(folder / task, "bert", head))
    status, out, err = run("explain", "--task", task, "--model", name, *arguments, "-o", str(tmp_path / "page.html"))
    assert status == 0 and len(out) == 1 and not [line for line in err if "modules.json" not in line]
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_a_long_text_is_cut_if_it_may_be(run, classifier, folder, tmp_path):
    path = tmp_path / "arrays.json"
    assert run("explain", "--model", classifier, "good " * 40, "--truncate", "-o", str(path))[0] == 0
    assert len(json.loads(path.read_text(encoding="utf-8"))["tokens"][0]) == 16
    ner = str(make_checkpoint(folder / "ner", "bert", "ForTokenClassification"))
    status, _, err = run("explain", "--model", ner, "good " * 40, "--truncate", "-o", str(path))
    assert status == 2 and "--truncate is of text-classification and fill-mask" in err[-1]


MISTAKES = {
    "three texts": (["a", "b", "c"], 1, "one text is explained, or two; got 3"),
    "a second that is not there": (["a", "--second", "pair"], 2, "--second says how a second TEXT is read"),
    "a question to two texts": (["a", "b", "--question", "c"], 2, "a question has one TEXT"),
    "a question to a classifier": (["a", "--question", "c"], 1, "each input is a text"),
    "a folder for a page": (["a", "-o", "."], 1, "cannot be written"),
    "a name with NUL": (["a", "-o", "a\0b"], 1, "none that is NUL"),
    "a text that is too long": (["good " * 40], 1, "Cut it with --truncate."),
    "no output": (["a"], 2, "-o"),
    "bytes that are no text": (["a", "--replace", "bad \udcff byte"], 1, "--replace must be utf-8"),
    "a task that is not there": (["a", "--task", "sing"], 2, "sing"),
    "a similarity of one": (["a", "--task", "similarity"], 1, "pass two texts"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line(run, classifier, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    arguments, expected, words = MISTAKES[name]
    output = [] if "-o" in arguments or name == "no output" else ["-o", "page.html"]
    status, out, err = run("explain", "--model", classifier, *arguments, *output)
    assert (status, out) == (expected, []) and words in err[-1]
    assert expected == 2 or len([line for line in err if "modules.json" not in line]) == 1
    assert not list(tmp_path.iterdir())
