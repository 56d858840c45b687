"""The forms of a pipeline's inputs and options: what `transformers` takes is taken, and gives what it gives there."""

from collections import UserList

import numpy as np
import pytest
from pipeline_calls import CALLS, HEADS, LONG, PAIR, TEXTS

from minibert import InputError, InputTypeError, MinibertWarning
from minibert.pipelines.streaming import as_rows


@pytest.fixture(scope="module")
def theirs(folders):
    transformers = pytest.importorskip("transformers", reason="parity needs transformers: pip install -e '.[test]'")
    return lambda task, **options: transformers.pipeline(task, model=str(folders[task]), device="cpu", **options)


@pytest.fixture(scope="module")
def pipe(ours):
    return ours("text-classification")


def same(got, want):
    """Equal in shape, types, keys and texts; numbers to 1e-5."""
    if isinstance(want, dict):
        return isinstance(got, dict) and list(got) == list(want) and all(same(got[key], want[key]) for key in want)
    if isinstance(want, list):
        return isinstance(got, list) and len(got) == len(want) and all(map(same, got, want))
    return abs(got - want) < 1e-5 if isinstance(want, float) else got == want


def listed(answer):
    return answer if isinstance(answer, (list, dict)) else list(answer)


# --- Text classification ---------------------------------------------------------------------------------------------

FORMS = {
    "a text": lambda: "a good movie",
    "a list": lambda: TEXTS,
    "a list of one": lambda: TEXTS[:1],
    "a dictionary": lambda: PAIR,
    "a list of dictionaries": lambda: [PAIR, {"text": "bad", "text_pair": "it"}],
    "a generator": lambda: (text for text in TEXTS),
    "a pair in lists": lambda: [[["a movie", "bad"]]],
    "two pairs in lists": lambda: [[["a movie", "bad"]], [["bad", "it"]]],
}


@pytest.mark.parity
@pytest.mark.parametrize("options", [{}, {"top_k": None}, {"top_k": 1}, {"top_k": 2}], ids=str)
def test_every_form_has_their_shape_whether_top_k_is_the_pipelines_or_the_calls(options, ours, theirs, pipe):
    reference, constructed = theirs("text-classification", **options), ours("text-classification", **options)
    plain_reference = theirs("text-classification")
    for name, form in FORMS.items():
        assert same(listed(constructed(form())), listed(reference(form()))), name
        assert same(listed(pipe(form(), **options)), listed(plain_reference(form(), **options))), name
        assert same(listed(constructed(form(), top_k=3)), listed(reference(form(), top_k=3))), name


@pytest.mark.parity
def test_a_list_of_two_texts_is_no_pair_there_nor_here_and_the_error_says_how_to_pass_one(theirs, pipe):
    for inputs in ([["a movie", "bad"]], [["a movie"]], [[]]):
        with pytest.raises(ValueError, match="send a text pair"):
            theirs("text-classification")(inputs)
        with pytest.raises(InputTypeError, match="got list. Pass a pair as {'text': ..., 'text_pair': ...}"):
            pipe(inputs)


@pytest.mark.parity
@pytest.mark.parametrize("value", [True, False])
def test_return_all_scores_changes_nothing_as_there_and_warns(value, ours, theirs, pipe):
    want = theirs("text-classification")("bad", return_all_scores=value)
    with pytest.warns(MinibertWarning, match="return_all_scores does nothing.* Pass top_k=None"):
        assert same(pipe("bad", return_all_scores=value), want)
    with pytest.warns(MinibertWarning, match="return_all_scores"):
        assert same(ours("text-classification", return_all_scores=value)("bad"), want)


def test_a_stream_takes_pairs_in_lists_too(pipe):
    (answer,) = pipe.stream([[["a movie", "bad"]]])
    assert answer == pipe([[["a movie", "bad"]]])[0] == pipe({"text": "a movie", "text_pair": "bad"})


# --- Options of the tokenizer ----------------------------------------------------------------------------------------

