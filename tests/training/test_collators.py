"""Collators against transformers': every option, what is kept, and what comes back; and in a Trainer."""

import numpy as np
import pytest
from checkpoints import write_tokenizer
from training_rows import CLASSES, labeled_rows, same_tensors, tiny_model

import minibert
from minibert import (
    AutoTokenizer,
    DataCollatorForLanguageModeling,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    DefaultDataCollator,
    InputError,
    InputTypeError,
    Trainer,
    TrainingArguments,
    default_data_collator,
)

TYPES = [None, "np", "pt"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tokenizer(tmp_path_factory.mktemp("tokenizer"), "bert")


@pytest.fixture
def tokenizer(folder):
    return AutoTokenizer.from_pretrained(folder)


def rows_of(lengths=(5, 3, 7), **columns):
    """Rows as a tokenizer gives them, with these columns of one value each beside."""
    rows = [
        {
            "input_ids": [2, *[5] * (n - 2), 3],
            "token_type_ids": [0] * n,
            "attention_mask": [1] * n,
            "special_tokens_mask": [1] * n,
        }
        for n in lengths
    ]
    return [{**row, **{name: values[index] for name, values in columns.items()}} for index, row in enumerate(rows)]


def same_batches(ours, theirs):
    assert set(ours) == set(theirs)
    for name in theirs:
        if isinstance(theirs[name], list):
            assert ours[name] == theirs[name], name
        else:
            assert type(ours[name]) is type(theirs[name]) and ours[name].dtype == theirs[name].dtype, name
            assert ours[name].tolist() == theirs[name].tolist(), name


EXTRA = {"idx": [7, 8, 9], "weight": [0.5, 1.5, 2.0], "label": [1, 0, 1]}
OPTIONS = {
    "the longest": {},
    "by its name": {"padding": "longest"},
    "a multiple": {"pad_to_multiple_of": 8},
    "max_length": {"padding": "max_length", "max_length": 12},
    "max_length up to a multiple": {"padding": "max_length", "max_length": 12, "pad_to_multiple_of": 8},
    "max_length of the tokenizer": {"padding": "max_length"},
    "a max_length, and padding to the longest row": {"max_length": 4},
}


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore:.*max_length.* is ignored")
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("tensor_type", TYPES)
@pytest.mark.parametrize("case", OPTIONS)
def test_rows_are_padded_and_columns_kept_as_by_transformers(folder, tokenizer, case, tensor_type, side):
    transformers = pytest.importorskip("transformers")
    reference = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.padding_side = reference.padding_side = side
    tokenizer.model_max_length = reference.model_max_length = 16
    options = {**OPTIONS[case], "return_tensors": tensor_type}
    theirs = transformers.DataCollatorWithPadding(reference, **options)(rows_of(**EXTRA))
    same_batches(DataCollatorWithPadding(tokenizer, **options)(rows_of(**EXTRA)), dict(theirs))
    arrays = [{name: np.array(value) for name, value in row.items()} for row in rows_of(**EXTRA)]
    batch = DataCollatorWithPadding(tokenizer, **options)(arrays)
    assert np.array_equal(batch["input_ids"], np.asarray(theirs["input_ids"]))


@pytest.mark.parity
@pytest.mark.parametrize("tensor_type", TYPES)
def test_without_padding_rows_must_have_one_length(folder, tokenizer, tensor_type):
    transformers = pytest.importorskip("transformers")
    options = {"padding": False, "return_tensors": tensor_type}
    reference = transformers.DataCollatorWithPadding(transformers.AutoTokenizer.from_pretrained(folder), **options)
    collator = DataCollatorWithPadding(tokenizer, **options)
    for lengths in ((4, 4, 4), (5, 3, 7)):
        rows = rows_of(lengths, **EXTRA)
        if tensor_type is not None and lengths == (5, 3, 7):
            if tensor_type == "pt":  # NumPy gets an array of lists there
                with pytest.raises(ValueError):
                    reference(rows)
            with pytest.raises(InputError, match=r"with padding=False .* one length; got 3 to 7 tokens. Pass padding=True"):
                collator(rows)
        else:
            same_batches(collator(rows), dict(reference(rows)))


@pytest.mark.parity
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("tensor_type", TYPES[1:])
@pytest.mark.parametrize("options", [{}, {"pad_to_multiple_of": 8}, {"label_pad_token_id": -1}])
def test_labels_of_tokens_are_padded_as_by_transformers(folder, tokenizer, tensor_type, side, options):
    transformers = pytest.importorskip("transformers")
    reference = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.padding_side = reference.padding_side = side
    options = {**options, "return_tensors": tensor_type}
    for lengths in ((5, 3, 7), (5, 2, 1)):
        rows = rows_of(labels=[[1] * count for count in lengths], idx=[1, 2, 3])
        theirs = transformers.DataCollatorForTokenClassification(reference, **options)(rows)
        same_batches(DataCollatorForTokenClassification(tokenizer, **options)(rows), dict(theirs))
    bare = rows_of()
    theirs = transformers.DataCollatorForTokenClassification(reference, **options)(bare)
    same_batches(DataCollatorForTokenClassification(tokenizer, **options)(bare), dict(theirs))
    assert isinstance(DataCollatorForTokenClassification(tokenizer)(rows, "np")["labels"], np.ndarray)


@pytest.mark.parity
@pytest.mark.parametrize("tensor_type", TYPES[1:])
def test_rows_of_one_length_are_put_together_as_by_transformers(tensor_type):
    transformers = pytest.importorskip("transformers")
    text = {"sentence": ["a", "b", "c"], "nothing": [None] * 3}
    for label in ({"label": [1, 0, 1]}, {"label": [0.5, 1.5, 2.5]}, {"label_ids": [[1, 2], [3, 4], [5, 6]]}, {}):
        rows = rows_of((4, 4, 4), weight=[0.5, 1.5, 2.0], **label, **text)
        theirs = transformers.default_data_collator(rows, tensor_type)
        same_batches(default_data_collator(rows, tensor_type), theirs)
        same_batches(DefaultDataCollator(tensor_type)(rows), theirs)
        same_batches(DefaultDataCollator()(rows, tensor_type), theirs)


@pytest.mark.parametrize("tensor_type", TYPES)
def test_masked_words_come_as_asked_for(tokenizer, tensor_type):
    rows = rows_of(idx=[1, 2, 3])
    collator = DataCollatorForLanguageModeling(tokenizer, pad_to_multiple_of=8, return_tensors=tensor_type, seed=1)
    batch, again = collator(rows), DataCollatorForLanguageModeling(tokenizer, pad_to_multiple_of=8, seed=1)(rows)
    assert set(batch) == {"input_ids", "token_type_ids", "attention_mask", "labels", "idx"}
    assert np.array_equal(np.asarray(batch["labels"]), again["labels"]) and again["labels"].shape == (3, 8)
    assert type(batch["labels"]).__name__ == {None: "list", "np": "ndarray", "pt": "Tensor"}[tensor_type]
    assert (again["labels"] == -100).all()  # of rows that say that all of their tokens are special
    several = [{"input_ids": [2, *[7] * 200, 3]} for _ in range(20)]
    batch = DataCollatorForLanguageModeling(
        tokenizer, mlm_probability=0.5, mask_replace_prob=0.2, random_replace_prob=0, seed=1
    )(several)
    chosen = batch["labels"] != -100
    assert 0.15 < (batch["input_ids"][chosen] == tokenizer.mask_token_id).mean() < 0.25
    assert set(np.unique(batch["input_ids"][chosen])) == {tokenizer.mask_token_id, 7}


def test_a_max_length_that_is_not_asked_for_is_a_warning(tokenizer):
    with pytest.warns(minibert.MinibertWarning, match="max_length=4 is ignored, as in transformers"):
        DataCollatorWithPadding(tokenizer, max_length=4)


MISTAKES = {
    "another framework": (DataCollatorWithPadding, {"return_tensors": "tf"}, "return_tensors must be 'np', 'pt'; got 'tf'"),
    "another padding": (DataCollatorWithPadding, {"padding": "long"}, "padding must be one of True, .*; got 'long'"),
    "no padding": (DataCollatorForTokenClassification, {"padding": None}, "padding must be one of .*; got None"),
    "a length of text": (DataCollatorWithPadding, {"max_length": "8"}, "max_length must be an integer from 0 up; got '8'"),
    "a multiple of 0": (DataCollatorForLanguageModeling, {"pad_to_multiple_of": 0}, "must be an integer from 1 up; got 0"),
    "words": (DataCollatorForLanguageModeling, {"whole_word_mask": True}, "whole_word_mask must be False; got True"),
    "more than all": (DataCollatorForLanguageModeling, {"mask_replace_prob": 0.95}, "at most 1 together; got 0.95 and 0.1"),
    "a label of text": (
        DataCollatorForTokenClassification,
        {"label_pad_token_id": "x"},
        "label_pad_token_id must be an integer",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_option_is_an_error_at_once(tokenizer, mistake):
    collator, options, message = MISTAKES[mistake]
    with pytest.raises(InputError, match=message):
        collator(tokenizer, **options)


def test_rows_that_make_no_array_are_errors(tokenizer):
    collator = DataCollatorWithPadding(tokenizer)
    with pytest.raises(InputError, match="tags is not padded: it must have one length in all rows"):
        collator(rows_of((3, 4), tags=[[1], [1, 2]]))
    with pytest.raises(InputError, match="sentence must be numbers"):
        collator(rows_of((3, 4), sentence=["a", "b"]))
    with pytest.raises(InputError, match=r"padded to max_length=4; got one of 7 tokens. Tokenize with truncation=True"):
        DataCollatorWithPadding(tokenizer, "max_length", 4)(rows_of())
    with pytest.raises(InputError, match="labels must be no longer than the tokens of its row; got 9 for 7 tokens"):
        DataCollatorForTokenClassification(tokenizer)(rows_of(labels=[[0] * 9] * 3))
    with pytest.raises(InputError, match="input_ids must be numbers, as many in each row.*DataCollatorWithPadding pads"):
        default_data_collator(rows_of())
    with pytest.raises(InputError, match="one has no 'idx'"):
        default_data_collator([{"idx": 1}, {}])
    with pytest.raises(InputTypeError, match="features must be a list of rows"):
        default_data_collator([])


# --- In a Trainer ----------------------------------------------------------------------------------------------------


def trained(folder, collator, rows=None, head="ForSequenceClassification"):
    args = TrainingArguments(folder, max_steps=3, save_strategy="no", disable_tqdm=True, learning_rate=1e-2)
    trainer = Trainer(tiny_model(head=head), args, data_collator=collator, train_dataset=rows or labeled_rows())
    trainer.train()
    return trainer.model.tensors


def test_a_trainer_takes_every_form_of_a_batch_to_the_same_bits(tmp_path, tokenizer):
    expected = trained(tmp_path, None)
    for options in (*({"return_tensors": one} for one in TYPES), {"padding": "max_length", "max_length": 30}):
        assert same_tensors(trained(tmp_path, DataCollatorWithPadding(tokenizer, **options)), expected)
    for kind in ("np", "pt"):
        same_length = [{**row, "input_ids": row["input_ids"][:4]} for row in labeled_rows()]
        assert same_tensors(
            trained(tmp_path, DefaultDataCollator(kind), same_length), trained(tmp_path, default_data_collator, same_length)
        )


def test_a_trainer_takes_labels_of_tokens_in_every_form(tmp_path, tokenizer):
    rows = [{"input_ids": row["input_ids"], "labels": [one % CLASSES for one in row["input_ids"]]} for row in labeled_rows()]
    expected = trained(tmp_path, None, rows, "ForTokenClassification")
    for options in ({}, {"return_tensors": "pt"}, {"pad_to_multiple_of": 16}):
        for collator in (DataCollatorWithPadding, DataCollatorForTokenClassification):
            collator = collator(tokenizer, **options)
            assert same_tensors(trained(tmp_path, collator, rows, "ForTokenClassification"), expected)


def test_masks_in_a_trainer_do_not_depend_on_the_form(tmp_path, tokenizer):
    expected = trained(tmp_path, DataCollatorForLanguageModeling(tokenizer), head="ForMaskedLM")
    collator = DataCollatorForLanguageModeling(tokenizer, pad_to_multiple_of=16, return_tensors="pt")
    assert set(trained(tmp_path, collator, head="ForMaskedLM")) == set(expected)


def test_a_subclass_of_a_collator_is_called_or_refused(tmp_path, tokenizer):
    calls = []

    class Mine(DataCollatorForLanguageModeling):
        def __call__(self, features):
            calls.append(len(features))
            return super().__call__(features)

    trained(tmp_path, Mine(tokenizer, seed=1), head="ForMaskedLM")
    assert calls == [8, 8, 8]
    for name in ("torch_call", "numpy_call", "torch_mask_tokens", "numpy_mask_tokens"):
        mine = type("Mine", (DataCollatorForLanguageModeling,), {name: lambda self, *arguments: None})
        with pytest.raises(InputError, match=f"Mine has {name}, of transformers', never called here. Define __call__"):
            mine(tokenizer)


# --- Several data sets to evaluate on --------------------------------------------------------------------------------


def trainer_with(folder, eval_dataset, **options):
    args = TrainingArguments(
        folder, max_steps=4, eval_strategy="steps", eval_steps=2, save_steps=2, disable_tqdm=True, **options
    )
    seen = []

    def metrics(prediction):
        assert isinstance(prediction, minibert.EvalPrediction)
        seen.append(len(prediction.label_ids))
        return {"rows": len(prediction.label_ids)}

    trainer = Trainer(tiny_model(), args, train_dataset=labeled_rows(), eval_dataset=eval_dataset, compute_metrics=metrics)
    trainer.seen = seen
    return trainer


def test_a_dictionary_of_data_sets_is_evaluated_one_by_one(tmp_path):
    few, many = labeled_rows(4), labeled_rows(9)
    columns = {name: [row[name] for row in many] for name in many[0]}
    for datasets in ({"a": few, "b": many}, {"a": few, "b": columns}, {"a": tuple(few), "b": many}):
        trainer = trainer_with(tmp_path / "x", datasets)
        metrics = trainer.evaluate()
        assert trainer.seen == [4, 9] and metrics["eval_a_rows"] == 4 and metrics["eval_b_rows"] == 9
        assert {"eval_a_loss", "eval_b_loss", "eval_a_runtime", "epoch"} <= set(metrics) and "eval_loss" not in metrics
        assert "test_a_loss" in trainer.evaluate(datasets, metric_key_prefix="test")
    for one in (many, columns):
        metrics = trainer_with(tmp_path / "x", one).evaluate()
        assert metrics["eval_rows"] == 9
    assert metrics["eval_loss"] == trainer.evaluate()["eval_b_loss"]


def test_the_best_is_that_of_one_of_them_and_a_resumed_training_has_the_same_log(tmp_path):
    datasets = {"a": labeled_rows(4), "b": labeled_rows(9)}
    options = {"metric_for_best_model": "b_loss", "load_best_model_at_end": True}
    trainer = trainer_with(tmp_path, datasets, **options)
    trainer.add_callback(minibert.EarlyStoppingCallback(9))
    trainer.train()
    assert trainer.state.best_metric == min(
        entry["eval_b_loss"] for entry in trainer.state.log_history if "eval_b_loss" in entry
    )
    again = trainer_with(tmp_path, datasets, **options)
    again.add_callback(minibert.EarlyStoppingCallback(9))
    again.train(resume_from_checkpoint=tmp_path / "checkpoint-2")
    assert again.state.log_history == trainer.state.log_history
    with pytest.raises(InputError, match="eval_dataset was"):
        trainer_with(tmp_path, {"a": labeled_rows(4)}, **options).train(resume_from_checkpoint=tmp_path / "checkpoint-2")
    with pytest.raises(InputError, match="metric_for_best_model must be one of eval_a_loss, .*; got 'loss'"):
        trainer_with(tmp_path / "other", datasets, metric_for_best_model="loss").train()
    with pytest.raises(InputError, match=r"eval_dataset\['b'\] must have a row; got none"):
        trainer_with(tmp_path, {"a": labeled_rows(4), "b": []})
