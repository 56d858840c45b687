"""The layout of 8-bit weights in memory and in checkpoints. It is the same on every machine.

A panel is INT8_NR outputs. A row of it is K_PACK neighbors of k for each of them, 128 bytes:

    row 0:  w[0,0] w[0,1] w[0,2] w[0,3]   w[1,0] w[1,1] w[1,2] w[1,3]   ...   w[31,0] ... w[31,3]
    row 1:  w[0,4] ...

The last panel is padded with 0. A machine with shorter vectors reads a row in several parts.
"""

from __future__ import annotations

import numpy as np

K_PACK, INT8_NR = 4, 32  # K_PACK is what vpdpbusd multiplies at once
K_EXACT = 3072  # products that are summed as integers; the sums of a longer row are added as floats
ROTATION = 16  # values that one step of the rotation mixes; there are two, so each value becomes part of 256


def pack_panels(values):
    """int8 (N, K), K a multiple of K_PACK -> panels (P, K / K_PACK, 128)."""
    padded = np.pad(values, ((0, -len(values) % INT8_NR), (0, 0)))
    rows = padded.reshape(-1, INT8_NR, padded.shape[1] // K_PACK, K_PACK).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(rows).reshape(len(rows), -1, INT8_NR * K_PACK)


def unpack_panels(panels):
    """Panels (P, K / K_PACK, 128) -> int8 (N padded to whole panels, K): the inverse of `pack_panels`."""
    rows = panels.reshape(len(panels), -1, INT8_NR, K_PACK).transpose(0, 2, 1, 3)
    return rows.reshape(len(panels) * INT8_NR, -1)


def packed_shapes(parts: int, outputs: int, inputs: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """`parts` weights (N, K) -> the shapes of the panels, and of the epilogue vectors, into which they are packed."""
    width, length = outputs + -outputs % INT8_NR, inputs + -inputs % ROTATION
    return (parts * width // INT8_NR, length // K_PACK, INT8_NR * K_PACK), (parts, 3, width)
