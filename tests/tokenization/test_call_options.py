"""The options of calls are transformers': what each does, what is ignored, the order of the arguments, tensors."""

import itertools
import random
import sys
import warnings

import numpy as np
import pytest
from tokenization_cases import real_folder, real_vocab, troubled_vocab

from minibert import AutoTokenizer, BatchEncoding, BertTokenizer, InputError, InputTypeError, MinibertWarning, MPNetTokenizer

TEXTS = ["an unwanted [MASK] film", "naïve 中国!", "", "a b c d e f g h i j", "don't want"]
PAIRS = list(zip(TEXTS, TEXTS[::-1]))


@pytest.fixture(scope="module")
def both():
    transformers = pytest.importorskip("transformers")
    return AutoTokenizer.from_pretrained(real_folder()), transformers.AutoTokenizer.from_pretrained(real_folder())


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def tokenizer():
    return BertTokenizer(troubled_vocab(), model_max_length=16)


def plain(batch):
    """The values of a batch as lists."""
    return {name: value.tolist() if hasattr(value, "tolist") else value for name, value in batch.items()}


OPTIONS = {
    "padding": (False, True, "longest", "max_length", "do_not_pad"),
    "truncation": (None, False, True, "only_first", "only_second", "do_not_truncate"),
    "max_length": (None, 4, 8, 16, np.int64(8)),
    "pad_to_multiple_of": (None, None, 4, np.int32(8)),
    "stride": (0, 0, 1, 2, 9),
    "padding_side": (None, "left", "right"),
    "return_overflowing_tokens": (False, True),
    "add_special_tokens": (True, False),
    "return_tensors": (None, None, None, "np", "pt"),
}


@pytest.mark.parity
def test_every_combination_of_options_gives_what_transformers_gives(both):
    ours, theirs = both
    draw, answers = random.Random(5), 0
    forms = [(TEXTS,), (PAIRS,), (TEXTS, TEXTS[::-1]), (TEXTS[0],), (TEXTS[3], TEXTS[0]), ([TEXTS[1]],)]
    for _ in range(3000):
        options = {name: draw.choice(values) for name, values in OPTIONS.items()}
        answers += same_answer_or_both_refuse(ours, theirs, draw.choice(forms), options)
    assert answers > 1000


