"""The comparison that the other tests rest on sees every kind of fault: each is planted once, on purpose."""

import pytest
from tokenization_cases import check_same, differences, pair_of_tokenizers, troubled_vocab

from minibert.tokenization.fast_pipeline import FastPipeline

pytestmark = pytest.mark.parity
TEXT = "unwant abc, [MASK] é e"


@pytest.fixture
def tokenizers():
    ours, theirs = pair_of_tokenizers(troubled_vocab())
    theirs.enable_truncation(6)
    return ours, theirs


def rows(tokenizers):
    ours, theirs = tokenizers
    mine = ours([TEXT], truncation=True, max_length=6, return_overflowing_tokens=True)[0]
    return mine, theirs.encode(TEXT)


def test_without_a_fault_there_is_no_difference(tokenizers):
    mine, other = rows(tokenizers)
    assert other.overflowing and differences(mine, other) == []


@pytest.mark.parametrize(
    "name, fault",
    [
        ("ids", lambda row: [*row[:-1], row[-1] + 1]),
        ("tokens", lambda row: [*row[:-1], "[sep]"]),
        ("offsets", lambda row: [row[0], (row[1][0], row[1][1] + 1), *row[2:]]),
        ("word_ids", lambda row: [0 if word is None else word for word in row]),
        ("type_ids", lambda row: row[:-1]),
        ("sequence_ids", lambda row: [0 for _ in row]),
        ("special_tokens_mask", lambda row: [0, *row[1:]]),
        ("attention_mask", lambda row: [0, *row[1:]]),
    ],
)
def test_a_fault_in_a_column_is_seen(tokenizers, name, fault):
    mine, other = rows(tokenizers)
    setattr(mine, name, fault(getattr(mine, name)))
    assert differences(mine, other) == [name]


def test_a_fault_in_the_overflow_is_seen(tokenizers):
    mine, other = rows(tokenizers)
    mine.overflowing[0].offsets[1] = (0, 0)
    assert differences(mine, other) == ["overflowing[0].offsets"]
    mine.overflowing.append(mine)
    assert differences(mine, other) == ["overflowing"]


@pytest.mark.parametrize(
    "method, fault",
    [
        (
            "columns",
            lambda self, text: (lambda ids, spans, words: (ids, [(a, b + 1) for a, b in spans], words))(*COLUMNS(self, text)),
        ),
        ("ids", lambda self, text: IDS(self, text)[::-1]),
    ],
)
def test_a_fault_in_the_fast_path_alone_is_seen(monkeypatch, method, fault):
    monkeypatch.setattr(FastPipeline, method, fault)
    with pytest.raises(AssertionError):
        check_same(pair_of_tokenizers(troubled_vocab()), TEXT)


def test_a_fault_in_the_definition_alone_is_seen(monkeypatch):
    monkeypatch.setattr(FastPipeline, "analyze", lambda self, text: [])
    with pytest.raises(AssertionError):
        check_same(pair_of_tokenizers(troubled_vocab()), "abc")


COLUMNS, IDS = FastPipeline.columns, FastPipeline.ids
