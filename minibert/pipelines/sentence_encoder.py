"""One vector a text: text -> hidden states -> pooled -> dense -> normalized, as a sentence-transformers folder says.

sentence_recipe.py reads what the folder says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from os import PathLike
from typing import Any

import numpy as np

from minibert.kernels.catalog import make_ops

from .. import hub
from ..auto import AutoModel, AutoTokenizer, config_of
from ..errors import ConfigError, InputError, InputTypeError, is_integer, read_flag, short_repr, strict_arguments
from ..models.base import check_finite
from ..models.checks import check_vocabulary
from ..models.heads import real_numbers
from .base import BATCH, as_text, batches, check_count
from .sentence_recipe import ACTIVATIONS, POOLINGS, SIMILARITIES, Recipe, normalized, read_recipe
from .streaming import as_rows, in_batches, stream, type_name


class SentenceEncoder:
    """`SentenceEncoder.from_pretrained(name).encode(texts)`: a vector each, such that near ones mean near things.

    `prompts`, `default_prompt_name`, `similarity_fn_name` and `max_seq_length` begin as the folder says, and may be set.
    """

    @strict_arguments
    def __init__(self, model, tokenizer, recipe: Recipe | None = None):
        classes = tuple(AutoModel.classes().values())
        if not isinstance(model, classes):
            names = " or ".join(known.__name__ for known in classes)
            raise InputTypeError(
                f"a SentenceEncoder has a {names}; got {type(model).__name__}. For a checkpoint, call "
                "SentenceEncoder.from_pretrained(name)."
            )
        if not callable(tokenizer) or not hasattr(tokenizer, "model_max_length"):
            raise InputTypeError(f"tokenizer must be a loaded one; got {type(tokenizer).__name__}. See AutoTokenizer.")
        recipe = Recipe() if recipe is None else recipe
        if not isinstance(recipe, Recipe):
            raise InputTypeError(f"recipe must be a Recipe, as read_recipe gives it; got {type(recipe).__name__}.")
        check_vocabulary(model, tokenizer)
        recipe = recipe._replace(prompts=dict(recipe.prompts))
        self.model, self.tokenizer, self.recipe = model, tokenizer, recipe
        limits = (recipe.longest, tokenizer.model_max_length, model.config.max_position_embeddings)
        self._longest = min(limit for limit in limits if limit is not None)
        self.width = len(recipe.poolings) * model.config.hidden_size  # of a vector; after each Dense step, its
        self.dense = []
        for step in recipe.dense:
            if step.weight.shape[1] != self.width:
                raise ConfigError(
                    f"a Dense step's in_features must be {self.width}, what it is given; got {step.weight.shape[1]}."
                )
            self.dense.append((model.kernels.pack_weights("linear", step.weight, step.bias), ACTIVATIONS[step.activation]))
            self.width = len(step.weight)

    @classmethod
    @strict_arguments
    def from_pretrained(
        cls,
        name: str | PathLike,
        *,
        kernels: str | Mapping[str, str] = "auto",
        revision: str | None = None,
        cache_dir: str | PathLike | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        strict: bool = True,
    ):
        """A folder or a repository of the hub; one without modules.json gets the mean of its tokens, and a log line.

        With strict=False, tensors that the model has no use for are a warning and no error.
        """
        strict = read_flag("strict", strict)
        make_ops(kernels)  # a name that is wrong is known before anything is downloaded
        checkpoint = hub.locate(name, revision=revision, cache_dir=cache_dir, token=token, local_files_only=local_files_only)
        recipe = read_recipe(checkpoint, strict)
        checkpoint = checkpoint.within(recipe.model_folder)
        config = config_of(checkpoint)
        model = AutoModel.class_for(type(config)).from_checkpoint(checkpoint, config, kernels, strict)
        return cls(model, AutoTokenizer.from_pretrained(checkpoint), recipe)

    @property
    def prompts(self) -> Mapping[str, str]:
        """Names -> what stands before each text where the name is chosen."""
        return self.recipe.prompts

    @prompts.setter
    def prompts(self, prompts: Mapping[str, str]) -> None:
        if not isinstance(prompts, Mapping) or not all(isinstance(text, str) for text in [*prompts, *prompts.values()]):
            raise InputTypeError(f"prompts must map names to texts; got {short_repr(prompts)}.")
        default = self.default_prompt_name if self.default_prompt_name in prompts else None
        self.recipe = self.recipe._replace(prompts=dict(prompts), prompt_name=default)

    @property
    def default_prompt_name(self) -> str | None:
        """The prompt that is used where a call names none."""
        return self.recipe.prompt_name

    @default_prompt_name.setter
    def default_prompt_name(self, name: str | None) -> None:
        if name is not None:
            prompt_of(self.prompts, name)
        self.recipe = self.recipe._replace(prompt_name=name)

    @property
    def similarity_fn_name(self) -> str:
        """How `similarity` compares: cosine, dot, euclidean or manhattan."""
        return self.recipe.similarity

    @similarity_fn_name.setter
    def similarity_fn_name(self, name: str | None) -> None:
        self.recipe = self.recipe._replace(similarity="cosine" if name is None else known_similarity(name))

    @property
    def max_seq_length(self) -> int:
        """Tokens; what is longer is cut."""
        return self._longest

    @max_seq_length.setter
    def max_seq_length(self, longest: int) -> None:
        most = self.model.config.max_position_embeddings
        if not is_integer(longest) or not 3 <= longest <= most:
            rule = f"max_seq_length must be a whole number from 3 to {most}, the model's positions"
            raise InputError(f"{rule}; got {short_repr(longest)}.")
        self._longest = int(longest)

    @strict_arguments
    def encode(
        self,
        texts,
        *,
        batch_size: int = BATCH,
        normalize: bool | None = None,
        prompt: str | None = None,
        prompt_name: str | None = None,
    ) -> np.ndarray:
        """A text -> (D,); an iterable of S texts -> (S, D). float32, of length 1 where the model says so or `normalize` does.

        A text that is too long is cut to `max_seq_length` tokens. `prompt` stands before each text; `prompt_name` is
        one that the model brings (`prompts`).
        """
        check_count("batch_size", batch_size)
        normalize = self.recipe.normalize if normalize is None else read_flag("normalize", normalize)
        prompt = self.chosen_prompt(prompt, prompt_name)
        if isinstance(texts, str):
            return self.encode([texts], normalize=normalize, prompt=prompt)[0]
        rows = batches(rows_of(texts), batch_size, as_text)
        vectors = [vector for batch in rows for vector in self.vectors(batch, prompt)]
        if not vectors:
            return np.zeros((0, self.width), np.float32)
        stacked = np.stack(vectors)
        for parameters, activation in self.dense:
            stacked = activation(self.model.kernels.linear(stacked, *parameters))
            check_finite(stacked)
        return normalized(stacked) if normalize else stacked

    @strict_arguments
    def encode_query(self, texts, *, prompt: str | None = None, prompt_name: str | None = None, **options: Any) -> np.ndarray:
        """As `encode`, of what is searched with: the model's prompt "query" stands before each text, if it has one."""
        return self.encode(texts, prompt=self.prompt_for("query", prompt, prompt_name), prompt_name=prompt_name, **options)

    @strict_arguments
    def encode_document(
        self, texts, *, prompt: str | None = None, prompt_name: str | None = None, **options: Any
    ) -> np.ndarray:
        """As `encode`, of what is searched in: with the prompt "document"."""
        return self.encode(texts, prompt=self.prompt_for("document", prompt, prompt_name), prompt_name=prompt_name, **options)

    def prompt_for(self, purpose: str, prompt: str | None, prompt_name: str | None) -> str | None:
        """The purpose's own prompt, where the caller names none; never the default of the others."""
        return self.prompts.get(purpose, "") if prompt is None and prompt_name is None else prompt

    @strict_arguments
    def stream(self, texts: Iterable[str], **options: Any) -> Iterator[np.ndarray]:
        """An iterable of any length -> a vector (D,) of each text, in order; reads some 1,000 texts ahead."""
        return stream(texts, self.answered(**options))

    @strict_arguments
    def answered(
        self, *, normalize: bool | None = None, prompt: str | None = None, prompt_name: str | None = None
    ) -> Callable[[list], Iterator[tuple[int, Any]]]:
        """Options of `encode` -> a function from texts to (place, vector) of each, as a pipeline's `answered` is."""
        prompt = self.chosen_prompt(prompt, prompt_name)
        normalize = None if normalize is None else read_flag("normalize", normalize)
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
            return list(self.model.encode(self.model.pack(**encoded), cls_only=True))
        hidden = self.model(**encoded).last_hidden_state  # (B, T, D)
        vectors = []
        for row, mask in zip(hidden, encoded["attention_mask"].astype(bool)):
            states = row[mask]  # (L, D)
            weights = np.arange(1, len(states) + 1, dtype=np.float32)[:, None]
            states, weights = (states[start:], weights[start:]) if start < len(states) else (states, weights)
            vectors.append(np.concatenate([POOLINGS[name](states, weights) for name in self.recipe.poolings]))
        return vectors

    @strict_arguments
    def tokenize(self, texts: list[str]):
        if isinstance(texts, str):
            raise InputTypeError("tokenize takes a list of texts; got one text.")
        texts = [as_text(text) for text in rows_of(texts)]
        texts = [text.lower() for text in texts] if self.recipe.lower else texts
        return self.tokenizer(texts, padding=True, truncation=True, max_length=self.max_seq_length, return_tensors="np")

    def chosen_prompt(self, prompt: str | None, name: str | None) -> str:
        if prompt is not None:
            return as_text(prompt)
        name = self.default_prompt_name if name is None else name
        return "" if name is None else prompt_of(self.prompts, name)

    @strict_arguments
    def similarity(self, one, other, function: str | None = None) -> np.ndarray:
        """Vectors (S, D) and (R, D) -> (S, R), more where they are nearer: cosines, dot products, or distances below 0, as
        `function` says or else `similarity_fn_name`."""
        compare = SIMILARITIES[self.similarity_fn_name if function is None else known_similarity(function)]
        one, other = as_vectors(one), as_vectors(other)
        if one.shape[1] != other.shape[1]:
            raise InputError(f"vectors must be of one length; got {one.shape[1]} and {other.shape[1]}.")
        return compare(one, other)


