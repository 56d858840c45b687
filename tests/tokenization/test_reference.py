"""Settings of a tokenizer and its files that few use answer as in transformers: names, sides, nulls, templates."""

import json
import random

import pytest
from tokenization_cases import differences, troubled_vocab

from minibert import AutoTokenizer
from minibert.errors import InputError, VocabularyError
from minibert.tokenization import AddedToken, BertTokenizer, PreTrainedTokenizerFast

pytestmark = pytest.mark.parity
ADDED = [
    {"content": "Straße É", "normalized": True},
    {"content": "FooBar", "normalized": True},
    {"content": "Ünt", "normalized": False},
    {"content": "AB", "normalized": True},
    {"content": "fooBAR", "normalized": True},
    {"content": "<ÉX>", "normalized": True, "special": True},
    {"content": "<ÉY>", "normalized": False, "special": True},
]


def both_of(folder):
    """(ours, transformers') of a folder's files."""
    import transformers

    return BertTokenizer.from_pretrained(folder), transformers.BertTokenizer.from_pretrained(folder)


def both_from(folder, **options):
    """The same with options of from_pretrained."""
    import transformers

    return tuple(owner.from_pretrained(folder, **options) for owner in (BertTokenizer, transformers.BertTokenizer))


@pytest.fixture
def folder(tmp_path):
    transformers = pytest.importorskip("transformers")
    transformers.BertTokenizer(vocab=troubled_vocab()).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def change_config(folder, **changes):
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def same_tokenizer(ours, theirs, text="a [MASK] ab <x> <y> [PAD]"):
    """Of one vocabulary, and of one mind about a text."""
    assert ours.special_tokens_map == theirs.special_tokens_map
    assert ours.all_special_tokens == theirs.all_special_tokens and ours.all_special_ids == theirs.all_special_ids
    assert ours.extra_special_tokens == theirs.extra_special_tokens
    assert ours.extra_special_tokens_ids == theirs.extra_special_tokens_ids
    assert ours.get_added_vocab() == theirs.get_added_vocab() and len(ours) == len(theirs)
    ids = theirs.encode(text)
    assert ours.encode(text) == ids
    for skips in (False, True):
        assert ours.decode(ids, skip_special_tokens=skips) == theirs.decode(ids, skip_special_tokens=skips)


@pytest.mark.parametrize("lower", [True, False])
def test_a_normalized_token_comes_back_in_its_normal_form(lower):
    import transformers

    ours = BertTokenizer(troubled_vocab(), do_lower_case=lower)
    theirs = transformers.BertTokenizer(vocab=troubled_vocab(), do_lower_case=lower)
    ours.add_tokens([AddedToken(**token) for token in ADDED])
    theirs.add_tokens([transformers.AddedToken(**token) for token in ADDED])
    ids = list(range(len(troubled_vocab()), len(theirs)))
    assert ours.convert_ids_to_tokens(ids) == theirs.convert_ids_to_tokens(ids)
    assert ours.decode(ids) == theirs.decode(ids)
    assert ours.decode(ids, skip_special_tokens=True) == theirs.decode(ids, skip_special_tokens=True)
    assert [ours.decode([token_id]) for token_id in ids] == [theirs.decode([token_id]) for token_id in ids]
    names = [token["content"] for token in ADDED] + ours.convert_ids_to_tokens(ids)
    assert ours.convert_tokens_to_ids(names) == theirs.convert_tokens_to_ids(names)
    assert ours.get_vocab() == theirs.get_vocab()
    ours.mask_token_id, theirs.mask_token_id = ids[1], ids[1]
    assert ours.mask_token == theirs.mask_token