KWARGS = [  # of the pipeline, of the call
    ({}, {"truncation": True}),
    ({}, {"tokenize_kwargs": {"truncation": True, "max_length": 5}}),
    ({}, {"truncation": None, "tokenize_kwargs": {"truncation": True}}),
    ({"truncation": True}, {"tokenize_kwargs": {"truncation": True, "max_length": 5}}),
    ({"truncation": True}, {"tokenize_kwargs": {"max_length": 5}}),
    ({"tokenize_kwargs": {"truncation": True, "max_length": 5}}, {}),
    ({"tokenize_kwargs": {"truncation": True, "max_length": 5}}, {"truncation": "only_first"}),
    ({"tokenize_kwargs": {"truncation": True, "max_length": 5}}, {"tokenize_kwargs": {"max_length": 7}}),
    ({"truncation": True}, {"tokenize_kwargs": {"return_offsets_mapping": True, "verbose": False, "return_length": True}}),
]


@pytest.mark.parity
@pytest.mark.parametrize("constructor, call", KWARGS, ids=str)
def test_options_of_the_tokenizer_mean_what_they_mean_there_wherever_they_stand(constructor, call, ours, theirs):
    want = theirs("feature-extraction", **constructor)(LONG, **call)
    assert same(ours("feature-extraction", **constructor)(LONG, **call), want)


@pytest.mark.parity
def test_an_option_of_the_tokenizer_that_comes_twice_is_refused_there_and_here(ours, theirs):
    twice = {"truncation": True, "tokenize_kwargs": {"truncation": True}}
    with pytest.raises(ValueError, match="truncation parameter defined twice"):
        theirs("feature-extraction")("a", **twice)
    for make in (lambda: ours("feature-extraction")("a", **twice), lambda: ours("feature-extraction", **twice)):
        with pytest.raises(InputError, match="passed once; truncation is an option of the call and in tokenize_kwargs too"):
            make()
    with pytest.raises(InputError, match="max_length is an option of the call and in tokenizer_kwargs too"):
        ours("fill-mask")("a [MASK]", max_length=5, tokenizer_kwargs={"max_length": 6})


def test_options_of_the_tokenizer_must_be_known(ours):
    for more in ({"return_tensors": "np"}, {"nonsense": 1}, {5: 1}):
        with pytest.raises(InputTypeError, match="the options of tokenize_kwargs are truncation, .*; got"):
            ours("feature-extraction")("a", tokenize_kwargs=more)
    with pytest.raises(InputTypeError, match="tokenize_kwargs is a dictionary of the tokenizer's options; got 5"):
        ours("feature-extraction")("a", tokenize_kwargs=5)


# --- Zero-shot -------------------------------------------------------------------------------------------------------


@pytest.mark.parity
def test_a_text_without_a_character_has_no_labels_there_nor_here(ours, theirs):
    mine, reference = ours("zero-shot-classification"), theirs("zero-shot-classification")
    for inputs in ("", [""], ["a", ""]):
        with pytest.raises(ValueError, match="at least one sequence"):
            reference(inputs, ["good", "bad"])
        with pytest.raises(InputError, match="each text must have a character"):
            mine(inputs, ["good", "bad"])
    assert same(mine(" ", ["good", "bad"]), reference(" ", ["good", "bad"]))


@pytest.mark.parity
@pytest.mark.parametrize("labels", [["good", ""], [""], "good, ,bad", " good ", ("good", "bad")], ids=repr)
def test_labels_are_read_as_there(labels, ours, theirs):
    mine, reference = ours("zero-shot-classification"), theirs("zero-shot-classification")
    assert same(mine("a movie", labels), reference("a movie", labels))
    assert same(ours("zero-shot-classification", candidate_labels=labels)("a movie"), reference("a movie", labels))


# --- Inputs that are many --------------------------------------------------------------------------------------------


