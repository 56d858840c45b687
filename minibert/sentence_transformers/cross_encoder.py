"""CrossEncoder: the methods of sentence-transformers' class, over a Reranker.

As in model.py, what means nothing on a CPU is accepted and does nothing; what would change the answer is an InputError.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from os import PathLike
from typing import Any

import numpy as np

from ..config import PreTrainedConfig
from ..errors import check_option_names, read_flag, strict_arguments
from ..pipelines.base import as_text
from ..pipelines.reranking import Reranker, as_pair, is_one_pair, ranked, rows_of_pairs, rows_of_texts
from ..tensors import check_without_effect
from .arguments import in_form, merged_prompts, one_of
from .loading import load
from .pool import map_rows
from .settings import Settings

WITHOUT_EFFECT = ("classifier_dropout",)  # a former argument that is for training
FORMER_NAMES = {  # of the constructor's arguments
    "model_name": "model_name_or_path",
    "automodel_args": "model_kwargs",
    "tokenizer_args": "processor_kwargs",
    "tokenizer_kwargs": "processor_kwargs",
    "config_args": "config_kwargs",
    "cache_dir": "cache_folder",
    "default_activation_function": "activation_fn",
}


class CrossEncoder(Settings):
    """`CrossEncoder(name).predict(pairs)`: a score each. `.reranker` is the Reranker behind it."""

    @strict_arguments
    def __init__(
        self,
        model_name_or_path: str | PathLike | None = None,
        num_labels: int | None = None,
        max_length: int | None = None,
        activation_fn: Callable | None = None,
        device=None,
        *,
        modules=None,
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
        cache_folder: str | PathLike | None = None,
        trust_remote_code: bool = False,
        revision: str | None = None,
        local_files_only: bool = False,
        token: bool | str | None = None,
        model_kwargs: Mapping[str, Any] | None = None,
        processor_kwargs: Mapping[str, Any] | None = None,
        config_kwargs: Mapping[str, Any] | None = None,
        model_card_data=None,
        backend: str = "torch",
        keep_in_fp32_modules: list[str] | None = None,
        **former: Any,
    ):
        """A folder, or a name on the hub: without an organization, of the organization cross-encoder.

        `num_labels` must be what the model has; it is for one that has no classifier yet. `prompts` go over the folder's.
        `model_kwargs` may have `kernels`, as `AutoModel.from_pretrained` has. The arguments' former names (FORMER_NAMES) are
        accepted too. Nothing is done with `model_card_data`.
        """
        options = {
            "model_name_or_path": model_name_or_path,
            "activation_fn": activation_fn,
            "device": device,
            "modules": modules,
            "backend": backend,
            "cache_folder": cache_folder,
            "trust_remote_code": trust_remote_code,
            "revision": revision,
            "local_files_only": local_files_only,
            "token": token,
            "model_kwargs": model_kwargs,
            "processor_kwargs": processor_kwargs,
            "config_kwargs": config_kwargs,
        }
        check_option_names("CrossEncoder", former, (*FORMER_NAMES, *WITHOUT_EFFECT))
        for former_name, name in FORMER_NAMES.items():
            options[name] = one_of(name, options[name], former_name, former.get(former_name))
        check_without_effect("keep_in_fp32_modules", keep_in_fp32_modules, (None, []))
        more = {} if num_labels is None else {"num_labels": num_labels}
        self.reranker = load(Reranker, "cross-encoder", options["model_name_or_path"], options, more)
        self.prompts = merged_prompts(self.prompts, prompts)
        if default_prompt_name is not None:
            self.default_prompt_name = default_prompt_name
        if max_length is not None:
            self.max_seq_length = max_length
        if options["activation_fn"] is not None:
            self.activation_fn = options["activation_fn"]

    of_texts = "predict"

    @property
    def wrapped(self) -> Reranker:
        return self.reranker

    @property
    def model(self):
        """The model of minibert's, such as a BertForSequenceClassification."""
        return self.reranker.model

    transformers_model = model

    @property
    def config(self) -> PreTrainedConfig:
        return self.reranker.model.config

    @property
    def num_labels(self) -> int:
        return self.reranker.num_labels

    @property
    def activation_fn(self) -> Callable:
        """From logits to scores, as the model's files name it. Another one, of torch's or on arrays, may be set."""
        return self.reranker.activation_fn

    @activation_fn.setter
    def activation_fn(self, function: Callable) -> None:
        self.reranker.activation_fn = function

    @property
    def default_activation_function(self) -> Callable:
        """The former name of `activation_fn`."""
        return self.activation_fn

    @property
    def max_length(self) -> int:
        """The former name of `max_seq_length`."""
        return self.max_seq_length

    @max_length.setter
    def max_length(self, longest: int) -> None:
        self.max_seq_length = longest

    @strict_arguments
    def predict(
        self,
        inputs=None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        activation_fn: Callable | None = None,
        apply_softmax: bool | None = False,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device=None,
        pool: Mapping[str, Any] | None = None,
        chunk_size: int | None = None,
        *,
        sentences=None,
        activation_fct: Callable | None = None,
        num_workers: int | None = None,
    ):
        """A pair of texts -> its score; a list of S pairs -> NumPy (S,), or (S, labels) of a model with several labels; torch
        with `convert_to_tensor=True`, and a list of S tensors with `convert_to_numpy=False`.

        `activation_fn` replaces the model's own; `apply_softmax` makes several labels' scores sum to 1. Chunks of pairs go to
        the threads of a `pool`, or to as many threads as `device` is a list of. `show_progress_bar` shows nothing, and
        `num_workers` does nothing; `sentences` and `activation_fct` are former names.
        """
        pairs = one_of("inputs", inputs, "sentences", sentences)
        as_tensors = read_flag("convert_to_tensor", convert_to_tensor)
        as_arrays = read_flag("convert_to_numpy", convert_to_numpy)
        read_flag("show_progress_bar", False if show_progress_bar is None else show_progress_bar)
        options = {
            "prompt_name": prompt_name,
            "prompt": prompt,
            "batch_size": batch_size,
            "activation_fn": one_of("activation_fn", activation_fn, "activation_fct", activation_fct),
            "apply_softmax": False if apply_softmax is None else apply_softmax,
        }
        one = is_one_pair(pairs)
        rows = map(as_pair, [pairs] if one else rows_of_pairs(pairs))
        scores = in_form(self.scores(rows, options, device, pool, chunk_size), as_tensors, as_arrays)
        return scores[0] if one else scores

    @strict_arguments
    def rank(
        self,
        query: str,
        documents,
        top_k: int | None = None,
        return_documents: bool = False,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        activation_fn: Callable | None = None,
        device=None,
        pool: Mapping[str, Any] | None = None,
        chunk_size: int | None = None,
        *,
        activation_fct: Callable | None = None,
        num_workers: int | None = None,
        apply_softmax: bool | None = None,
        convert_to_numpy: bool | None = None,
        convert_to_tensor: bool | None = None,
    ) -> list[dict[str, Any]]:
        """A query and a list of texts -> [{"corpus_id": 3, "score": 0.9}, ...], best first, the `top_k` best or all; with
        `return_documents`, each has its "text" too.

        InputError for a model with several labels. The arguments after `chunk_size` are former ones, of which only
        `activation_fct` does anything.
        """
        self.reranker.check_one_label()
        read_flag("show_progress_bar", False if show_progress_bar is None else show_progress_bar)
        options = {
            "prompt_name": prompt_name,
            "prompt": prompt,
            "batch_size": batch_size,
            "activation_fn": one_of("activation_fn", activation_fn, "activation_fct", activation_fct),
        }
        query, texts = as_text(query), [as_text(text) for text in rows_of_texts(documents)]
        scores = self.scores([(query, text) for text in texts], options, device, pool, chunk_size)
        return ranked(scores, texts, top_k, return_documents)

    def scores(self, rows, options: Mapping[str, Any], device, pool, chunk_size: int | None) -> np.ndarray:
        """Pairs (query, text) and options of `Reranker.predict` -> scores, maybe on a pool's threads."""
        return map_rows(partial(self.reranker.predict, **options), rows, pool, device, chunk_size)
