"""The ratio of two times, with its interval: what comparisons print, and when they have enough turns.

Turns of one round are paired: a minute in which the machine is busy slows both, and their ratio does not depend on it. The
95 % interval of the median is bootstrapped (Efron, 1979).
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

NARROW = 0.05  # of an interval's width over its median, when turns are enough
RESAMPLES = 2_000


class Ratio(NamedTuple):
    """How many times the first seconds the second are."""

    median: float
    low: float  # of its 95 % interval
    high: float
    turns: int

    @property
    def narrow(self) -> bool:
        return self.high - self.low < NARROW * self.median

    def verdict(self, margin: float) -> str:
        """Of the second, if it lies beyond this margin."""
        return "slower" if self.low > 1 + margin else "faster" if self.high < 1 - margin else "same"

    def __str__(self) -> str:
        return f"{self.median:.2f} [{self.low:.2f}, {self.high:.2f}]"


def paired(first: Sequence[float], second: Sequence[float]) -> Ratio:
    """Of seconds that were measured in turn."""
    ratios = [after / before for before, after in zip(first, second, strict=True)]
    return Ratio(statistics.median(ratios), *middle(medians(ratios, np.random.default_rng(0))), len(ratios))


def unpaired(first: Sequence[float], second: Sequence[float]) -> Ratio:
    """Of seconds that were measured at two times: each median is bootstrapped from its own."""
    random = np.random.default_rng(0)
    ratios = medians(second, random) / medians(first, random)
    return Ratio(statistics.median(second) / statistics.median(first), *middle(ratios), min(len(first), len(second)))


def medians(values: Sequence[float], random: np.random.Generator) -> np.ndarray:
    """Of as many values, drawn from these with replacement."""
    return np.median(random.choice(values, (RESAMPLES, len(values))), axis=1)


def middle(values: np.ndarray) -> tuple[float, float]:
    """Where 95 % of them lie."""
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
