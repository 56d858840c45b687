"""One vector a text: text -> hidden states -> pooled -> normalised, as a sentence-transformers folder says.

    modules.json                        the steps: Transformer, Pooling, Normalize
    1_Pooling/config.json               how a text's hidden states become one vector
    sentence_bert_config.json           the longest text, and whether to lower its letters
    config_sentence_transformers.json   prompts, and how two vectors are compared
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

from .. import hub
from ..config import config_of
from ..errors import ConfigError, InputError, InputTypeError
from ..files import read_json
from ..models.auto import AutoModel
from ..tokenization import AutoTokenizer
from .base import BATCH, as_text, batches, check_count

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
STEPS = ("Transformer", "Pooling", "Normalize")
SIMILARITIES = ("cosine", "dot")

log = logging.getLogger("minibert")


class Recipe(NamedTuple):
    """What a sentence-transformers folder says beside its model."""

    poolings: tuple[str, ...] = ("mean",)
    include_prompt: bool = True  # whether the prompt's tokens are pooled too
    normalize: bool = False
    longest: int | None = None  # tokens
    lower: bool = False
    prompts: Mapping[str, str] = {}
    prompt_name: str | None = None
    similarity: str = "cosine"


class SentenceEncoder:
    """`SentenceEncoder.from_pretrained(name).encode(texts)`: a vector each, such that near ones mean near things."""

    def __init__(self, model, tokenizer, recipe: Recipe = Recipe()):
        self.model, self.tokenizer, self.recipe = model, tokenizer, recipe
        limits = (recipe.longest, tokenizer.model_max_length, model.config.max_position_embeddings)
        self.max_seq_length = min(limit for limit in limits if limit is not None)

    @classmethod
    def from_pretrained(cls, name: str | PathLike, *, kernels: str | Mapping[str, str] = "auto",
                        revision: str | None = None, cache_dir: str | PathLike | None = None,
                        token: str | bool | None = None, local_files_only: bool = False):  # fmt: skip
        """A folder or a repository of the hub; one without modules.json gets the mean of its tokens, and a log line."""
        where = {"cache_dir": cache_dir, "token": token, "local_files_only": local_files_only}
        checkpoint = hub.locate(name, revision=revision, **where)
        recipe = read_recipe(checkpoint)
        config = config_of(checkpoint)
        model = AutoModel.class_for(type(config)).from_checkpoint(checkpoint, config, kernels)
        tokenizer = AutoTokenizer.from_pretrained(name, revision=checkpoint.commit or revision, **where)
        return cls(model, tokenizer, recipe)

    def encode(self, texts, *, batch_size: int = BATCH, normalize: bool | None = None, prompt: str | None = None,
               prompt_name: str | None = None) -> np.ndarray:  # fmt: skip
        """A text -> (D,); a list of S texts -> (S, D). float32, of length 1 where the model says so or `normalize` does.

        A text that is too long is cut to `max_seq_length` tokens. `prompt` stands before each text; `prompt_name` is
        one that the model brings (`recipe.prompts`).
        """
        check_count("batch_size", batch_size)
        if isinstance(texts, str):
            return self.encode([texts], normalize=normalize, prompt=prompt, prompt_name=prompt_name)[0]
        if not isinstance(texts, (list, tuple, np.ndarray)):
            raise InputTypeError(f"encode takes a text or a list of texts; got {type(texts).__name__}.")
        prompt = self.chosen_prompt(prompt, prompt_name)
        vectors = [vector for batch in batches(texts, batch_size, as_text) for vector in self.vectors(batch, prompt)]
        if not vectors:
            return np.zeros((0, len(self.recipe.poolings) * self.model.config.hidden_size), np.float32)
        found = np.stack(vectors)
        return normalized(found) if (self.recipe.normalize if normalize is None else normalize) else found

    def vectors(self, texts: list[str], prompt: str) -> list[np.ndarray]:
        """Texts -> their vectors, each from its own tokens only."""
        encoded = self.tokenize([prompt + text for text in texts])
        hidden = self.model(**encoded).last_hidden_state  # (B, T, D)
        start = 0
        if prompt and not self.recipe.include_prompt:  # [CLS] and the prompt are not pooled
            start = self.tokenize([prompt])["input_ids"].shape[1] - 1
        found = []
        for row, mask in zip(hidden, encoded["attention_mask"].astype(bool)):
            own = row[mask]  # (L, D)
            weights = np.arange(1, len(own) + 1, dtype=np.float32)[:, None]
            own, weights = (own[start:], weights[start:]) if start < len(own) else (own, weights)
            found.append(np.concatenate([POOLINGS[name](own, weights) for name in self.recipe.poolings]))
        return found

    def tokenize(self, texts: list[str]):
        texts = [text.lower() for text in texts] if self.recipe.lower else texts
        return self.tokenizer(texts, padding=True, truncation=True, max_length=self.max_seq_length, return_tensors="np")

    def chosen_prompt(self, prompt: str | None, name: str | None) -> str:
        if prompt is not None:
            return as_text(prompt)
        name = self.recipe.prompt_name if name is None else name
        if name is not None and name not in self.recipe.prompts:
            known = ", ".join(map(repr, self.recipe.prompts)) or "none"
            raise InputError(
                f"prompt_name is one of the model's prompts, {known}; got {name!r}. Pass prompt='...' for another."
            )
        return "" if name is None else self.recipe.prompts[name]

    def similarity(self, one, other, function: str | None = None) -> np.ndarray:
        """Vectors (S, D) and (R, D) -> (S, R): cosines or dot products, as `function` says or else the model."""
        function = self.recipe.similarity if function is None else function
        if function not in SIMILARITIES:
            raise InputError(f"the similarity is one of {', '.join(SIMILARITIES)}; got {function!r}.")
        one, other = (np.atleast_2d(np.asarray(vectors, np.float32)) for vectors in (one, other))
        if one.shape[1] != other.shape[1]:
            raise InputError(f"vectors must be of one length; got {one.shape[1]} and {other.shape[1]}.")
        return one @ other.T if function == "dot" else normalized(one) @ normalized(other).T


def normalized(vectors: np.ndarray) -> np.ndarray:
    """(S, D) -> (S, D), each of length 1; zeros stay zeros."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32(1e-12))


