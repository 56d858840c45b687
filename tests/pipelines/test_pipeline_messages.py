"""What a pipeline refuses, and whether the error names the remedy in the task's own words."""

import numpy as np
import pytest
from checkpoints import make_checkpoint, rewrite_config, small_model
from pipeline_calls import CALLS, HEADS, LONG

import minibert
from minibert import InputError, InputTypeError, MinibertWarning, pipeline

# --- Messages --------------------------------------------------------------------------------------------------------

TOO_LONG = {
    "text-classification": ({}, r"may have 16 tokens, .*; got 32. Cut it with pipe\(..., truncation=True\)"),
    "feature-extraction": ({}, r"got 32. Cut it with pipe\(..., truncation=True\)"),
    "fill-mask": ({}, r"got 32. Cut it with pipe\(..., truncation=True\)"),
    "token-classification": ({"max_length": 20}, "got 20. Pass max_length=16 or less"),
    "zero-shot-classification": ({"max_length": 20}, "got 20. Pass max_length=16 or less"),
    "question-answering": ({"max_seq_len": 20}, "got 20. Pass max_seq_len=16 or less"),
}


@pytest.mark.parametrize("task", HEADS)
def test_a_text_that_is_too_long_is_explained_in_the_tasks_own_words(task, ours):
    options, message = TOO_LONG[task]
    call = dict(CALLS.get(task, {"inputs": ""}))
    name = "context" if "context" in call else next(iter(call))
    call[name] = LONG if task != "fill-mask" else f"[MASK] {'good ' * 29}"
    with pytest.raises(InputError, match=message):
        ours(task)(**call, **options)
    if not options:
        assert ours(task)(**call, truncation=True)


def test_a_loaded_tokenizer_without_a_limit_cuts_to_the_models(folders):
    for task, option in (("text-classification", {"truncation": True}), ("token-classification", {})):
        tokenizer = minibert.BertTokenizer(folders[task] / "vocab.txt")
        model = pipeline(task, folders[task]).model
        with pytest.warns(MinibertWarning, match="cut to 16 tokens") if not option else np.errstate():
            assert pipeline(task, model, tokenizer)(LONG, **option)


ROOMS = [{"max_seq_len": 2}, {"max_seq_len": 5, "doc_stride": 1}, {"doc_stride": 12}, {"doc_stride": 99}]


@pytest.mark.parametrize("options", ROOMS, ids=str)
def test_question_answering_names_only_options_that_it_takes(options, ours):
    pipe = ours("question-answering")
    with pytest.raises(InputError) as error:
        pipe(question="what is bad ?", context=LONG, **options)
    message = str(error.value)
    assert any(name in message for name in options)
    for name in ("max_length", "truncation", "add_special_tokens", "return_overflowing_tokens", " stride", "padding"):
        assert name not in message


def test_options_that_leave_no_room_are_named_as_the_task_has_them(ours):
    with pytest.raises(InputError, match="max_length must be a whole number, 2 or more; got 1"):
        ours("token-classification")("a", max_length=1)
    with pytest.raises(InputError, match="max_length must leave room for a text beside 3 special tokens and a label in its"):
        ours("zero-shot-classification")(LONG, ["a"], max_length=5)


@pytest.mark.parity
def test_a_model_or_tokenizer_of_another_library_is_named_with_its_module(folders):
    transformers = pytest.importorskip("transformers")
    folder = folders["text-classification"]
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    for task in ("text-classification", None):
        with pytest.raises(InputTypeError, match=r"got transformers\.models\.bert\..*Classification, of another"):
            pipeline(task, model, folder)
    with pytest.raises(InputTypeError, match=r"tokenizer is a name, .*; got transformers\..*Tokenizer\w*, of another"):
        pipeline("text-classification", folder, tokenizer)


# --- What a checkpoint was trained for -------------------------------------------------------------------------------

