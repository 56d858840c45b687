"""minibert/pipelines/: the forms of a call and the shapes of its answers, as transformers v5 has them."""

import logging
from itertools import count

import numpy as np
import pytest
from checkpoints import make_checkpoint, rewrite_config, small_model

from minibert import (
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    ConfigError,
    InputError,
    InputTypeError,
    KernelError,
    MinibertWarning,
    ModelNotFoundError,
    hub,
    pipeline,
    sigmoid,
    softmax,
)

LABELS = {0: "NEG", 1: "NEU", 2: "POS"}
TEXTS = ["a good movie", "bad", "i love this film , it is great", "", "a"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("classifier"), "bert", num_labels=3, id2label=LABELS)


@pytest.fixture(scope="module")
def pipe(folder):
    return pipeline("sentiment-analysis", folder)


def is_answer(answer):
    return set(answer) == {"label", "score"} and answer["label"] in LABELS.values() and type(answer["score"]) is float


def is_ranking(answers, length=3):
    scores = [answer["score"] for answer in answers]
    return len(answers) == length and all(map(is_answer, answers)) and scores == sorted(scores, reverse=True)


# --- What is given, and what comes back -----------------------------------------------------------------------------


def test_a_text_gives_a_list_of_one_answer(pipe):
    (answer,) = pipe("a good movie")
    assert is_answer(answer)


def test_a_list_gives_a_list_of_answers_and_an_empty_one_an_empty_one(pipe):
    answers = pipe(TEXTS)
    assert len(answers) == len(TEXTS) and all(map(is_answer, answers))
    assert pipe([]) == [] and pipe(["bad"]) == pipe("bad")


def test_top_k_gives_a_ranking_for_a_text_and_a_list_of_them_for_a_list(pipe):
    assert is_ranking(pipe("bad", top_k=None)) and is_ranking(pipe("bad", top_k=2), 2) and is_ranking(pipe("bad", top_k=9))
    assert pipe("bad", top_k=1) == pipe("bad")
    assert [is_ranking(ranking) for ranking in pipe(TEXTS, top_k=None)] == [True] * len(TEXTS)
    assert pipe(["bad"], top_k=1) == [pipe("bad")]


def test_a_pair_gives_a_bare_answer_however_it_is_written(pipe):
    answer = pipe(("a movie", "it was bad"))
    assert is_answer(answer) and answer == pipe({"text": "a movie", "text_pair": "it was bad"})
    assert answer != pipe({"text": "a movie"}) == pipe("a movie")[0]
    assert [row["label"] for row in pipe([("a movie", "it was bad")] * 2)] == [answer["label"]] * 2
    assert pipe([{"text": "a movie", "text_pair": None}]) == pipe(["a movie"])
    assert is_ranking(pipe(("a movie", "it was bad"), top_k=None))


def test_a_generator_is_read_only_as_far_as_it_is_asked(pipe):
    read = []

    def texts():
        for index in count():
            read.append(index)
            yield "a good movie"

    answers = pipe(texts())
    assert iter(answers) is answers and read == []
    assert is_answer(next(answers)) and read == [0]
    assert is_answer(next(answers)) and read == [0, 1]
    in_threes = pipe(texts(), batch_size=3, top_k=None)
    assert is_ranking(next(in_threes)) and read[2:] == [0, 1, 2]
    assert is_ranking(next(in_threes)) and is_ranking(next(in_threes)) and read[2:] == [0, 1, 2]


def test_a_generator_may_hold_pairs_and_an_iterator_may_be_empty(pipe):
    (answer,) = pipe(pair for pair in [("a movie", "it was bad")])
    assert answer == pipe(("a movie", "it was bad")) and list(pipe(iter([]))) == []


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_the_size_of_a_batch_changes_no_label(pipe, size):
    one_by_one = [pipe(text)[0] for text in TEXTS]
    for answers in (pipe(TEXTS, batch_size=size), list(pipe(iter(TEXTS), batch_size=size))):
        assert [answer["label"] for answer in answers] == [answer["label"] for answer in one_by_one]
        assert np.allclose([a["score"] for a in answers], [a["score"] for a in one_by_one], atol=1e-5)


@pytest.mark.parametrize("model_type", ["bert", "distilbert"])
def test_the_three_steps_by_hand_give_the_same(model_type, tmp_path):
    make_checkpoint(tmp_path, model_type)
    tokenizer, model = AutoTokenizer.from_pretrained(tmp_path), AutoModelForSequenceClassification.from_pretrained(tmp_path)
    scores = softmax(model(**tokenizer(TEXTS, padding=True, return_tensors="np")).logits)
    answers = pipeline("text-classification", tmp_path)(TEXTS)
    assert [answer["score"] for answer in answers] == scores.max(axis=1).tolist()
    assert [answer["label"] for answer in answers] == [f"LABEL_{i}" for i in scores.argmax(axis=1)]


