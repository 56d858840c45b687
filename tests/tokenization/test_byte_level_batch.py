"""The compiled batch path of byte-level BPE gives what a call of the tokenizer gives for each text."""

import itertools
import random

import numpy as np
import pytest
from byte_level_cases import (
    CONTEXTS,
    FLAGS,
    PARTS,
    SPECIAL,
    our_gpt2,
    our_roberta,
    pair_of_robertas,
    random_troubled,
    train,
    trained,
    troubled,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from packed_encodings import BYTE_LEVEL_FALLBACK, calls, check, rows, sweep
from tokenization_cases import MARKS, SCALARS, SPACES, WORDS

from benchmarks.multilingual import lines
from minibert.kernels.tokenizer import byte_level, long_segments, merges, segment_cache
from minibert.tokenization import AddedToken, PreTrainedTokenizerFast, compiled
from minibert.tokenization.stages.byte_level import BYTE_CHARACTERS


@pytest.fixture(scope="module", params=FLAGS, ids=lambda flags: " ".join(name for name in flags if flags[name]) or "none")
def tokenizer(request):
    return our_roberta(trained(2000), **request.param)


@pytest.fixture(scope="module")
def plain():
    return our_roberta(trained(2000))


@pytest.mark.parametrize("flags", FLAGS, ids=str)
def test_python_encodes_only_what_it_must(flags):
    tokenizer = our_roberta(trained(2000), **flags)
    some = ["a new day", "", "two  spaces ", "a\tb\n", "a \n b\n", "中国", *BYTE_LEVEL_FALLBACK, "\u3000x", " x"]
    limits = compiled.row_limits(tokenizer, True, None, None)
    _, fallback = tokenizer._pipeline.batch_encoder.encode(tuple(some), limits, True)
    starts = flags["add_prefix_space"]  # white space at the start then matters
    assert fallback.tolist() == [*[0] * 6, 1, 1, 1, starts, starts]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(some=st.lists(troubled, max_size=5))
def test_any_strings(tokenizer, some):
    check(tokenizer, some)


def test_random_strings(tokenizer):
    some = list(random_troubled(600, seed=21))
    check(tokenizer, some)
    check(tokenizer, some[::-1])


def test_random_strings_without_special_tokens_and_with_those_of_gpt2():
    some = list(random_troubled(300, seed=22))
    check(our_roberta(trained(2000)), some, add_special_tokens=False)
    check(our_gpt2(trained(2000)), some)
    check(our_gpt2(trained(2000), add_prefix_space=True), some)


def test_each_troublesome_word_alone_and_twice(tokenizer):
    words = [*WORDS, *PARTS, *MARKS, *SPACES]
    check(tokenizer, [text for word in words for text in (word, word + word, f" a{word}.{word}\u0301 ", f"{word} {word}")])


def test_every_pair_of_troublesome_parts(tokenizer):
    """Where white space of one meets that of another."""
    spaces = [" ", "  ", "\t", "\n ", " \n", "\xa0", "\u3000 ", "a", "'s", "1", "", ".", "中"]
    check(tokenizer, [one + other + third for one in spaces for other in spaces for third in spaces])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    contents=st.lists(st.sampled_from(["ab", "é", "x y", "ed", "<mask", "!", "Ġ", "\t!", "中", "'s"]), min_size=1, max_size=3),
    flags=st.tuples(*[st.booleans()] * 4),
    some=st.lists(troubled, max_size=3),
)
def test_added_tokens(contents, flags, some):
    tokenizer = our_roberta(trained(2000), [AddedToken(content, *flags) for content in contents])
    check(tokenizer, [*some, "".join(contents), "ab " + " ".join(contents), "<ma" + contents[0]])


@pytest.mark.parametrize("content", ["\0", "\0ab", "a\0", "a" * 300])
def test_added_tokens_that_no_text_would_hold(content):
    tokenizer = our_roberta(trained(2000), [AddedToken(content, normalized=False)])
    check(tokenizer, ["a <mask> b", "a\0 ab", "\0ab\0", "a" * 301, "want"])


