"""A sentence-transformers folder -> SentenceConfig: what is done to the hidden states of its model.

    modules.json                        the steps: Transformer, Pooling, Dense, Normalize
    0_Transformer/                      the model's own files, in folders from before sentence-transformers 2.0
    1_Pooling/config.json               how a text's hidden states become one vector
    2_Dense/config.json and weights     a linear layer and an activation that the vector goes through
    sentence_bert_config.json           the longest text, and whether to lower its letters
    config_sentence_transformers.json   prompts, how two vectors are compared, how many components are kept

Next: sentence_encoder.py, which follows it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import ConfigError, short_repr
from ..files import read_json, write_json
from ..kernels import reference
from ..models.checkpoint import check_tensors, linear_shapes
from ..models.heads import sigmoid
from ..weights import WEIGHTS, find_weights, open_weights, save_tensors

POOLINGS = {  # hidden (L, D) of a text's tokens, weights (L, 1) of their places -> (D,); in the order they are joined
    "cls": lambda hidden, weights: hidden[0],
    "max": lambda hidden, weights: hidden.max(axis=0),
    "mean": lambda hidden, weights: hidden.sum(axis=0) / len(hidden),
    "mean_sqrt_len_tokens": lambda hidden, weights: hidden.sum(axis=0) / np.sqrt(np.float32(len(hidden))),
    "weightedmean": lambda hidden, weights: (hidden * weights).sum(axis=0) / weights.sum(),
    "lasttoken": lambda hidden, weights: hidden[-1],
}
OLD_KEYS = {  # of a Pooling's configuration, each with True or False
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
STEPS = ("Transformer", "Pooling", "Dense", "Normalize")
ACTIVATIONS: dict[str, Callable] = {  # the last part of torch's names
    "Identity": lambda x: x,
    "Tanh": np.tanh,
    "ReLU": reference.relu,
    "GELU": reference.gelu,
    "SiLU": reference.silu,
    "Sigmoid": sigmoid,
}
DENSE_DEFAULTS = {"module_input_name": "sentence_embedding", "module_output_name": "sentence_embedding", "use_residual": False}
SIMILARITIES = {  # vectors (S, D) and (R, D) -> (S, R); more is nearer
    "cosine": lambda one, other: normalized(one) @ normalized(other).T,
    "dot": lambda one, other: one @ other.T,
    "euclidean": lambda one, other: -distances(one, other, 2),
    "manhattan": lambda one, other: -distances(one, other, 1),
}
LIMITS = ("sentence_bert_config.json", "sentence_distilbert_config.json")  # beside the model; the second before 2.0 only
SETTINGS = "config_sentence_transformers.json"

log = logging.getLogger("minibert")


class Dense(NamedTuple):
    """A step after the pooling: vectors (S, in) -> activation of vectors · weightᵀ + bias (S, out)."""

    weight: np.ndarray  # (out, in)
    bias: np.ndarray  # (out,)
    activation: str


class SentenceConfig(NamedTuple):
    """What a sentence-transformers folder says beside its model."""

    poolings: tuple[str, ...] = ("mean",)
    include_prompt: bool = True  # whether the prompt's tokens are pooled too
    dense: tuple[Dense, ...] = ()
    normalize: bool = False
    longest: int | None = None  # tokens
    lower: bool = False
    prompts: Mapping[str, str] = {}
    prompt_name: str | None = None
    similarity: str = "cosine"
    truncate_dim: int | None = None  # components of a vector that are kept
    model_folder: str = ""  # where in the folder the model's files are


def read_sentence_config(checkpoint, strict: bool = True) -> SentenceConfig:
    """A located checkpoint's files -> SentenceConfig. ConfigError for a step that is not of STEPS."""
    steps = read_steps(checkpoint)
    if steps is None:
        log.warning("%s has no modules.json: its vectors are the mean of their tokens.", checkpoint.name)
        return SentenceConfig()
    poolings: tuple[str, ...] = ("mean",)
    include_prompt, dense = True, []
    for step, folder in steps:
        if step == "Pooling":
            poolings, include_prompt = read_pooling(checkpoint.file(f"{folder}/config.json"))
        if step == "Dense":
            dense.append(read_dense(checkpoint, folder, strict))
    model_folder = steps[0][1] if steps else ""
    limits_path = next(filter(None, map(checkpoint.within(model_folder).optional, LIMITS)), None)
    limits, prompts = (read_json(path, ConfigError) if path else {} for path in (limits_path, checkpoint.optional(SETTINGS)))
    return checked(
        SentenceConfig(
            poolings,
            include_prompt,
            tuple(dense),
            bool(steps) and steps[-1][0] == "Normalize",
            limits.get("max_seq_length"),
            bool(limits.get("do_lower_case")),
            prompts.get("prompts", {}),
            prompts.get("default_prompt_name"),
            prompts.get("similarity_fn_name") or "cosine",
            prompts.get("truncate_dim"),
            model_folder,
        ),
        checkpoint.name,
    )


