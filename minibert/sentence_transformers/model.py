"""SentenceTransformer: the methods of sentence-transformers' class, over a SentenceEncoder.

What means nothing on a CPU is accepted and does nothing; what would change the answer is an InputError. The table is in
minibert/README.md. Next: settings.py, what the class has beside its calls; loading.py, its constructor's arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from os import PathLike
from typing import Any

import numpy as np

from ..errors import InputError, read_flag, strict_arguments
from ..pipelines.base import as_text, batches, check_count
from ..pipelines.embedding_precision import check_precision
from ..pipelines.sentence_encoder import SentenceEncoder, read_truncate_dim, rows_of
from ..tensors import check_without_effect
from .arguments import in_form, merged_prompts, one_of
from .loading import load
from .pool import map_rows
from .quantization import quantize_embeddings
from .settings import EmbeddingSettings
from .similarity import SimilarityFunction

OUTPUTS = ("sentence_embedding", "token_embeddings", None)
DOCUMENT_PROMPTS = ("document", "passage", "corpus")  # the first that the model has stands before a document


class SentenceTransformer(EmbeddingSettings):
    """`SentenceTransformer(name).encode(texts)`: a vector each. `.encoder` is the SentenceEncoder behind it."""

    @strict_arguments
    def __init__(
        self,
        model_name_or_path: str | PathLike | None = None,
        *,
        modules=None,
        device=None,
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
        cache_folder: str | PathLike | None = None,
        trust_remote_code: bool = False,
        revision: str | None = None,
        local_files_only: bool = False,
        token: bool | str | None = None,
        use_auth_token: bool | str | None = None,
        model_kwargs: Mapping[str, Any] | None = None,
        processor_kwargs: Mapping[str, Any] | None = None,
        tokenizer_kwargs: Mapping[str, Any] | None = None,
        config_kwargs: Mapping[str, Any] | None = None,
        model_card_data=None,
        backend: str = "torch",
        similarity_fn_name: str | SimilarityFunction | None = None,
        truncate_dim: int | None = None,
    ):
        """A folder, or a name on the hub: without an organization, of the organization sentence-transformers.

        `prompts` go over the folder's. `model_kwargs` may have `kernels`, as `AutoModel.from_pretrained` has.
        `tokenizer_kwargs` is the former name of `processor_kwargs`, `use_auth_token` that of `token`. Nothing is done with
        `model_card_data`.
        """
        options = {
            "device": device,
            "modules": modules,
            "backend": backend,
            "cache_folder": cache_folder,
            "trust_remote_code": trust_remote_code,
            "revision": revision,
            "local_files_only": local_files_only,
            "token": one_of("token", token, "use_auth_token", use_auth_token),
            "model_kwargs": model_kwargs,
            "processor_kwargs": one_of("processor_kwargs", processor_kwargs, "tokenizer_kwargs", tokenizer_kwargs),
            "config_kwargs": config_kwargs,
        }
        self.encoder = load(SentenceEncoder, "sentence-transformers", model_name_or_path, options)
        self.prompts = merged_prompts(self.prompts, prompts, ("query", "document"))
        if default_prompt_name is not None:
            self.default_prompt_name = default_prompt_name
        if similarity_fn_name is not None:
            self.similarity_fn_name = similarity_fn_name
        if truncate_dim is not None:
            self.truncate_dim = truncate_dim

    # --- Encoding ----------------------------------------------------------------------------------------------------

    @strict_arguments
    def encode(
        self,
        inputs=None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        output_value: str | None = "sentence_embedding",
        precision: str | None = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device=None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        pool: Mapping[str, Any] | None = None,
        chunk_size: int | None = None,
        *,
        sentences=None,
    ):
        """A text -> (D,); an iterable of S texts -> NumPy (S, D), torch with `convert_to_tensor=True`, and a list of S tensors
        with `convert_to_numpy=False`.

        `output_value="token_embeddings"` gives a list of (T, D), and None a list of dictionaries of everything on the way.
        `precision` is of `quantize_embeddings`. Chunks of texts go to the threads of a `pool`, or to as many threads as
        `device` is a list of. `show_progress_bar` shows nothing; `sentences` is the former name of `inputs`.
        """
        texts = one_of("inputs", inputs, "sentences", sentences)
        check_count("batch_size", batch_size)
        read_flag("show_progress_bar", False if show_progress_bar is None else show_progress_bar)
        check_without_effect("output_value", output_value, OUTPUTS)
        if precision is not None:
            check_precision(precision)
        as_tensors = read_flag("convert_to_tensor", convert_to_tensor)
        as_arrays = read_flag("convert_to_numpy", convert_to_numpy)
        truncate_dim = self.truncate_dim if truncate_dim is None else read_truncate_dim(truncate_dim)
        normalize = True if read_flag("normalize_embeddings", normalize_embeddings) else None  # None: as the folder says
        prompt = self.encoder.chosen_prompt(prompt, prompt_name)
        functions: dict[str | None, Callable] = {
            "sentence_embedding": partial(self.encoder.encode, normalize=normalize),
            "token_embeddings": self.token_embeddings,
            None: self.everything,
        }
        compute = partial(functions[output_value], prompt=prompt, batch_size=batch_size, truncate_dim=truncate_dim)
        one = isinstance(texts, str)
        results = map_rows(compute, [texts] if one else rows_of(texts), pool, device, chunk_size)
        if precision not in (None, "float32") and len(results):
            if output_value is None:
                raise InputError("precision is of embeddings; with output_value=None it must be 'float32'. Leave it out.")
            results = quantize_embeddings(results, precision)
        results = in_form(results, as_tensors, as_arrays)
        return results[0] if one else results

    @strict_arguments
    def encode_query(self, inputs=None, prompt_name: str | None = None, prompt: str | None = None, *arguments, **options: Any):
        """As `encode`, of what is searched with: the prompt "query" stands before each text, if the model has one."""
        name = self.prompt_for(("query",), prompt_name, prompt)
        return self.encode(inputs, name, prompt, *arguments, **options)

    @strict_arguments
    def encode_document(
        self, inputs=None, prompt_name: str | None = None, prompt: str | None = None, *arguments, **options: Any
    ):
        """As `encode`, of what is searched in: with the prompt "document", or else "passage" or "corpus"."""
        name = self.prompt_for(DOCUMENT_PROMPTS, prompt_name, prompt)
        return self.encode(inputs, name, prompt, *arguments, **options)

    def prompt_for(self, names: tuple[str, ...], prompt_name: str | None, prompt: str | None) -> str | None:
        if prompt_name is not None or prompt is not None:
            return prompt_name
        return next((name for name in names if name in self.prompts), None)

    def token_embeddings(self, texts, prompt: str, batch_size: int, truncate_dim: int | None) -> list[np.ndarray]:
        """Texts -> the hidden states (T, D) of each, without padding at the end."""
        rows = self.everything(texts, prompt, batch_size, truncate_dim)
        return [row["token_embeddings"][: row["attention_mask"].nonzero()[0].max(initial=0) + 1] for row in rows]

    def everything(self, texts, prompt: str, batch_size: int, truncate_dim: int | None) -> list[dict[str, np.ndarray]]:
        """Texts -> for each its rows of the arrays that `SentenceEncoder.features` returns."""
        rows = []
        for batch in batches(texts, batch_size, as_text):
            features = self.encoder.features(batch, prompt)
            features["sentence_embedding"] = features["sentence_embedding"][:, :truncate_dim]
            rows += [{name: array[index] for name, array in features.items()} for index in range(len(batch))]
        return rows

    @strict_arguments
    def tokenize(self, texts):
        """Texts -> input_ids, token_type_ids and attention_mask (B, T), padded to the longest."""
        return self.encoder.tokenize(texts)

    @strict_arguments
    def preprocess(self, inputs, prompt: str | None = None):
        """The newer name of `tokenize`, with a prompt before each text."""
        return self.encoder.tokenize([as_text("" if prompt is None else prompt) + as_text(text) for text in rows_of(inputs)])

    # --- Comparing ---------------------------------------------------------------------------------------------------

    @strict_arguments
    def similarity(self, embeddings1, embeddings2):
        """(S, D) and (R, D) -> (S, R), as `similarity_fn_name` says: torch if one of the two is, else NumPy."""
        return SimilarityFunction.to_similarity_fn(self.similarity_fn_name)(embeddings1, embeddings2)

    @strict_arguments
    def similarity_pairwise(self, embeddings1, embeddings2):
        """(S, D) and (S, D) -> (S,), each with its partner."""
        return SimilarityFunction.to_similarity_pairwise_fn(self.similarity_fn_name)(embeddings1, embeddings2)

    @strict_arguments
    def encode_multi_process(
        self,
        sentences,
        pool: Mapping[str, Any],
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        chunk_size: int | None = None,
        **options: Any,
    ) -> np.ndarray:
        """As `encode(sentences, pool=pool)`, the newer way to say it."""
        options |= {"batch_size": batch_size, "chunk_size": chunk_size}
        return self.encode(sentences, prompt_name, prompt, pool=pool, **options)
