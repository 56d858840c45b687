"""A call gives what transformers gives: padding, truncation, overflow, pairs, words, look-ups, decoding."""

import itertools
import random

import numpy as np
import pytest
from tokenization_cases import COLUMNS, differences, random_texts, real_folder, troubled_vocab

from minibert import AutoTokenizer
from minibert.errors import InputError, InputTypeError, MinibertWarning
from minibert.tokenization import BertTokenizer, DistilBertTokenizer
from minibert.tokenization.tokenizer import FLAGS

PAIR = ["Hello, unwanted friend!", "an abc [MASK] é中国 want"]


@pytest.fixture(scope="module")
def both():
    transformers = pytest.importorskip("transformers")
    return AutoTokenizer.from_pretrained(real_folder()), transformers.AutoTokenizer.from_pretrained(real_folder())


def same_answer(mine, other):
    assert list(mine.keys()) == list(other.keys())
    for name in mine:
        assert type(mine[name]) is type(other[name])
        assert np.array_equal(mine[name], other[name]) if isinstance(mine[name], np.ndarray) else mine[name] == other[name], (
            name
        )
    if mine.encodings is not None:
        for ours, theirs in zip(mine.encodings, other.encodings, strict=True):
            assert [name for name in COLUMNS if getattr(ours, name) != getattr(theirs, name)] == []


CALLS = [
    {},
    {"add_special_tokens": False},
    {"padding": True},
    {"padding": True, "return_tensors": "np"},
    {"padding": "longest", "pad_to_multiple_of": 8, "padding_side": "left"},
    {"padding": "max_length", "max_length": 20},
    {"padding": "max_length", "max_length": 9, "truncation": True, "return_tensors": "np"},
    {"max_length": 7},
    {"truncation": True, "max_length": 8, "return_overflowing_tokens": True, "stride": 1, "return_offsets_mapping": True},
    {"truncation": "only_first", "max_length": 12, "padding": True, "return_overflowing_tokens": True},
    {"return_special_tokens_mask": True, "return_offsets_mapping": True, "return_length": True},
    {"return_token_type_ids": False, "return_attention_mask": False},
    {"truncation": "do_not_truncate", "padding": "do_not_pad"},
]
TEXTS = [("a text",), (PAIR[0], PAIR[1]), (PAIR,), (["", "b"],), (PAIR, PAIR[::-1]), ([("a", "b c"), ("d", "")],), ("a", "")]


@pytest.mark.parity
@pytest.mark.parametrize("call", CALLS, ids=str)
def test_a_call_answers_as_transformers_does(both, call):
    ours, theirs = both
    for text in TEXTS:
        if call.get("return_tensors") is None or isinstance(text[0], list):
            same_answer(ours(*text, **call), theirs(*text, **call))


@pytest.mark.parity
@pytest.mark.parametrize(
    "call", [{}, {"padding": True, "return_offsets_mapping": True}, {"truncation": True, "max_length": 6}], ids=str
)
def test_words_given_apart_answer_as_in_transformers(both, call):
    ours, theirs = both
    words = [["Hello", "unwanted", "", "é!"], ["a"]]
    for text in ((words[0],), (words,), (words, words[::-1]), ([(words[0], words[1])],)):
        same_answer(ours(*text, is_split_into_words=True, **call), theirs(*text, is_split_into_words=True, **call))


@pytest.mark.parity
def test_every_truncation_is_the_references():
    from tokenization_cases import pair_of_tokenizers

    ours, theirs = pair_of_tokenizers(troubled_vocab())
    draw = random.Random(2)
    for lengths in itertools.product((0, 1, 3, 8), (None, 0, 2, 8)):
        text, pair = ("a " * lengths[0], None if lengths[1] is None else "b " * lengths[1])
        for limit, strategy, side, special in itertools.product(
            (2, 3, 4, 5, 7, 10), ("longest_first", "only_first", "only_second"), ("left", "right"), (True, False)
        ):
            stride = draw.choice((0, 0, 1, 2))
            check_truncation(ours, theirs, (text, pair), limit, strategy, side, special, stride)


