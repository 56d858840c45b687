"""minibert/explanation/page.py: one page that needs nothing else, escaped, with the explanation's own numbers."""

import base64
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from checkpoints import WORDS, small_model
from explanations import CASES, input_for, pipeline_for, sentence_encoder

import minibert
from minibert import InputError, InputTypeError, explain
from minibert.explanation import page

VOID = {"meta", "input", "rect", "line", "br"}
HOSTILE = """</script><script>document.title = "owned"</script> <img src=x onerror=alert(1)> "' & &amp; \u202e"""


class Document(HTMLParser):
    """Elements, texts by their element's classes and ids, and whether every tag is closed where it should be."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append((tag, dict(attributes)))

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1][0] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, text):
        self.texts.append((list(self.open), text))

    def text_of(self, tag, **attributes):
        return [
            text
            for path, text in self.texts
            if any(name == tag and attributes.items() <= own.items() for name, own in path) and text.strip()
        ]


def data_of(document):
    (text,) = document.text_of("script", id="data")
    return json.loads(text)


def check_page(text):
    """What holds of every page -> its document."""
    document = Document(text)
    tags = [tag for tag, _ in document.elements]
    assert tags.count("script") == 2 and tags.count("h1") == tags.count("title") == tags.count("main") == 1
    assert not set(tags) & {"img", "link", "iframe", "object", "embed", "base"}
    (policy,) = [own["content"] for _, own in document.elements if own.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none';") and "unsafe-eval" not in policy
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|@import|url\(|eval\(|innerHTML\s*=", text)
    ids = [own["id"] for _, own in document.elements if "id" in own]
    assert len(ids) == len(set(ids))
    for tag, own in document.elements:
        assert not any(name.startswith("on") for name in own), (tag, own)
        assert "href" not in own or own["href"].removeprefix("#") in ids
        assert "aria-labelledby" not in own or own["aria-labelledby"] in ids
        assert "for" not in own or own["for"] in ids
        assert tag != "button" or own["aria-label"]
    for path, sentence in document.texts:
        assert "nan" not in sentence.lower().split() or path[-1][0] in ("script", "blockquote"), sentence
    return document


@pytest.mark.parametrize("case", CASES)
def test_a_page_of_every_task_is_whole_and_asks_nothing_of_anyone(tmp_path, case):
    explanation = explain(pipeline_for(case, tmp_path, "bert"), input_for(case, "bert"))
    document = check_page(explanation.to_html())
    assert document.text_of("h1") == [f"How this text became “{explanation.answer}”"]
    assert document.text_of("strong", id="answer") == [explanation.answer]
    titles = document.text_of("h2")
    assert titles[0] == "From the text to pieces" and titles[-1] == "Change a word" and len(titles) == 9


def test_a_page_of_a_similarity(tmp_path):
    explanation = explain(sentence_encoder(tmp_path), ("the movie is good", "i love this film, it was great!"))
    document = check_page(explanation.to_html())
    assert document.text_of("h2")[-1] == "Which tokens match"
    cells = [text for text in document.text_of("table") if re.fullmatch(r"[+−]\d+\.\d", text)]
    expected = [f"{value * 100:+.1f}".replace("-", "−") for value in explanation.array("matches").ravel()]
    assert cells == expected


def test_the_numbers_of_the_page_are_the_explanation_s(course):
    pipe, explanation, text = course
    document = check_page(text)
    tables = document.text_of("td")
    for score in explanation.array("targets.scores"):
        assert f"{score * 100:.1f}%" in tables
    for index in range(len(explanation.targets)):
        shown = document.text_of("tr", **{"class": "total"})
        assert f"{explanation.array('contributions')[index].sum():+.3f}".replace("-", "−") in shown
    errors = [float(error) for error in document.text_of("span", **{"class": "error"})]
    np.testing.assert_allclose(errors, np.abs(explanation.array("contributions.error")), rtol=0.06)
    assert max(errors) < 1e-4
    data = data_of(document)
    assert data["tokens"] == explanation.tokens[0] == pipe.tokenizer.tokenize(explanation.texts[0], add_special_tokens=True)
    count, heads = len(data["tokens"]), data["heads"]
    for layer, encoded in enumerate(data["attention"]):
        weights = np.frombuffer(base64.b64decode(encoded), np.uint8).reshape(heads, count, count)
        np.testing.assert_allclose(weights / 100, explanation.array(f"layer.{layer}.attention")[0], atol=0.00501)


def test_the_page_of_the_bundled_model_is_small(course):
    assert len(course[2].encode()) < 300_000


@pytest.mark.parametrize("case", ["text-classification", "token-classification"])
def test_hostile_text_is_shown_and_never_run(tmp_path, case):
    labels = {0: "O", 1: "<b>label</b>", 2: "</script>"}
    pipe = pipeline_for(case, tmp_path, "bert", id2label=labels, max_position_embeddings=128)
    explanation = explain(pipe, HOSTILE, replacements=["<i>", "</script>"])
    document = check_page(explanation.to_html())
    assert HOSTILE in "".join(document.text_of("blockquote"))
    assert data_of(document)["tokens"] == explanation.tokens[0]


def test_in_a_notebook_the_page_stands_in_a_frame(course):
    _, explanation, text = course
    document = Document(explanation._repr_html_())
    (frame,) = [own for tag, own in document.elements if tag == "iframe"]
    assert frame["srcdoc"] == text and frame["sandbox"] == "allow-scripts"


def test_save_writes_the_page_or_says_what_is_wrong(course, tmp_path):
    _, explanation, text = course
    explanation.save(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == text
    with pytest.raises(InputTypeError, match="a file is named by a string or a path; got int"):
        explanation.save(3)
    with pytest.raises(InputError, match="a file's name must have a character"):
        explanation.save("")


def test_a_text_whose_attention_is_too_much_for_a_page_is_refused(monkeypatch, tmp_path):
    explanation = explain(pipeline_for("text-classification", tmp_path), "the movie is good")
    monkeypatch.setattr(page, "LARGEST", 143)
    with pytest.raises(InputError, match="a page may show 143 attention weights.*this text has 144"):
        explanation.to_html()


def test_one_layer_one_head_and_one_token(tmp_path):
    model = small_model("bert", num_hidden_layers=1, num_attention_heads=1)
    tokenizer = minibert.BertTokenizer({word: index for index, word in enumerate(WORDS)}, model_max_length=16)
    pipe = minibert.pipeline("text-classification", model, tokenizer)
    check_page(explain(pipe, "good").to_html())
    check_page(explain(pipe, "").to_html())
