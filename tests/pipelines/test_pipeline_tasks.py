"""The tasks' pipelines: forms of a call, and what is refused. Their answers: test_parity_pipelines.py."""

import numpy as np
import pytest
from checkpoints import make_checkpoint

from minibert import InputError, InputTypeError, MinibertWarning, pipeline, softmax

TAGS = {0: "O", 1: "B-PER", 2: "I-PER"}
HEADS = {
    "text-classification": ("ForSequenceClassification", {}),
    "token-classification": ("ForTokenClassification", {"id2label": TAGS}),
    "fill-mask": ("ForMaskedLM", {}),
    "feature-extraction": ("Model", {}),
    "zero-shot-classification": ("ForSequenceClassification", {"id2label": {0: "no", 1: "entailment"}}),
    "question-answering": ("ForQuestionAnswering", {}),
}
TEXTS = ["a good [MASK]", "bad [MASK] , i hate it", "[MASK]"]
LONG = "a good movie is not a bad film . i love this life ! very very dull , it was great"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {
        task: make_checkpoint(tmp_path_factory.mktemp("model"), "bert", head, **changes)
        for task, (head, changes) in HEADS.items()
    }


@pytest.fixture(scope="module")
def pipes(folders):
    defaults = {"zero-shot-classification": {"candidate_labels": ["good", "bad"]}}
    return {task: pipeline(task, folder, **defaults.get(task, {})) for task, folder in folders.items()}


@pytest.mark.parametrize("task", [task for task in HEADS if task != "question-answering"])
def test_a_list_gives_what_its_texts_give_and_a_generator_gives_it_lazily(task, pipes):
    pipe, read = pipes[task], []
    one_by_one = [pipe([text, text])[0] for text in TEXTS]
    assert [str(row)[:20] for row in pipe(TEXTS)] == [str(row)[:20] for row in one_by_one]
    answers = pipe(read.append(text) or text for text in TEXTS)
    assert read == [] and next(answers) is not None and len(read) == 1
    assert len(list(answers)) == 2 and pipe([]) == []
    assert [type(row) for row in pipe(TEXTS, batch_size=2)] == [type(row) for row in one_by_one]


@pytest.mark.parametrize("task", HEADS)
def test_what_is_no_text_is_refused_and_so_is_an_unknown_option(task, pipes, folders):
    for wrong in (5, None, b"bad"):
        with pytest.raises(InputTypeError, match="got "):
            pipes[task](wrong)
        with pytest.raises(InputTypeError, match="each input is"):
            pipes[task]([wrong])
    for options, message in (({"devise": 0}, "the options are .*; got devise"), ({"batch_size": 0}, "batch_size must be")):
        with pytest.raises(InputError, match=message):
            pipeline(task, folders[task], **options)


@pytest.mark.parametrize("task, name", [("ner", "Token"), ("fill-mask", "FillMask"), ("question-answering", "Question")])
def test_a_task_is_found_by_its_name_or_by_the_models_class(task, name, folders):
    folder = folders["token-classification" if task == "ner" else task]
    assert type(pipeline(task, folder)).__name__.startswith(name)
    assert type(pipeline(model=folder)) is type(pipeline(task, folder))


@pytest.mark.parametrize(
    "model_type, head, task",
    [
        *(
            (model_type, head, task)
            for model_type in ("bert", "distilbert")
            for task, (head, _) in HEADS.items()
            if "zero" not in task
        ),
        ("bert", "ForPreTraining", "fill-mask"),
    ],
)
def test_the_class_of_a_checkpoint_tells_its_task(model_type, head, task, tmp_path):
    folder = make_checkpoint(tmp_path, model_type, head)
    pipe = pipeline(model=folder)
    assert pipe.task == task
    call = {"question": "a film ?", "context": "it was good"} if task == "question-answering" else {"inputs": TEXTS[0]}
    assert repr(pipe(**call)) == repr(pipeline(task, folder)(**call))
    if head != "ForPreTraining":
        assert pipeline(model=pipe.model, tokenizer=folder).task == task


WORDS = {"is_split_into_words": True}
SPLIT = [
    ("a good movie", WORDS, "with is_split_into_words=True each input is a list of words; got 'a good movie'"),
    ([["a", 5]], WORDS, "each input is a list of words"),
    (["a", 5], WORDS, "each input is a list of words"),
    ([["a"]], {}, "each input is a text; got list"),
    (["a"], {"is_split_into_words": 1}, "is_split_into_words must be True or False; got 1"),
    (["a"], {**WORDS, "delimiter": 5}, "delimiter must be a text; got 5"),
]


