"""`set_seed(42)`: the same random numbers in every run, of models without trained weights too."""

from __future__ import annotations

import random
import sys

from .errors import InputError, read_flag, read_int, short_repr, strict_arguments

LARGEST = 2**32 - 1  # NumPy's seed has 32 bits


@strict_arguments
def set_seed(seed: int, deterministic: bool = False) -> None:
    """Seed the global generators of `random`, NumPy and, if it is imported, torch.

    Weights that a checkpoint does not have are drawn from NumPy's, so they too are the same after the same seed. Results
    are deterministic here whatever `deterministic` says. InputError for a seed that is not from 0 to 2**32 - 1.
    """
    import numpy as np

    seed = read_int("seed", seed)
    if seed > LARGEST:
        raise InputError(f"seed must be an integer from 0 to {LARGEST}; got {short_repr(seed)}.")
    read_flag("deterministic", deterministic)
    random.seed(seed)
    np.random.seed(seed)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)
