"""What the page shows of each layer: the hidden states, the lengths of what each block adds to them, and mean attention.

All take the steps of `model.intermediates`, and read the first row of the batch.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..models.intermediates import Step


def hidden_states(steps: Mapping[str, Step], layers: int) -> list[np.ndarray]:
    """-> layers + 1 arrays (T, D): before the first layer, and after each."""
    first = "embeddings.projection" if "embeddings.projection" in steps else "embeddings.norm"
    return [steps[name].array[0] for name in (first, *(f"layer.{index}.output_norm" for index in range(layers)))]


def block_norms(steps: Mapping[str, Step], layers: int) -> np.ndarray:
    """-> (layers, 3, T): the length of what came into a layer, of what attention adds, of what the feed-forward adds."""
    lengths = []
    for index, before in enumerate(hidden_states(steps, layers)[:-1]):
        added = (steps[f"layer.{index}.{part}"].array[0] for part in ("attention_out", "feed_forward_out"))
        lengths.append([np.linalg.norm(array, axis=-1) for array in (before, *added)])
    return np.array(lengths)


def mean_attention(steps: Mapping[str, Step], layers: int) -> np.ndarray:
    """-> (T, T): the mean over all layers and heads of what each token attends to."""
    return np.mean([steps[f"layer.{index}.attention"].array[0].mean(axis=0) for index in range(layers)], axis=0)
