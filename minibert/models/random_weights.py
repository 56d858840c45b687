"""The tensors of a model that is not trained yet."""

from __future__ import annotations

import numpy as np

from ..config import PreTrainedConfig
from ..errors import ConfigError, short_repr


def generator(seed: int | None = None) -> np.random.Generator:
    """Of new weights; without a seed, one that NumPy's global generator draws, which `set_seed` seeds."""
    return np.random.default_rng(np.random.randint(2**63, dtype=np.int64) if seed is None else seed)


def init_tensor(name: str, shape: tuple[int, ...], config: PreTrainedConfig, random: np.random.Generator) -> np.ndarray:
    """A tensor of a new model: weights normal around 0, biases 0, norms 1; DistilBERT's positions sines if it says so."""
    if name.endswith(".bias"):
        return np.zeros(shape, np.float32)
    if len(shape) == 1:
        return np.ones(shape, np.float32)
    if name.endswith("position_embeddings.weight") and getattr(config, "sinusoidal_pos_embds", False):
        return sinusoids(*shape)
    tensor = random.standard_normal(shape, dtype=np.float32) * np.float32(config.initializer_range)
    if name.endswith("word_embeddings.weight") and config.pad_token_id is not None:
        if type(config.pad_token_id) is not int or not 0 <= config.pad_token_id < len(tensor):
            raise ConfigError(f"pad_token_id must be from 0 to {len(tensor) - 1}; got {short_repr(config.pad_token_id)}.")
        tensor[config.pad_token_id] = 0
    return tensor


def sinusoids(positions: int, width: int) -> np.ndarray:
    """(P, D): sin and cos of position / 10000^(2i/D), by turns ("Attention Is All You Need", 3.5)."""
    rate = 10000.0 ** -(2 * (np.arange(width) // 2) / width)
    angle = np.arange(positions)[:, None] * rate  # (P, D)
    return np.where(np.arange(width) % 2 == 0, np.sin(angle), np.cos(angle)).astype(np.float32)