@pytest.mark.parity
def test_every_tenth_character_in_four_contexts():
    sweep(pair_of_robertas(trained(2000)), SCALARS[1::10], CONTEXTS)


@pytest.mark.slow
@pytest.mark.parity
@pytest.mark.parametrize("flags", FLAGS, ids=str)
def test_every_character_in_four_contexts(flags):
    sweep(pair_of_robertas(trained(2000), **flags), SCALARS, CONTEXTS)


@pytest.mark.parity
@pytest.mark.parametrize("size", [8000, 50_000])
def test_sentences_and_many_scripts_are_the_references(size, sst2):
    sentences = [line.split("\t")[1] for line in (sst2 / "train.tsv").read_text("utf-8").split("\n")[1:5001]]
    some = [*sentences, *lines(3000)]
    ours, theirs = pair_of_robertas(train(some, size))
    expected = [(other.ids, other.offsets, other.word_ids) for other in theirs.encode_batch(some)]
    for _ in range(2):  # cold and warm
        assert rows(ours.encode_packed(some)) == expected


# --- what a batch may hold ---


@pytest.mark.parametrize("letter", ["a", "é", "Ж", "\U0001d51e"])
def test_texts_of_any_number_of_segments(tokenizer, letter):
    """Segments are looked up 64 at a time; spaces in a row may be in two of these."""
    for count in (1, 62, 63, 64, 65, 127, 128, 129):
        text = " ".join(letter * (1 + index % 3) for index in range(count))
        check(tokenizer, [text, text + "  ", text + "   b", text + " \n b", "<mask> " + text, " " + text, "  " + text])


@pytest.mark.parametrize("size", [*range(1, 9), 14, 15, 16, 17, 31, 32, 33, 504, 505, 1008, 1009])
def test_segments_of_sizes_near_those_of_keys(plain, size):
    """A short key has 16 bytes with the space; a long one at most 1008."""
    for letters in ("abcdeunwt", "éüñ", "中文字", "aЖ中", "\U0001d51e\U0001f600"):
        segment = (letters * 400)[:size]
        others = [segment[:-1] + "b", segment + "a", segment[:-1], segment[::-1], "," * size]
        some = [segment, f"{segment} {segment}", f" {segment}  {segment} ", *others, " ".join([segment, *others])]
        check(plain, some + some[::-1])


def test_zero_characters_are_part_of_the_key(plain):
    some = ["a", "a\0", "a\0\0", "\0", "\0\0", "a\0b", "\0a", "a" * 8, "a" * 8 + "\0", "\0" * 16, "\0" * 17, "\0" * 40]
    check(plain, some)
    check(plain, [f" {text} {text}" for text in some[::-1]])