TRAINED = [
    ("ForSequenceClassification", "ner", "trained for text-classification, for its config.json names {}. Pass the task"),
    ("ForSequenceClassification", "question-answering", "trained for text-classification"),
    ("ForSequenceClassification", "fill-mask", "trained for text-classification"),
    ("ForTokenClassification", "sentiment-analysis", "trained for token-classification, .* Pass the task 'token"),
    ("ForTokenClassification", "zero-shot-classification", "trained for token-classification"),
    ("ForTokenClassification", "question-answering", "trained for token-classification"),
    ("ForQuestionAnswering", "ner", "trained for question-answering"),
    ("ForQuestionAnswering", "text-classification", "trained for question-answering"),
    ("ForMultipleChoice", "text-classification", "trained for multiple choice, .* Pass a model for text-classification"),
]


@pytest.mark.parametrize("architecture", ["bert", "distilbert"])
@pytest.mark.parametrize("head, task, message", TRAINED)
def test_a_model_that_was_trained_for_another_task_is_refused_with_its_name(architecture, head, task, message, tmp_path):
    name = ("Bert" if architecture == "bert" else "DistilBert") + head
    with pytest.raises(InputError, match=message.format(name)):
        pipeline(task, make_checkpoint(tmp_path, architecture, head))


def test_next_sentences_are_no_task_here(tmp_path):
    folder = make_checkpoint(tmp_path, "bert", "ForNextSentencePrediction")
    with pytest.raises(InputError, match="trained for next sentence prediction"):
        pipeline("text-classification", folder)


@pytest.mark.parametrize("head", ["Model", "ForMaskedLM", "ForPreTraining"])
def test_a_pretrained_model_is_what_every_task_begins_from_with_a_warning(head, tmp_path):
    folder = make_checkpoint(tmp_path, "bert", head)
    with pytest.warns(MinibertWarning, match="was not trained to classify"):
        pipeline("text-classification", folder)


@pytest.mark.parametrize("task", HEADS)
def test_features_come_from_every_model_and_a_configuration_that_names_no_model_is_believed(task, folders, tmp_path):
    assert pipeline("feature-extraction", folders[task])("a movie")
    head, changes = HEADS[task]
    folder = make_checkpoint(tmp_path, "bert", head, **changes)
    for architectures in (None, [], ["MyModel"]):
        rewrite_config(folder, architectures=architectures)
        assert pipeline(task, folder).task == task


def test_a_pipelines_class_checks_its_parts_too(folders):
    from minibert.pipelines.text_classification import TextClassificationPipeline

    tokenizer = minibert.AutoTokenizer.from_pretrained(folders["text-classification"])
    for model in (None, 5, np.zeros(3), small_model("bert", "Model")):
        with pytest.raises(InputTypeError, match="text-classification wants a model's name, or one of class"):
            TextClassificationPipeline(model, tokenizer)
    for wrong in (None, str, print):
        with pytest.raises(InputTypeError, match="tokenizer is a name, a folder or a loaded one; got"):
            TextClassificationPipeline(small_model("bert"), wrong)


ALWAYS = {  # what a task does with a text that is too long, and the words in which it refuses another way
    "zero-shot-classification": ("only_first", "A text that is too long is cut, the label never: leave it out."),
    "token-classification": (
        "longest_first",
        "A text that is too long is cut, or with stride=... read in windows: leave it out.",
    ),
    "question-answering": ("only_second", "A context that is too long is read in windows: leave it out."),
}


@pytest.mark.parametrize("task", ALWAYS)
def test_options_that_say_what_a_task_does_anyway_do_nothing(task, ours, folders):
    strategy, reason = ALWAYS[task]
    call, pipe = CALLS.get(task, {"inputs": "a good movie"}), ours(task)
    expected = pipe(**call)
    for padding in (True, False, None, "longest", "max_length", "do_not_pad"):
        for truncation in (True, None, strategy):
            assert pipe(**call, padding=padding, truncation=truncation) == expected
            assert pipeline(task, folders[task], padding=padding, truncation=truncation)(**call) == expected
    for truncation in (False, "do_not_truncate", 1):
        with pytest.raises(InputError, match=f"^truncation must be True or '{strategy}'; got .*") as error:
            pipe(**call, truncation=truncation)
        assert str(error.value).endswith(reason)
    with pytest.raises(InputError, match="^padding must be True, False, 'longest', 'max_length' or 'do_not_pad'; got 'left'"):
        pipe(**call, padding="left")


