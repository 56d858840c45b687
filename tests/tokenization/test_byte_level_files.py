"""RobertaTokenizer and GPT2Tokenizer beside transformers': calls, files that each reads of the other, and damaged files."""

import json

import numpy as np
import pytest
from byte_level_cases import FLAGS, our_gpt2, our_roberta, random_troubled, trained
from tokenization_cases import COLUMNS

from minibert import AutoTokenizer
from minibert.auto import SAME_AS_ROBERTA
from minibert.errors import InputError, InputTypeError, ModelNotFoundError, VocabularyError
from minibert.tokenization import (
    AddedToken,
    GPT2Tokenizer,
    GPT2TokenizerFast,
    LongformerTokenizer,
    PreTrainedTokenizerFast,
    RobertaTokenizer,
    RobertaTokenizerFast,
)

parity = pytest.mark.parity
NAMES = ["RobertaTokenizer", "GPT2Tokenizer"]


def both_of(name, **options):
    """(ours, transformers') of one vocabulary."""
    import transformers

    import minibert

    vocab, merges = trained(2000)
    pairs = [tuple(merge.split(" ")) for merge in merges]
    ours = getattr(minibert, name)(dict(vocab), merges, **options)
    return ours, getattr(transformers, name)(vocab=dict(vocab), merges=pairs, **options)


def write(folder, **contents):
    """Files by their names: vocab_json={...} is vocab.json."""
    folder.mkdir(exist_ok=True)
    for name, content in contents.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / ".".join(name.rsplit("_", 1))).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def folder(tmp_path):
    vocab, merges = trained(2000)
    return write(tmp_path / "m", vocab_json=vocab, merges_txt="#version: 0.2\n" + "\n".join(merges) + "\n")


def same_answer(mine, other):
    assert list(mine) == list(other)
    for name in mine:
        assert np.array_equal(mine[name], other[name]) if isinstance(mine[name], np.ndarray) else mine[name] == other[name], (
            name
        )
    for ours, theirs in zip(mine.encodings, other.encodings, strict=True):
        assert [name for name in COLUMNS if getattr(ours, name) != getattr(theirs, name)] == []


# --- calls ---

PAIR = ["Hello there, naïve  world!", "it's <mask> 12 movies"]
CALLS = [
    {},
    {"add_special_tokens": False},
    {"padding": True, "return_tensors": "np"},
    {"padding": "max_length", "max_length": 20, "padding_side": "left"},
    {"truncation": True, "max_length": 8, "return_overflowing_tokens": True, "stride": 1, "return_offsets_mapping": True},
    {"truncation": "only_first", "max_length": 30, "padding": True, "return_overflowing_tokens": True},
    {"return_special_tokens_mask": True, "return_offsets_mapping": True, "return_length": True},
    {"return_token_type_ids": True},
    {"split_special_tokens": True},
]
TEXTS = [("a text",), (PAIR[0], PAIR[1]), (PAIR,), (["", "b"],), (PAIR, PAIR[::-1]), ([("a", "b c"), ("d", "")],), ("a", "")]


@parity
@pytest.mark.parametrize("flags", [*FLAGS[::2], {"pad_token": "!"}], ids=str)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("call", CALLS, ids=str)
def test_a_call_answers_as_transformers_does(name, call, flags):
    if name == "GPT2Tokenizer":
        flags = {"pad_token": "<pad>", **{key: flags[key] for key in flags if key != "trim_offsets"}}
    ours, theirs = both_of(name, **flags)
    for text in TEXTS:
        if call.get("return_tensors") is None or isinstance(text[0], list):
            same_answer(ours(*text, **call), theirs(*text, **call))