def read_recipe(checkpoint) -> Recipe:
    """A located checkpoint's files -> Recipe. ConfigError for a step that is not of STEPS."""
    modules = checkpoint.optional("modules.json")
    if modules is None:
        log.warning("%s has no modules.json: its vectors are the mean of their tokens.", checkpoint.name)
        return Recipe()
    poolings, include_prompt, normalize = ("mean",), True, False
    for number, step in enumerate(read_json(modules, ConfigError, list)):
        kind = str(step.get("type")).rpartition(".")[2] if isinstance(step, dict) else repr(step)
        folder = step.get("path") if isinstance(step, dict) else None
        if kind not in STEPS or (kind == "Transformer") != (number == 0) or (number == 0 and folder != ""):
            raise ConfigError(
                f"the steps of a sentence model must be a Transformer in the folder itself, then Pooling and Normalize; "
                f"{modules} has {kind} in {folder!r}."
            )
        if kind == "Pooling":
            poolings, include_prompt = read_pooling(checkpoint.file(f"{folder}/config.json"))
        normalize = normalize or kind == "Normalize"
    limits, prompts = (
        read_json(path, ConfigError) if (path := checkpoint.optional(name)) else {}
        for name in ("sentence_bert_config.json", "config_sentence_transformers.json")
    )
    return checked(Recipe(
        poolings, include_prompt, normalize, limits.get("max_seq_length"), bool(limits.get("do_lower_case")),
        prompts.get("prompts", {}), prompts.get("default_prompt_name"), prompts.get("similarity_fn_name") or "cosine",
    ), checkpoint.name)  # fmt: skip


def read_pooling(path) -> tuple[tuple[str, ...], bool]:
    """1_Pooling/config.json -> the ways of pooling whose vectors are joined, and whether a prompt is pooled too."""
    values = read_json(path, ConfigError)
    asked: Any = values.get("pooling_mode")
    if asked is None:
        asked = [name for key, name in OLD_KEYS.items() if values.get(key)] or ["mean"]
    poolings = tuple([asked] if isinstance(asked, str) else asked) if isinstance(asked, (str, list)) else ()
    if not poolings or not set(map(str, poolings)) <= set(POOLINGS):
        raise ConfigError(f"pooling_mode is one of {', '.join(POOLINGS)}, or a list of them; {path} has {asked!r}.")
    return poolings, bool(values.get("include_prompt", True))


def checked(recipe: Recipe, source: str) -> Recipe:
    """ConfigError for a value that cannot be."""
    longest, prompts = recipe.longest, recipe.prompts
    if longest is not None and (type(longest) is not int or longest < 3):
        raise ConfigError(f"max_seq_length must be a whole number, 3 or more; {source} has {longest!r}.")
    if not isinstance(prompts, dict) or not all(isinstance(text, str) for text in prompts.values()):
        raise ConfigError(f"prompts must map names to texts; {source} has {prompts!r:.80}.")
    if recipe.prompt_name is not None and recipe.prompt_name not in prompts:
        raise ConfigError(f"default_prompt_name must be one of the prompts; {source} has {recipe.prompt_name!r:.80}.")
    if recipe.similarity not in SIMILARITIES:
        known = ", ".join(SIMILARITIES)
        raise ConfigError(f"similarity_fn_name is one of {known}; {source} has {recipe.similarity!r:.80}.")
    return recipe
