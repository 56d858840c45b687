"""One vector a text: text -> hidden states -> pooled -> dense -> normalized, as a sentence-transformers folder says.

sentence_config.py reads what the folder says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from os import PathLike
from typing import Any

import numpy as np

from minibert.kernels.catalog import make_ops

from .. import hub
from ..auto import AutoModel, AutoTokenizer, config_of
from ..errors import ConfigError, InputError, InputTypeError, read_flag, read_int, short_repr, strict_arguments
from ..files import as_folder
from ..models.base import check_finite
from ..models.checks import check_vocabulary
from ..models.heads import real_numbers
from .base import BATCH, as_text, batches, check_count
from .sentence_config import (
    ACTIVATIONS,
    POOLINGS,
    SIMILARITIES,
    SentenceConfig,
    normalized,
    read_sentence_config,
    write_sentence_config,
)
from .streaming import as_rows, in_batches, stream, type_name
from .text_settings import TextSettings, longest_of


class SentenceEncoder(TextSettings):
    """`SentenceEncoder.from_pretrained(name).encode(texts)`: a vector each, such that near ones mean near things.

    `prompts`, `default_prompt_name`, `similarity_fn_name`, `max_seq_length` and `truncate_dim` begin as the folder says,
    and may be set.
    """

    @strict_arguments
    def __init__(self, model, tokenizer, sentence_config: SentenceConfig | None = None):
        classes = tuple(AutoModel.classes().values())
        if not isinstance(model, classes):
            names = " or ".join(known.__name__ for known in classes)
            raise InputTypeError(
                f"a SentenceEncoder has a {names}; got {type(model).__name__}. For a checkpoint, call "
                "SentenceEncoder.from_pretrained(name)."
            )
        if not callable(tokenizer) or not hasattr(tokenizer, "model_max_length"):
            raise InputTypeError(f"tokenizer must be a loaded one; got {type(tokenizer).__name__}. See AutoTokenizer.")
        sentence_config = SentenceConfig() if sentence_config is None else sentence_config
        if not isinstance(sentence_config, SentenceConfig):
            name = type(sentence_config).__name__
            raise InputTypeError(f"sentence_config must be what read_sentence_config returns, a SentenceConfig; got {name}.")
        check_vocabulary(model, tokenizer)
        sentence_config = sentence_config._replace(prompts=dict(sentence_config.prompts))
        self.model, self.tokenizer, self.sentence_config = model, tokenizer, sentence_config
        self._longest = longest_of(sentence_config.longest, tokenizer, model)
        self.width = len(sentence_config.poolings) * model.config.hidden_size  # of a vector; after each Dense step, its
        self.dense = []
        for step in sentence_config.dense:
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
        return cls.from_checkpoint(checkpoint, kernels, strict)

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint,
        kernels: str | Mapping[str, str],
        strict: bool = True,
        config_overrides: Mapping[str, Any] | None = None,
        tokenizer_overrides: Mapping[str, Any] | None = None,
    ):
        """A located checkpoint -> the encoder. The overrides go over its config.json and tokenizer_config.json."""
        sentence_config = read_sentence_config(checkpoint, strict)
        checkpoint = checkpoint.within(sentence_config.model_folder)
        config = config_of(checkpoint, **(config_overrides or {}))
        model = AutoModel.class_for(type(config)).from_checkpoint(checkpoint, config, kernels, strict)
        return cls(model, AutoTokenizer.from_pretrained(checkpoint, **(tokenizer_overrides or {})), sentence_config)

    @strict_arguments
    def save_pretrained(self, folder: str | PathLike) -> None:
        """Write a folder that `from_pretrained` and sentence-transformers load: model, tokenizer, steps and settings."""
        folder = as_folder(folder)
        sentence_config = self.sentence_config._replace(longest=self.max_seq_length, model_folder="")
        write_sentence_config(
            sentence_config, folder, self.model.config.hidden_size
        )  # first: half a folder then gives no other vectors
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    @property
    def similarity_fn_name(self) -> str:
        """How `similarity` compares: cosine, dot, euclidean or manhattan."""
        return self.sentence_config.similarity

    @similarity_fn_name.setter
    def similarity_fn_name(self, name: str | None) -> None:
        self.sentence_config = self.sentence_config._replace(similarity="cosine" if name is None else known_similarity(name))

    @property
    def truncate_dim(self) -> int | None:
        """How many of a vector's first components are kept; None keeps all."""
        return self.sentence_config.truncate_dim

    @truncate_dim.setter
    def truncate_dim(self, count: int | None) -> None:
        self.sentence_config = self.sentence_config._replace(truncate_dim=read_truncate_dim(count))

    @property
    def dimension(self) -> int:
        """D, how long the vectors are that `encode` returns."""
        return self.width if self.truncate_dim is None else min(self.width, self.truncate_dim)

    @strict_arguments
    def encode(
        self,
        texts,
        *,
        batch_size: int = BATCH,
        normalize: bool | None = None,
        prompt: str | None = None,
        prompt_name: str | None = None,
        truncate_dim: int | None = None,
    ) -> np.ndarray:
        """A text -> (D,); an iterable of S texts -> (S, D). float32, of length 1 where the model says so or `normalize` does.

        A text that is too long is cut to `max_seq_length` tokens. `prompt` stands before each text; `prompt_name` is
        one that the model brings (`prompts`). `truncate_dim` goes before the encoder's own: with it, vectors have length
        1 only if `normalize` says so.
        """
        check_count("batch_size", batch_size)
        normalize = None if normalize is None else read_flag("normalize", normalize)
        truncate_dim = self.truncate_dim if truncate_dim is None else read_truncate_dim(truncate_dim)
        prompt = self.chosen_prompt(prompt, prompt_name)
        one = isinstance(texts, str)
        rows = batches([texts] if one else rows_of(texts), batch_size, as_text)
        pooled = [vector for batch in rows for vector in self.vectors(batch, prompt)]
        vectors = self.finished(np.stack(pooled) if pooled else None, normalize, truncate_dim)
        return vectors[0] if one else vectors

    def finished(self, pooled: np.ndarray | None, normalize: bool | None, truncate_dim: int | None) -> np.ndarray:
        """Pooled vectors (S, W), None for none -> (S, D): through each Dense step, normalized and truncated."""
        vectors = np.zeros((0, self.width), np.float32) if pooled is None else pooled
        for parameters, activation in self.dense if len(vectors) else ():
            vectors = activation(self.model.kernels.linear(vectors, *parameters))
            check_finite(vectors)
        if normalize is None and self.sentence_config.normalize:  # the folder's last step, before vectors are truncated
            vectors = normalized(vectors)
        vectors = np.ascontiguousarray(vectors[:, :truncate_dim])
        return normalized(vectors) if normalize else vectors

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
        self,
        *,
        normalize: bool | None = None,
        prompt: str | None = None,
        prompt_name: str | None = None,
        truncate_dim: int | None = None,
    ) -> Callable[[list], Iterator[tuple[int, Any]]]:
        """Options of `encode` -> a function from texts to (place, vector) of each, as a pipeline's `answered` is."""
        options: dict[str, Any] = {
            "normalize": None if normalize is None else read_flag("normalize", normalize),
            "prompt": self.chosen_prompt(prompt, prompt_name),
            "truncate_dim": read_truncate_dim(truncate_dim),
        }
        return lambda texts: in_batches(
            texts, self.tokenizer, lambda batch: self.encode(batch, batch_size=len(batch), **options)
        )

    def vectors(self, texts: list[str], prompt: str) -> list[np.ndarray]:
        """Texts -> their vectors, each from its own tokens only."""
        encoded, start = self.tokenize([prompt + text for text in texts]), self.prompt_length(prompt)
        if self.sentence_config.poolings == ("cls",) and not start and encoded["attention_mask"][:, 0].all():
            return list(self.model.encode(self.model.pack(**encoded), cls_only=True))
        return self.pooled(self.model(**encoded).last_hidden_state, encoded["attention_mask"], start)

    def prompt_length(self, prompt: str) -> int:
        """How many tokens, [CLS] and the prompt's, are not pooled: none unless the folder says so."""
        return self.tokenize([prompt])["input_ids"].shape[1] - 1 if prompt and not self.sentence_config.include_prompt else 0

    def pooled(self, hidden: np.ndarray, mask: np.ndarray, start: int = 0) -> list[np.ndarray]:
        """hidden (B, T, D) and mask (B, T) -> a vector (W,) of each row, from its tokens from `start` on."""
        vectors = []
        for row, real in zip(hidden, mask.astype(bool)):
            own = row[real]  # (L, D)
            weights = np.arange(1, len(own) + 1, dtype=np.float32)[:, None]
            own, weights = (own[start:], weights[start:]) if start < len(own) else (own, weights)
            vectors.append(np.concatenate([POOLINGS[name](own, weights) for name in self.sentence_config.poolings]))
        return vectors

    def features(self, texts: list[str], prompt: str) -> dict[str, np.ndarray]:
        """Texts -> everything on the way to their vectors: the tokenizer's arrays (B, T), `token_embeddings` (B, T, D) and
        `sentence_embedding` (B, W), not truncated."""
        encoded = self.tokenize([prompt + text for text in texts])
        hidden = self.model(**encoded).last_hidden_state
        pooled = np.stack(self.pooled(hidden, encoded["attention_mask"], self.prompt_length(prompt)))
        return {**encoded, "token_embeddings": hidden, "sentence_embedding": self.finished(pooled, None, None)}

    @strict_arguments
    def tokenize(self, texts: list[str]):
        if isinstance(texts, str):
            raise InputTypeError("tokenize takes a list of texts; got one text.")
        texts = [as_text(text) for text in rows_of(texts)]
        texts = [text.lower() for text in texts] if self.sentence_config.lower else texts
        return self.tokenizer(texts, padding=True, truncation=True, max_length=self.max_seq_length, return_tensors="np")

    @strict_arguments
    def similarity(self, one, other, function: str | None = None) -> np.ndarray:
        """Vectors (S, D) and (R, D) -> (S, R), more where they are nearer: cosines, dot products, or distances below 0, as
        `function` says or else `similarity_fn_name`."""
        compare = SIMILARITIES[self.similarity_fn_name if function is None else known_similarity(function)]
        one, other = as_vectors(one), as_vectors(other)
        if one.shape[1] != other.shape[1]:
            raise InputError(f"vectors must be of one length; got {one.shape[1]} and {other.shape[1]}.")
        return compare(one, other)


def read_truncate_dim(count: int | None) -> int | None:
    return None if count is None else read_int("truncate_dim", count, 1)


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