def same_answer_or_both_refuse(ours, theirs, texts, options):
    """Whether there is an answer. Ours may refuse what the reference answers in one case only: rows of several lengths as
    arrays, which it gives as an array of objects."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other, mine, error = None, None, None
        try:
            other = theirs(*texts, **options)
        except BaseException as refused:  # a Rust panic is no Exception
            assert not isinstance(refused, (KeyboardInterrupt, SystemExit))
        try:
            mine = ours(*texts, **options)
        except InputError as refused:
            error = refused
    if mine is None and other is not None:
        assert any(value.dtype == object for value in other.values()), (texts, options, error)
        return False
    if other is None:
        assert mine is None, (texts, options)
        return False
    assert list(mine) == list(other) and list(map(type, mine.values())) == list(map(type, other.values())), options
    assert plain(mine) == plain(other), (texts, options)
    return True


@pytest.mark.parity
def test_arguments_have_transformers_order(both):
    ours, theirs = both
    for arguments in (("a b", "c", None, None, False), (TEXTS, None, None, None, True, True, True, 8)):
        assert plain(ours(*arguments)) == plain(theirs(*arguments))
    for arguments in (
        ("a b", "c", False),
        ("a b", None, True, "max_length", True, 8, 0, "left"),
        ("a", "b", True, False, None, 4),
    ):
        assert ours.encode(*arguments) == theirs.encode(*arguments)
    assert np.array_equal(ours.encode("a", None, True, False, None, None, 0, None, "np"), [theirs.encode("a")])


def test_an_argument_that_comes_twice_or_too_late_is_refused(tokenizer):
    with pytest.raises(InputTypeError, match="encode.. got 'padding' twice"):
        tokenizer.encode("a", None, True, False, padding=True)
    with pytest.raises(InputTypeError, match="encode.. takes at most add_special_tokens, .* after the texts; got 8"):
        tokenizer.encode("a", None, True, False, None, None, 0, None, None, None)
    with pytest.raises(InputError, match="text_target must be None: .* Pass options by their names"):
        tokenizer("a", "b", True)


# --- What is ignored -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"pad_to_multiple_of": 8},
        {"stride": 2},
        {"stride": 2, "return_overflowing_tokens": False},
        {"padding_side": "left"},
        {"truncation": False, "max_length": 3},
        {"return_dict": True},
        {"padding": "do_not_pad", "max_length": 3},
        {"padding": True, "max_length": 3, "verbose": False},
    ],
    ids=str,
)
def test_what_transformers_ignores_is_ignored_in_silence(tokenizer, options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tokenizer("a b c", **options) == tokenizer("a b c")


@pytest.mark.parametrize(
    "call",
    [
        lambda tokenizer: tokenizer(["a b c", "a"], padding=True, max_length=3),
        lambda tokenizer: tokenizer(["a b c", "a"], padding="longest", truncation=False, max_length=3),
        lambda tokenizer: tokenizer.pad({"input_ids": [[2, 5, 6, 7, 3], [2, 5, 3]]}, max_length=3),
        lambda tokenizer: {"input_ids": tokenizer.encode("a b c", padding=True, max_length=3)},
        lambda tokenizer: tokenizer.batch_encode_plus(["a b c", "a"], padding=True, max_length=3),
    ],
    ids=["call", "longest", "pad", "encode", "batch_encode_plus"],
)
def test_max_length_beside_padding_is_ignored_with_one_warning_at_the_callers_line(tokenizer, call):
    with pytest.warns(
        MinibertWarning, match="max_length=3 is ignored.* Pass truncation=True, or padding='max_length'"
    ) as warned:
        batch = call(tokenizer)
    assert [warning.filename for warning in warned] == [__file__]
    rows = batch["input_ids"]
    assert [len(row) for row in rows] == [5, 5] if isinstance(rows[0], list) else len(rows) == 5


# --- Tensors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parity
@pytest.mark.parametrize(
    "options",
    [{}, {"return_offsets_mapping": True, "return_special_tokens_mask": True}, {"return_length": True}, {"max_length": 6}],
    ids=str,
)
def test_torch_tensors_are_those_of_transformers(both, torch, options):
    from transformers.utils import TensorType

    ours, theirs = both
    options = {"padding": True, "truncation": True, **options}
    for texts, name in itertools.product([(TEXTS,), (PAIRS,), ("a text",), ("a", "pair")], ("pt", TensorType.PYTORCH)):
        mine, other = ours(*texts, return_tensors=name, **options), theirs(*texts, return_tensors=name, **options)
        assert list(mine) == list(other)
        for key, tensor in mine.items():
            assert tensor.dtype == other[key].dtype == torch.int64 and torch.equal(tensor, other[key]), key
    assert torch.equal(ours.encode("a b", return_tensors="pt"), theirs.encode("a b", return_tensors="pt"))
    assert type(ours("a", return_tensors=TensorType.NUMPY)["input_ids"]) is np.ndarray


def test_a_batch_of_tensors_is_still_a_batch(tokenizer, torch):
    batch = tokenizer(["a b", "c"], padding=True, return_tensors="pt")
    assert batch.to("cpu") is batch.to(torch.device("cpu")) is batch.to(batch.input_ids.device, non_blocking=True) is batch
    assert batch[1].tokens == batch.tokens(1) == ["[CLS]", "c", "[SEP]", "[PAD]"] and {**batch}.keys() == batch.keys()
    batch["labels"] = torch.tensor([0, 1])
    assert batch.labels is batch["labels"]
    for device in ("cuda", 0, torch.device("cuda:0"), torch.float16):
        with pytest.raises(InputError, match="CPU only"):
            batch.to(device)
    with pytest.raises(InputTypeError, match="positional"):
        batch.to("cpu", True)


def test_lists_become_tensors_later(tokenizer, torch):
    batch = tokenizer(["a b", "c d"])
    assert batch.convert_to_tensors() is batch and type(batch["input_ids"]) is list
    assert torch.equal(batch.convert_to_tensors("pt")["input_ids"], torch.tensor(tokenizer(["a b", "c d"])["input_ids"]))
    assert tokenizer("a").convert_to_tensors("pt", prepend_batch_axis=True)["input_ids"].shape == (1, 3)
    mixed = {"ids": [[1]], "scores": [0.5, 1.5], "array": np.ones((1, 2), np.float32), "tensor": torch.ones(2)}
    tensors = BatchEncoding(mixed, tensor_type="pt")
    assert [str(tensors[name].dtype) for name in mixed] == ["torch.int64", *["torch.float32"] * 3]
    assert [BatchEncoding(mixed, tensor_type="np")[name].dtype.name for name in mixed] == ["int64", "float64", *["float32"] * 2]
    with pytest.raises(InputTypeError, match="'a' must hold numbers"):
        BatchEncoding({"a": [["x"]]}, tensor_type="pt")
    with pytest.raises(InputTypeError, match="a tensor must be of numbers"):
        BatchEncoding({"a": np.array(["x"])}, tensor_type="pt")


def test_tensors_without_torch_are_an_error_that_says_how_to_get_it(tokenizer, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # the import fails
    with pytest.raises(InputError, match="pip install torch"):
        tokenizer("a", return_tensors="pt")
    assert tokenizer("a", return_tensors="np").to("cpu")["input_ids"].shape == (1, 3)


@pytest.mark.parametrize("name", ["tf", "jax", "mlx", "torch", 3, ["pt"], object])
def test_other_tensors_are_one_error(tokenizer, name):
    for call in (tokenizer, tokenizer.encode, lambda text, **options: tokenizer.pad({"input_ids": [1]}, **options)):
        with pytest.raises(
            InputError, match="return_tensors must be 'np' for NumPy arrays, 'pt' for torch tensors, .* Use 'np'"
        ):
            call("a", return_tensors=name)


@pytest.mark.parity
def test_ids_may_be_arrays_and_tensors(both, torch):
    ours, theirs = both
    rows = [ours.encode("hello [MASK] there"), ours.encode("unwanted it is not")]
    rows[1] = rows[1][: len(rows[0])]
    for ids in (torch.tensor(rows), np.array(rows), list(torch.tensor(rows)), [torch.tensor(rows[0]), torch.tensor([7592])]):
        assert ours.batch_decode(ids, skip_special_tokens=True) == theirs.batch_decode(ids, skip_special_tokens=True)
        assert ours.decode(ids) == theirs.decode(ids)
    for ids in (torch.tensor(rows[0]), np.array(rows[0]), list(torch.tensor(rows[0])), rows[0]):
        assert ours.decode(ids) == theirs.decode(ids) and ours.batch_decode(ids) == theirs.batch_decode(ids)
        assert ours.convert_ids_to_tokens(ids) == theirs.convert_ids_to_tokens(ids)
    assert ours.decode(torch.tensor(7592)) == ours.convert_ids_to_tokens(torch.tensor(7592)) == "hello"
    assert ours.decode(rows[0], spaces_between_special_tokens=False) == theirs.decode(
        rows[0], spaces_between_special_tokens=False
    )


@pytest.mark.parity
def test_padding_gives_back_what_came(both, torch):
    ours, theirs = both
    rows = [{"input_ids": [101, 7592, 102], "labels": 0.5}, {"input_ids": [101, 102], "labels": 1.5}]
    forms = [
        (rows, {"return_tensors": "pt"}),
        (rows, {"return_tensors": "np", "padding": "max_length", "max_length": 5, "pad_to_multiple_of": 4}),
        ([{"input_ids": torch.tensor(row["input_ids"])} for row in rows], {}),
        ([{"input_ids": np.array(row["input_ids"])} for row in rows], {"padding_side": "left"}),
        ({"input_ids": torch.tensor([[1, 2]]), "attention_mask": torch.tensor([[1, 1]])}, {"pad_to_multiple_of": 4}),
        ({"input_ids": [[1, 2]], "attention_mask": [[1, 1]]}, {"padding": False, "pad_to_multiple_of": 4}),
        ({"input_ids": [1, 2]}, {"padding": "max_length", "max_length": torch.tensor(3)}),
    ]
    for inputs, options in forms:
        copies = [[dict(row) for row in inputs] if isinstance(inputs, list) else dict(inputs) for _ in range(2)]
        mine, other = ours.pad(copies[0], **options), theirs.pad(copies[1], **options)
        assert plain(mine) == plain(other), (inputs, options)
        for name in mine:
            assert type(mine[name]) is type(other[name]) and str(getattr(mine[name], "dtype", "")) == str(
                getattr(other[name], "dtype", "")
            )


# --- Special tokens that are split -----------------------------------------------------------------------------------


@pytest.mark.parity
def test_special_tokens_are_split_as_in_transformers():
    transformers = pytest.importorskip("transformers")
    ours, theirs = (library.from_pretrained(real_folder()) for library in (AutoTokenizer, transformers.AutoTokenizer))
    texts = ["a [MASK] b", "[CLS]x[SEP]", "no such <x> token, [mask]", "a newtoken <x>[MASK]"]
    for stage in range(4):
        if stage == 1:
            for tokenizer in (ours, theirs):
                tokenizer.add_tokens(["newtoken"])
                tokenizer.add_special_tokens({"extra_special_tokens": ["<x>"]})
        if stage > 1:
            ours.split_special_tokens = theirs.split_special_tokens = stage == 2
        for text, value in itertools.product(texts, (None, True, False)):
            options = {} if value is None else {"split_special_tokens": value}
            assert plain(ours(text, **options)) == plain(theirs(text, **options)), (stage, text, value)
            assert ours.encode(text, **options) == theirs.encode(text, **options)
            assert ours.tokenize(text, **options) == theirs.tokenize(text, **options)
        packed = ours.encode_packed(texts)
        assert [packed.ids[start:stop].tolist() for start, stop in itertools.pairwise(packed.bounds)] == theirs(texts)[
            "input_ids"
        ]


def test_splitting_of_special_tokens_is_saved_and_loaded(tmp_path):
    tokenizer = BertTokenizer(troubled_vocab(), split_special_tokens=True)
    assert tokenizer.tokenize("a [MASK]") == ["a", "[", "[UNK]", "]"]
    tokenizer.save_pretrained(tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path).encode("a [MASK]") == tokenizer.encode("a [MASK]")
    assert AutoTokenizer.from_pretrained(tmp_path, split_special_tokens=False).tokenize("a [MASK]") == ["a", "[MASK]"]


def test_mpnets_mask_is_split_too():
    vocab = {token: index for index, token in enumerate(["<s>", "<pad>", "</s>", "[UNK]", "<mask>", "a", "<", "mask", ">"])}
    tokenizer = MPNetTokenizer(vocab)
    assert tokenizer.tokenize("a <mask>") == ["a", " <mask>"]
    assert tokenizer.tokenize("a <mask>", split_special_tokens=True) == ["a", "<", "mask", ">"]


# --- Integers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("convert", [np.int32, np.int64, np.array, "torch"])
def test_integers_of_other_libraries_count_as_those_of_python(tokenizer, convert):
    integer = pytest.importorskip("torch").tensor if convert == "torch" else convert
    expected = tokenizer(["a b c d e", "a"], padding="max_length", truncation=True, max_length=8, pad_to_multiple_of=4)
    lengths = {"max_length": integer(8), "pad_to_multiple_of": integer(4), "stride": integer(0)}
    assert tokenizer(["a b c d e", "a"], padding="max_length", truncation=True, **lengths) == expected
    tokenizer.model_max_length = integer(4)
    assert type(tokenizer.model_max_length) is int and len(tokenizer.encode("a b c d e", truncation=True)) == 4
    tokenizer.pad_token_id = integer(3)
    assert tokenizer.pad_token == "[SEP]" and expected.word_ids(integer(1)) == expected.word_ids(1)


def test_real_vocabulary_is_a_dictionary(both):
    assert both[0].vocab == both[0].get_vocab() == real_vocab() and len(both[0]) == len(real_vocab())


@pytest.mark.parity
def test_data_collators_of_transformers_take_this_tokenizer_for_theirs(both, torch):
    from transformers import DataCollatorForTokenClassification, DataCollatorWithPadding

    for collator, more in (
        (DataCollatorWithPadding, [{"labels": 0}, {"labels": 1}]),
        (DataCollatorForTokenClassification, [{"labels": [0, 1, 2, 3]}, {"labels": [0, 1, 2]}]),
    ):
        batches = []
        for tokenizer in both:
            rows = [{**tokenizer(text), **extra} for text, extra in zip(("a b", "c"), more)]
            batches.append(collator(tokenizer, pad_to_multiple_of=8)(rows))
        assert list(batches[0]) == list(batches[1])
        assert all(torch.equal(batches[0][name], batches[1][name]) for name in batches[0])
