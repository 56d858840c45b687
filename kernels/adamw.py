"""The update of the weights: AdamW ("Decoupled weight decay regularization", arXiv:1711.05101, algorithm 2).

An operation like the gradients, but it changes its arguments in place. `ops/adamw.py` has it compiled.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .registry import reference


class AdamWSettings(NamedTuple):
    """What one update of one tensor depends on, besides the tensor. The defaults are torch.optim.AdamW's."""

    step: int  # of this update, 1 for the first
    lr: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.01
    grad_scale: float = 1.0  # what the gradient is multiplied by first, if it is clipped

    def factors(self) -> tuple[float, float, float]:
        """-> what the weights are multiplied by, the step's length, and what the root of the second moment is divided by."""
        length = self.lr / (1 - self.beta1**self.step)
        return 1 - self.lr * self.weight_decay, length, math.sqrt(1 - self.beta2**self.step)


@reference
def adamw_step(
    parameter: np.ndarray, grad: np.ndarray, first_moment: np.ndarray, second_moment: np.ndarray, settings: AdamWSettings
) -> None:
    """Four arrays of one shape, and the settings. Change parameter and both moments in place, as torch.optim.AdamW does:

    parameter      ← parameter (1 − lr weight_decay)
    first_moment   ← first_moment + (grad − first_moment) (1 − beta1)
    second_moment  ← second_moment beta2 + grad² (1 − beta2)
    parameter      ← parameter − lr / (1 − beta1ᵗ) · first_moment / (√second_moment / √(1 − beta2ᵗ) + eps)
    """
    keep, length, correction = settings.factors()
    grad = grad * settings.grad_scale
    parameter *= keep
    first_moment += (grad - first_moment) * (1 - settings.beta1)
    second_moment *= settings.beta2
    second_moment += grad * grad * (1 - settings.beta2)
    parameter -= length * (first_moment / (np.sqrt(second_moment) / correction + settings.eps))
