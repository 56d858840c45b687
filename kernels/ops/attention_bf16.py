"""softmax(q kᵀ / √Dh) v with both products in bf16, where the machine multiplies pairs of them (AVX512-BF16).

Scores, their softmax's sums and the result stay float32; queries, keys, values and shares are rounded. The loops over
sequences, heads and queries are those of `attention.py`.
"""

from __future__ import annotations

import numpy as np

from ..compiler.cpu import HAS_AVX512_BF16
from ..compiler.jit import jit
from ..gemm.microkernel import microkernel_bf16 as add_product_of_pairs
from ..gemm.shapes import K_ACCUMULATE
from ..registry import variant
from ..simd.shapes import MR
from ..simd.shuffle import interleave
from .attention import attend, attention_on_threads, exponentials, find_largest
from .attention import gather as gather_floats
from .linear_bf16 import round_to_bf16 as rounded


@variant("attention", tolerance=0.02, tolerance_reason="queries, keys, values and shares keep 8 of 24 bits", capturable=True)
def attention_paired(query, key, value, bounds, key_mask, heads):
    """The register one with tiles of pairs; the register one itself where the machine has no such instruction."""
    return attention_on_threads(attend_pairs if HAS_AVX512_BF16 else attend, query, key, value, bounds, key_mask, heads)


@jit(error_model="numpy")
def copy_pairs(key, value, kept, left, copies, laid):
    """As `attention.copy_kept`: a key's neighbours are put into one word, and laid; and of values each two keys'."""
    count = gather(key, value, kept, left, copies)
    words, steps = copies[0].view(np.uint32), (copies.shape[2] + 1) // 2
    for top in range(0, count, MR):
        bottom = min(top + MR, count)
        interleave(words[top:bottom, :steps], laid[top * steps : bottom * steps].view(np.uint32))
    pair_rows(copies[1, :count])
    return count


@jit(error_model="numpy")
def put_halves(key, scale, target):
    """A key's values as bf16; 0 after an odd last one."""
    halves = target.view(np.uint16)
    for i in range(len(key)):
        halves[i] = np.uint16(rounded(key[i] * scale) >> np.uint32(16))
    if len(key) % 2:
        halves[len(key)] = 0


@jit(error_model="numpy")
def pair_rows(rows):
    """Each two rows become one, of words with a bf16 of both, in the first half's place; 0 stands beside an odd last one."""
    words = rows.view(np.uint32)
    for row in range(0, len(rows), 2):
        first, second, target = rows[row], rows[min(row + 1, len(rows) - 1)], words[row // 2]
        mask = np.uint32(0xFFFF0000 if row + 1 < len(rows) else 0)
        for i in range(len(target)):
            target[i] = rounded(first[i]) >> np.uint32(16) | rounded(second[i]) & mask


@jit(error_model="numpy")
def attend_lanes(turned, laid, values, scores, sums):
    """As `attention.attend_lanes`, with the values in pairs of keys."""
    count, size = values.shape
    steps, half = (size + 1) // 2, (count + 1) // 2
    largest, total = sums[0], sums[1]
    pair_rows(turned[0])
    for top in range(0, count, MR):
        bottom = min(top + MR, count)
        place, queries = (top, bottom - top, 0, top * steps, 0, 0, K_ACCUMULATE // 2), turned[0][:steps]
        add_product_of_pairs(scores, laid, queries, queries, sums, sums, sums, sums, place, True, False)
    for lane in range(len(largest)):
        largest[lane], total[lane] = scores[0, lane], 0
    find_largest(scores, largest)
    for first in range(0, count, K_ACCUMULATE):
        exponentials(scores[first : min(first + K_ACCUMULATE, count)], largest, total, sums[2])
    pair_rows(scores)
    for top in range(0, size, MR):
        bottom = min(top + MR, size)
        place, shares = (top, bottom - top, 0, top, 0, 0, K_ACCUMULATE // 2), scores[:half]
        add_product_of_pairs(turned[1], values, shares, shares, sums, sums, sums, sums, place, True, False)
    for lane in range(len(total)):
        total[lane] = np.float32(1) / total[lane]  # to divide each value took 4 % of a short text's attention
    for i in range(size):
        line = turned[1, i]
        for lane in range(len(line)):
            line[lane] *= total[lane]


gather = gather_floats.specialize("gather_pairs", put_key=put_halves)
attend_pairs = attend.specialize("attend_pairs", copy_kept=copy_pairs, attend_lanes=attend_lanes)
