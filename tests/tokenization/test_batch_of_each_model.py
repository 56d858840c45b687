"""The compiled batch path of every subword model: what does not depend on the model."""

import copy
import pickle

import numpy as np
import pytest
from byte_level_cases import FLAGS, our_roberta, random_troubled, trained
from concurrency import run_concurrently
from packed_encodings import BYTE_LEVEL_FALLBACK, WORDPIECE_FALLBACK, calls, check, rows
from tokenization_cases import our_tokenizer, random_texts, troubled_vocab

from minibert.errors import InputTypeError
from minibert.tokenization import AddedToken
from minibert.tokenization.compiled import PackedEncoding


class Case:
    """A tokenizer, the texts that a call of it must encode, and texts weighted to trouble it."""

    def __init__(self, make, fallback, random_texts):
        self.make, self.fallback, self.random_texts = make, fallback, random_texts
        self.tokenizer = make()


def wordpiece():
    return Case(lambda: our_tokenizer(troubled_vocab()), WORDPIECE_FALLBACK, random_texts)


def byte_level(flags):
    return Case(lambda: our_roberta(trained(2000), **flags), BYTE_LEVEL_FALLBACK, random_troubled)


CASES = {"WordPiece": wordpiece, **{f"BPE {flags}": lambda flags=flags: byte_level(flags) for flags in FLAGS}}


@pytest.fixture(scope="module", params=CASES)
def case(request):
    return CASES[request.param]()


def test_a_result_is_not_overwritten_by_the_next_call(case):
    first = case.tokenizer.encode_packed(["ab c"] * 1000)
    before = rows(first)
    case.tokenizer.encode_packed(["un é"] * 1000)
    assert rows(first) == before


def test_half_a_surrogate_pair_is_refused_as_in_a_call(case):
    with pytest.raises(InputTypeError, match=r"whole characters; at 1 it has U\+D800"):
        case.tokenizer.encode_packed(["fine", "a\ud800"])


@pytest.mark.parametrize(
    "again", [copy.deepcopy, lambda tokenizer: pickle.loads(pickle.dumps(tokenizer))], ids=["copied", "pickled"]
)
def test_a_tokenizer_is_the_same_in_another_process(case, again):
    case.tokenizer.encode_packed(["a text"])
    assert rows(again(case.tokenizer).encode_packed(["ab é", "c"])) == rows(case.tokenizer.encode_packed(["ab é", "c"]))


def test_calls_run_concurrently_do_not_meet(case):
    some = list(case.random_texts(500, seed=13))
    expected, results = calls(case.tokenizer, some), []
    run_concurrently(lambda _: results.append(rows(case.tokenizer.encode_packed(some, threads=2))), 3)
    assert results == [expected] * 3


def test_tokens_added_later_are_found(case):
    tokenizer = case.make()
    check(tokenizer, ["a @new b", "@new"])
    tokenizer.add_tokens(AddedToken("@new", normalized=False))
    check(tokenizer, ["a @new b", "@new"])
    assert tokenizer.encode_packed(["@new"]).ids.tolist()[1:-1] == [tokenizer.convert_tokens_to_ids("@new")]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"add_special_tokens": False},
        {"truncation": True, "max_length": 2},
        {"truncation": True, "max_length": 4},
        {"truncation": True, "max_length": 3, "add_special_tokens": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("threads", [1, 2, 7])
def test_fallback_and_empty_texts_anywhere(case, options, threads):
    for some in (
        [],
        [""],
        ["", ""],
        case.fallback[:1],
        [*case.fallback, "ab"],
        ["ab", *case.fallback],
        ["ab c", case.fallback[0], "", "abc abc abc", case.fallback[-1], " "],
    ):
        check(case.tokenizer, some, threads=threads, **options)


def test_arrays_are_of_the_kinds_a_model_takes(case):
    packed = case.tokenizer.encode_packed(iter(["ab c", ""]))
    assert isinstance(packed, PackedEncoding)
    assert packed.ids.dtype == packed.offsets.dtype == packed.word_ids.dtype == np.int32
    assert packed.bounds.dtype == np.int64 and packed.bounds[0] == 0 and packed.offsets.shape == (len(packed.ids), 2)