@pytest.mark.parametrize("words, options, message", SPLIT, ids=str)
def test_words_told_apart_before_must_be_words(words, options, message, pipes):
    with pytest.raises(InputError, match=message):
        pipes["token-classification"](words, **options)


def test_words_told_apart_before_have_places_in_what_the_delimiter_makes_of_them(pipes):
    pipe, words = pipes["token-classification"], ["bad", "", "goodly", "it"]
    for delimiter in (" ", "", "--"):
        text = delimiter.join(words)
        (tokens,) = pipe(words, **WORDS, delimiter=delimiter, ignore_labels=[])
        assert [text[token["start"] : token["end"]] for token in tokens] == ["bad", "good", "ly", "it"]
        assert [tokens] == pipe([words], **WORDS, delimiter=delimiter, ignore_labels=[])
        assert [tokens] == list(pipe(iter([words]), **WORDS, delimiter=delimiter, ignore_labels=[]))
        assert [tokens] == list(pipe.stream([words], **WORDS, delimiter=delimiter, ignore_labels=[]))
    assert pipe([], **WORDS) == [] and pipe([[]], **WORDS) == [[]]


def test_a_task_without_a_bundled_model_asks_for_one():
    with pytest.raises(InputError, match="no model for token-classification comes with minibert; name one with model="):
        pipeline("ner")


# --- One by one ------------------------------------------------------------------------------------------------------


def test_entities_have_their_places_in_the_original_text(pipes):
    text = "A  GOOD\tMovie!"
    for entity in pipes["token-classification"](text, ignore_labels=[]):
        assert text[entity["start"] : entity["end"]].lower() == entity["word"]


def test_unknown_words_are_shown_as_they_were_written(pipes):
    (entity,) = pipes["token-classification"]("Zürich", ignore_labels=[])
    assert entity["word"] == "Zürich"


TOKEN_OPTIONS = [
    ({"aggregation_strategy": "best"}, "aggregation_strategy is one of none, simple, first, average, max; got 'best'"),
    ({"stride": 3}, "stride joins .*got aggregation_strategy='none'.*Pass aggregation_strategy='simple'"),
    ({"stride": -1, "aggregation_strategy": "max"}, "stride must be a whole number, 0 or more; got -1"),
    ({"stride": 15, "aggregation_strategy": "max"}, "stride must be at most max_length less"),
    ({"ignore_labels": "O"}, "ignore_labels must be a list of labels; got 'O'"),
]


@pytest.mark.parametrize("options, message", TOKEN_OPTIONS, ids=str)
def test_options_of_token_classification_are_judged(options, message, pipes):
    with pytest.raises(InputError, match=message):
        pipes["token-classification"](LONG, **options)


def test_several_masks_give_a_list_each_and_a_list_of_one_text_its_answer(pipes):
    pipe = pipes["fill-mask"]
    first, second = pipe("[MASK] movie [MASK]", top_k=2)
    assert len(first) == len(second) == 2 and set(first[0]) == {"score", "token", "token_str", "sequence"}
    assert pipe(["a [MASK]"]) == pipe("a [MASK]") and len(pipe("a [MASK]")) == 5
    assert [one["token_str"] for one in pipe("a [MASK]", targets=["bad", "bad"])] == ["bad"]


MASK_OPTIONS = [
    ({"top_k": 0}, "top_k must be a whole number, 1 or more; got 0"),
    ({"targets": []}, "targets must be a word or a list of words"),
    ({"targets": 5}, "targets must be a word or a list of words; got 5"),
    ({"targets": " "}, "a target must have a letter or a sign"),
]


@pytest.mark.parametrize("options, message", MASK_OPTIONS, ids=str)
def test_options_of_fill_mask_are_judged(options, message, pipes):
    with pytest.raises(InputError, match=message):
        pipes["fill-mask"]("a [MASK]", **options)
    with pytest.raises(InputError, match=r"each text must have a \[MASK\] to fill; got 'a movie'"):
        pipes["fill-mask"](["a [MASK]", "a movie"])


def test_options_of_features_are_judged(pipes):
    with pytest.raises(InputError, match="return_tensors must be True or False; got 'pt'"):
        pipes["feature-extraction"]("a", return_tensors="pt")


ZERO_SHOT = [
    ({"candidate_labels": []}, "candidate_labels must have a label"),
    ({"candidate_labels": " , "}, "candidate_labels must have a label"),
    ({"candidate_labels": [5]}, "candidate_labels must be a list of labels"),
    ({"hypothesis_template": "it is"}, "hypothesis_template must have one {} where the label goes; got 'it is'"),
    ({"hypothesis_template": "{} {}"}, "hypothesis_template must have one {}"),
    ({"multi_label": "yes"}, "multi_label must be True or False; got 'yes'"),
]


