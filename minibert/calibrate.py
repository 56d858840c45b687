"""A classifier whose scores are as often right as they say: `minibert calibrate MODEL FOLDER --rows FILE`.

All logits are divided by one temperature, that under which labels of rows the model has not seen are most likely: softmax(z / T)
(Guo et al., 2017). The head's last layer is divided by it, and nothing else changes. So every label stays, and a model
that was too sure of itself (T > 1) is less so.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

from . import hub
from .errors import InputError, short_repr, strict_arguments
from .files import as_folder, check_apart
from .kernels.reference import softmax
from .pipelines import pipeline
from .training.tasks import label_name, number_of

TEMPERATURES = np.geomspace(0.05, 20, 1201)  # steps of half a percent
BINS = 10


class Calibration(NamedTuple):
    """The temperature, and the expected calibration error on the same rows before and after."""

    temperature: float
    error_before: float
    error_after: float


@strict_arguments
def calibrate(
    name: str | PathLike,
    folder: str | PathLike,
    texts: Sequence[Any],
    labels: Sequence[str | int],
    *,
    revision: str | None = None,
    cache_dir: str | PathLike | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
) -> Calibration:
    """A classifier, texts (or pairs) it has not seen and their labels -> the same classifier in `folder`, calibrated: an int8
    checkpoint of one, else of floats. It may not be the folder of the model itself. The other arguments are those of
    `from_pretrained`."""
    folder = as_folder(folder)
    location: dict[str, Any] = {"revision": revision, "cache_dir": cache_dir, "token": token}
    location["local_files_only"] = local_files_only
    check_apart(hub.locate(name, **location).folder, folder)
    options: dict[str, Any] = {"top_k": None, "function_to_apply": "none", "truncation": True}
    pipe = pipeline("text-classification", name, **location, **options)
    model, config = pipe.model, pipe.model.config
    if config.problem_type in ("regression", "multi_label_classification") or config.num_labels < 2:
        raise InputError(f"only classes of which a text has one have scores to calibrate; {short_repr(name)} has others.")
    truth = label_numbers(labels, list(map(str, config.id2label.values())), len(texts))
    logits = all_logits(pipe, texts)
    temperature = fit_temperature(logits, truth)
    errors = [calibration_error(softmax(logits / scale), truth) for scale in (1.0, temperature)]
    last = model.loss_heads(config)[0].layers[-1]
    scaled = {tensor: model.tensors[tensor] / np.float32(temperature) for tensor in (last.weight, last.bias)}
    model.with_tensors({**model.tensors, **scaled}).save_pretrained(folder)
    pipe.tokenizer.save_pretrained(folder)
    return Calibration(temperature, *errors)


def label_numbers(labels: Sequence[str | int], names: list[str], count: int) -> np.ndarray:
    if len(labels) != count or not count:
        raise InputError(f"calibration needs a label for each text, and one text at least; got {len(labels)} for {count}.")
    if bad := [label for label in labels if isinstance(label, bool) or not isinstance(label, (str, int))]:
        raise InputError(f"a label must be a name or a number; got {short_repr(bad[0])}.")
    return np.array([number_of(label_name(label), names) for label in labels])


def all_logits(pipe: Any, texts: Sequence[Any]) -> np.ndarray:
    """Texts -> logits (B, labels)."""
    columns = {label: column for column, label in enumerate(pipe.model.config.id2label.values())}
    logits = np.empty((len(texts), len(columns)))
    for row, answers in enumerate(pipe.stream(texts)):
        for answer in answers:
            logits[row, columns[answer["label"]]] = answer["score"]
    return logits


def fit_temperature(logits: np.ndarray, truth: np.ndarray) -> float:
    """logits (B, C), truth (B,) -> the temperature under which the labels are most likely, of a fine grid."""
    of_truth = logits[np.arange(len(truth)), truth]
    losses = []
    for temperature in TEMPERATURES:
        scaled = logits / temperature
        largest = scaled.max(axis=1)
        log_sums = largest + np.log(np.exp(scaled - largest[:, None]).sum(axis=1))
        losses.append((log_sums - of_truth / temperature).mean())
    return float(TEMPERATURES[np.argmin(losses)])


def calibration_error(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """probabilities (B, C), truth (B,) -> the expected calibration error: how far the best label's mean score is from how
    often that label is right, in ten bins of equal count by that score."""
    scores = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == truth
    bins = np.array_split(np.argsort(scores, kind="stable"), BINS)
    return float(sum(abs(scores[rows].sum() - right[rows].sum()) for rows in bins) / len(truth))