def read_steps(checkpoint) -> list[tuple[str, str]] | None:
    """modules.json -> [("Transformer", ""), ("Pooling", "1_Pooling"), ...]; None where there is no such file."""
    modules = checkpoint.optional("modules.json")
    if modules is None:
        return None
    steps: list[tuple[str, str]] = []
    for step in read_json(modules, ConfigError, list):
        name = str(step.get("type")).rpartition(".")[2] if isinstance(step, dict) else short_repr(step)
        folder = step.get("path") if isinstance(step, dict) else None
        if not may_follow(steps[-1][0] if steps else None, name) or not isinstance(folder, str):
            raise ConfigError(
                f"the steps of a sentence model must be a Transformer, then Pooling, Dense and Normalize, in this order; "
                f"{modules} has {name:.80} in {short_repr(folder)}."
            )
        steps.append((name, folder.removesuffix("/")))
    return steps


def files_of(checkpoint) -> list[str]:
    """The files that a sentence model's folder has beside its model's own; none in a folder of another kind."""
    steps = read_steps(checkpoint)
    if steps is None:
        return []
    names = ["modules.json", SETTINGS]
    for step, folder in steps:
        own: tuple[str, ...] = LIMITS if step == "Transformer" else ("config.json",)
        if step == "Dense":
            own += (find_weights(checkpoint.within(folder))[1],)
        names += [f"{folder}/{name}" if folder else name for name in own]
    return [name for name in names if checkpoint.optional(name)]


def may_follow(before: str | None, kind: str) -> bool:
    """Whether a step of this kind can stand behind that one; None: at the beginning."""
    if kind not in STEPS or (before is None) != (kind == "Transformer"):
        return False
    return before is None or STEPS.index(before) < STEPS.index(kind) or before == kind == "Dense"


def read_dense(checkpoint, folder: str, strict: bool = True) -> Dense:
    """2_Dense -> Dense."""
    path = checkpoint.file(f"{folder}/config.json")
    values = read_json(path, ConfigError)
    sizes = [values.get(name) for name in ("in_features", "out_features")]
    if not all(type(size) is int and 1 <= size < 2**31 for size in sizes):
        raise ConfigError(f"in_features and out_features must be whole numbers, 1 or more; {path} has {short_repr(sizes)}.")
    activation = str(values.get("activation_function", "Tanh")).rpartition(".")[2]
    if activation not in ACTIVATIONS:
        raise ConfigError(f"activation_function is one of {', '.join(ACTIVATIONS)}; {path} has {activation:.80}.")
    for name, default in DENSE_DEFAULTS.items():
        if values.get(name, default) not in (default, None):
            raise ConfigError(f"{name} of a Dense step must be {default!r}; {path} has {short_repr(values[name])}.")
    stored = open_weights(checkpoint.within(folder))
    shapes = linear_shapes("linear", sizes[1], sizes[0])
    if not values.get("bias", True):
        del shapes["linear.bias"]
    check_tensors(stored, shapes, f"{checkpoint.name}/{folder}", strict)
    bias = stored["linear.bias"].array() if "linear.bias" in shapes else np.zeros(sizes[1], np.float32)
    return Dense(stored["linear.weight"].array(), bias, activation)


def read_pooling(path) -> tuple[tuple[str, ...], bool]:
    """1_Pooling/config.json -> the ways of pooling whose vectors are joined, and whether a prompt is pooled too."""
    values = read_json(path, ConfigError)
    asked: Any = values.get("pooling_mode")
    if asked is None:
        asked = [name for key, name in OLD_KEYS.items() if values.get(key)] or ["mean"]
    poolings = tuple([asked] if isinstance(asked, str) else asked) if isinstance(asked, (str, list)) else ()
    if not poolings or not set(map(str, poolings)) <= set(POOLINGS):
        raise ConfigError(f"pooling_mode is one of {', '.join(POOLINGS)}, or a list of them; {path} has {short_repr(asked)}.")
    return poolings, bool(values.get("include_prompt", True))


