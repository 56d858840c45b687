"""minibert/pipelines/streaming.py: any number of inputs, in order, lazily, in batches of one size in tokens."""

from itertools import count, islice

import numpy as np
import pytest
from checkpoints import make_checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from minibert import InputError, InputTypeError, SentenceEncoder, pipeline
from minibert.pipelines import streaming
from minibert.pipelines.streaming import batches_of_tokens, chunks, try_batch

TEXTS = ["a good movie", "bad", "this film is great !", "i hate it .", "", "the movie was not very good ,"] * 7


@pytest.fixture(scope="module")
def pipe(tmp_path_factory):
    return pipeline("text-classification", make_checkpoint(tmp_path_factory.mktemp("m")))


@pytest.fixture
def small(monkeypatch):
    """Chunks of eight rows, batches of twelve tokens."""
    monkeypatch.setattr(streaming, "CHUNK_ROWS", 8)
    monkeypatch.setattr(streaming, "BATCH_TOKENS", 12)


def near(answers, others):
    """The same labels, and scores but for what another order of batches may do to the last digits."""
    answers, others = list(answers), list(others)
    return [answer["label"] for answer in answers] == [answer["label"] for answer in others] and [
        answer["score"] for answer in answers
    ] == pytest.approx([answer["score"] for answer in others], abs=1e-6)


# --- what is given, and what comes back ------------------------------------------------------------------------------


def test_a_stream_gives_the_answers_of_a_call_in_order(pipe, small):
    assert near(pipe.stream(TEXTS), pipe(TEXTS)) and near(pipe.stream(iter(TEXTS)), pipe(TEXTS))
    assert list(pipe.stream([])) == [] and list(pipe.stream(iter(()))) == []
    assert [len(ranking) for ranking in pipe.stream(TEXTS, top_k=2)] == [2] * len(TEXTS)


def test_a_stream_is_endless_and_reads_a_chunk_ahead(pipe, small):
    read = []

    def texts():
        for index in count():
            read.append(index)
            yield "a good movie"

    answers = pipe.stream(texts())
    assert iter(answers) is answers and read == []
    assert len(list(islice(answers, 8))) == 8 and len(read) == 8
    next(answers)
    assert len(read) == 16


def test_texts_and_pairs_may_come_in_one_stream(pipe, small):
    mixed = ["bad", ("a movie", "bad"), {"text": "bad"}, "good"]
    assert near(pipe.stream(mixed), [pipe(row)[0] if isinstance(row, str) else pipe(row) for row in mixed])


def test_an_input_that_is_refused_ends_the_stream_behind_the_answers_before_it(pipe, small):
    for wrong, error in ((5, InputTypeError), ("good " * 30, InputError), ("\ud800", InputTypeError)):
        answers = pipe.stream([*TEXTS[:11], wrong, "bad"])
        assert near(islice(answers, 11), pipe(TEXTS[:11]))
        with pytest.raises(error):
            next(answers)


@pytest.mark.parametrize("inputs", ["a text", b"bytes", {"text": "a"}, 5, None], ids=repr)
def test_what_is_no_iterable_of_inputs_is_refused_at_once(inputs, pipe):
    with pytest.raises(InputTypeError, match=f"stream takes an iterable of inputs; got {type(inputs).__name__}"):
        pipe.stream(inputs)


def test_options_are_checked_at_once_and_batches_are_not_the_callers_to_make(pipe, tmp_path):
    with pytest.raises(InputError, match="top_k must be"):
        pipe.stream(TEXTS, top_k=0)
    with pytest.raises(InputError, match="leave batch_size out"):
        pipe.stream(TEXTS, batch_size=8)
    sized = pipeline("text-classification", make_checkpoint(tmp_path), batch_size=3)
    assert near(sized.stream(TEXTS[:5]), sized(TEXTS[:5]))


def test_every_task_has_a_stream(tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "BATCH_TOKENS", 1)  # each row by itself, as in the call
    heads = {
        "token-classification": "ForTokenClassification",
        "fill-mask": "ForMaskedLM",
        "question-answering": "ForQuestionAnswering",
        "feature-extraction": "Model",
    }
    inputs = {"fill-mask": "a [MASK] movie", "question-answering": {"question": "what ?", "context": "a good movie"}}
    for task, head in heads.items():
        pipe = pipeline(task, make_checkpoint(tmp_path / task, "bert", head))
        rows = [inputs.get(task, "a good movie")] * 9
        assert list(pipe.stream(rows)) == list(pipe(iter(rows), batch_size=1)), task
    labels = {0: "contradiction", 1: "neutral", 2: "entailment"}
    folder = make_checkpoint(tmp_path / "zero", "bert", num_labels=3, id2label=labels)
    pipe = pipeline("zero-shot-classification", folder)
    with pytest.raises(InputError, match="needs labels"):
        pipe.stream(TEXTS)
    (answer,) = pipe.stream(["bad"], candidate_labels=["film", "movie"])
    assert set(answer) == {"sequence", "labels", "scores"} and set(answer["labels"]) == {"film", "movie"}


def test_vectors_stream_too(tmp_path, small):
    encoder = SentenceEncoder.from_pretrained(make_checkpoint(tmp_path, "bert", "Model"))
    vectors = np.stack(list(encoder.stream(iter(TEXTS), normalize=True)))
    assert np.allclose(vectors, encoder.encode(TEXTS, normalize=True), atol=1e-6)
    with pytest.raises(InputError, match="prompt_name is one of"):
        encoder.stream(TEXTS, prompt_name="query")


# --- what is put together --------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 100)), st.integers(1, 9), st.integers(1, 300))
@settings(max_examples=200, deadline=None)
def test_chunks_are_the_same_wherever_one_begins(weights, rows, chars):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streaming, "CHUNK_ROWS", rows)
        patch.setattr(streaming, "CHUNK_CHARS", chars)
        parts = list(chunks(weights, lambda weight: weight))
        assert [weight for chunk in parts for weight in chunk] == weights
        for chunk in parts:
            assert len(chunk) <= rows and sum(chunk[:-1]) < chars
        at = 0
        for index, chunk in enumerate(parts):
            assert list(chunks(weights[at:], lambda weight: weight)) == parts[index:]
            at += len(chunk)


@given(st.lists(st.integers(0, 5000), max_size=600))
@settings(max_examples=200, deadline=None)
def test_batches_hold_each_place_once_shortest_first_and_are_bounded(lengths):
    batches = list(batches_of_tokens(lengths))
    rows = [row for batch in batches for row in batch]
    assert sorted(rows) == list(range(len(lengths)))
    assert [lengths[row] for row in rows] == sorted(lengths)
    for batch in batches:
        assert 0 < len(batch) <= streaming.BATCH_ROWS
        assert len(batch) == 1 or sum(lengths[row] for row in batch) <= streaming.BATCH_TOKENS


@given(st.lists(st.booleans(), min_size=1, max_size=40))
@settings(max_examples=200, deadline=None)
def test_a_bad_row_is_found_and_costs_its_neighbors_nothing(good):
    def answer(rows):
        if not all(good[row] for row in rows):
            raise InputError("bad")
        return [f"answer {row}" for row in rows]

    answers = try_batch(list(range(len(good))), answer)
    for row, one in enumerate(answers):
        assert one == f"answer {row}" if good[row] else isinstance(one, InputError)