@pytest.mark.parametrize("options, message", ZERO_SHOT, ids=str)
def test_options_of_zero_shot_are_judged(options, message, pipes):
    with pytest.raises(InputError, match=message):
        pipes["zero-shot-classification"]("a movie", **options)


def test_zero_shot_needs_labels_and_a_model_that_knows_entailment(folders):
    with pytest.raises(InputError, match="needs labels; pass candidate_labels="):
        pipeline("zero-shot-classification", folders["zero-shot-classification"])("a movie")
    with pytest.warns(MinibertWarning, match="must begin with 'entail'; it has label_0, label_1"):
        pipeline("zero-shot-classification", folders["text-classification"])


# --- Question answering ----------------------------------------------------------------------------------------------


def test_questions_may_be_asked_in_every_form(pipes):
    pipe = pipes["question-answering"]
    row = {"question": "a film ?", "context": "It was  GOOD."}
    answer = pipe(**row)
    assert set(answer) == {"score", "start", "end", "answer"} and type(answer["score"]) is float
    assert answer["answer"] == row["context"][answer["start"] : answer["end"]]
    assert answer == pipe(row) == pipe([row]) == pipe(row["question"], row["context"]) == next(pipe(iter([row])))
    for contexts in (row["context"], [row["context"]] * 2):
        both = pipe(question=[row["question"]] * 2, context=contexts)
        assert [one["answer"] for one in both] == [answer["answer"]] * 2
    assert len(pipe(**row, top_k=3)) == 3


def test_a_long_context_is_read_to_its_end(pipes):
    answers = pipes["question-answering"](question="what ?", context=LONG, doc_stride=2, top_k=500, max_answer_len=3)
    assert max(answer["end"] for answer in answers) == len(LONG)
    assert len({answer["answer"].lower() for answer in answers}) == len(answers)


def test_a_context_without_a_token_has_no_answer(pipes):
    assert pipes["question-answering"](question="a", context="\x00") == {"score": 0.0, "start": 0, "end": 0, "answer": ""}


QUESTIONS = [
    ({"question": "a"}, "takes a question and a context"),
    ({"question": ["a"], "context": ["b", "c"]}, "a context for each question; got 1 and 2"),
    ({"question": " ", "context": "b"}, "a question must have a word; got ' '"),
    ({"question": "a", "context": ""}, "a context must have a word; got ''"),
    ({"inputs": [{"question": "a"}]}, "each input is a question and a context"),
    ({"question": "a", "context": "b", "top_k": 0}, "top_k must be a whole number, 1 or more; got 0"),
    ({"question": "a", "context": "b", "max_answer_len": 0}, "max_answer_len must be a whole number"),
    ({"question": "a", "context": "b", "doc_stride": -1}, "doc_stride must be a whole number, 0 or more"),
    ({"question": "a", "context": "b", "align_to_words": 1}, "align_to_words must be True or False"),
]


@pytest.mark.parametrize("call, message", QUESTIONS, ids=str)
def test_a_question_that_cannot_be_asked_is_refused(call, message, pipes):
    with pytest.raises(InputError, match=message):
        pipes["question-answering"](**call)


# --- Long texts in text classification -------------------------------------------------------------------------------


def test_windows_are_combined_by_the_mean_of_their_logits_weighted_by_tokens(pipes):
    pipe = pipes["text-classification"]
    words = LONG.split()
    windows = [words[start : start + 14] for start in range(0, len(words) - 4, 10)]  # 16 less [CLS] and [SEP]; 4 shared
    logits = [pipe.model(**pipe.tokenizer([" ".join(window)], return_tensors="np")).logits[0] for window in windows]
    expected = softmax(np.average(logits, axis=0, weights=[len(window) for window in windows]))
    scores = {answer["label"]: answer["score"] for answer in pipe(LONG, stride=4, top_k=None)}
    assert len(windows) == 2 and np.allclose([scores["LABEL_0"], scores["LABEL_1"]], expected, atol=1e-6)


def test_a_text_of_one_window_gives_the_same_with_a_stride_as_without(pipes):
    pipe = pipes["text-classification"]
    assert pipe("a good movie", stride=4) == pipe("a good movie")
    assert [len(row) for row in pipe([LONG, "", "bad"], stride=0, max_length=8, top_k=None)] == [2, 2, 2]
    with pytest.raises(InputError, match="stride reads one long text in windows; got pairs"):
        pipe(("a", "b"), stride=4)
    with pytest.raises(InputError, match="got truncation=False beside it"):
        pipe("a", stride=4, truncation=False)
