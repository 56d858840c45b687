"""One vector a text: text -> hidden states -> pooled -> dense -> normalised, as a sentence-transformers folder says.

sentence_recipe.py reads what the folder says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from os import PathLike
from typing import Any

import numpy as np

from .. import hub
from ..config import config_of
from ..errors import ConfigError, InputError, InputTypeError
from ..models.auto import AutoModel
from ..models.base import check_finite
from ..tokenization import AutoTokenizer
from .base import BATCH, as_text, batches, check_count
from .sentence_recipe import ACTIVATIONS, POOLINGS, SIMILARITIES, Recipe, read_recipe
from .streaming import in_batches, stream

class SentenceEncoder:
    """`SentenceEncoder.from_pretrained(name).encode(texts)`: a vector each, such that near ones mean near things."""

    def __init__(self, model, tokenizer, recipe: Recipe = Recipe()):
        self.model, self.tokenizer, self.recipe = model, tokenizer, recipe
        limits = (recipe.longest, tokenizer.model_max_length, model.config.max_position_embeddings)
        self.max_seq_length = min(limit for limit in limits if limit is not None)
        self.width = len(recipe.poolings) * model.config.hidden_size  # of a vector; after each Dense step, its
        self.dense = []
        for step in recipe.dense:
            if step.weight.shape[1] != self.width:
                raise ConfigError(f"a Dense step's in_features must be {self.width}, what it is given; got {step.weight.shape[1]}.")
            self.dense.append((model.kernels.prepare("linear", step.weight, step.bias), ACTIVATIONS[step.activation]))
            self.width = len(step.weight)

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
            return np.zeros((0, self.width), np.float32)
        found = np.stack(vectors)
        for parameters, activation in self.dense:
            found = activation(self.model.kernels.linear(found, *parameters))
            check_finite(found)
        return normalized(found) if (self.recipe.normalize if normalize is None else normalize) else found

    def encode_query(self, texts, *, prompt: str | None = None, prompt_name: str | None = None, **options: Any) -> np.ndarray:
        """As `encode`, of what is searched with: the model's prompt "query" stands before each text, if it has one."""
        return self.encode(texts, prompt=self.prompt_for("query", prompt, prompt_name), prompt_name=prompt_name, **options)

    def encode_document(self, texts, *, prompt: str | None = None, prompt_name: str | None = None, **options: Any) -> np.ndarray:
        """As `encode`, of what is searched in: with the prompt "document"."""
        return self.encode(texts, prompt=self.prompt_for("document", prompt, prompt_name), prompt_name=prompt_name, **options)

    def prompt_for(self, purpose: str, prompt: str | None, prompt_name: str | None) -> str | None:
        """The purpose's own prompt, where the caller names none; never the default of the others."""
        return self.recipe.prompts.get(purpose, "") if prompt is None and prompt_name is None else prompt

    def stream(self, texts: Iterable[str], **options: Any) -> Iterator[np.ndarray]:
        """An iterable of any length -> a vector (D,) of each text, in order; reads some 1,000 texts ahead."""
        return stream(texts, self.answered(**options))

    def answered(self, *, normalize: bool | None = None, prompt: str | None = None,
                 prompt_name: str | None = None) -> Callable[[list], Iterator[tuple[int, Any]]]:  # fmt: skip
        """Options of `encode` -> a function from texts to (place, vector) of each, as a pipeline's `answered` is."""
        prompt = self.chosen_prompt(prompt, prompt_name)
        return lambda texts: in_batches(
            texts, self.tokenizer, lambda batch: self.encode(batch, batch_size=len(batch), normalize=normalize, prompt=prompt)
        )

    def vectors(self, texts: list[str], prompt: str) -> list[np.ndarray]:
        """Texts -> their vectors, each from its own tokens only."""
        encoded = self.tokenize([prompt + text for text in texts])
        start = 0
        if prompt and not self.recipe.include_prompt:  # [CLS] and the prompt are not pooled
            start = self.tokenize([prompt])["input_ids"].shape[1] - 1
        if self.recipe.poolings == ("cls",) and not start and encoded["attention_mask"][:, 0].all():
            return list(self.model.encode(self.model.pack(**encoded), first_only=True))
        hidden = self.model(**encoded).last_hidden_state  # (B, T, D)
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