@parity
@pytest.mark.parametrize("name", NAMES)
def test_methods_answer_as_in_transformers(name):
    ours, theirs = both_of(name)
    assert ours.get_vocab() == theirs.get_vocab() and len(ours) == len(theirs)
    assert ours.special_tokens_map == theirs.special_tokens_map and ours.all_special_ids == theirs.all_special_ids
    assert ours.get_added_vocab() == theirs.get_added_vocab() and ours.is_fast
    assert list(ours.added_tokens_decoder) == list(theirs.added_tokens_decoder)
    for pair in (False, True):
        assert ours.num_special_tokens_to_add(pair) == theirs.num_special_tokens_to_add(pair)
    for text in [*PAIR, *random_troubled(60, seed=1)]:
        ids = theirs.encode(text)
        assert ours.encode(text) == ids and ours.tokenize(text) == theirs.tokenize(text)
        for options in ({}, {"skip_special_tokens": True}, {"clean_up_tokenization_spaces": True}):
            assert ours.decode(ids, **options) == theirs.decode(ids, **options)
        assert ours.convert_ids_to_tokens(ids) == theirs.convert_ids_to_tokens(ids)
        tokens = theirs.convert_ids_to_tokens(ids)
        assert ours.convert_tokens_to_string(tokens) == theirs.convert_tokens_to_string(tokens)
    mine = type(ours).__call__
    assert mine and ours.convert_tokens_to_ids(["nothing", "a"]) == theirs.convert_tokens_to_ids(["nothing", "a"])


@parity
@pytest.mark.parametrize("name", NAMES)
def test_without_a_vocabulary_there_are_the_special_tokens(name):
    import transformers

    import minibert

    ours, theirs = getattr(minibert, name)(), getattr(transformers, name)()
    assert ours.get_vocab() == theirs.get_vocab() and ours.encode("a b") == theirs.encode("a b")


@parity
def test_tokens_added_later_are_transformers():
    ours, theirs = both_of("RobertaTokenizer")
    import transformers

    for owner, tokenizer in ((AddedToken, ours), (transformers.AddedToken, theirs)):
        tokenizer.add_tokens([owner("<x>", lstrip=True, rstrip=True), "movie", owner("Straße", single_word=True)])
        tokenizer.add_special_tokens({"extra_special_tokens": ["<e>"], "mask_token": "[M]"})
    for text in ("a <x> movie <e>[M] Straßen Straße", *random_troubled(60, seed=2)):
        same_answer(ours([text]), theirs([text]))
        assert ours.decode(ours.encode(text), skip_special_tokens=True) == theirs.decode(
            theirs.encode(text), skip_special_tokens=True
        )


# --- files ---


@parity
@pytest.mark.parametrize("settings", [{}, *FLAGS, {"mask_token": "<mask>", "cls_token": "<pad>"}], ids=str)
def test_a_vocab_json_and_merges_txt_are_read_as_in_transformers(folder, settings):
    import transformers

    write(folder, tokenizer_config_json={"tokenizer_class": "RobertaTokenizer", **settings})
    ours, theirs = AutoTokenizer.from_pretrained(folder), transformers.RobertaTokenizer.from_pretrained(folder)
    assert type(ours) is RobertaTokenizer
    for text in [*PAIR, *random_troubled(60, seed=3)]:
        same_answer(ours([text]), theirs([text]))
    same_answer(ours(*PAIR), theirs(*PAIR))


@parity
@pytest.mark.parametrize("name", NAMES)
def test_saved_files_are_read_by_transformers_tokenizers_and_back(name, tmp_path):
    import tokenizers
    import transformers

    for flags in ({}, {"add_prefix_space": True}):
        tokenizer, _ = both_of(name, **flags, model_max_length=777, padding_side="left")
        tokenizer.add_tokens([AddedToken("<x>", lstrip=True), "Straße"])
        tokenizer.add_special_tokens({"extra_special_tokens": ["<e>"]})
        paths = tokenizer.save_pretrained(tmp_path / "saved")
        names = ["tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"]
        assert [path.rsplit("/")[-1] for path in paths] == names
        theirs, again = (
            each.AutoTokenizer.from_pretrained(tmp_path / "saved") for each in (transformers, __import__("minibert"))
        )
        backend = tokenizers.Tokenizer.from_file(str(tmp_path / "saved" / "tokenizer.json"))
        assert type(again) is type(tokenizer)
        for text in [*random_troubled(60, seed=1), "a <x> STRASSE straße <e><mask>"]:
            mine = tokenizer([text])
            same_answer(mine, theirs([text]))
            same_answer(mine, again([text]))
            other = backend.encode(text)
            assert [column for column in COLUMNS if getattr(mine[0], column) != getattr(other, column)] == []
        for attribute in ("model_max_length", "padding_side", "model_input_names", "all_special_tokens"):
            assert getattr(tokenizer, attribute) == getattr(again, attribute) == getattr(theirs, attribute), attribute


