"""A bias for how far apart two tokens are, added to attention's scores: T5's, which MPNet has too.

"Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer", https://arxiv.org/abs/1910.10683, 2.1.
Distances are sorted into 32 buckets: 16 for keys before the query and at it, 16 for those after it. The first 8 of each are
the distances 0 to 7; the others grow with the logarithm, and the last takes all from 91 up.

    distance   0  1 ...  7   8-11  12-15  16-22  23-31  32-45  46-63  64-90  91 and more
    bucket     0  1 ...  7   8     9      10     11     12     13     14     15
"""

from __future__ import annotations

import math

import numpy as np

BUCKETS = 32
EXACT = 8  # distances with a bucket of their own, on each side
MAX_DISTANCE = 128


def bucket_of(offsets: np.ndarray) -> np.ndarray:
    """offsets, key position - query position, integers of any shape -> their buckets, from 0 to 31."""
    distance, side = np.abs(offsets), BUCKETS // 2
    share = np.log(np.maximum(distance, EXACT) / EXACT) / math.log(MAX_DISTANCE / EXACT)  # in this order: 16 gives 0.25
    far = EXACT + (share * (side - EXACT)).astype(np.intp)
    return np.where(distance < EXACT, distance, np.minimum(far, side - 1)) + side * (offsets > 0)


def relative_bias(table: np.ndarray, tokens: int) -> np.ndarray:
    """table (buckets, H) -> the bias (H, T, T) of T tokens by head, query and key: a view of (H, 2T - 1) values, since a
    value depends on key - query only."""
    by_offset = np.ascontiguousarray(table.T[:, bucket_of(np.arange(1 - tokens, tokens))])  # (H, 2T - 1)
    windows = np.lib.stride_tricks.sliding_window_view(by_offset, tokens, axis=1)  # (H, T, T): the last query first
    return windows[:, ::-1]