def check_truncation(ours, theirs, texts, limit, strategy, side, special, stride):
    """One answer, or one error; where the reference crashes or wraps round, ours is an InputError."""
    ours.truncation_side = side
    taken = (2 if texts[1] is None else 3) * special
    try:
        theirs.enable_truncation(limit, stride=stride, strategy=strategy, direction=side)
        other = theirs.encode(*texts, add_special_tokens=special)
    except BaseException as error:  # a Rust panic is no Exception
        assert not isinstance(error, (KeyboardInterrupt, SystemExit))
        other = None
    try:
        row = texts if texts[1] is not None else texts[0]
        batch = ours(
            [row],
            truncation=strategy,
            max_length=limit,
            stride=stride,
            add_special_tokens=special,
            return_overflowing_tokens=True,
        )
    except InputError:
        assert other is None or limit < taken
        return
    assert other is not None
    mine = [[getattr(one, name) for name in COLUMNS] for one in batch.encodings]
    assert mine == [[getattr(one, name) for name in COLUMNS] for one in (other, *other.overflowing)]


@pytest.mark.parity
def test_overflow_is_kept_with_its_row():
    from tokenization_cases import pair_of_tokenizers

    ours, theirs = pair_of_tokenizers(troubled_vocab())
    theirs.enable_truncation(5, stride=1)
    mine = ours(["a b c d e a b"], truncation=True, max_length=5, stride=1, return_overflowing_tokens=True).encodings[0]
    assert differences(mine, theirs.encode("a b c d e a b")) == []


@pytest.mark.parity
def test_look_ups_answer_as_in_transformers(both):
    ours, theirs = both
    for text in (("unwanted é [MASK] abc",), (PAIR[0], "naïve second")):
        mine, other = ours(*text, padding="max_length", max_length=30), theirs(*text, padding="max_length", max_length=30)
        assert mine.tokens() == other.tokens() and mine.word_ids() == other.word_ids()
        assert mine.sequence_ids() == other.sequence_ids() and mine.n_sequences == other.n_sequences
        for index, sequence in itertools.product(range(25), range(len(text))):
            for name in ("char_to_token", "char_to_word", "word_to_tokens"):
                look, other_look = getattr(mine, name), getattr(other, name)
                assert look(0, index, sequence) == other_look(0, index, sequence), (name, index)
            if other.word_to_tokens(0, index, sequence) is not None:
                assert mine.word_to_chars(0, index, sequence) == other.word_to_chars(0, index, sequence)
            for name in ("token_to_chars", "token_to_word", "token_to_sequence"):
                assert getattr(mine, name)(index) == getattr(other, name)(index), (name, index)


@pytest.mark.parity
def test_decoding_is_the_references(both):
    ours, theirs = both
    for text in [*random_texts(100, seed=3), "I don't want it, do not! It's un.", "x ' y '", "##a ##", "[CLS] a [MASK]"]:
        ids = theirs.encode(text)
        for flags in ({}, {"skip_special_tokens": True}, {"clean_up_tokenization_spaces": True}):
            assert ours.decode(ids, **flags) == theirs.decode(ids, **flags)
        assert ours.convert_ids_to_tokens(ids) == theirs.convert_ids_to_tokens(ids)
        assert ours.tokenize(text) == theirs.tokenize(text)
    rows = [[101, 7592, 102, 0], [101, 30521, 99999]]
    assert ours.batch_decode(rows) == theirs.batch_decode(rows) == ours.decode(np.array(rows[:1]).tolist() + rows[1:])
    assert ours.decode(7592) == ours.decode(np.int64(7592)) == theirs.decode(7592) == "hello"


@pytest.mark.parity
def test_padding_of_rows_made_before_is_transformers(both):
    ours, theirs = both
    rows = [ours("a b c"), ours("d")]
    for options in (
        {},
        {"padding": "max_length", "max_length": 9},
        {"return_tensors": "np"},
        {"pad_to_multiple_of": 4, "padding_side": "left"},
    ):
        mine, other = ours.pad([dict(row) for row in rows], **options), theirs.pad([dict(row) for row in rows], **options)
        same_answer(mine, other)
    assert ours.pad({"input_ids": [1, 2]}, padding="max_length", max_length=3)["input_ids"] == [1, 2, 0]