@parity
@pytest.mark.parametrize("name", NAMES)
def test_files_that_transformers_saved_are_read(name, tmp_path):
    _, theirs = both_of(name, add_prefix_space=True)
    theirs.add_tokens(["movie"])
    theirs.save_pretrained(tmp_path / "saved")
    for ours in (
        AutoTokenizer.from_pretrained(tmp_path / "saved"),
        PreTrainedTokenizerFast.from_pretrained(tmp_path / "saved"),
    ):
        for text in [*PAIR, *random_troubled(60, seed=4)]:
            same_answer(ours([text]), theirs([text]))


@parity
def test_save_vocabulary_writes_what_transformers_reads(tmp_path):
    import transformers

    ours = our_roberta(trained(2000))
    paths = ours.save_vocabulary(tmp_path)
    assert [path.rsplit("/")[-1] for path in paths] == ["vocab.json", "merges.txt"]
    theirs = transformers.RobertaTokenizer.from_pretrained(tmp_path)
    assert theirs.encode(PAIR[0]) == ours.encode(PAIR[0]) == RobertaTokenizer(*paths).encode(PAIR[0])
    assert [path.rsplit("/")[-1] for path in ours.save_vocabulary(tmp_path, "x")] == ["x-vocab.json", "x-merges.txt"]


@pytest.mark.parametrize("end", ["", "Fast"])
@pytest.mark.parametrize("prefix", [*SAME_AS_ROBERTA, "GPT2"])
def test_the_class_that_a_file_names(folder, prefix, end):
    write(folder, tokenizer_config_json={"tokenizer_class": f"{prefix}Tokenizer{end}"})
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert type(tokenizer) is (GPT2Tokenizer if prefix == "GPT2" else RobertaTokenizer)


def test_names_of_one_class():
    assert RobertaTokenizerFast is LongformerTokenizer is RobertaTokenizer and GPT2TokenizerFast is GPT2Tokenizer


def test_a_position_is_counted_from_two(folder):
    write(folder, config_json={"max_position_embeddings": 514})
    assert RobertaTokenizer.from_pretrained(folder).model_max_length == 512
    assert GPT2Tokenizer.from_pretrained(folder).model_max_length == 514


def test_a_file_or_an_override_says_whether_there_is_a_prefix_space(folder):
    write(folder, tokenizer_config_json={"tokenizer_class": "RobertaTokenizer", "add_prefix_space": True})
    for tokenizer, prefixed in (
        (AutoTokenizer.from_pretrained(folder), True),
        (AutoTokenizer.from_pretrained(folder, add_prefix_space=False), False),
        (RobertaTokenizer.from_pretrained(folder, trim_offsets=False), True),
    ):
        assert tokenizer.add_prefix_space is prefixed
        assert (tokenizer.encode("movie") == tokenizer.encode(" movie")) is prefixed


def test_ids_that_are_not_consecutive_are_saved_as_they_are(tmp_path):
    vocab, merges = trained(2000)
    tokenizer = RobertaTokenizer({token: 3 * token_id for token, token_id in vocab.items()}, merges)
    tokenizer.save_pretrained(tmp_path)
    assert RobertaTokenizer.from_pretrained(tmp_path).encode(PAIR[0]) == tokenizer.encode(PAIR[0])


# --- damaged files and wrong arguments ---


@pytest.mark.parametrize(
    "contents, message",
    [
        ({"vocab_json": "{"}, "JSON"),
        ({"vocab_json": []}, "must hold one JSON object"),
        ({"vocab_json": {"a": -1}}, "ids must be integers"),
        ({"vocab_json": {"a": 0}}, "Are vocab.json and merges.txt of one model"),
        ({"merges_txt": "a b c\n"}, "a merge must be two tokens"),
        ({"merges_txt": "ab\n"}, "a merge must be two tokens"),
        ({"merges_txt": "a b\n\na b\n"}, "a merge must be two tokens"),
        ({"merges_txt": "a \n"}, "a merge must be two tokens"),
        ({"merges_txt": "nosuch token\n"}, "must be in the vocabulary; 'nosuch'"),
    ],
    ids=str,
)
def test_a_damaged_vocabulary_is_one_clear_error(folder, contents, message):
    with pytest.raises(VocabularyError, match=message):
        RobertaTokenizer.from_pretrained(write(folder, **contents))