def test_words_of_sizes_near_the_longest_that_is_compiled(plain):
    for size in range(merges.MAX_WORD_BYTES - 6, merges.MAX_WORD_BYTES + 3):
        check(plain, ["a" * size, "é" * (size // 2), f"ab {'中' * (size // 3)} ab", "\U0001f600" * (size // 4)])


def test_a_very_long_text_and_a_very_long_segment(plain):
    check(
        plain,
        ["a," * 50_000, "é" * 101, "中 " * 5000, "abc " * 30_000, "\n" * 4200 + "x", " " * 5000, " " * 300 + "\t" + "x" * 3],
    )


# --- the caches ---


def test_cached_pieces_are_those_of_the_first_time(tokenizer):
    some = list(random_troubled(300, seed=8))
    tokenizer._pipeline.batch_encoder.idle_caches[True].clear()
    cold, warm = tokenizer.encode_packed(some), tokenizer.encode_packed(some)
    assert rows(cold) == rows(warm) == calls(tokenizer, some)


def test_more_segments_than_the_caches_have_room_for():
    tokenizer = our_roberta(trained(2000))
    draw = random.Random(4)
    segments = ["".join(draw.choices("abcdeun,.é", k=7)) for _ in range(segment_cache.ROWS + 1000)]
    segments += ["".join(draw.choices("abcdeun,.é", k=20)) for _ in range(long_segments.LONG_VALUES // 14)]
    some = [" ".join(segments[start : start + 100]) for start in range(0, len(segments), 100)]
    first, second = tokenizer.encode_packed(some), tokenizer.encode_packed(some)
    assert all(np.array_equal(one, other) for one, other in zip(first, second))
    assert rows(tokenizer.encode_packed(some[::40])) == calls(tokenizer, some[::40])


def test_truncation_on_the_left_is_a_calls():
    tokenizer = our_roberta(trained(2000), truncation_side="left", add_prefix_space=True)
    check(tokenizer, ["a b c d e", "ab", "<mask> a b c"], truncation=True, max_length=4)


@pytest.mark.parity
def test_a_vocabulary_that_lacks_bytes_is_encoded_by_calls(tmp_path):
    vocab, merges = trained(2000)
    _, theirs = pair_of_robertas((vocab, merges))
    model = {token: index for index, token in enumerate(vocab) if token != "!"}
    _, theirs = pair_of_robertas((model, [merge for merge in merges if "!" not in merge]))
    theirs.save(str(tmp_path / "tokenizer.json"))
    check(PreTrainedTokenizerFast.from_pretrained(tmp_path), ["a! b", "!", "ab"])


def test_a_vocabulary_without_merges():
    vocab, _ = trained(2000)
    check(our_roberta((vocab, [])), ["a new day", "中 é", ""])


# --- words cut into their longest tokens, which is not how BPE is defined ---


def made_up(draw, letters, count, *, is_learned):
    """(vocab, merges) of random pairs. is_learned: as from a trainer, each result once, and after its two sides."""
    known, merges = list(letters), []
    while len(merges) < count:
        pair = draw.choices(known, k=2)
        if " ".join(pair) not in merges and (not is_learned or "".join(pair) not in known):
            merges.append(" ".join(pair))
            known.append("".join(pair))
    if not is_learned:
        draw.shuffle(merges)
    tokens = [*SPECIAL, *BYTE_CHARACTERS, *known]
    return {token: index for index, token in enumerate(dict.fromkeys(tokens))}, merges


def is_cut(tokenizer):
    return bool(byte_level.Tables(*tokenizer._pipeline.batch_encoder.tables).is_cut)


@pytest.mark.parametrize("letters", ["a", "ab", "abc", "aÃ©"])
@pytest.mark.parametrize("is_learned", [True, False], ids=["learned", "in any order"])
def test_words_of_made_up_merges(letters, is_learned):
    """Of few letters, so that merges compete for them, and most tokens are never what their bytes merge to."""
    draw = random.Random(f"{letters} {is_learned}")
    for count in (1, 2, 3, 5, 8, 13, 30, 60):
        tokenizer = our_roberta(made_up(draw, letters, min(count, 12) if letters == "a" else count, is_learned=is_learned))
        assert is_cut(tokenizer) or not is_learned
        alphabet = letters.replace("Ã©", "é")
        words = ["".join(word) for size in range(1, 7) for word in itertools.product(alphabet, repeat=size)]
        words += ["".join(draw.choices(alphabet, k=draw.randrange(7, 60))) for _ in range(300)]
        check(tokenizer, [" ".join(words), *words[-20:]])


def test_only_learned_merges_are_cut():
    vocab, merges = trained(2000)
    assert is_cut(our_roberta((vocab, merges))) and is_cut(our_roberta((vocab, [])))
    assert not is_cut(our_roberta((vocab, merges[::-1])))  # before those that give its sides
    assert not is_cut(our_roberta((vocab, [*merges, merges[0]])))  # a result twice