def test_a_text_over_the_limit_is_refused_unless_it_may_be_cut(pipe):
    text = "good " * 30
    with pytest.raises(InputError, match=r"may have 16 tokens, .*; got 32. Cut it with pipe\(..., truncation=True\)"):
        pipe(text)
    assert pipe(text, truncation=True) == pipe("good " * 14)
    assert pipe(text, truncation=True, max_length=5) == pipe("good good good")


# --- From logits to scores -------------------------------------------------------------------------------------------


FUNCTIONS = [
    ({"num_labels": 3}, softmax),
    ({"num_labels": 3, "problem_type": "single_label_classification"}, softmax),
    ({"num_labels": 3, "problem_type": "multi_label_classification"}, sigmoid),
    ({"num_labels": 1}, sigmoid),
    ({"num_labels": 1, "problem_type": "regression"}, np.asarray),
    ({"num_labels": 3, "problem_type": "regression"}, np.asarray),
]


@pytest.mark.parametrize("settings, function", FUNCTIONS, ids=lambda value: getattr(value, "__name__", str(value)))
def test_the_problem_decides_what_makes_scores_of_logits_and_the_call_may_say_otherwise(settings, function, tmp_path):
    make_checkpoint(tmp_path, **settings)
    pipe = pipeline("text-classification", tmp_path, top_k=None)
    logits = pipe.model(**pipe.tokenizer(["bad movie"], return_tensors="np")).logits[0]
    spoken = {None: function, "softmax": softmax, "SIGMOID": sigmoid, "none": np.asarray}
    for name, expected in spoken.items():
        scores = {answer["label"]: answer["score"] for answer in pipe(["bad movie"], function_to_apply=name)[0]}
        assert scores == dict(zip(pipe.model.config.id2label.values(), map(float, expected(logits))))


def test_options_of_the_pipeline_are_those_of_its_calls_which_may_differ(folder):
    classifier = pipeline("text-classification", folder, top_k=2, function_to_apply="none", batch_size=2, truncation=True)
    assert is_ranking(classifier(["good " * 30])[0], 2) and is_ranking(classifier("bad", top_k=None))
    assert classifier(["bad"], function_to_apply="softmax")[0][0]["score"] < 1


# --- What a pipeline is made of --------------------------------------------------------------------------------------


def test_model_and_tokenizer_may_be_objects_or_names(folder, pipe):
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForSequenceClassification.from_pretrained(folder)
    for other in (
        pipeline("text-classification", model, tokenizer),
        pipeline(model=model, tokenizer=str(folder)),
        pipeline("sentiment-analysis", model=str(folder), tokenizer=tokenizer),
        pipeline(model=folder),
    ):
        assert other(TEXTS) == pipe(TEXTS) and other.task == "text-classification"
    plain = pipeline(model=folder, kernels="reference")(TEXTS)
    assert np.allclose([row["score"] for row in plain], [row["score"] for row in pipe(TEXTS)], atol=1e-5)


def test_the_bundled_model_is_the_default_and_is_named(caplog):
    if "minibert-sst2" not in hub.bundled_models():
        pytest.skip("the bundled model minibert-sst2 is not in this checkout yet")
    with caplog.at_level(logging.WARNING, "minibert"):
        classifier = pipeline("sentiment-analysis")
    assert "using the bundled minibert-sst2. Name another with model=..." in caplog.text
    labels = [answer["label"] for answer in classifier(["this movie is great .", "this movie is terrible ."])]
    assert labels == ["POSITIVE", "NEGATIVE"]


def test_a_model_that_was_never_trained_to_classify_says_so(tmp_path):
    make_checkpoint(tmp_path, head="Model")
    with pytest.warns(MinibertWarning, match="was not trained to classify"):
        pipeline("text-classification", tmp_path)
    rewrite_config(tmp_path, architectures=["DistilBertForMultipleChoice"])
    with pytest.raises(InputError, match="the task follows from a model's class, .*; got .*DistilBertForMultipleChoice"):
        pipeline(model=tmp_path)


@pytest.mark.parametrize("architectures", [None, [], ["Unknown"]])
def test_without_a_class_in_the_configuration_the_task_must_be_named(architectures, tmp_path):
    rewrite_config(make_checkpoint(tmp_path), architectures=architectures)
    with pytest.raises(InputError, match="Name the task"):
        pipeline(model=tmp_path)
    assert pipeline("text-classification", tmp_path)("bad")


