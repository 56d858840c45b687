"""Learning rate schedules: a step -> the factor of the learning rate, as transformers' `get_scheduler` has them.

The first step has number 0. During the first `warmup` steps the factor rises from 0 to 1 in equal parts. Next: `arguments.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable


def warmup_factor(step: int, warmup: int) -> float:
    return step / max(1, warmup)


def linear(step: int, warmup: int, total: int) -> float:
    """Down to 0 at step `total`."""
    if step < warmup:
        return warmup_factor(step, warmup)
    return max(0.0, (total - step) / max(1, total - warmup))


def cosine(step: int, warmup: int, total: int) -> float:
    """Half a period of a cosine from 1 to 0 (arXiv:1608.03983, 5, without restarts)."""
    if step < warmup:
        return warmup_factor(step, warmup)
    progress = (step - warmup) / max(1, total - warmup)
    return max(0.0, 0.5 * (1.0 + math.cos(math.pi * progress)))


def constant(step: int, warmup: int, total: int) -> float:
    return 1.0


def constant_with_warmup(step: int, warmup: int, total: int) -> float:
    return warmup_factor(step, warmup) if step < warmup else 1.0


SCHEDULES: dict[str, Callable[[int, int, int], float]] = {
    "linear": linear,
    "cosine": cosine,
    "constant": constant,
    "constant_with_warmup": constant_with_warmup,
}
