"""Loading and saving: what transformers reads from a folder, ours reads, and the other way; faults are one clear error."""

import json
import shutil

import pytest
from damaged_files import PIECES, tokenizer_json
from tokenization_cases import pair_of_tokenizers, random_texts, real_folder, troubled_vocab

from minibert import AutoTokenizer
from minibert.errors import InputError, ModelNotFoundError, VocabularyError
from minibert.tokenization import AddedToken, BertTokenizer, BertTokenizerFast, DistilBertTokenizer, PreTrainedTokenizerFast


def write(folder, name, content):
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return folder


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "model", "vocab.txt", "\n".join(PIECES).encode() + b"\n")


@pytest.mark.parity
@pytest.mark.parametrize("class_name", ["BertTokenizer", "DistilBertTokenizer", "PreTrainedTokenizerFast"])
def test_saved_files_are_read_by_transformers_and_back(tmp_path, class_name):
    import transformers

    import minibert.tokenization as ours

    tokenizer = getattr(ours, class_name).from_pretrained(real_folder(), model_max_length=77, padding_side="left")
    tokenizer.add_tokens([AddedToken("<x>", lstrip=True), "Straße"])
    tokenizer.add_special_tokens({"extra_special_tokens": ["<e>"]})
    paths = tokenizer.save_pretrained(tmp_path / "saved")
    assert [path.rsplit("/")[-1] for path in paths] == ["tokenizer.json", "tokenizer_config.json", "vocab.txt"]
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")
    again = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert type(again) is type(tokenizer)
    for text in [*random_texts(60, seed=1), "a <x> STRASSE straße <e>[MASK]"]:
        assert tokenizer.encode(text) == again.encode(text) == theirs.encode(text)
    for name in ("model_max_length", "padding_side", "model_input_names", "all_special_tokens"):
        assert getattr(tokenizer, name) == getattr(again, name) == getattr(theirs, name), name


@pytest.mark.parity
@pytest.mark.parametrize("flags", [{}, {"do_lower_case": False}, {"strip_accents": False}, {"tokenize_chinese_chars": False}])
def test_flags_of_the_config_decide_as_in_transformers(tmp_path, flags):
    import transformers

    shutil.copy(
        real_folder() / "tokenizer.json",
        write(tmp_path / "m", "tokenizer_config.json", {"tokenizer_class": "BertTokenizer", **flags}),
    )
    ours, theirs = AutoTokenizer.from_pretrained(tmp_path / "m"), transformers.BertTokenizer.from_pretrained(tmp_path / "m")
    for text in ("Crème BRÛLÉE 中国 x", *random_texts(40, seed=2)):
        assert ours.encode(text) == theirs.encode(text)
    overridden = BertTokenizer.from_pretrained(tmp_path / "m", do_lower_case=False)
    assert overridden.tokenize("Hello") != BertTokenizer.from_pretrained(tmp_path / "m", do_lower_case=True).tokenize("Hello")


@pytest.mark.parity
@pytest.mark.parametrize("flags", [{"clean_text": False}, {"lowercase": False, "handle_chinese_chars": False}])
def test_tokenizer_json_is_honoured_in_full(tmp_path, flags):
    theirs = pair_of_tokenizers(troubled_vocab(), [AddedToken("ab", single_word=True, normalized=False)], **flags)[1]
    theirs.save(str(tmp_path / "tokenizer.json"))
    ours = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    for text in random_texts(200, seed=4):
        assert ours.encode(text) == theirs.encode(text).ids


def test_the_class_comes_from_the_tokenizers_config_or_else_the_models(folder):
    with pytest.raises(VocabularyError, match="model_type None"):
        AutoTokenizer.from_pretrained(folder)
    write(folder, "config.json", {"model_type": "distilbert"})
    assert type(AutoTokenizer.from_pretrained(folder)) is DistilBertTokenizer
    write(folder, "tokenizer_config.json", {"tokenizer_class": "BertTokenizerFast"})
    assert type(AutoTokenizer.from_pretrained(folder)) is BertTokenizer is BertTokenizerFast
    write(folder, "tokenizer_config.json", {"tokenizer_class": "SomebodysTokenizer"})
    with pytest.raises(VocabularyError, match="SomebodysTokenizer"):
        AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("said, limit", [(1e30, 12), (-1, 12), (None, 12), (5, 5), (50, 12), ("x", 12)])
def test_the_limit_is_no_larger_than_the_models_positions(folder, said, limit):
    write(folder, "config.json", {"max_position_embeddings": 12})
    write(folder, "tokenizer_config.json", {"model_max_length": said})
    assert BertTokenizer.from_pretrained(folder).model_max_length == limit