def prompt_of(prompts: Mapping[str, str], name: str) -> str:
    """A model's prompts and the name of one -> the prompt."""
    if not isinstance(name, str) or name not in prompts:
        known = ", ".join(map(repr, prompts)) or "none"
        rule = f"prompt_name is one of the model's prompts, {known}"
        raise InputError(f"{rule}; got {short_repr(name)}. Pass prompt='...' for another.")
    return as_text(prompts[name])


def known_similarity(name: str) -> str:
    """A similarity's name, or a member of sentence-transformers' SimilarityFunction -> the name."""
    name = getattr(name, "value", name)
    if not isinstance(name, str) or name not in SIMILARITIES:
        raise InputError(f"the similarity is one of {', '.join(SIMILARITIES)}; got {short_repr(name)}.")
    return name


def as_vectors(values) -> np.ndarray:
    """A vector (D,) or several (S, D) -> (S, D) float32."""
    vectors = np.atleast_2d(real_numbers(values, "vectors"))
    if vectors.ndim != 2 or not np.ndim(values):
        raise InputError(f"vectors must be of shape (D,) or (S, D); got {np.shape(values)}.")
    return vectors.astype(np.float32, copy=False)


def rows_of(texts) -> Iterable:
    """What holds several texts -> an iterable of them."""
    rows = None if isinstance(texts, (set, frozenset)) else as_rows(texts)
    if rows is None:
        raise InputTypeError(f"encode takes a text or a list of texts; got {type_name(texts)}.")
    return rows