def test_fill_mask_shows_a_normalized_token_in_its_normal_form():
    import minibert

    vocabulary = {token: token_id for token_id, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"])}
    tokenizer = BertTokenizer(vocabulary)
    tokenizer.add_tokens(["Été"])
    config = minibert.BertConfig(
        vocab_size=7, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, max_position_embeddings=16
    )
    model = minibert.BertForMaskedLM(config, kernels="reference", seed=0)
    answers = minibert.pipeline("fill-mask", model=model, tokenizer=tokenizer)("a [MASK]", top_k=7)
    assert {answer["token"]: answer["token_str"] for answer in answers}[6] == "ete"


@pytest.mark.parametrize(
    "tokens",
    [
        {"image": "<x>"},
        {"image_token": "<x>", "b": "<y>"},
        {"mask_token": "<x>"},
        {"name": "[SEP]"},
        ["<x>"],
        ("<x>",),
        None,
        {},
    ],
    ids=str,
)
def test_extra_special_tokens_may_have_names(folder, tokens):
    ours, theirs = both_from(folder, extra_special_tokens=tokens)
    same_tokenizer(ours, theirs)
    for name, token in tokens.items() if isinstance(tokens, dict) else ():
        assert getattr(ours, name) == getattr(theirs, name) == token
        assert getattr(ours, f"{name}_id") == getattr(theirs, f"{name}_id")


@pytest.mark.parametrize(
    "changes",
    [
        {"extra_special_tokens": {"image": "<x>"}},
        {"extra_special_tokens": ["<x>"]},
        {"image_token": "<x>"},
        {"model_specific_special_tokens": {"image": "<x>"}},
    ],
    ids=str,
)
def test_a_files_special_tokens_may_have_names(folder, changes):
    change_config(folder, **changes)
    same_tokenizer(*both_of(folder))


def test_named_special_tokens_are_saved_for_both_libraries(folder, tmp_path):
    ours = BertTokenizer.from_pretrained(folder, extra_special_tokens={"image": "<x>"}, sound_token="<y>")
    ours.save_pretrained(tmp_path / "saved")
    again, theirs = both_of(tmp_path / "saved")
    assert again.image == theirs.image == "<x>" and again.sound_token_id == theirs.sound_token_id == ours.sound_token_id
    same_tokenizer(again, theirs)


def test_a_name_that_is_none_is_an_attribute_error_and_a_token_must_be_a_string(folder):
    with pytest.raises(AttributeError, match="has no 'image'"):
        BertTokenizer.from_pretrained(folder).image
    with pytest.raises(InputError, match="image must be a string or an AddedToken"):
        BertTokenizer.from_pretrained(folder, extra_special_tokens={"image": 3})
    change_config(folder, extra_special_tokens={"image": 3})
    with pytest.raises(VocabularyError, match="extra_special_tokens must map names"):
        BertTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("name", ["mask_token", "pad_token"])
def test_a_token_that_is_null_in_the_file_is_not_there(folder, tmp_path, name):
    change_config(folder, **{name: None})
    ours, theirs = both_of(folder)
    assert getattr(ours, name) is getattr(theirs, name) is None
    assert getattr(ours, f"{name}_id") is getattr(theirs, f"{name}_id") is None
    same_tokenizer(ours, theirs)
    ours.save_pretrained(tmp_path / "saved")
    same_tokenizer(*both_of(tmp_path / "saved"))
    (folder / "tokenizer.json").unlink()
    tokens = sorted(troubled_vocab(), key=troubled_vocab().get)
    (folder / "vocab.txt").write_text("\n".join(tokens))
    same_tokenizer(*both_of(folder))


@pytest.mark.parametrize("name", ["padding_side", "truncation_side"])
@pytest.mark.parametrize("value", ["nonsense", "Left", None, 3, ["left"], b"left"], ids=repr)
def test_a_side_that_is_none_is_refused_when_it_is_set(name, value):
    tokenizer = BertTokenizer(troubled_vocab())
    with pytest.raises(InputError, match=f"{name} must be 'left' or 'right'"):
        setattr(tokenizer, name, value)
    assert getattr(tokenizer, name) == "right" and isinstance(InputError("x"), ValueError)
    setattr(tokenizer, name, "left")
    options = {"padding": "max_length", "truncation": True, "max_length": 4}
    expected = {"padding_side": [0, 2, 5, 3], "truncation_side": [2, 6, 7, 3]}[name]
    assert tokenizer("a" if name == "padding_side" else "a b c", **options)["input_ids"] == expected


@pytest.mark.parametrize(
    "options",
    [
        {"truncation": True},
        {"truncation": True, "max_length": 3},
        {"max_length": 3},
        {"padding": "max_length", "max_length": 9},
        {"truncation": True, "max_length": 3, "add_special_tokens": True},
        {"padding": True},
        {"truncation": True, "max_length": 0},
    ],
    ids=str,
)
def test_tokenize_gives_all_tokens_whatever_is_to_be_cut(options):
    import transformers

    ours = BertTokenizer(troubled_vocab(), model_max_length=4)
    theirs = transformers.BertTokenizer(vocab=troubled_vocab(), model_max_length=4)
    for texts in (("a b c d e f",), ("a b c d e f", "a b c"), ("",), (["a b", "c"],)):
        assert ours.tokenize(*texts, **options) == theirs.tokenize(*texts, **options)
    assert ours.tokenize([]) == []


TEMPLATES = [
    ("[CLS] $A [SEP]", "[CLS] $B [SEP] $A:1 [SEP]:1"),
    ("$A", "$B $A"),
    ("$A:1 [SEP]", "[SEP] $B:1 $A:0 [SEP] [CLS]"),
    ("[CLS]:1 $A:1", "[CLS] $A:1 [SEP] $B:0"),
    ("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1"),
]


@pytest.mark.parametrize("single, pair", TEMPLATES)
def test_overflow_of_any_template_is_the_references(tmp_path, single, pair):
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    theirs = Tokenizer(models.WordPiece(dict(troubled_vocab()), unk_token="[UNK]"))
    theirs.normalizer, theirs.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    theirs.decoder = decoders.WordPiece()
    special = [("[CLS]", troubled_vocab()["[CLS]"]), ("[SEP]", troubled_vocab()["[SEP]"])]
    theirs.post_processor = processors.TemplateProcessing(single=single, pair=pair, special_tokens=special)
    theirs.save(str(tmp_path / "tokenizer.json"))
    draw, overflowed = random.Random(1), 0
    for _ in range(150):
        side, strategy = draw.choice(["left", "right"]), draw.choice(["longest_first", "only_first", "only_second"])
        limit, stride = draw.randrange(5, 14), draw.choice([0, 0, 1])
        texts = [" ".join("abcde"[: draw.randrange(1, 6)] * draw.randrange(3)), " ".join("edcba" * draw.randrange(3))]
        texts = texts[: draw.choice([1, 2, 2])]
        ours = PreTrainedTokenizerFast(tokenizer_file=tmp_path / "tokenizer.json", truncation_side=side)
        options = {"truncation": strategy, "max_length": limit, "stride": stride, "return_overflowing_tokens": True}
        try:
            mine = ours([tuple(texts)] if len(texts) == 2 else texts, **options)[0]
        except InputError:  # nothing would be left of a text, or a stride is no less than its window: the reference panics
            continue
        theirs.enable_truncation(limit, stride=stride, strategy=strategy, direction=side)
        other = theirs.encode(*texts)
        # Each of the reference's overflowing rows has overflowing rows again, which nobody reads.
        assert [name for name in differences(mine, other) if not name.endswith("].overflowing")] == []
        overflowed += len(mine.overflowing)
    assert overflowed > 50


def test_special_tokens_named_together_get_ids_in_the_order_they_are_named():
    import transformers

    for names in (
        {"mask_token": "<m>", "extra_special_tokens": ["<e>"]},
        {"extra_special_tokens": ["<e>"], "mask_token": "<m>"},
    ):
        ours, theirs = BertTokenizer(troubled_vocab()), transformers.BertTokenizer(vocab=troubled_vocab())
        assert ours.add_special_tokens(names) == theirs.add_special_tokens(names)
        same_tokenizer(ours, theirs)


def test_the_class_of_a_saved_sequence_reads_its_own_normalizer(tmp_path, folder):
    """BertTokenizer has BERT's normalizer whatever the file says, as in transformers; PreTrainedTokenizerFast has the file's."""
    import transformers

    content = json.loads((folder / "tokenizer.json").read_text())
    content["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}]}
    (folder / "tokenizer.json").write_text(json.dumps(content))
    for class_name in ("BertTokenizer", "PreTrainedTokenizerFast"):
        change_config(folder, tokenizer_class=class_name)
        ours, theirs = AutoTokenizer.from_pretrained(folder), getattr(transformers, class_name).from_pretrained(folder)
        assert ours.tokenize("É Ab") == theirs.tokenize("É Ab")
