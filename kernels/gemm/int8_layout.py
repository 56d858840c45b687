"""How 8-bit weights lie in memory: alike for every machine, so that a checkpoint's are used where the file has them.

A panel is COLUMNS outputs, and a line of it holds GROUP neighbours of k for each of them, 128 bytes:

    line 0:  w[0,0] w[0,1] w[0,2] w[0,3]   w[1,0] w[1,1] w[1,2] w[1,3]   ...   w[31,0] ... w[31,3]
    line 1:  w[0,4] ...

What fills the last panel is 0. A machine with shorter vectors takes a line in several parts.
"""

from __future__ import annotations

import numpy as np

K_PACK, INT8_NR = 4, 32  # GROUP is what vpdpbusd takes at once
ROTATION = 16  # values of a row that are mixed at once; twice, so that each becomes part of 256


def span_of(inputs: int) -> int:
    """How many of K share a weight's scale: a power of two from 64 on, so that there are up to 8 scales; 1,024 at most."""
    span = 64
    while 8 * span < inputs and span < 1024:
        span *= 2
    return span


def lay(values):
    """Whole numbers (N, K), K a multiple of GROUP -> panels (P, K / GROUP, 128)."""
    padded = np.pad(values, ((0, -len(values) % INT8_NR), (0, 0)))
    lines = padded.reshape(-1, INT8_NR, padded.shape[1] // K_PACK, K_PACK).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(lines).reshape(len(lines), -1, INT8_NR * K_PACK)


def packed_shapes(parts: int, outputs: int, inputs: int) -> tuple[tuple[int, ...], ...]:
    """`parts` weights (N, K) -> the shapes of the panels, scales and columns that `linear_int8.pack` makes of them."""
    wide, length = outputs + -outputs % INT8_NR, inputs + -inputs % ROTATION
    spans = -(-length // span_of(length))
    return (parts * wide // INT8_NR, length // K_PACK, INT8_NR * K_PACK), (parts, spans, wide), (parts, 2, wide)
