"""Philox4x32-10: random bits as a function of a counter and a key, without a state.

"Parallel random numbers: as easy as 1, 2, 3" (Salmon, Moraes, Dror, Shaw; SC 2011), section 3.3. Any element's bits can be
computed by itself, so a dropout mask does not depend on threads, nor on the order in which a kernel computes it, and the
backward pass computes it again instead of keeping it. Next: `reference.py`, where dropout is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

ROUNDS = 10
MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
KEY_STEPS = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)  # of the golden ratio and of √3
LOW, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


class DropoutSettings(NamedTuple):
    """One use of dropout: which values it zeroes depends on these numbers and on an element's row and column, on nothing
    else. `seed` has 64 bits, `step` and `site` (which of a model's dropouts) have 32."""

    rate: float  # the probability that a value becomes 0; below 1
    seed: int
    step: int
    site: int

    @property
    def least_kept(self) -> int:
        """A value whose 32 random bits are below this becomes 0. At most 2³² − 1, which 32 bits hold."""
        return min(round(self.rate * 2**32), 2**32 - 1)


def philox(counter: Sequence[np.ndarray], key: tuple[np.uint64, np.uint64]) -> tuple[np.ndarray, ...]:
    """counter, four arrays of uint64 below 2³² that broadcast; key, two such numbers -> four arrays of 32 random bits."""
    a, b, c, d = counter
    k, m = key
    for _ in range(ROUNDS):
        first, second = MULTIPLIERS[0] * a, MULTIPLIERS[1] * c  # 64 bits each
        a, b, c, d = (second >> HALF) ^ b ^ k, second & LOW, (first >> HALF) ^ d ^ m, first & LOW
        k, m = (k + KEY_STEPS[0]) & LOW, (m + KEY_STEPS[1]) & LOW
    return a, b, c, d


def random_bits(rows: np.ndarray, columns: int, settings: DropoutSettings) -> np.ndarray:
    """rows (R,) of an array with that many columns -> its elements' 32 bits (R, columns), as uint64.

    The counter is (column / 4, row, site, step), the key the seed's low and high half; the column's remainder says which
    of the four results is the element's.
    """
    blocks = np.arange(-(-columns // 4), dtype=np.uint64)
    rows = np.asarray(rows).astype(np.uint64)[:, None]
    key = np.uint64(settings.seed & 0xFFFFFFFF), np.uint64(settings.seed >> 32)
    counter = np.broadcast_arrays(blocks, rows, np.uint64(settings.site), np.uint64(settings.step))
    return np.stack(philox(counter, key), axis=-1).reshape(len(rows), -1)[:, :columns]