def test_architectures_of_another_kind_are_refused(tmp_path):
    rewrite_config(make_checkpoint(tmp_path), architectures=7)
    with pytest.raises(ConfigError, match="architectures must be a list of names; got 7"):
        pipeline(model=tmp_path)


# --- What is refused -------------------------------------------------------------------------------------------------


def test_an_unknown_task_is_refused_and_the_known_ones_are_listed(folder):
    with pytest.raises(InputError, match="the tasks are text-classification, .*sentiment-analysis.*; got 'summarization'"):
        pipeline("summarization", folder)
    with pytest.raises(InputTypeError, match="a task is named by a string; got int"):
        pipeline(5, folder)
    with pytest.raises(InputError, match="a pipeline needs a task or a model; the tasks are"):
        pipeline()


def test_what_is_no_model_for_the_task_is_refused(folder):
    with pytest.raises(ModelNotFoundError, match="no folder"):
        pipeline("text-classification", "./nowhere")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for wrong in (AutoModel.from_pretrained(folder), 5, b"x", tokenizer):
        with pytest.raises(InputTypeError, match="text-classification wants a model's name, or one of class Bert"):
            pipeline("text-classification", wrong, tokenizer)
    with pytest.raises(InputError, match="does not bring its tokenizer; pass tokenizer="):
        pipeline("text-classification", small_model())
    with pytest.raises(InputTypeError, match="tokenizer is a name, a folder or a loaded one; got int"):
        pipeline("text-classification", folder, 5)
    with pytest.raises(KernelError, match="kernels is one of"):
        pipeline("text-classification", "./nowhere", kernels="fastest")


OPTIONS = [
    ({"top_k": 0}, "top_k must be a whole number, 1 or more, or None for all; got 0"),
    ({"top_k": True}, "top_k must be .*; got True"),
    ({"top_k": "2"}, "top_k must be .*; got '2'"),
    ({"function_to_apply": "tanh"}, "function_to_apply is one of softmax, sigmoid, none; got 'tanh'"),
    ({"function_to_apply": softmax}, "function_to_apply is one of"),
    ({"batch_size": 0}, "batch_size must be a whole number, 1 or more; got 0"),
    ({"batch_size": "a"}, "batch_size must be .*; got 'a'"),
    ({"devise": 0}, "the options are top_k, .*; got devise"),
    ({"return_overflowing_tokens": True}, "the options are .*; got return_overflowing_tokens"),
    ({"return_tensors": "pt"}, "the options are .*; got return_tensors"),
]


@pytest.mark.parametrize("options, message", OPTIONS, ids=str)
def test_an_option_that_means_nothing_is_refused_where_it_is_given(options, message, pipe, folder):
    with pytest.raises(InputError, match=message):
        pipe("bad", **options)
    with pytest.raises(InputError, match=message):
        pipe(iter(["bad"]), **options)
    with pytest.raises(InputError, match=message):
        pipeline("text-classification", folder, **options)


NO_TEXTS = [5, None, b"bad", bytearray(b"bad"), 5.5]
NO_ROWS = [
    *NO_TEXTS,
    [],
    ["a"],
    ["a", "b", "c"],
    ("a", 5),
    (5, "a"),
    {},
    {"text": 5},
    {"text_pair": "b"},
    {"label": "a"},
    {"text": "a", "text_pair": 5},
    {"text": ["a", "b"]},
    {"text": {"text": "a"}},
    {"text": "a", "more": 1},
]


@pytest.mark.parametrize("inputs", NO_TEXTS, ids=repr)
def test_what_is_neither_text_nor_texts_is_refused_by_its_type(inputs, pipe):
    with pytest.raises(InputTypeError, match=f"a pipeline takes a text, .*; got {type(inputs).__name__}"):
        pipe(inputs)


@pytest.mark.parametrize("row", NO_ROWS, ids=repr)
def test_a_row_that_is_neither_text_nor_pair_is_refused_by_its_type(row, pipe):
    for inputs in (["bad", row], iter([row])):
        with pytest.raises(InputTypeError, match=f"each input is a text, .*; got {type(row).__name__}"):
            list(pipe(inputs))


def test_texts_and_pairs_in_one_batch_are_refused_with_the_way_out(pipe):
    mixed = ["bad", ("a movie", "it was bad")]
    with pytest.raises(InputError, match="not of both; pass batch_size=1 to mix them"):
        pipe(mixed)
    assert pipe(mixed, batch_size=1) == [pipe("bad")[0], pipe(mixed[1])]


@pytest.mark.parametrize("text", ["\ud800", "good \udc80 movie"])
def test_half_a_character_is_refused(text, pipe):
    with pytest.raises(InputTypeError):
        pipe(text)
    with pytest.raises(InputTypeError):
        pipe(["bad", text])
