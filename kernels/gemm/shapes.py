"""The sizes of a product's parts that have to do with rounding, not with caches."""

from __future__ import annotations

K_ACCUMULATE = 128  # products in one running sum: error against float64 0.86 of torch's; with 192 it is 1.00, with 256 1.14