@pytest.mark.parametrize("task", HEADS)
def test_no_option_that_does_nothing_is_proposed(task, ours):
    call, pipe = CALLS.get(task, {"inputs": "a good movie"}), ours(task)
    if task == "token-classification":
        assert pipe(**call, offset_mapping=None) == pipe(**call)
        with pytest.raises(InputError, match="offset_mapping must be None; got .*Offsets are the tokenizer's own"):
            pipe(**call, offset_mapping=[(0, 1)])
    else:
        with pytest.raises(InputTypeError, match="got offset_mapping[.]$"):
            pipe(**call, offset_mapping=None)
    if task != "feature-extraction":
        with pytest.raises(InputTypeError, match="got return_tensors. .* for tensors call the model"):
            pipe(**call, return_tensors="pt")
    with pytest.raises(InputTypeError, match="got batch_siz. Did you mean 'batch_size'"):
        pipe(**call, batch_siz=2)


@pytest.mark.parametrize("task", HEADS)
def test_a_call_has_its_inputs_and_no_more(task, ours):
    pipe = ours(task)
    for call in (pipe, pipe.stream, pipe.predict, pipe.transform):
        for arguments in ((), ("a", "b", "c", "d")):
            with pytest.raises(InputTypeError):
                call(*arguments)
    rows = [{"question": "what ?", "context": "a good movie"}] if task == "question-answering" else ["a [MASK] movie"]
    options = {"candidate_labels": ["a", "b"]} if task == "zero-shot-classification" else {}
    assert pipe.predict(rows, **options) == pipe.transform(rows, **options) == pipe(rows, **options)
    for step in ("preprocess", "forward", "postprocess"):
        with pytest.raises(AttributeError, match=f"has no '{step}'. Its steps are those of tokenizer and model"):
            getattr(pipe, step)
    with pytest.raises(AttributeError, match="Pipeline has no 'no_such_name'[.]$"):
        pipe.no_such_name


@pytest.mark.parametrize("task", ["text-classification", "token-classification", "zero-shot-classification"])
def test_labels_that_are_fewer_than_the_model_s_are_refused_when_they_are_needed(task, folders):
    pipe, call = pipeline(task, folders[task]), CALLS.get(task, {"inputs": "a good movie"})
    names = pipe.model.config.id2label
    pipe.model.config.id2label = {0: "x", 1: "y"}
    for answer in (lambda: pipe(**call), lambda: pipe(**call, batch_size=2)):
        with pytest.raises(InputError, match="config.id2label must name the model's 3 labels; got {0: 'x', 1: 'y'}. Set all"):
            answer()
    if task != "zero-shot-classification":
        with pytest.raises(InputError, match="config.id2label must name the model's 3 labels"):
            minibert.explain(pipe, "a good movie")
    pipe.model.config.id2label = names
    pipe(**call)


# --- The settings of the process -------------------------------------------------------------------------------------


def test_threads_are_counted_by_integers_of_numpy_too_and_within_reason():
    before = minibert.get_num_threads()
    try:
        minibert.set_num_threads(np.int64(2))
        assert minibert.get_num_threads() == 2 and type(minibert.get_num_threads()) is int
        for wrong in (0, -1, 10**30, 10**5000):
            with pytest.raises(InputError, match="the number of threads must be from 1 to 256"):
                minibert.set_num_threads(wrong)
        for wrong in (None, 2.0, True, np.array([1, 2]), "2"):
            with pytest.raises(InputTypeError, match="the number of threads must be an integer"):
                minibert.set_num_threads(wrong)
    finally:
        minibert.set_num_threads(before)


@pytest.mark.parametrize("name", ["warm_up", "set_num_threads", "free_buffers"])
def test_an_unknown_keyword_of_a_function_is_an_input_type_error(name):
    with pytest.raises(InputTypeError, match="no_such_option"):
        getattr(minibert, name)(**{"count": 1} if name == "set_num_threads" else {}, no_such_option=1)


@pytest.mark.parametrize("kernels", [None, [], 5, 10**5000, {"linear": []}, {5: "naive"}, {"linear": None}], ids=range(7))
def test_kernels_that_are_none_are_a_kernel_error(kernels, folders):
    for call in (lambda: minibert.warm_up(kernels), lambda: pipeline(model=folders["fill-mask"], kernels=kernels)):
        with pytest.raises(minibert.KernelError):
            call()