def checked(sentence_config: SentenceConfig, source: str) -> SentenceConfig:
    """ConfigError for a value that cannot be."""
    check_text_settings(sentence_config.longest, sentence_config.prompts, sentence_config.prompt_name, source)
    if not isinstance(sentence_config.similarity, str) or sentence_config.similarity not in SIMILARITIES:
        known = ", ".join(SIMILARITIES)
        raise ConfigError(f"similarity_fn_name is one of {known}; {source} has {short_repr(sentence_config.similarity)}.")
    length = sentence_config.truncate_dim
    if length is not None and (type(length) is not int or length < 1):
        raise ConfigError(f"truncate_dim must be a whole number, 1 or more; {source} has {short_repr(length)}.")
    return sentence_config


def check_text_settings(longest, prompts, prompt_name, source: str) -> None:
    """ConfigError for a value that cannot be, of those that cross-encoders have too."""
    if longest is not None and (type(longest) is not int or longest < 3):
        raise ConfigError(f"max_seq_length must be a whole number, 3 or more; {source} has {short_repr(longest)}.")
    if not isinstance(prompts, dict) or not all(isinstance(text, str) for text in prompts.values()):
        raise ConfigError(f"prompts must map names to texts; {source} has {short_repr(prompts)}.")
    if prompt_name is not None and prompt_name not in list(prompts):
        raise ConfigError(f"default_prompt_name must be one of the prompts; {source} has {short_repr(prompt_name)}.")


def write_sentence_config(sentence_config: SentenceConfig, folder: Path, width: int) -> None:
    """The files that `read_sentence_config` reads, for a model of this width whose own files are in the folder itself."""
    steps = ["Transformer", "Pooling", *["Dense"] * len(sentence_config.dense), *["Normalize"] * sentence_config.normalize]
    homes = ["", *(f"{index}_{step}" for index, step in enumerate(steps[1:], 1))]
    for home, dense in zip(homes[2:], sentence_config.dense):
        write_dense(dense, folder / home)
    pooling = {
        "word_embedding_dimension": width,
        "pooling_mode": sentence_config.poolings[0] if len(sentence_config.poolings) == 1 else list(sentence_config.poolings),
        "include_prompt": sentence_config.include_prompt,
    }
    write_json(folder / homes[1] / "config.json", pooling)
    write_json(folder / LIMITS[0], {"max_seq_length": sentence_config.longest, "do_lower_case": sentence_config.lower})
    settings = {
        "prompts": dict(sentence_config.prompts),
        "default_prompt_name": sentence_config.prompt_name,
        "similarity_fn_name": sentence_config.similarity,
        "truncate_dim": sentence_config.truncate_dim,
    }
    write_json(folder / SETTINGS, settings)
    modules = [
        {"idx": index, "name": str(index), "path": home, "type": f"sentence_transformers.models.{step}"}
        for index, (step, home) in enumerate(zip(steps, homes))
    ]
    write_json(folder / "modules.json", modules)


def write_dense(dense: Dense, folder: Path) -> None:
    outputs, inputs = dense.weight.shape
    settings = {
        "in_features": inputs,
        "out_features": outputs,
        "bias": True,
        "activation_function": torch_name(dense.activation),
    }
    save_tensors(folder / WEIGHTS, {"linear.weight": dense.weight, "linear.bias": dense.bias})
    write_json(folder / "config.json", settings)


def torch_name(activation: str) -> str:
    """A name of ACTIVATIONS -> the path of torch's class, as sentence-transformers' files have it."""
    return f"torch.nn.modules.{'linear' if activation == 'Identity' else 'activation'}.{activation}"


def distances(one: np.ndarray, other: np.ndarray, order: int) -> np.ndarray:
    """Vectors (S, D) and (R, D) -> (S, R): the norm of each difference, of order 1 or 2."""
    rows = [np.linalg.norm(other - vector, order, axis=1) for vector in one]
    return np.array(rows, np.result_type(one, other)).reshape(len(one), len(other))


def normalized(vectors: np.ndarray) -> np.ndarray:
    """(S, D) -> (S, D), each of length 1; zeros stay zeros."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32(1e-12))