def test_missing_special_tokens_are_added_after_the_vocabulary(folder):
    tokenizer = BertTokenizer.from_pretrained(folder, mask_token="<m>")
    assert tokenizer.mask_token_id == len(PIECES) and tokenizer.tokenize("a<m>") == ["a", "<m>"]


def test_special_tokens_of_older_files_keep_their_flags(folder):
    write(folder, "special_tokens_map.json", {"mask_token": {"content": "[MASK]", "lstrip": True}})
    tokenizer = BertTokenizer.from_pretrained(folder)
    assert tokenizer("a  [MASK]", return_offsets_mapping=True)["offset_mapping"] == [(0, 0), (0, 1), (1, 9), (0, 0)]


def test_lines_that_end_as_on_windows_hold_the_same_tokens(folder):
    write(folder, "vocab.txt", "\r\n".join(PIECES).encode())
    assert BertTokenizer.from_pretrained(folder).get_vocab() == {token: n for n, token in enumerate(PIECES)}


def test_of_equal_lines_the_last_counts(folder):
    write(folder, "vocab.txt", "\n".join([*PIECES, "a"]).encode())
    assert BertTokenizer.from_pretrained(folder).convert_tokens_to_ids("a") == len(PIECES)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"\xef\xbb\xbf[PAD]\n[UNK]\n", "byte order mark"),
        (b"[PAD]\n[CLS]\n", "token for unknown words"),
        (b"", "token for unknown words"),
        (b"[PAD]\n\xff\xfe", "UTF-8"),
    ],
)
def test_a_faulty_vocab_txt_is_one_error(folder, content, message):
    write(folder, "vocab.txt", content)
    with pytest.raises(VocabularyError, match=message):
        BertTokenizer.from_pretrained(folder)


@pytest.mark.parametrize(
    "vocab",
    [
        {"[UNK]": -1},
        {"[UNK]": 2**31},
        {"[UNK]": 7592.5},
        {"[UNK]": True},
        {"[UNK]": "1"},
        {"[UNK]": None},
        ["[UNK]"],
        None,
        {},
        {"a": 0},
    ],
    ids=str,
)
@pytest.mark.parametrize("tokenizer_class", [BertTokenizer, PreTrainedTokenizerFast])
def test_a_faulty_vocabulary_in_tokenizer_json_is_one_error(tmp_path, tokenizer_class, vocab):
    write(tmp_path, "tokenizer.json", tokenizer_json(model={"type": "WordPiece", "vocab": vocab}))
    with pytest.raises(VocabularyError):
        tokenizer_class.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": {"type": "BPE", "vocab": {}}},
        {"model": 3},
        {"normalizer": {"type": "NFC"}},
        {"normalizer": {"type": "BertNormalizer"}},
        {"post_processor": {"type": "RobertaProcessing"}},
        {"post_processor": {"type": "TemplateProcessing"}},
        {"decoder": None},
        {"pre_tokenizer": {"type": "Whitespaces"}},
        {"pre_tokenizer": None},
        {"pre_tokenizer": {"type": "Sequence", "pretokenizers": 3}},
        {"pre_tokenizer": {"type": "Punctuation", "behavior": "x"}},
        {"normalizer": {"type": "Sequence"}},
        {"added_tokens": [{"id": 2**31, "content": "x"}]},
        {"added_tokens": [{"id": 1}]},
        {"added_tokens": [{"id": 1, "content": "x", "lstrip": 3}]},
        {"added_tokens": 3},
        {"added_tokens": ["x"]},
        {"normalizer": 3},
    ],
    ids=str,
)
def test_what_is_no_bert_tokenizer_is_refused(tmp_path, changes):
    write(tmp_path, "tokenizer.json", tokenizer_json(**changes))
    with pytest.raises(VocabularyError):
        PreTrainedTokenizerFast.from_pretrained(tmp_path)


def test_a_vocabulary_is_needed(tmp_path):
    write(tmp_path, "config.json", {"model_type": "bert"})
    with pytest.raises(ModelNotFoundError, match="vocab.txt"):
        AutoTokenizer.from_pretrained(tmp_path)


def test_an_unknown_option_is_refused(folder):
    with pytest.raises(InputError, match="do_lowercase"):
        BertTokenizer.from_pretrained(folder, do_lowercase=True)


def test_the_repr_tells_what_it_is(folder):
    assert "vocab_size=10" in repr(BertTokenizer.from_pretrained(folder)) and "[MASK]" in repr(BertTokenizer())
