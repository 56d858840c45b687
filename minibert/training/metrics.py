"""Metrics of predictions against labels, from their definitions, in NumPy.

    accuracy(predicted, labels)   classes (R,), or (R, C) of 0 and 1: the share of rows that are right
    f1(predicted, labels, n)      two classes: of class 1; n others: the mean over those there are; (R, C): of all labels together
    matthews, pearson, spearman   the correlation of two columns (R,)
    entity_f1(predicted, labels)  lists of tags for each text, IOB2 (B-PER, I-PER, O): an entity counts if all of it is right

Next: `trainer.py`, whose `compute_metrics` calls such functions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def accuracy(predicted: np.ndarray, labels: np.ndarray) -> float:
    right = predicted == labels
    return float(right.all(axis=1).mean() if right.ndim > 1 else right.mean())


def f1(predicted: np.ndarray, labels: np.ndarray, classes: int = 2) -> float:
    """2 TP / (2 TP + FP + FN); 0 if there is neither a prediction nor a label. `classes`: how many the task has, whichever of
    them these rows hold; the mean is over those that are predicted or a label."""
    if labels.ndim > 1 or classes == 2:
        return f1_of(predicted == 1, labels == 1)
    return float(np.mean([f1_of(predicted == one, labels == one) for one in np.union1d(predicted, labels)]))


def f1_of(predicted: np.ndarray, labels: np.ndarray) -> float:
    both, either = (predicted & labels).sum(), predicted.sum() + labels.sum()
    return float(2 * both / either) if either else 0.0


def matthews(predicted: np.ndarray, labels: np.ndarray) -> float:
    """The correlation of two columns of classes (Gorodkin 2004, 2); 0 if one of them is constant."""
    classes = np.union1d(predicted, labels)
    return correlation((predicted[:, None] == classes).astype(float), (labels[:, None] == classes).astype(float))


def pearson(predicted: np.ndarray, labels: np.ndarray) -> float:
    """NaN if a column is constant."""
    x, y = np.asarray(predicted, float).ravel(), np.asarray(labels, float).ravel()
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return correlation(x[:, None], y[:, None])


def spearman(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Pearson's correlation of the ranks; those that are equal share the mean of their ranks."""
    return pearson(ranks(np.ravel(predicted)), ranks(np.ravel(labels)))


def ranks(values: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse.reshape(values.shape)]


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """x and y (R, C) -> Σ cov(x_c, y_c) / √(Σ var(x_c) Σ var(y_c)); 0 if a variance is."""
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    scale = np.sqrt((x * x).sum() * (y * y).sum())
    return float((x * y).sum() / scale) if scale else 0.0


def entity_f1(predicted: Sequence[Sequence[str]], labels: Sequence[Sequence[str]]) -> float:
    found = [entity for row, tags in enumerate(predicted) for entity in entities(tags, row)]
    right = [entity for row, tags in enumerate(labels) for entity in entities(tags, row)]
    both = len(set(found) & set(right))
    return 2 * both / (len(found) + len(right)) if found or right else 0.0


def entities(tags: Sequence[str], row: int = 0) -> list[tuple[int, int, int, str]]:
    """["B-PER", "I-PER", "O"] -> [(row, 0, 2, "PER")]. An I- after another type, or after none, begins an entity (conlleval);
    a tag without a prefix counts as one with I-."""
    result, start, current = [], 0, ""
    for index, tag in enumerate([*tags, "O"]):
        prefix, name = tag.split("-", 1) if tag[:2] in ("B-", "I-") else ("I", "" if tag == "O" else tag)
        if current and (prefix == "B" or name != current):
            result.append((row, start, index, current))
            current = ""
        if name and not current:
            start, current = index, name
    return result
