"""A tokenizer.json whose normalizer and pre-tokenizer are made of other steps than BERT's own gives the reference's answers."""

import json
import random

import pytest
from tokenization_cases import CONTEXTS, SCALARS, check_same, random_texts, troubled_vocab

from minibert.errors import VocabularyError
from minibert.tokenization import PreTrainedTokenizerFast

COURSE = ("Sequence", "NFD Lowercase StripAccents"), ("Sequence", "WhitespaceSplit Punctuation")
NORMALIZERS = (
    COURSE[0],
    ("Sequence", "Lowercase NFD"),
    ("Sequence", "StripAccents NFD Lowercase"),
    ("NFD", ""),
    ("Lowercase", ""),
    ("StripAccents", ""),
    ("Sequence", "NFD BertNormalizer StripAccents"),
    ("Sequence", ""),
)
PRE_TOKENIZERS = (
    COURSE[1],
    ("Whitespace", ""),
    ("WhitespaceSplit", ""),
    ("Punctuation", ""),
    ("Sequence", "Whitespace Punctuation"),
    ("Sequence", "Punctuation BertPreTokenizer"),
)
BEHAVIORS = ("isolated", "removed", "merged_with_previous", "merged_with_next", "contiguous")


def step_of(module, step_type, names=""):
    """A step of the reference's library; `names` are those of a Sequence."""
    if step_type == "Sequence":
        return module.Sequence([step_of(module, name) for name in names.split()])
    return getattr(module, step_type)()


def reference(normalizer, pre_tokenizer):
    """A tokenizer of the reference's library, put together as the course does it."""
    from tokenizers import Tokenizer, decoders, models, processors

    vocab = troubled_vocab()
    theirs = Tokenizer(models.WordPiece(dict(vocab), unk_token="[UNK]"))
    theirs.normalizer, theirs.pre_tokenizer, theirs.decoder = normalizer, pre_tokenizer, decoders.WordPiece(prefix="##")
    theirs.add_special_tokens(["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]"])
    theirs.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])],
    )
    return theirs


def tokenizers_of(folder, normalizer, pre_tokenizer):
    """(ours, the reference): ours read from the file that the reference writes."""
    theirs = reference(normalizer, pre_tokenizer)
    theirs.save(str(folder / "tokenizer.json"))
    return PreTrainedTokenizerFast(tokenizer_file=folder / "tokenizer.json"), theirs


def pair_of(folder, normalizer, pre_tokenizer):
    from tokenizers import normalizers, pre_tokenizers

    return tokenizers_of(folder, step_of(normalizers, *normalizer), step_of(pre_tokenizers, *pre_tokenizer))


def check_packed(ours, theirs, texts):
    """The compiled path against the reference."""
    packed = ours.encode_packed(texts)
    for start, stop, other in zip(packed.bounds[:-1], packed.bounds[1:], theirs.encode_batch(texts), strict=True):
        words = [None if word < 0 else word for word in packed.word_ids[start:stop].tolist()]
        mine = packed.ids[start:stop].tolist(), list(map(tuple, packed.offsets[start:stop].tolist())), words
        assert mine == (other.ids, other.offsets, other.word_ids), mine


@pytest.mark.parity
@pytest.mark.parametrize("pre_tokenizer", PRE_TOKENIZERS, ids=str)
@pytest.mark.parametrize("normalizer", NORMALIZERS, ids=str)
def test_known_steps_in_any_order_give_the_references_answers(tmp_path, normalizer, pre_tokenizer):
    ours, theirs = pair_of(tmp_path, normalizer, pre_tokenizer)
    texts = list(random_texts(30, seed=5))
    for text in texts:
        check_same((ours, theirs), text)
    check_packed(ours, theirs, texts)


@pytest.mark.parity
@pytest.mark.parametrize("behavior", BEHAVIORS)
def test_punctuation_goes_where_its_behavior_says(tmp_path, behavior):
    from tokenizers import normalizers, pre_tokenizers

    steps = [pre_tokenizers.Punctuation(behavior), pre_tokenizers.WhitespaceSplit()]
    for order in (steps, steps[::-1], steps[:1]):
        ours, theirs = tokenizers_of(tmp_path, normalizers.Lowercase(), pre_tokenizers.Sequence(order))
        draw = random.Random(6)
        for text in ("!a.b!! c,, d", *("".join(draw.choices("ab.,! é中", k=9)) for _ in range(60))):
            check_same((ours, theirs), text)


@pytest.mark.parity
def test_every_two_hundredth_character_through_the_courses_steps(tmp_path):
    ours, theirs = pair_of(tmp_path, *COURSE)
    words, symbols = pair_of(tmp_path, COURSE[0], ("Whitespace", ""))
    for start in range(0, len(SCALARS), 200 * 100):
        for context in CONTEXTS:
            text = " ".join(context.format(chr(code)) for code in SCALARS[start : start + 200 * 100 : 200])
            check_same((ours, theirs), text)
            check_same((words, symbols), text)
            check_packed(ours, theirs, text.split(" "))


@pytest.mark.parity
def test_the_courses_steps_take_the_compiled_path_and_those_with_neighbors_do_not(tmp_path):
    ours = pair_of(tmp_path, *COURSE)[0]
    ours.encode_packed(["a b"])
    assert "batch_encoder" in vars(ours._pipeline)
    ours = pair_of(tmp_path, COURSE[0], ("Whitespace", ""))[0]
    assert ours.encode_packed(["a b"]).ids.tolist() == ours.encode("a b") and "batch_encoder" not in vars(ours._pipeline)


@pytest.mark.parity
def test_steps_are_saved_as_they_were_read(tmp_path):
    ours, theirs = pair_of(tmp_path, *COURSE)
    ours.save_pretrained(tmp_path / "saved")
    saved = json.loads((tmp_path / "saved" / "tokenizer.json").read_text())
    for name in ("normalizer", "pre_tokenizer"):
        assert saved[name] == json.loads(theirs.to_str())[name]
    again = PreTrainedTokenizerFast.from_pretrained(tmp_path / "saved")
    for text in random_texts(30, seed=7):
        assert again.encode(text) == theirs.encode(text).ids


@pytest.mark.parity
@pytest.mark.parametrize(
    "name, steps, message",
    [
        ("normalizer", ["NFD", "NFKC", "Lowercase", "Nmt"], "or a Sequence of them; got 'NFKC', 'Nmt'"),
        ("pre_tokenizer", ["Metaspace", "Whitespace"], "or a Sequence of them; got 'Metaspace'"),
    ],
)
def test_steps_that_are_not_known_are_named(tmp_path, name, steps, message):
    from tokenizers import normalizers, pre_tokenizers

    module = normalizers if name == "normalizer" else pre_tokenizers
    sequence = step_of(module, "Sequence", " ".join(steps))
    theirs = reference(*((sequence, pre_tokenizers.Whitespace()) if name == "normalizer" else (None, sequence)))
    theirs.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(VocabularyError, match=message):
        PreTrainedTokenizerFast.from_pretrained(tmp_path)


def test_sequences_nested_deep_are_read(tmp_path):
    nested = '{"type": "Sequence", "normalizers": [' * 300 + '{"type": "Lowercase"}' + "]}" * 300
    content = {
        "model": {"type": "WordPiece", "vocab": {"[UNK]": 0, "a": 1}},
        "normalizer": "HERE",
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(content).replace('"HERE"', nested))
    assert PreTrainedTokenizerFast(tokenizer_file=tmp_path / "tokenizer.json").encode("A") == [1]