@pytest.mark.parity
def test_names_and_tokens_are_transformers(both):
    ours, theirs = both
    for name in (
        "all_special_tokens",
        "all_special_ids",
        "special_tokens_map",
        "vocab_size",
        "model_max_length",
        "padding_side",
        "truncation_side",
        "model_input_names",
        "mask_token",
        "mask_token_id",
        "pad_token_id",
        "is_fast",
    ):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert len(ours) == len(theirs) and ours.get_vocab() == theirs.get_vocab() == ours.vocab
    assert ours.num_special_tokens_to_add(True) == 3
    assert ours.convert_tokens_to_ids(["hello", "no such"]) == [7592, 100]


@pytest.mark.parity
def test_tokens_added_by_name_get_the_ids_transformers_gives():
    from transformers import AutoTokenizer as Theirs

    for tokenizer in (ours := AutoTokenizer.from_pretrained(real_folder()), theirs := Theirs.from_pretrained(real_folder())):
        assert tokenizer.add_tokens(["newtoken", "hello"]) == 2
        assert tokenizer.add_tokens("newtoken") == 0
        assert tokenizer.add_special_tokens({"extra_special_tokens": ["<e1>"], "mask_token": "<mask>"}) == 2
    for text in ("a NewToken Hello <e1>x <mask> [MASK]", "newtokens"):
        assert ours.encode(text) == theirs.encode(text)
        assert ours.decode(ours.encode(text), True) == theirs.decode(theirs.encode(text), skip_special_tokens=True)
    assert len(ours) == len(theirs) and ours.mask_token_id == theirs.mask_token_id
    assert ours.all_special_tokens == theirs.all_special_tokens


def test_only_distilbert_leaves_token_types_out():
    assert "token_type_ids" not in DistilBertTokenizer()("a") and "token_type_ids" in BertTokenizer()("a")


def test_a_batch_can_be_unpacked_and_indexed():
    batch = BertTokenizer(troubled_vocab())(["a b", "c"], padding=True, return_tensors="np")
    assert {**batch}.keys() == batch.keys() == dict(batch.items()).keys()
    assert batch.input_ids is batch["input_ids"] and batch[1].tokens == ["[CLS]", "c", "[SEP]", "[PAD]"]
    with pytest.raises(AttributeError, match="no 'labels'"):
        batch.labels


def test_an_empty_batch_is_empty():
    tokenizer = BertTokenizer()
    assert tokenizer([])["input_ids"] == []
    assert tokenizer([], padding=True, return_tensors="np")["attention_mask"].shape == (0, 0)


def test_the_warning_of_a_long_row_comes_once():
    tokenizer = BertTokenizer(model_max_length=4)
    with pytest.warns(MinibertWarning, match="6 tokens and the model accepts 4"):
        tokenizer("a b c d")
    tokenizer.encode("a b c d")


@pytest.mark.parametrize("method", ["__call__", "encode"])
def test_the_warning_of_a_long_row_names_the_callers_line(method):
    call = getattr(BertTokenizer(model_max_length=4), method)
    with pytest.warns(MinibertWarning) as warned:
        call("a b c d")
    assert warned[0].filename == __file__


@pytest.mark.parity
def test_ids_beyond_the_vocabulary_and_flags_that_are_none_are_taken_as_theirs(both):
    ours, theirs = both
    for token_id in (len(theirs) - 1, len(theirs), 40000, 2**31, 2**32 - 1, 2**32, 2**40, 2**64, -1):
        for method in ("decode", "convert_ids_to_tokens"):
            try:
                expected = getattr(theirs, method)([5, token_id])
            except OverflowError:
                with pytest.raises(InputTypeError, match="a token id must be an integer from 0 up to 4294967295"):
                    getattr(ours, method)([5, token_id])
            else:
                assert getattr(ours, method)([5, token_id]) == expected
    for name in FLAGS:
        try:
            expected = dict(theirs("a good movie", **{name: None}))
        except TypeError:
            with pytest.raises(InputTypeError, match=f"{name} must be True or False; got None"):
                ours("a good movie", **{name: None})
        else:
            assert dict(ours("a good movie", **{name: None})) == expected
