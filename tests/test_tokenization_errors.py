"""What cannot be answered is one error that says the rule, what came, and the mend; large inputs take bounded memory."""

import subprocess
import sys
from pathlib import Path

import pytest
from tokenization_cases import troubled_vocab

from minibert.errors import InputError, InputTypeError
from minibert.tokenization import AddedToken, BertTokenizer

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def tokenizer():
    return BertTokenizer(troubled_vocab(), model_max_length=16)


@pytest.mark.parametrize("text", [b"a", None, 3, ["a", None], [b"a"], [["a", "b", "c"]], {"a": 1}, ("a", 3), [("a", 3)], [1, 2]], ids=repr)
def test_what_is_no_text_is_refused(tokenizer, text):
    with pytest.raises(InputTypeError, match="must be"):
        tokenizer(text)


@pytest.mark.parametrize("text, place", [
    ("\ud800", 0), ("a b \udfff b", 4), ("x y\ud83d\ude00", 3), ("\ud800" * 100, 0), ("a [MASK]\ud800", 8), ("中" * 99 + "\udc00", 99),
], ids=ascii)  # fmt: skip
def test_half_a_surrogate_pair_is_refused_with_its_place_in_the_text(tokenizer, text, place):
    message = f"whole characters; at {place} it has .* surrogate pair"
    for call in (tokenizer, tokenizer.encode, tokenizer.tokenize, lambda text: tokenizer(text, return_offsets_mapping=True)):
        with pytest.raises(InputTypeError, match=message):
            call(text)


@pytest.mark.parametrize("call, message", [
    ({"return_tensors": "pt"}, "'np'"),
    ({"return_tensors": "tf"}, "'np'"),
    ({"return_tensors": "np"}, "padding=True"),
    ({"padding": "longst"}, "padding must be one of"),
    ({"truncation": 3}, "truncation must be one of"),
    ({"max_length": -1}, "max_length must be an integer"),
    ({"max_length": 2.0}, "max_length must be an integer"),
    ({"stride": -1}, "stride must be"),
    ({"pad_to_multiple_of": 0, "padding": True}, "from 1 up"),
    ({"padding_side": "top", "padding": True}, "'left' or 'right'"),
    ({"padding": True, "max_length": 9}, "does nothing"),
    ({"truncation": False, "max_length": 9}, "does nothing"),
    ({"stride": 1}, "does nothing"),
    ({"truncation": True, "stride": 1}, "does nothing"),
    ({"pad_to_multiple_of": 8}, "does nothing"),
    ({"padding_side": "left"}, "does nothing"),
    ({"split_special_tokens": True}, "split_special_tokens must be false"),
    ({"truncation": True, "max_length": 1}, "room for the 2 special tokens"),
    ({"truncation": True, "max_length": 4, "stride": 3, "return_overflowing_tokens": True}, "stride must be at most"),
    ({"truncation": True, "max_length": 4, "stride": 2, "return_overflowing_tokens": True}, "stride must be less"),
    ({"truncation": "only_second", "max_length": 4}, "second text"),
    ({"truncation": True, "padding": True, "max_length": 9, "pad_to_multiple_of": 8}, "multiple"),
], ids=str)  # fmt: skip
def test_arguments_that_cannot_be_followed_are_refused(tokenizer, call, message):
    with pytest.raises(InputError, match=message):
        tokenizer(["a b c d", "a b c d e"], **call)


def test_only_first_must_leave_something(tokenizer):
    with pytest.raises(InputError, match="have to go"):
        tokenizer("a", "a b c d e a b", truncation="only_first", max_length=5)


def test_pairs_must_match(tokenizer):
    with pytest.raises(InputError, match="one length"):
        tokenizer(["a", "b"], ["c"])
    with pytest.raises(InputTypeError, match="a list as well"):
        tokenizer(["a", "b"], "c")
    with pytest.raises(InputTypeError, match="list of strings"):
        tokenizer("a b", is_split_into_words=True)


def test_added_tokens_must_leave_something():
    tokenizer = BertTokenizer(troubled_vocab())
    with pytest.raises(InputError, match="nothing is left"):
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


def test_rows_made_of_ids_know_no_words(tokenizer):
    with pytest.raises(InputError, match="made of ids"):
        tokenizer.pad({"input_ids": [[1]]}).word_ids()


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
@pytest.mark.parametrize("text, length, megabytes", [
    ("'!' * 10**7", 10**7 + 2, 1000),
    ("'a' * 10**8", 3, 1000),
    ("'中' * 2 * 10**6", 2 * 10**6 + 2, 500),
])  # fmt: skip
def test_a_large_text_takes_bounded_memory(text, length, megabytes):
    code = LARGE.format(root=str(ROOT), text=text, length=length, megabytes=megabytes)
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_pure_path_imports_neither_numpy_nor_numba():
    code = "import sys; from minibert.tokenization import BertTokenizer; BertTokenizer()('a'); print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "numba", "tokenizers", "transformers", "huggingface_hub"} & set(modules)
