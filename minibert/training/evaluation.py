"""A model over a data set: its predictions, the labels beside them, and the mean loss. Next: `metrics.py`, then `trainer.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError
from ..models.base import PreTrainedModel
from ..models.labels import IGNORED
from ..models.losses import LossOptions, head_loss
from .data import Rows, label_counts, load_batch, split

EVALUATION = 1  # of the keys of random draws; those of training steps have 0 there


class EvalPrediction(NamedTuple):
    """What `compute_metrics` gets: logits and labels of all rows, a tuple of arrays each if there are several. Those of tokens
    are padded with −100 to the longest row."""

    predictions: Any
    label_ids: Any


class PredictionOutput(NamedTuple):
    predictions: Any
    label_ids: Any  # None if the data has no labels
    metrics: dict[str, float] | None


class Evaluation(NamedTuple):
    predictions: Any  # None if only the loss is wanted
    label_ids: Any
    loss: float | None


def evaluate_rows(
    model: PreTrainedModel,
    rows: Rows,
    collator: Callable,
    batch_size: int,
    options: LossOptions,
    seed: int = 0,
    loss_only: bool = False,
    on_batch: Callable[[], None] = lambda: None,
) -> Evaluation:
    """The loss is the mean of the batches', each weighted by its rows, as transformers' is; None without labels."""
    heads = model.loss_heads(model.config)
    fields = [field for head in heads for field in head.outputs]
    names = [name for head in heads for name in head.labels]
    outputs: list[list[np.ndarray]] = [[] for _ in fields]
    labels: list[list[np.ndarray]] = [[] for _ in names]
    total, counted = 0.0, 0
    for index, indices in enumerate(split(np.arange(len(rows)), batch_size, drop_last=False)):
        inputs, batch_labels = load_batch(rows, indices, collator, names, (seed, EVALUATION, index))
        output = model(**inputs)
        if batch_labels and all(label_counts(batch_labels, None, inputs).values()):  # else one of its losses is of no label
            mask = inputs.get("attention_mask")
            total += head_loss(model, output, batch_labels, mask, options) * len(indices)
            counted += len(indices)
        on_batch()
        if loss_only:
            continue
        for column, field in zip(outputs, fields):
            column.append(output[field])
        for column, name in zip(labels, names):
            column.extend([batch_labels[name]] if name in batch_labels else [])
    loss = total / counted if counted else None
    if loss_only:
        return Evaluation(None, None, loss)
    return Evaluation(joined(outputs), joined(labels) if all(labels) else None, loss)


def joined(columns: list[list[np.ndarray]]) -> Any:
    """The batches of each column one below the other; one array if there is one column, else a tuple."""
    arrays = tuple(concatenate(column) for column in columns)
    return arrays[0] if len(arrays) == 1 else arrays


def concatenate(batches: list[np.ndarray]) -> np.ndarray:
    if batches[0].ndim < 2 or len({batch.shape[1:] for batch in batches}) == 1:
        return np.concatenate(batches)
    longest = max(batch.shape[1] for batch in batches)
    widths = [[(0, 0), (0, longest - batch.shape[1]), *[(0, 0)] * (batch.ndim - 2)] for batch in batches]
    return np.concatenate([np.pad(batch, width, constant_values=IGNORED) for batch, width in zip(batches, widths)])


def check_metrics(metrics: Any) -> dict[str, float]:
    """What `compute_metrics` returned -> numbers by name."""
    try:
        return {str(name): float(value) for name, value in metrics.items()}
    except (AttributeError, TypeError, ValueError):
        raise InputError(f"compute_metrics must return a dictionary of names and numbers; got {metrics!r:.200}.") from None