def test_bytes_that_are_no_text_are_one_clear_error(folder):
    (folder / "merges.txt").write_bytes(b"\xff\xfe\n")
    with pytest.raises(VocabularyError, match=r"merges.txt must be UTF-8"):
        RobertaTokenizer.from_pretrained(folder)


def test_a_folder_without_merges_says_what_is_missing(folder):
    (folder / "merges.txt").unlink()
    with pytest.raises(ModelNotFoundError, match=r"'merges.txt'"):
        RobertaTokenizer.from_pretrained(folder)


def test_lines_that_end_as_on_windows_are_the_same_merges(folder):
    expected = RobertaTokenizer.from_pretrained(folder).encode(PAIR[0])
    path = folder / "merges.txt"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert RobertaTokenizer.from_pretrained(folder).encode(PAIR[0]) == expected


def tokenizer_json(tmp_path, **changes):
    """Our own tokenizer.json with parts of it, or of its model, replaced."""
    our_roberta(trained(2000)).save_pretrained(tmp_path)
    content = json.loads((tmp_path / "tokenizer.json").read_text("utf-8"))
    for name, value in changes.items():
        part = content if name in content else content["model"]
        part[name] = value
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"merges": None}, "merges in tokenizer.json must be a list"),
        ({"merges": [1]}, "a merge must be two tokens"),
        ({"merges": [["a"]]}, "a merge must be two tokens"),
        ({"vocab": None}, "a vocabulary must be a dictionary"),
        ({"dropout": 0.1}, "dropout of a BPE model must be None"),
        ({"continuing_subword_prefix": "##"}, "continuing_subword_prefix of a BPE model"),
        ({"end_of_word_suffix": "</w>"}, "end_of_word_suffix of a BPE model"),
        ({"byte_fallback": True}, "byte_fallback of a BPE model"),
        ({"ignore_merges": True}, "ignore_merges of a BPE model"),
        ({"unk_token": 3}, "unk_token in tokenizer.json"),
        ({"unk_token": "nosuch"}, "the token for unknown bytes"),
        ({"fuse_unk": "yes"}, "fuse_unk in tokenizer.json"),
        ({"pre_tokenizer": None}, "pre_tokenizer of a tokenizer.json must be ByteLevel"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "pre_tokenizer of a tokenizer.json must be ByteLevel"),
        (
            {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}},
            "one ByteLevel with use_regex",
        ),
        ({"decoder": {"type": "WordPiece"}}, "decoder of a tokenizer.json must be ByteLevel"),
        ({"normalizer": {"type": "NFC"}}, "normalizer of a tokenizer.json"),
        ({"post_processor": {"type": "ByteLevel"}}, "trim_offsets in tokenizer.json"),
    ],
    ids=str,
)
def test_a_tokenizer_json_of_other_parts_is_one_clear_error(tmp_path, changes, message):
    with pytest.raises(VocabularyError, match=message):
        PreTrainedTokenizerFast.from_pretrained(tokenizer_json(tmp_path, **changes))


def test_bert_of_a_byte_level_file_is_one_clear_error(tmp_path):
    from minibert.tokenization import BertTokenizer

    with pytest.raises(VocabularyError, match="must hold a WordPiece model; .* holds 'BPE'"):
        BertTokenizer.from_pretrained(tokenizer_json(tmp_path))


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"vocab": "vocab.json"}, InputError, "a vocab.json needs its merges.txt"),
        ({"vocab": {"a": "b"}}, VocabularyError, "ids must be integers"),
        ({"merges": 3}, InputError, "merges"),
        ({"merges": [3]}, VocabularyError, "a merge must be two tokens"),
        ({"errors": "strict"}, InputError, "errors"),
        ({"add_prefix_space": "yes"}, InputError, "add_prefix_space must be True or False"),
        ({"do_lower_case": True}, InputTypeError, "do_lower_case"),
    ],
    ids=str,
)
def test_wrong_arguments_are_one_clear_error(arguments, error, message):
    with pytest.raises(error, match=message):
        RobertaTokenizer(**arguments)


def test_gpt2_has_no_trim_offsets():
    with pytest.raises(InputTypeError, match="trim_offsets"):
        our_gpt2(trained(2000), trim_offsets=True)
