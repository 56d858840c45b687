"""A score for a query and a text: both go through the model as one sequence, and its head says how well they fit.

This is a cross-encoder, as sentence-transformers trains them: more exact than comparing two vectors, and slower, as nothing
of a text can be computed before the query is known. So an encoder of vectors finds candidates, and this class ranks them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from os import PathLike
from typing import Any

import numpy as np

from minibert.kernels.catalog import make_ops

from .. import hub
from ..auto import AutoModelForSequenceClassification, AutoTokenizer
from ..errors import InputError, InputTypeError, read_flag, read_int, strict_arguments
from ..families import PRETRAINED
from ..files import as_folder
from ..loading import ModelOptions
from ..models.checks import check_vocabulary
from ..tokenization.tokenizer import Tokenizer
from .base import BATCH, MODEL_INPUTS, as_text, check_count, of_another_library
from .reranking_config import TASK_NAME, RerankerConfig, read_reranker_config, write_reranker_config
from .score_activation import activation_of_files, name_to_save, read_activation_fn, scores_of
from .streaming import as_rows, batches_of_tokens, chunks, in_batches, num_chars, type_name
from .task import Option, Task
from .text_settings import TextSettings, longest_of

PAIR = "a pair of texts, (query, text)"


class Reranker(TextSettings, Task):
    """`Reranker.from_pretrained(name).rank(query, texts)`: the texts' indices and scores, best first.

    A pair's score is the same bits in any list, unless kernels are "reference", whose products are NumPy's. What is longer
    than `max_seq_length` tokens is cut, the longer text of a pair first. `activation_fn`, `prompts`, `default_prompt_name`
    and `max_seq_length` begin as the folder says, and may be set. A prompt precedes the query.
    """

    task = TASK_NAME
    trained_for = "text-classification"
    may_start_from = PRETRAINED
    command_options = (
        Option("query", "what each text is compared with", metavar="TEXT", input="query"),
        Option("query_column", "the column with the query of each text", metavar="NAME", input="query", is_column=True),
    )
    required_options = ("query", "query_column")
    answer_types = {"score": float}

    @strict_arguments
    def __init__(self, model: Any, tokenizer: Any, reranker_config: RerankerConfig | None = None) -> None:
        classes = tuple(AutoModelForSequenceClassification.classes().values())
        if not isinstance(model, classes):
            names = " or ".join(known.__name__ for known in classes)
            raise InputTypeError(
                f"a Reranker has a {names}; got {of_another_library(model)} For a checkpoint, call "
                "Reranker.from_pretrained(name)."
            )
        if not isinstance(tokenizer, Tokenizer):
            raise InputTypeError(f"tokenizer must be a loaded one; got {of_another_library(tokenizer)} See AutoTokenizer.")
        if reranker_config is None:
            reranker_config = RerankerConfig(activation_of_files({}, {}, model.config.num_labels, ""))
        if not isinstance(reranker_config, RerankerConfig):
            raise InputTypeError(f"reranker_config must be a RerankerConfig; got {type_name(reranker_config)}.")
        check_vocabulary(model, tokenizer)
        self.model, self.tokenizer, self.sentence_config = model, tokenizer, reranker_config
        self._activation_fn: Callable = reranker_config.activation
        self._longest = longest_of(reranker_config.longest, tokenizer, model)
        self.least_tokens = tokenizer.num_special_tokens_to_add(pair=True)

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
    ) -> Reranker:
        """A folder or a repository of the hub, as sentence-transformers or transformers wrote it.

        InputError if its head was trained for something else. With strict=False, tensors that the model has no use for are
        a warning and no error.
        """
        strict = read_flag("strict", strict)
        make_ops(kernels)  # a name that is wrong is known before anything is downloaded
        checkpoint = hub.locate(name, revision=revision, cache_dir=cache_dir, token=token, local_files_only=local_files_only)
        return cls.from_checkpoint(checkpoint, ModelOptions(kernels, strict))

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: hub.Checkpoint,
        options: ModelOptions,
        config_overrides: Mapping[str, Any] | None = None,
        tokenizer_overrides: Mapping[str, Any] | None = None,
    ) -> Reranker:
        """A located checkpoint -> the reranker. The overrides go over its config.json and tokenizer_config.json."""
        model_files, config, reranker_config = read_reranker_config(checkpoint, config_overrides or {})
        model = AutoModelForSequenceClassification.class_for(type(config)).from_checkpoint(model_files, config, options)
        return cls(model, AutoTokenizer.from_pretrained(model_files, **(tokenizer_overrides or {})), reranker_config)

    @strict_arguments
    def save_pretrained(self, folder: str | PathLike) -> None:
        """Write a folder that `from_pretrained` and sentence-transformers load: model, tokenizer, activation and settings.

        InputError if `activation_fn` is a function that files cannot name.
        """
        folder, activation = as_folder(folder), name_to_save(self.activation_fn)
        self.model.config.sentence_transformers = {"activation_fn": activation}  # which versions before 5 read
        write_reranker_config(self.sentence_config._replace(longest=self.max_seq_length), activation, folder)
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    @property
    def num_labels(self) -> int:
        """How many scores a pair has."""
        return self.model.config.num_labels

    @property
    def activation_fn(self) -> Callable:
        """From logits (S, labels) to scores. Another one is called with the logits of one pair (1, labels) at a time: NumPy,
        or a tensor if it is torch's own."""
        return self._activation_fn

    @activation_fn.setter
    def activation_fn(self, function: Callable) -> None:
        self._activation_fn = read_activation_fn(function)

    @strict_arguments
    def predict(
        self,
        pairs: Any,
        *,
        batch_size: int = BATCH,
        activation_fn: Callable | None = None,
        apply_softmax: bool = False,
        prompt: str | None = None,
        prompt_name: str | None = None,
    ) -> np.ndarray:
        """A pair (query, text) -> its score; an iterable of S pairs -> (S,), or (S, labels) of a model with several labels.

        `activation_fn` replaces the model's own; `apply_softmax` makes several labels' scores sum to 1. float32.
        """
        check_count("batch_size", batch_size)
        function = self.activation_fn if activation_fn is None else read_activation_fn(activation_fn)
        apply_softmax = read_flag("apply_softmax", apply_softmax)
        prompt = self.chosen_prompt(prompt, prompt_name)
        one = is_one_pair(pairs)
        rows = map(as_pair, [pairs] if one else rows_of_pairs(pairs))
        parts = [self.logits(chunk, prompt, batch_size) for chunk in chunks(rows, num_chars)]
        scores = scores_of(np.concatenate([np.zeros((0, self.num_labels), np.float32), *parts]), function, apply_softmax)
        return scores[0] if one else scores

    def logits(self, pairs: list[tuple[str, str]], prompt: str, batch_size: int) -> np.ndarray:
        """Pairs -> logits (S, labels), computed in batches of pairs of like length."""
        queries, texts = [prompt + query for query, _ in pairs], [text for _, text in pairs]
        rows = self.tokenizer(queries, texts, truncation=True, max_length=self.max_seq_length, verbose=False)
        logits = np.empty((len(pairs), self.num_labels), np.float32)
        for batch in batches_of_tokens([len(ids) for ids in rows["input_ids"]], batch_size):
            inputs = {name: [rows[name][index] for index in batch] for name in MODEL_INPUTS if name in rows}
            logits[batch] = self.model(**self.tokenizer.pad(inputs, return_tensors="np")).logits
        return logits

    @strict_arguments
    def rank(
        self,
        query: str,
        documents: Any,
        *,
        top_k: int | None = None,
        return_documents: bool = False,
        batch_size: int = BATCH,
        activation_fn: Callable | None = None,
        prompt: str | None = None,
        prompt_name: str | None = None,
    ) -> list[dict[str, Any]]:
        """A query and an iterable of texts -> [{"corpus_id": 3, "score": 0.9}, ...], best first, the `top_k` best or all;
        with `return_documents`, each has its "text" too. Among equal scores the first comes first.

        InputError for a model with several labels, which has no one score to rank by.
        """
        self.check_one_label()
        query, texts = as_text(query), [as_text(text) for text in rows_of_texts(documents)]
        options: dict[str, Any] = {"batch_size": batch_size, "prompt": prompt, "prompt_name": prompt_name}
        scores = self.predict([(query, text) for text in texts], activation_fn=activation_fn, **options)
        return ranked(scores, texts, top_k, return_documents)

    def check_one_label(self) -> None:
        if self.num_labels != 1:
            labels = ", ".join(map(str, self.model.config.id2label.values()))
            raise InputError(
                f"a ranking needs a model with one label, whose score it goes by; this one has {self.num_labels}: {labels:.200}."
                " Call predict() for the scores of all labels."
            )

    @strict_arguments
    def answered(self, **options: Any) -> Callable[[list], Iterator[tuple[int, Any]]]:
        """Options of `predict` -> a function from inputs {"query", "text"} to (index, {"score"}) of each, as a pipeline's
        `answered` is."""
        self.check_one_label()

        def answer(inputs: list[dict[str, str]]) -> list[dict[str, float]]:
            pairs = [(row["query"], row["text"]) for row in inputs]
            return [{"score": float(score)} for score in self.predict(pairs, batch_size=len(pairs), **options)]

        return lambda inputs: in_batches(inputs, self.tokenizer, answer)


