"""What the classes of sentence-transformers have beside their calls: settings, the methods of torch's modules, pools, files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from typing import Any, NoReturn

from ..errors import InputError, InputTypeError, read_flag, short_repr, strict_arguments
from ..pipelines.reranking import Reranker
from ..pipelines.sentence_encoder import SentenceEncoder
from ..tensors import check_device, check_without_effect, cpu_device, preset_of_dtype
from .pool import start_pool, stop_pool


class Settings:
    """The base of SentenceTransformer and CrossEncoder. Settings are those of the object behind it, and may be set."""

    of_texts = "encode"  # the method that takes texts

    @strict_arguments
    def __call__(self, features: Any = None) -> NoReturn:
        """InputTypeError that names the method for texts."""
        raise InputTypeError(
            f"a {type(self).__name__} is called by its methods, with texts; got {short_repr(features)}. Call {self.of_texts}(texts)."
        )

    @property
    def wrapped(self) -> SentenceEncoder | Reranker:
        """The object behind it."""
        raise NotImplementedError

    @property
    def prompts(self) -> Mapping[str, str]:
        """Names -> what precedes each text if the name is chosen."""
        return self.wrapped.prompts

    @prompts.setter
    def prompts(self, prompts: Mapping[str, str]) -> None:
        self.wrapped.prompts = prompts

    @property
    def default_prompt_name(self) -> str | None:
        """The prompt of calls that name none."""
        return self.wrapped.default_prompt_name

    @default_prompt_name.setter
    def default_prompt_name(self, name: str | None) -> None:
        self.wrapped.default_prompt_name = name

    @property
    def max_seq_length(self) -> int:
        """Tokens; what is longer is cut."""
        return self.wrapped.max_seq_length

    @max_seq_length.setter
    def max_seq_length(self, longest: int) -> None:
        self.wrapped.max_seq_length = longest

    def get_max_seq_length(self) -> int:
        return self.max_seq_length

    @property
    def tokenizer(self):
        return self.wrapped.tokenizer

    @property
    def device(self):
        """torch.device("cpu") if torch is imported, else "cpu"."""
        return cpu_device()

    # --- As a torch module -------------------------------------------------------------------------------------------

    @strict_arguments
    def to(self, device=None, dtype=None, non_blocking: bool = False):
        """The model itself: it is on the CPU, in float32."""
        if dtype is None and type(device).__name__ == "dtype":  # to(torch.float32)
            device, dtype = None, device
        check_device(device)
        if preset_of_dtype(dtype) is not None:
            raise InputError("a loaded model stays float32; got bfloat16. Load it with model_kwargs={'dtype': 'bfloat16'}.")
        read_flag("non_blocking", non_blocking)
        return self

    def cpu(self):
        return self

    def float(self):
        return self

    def eval(self):
        return self

    @strict_arguments
    def cuda(self, device=None):
        """InputError: there is the CPU only."""
        return self.to("cuda")

    @strict_arguments
    def train(self, mode: bool = True):
        """The model itself for train(False), as it is; InputError otherwise."""
        if read_flag("mode", mode):
            name = type(self).__name__
            raise InputError(
                f"minibert does not train models of sentence-transformers; a {name} only predicts. Leave train() out."
            )
        return self

    # --- Pools -------------------------------------------------------------------------------------------------------

    @strict_arguments
    def start_multi_process_pool(self, target_devices: list | None = None) -> dict[str, Any]:
        """A list of "cpu" -> a pool of as many threads, by default 4, for the option `pool` of calls."""
        return start_pool(target_devices)

    @staticmethod
    @strict_arguments
    def stop_multi_process_pool(pool: Mapping[str, Any]) -> None:
        """End the threads of a pool."""
        stop_pool(pool)

    # --- Files -------------------------------------------------------------------------------------------------------

    @strict_arguments
    def save_pretrained(
        self,
        path: str | PathLike,
        model_name: str | None = None,
        create_model_card: bool = True,
        train_datasets: list[str] | None = None,
        safe_serialization: bool = True,
    ) -> None:
        """Write a folder that minibert and sentence-transformers load. No model card is written, whatever is said of one."""
        check_without_effect("safe_serialization", safe_serialization, (True, None), "Weights are safetensors.")
        self.wrapped.save_pretrained(path)

    save = save_pretrained


class EmbeddingSettings(Settings):
    """What a SentenceTransformer has besides."""

    encoder: SentenceEncoder

    @property
    def wrapped(self) -> SentenceEncoder:
        return self.encoder

    @property
    def similarity_fn_name(self) -> str:
        """How `similarity` compares: cosine, dot, euclidean or manhattan."""
        return self.encoder.similarity_fn_name

    @similarity_fn_name.setter
    def similarity_fn_name(self, name) -> None:
        self.encoder.similarity_fn_name = name

    @property
    def truncate_dim(self) -> int | None:
        """How many of a vector's first components are kept; None keeps all."""
        return self.encoder.truncate_dim

    @truncate_dim.setter
    def truncate_dim(self, count: int | None) -> None:
        self.encoder.truncate_dim = count

    @contextmanager
    @strict_arguments
    def truncate_embeddings(self, truncate_dim: int | None) -> Iterator[None]:
        """`with model.truncate_embeddings(16):` vectors have 16 components. It changes the model, for all its threads."""
        before = self.truncate_dim
        self.truncate_dim = truncate_dim
        try:
            yield
        finally:
            self.truncate_dim = before

    @strict_arguments
    def truncate_sentence_embeddings(self, truncate_dim: int | None):
        """The former name of `truncate_embeddings`."""
        return self.truncate_embeddings(truncate_dim)

    def get_embedding_dimension(self) -> int:
        """D, how long vectors are."""
        return self.encoder.dimension

    def get_sentence_embedding_dimension(self) -> int:
        """The former name of `get_embedding_dimension`."""
        return self.encoder.dimension

    @strict_arguments
    def set_pooling_include_prompt(self, include_prompt: bool) -> None:
        """Whether a prompt's tokens are pooled too."""
        include_prompt = read_flag("include_prompt", include_prompt)
        self.encoder.sentence_config = self.encoder.sentence_config._replace(include_prompt=include_prompt)
