"""A RoBERTa checkpoint -> a Longformer of its weights: `minibert convert NAME FOLDER --to longformer`.

The recipe of "Longformer: The Long-Document Transformer", https://arxiv.org/abs/2004.05150, 5: position embeddings are repeated
until there are enough, and the projections of global tokens begin as those of the others. Heads stay, and all else. The model
answers before it is trained any further, but long texts are better after.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .auto import config_of
from .config import PreTrainedConfig
from .errors import ConfigError
from .families import roberta
from .families.longformer import NAMES, LongformerConfig
from .files import write_json
from .hub import Checkpoint
from .models.checkpoint import canonical, check_tensors, encoder_shapes
from .tokenization.files.loading import read_json_of
from .weights import open_weights

TOKENS, WINDOW = 4096, 512  # of the models that the paper trained


def longformer_config(checkpoint: Checkpoint) -> PreTrainedConfig:
    """A located RoBERTa checkpoint -> the Longformer's configuration. ConfigError for another family."""
    config = config_of(checkpoint)
    if config.model_type != "roberta":
        raise ConfigError(f"a Longformer is made of a RoBERTa; {checkpoint.name} has the model_type {config.model_type!r}.")
    arch = config.architecture
    positions = arch.positions - arch.max_tokens + TOKENS
    values = {
        **config.to_dict(),
        "model_type": LongformerConfig.model_type,
        "architectures": [name.replace("Roberta", "Longformer") for name in config.architectures or ()],
        "attention_window": [WINDOW] * config.num_hidden_layers,
        "max_position_embeddings": max(positions, config.max_position_embeddings),
        "sep_token_id": config.eos_token_id,
    }
    return LongformerConfig.from_dict(values)


def longformer_tensors(checkpoint: Checkpoint, config: PreTrainedConfig) -> dict[str, np.ndarray]:
    """A located RoBERTa checkpoint and the Longformer's configuration -> its tensors, as float32. WeightsError for tensors that
    are not a RoBERTa's."""
    names, architecture, file = roberta.NAMES, config_of(checkpoint).architecture, open_weights(checkpoint)
    stored = canonical(file, names.prefix)
    check_tensors(stored, encoder_shapes(names, architecture), checkpoint.name, True, names.heads)
    tensors = {name: tensor.array() for name, tensor in stored.items() if not name.endswith("position_ids")}
    has_head = any(name.startswith(names.prefix) for name in file)
    for index in range(config.num_hidden_layers):
        for part in ("query", "key", "value"):
            source, target = NAMES.of_layer(index, part), NAMES.of_layer(index, f"global_{part}")
            for end in ("weight", "bias"):
                tensors[f"{target}.{end}"] = tensors[f"{source}.{end}"].copy()
    positions = f"{NAMES.positions}.weight"
    tensors[positions] = repeat_positions(tensors[positions], config.pad_token_id + 1, config.max_position_embeddings)
    of_encoder = ("embeddings.", "encoder.", "pooler.")
    return {NAMES.prefix * (has_head and name.startswith(of_encoder)) + name: tensor for name, tensor in tensors.items()}


def repeat_positions(table: np.ndarray, first: int, count: int) -> np.ndarray:
    """Rows of positions (P, D), of which those before `first` are of no token -> (count, D), the others over and over."""
    rows = first + np.arange(count - first) % (len(table) - first)
    return np.concatenate([table[:first], table[rows]])


def write_configs(checkpoint: Checkpoint, config: PreTrainedConfig, folder: Path) -> None:
    """config.json, and tokenizer_config.json with as many tokens as the model takes."""
    config.save_pretrained(folder)
    settings = read_json_of(checkpoint, "tokenizer_config.json")
    write_json(folder / "tokenizer_config.json", {**settings, "model_max_length": TOKENS})