def ranked(scores: np.ndarray, texts: list[str], top_k: int | None, return_documents: bool) -> list[dict[str, Any]]:
    """Scores (S,) of S texts -> what `Reranker.rank` returns."""
    top_k = None if top_k is None else read_int("top_k", top_k, 1)
    return_documents = read_flag("return_documents", return_documents)
    if scores.size != len(texts):
        raise InputError(f"activation_fn must return one number for one logit; got scores of shape {scores.shape[1:]}.")
    values = scores.reshape(-1).tolist()
    best = sorted(range(len(texts)), key=values.__getitem__, reverse=True)[:top_k]  # stable: equal scores keep their order
    ranking = [{"corpus_id": index, "score": values[index]} for index in best]
    return [{**row, "text": texts[row["corpus_id"]]} for row in ranking] if return_documents else ranking


# --- Inputs ----------------------------------------------------------------------------------------------------------


def is_one_pair(pairs: Any) -> bool:
    """Whether this is a pair of texts, and not a list of pairs."""
    values = pairs.tolist() if isinstance(pairs, np.ndarray) else pairs
    return isinstance(values, (list, tuple)) and len(values) > 0 and isinstance(values[0], str)


def as_pair(row: Any) -> tuple[str, str]:
    texts = row.tolist() if isinstance(row, np.ndarray) else row
    if not isinstance(texts, (list, tuple)) or len(texts) != 2:
        raise InputTypeError(f"each input is {PAIR}; got {type_name(row)}.")
    return as_text(texts[0]), as_text(texts[1])


def rows_of_pairs(pairs: Any) -> Iterable:
    rows = None if isinstance(pairs, (set, frozenset)) else as_rows(pairs)
    if rows is None:
        raise InputTypeError(f"predict takes {PAIR}, or a list of them; got {type_name(pairs)}.")
    return rows


def rows_of_texts(documents: Any) -> Iterable:
    rows = None if isinstance(documents, (set, frozenset)) else as_rows(documents)
    if rows is None:
        raise InputTypeError(f"documents must be a list of texts; got {type_name(documents)}.")
    return rows
