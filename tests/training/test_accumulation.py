"""Micro-batches are one batch: each loss of a head, or of several, is the mean over its own labels of all of them."""

import numpy as np
import pytest
from training_batches import model_of
from training_rows import same_tensors

from minibert import Trainer, TrainingArguments, loss_and_gradients
from minibert.training import steps
from minibert.training.lazy_rows import dense

OFF = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
LENGTH, ROWS = 8, 6


def rows_of(name):
    """Six rows, of which some have no label for one of the losses."""
    random = np.random.default_rng(0)
    rows = []
    for index in range(ROWS):
        row = {"input_ids": random.integers(5, 20, LENGTH), "attention_mask": np.ones(LENGTH, int)}
        if name == "BertForPreTraining":
            masked = random.random(LENGTH) < (0.0, 0.9, 0.3, 0.0, 0.0, 0.5)[index]
            row["labels"] = np.where(masked, random.integers(5, 20, LENGTH), -100)
            row["next_sentence_label"] = (0, 1, -100, 1, 1, -100)[index]
        else:
            row["start_positions"] = (1, LENGTH, 3, LENGTH + 2, 0, 5)[index]
            row["end_positions"] = (LENGTH, LENGTH, 4, 5, 1, 6)[index]
        rows.append(row)
    return rows


def step(folder, name, size, rows=None, **changes):
    """One step on all rows, in micro-batches of so many -> its loss, and the weights."""
    rows = rows_of(name) if rows is None else rows
    model = model_of(name, kernels="reference", **OFF, **changes)
    args = TrainingArguments(
        folder,
        max_steps=1,
        per_device_train_batch_size=size,
        gradient_accumulation_steps=ROWS // size,
        learning_rate=1e-3,
        adam_epsilon=1e-3,  # the gradient of a key's bias is 0 but for rounding, which Adam would divide by itself
        save_strategy="no",
        disable_tqdm=True,
        kernels="reference",
    )
    output = Trainer(model, args, train_dataset=rows).train()
    return output.training_loss, model.tensors


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("name", ["BertForPreTraining", "BertForQuestionAnswering"])
def test_each_loss_counts_its_own_labels(tmp_path, name, size, tied):
    whole_loss, whole = step(tmp_path, name, ROWS, tie_word_embeddings=tied)
    loss, weights = step(tmp_path, name, size, tie_word_embeddings=tied)
    assert loss == pytest.approx(whole_loss, rel=1e-5)
    for tensor in whole:
        assert np.abs(whole[tensor] - weights[tensor]).max() < 1e-5, tensor


@pytest.mark.parametrize("name", ["BertForPreTraining", "BertForQuestionAnswering"])
def test_the_loss_of_a_step_is_that_of_the_batch(tmp_path, name):
    rows = rows_of(name)
    batch = {column: np.array([row[column] for row in rows]) for column in rows[0]}
    expected, _ = loss_and_gradients(model_of(name, kernels="reference", **OFF), **batch, kernels="reference")
    assert step(tmp_path, name, 1)[0] == pytest.approx(expected, rel=1e-5)


def test_steps_without_masked_tokens_leave_no_row_of_tied_embeddings_behind(tmp_path, monkeypatch):
    """The decoder reads the whole table in the next step: the same bits as with gradients of whole tables."""

    def weights():
        model = model_of("BertForPreTraining", kernels="reference", **OFF)
        options = {"kernels": "reference", "save_strategy": "no", "disable_tqdm": True, "train_sampling_strategy": "sequential"}
        args = TrainingArguments(tmp_path, num_train_epochs=2, per_device_train_batch_size=1, learning_rate=0.01, **options)
        Trainer(model, args, train_dataset=rows_of("BertForPreTraining")).train()
        return model.tensors

    lazy, compute = weights(), steps.loss_and_row_gradients

    def of_whole_tables(*arguments):
        loss, gradients = compute(*arguments)
        return loss, {name: dense(gradient) for name, gradient in gradients.items()}

    monkeypatch.setattr(steps, "loss_and_row_gradients", of_whole_tables)
    assert same_tensors(lazy, weights())
