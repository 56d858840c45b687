"""Ids, tokens, offsets and word ids are the reference's, for every character and for strings weighted to trouble."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenization_cases import (
    CONTEXTS,
    FLAGS,
    KNOWN_VOCAB,
    SCALARS,
    WORDS,
    check_same,
    differences,
    pair_of_tokenizers,
    random_texts,
    real_vocab,
    texts,
    troubled_vocab,
)

from minibert.errors import InputError
from minibert.tokenization import AddedToken, BertTokenizer
from minibert.tokenization.fast_pipeline import MAX_SHARED_END
from minibert.tokenization.stages.unicode import unicode_table


@pytest.fixture(scope="module", params=FLAGS, ids=str)
def tokenizers(request):
    return pair_of_tokenizers(troubled_vocab(), **request.param)


def sweep(codes, lowercase, by_definition):
    """Every one of the characters in each of the contexts, 500 to a text: spaces keep them apart.

    The definition is slow, so it goes through the contexts named only.
    """
    ours, theirs = pair_of_tokenizers(real_vocab(), lowercase=lowercase)
    for context in CONTEXTS:
        groups = [codes[start : start + 500] for start in range(0, len(codes), 500)]
        texts = [" ".join(context.format(chr(code)) for code in group) for group in groups]
        for text, other in zip(texts, theirs.encode_batch(texts), strict=True):
            normal = theirs.normalizer.normalize_str(text)
            if context in by_definition:
                assert ours._normalizer.normalize(text)[0] == normal
                check_same((ours, theirs), text)
            else:
                assert differences(ours([text], return_offsets_mapping=True)[0], other) == []
            # Most characters are [UNK] to the vocabulary, and the words tell more than the ids.
            if ours._normalizer.can_translate(text):
                words = [word for word, _ in theirs.pre_tokenizer.pre_tokenize_str(normal)]
                assert [word for word in text.translate(ours._pipeline.translation).split(" ") if word] == words


@pytest.mark.parity
@pytest.mark.parametrize("lowercase", [True, False])
def test_every_fiftieth_character_in_four_contexts(lowercase):
    """A tenth of them goes through the batch path: test_batch.py."""
    sweep(SCALARS[3::50] if lowercase else SCALARS[7::50], lowercase, CONTEXTS[1:2] if lowercase else ())


@pytest.mark.slow
@pytest.mark.parity
@pytest.mark.parametrize("lowercase", [True, False])
def test_every_character_in_four_contexts(lowercase):
    sweep(SCALARS, lowercase, CONTEXTS[1:2])


@pytest.mark.parity
@settings(max_examples=60, deadline=None, derandomize=True)
@given(text=texts)
def test_any_string(tokenizers, text):
    check_same(tokenizers, text)


@pytest.mark.parity
def test_random_strings(tokenizers):
    for text in random_texts(250, seed=11):
        check_same(tokenizers, text)


@pytest.mark.parity
@pytest.mark.parametrize("word", WORDS)
def test_each_troublesome_word_alone_and_twice(word):
    for vocab in (troubled_vocab(), real_vocab()):
        tokenizers = pair_of_tokenizers(vocab)
        for text in (word, f"{word}{word}", f" a{word}.{word}\u0301 "):
            check_same(tokenizers, text)


CONTENTS = [
    "ab",
    "Ab",
    "é",
    "e\u0301",
    " x",
    "x y",
    "中",
    "[X]",
    "ed",
    "[MASK]",
    "[MASK",
    "want",
    "!",
    "a",
    "\u0f73",
    "İ",
    "\t!",
    "ß",
    "_",
]
added_tokens = st.lists(st.builds(AddedToken, st.sampled_from(CONTENTS), *[st.booleans()] * 5), min_size=1, max_size=4)


@pytest.mark.parity
@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    added=added_tokens,
    flags=st.sampled_from(FLAGS),
    pieces=st.lists(st.sampled_from([*CONTENTS, " ", "\t", "b", "."])),
    text=texts,
)
def test_added_tokens_of_every_kind(added, flags, pieces, text):
    try:
        tokenizers = pair_of_tokenizers(troubled_vocab(), added, **flags)
    except InputError:
        assert any(token.normalized for token in added)  # nothing was left of it
        return
    for string in ("".join(pieces), text, "".join(pieces) + text):
        check_same(tokenizers, string)


def test_only_83_marks_and_13_composed_of_them_can_change_the_order_of_what_is_left():
    normalizer = BertTokenizer()._normalizer
    untranslatable = [code for code in SCALARS if not normalizer.can_translate(chr(code))]
    assert sum(code in unicode_table().combining for code in untranslatable) == 83
    assert len(untranslatable) == 83 + 13


@pytest.mark.parametrize(
    "text, tokens",
    [("UNwantéd,running", ["un", "##want", "##ed", ",", "runn", "##ing"]), ("unwantedX running", ["[UNK]", "runn", "##ing"])],
)
def test_known_pairs(text, tokens):
    assert BertTokenizer(KNOWN_VOCAB).tokenize(text) == tokens


def test_chinese_characters_stand_alone():
    normal, sources = BertTokenizer()._normalizer.normalize("ah博推zz")
    assert normal == "ah 博  推 zz" and sources == [0, 1, 2, 2, 2, 3, 3, 3, 4, 5]


def test_known_words_of_a_text():
    offsets = BertTokenizer()("Hey friend!     How are you?!?", return_offsets_mapping=True)["offset_mapping"][1:-1]
    assert offsets == [(0, 3), (4, 10), (10, 11), (16, 19), (20, 23), (24, 27), (27, 28), (28, 29), (29, 30)]


@pytest.mark.parity
@pytest.mark.parametrize("fill", ["a ", "don't ", "abc\u0301 ", "中", "\0", "각"])
def test_offsets_far_into_a_text_are_as_those_near_its_beginning(fill):
    """Near it texts share their spans; the last of those ends in MAX_SHARED_END."""
    ours, theirs = pair_of_tokenizers(real_vocab())
    for count in (
        MAX_SHARED_END // len(fill) - 1,
        MAX_SHARED_END // len(fill),
        MAX_SHARED_END // len(fill) + 1,
        3 * MAX_SHARED_END,
    ):
        text = fill * count + "unaffable, é" + "x" * 600 + " ab"
        assert differences(ours([text])[0], theirs.encode(text)) == []


@pytest.mark.parity
def test_a_token_longer_than_a_word_may_be_is_no_word():
    vocab = {**troubled_vocab(), "a" * 101: 999, "b" * 100: 998}
    ours, theirs = pair_of_tokenizers(vocab)
    for text in ("a" * 101, "b" * 100, f"x{'a' * 101}. {'a' * 101}, {'b' * 100}."):
        check_same((ours, theirs), text)


@pytest.mark.parity
@pytest.mark.parametrize(
    "text", ["", "\0", "\0 \0", "\u0301", "a\u0301\u0301b", "각\tb", "각\u0301\t\u0301b", "\u0f71\0", "é\xa0é\0"]
)
def test_dropped_and_expanded_characters_have_the_right_offsets(text):
    check_same(pair_of_tokenizers(troubled_vocab()), text)


def test_a_cache_that_overflows_gives_the_same_ids(monkeypatch):
    monkeypatch.setattr("minibert.tokenization.fast_pipeline.MAX_CACHED_SEGMENTS", 3)
    small, large = BertTokenizer(troubled_vocab()), BertTokenizer(troubled_vocab())
    for text in random_texts(100, seed=5):
        ids = small.encode(text)
        monkeypatch.setattr("minibert.tokenization.fast_pipeline.MAX_CACHED_SEGMENTS", 1 << 17)
        assert ids == large.encode(text)
        monkeypatch.setattr("minibert.tokenization.fast_pipeline.MAX_CACHED_SEGMENTS", 3)
