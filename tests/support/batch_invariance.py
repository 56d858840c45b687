"""Batches of any shape, and the check that a sequence's outputs are the same bits in any of them."""

import numpy as np
from hypothesis import strategies as st

from minibert.kernels.runtime.thread_count import set_num_threads

SIZES = {
    "tiny": dict(vocab_size=50, dim=24, n_layers=2, n_heads=3, hidden_dim=37, max_position_embeddings=64),
    "middling": dict(vocab_size=50, dim=192, n_layers=2, n_heads=3, hidden_dim=400, max_position_embeddings=300),
}


@st.composite
def batches(draw, longest):
    """Rows of ids with masks of any shape, the first token's always 1."""
    lengths = draw(st.lists(st.integers(1, longest), min_size=1, max_size=9))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows = [random.integers(0, 50, length) for length in lengths]
    masks = [np.where(random.random(length) < draw(st.sampled_from((0.0, 0.3))), 0, 1) for length in lengths]
    for mask in masks:
        mask[0] = 1
    return rows, masks


def padded(rows, width):
    return np.array([np.pad(row, (0, width - len(row))) for row in rows])


def check(model, rows, masks, more_padding):
    """Every row alone on one thread, against its place in the batch on two."""
    width = max(map(len, rows)) + more_padding
    set_num_threads(2)
    together = model(padded(rows, width), padded(masks, width))[0]
    set_num_threads(1)
    for index, (row, mask) in enumerate(zip(rows, masks)):
        alone = model(row[None], mask[None])[0][0]
        assert np.array_equal(alone, together[index, : len(row)])
