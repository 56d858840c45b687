"""Invalid input is one error that states the rule, the value and the fix; large inputs take bounded memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from paths import ROOT
from tokenization_cases import troubled_vocab

from minibert import AutoTokenizer
from minibert.errors import InputError, InputTypeError, ModelFileError, ModelNotFoundError
from minibert.tokenization import AddedToken, BatchEncoding, BertTokenizer, PreTrainedTokenizerFast


@pytest.fixture(scope="module")
def tokenizer():
    return BertTokenizer(troubled_vocab(), model_max_length=16)


@pytest.mark.parametrize(
    "text", [b"a", None, 3, ["a", None], [b"a"], [["a", "b", "c"]], {"a": 1}, ("a", 3), [("a", 3)], [1, 2]], ids=repr
)
def test_what_is_no_text_is_refused(tokenizer, text):
    with pytest.raises(InputTypeError, match="must be"):
        tokenizer(text)


@pytest.mark.parametrize(
    "text, position",
    [
        ("\ud800", 0),
        ("a b \udfff b", 4),
        ("x y\ud83d\ude00", 3),
        ("\ud800" * 100, 0),
        ("a [MASK]\ud800", 8),
        ("中" * 99 + "\udc00", 99),
    ],
    ids=ascii,
)
def test_half_a_surrogate_pair_is_refused_with_its_place_in_the_text(tokenizer, text, position):
    message = f"whole characters; at {position} it has .* surrogate pair"
    for call in (tokenizer, tokenizer.encode, tokenizer.tokenize, lambda text: tokenizer(text, return_offsets_mapping=True)):
        with pytest.raises(InputTypeError, match=message):
            call(text)


@pytest.mark.parametrize(
    "call, message",
    [
        ({"return_tensors": "jax"}, "'np'"),
        ({"return_tensors": "tf"}, "'np'"),
        ({"return_tensors": "np"}, "padding=True"),
        ({"padding": "longst"}, "padding must be one of"),
        ({"truncation": 3}, "truncation must be one of"),
        ({"max_length": -1}, "max_length must be an integer"),
        ({"max_length": 2.0}, "max_length must be an integer"),
        ({"stride": -1}, "stride must be"),
        ({"pad_to_multiple_of": 0, "padding": True}, "from 1 up"),
        ({"padding_side": "top", "padding": True}, "'left' or 'right'"),
        ({"stride": 1.5}, "stride must be an integer"),
        ({"pad_to_multiple_of": "8"}, "pad_to_multiple_of must be an integer"),
        ({"padding_side": "top"}, "'left' or 'right'"),
        ({"split_special_tokens": "yes"}, "split_special_tokens must be True or False"),
        ({"text_target": "a"}, "text_target must be None: minibert's models are encoders"),
        ({"text_pair_target": ["a"]}, "text_pair_target must be None"),
        ({"return_dict": False}, "return_dict must be None or True"),
        ({"pad_to_max_length": True}, "Pass padding='max_length' instead"),
        ({"truncation": True, "max_length": 1}, "room for the 2 special tokens"),
        ({"truncation": True, "max_length": 4, "stride": 3, "return_overflowing_tokens": True}, "stride must be at most"),
        ({"truncation": True, "max_length": 4, "stride": 2, "return_overflowing_tokens": True}, "stride must be less"),
        ({"truncation": "only_second", "max_length": 4}, "second text"),
        ({"truncation": True, "padding": True, "max_length": 9, "pad_to_multiple_of": 8}, "multiple"),
    ],
    ids=str,
)
def test_arguments_that_cannot_be_followed_are_refused(tokenizer, call, message):
    with pytest.raises(InputError, match=message):
        tokenizer(["a b c d", "a b c d e"], **call)


def test_only_first_must_leave_something(tokenizer):
    with pytest.raises(InputError, match="have to go"):
        tokenizer("a", "a b c d e a b", truncation="only_first", max_length=5)


def test_pairs_must_match(tokenizer):
    with pytest.raises(InputError, match="the same length"):
        tokenizer(["a", "b"], ["c"])
    with pytest.raises(InputTypeError, match="text_pair must be a list, like text"):
        tokenizer(["a", "b"], "c")
    with pytest.raises(InputTypeError, match="list of strings"):
        tokenizer("a b", is_split_into_words=True)


def test_added_tokens_must_leave_something():
    tokenizer = BertTokenizer(troubled_vocab())
    with pytest.raises(InputError, match="must not be empty after normalization"):
        tokenizer.add_tokens("\u0301")
    assert len(tokenizer) == len(troubled_vocab()) and tokenizer.encode("ab") == BertTokenizer(troubled_vocab()).encode("ab")
    with pytest.raises(InputTypeError, match="AddedToken"):
        tokenizer.add_tokens([3])
    with pytest.raises(InputError, match="named"):
        tokenizer.add_special_tokens({"mask": "x"})
    with pytest.raises(InputTypeError, match="mask_token"):
        tokenizer.mask_token = 3
    assert tokenizer.add_tokens([AddedToken("\u0301", normalized=False), ""]) == 1


@pytest.mark.parametrize("ids", [[-1], [1.5], ["a"], [None], [True]], ids=repr)
def test_ids_must_be_integers(tokenizer, ids):
    with pytest.raises(InputTypeError, match="token id must be an integer"):
        tokenizer.decode(ids)


def test_padding_needs_a_token_and_ids(tokenizer):
    bare = BertTokenizer(troubled_vocab())
    bare.pad_token = None
    with pytest.raises(InputError, match="pad_token"):
        bare(["a", "a b"], padding=True)
    with pytest.raises(InputError, match="input_ids"):
        tokenizer.pad({"ids": [1]})
    with pytest.raises(InputError, match="list of dictionaries"):
        tokenizer.pad([[1, 2]])


def test_rows_built_from_ids_have_no_words(tokenizer):
    with pytest.raises(InputError, match="built from ids"):
        tokenizer.pad({"input_ids": [[1]]}).word_ids()


ARRAY = np.array([1, 2])
TORN = np.array(["a", None], object)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda t: t("a", text_pair=ARRAY), "a text must be a string; got ndarray"),
        (lambda t: t(ARRAY), "a text must be a string; got ndarray"),
        (lambda t: t("a", padding=ARRAY), "padding must be one of"),
        (lambda t: t("a", truncation=ARRAY), "truncation must be one of"),
        (lambda t: t("a", max_length=ARRAY), "max_length must be an integer"),
        (lambda t: t("a", add_special_tokens=ARRAY), "add_special_tokens must be True or False"),
        (lambda t: t("a", return_offsets_mapping=ARRAY), "return_offsets_mapping must be True or False"),
        (lambda t: t("a", return_attention_mask=ARRAY), "return_attention_mask must be True or False"),
        (lambda t: t("a", return_tensors=ARRAY), "return_tensors must be 'np'"),
        (lambda t: t("a", padding_side=ARRAY, padding=True), "padding_side must be 'left' or 'right'"),
        (lambda t: t("a", padding="max_length", max_length=10**30), "rows can be padded to at most"),
        (lambda t: t("a", padding=True, pad_to_multiple_of=10**5000), "rows can be padded to at most"),
        (lambda t: t("a", nonsense=1), "unexpected keyword argument 'nonsense'. It takes text, .*padding"),
        (lambda t: t.encode("a", nonsense=1), "unexpected keyword argument 'nonsense'"),
        (lambda t: t.tokenize("a", nonsense=1), "unexpected keyword argument 'nonsense'"),
        (lambda t: t.decode([1], nonsense=1), "unexpected keyword argument 'nonsense'. It takes token_ids, "),
        (lambda t: t.decode({}), "must have 'input_ids'; got nothing"),
        (lambda t: t.decode(b"ab"), "token ids must be a list; got bytes"),
        (lambda t: t.decode([[[[[[[[[[1]]]]]]]]]]), "nested 8 deep"),
        (lambda t: t.decode([10**30, -(10**5000)]), "a token id must be an integer from 0 up"),
        (lambda t: t.decode([2**32]), "a token id must be an integer from 0 up to 4294967295; got 4294967296"),
        (lambda t: t.decode(2**64), "a token id must be an integer from 0 up to"),
        (lambda t: t.batch_decode([[1, 2**40]]), "a token id must be an integer from 0 up to"),
        (lambda t: t.convert_ids_to_tokens([2**32]), "a token id must be an integer from 0 up to"),
        (lambda t: t("a", add_special_tokens=None), "add_special_tokens must be True or False; got None"),
        (lambda t: t(["a"], is_split_into_words=None), "is_split_into_words must be True or False; got None"),
        (lambda t: t.encode("a", add_special_tokens=None), "add_special_tokens must be True or False; got None"),
        (lambda t: t.tokenize("a", add_special_tokens=None), "add_special_tokens must be True or False; got None"),
        (lambda t: t.encode_packed(["a"], add_special_tokens=None), "add_special_tokens must be True or False; got None"),
        (lambda t: t.decode([1], skip_special_tokens=None), "skip_special_tokens must be True or False; got None"),
        (lambda t: t.batch_decode([[1]], skip_special_tokens=None), "skip_special_tokens must be True or False; got None"),
        (lambda t: t.num_special_tokens_to_add(pair=None), "pair must be True or False; got None"),
        (lambda t: t.decode([1], skip_special_tokens=ARRAY), "skip_special_tokens must be True or False"),
        (lambda t: t.batch_decode(None), "rows of token ids must be a list"),
        (lambda t: t.convert_ids_to_tokens(np.array(1.5)), "a token id must be an integer"),
        (lambda t: t.convert_ids_to_tokens([[1]]), "a token id must be an integer"),
        (lambda t: t.convert_tokens_to_ids(None), "tokens must be a list; got NoneType"),
        (lambda t: t.convert_tokens_to_ids(TORN), "a token must be a string"),
        (lambda t: t.convert_tokens_to_string([b"a"]), "tokens must be strings"),
        (lambda t: t.add_tokens(3), "added tokens must be a list"),
        (lambda t: t.add_tokens(ARRAY), "must be a string or an AddedToken; got 1"),
        (lambda t: t.add_special_tokens({"mask_token": None}), "mask_token must be a string"),
        (lambda t: t.add_special_tokens([]), "must be a dictionary of names"),
        (lambda t: AddedToken(3), "an added token must be a string"),
        (lambda t: AddedToken("a", lstrip=ARRAY), "lstrip of an added token must be True or False"),
        (lambda t: t.pad(None), "pad takes a dictionary"),
        (lambda t: t.pad([{"input_ids": [1]}, {"ids": [1]}]), "lacks 'input_ids'"),
        (lambda t: t.pad({"input_ids": [[1], [None]]}), "must be rows of integers"),
        (lambda t: t.pad({"input_ids": [[1], [2]], "attention_mask": [[1]]}), "as long as those of input_ids"),
        (lambda t: t.pad({"input_ids": 3}), "input_ids must be a list"),
        (lambda t: t.encode_packed(None), "texts must be a list"),
        (lambda t: t.encode_packed(np.array("a")), "texts must be a list"),
        (lambda t: t.encode_packed(["a"], places=ARRAY), "places must be True or False"),
        (lambda t: t.encode_packed(["a"], return_offsets=ARRAY), "return_offsets must be True or False"),
        (lambda t: t(["a"]).word_ids(3), "one of the 1 of the batch"),
        (lambda t: t(["a"]).token_to_word(None, None), "an index must be an integer"),
        (lambda t: t("a").char_to_token(-10), "one of the 3 of its row"),
        (lambda t: t(["a"]).convert_to_tensors(ARRAY), "return_tensors must be 'np'"),
        (lambda t: BatchEncoding({"a": [[1], ["x"]]}, tensor_type="np"), "'a' must hold numbers"),
        (lambda t: BatchEncoding(ARRAY), "data must be a dictionary"),
        (lambda t: setattr(t, "model_max_length", ARRAY), "model_max_length must be a number"),
        (lambda t: setattr(t, "model_input_names", ARRAY), "model_input_names must be"),
        (lambda t: setattr(t, "pad_token", ARRAY), "pad_token must be a string"),
        (lambda t: t.save_pretrained(None), "a folder is named by a string or a path; got NoneType"),
        (lambda t: t.save_pretrained("a\0b"), "must have a character, and none that is NUL"),
        (lambda t: BertTokenizer(3), "vocab must be a path; got int"),
        (lambda t: BertTokenizer(cls_token=None), "cls_token must be a string"),
        (
            lambda t: BertTokenizer(nonsense=1),
            "BertTokenizer.* unexpected keyword argument 'nonsense'. It takes vocab, .*padding_side",
        ),
        (lambda t: BertTokenizer(special={}), "unexpected keyword argument 'special'"),
        (lambda t: t(), "missing 1 required positional argument: 'text'. It takes text, "),
        (lambda t: t(text_target="q"), r"'text'. It takes text, text_pair, add_special_tokens, .*, return_dict\.$"),
        (lambda t: t.pad(), "missing 1 required positional argument: 'encoded_inputs'"),
        (lambda t: PreTrainedTokenizerFast(tokenizer_file=b"x"), "tokenizer_file must be a path"),
    ],
)
def test_invalid_arguments_are_errors_of_miniberts(call, message):
    with pytest.raises(InputError, match=message):
        call(BertTokenizer(troubled_vocab(), model_max_length=16))


def test_unknown_keywords_are_a_type_error_too(tokenizer):
    names = ("__call__", "encode", "tokenize", "decode", "convert_ids_to_tokens", "pad")
    for call in (getattr(tokenizer, name) for name in names):
        with pytest.raises(InputTypeError, match="nonsense"):
            call([], nonsense=1)
    with pytest.raises(InputTypeError, match="keyword argument 'nonsense'"):
        AutoTokenizer.from_pretrained("minibert-sst2", nonsense=1)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ModelNotFoundError, match="vocab must be the path of a file; there is none at .*missing.txt"):
        BertTokenizer(tmp_path / "missing.txt")
    with pytest.raises(ModelNotFoundError, match="tokenizer_file must be the path of a file"):
        PreTrainedTokenizerFast(tokenizer_file=tmp_path / "missing.json")
    with pytest.raises(ModelFileError, match="cannot be read"):
        BertTokenizer(tmp_path)


def test_numpy_integers_and_booleans_count_as_those_of_python(tokenizer):
    texts, limit, true = ["a b c d", "a"], np.int64(4), np.bool_(True)
    options = {"return_offsets_mapping": true, "stride": np.int32(0)}
    mine = tokenizer(texts, padding=true, truncation=true, max_length=limit, **options)
    assert mine == tokenizer(texts, padding=True, truncation=True, max_length=4, return_offsets_mapping=True)
    assert (
        tokenizer.decode(np.int64(5)) == tokenizer.decode(np.array(5)) == tokenizer.decode(np.array([5])) == tokenizer.decode(5)
    )
    assert tokenizer.convert_ids_to_tokens(np.array([5])) == [tokenizer.convert_ids_to_tokens(np.int32(5))]
    assert mine.word_ids(np.int64(1)) == mine.word_ids(1) and mine[np.int64(0)] is mine[0]
    packed = [tokenizer.encode_packed(texts, truncation=True, max_length=size, threads=size) for size in (4, limit)]
    assert packed[0].ids.tolist() == packed[1].ids.tolist()
    changed = BertTokenizer(troubled_vocab(), do_lower_case=np.bool_(False), model_max_length=np.int64(9))
    assert changed.do_lower_case is False and type(changed.model_max_length) is int


def test_options_without_effect_are_accepted(tokenizer):
    assert tokenizer("a", stride=None, return_length=None) == tokenizer("a")
    assert tokenizer.tokenize([]) == [] and tokenizer.add_tokens(None) == 0 and tokenizer.decode([]) == ""


def test_half_a_surrogate_pair_cannot_be_saved(tmp_path):
    tokenizer = BertTokenizer(troubled_vocab())
    tokenizer.add_tokens(AddedToken("\ud800", normalized=False))
    with pytest.raises(InputError, match="whole characters to be saved"):
        tokenizer.save_pretrained(tmp_path)
    assert list(tmp_path.iterdir()) == []


LARGE = """
import pathlib, sys
sys.path[:0] = [{root!r}]
from minibert.tokenization import BertTokenizer
tokenizer = BertTokenizer(model_max_length=10**9)
assert len(tokenizer({text})["input_ids"]) == {length}
# Of this program alone: getrusage counts what the one that started it had taken, too.
status = dict(line.split(":") for line in pathlib.Path("/proc/self/status").read_text().splitlines())
assert int(status["VmHWM"].split()[0]) < {megabytes} * 1000, "kB"
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a program's own peak")
@pytest.mark.parametrize(
    "text, length, megabytes",
    [("'!' * 10**7", 10**7 + 2, 1000), ("'a' * 10**8", 3, 1000), ("'中' * 2 * 10**6", 2 * 10**6 + 2, 500)],
)
def test_a_large_text_takes_bounded_memory(text, length, megabytes):
    code = LARGE.format(root=str(ROOT), text=text, length=length, megabytes=megabytes)
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_pure_path_imports_neither_numpy_nor_numba():
    code = "import sys; from minibert.tokenization import BertTokenizer; BertTokenizer()('a'); print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "numba", "tokenizers", "transformers", "huggingface_hub"} & set(modules)
