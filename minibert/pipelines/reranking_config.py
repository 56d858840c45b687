"""A cross-encoder's folder -> what is done with its logits, and how its texts are prepared.

    config.json                         the model's, and in it the activation, in folders from before sentence-transformers 5
    config_sentence_transformers.json   the activation and the prompts
    sentence_bert_config.json           the longest text
    modules.json                        one step: Transformer

A folder of transformers has the first alone. Next: reranking.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..auto import config_of
from ..config import PreTrainedConfig
from ..errors import ConfigError, InputError, read_int, short_repr
from ..families import purpose_of
from ..files import read_json, write_json
from ..hub import Checkpoint
from . import check_trained_for
from .score_activation import Activation, activation_of_files
from .sentence_config import LIMITS, SETTINGS, check_text_settings, read_steps

TASK_NAME = "text-ranking"
CROSS_ENCODER = "CrossEncoder"  # model_type in config_sentence_transformers.json
TRANSFORMER = "sentence_transformers.base.modules.transformer.Transformer"  # in modules.json
TRANSFORMER_OPTIONS = {  # in sentence_bert_config.json
    "transformer_task": "sequence-classification",
    "modality_config": {"text": {"method": "forward", "method_output_name": "logits"}},
    "module_output_name": "scores",
}


class RerankerConfig(NamedTuple):
    """What a cross-encoder's folder says beside its model."""

    activation: Activation
    longest: int | None = None  # tokens
    prompts: Mapping[str, str] = {}
    prompt_name: str | None = None


def read_reranker_config(
    checkpoint: Checkpoint, overrides: Mapping[str, Any]
) -> tuple[Checkpoint, PreTrainedConfig, RerankerConfig]:
    """A located checkpoint -> where in it the model's files are, the model's configuration, and RerankerConfig.

    `overrides` go over config.json. Settings of a sentence-transformers model of another type are left out, as
    sentence-transformers does. ConfigError for values that cannot be.
    """
    steps = read_steps(checkpoint)
    settings: dict[str, Any] = {}
    limits: dict[str, Any] = {}
    model_files = checkpoint.within(steps[0][1]) if steps else checkpoint
    path = checkpoint.optional(SETTINGS) if steps else None
    stated = read_json(path, ConfigError) if path else {}
    if steps and stated.get("model_type") == CROSS_ENCODER:
        check_steps(steps, checkpoint.name)
        settings, path = stated, model_files.optional(LIMITS[0])
        limits = read_json(path, ConfigError) if path else {}
    config = read_config(model_files, dict(overrides))
    activation = activation_of_files(config.to_dict(), settings, config.num_labels, checkpoint.name)
    longest, prompts = limits.get("max_seq_length"), settings.get("prompts") or {}
    check_text_settings(longest, prompts, settings.get("default_prompt_name"), checkpoint.name)
    return model_files, config, RerankerConfig(activation, longest, prompts, settings.get("default_prompt_name"))


def check_steps(steps: list[tuple[str, str]], source: str) -> None:
    if len(steps) != 1:
        names = ", ".join(name for name, _ in steps)
        raise ConfigError(f"a cross-encoder must be a Transformer with its own head, and no other step; {source} has {names}.")


def read_config(checkpoint: Checkpoint, overrides: dict[str, Any]) -> PreTrainedConfig:
    """config.json with overrides -> the configuration; of one label, if the model has no classifier yet and nothing says how
    many. InputError for a head that is for something else, and for another number of labels than it has."""
    labels = overrides.pop("num_labels", None)
    config = config_of(checkpoint, **overrides)
    architectures = config.architectures or []
    check_trained_for(TASK_NAME, architectures, checkpoint.name)
    if "text-classification" not in map(purpose_of, architectures):
        return config_of(checkpoint, num_labels=1 if labels is None else labels, **overrides)
    if labels is not None and read_int("num_labels", labels, 1) != config.num_labels:
        raise InputError(
            f"num_labels must be {config.num_labels}, which {checkpoint.name} was trained with; got {short_repr(labels)}. Leave "
            "it out."
        )
    return config


def write_reranker_config(reranker_config: RerankerConfig, activation: str, folder: Path) -> None:
    """The files that `read_reranker_config` reads, without config.json. `activation` is the path of torch's class."""
    settings = {
        "model_type": CROSS_ENCODER,
        "activation_fn": activation,
        "prompts": dict(reranker_config.prompts),
        "default_prompt_name": reranker_config.prompt_name,
    }
    write_json(folder / SETTINGS, settings)
    write_json(folder / LIMITS[0], {**TRANSFORMER_OPTIONS, "max_seq_length": reranker_config.longest})
    write_json(folder / "modules.json", [{"idx": 0, "name": "0", "path": "", "type": TRANSFORMER}])
