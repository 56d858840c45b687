"""Rows of a table that a step does not touch: AdamW's updates of them wait until the rows are next read.

A batch reads some hundred of a vocabulary's 30,000 rows, but AdamW changes all of them in every step: moments decay, and move
their rows on. Here a step updates the rows that it has a gradient of, and notes its factors; what the other rows have missed
is replayed, in order, before they are next read, clipped or saved (`reference.adamw_replay`). The bits are those of updating
all rows in every step.

    grad = RowGradient(rows, values, height)     what `gradients.py` has of the word embeddings
    lazy.catch_up(rows)                         before a batch reads these rows
    lazy.update(grad, settings, ops)            one step
    lazy.flush()                                before all rows are read: an evaluation, a checkpoint

Next: `optimizer.py`, which has one of these for each table that gets such gradients.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minibert.kernels.catalog import TrainingOps
from minibert.kernels.reference import AdamWSettings, adamw_factors

MAX_STEPS = 1024  # that a row may miss: then all rows catch up, so that the list of steps stays small


class RowGradient(NamedTuple):
    """The gradient of a table of which a batch has read some rows; that of the other rows is 0."""

    rows: np.ndarray  # (R,), ascending, each once
    values: np.ndarray  # (R, D)
    height: int  # V, the table's rows

    @property
    def shape(self) -> tuple[int, int]:
        return self.height, self.values.shape[1]

    def dense(self) -> np.ndarray:
        table = np.zeros(self.shape, self.values.dtype)
        table[self.rows] = self.values
        return table


def dense(grad: np.ndarray | RowGradient) -> np.ndarray:
    """A gradient of the whole table."""
    return grad.dense() if isinstance(grad, RowGradient) else grad


def add_rows(sums: Any, grad: RowGradient) -> RowGradient:
    """The sum of two gradients of one table, of the rows of both; to the bit that of the whole tables."""
    rows = np.union1d(sums.rows, grad.rows)
    values, addend = np.zeros((2, len(rows), grad.values.shape[1]), grad.values.dtype)
    values[np.searchsorted(rows, sums.rows)] = sums.values
    addend[np.searchsorted(rows, grad.rows)] = grad.values
    return RowGradient(rows, values + addend, grad.height)


class LazyRows:
    """A parameter (V, D), its two moments, and which steps each row has yet to do."""

    def __init__(
        self, parameter: np.ndarray, moments: tuple[np.ndarray, np.ndarray], settings: AdamWSettings, ops: TrainingOps
    ):
        self.parameter, self.moments, self.settings, self.ops = parameter, moments, settings, ops
        self.steps = 0  # since the last flush
        self.factors = np.empty((MAX_STEPS, 3))  # of each of these steps
        self.done = np.zeros(len(parameter), np.int64)  # how many of them each row has done

    def catch_up(self, rows: np.ndarray) -> None:
        """Do what these rows, each named once, have missed."""
        behind = rows[self.done[rows] < self.steps]
        if len(behind):
            factors = self.factors[: self.steps]
            self.ops.adamw_replay(self.parameter, *self.moments, behind, self.done, factors, self.settings)

    def flush(self) -> None:
        """The same for all rows."""
        self.catch_up(np.arange(len(self.parameter)))
        self.steps, self.done[:] = 0, 0

    def update(self, grad: RowGradient, settings: AdamWSettings) -> None:
        """One step: now for the rows of the gradient, later for the others."""
        if self.steps == MAX_STEPS:
            self.flush()
        self.catch_up(grad.rows)
        tables = self.parameter, *self.moments
        parameter, first_moment, second_moment = (table[grad.rows] for table in tables)  # copies
        self.ops.adamw_step(parameter, grad.values, first_moment, second_moment, settings)
        for table, rows in zip(tables, (parameter, first_moment, second_moment)):
            table[grad.rows] = rows
        self.factors[self.steps] = adamw_factors(settings)
        self.steps += 1
        self.done[grad.rows] = self.steps
