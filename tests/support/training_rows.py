"""Data sets and trainings of tiny models, for tests: rows at random that a model can learn."""

import numpy as np
from checkpoints import WORDS, small_model

from minibert import Trainer, TrainingArguments

CLASSES = 3


def labeled_rows(count=24, seed=0, label="label"):
    """Rows of token ids; the class is that of the first word."""
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        ids = random.integers(5, len(WORDS), random.integers(3, 12))
        rows.append({"input_ids": [2, *map(int, ids), 3], label: int(ids[0]) % CLASSES})
    return rows


def tiny_model(model_type="distilbert", head="ForSequenceClassification", seed=0, **changes):
    return small_model(model_type, head, seed=seed, kernels="reference", **{"num_labels": CLASSES, **changes})


def accuracy_of(prediction):
    logits, labels = prediction
    return {"accuracy": float((logits.argmax(axis=-1) == labels).mean())}


def trainer_of(folder, model=None, rows=None, callbacks=None, eval_rows=None, **options):
    """A Trainer of a tiny model: two epochs of six steps, silent."""
    options = {"learning_rate": 1e-2, "num_train_epochs": 2, "per_device_train_batch_size": 4, "disable_tqdm": True, **options}
    rows = labeled_rows() if rows is None else rows
    return Trainer(
        tiny_model() if model is None else model,
        TrainingArguments(folder, **options),
        train_dataset=rows,
        eval_dataset=rows[:8] if eval_rows is None else eval_rows,
        compute_metrics=accuracy_of,
        callbacks=callbacks,
    )


def trained(folder, **options):
    """-> the trained weights, by name."""
    trainer = trainer_of(folder, **{"save_strategy": "no", **options})
    trainer.train()
    return trainer.model.tensors


def same_tensors(one, other):
    return set(one) == set(other) and all(np.array_equal(one[name], other[name]) for name in one)