class Items:
    """No more than a length and items, and no IndexError at the end, as a data set may have it."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index % len(self.rows)]


class Series:
    """As pandas has it: an index of its own, and iteration over the values."""

    def __init__(self, rows):
        self.rows = rows
        self.index = range(100, 100 + len(rows))

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, key):
        return self.rows[self.index.index(key)]

    def __iter__(self):
        return iter(self.rows)


MANY = {
    "items": Items,
    "a series": Series,
    "UserList": UserList,
    "an array": np.array,
    "an iterator": iter,
    "an array of objects": lambda rows: np.array([*rows, None], object)[:-1],
    "a generator": lambda rows: (row for row in rows),
}


@pytest.mark.parametrize("many", MANY.values(), ids=MANY)
@pytest.mark.parametrize("task", HEADS)
def test_inputs_may_come_in_any_form_that_holds_many(task, many, ours):
    call = dict(CALLS.get(task, {"inputs": "a good movie"}))
    more = {name: call.pop(name) for name in ("candidate_labels",) if name in call}
    row = call if task == "question-answering" else next(iter(call.values()))
    rows = [row, row, row]
    want = str([ours(task)([row, row], **more)[0]] * 3)
    one_by_one = ours(task)(many(rows), **more)
    assert iter(one_by_one) is one_by_one and str(list(one_by_one))[:30] == want[:30]
    assert len(list(ours(task).stream(many(rows), **more))) == 3


@pytest.mark.parity
def test_data_sets_of_torch_and_transformers_give_their_answers(theirs, ours):
    torch = pytest.importorskip("torch")
    from transformers.pipelines.pt_utils import KeyDataset

    class Rows(torch.utils.data.Dataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return TEXTS[index % 2]

    pipe, reference = ours("text-classification", top_k=2), theirs("text-classification", top_k=2)
    for rows in (Rows(), KeyDataset([{"text": text} for text in TEXTS], "text")):
        want = list(reference(rows))
        assert same(list(pipe(rows)), want) and same(list(pipe.stream(rows)), want)


def test_questions_and_contexts_may_be_columns_of_any_form(ours):
    pipe = ours("question-answering")
    answer = pipe(question="what ?", context="a good movie")
    for many in MANY.values():
        both = pipe(question=many(["what ?"] * 2), context=many(["a good movie"] * 2))
        assert [one["answer"] for one in both] == [answer["answer"]] * 2
        assert [one["answer"] for one in pipe(many(["what ?"] * 2), "a good movie")] == [answer["answer"]] * 2
    with pytest.raises(InputError, match="this task takes .*; got both"):
        pipe([{"question": "what ?", "context": "a movie"}], question="what ?")


class Table(Series):
    """As pandas has it: iteration over the names of the columns."""

    def iterrows(self):
        return enumerate(self.rows)


def test_a_table_is_refused_with_the_way_out(pipe):
    for call in (pipe, pipe.stream):
        with pytest.raises(InputTypeError, match=r"one column; got a table \(.*Table\). Pass table\['name of a column'\]"):
            call(Table(["text", "label"]))


@pytest.mark.parametrize("one", [np.array("a"), np.array(5), b"a", memoryview(b"a"), str, 5, object()], ids=repr)
def test_what_holds_no_inputs_is_refused_by_its_type(one, pipe):
    assert as_rows(one) is None
    with pytest.raises(InputTypeError, match="a pipeline takes a text, .*; got "):
        pipe(one)
    with pytest.raises(InputTypeError, match="stream takes an iterable of inputs; got "):
        pipe.stream(one)


@pytest.mark.parametrize("error", [ZeroDivisionError, TypeError, KeyboardInterrupt, InputError])
def test_exceptions_of_the_callers_own_data_pass_through(error, pipe):
    class Broken(Items):
        def __getitem__(self, index):
            raise error("the caller's own")

    for read in (lambda rows: list(pipe(rows)), lambda rows: list(pipe.stream(rows))):
        with pytest.raises(error, match="^the caller's own$"):
            read(Broken(TEXTS))


# --- Options ---------------------------------------------------------------------------------------------------------


def test_integers_of_numpy_are_integers_and_huge_ones_are_no_matter(ours):
    pipe = ours("text-classification")
    assert pipe(TEXTS, batch_size=np.int64(1), top_k=np.int8(2)) == pipe(TEXTS, batch_size=1, top_k=2)
    assert pipe(TEXTS, batch_size=10**30, top_k=10**30) == pipe(TEXTS, top_k=None)
    assert pipe(LONG, stride=np.uint8(3), max_length=np.int32(9)) == pipe(LONG, stride=3, max_length=9)
    inputs = {"question": "what ?", "context": "a good movie"}
    pipe = ours("question-answering")
    assert pipe(**inputs, max_answer_len=10**30) == pipe(**inputs, max_answer_len=99)


@pytest.mark.parametrize("task", HEADS)
def test_an_unknown_option_is_an_input_type_error_wherever_it_comes(task, ours):
    pipe, call = ours(task), dict(CALLS.get(task, {"inputs": "a"}))
    row = next(iter(call.values()))
    for attempt in (
        lambda: ours(task, no_such_option=1),
        lambda: pipe(**call, no_such_option=1),
        lambda: pipe.stream([row], **{"candidate_labels": ["a"]} if "candidate_labels" in call else {}, no_such_option=1),
    ):
        with pytest.raises(InputTypeError, match="the options are .*; got no_such_option"):
            attempt()
