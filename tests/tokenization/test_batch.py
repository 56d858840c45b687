"""The compiled batch path gives what a call of the tokenizer gives for each text, which other tests hold to the reference."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packed_encodings import calls, check, check_ids, rows, sweep
from tokenization_cases import (
    CONTEXTS,
    FLAGS,
    MARKS,
    SCALARS,
    SPACES,
    WORDS,
    our_tokenizer,
    pair_of_tokenizers,
    random_texts,
    real_vocab,
    texts,
    troubled_vocab,
)

from minibert.errors import InputError, InputTypeError
from minibert.kernels.tokenizer import segment_cache
from minibert.tokenization import AddedToken, BertTokenizer, PreTrainedTokenizerFast


@pytest.fixture(scope="module", params=FLAGS, ids=str)
def tokenizer(request):
    return our_tokenizer(troubled_vocab(), **request.param)


@pytest.mark.parametrize("field", ["ids", "bounds", "offsets", "word_ids"])
def test_the_comparison_sees_an_error_in_each_column(plain, monkeypatch, field):
    packed = plain.encode_packed(["ab c"])
    column = getattr(packed, field).copy()
    column[-1] += 1
    broken = packed._replace(**{field: column})
    monkeypatch.setattr(type(plain), "encode_packed", lambda *_, **options: broken)
    with pytest.raises((AssertionError, ValueError)):
        check(plain, ["ab c"])


# --- the same as a call ---


@settings(max_examples=100, deadline=None, derandomize=True)
@given(some=st.lists(texts, max_size=5))
def test_any_strings(tokenizer, some):
    check(tokenizer, some)


def test_random_strings(tokenizer):
    check(tokenizer, list(random_texts(400, seed=21)))


@pytest.mark.parametrize("vocab", [troubled_vocab, real_vocab], ids=["troubled", "real"])
def test_each_troublesome_word_alone_and_twice(vocab):
    tokenizer = our_tokenizer(vocab())
    check(tokenizer, [text for word in (*WORDS, *MARKS, *SPACES) for text in (word, word + word, f" a{word}.{word}\u0301 ")])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    contents=st.lists(
        st.sampled_from(["ab", "é", "e\u0301", "[X]", "x y", "ed", "[MASK", "!", "\u0f73", "##", "中"]), min_size=1, max_size=3
    ),
    flags=st.tuples(*[st.booleans()] * 4),
    some=st.lists(texts, max_size=3),
)
def test_added_tokens(contents, flags, some):
    tokenizer = our_tokenizer(troubled_vocab())
    try:
        tokenizer.add_tokens([AddedToken(content, *flags) for content in contents])
    except InputError:
        return  # one of them is empty after normalization
    check(tokenizer, [*some, "".join(contents), "ab " + " ".join(contents), "[X" + contents[0]])


@pytest.mark.parametrize("content", ["\0", "\0ab", "a\0", "\ud800", "a" * 300])
def test_added_tokens_that_no_text_would_hold(content):
    tokenizer = our_tokenizer(troubled_vocab())
    tokenizer.add_tokens(AddedToken(content, normalized=False))
    check(tokenizer, ["a [MASK] b", "a\0 ab", "\0ab\0", "a" * 301, "want"])


@pytest.mark.parity
@pytest.mark.parametrize("lowercase", [True, False])
def test_every_tenth_character_in_four_contexts(lowercase):
    sweep(pair_of_tokenizers(real_vocab(), lowercase=lowercase), SCALARS[1::10] if lowercase else SCALARS[6::10], CONTEXTS)


@pytest.mark.slow
@pytest.mark.parity
@pytest.mark.parametrize("lowercase", [True, False])
def test_every_character_in_four_contexts(lowercase):
    sweep(pair_of_tokenizers(real_vocab(), lowercase=lowercase), SCALARS, CONTEXTS)


@pytest.mark.parity
def test_sentences_are_the_references(sst2):
    lines = (sst2 / "train.tsv").read_text("utf-8").split("\n")[1:5001]
    sentences = [line.split("\t")[1] for line in lines]
    ours, theirs = pair_of_tokenizers(real_vocab())
    expected = [(other.ids, other.offsets, other.word_ids) for other in theirs.encode_batch(sentences)]
    assert rows(ours.encode_packed(sentences)) == expected


# --- what a batch may hold ---


@pytest.mark.parametrize("letter", ["a", "é", "Ж", "\U0001d51e"])
def test_texts_of_any_number_of_segments(plain, letter):
    """Parts are looked up 64 at a time; what follows a fallback must not be emitted."""
    for count in (1, 63, 64, 65, 127, 128, 129, 200):
        words = [letter * (1 + index % 3) for index in range(count)]
        check(plain, [" ".join(words), "ab", " ".join([*words, "[MASK]"]), " ".join(words) + "  ", "[MASK] " + " ".join(words)])


@pytest.mark.parametrize("letter", ["a", "é", "Ж", "\U0001d51e"])
def test_spaces_anywhere_in_a_block(plain, letter):
    """They are looked for 32 or 64 units at a time."""
    for size in (15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129):
        check(plain, [letter * size, f"{letter * size} ab", f" {letter * size}  {letter} ", f"ab {letter * size}"])


def test_truncation_on_the_left_is_a_calls():
    tokenizer = BertTokenizer(troubled_vocab(), truncation_side="left")
    check(tokenizer, ["a b c d e", "ab", "[MASK] a b c"], truncation=True, max_length=4)


@pytest.mark.parametrize("size", [1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 40])
def test_segments_of_sizes_near_that_of_a_key(plain, size):
    """A key is two words of eight bytes; the last bytes of each, and what follows them, must not be lost."""
    segment = ("abcdeunwt" * 5)[:size]
    others = [segment[:-1] + "b", segment + "a", segment[:-1], "e" * (size % 2) + "é" * (size // 2), "," * size]
    some = [segment, f"{segment} {segment}", f" {segment}  {segment} ", *others, " ".join([segment, *others])]
    check(plain, some + some[::-1])


def test_zero_characters_are_part_of_the_key(plain):
    cased = our_tokenizer(troubled_vocab(), clean_text=False)
    some = ["a", "a\0", "a\0\0", "\0", "\0\0", "a\0b", "\0a", "a" * 8, "a" * 8 + "\0", "\0" * 16, "\0" * 17]
    for tokenizer in (plain, cased):
        check(tokenizer, some)
        check(tokenizer, some[::-1])


def test_a_special_token_may_end_a_text_and_what_only_begins_one_is_text(plain):
    check(plain, ["a [MASK]", "[MASK]", "a[MASK]", "[MASK", "[MAS", "a [", "K]", "[MASK] ", "a" * 20 + "[SEP]"])


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 127, 128, 129, 200])
def test_any_count_of_texts_is_read_completely(plain, count):
    """Each is read by its own width, and none is lost at the ends."""
    check(plain, [("ab c", "é", "中 un", "\U0001f600", "")[index % 5] for index in range(count)])


def test_what_a_longer_text_left_in_its_place_is_not_read(plain):
    """The kernel has room for two texts, which all of them use in turn."""
    for size in range(40):
        check(plain, ["ab " * 3 + "c" * size, "a" + " " * size, " " * size + "b", "c" * size + " " + "中" * size])


def test_a_very_long_text_and_a_very_long_segment(plain):
    check(plain, ["a" * 100_000, "ab," * 30_000, "é" * 101, "中" * 5000, "abc " * 30_000])


@pytest.mark.parametrize("limit", [0, 3, 2**31 - 1])
def test_words_of_any_length_may_be_split(plain, limit, tmp_path):
    """The limit is in the file. Scratch is for the longest text at hand; each of these characters has several forms."""
    plain.save_pretrained(tmp_path)
    path = tmp_path / "tokenizer.json"
    saved = json.loads(path.read_text("utf-8"))
    saved["model"]["max_input_chars_per_word"] = limit
    path.write_text(json.dumps(saved), "utf-8")
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=path)
    assert tokenizer._pipeline.model.max_characters == limit
    for count in (1, 2, 33, 500, 5000):
        check(tokenizer, ["ab c", "a" * count, "각" * count, "\u1faf" * count, "\u0390" * count + " un" + "able" * count])


# --- the cache ---


def of_one_tag():
    """Two segments of eight characters whose hashes differ in nothing that the index has."""
    mix, most = int(segment_cache.MULTIPLIER), 1 << 64
    keys = [(int.from_bytes(b"abcdefgh", "little") * mix % most + low) * pow(mix, -1, most) % most for low in range(2000)]
    segments = [key.to_bytes(8, "little").decode("latin-1") for key in keys]
    return [segment for segment in segments if not {" ", "\0"} & set(segment)][:2]


def test_segments_of_one_tag_are_distinguished(plain):
    one, other = of_one_tag()
    assert one != other
    check(plain, [one, other, f"{one} {other} {one}", other])
    check(plain, [other, one])


def test_cached_pieces_are_those_of_the_first_time(plain):
    some = list(random_texts(300, seed=8))
    plain._pipeline.batch_encoder.idle_caches[True].clear()
    cold, warm = plain.encode_packed(some), plain.encode_packed(some)
    assert rows(cold) == rows(warm) == calls(plain, some)


def test_more_segments_than_the_cache_has_rows():
    tokenizer = our_tokenizer(troubled_vocab())
    draw = random.Random(4)
    segments = ["".join(draw.choices("abcdeun,.é", k=7)) for _ in range(200_000)]
    some = [" ".join(segments[start : start + 100]) for start in range(0, len(segments), 100)]
    first, second = tokenizer.encode_packed(some), tokenizer.encode_packed(some)
    assert rows(first) == rows(second)
    assert rows(first)[::40] == calls(tokenizer, some[::40])


# --- what is returned and refused ---


def test_a_pair_of_surrogates_as_two_characters_is_refused(plain):
    for text in ("\ud83d\ude00", "\ud83d\ude00 \U0001f600", "a" * 40 + "\udfff"):
        with pytest.raises(InputTypeError, match="whole characters"):
            plain.encode_packed(["fine", text, "ab"])


@pytest.mark.parametrize("some", ["a text", b"bytes", ["a", None], [b"a"], [["a", "b"]]], ids=str)
def test_what_is_no_list_of_texts_is_refused(plain, some):
    with pytest.raises(InputTypeError, match="encode_packed takes a list of texts"):
        plain.encode_packed(some)


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, "2"])
def test_threads_are_counted_from_one(plain, threads):
    with pytest.raises(InputError, match="threads must be an integer from 1 up"):
        plain.encode_packed(["a"], threads=threads)


def test_places_is_the_former_name_of_return_offsets(plain):
    some = ["ab c", "[MASK]"]
    check_ids(plain.encode_packed(some, places=False), plain.encode_packed(some))
    assert rows(plain.encode_packed(some, places=True)) == rows(plain.encode_packed(some))
