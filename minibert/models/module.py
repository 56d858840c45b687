"""What a model has beside its call: the methods of torch's modules and of transformers' models.

A model is on the CPU, in float32, and learns nothing when it is called. So what says just that does nothing; what would
change the answer is an InputError that names the way. The table is in minibert/README.md. Next: `base.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn, TypeVar

import numpy as np

from minibert.kernels.catalog import Ops

from ..config import Architecture, PreTrainedConfig
from ..errors import InputError, InputTypeError, as_int, read_flag, short_repr, strict_arguments
from ..tensors import check_stays, cpu_device, float32_dtype
from .checkpoint import EncoderNames
from .encoder import Encoder
from .graph_cache import GraphCache
from .parameters import NO_FREEZING, Decoder, Embedding, Parameter, read_only
from .quantized import as_floats, word_table

M = TypeVar("M", bound="Module")

TRAIN = "Train it with minibert.Trainer, or in a loop of your own with minibert.loss_and_gradients."
BFLOAT16 = "For bfloat16, load it with kernels='bf16'; leave any other dtype out."
HINTS = {  # what models of torch and transformers have, and this one has not -> what to do instead
    "zero_grad": TRAIN,
    "gradient_checkpointing_enable": TRAIN,
    "load_state_dict": "Call model.with_tensors(tensors), which returns a new model.",
    "modules": "Its weights are in model.named_parameters().",
    "named_modules": "Its weights are in model.named_parameters().",
    "generate": "Encoders generate nothing; a masked-LM head guesses words: pipeline('fill-mask').",
}


class Module:
    """The base of PreTrainedModel: devices and dtypes, training, and weights by their names in a checkpoint."""

    main_input_name = "input_ids"
    training = False
    has_head = False  # if so, the encoder's tensors carry the family's prefix in the file
    tied_weights: Mapping[str, str] = {}  # a name that a file may hold as well -> the tensor that it must be equal to
    config_class: type[PreTrainedConfig]
    encoder_names: EncoderNames  # of the tensors in the family's checkpoints
    config: PreTrainedConfig
    architecture: Architecture
    tensors: dict[str, np.ndarray]
    kernels: Ops
    encoder: Encoder

    @classmethod
    def head_shapes(cls, config: PreTrainedConfig) -> dict[str, tuple[int, ...]]:
        """The head's tensors -> their shapes."""
        return {}

    # --- Device and dtype --------------------------------------------------------------------------------------------

    @property
    def device(self) -> Any:
        """torch.device("cpu") if torch is imported, else "cpu"."""
        return cpu_device()

    @property
    def dtype(self) -> Any:
        """torch.float32 if torch is imported, else NumPy's."""
        return float32_dtype()

    @strict_arguments
    def to(self: M, device: Any = None, dtype: Any = None, non_blocking: bool = False) -> M:
        """The model itself: it is on the CPU, in float32. InputError for another device or dtype."""
        check_stays(device, dtype, BFLOAT16)
        read_flag("non_blocking", non_blocking)
        return self

    def cpu(self: M) -> M:
        return self

    def float(self: M) -> M:
        return self

    @strict_arguments
    def cuda(self: M, device: Any = None) -> M:
        """InputError: there is the CPU only."""
        return self.to("cuda")

    def half(self) -> NoReturn:
        """InputError: it would change the answers."""
        raise InputError(f"a loaded model stays float32; got half(). {BFLOAT16}")

    def bfloat16(self) -> NoReturn:
        """InputError: it would change the answers."""
        raise InputError(f"a loaded model stays float32; got bfloat16(). {BFLOAT16}")

    # --- Training ----------------------------------------------------------------------------------------------------

    def eval(self: M) -> M:
        """Models here are always in evaluation mode; for code that says so."""
        return self

    @strict_arguments
    def train(self: M, mode: bool = True) -> M:
        """InputError, unless mode is False: a model's call does not learn."""
        if read_flag("mode", mode):
            raise InputError(f"a model is always in evaluation mode here, without dropout. {TRAIN}")
        return self

    @strict_arguments
    def requires_grad_(self, requires_grad: bool = True) -> NoReturn:
        """InputError: a model's call computes no gradients."""
        if read_flag("requires_grad", requires_grad):
            raise InputError(f"a model's call computes no gradients. {TRAIN}")
        raise InputError(NO_FREEZING)

    # --- Weights -----------------------------------------------------------------------------------------------------

    @property
    def num_labels(self) -> int:
        return self.config.num_labels

    @property
    def name_or_path(self) -> str:
        """Where the configuration was loaded from; "" if it was made in code."""
        return self.config.name_or_path

    def checkpoint_names(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Tensors by their names in `model.tensors` -> by those in a checkpoint, where the encoder's have the prefix."""
        names, prefix = self.encoder_names, self.encoder_names.prefix if self.has_head else ""
        outer = {name for name in self.head_shapes(self.config) if not names.in_pooler(name)}
        outer |= self.tied_weights.keys()
        return {name if name in outer else prefix + name: tensor for name, tensor in tensors.items()}

    @strict_arguments
    def named_parameters(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Parameter]]:
        """Each weight by its name in a checkpoint, tied ones once. The arrays are read-only; `with_tensors` replaces them."""
        read_flag("recurse", recurse)
        if not isinstance(prefix, str):
            raise InputTypeError(f"prefix must be a text; got {short_repr(prefix)}.")
        start = f"{prefix}." if prefix else ""
        for name, tensor in self.checkpoint_names(self.tensors).items():
            yield start + name, read_only(tensor)

    @strict_arguments
    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The arrays of `named_parameters`."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def state_dict(self) -> dict[str, Parameter]:
        """All weights by their names in a checkpoint, tied ones under each of theirs: NumPy arrays, read-only."""
        tied = self.tied_weights if self.config.tie_word_embeddings else {}
        copies = {name: self.tensors[original] for name, original in tied.items()}
        return {name: read_only(tensor) for name, tensor in self.checkpoint_names({**self.tensors, **copies}).items()}

    @strict_arguments
    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """How many numbers the weights are, of which all can be trained; without the embeddings' tables if those are excluded."""
        read_flag("only_trainable", only_trainable)
        names = self.encoder_names
        tables = (names.words, names.positions, names.types, names.relative_bias)
        excluded = {f"{name}.weight" for name in tables if read_flag("exclude_embeddings", exclude_embeddings)}
        return sum(tensor.size for name, tensor in self.tensors.items() if name not in excluded)

    # --- Parts -------------------------------------------------------------------------------------------------------

    def get_input_embeddings(self) -> Embedding:
        """The table of word embeddings: `.weight` (V, E), and called with ids what `inputs_embeds` takes."""
        return Embedding(as_floats(word_table(self.tensors, self.encoder_names.words)))

    def get_output_embeddings(self) -> Decoder | None:
        """The masked-LM head's last layer: `.weight` (V, E) and `.bias` (V,). None for other heads."""
        return None

    @strict_arguments
    def set_input_embeddings(self, value: Any) -> NoReturn:
        """InputError: weights are not changed in place."""
        raise InputError("weights cannot be changed in place. Call model.with_tensors(tensors), which returns a new model.")

    @strict_arguments
    def resize_token_embeddings(self, new_num_tokens: int | None = None) -> Embedding:
        """The table of word embeddings, if it has that many rows already; InputError otherwise."""
        table = self.get_input_embeddings()
        if new_num_tokens is not None and as_int(new_num_tokens) != table.num_embeddings:
            raise InputError(
                f"a vocabulary cannot be resized here; the model has {table.num_embeddings} rows, got "
                f"{short_repr(new_num_tokens)}. Resize it once with transformers, and save it."
            )
        return table

    @property
    def base_model_prefix(self) -> str:
        """The attribute under which transformers has the encoder: model.bert, model.distilbert."""
        return self.encoder_names.prefix.removesuffix(".")

    @property
    def base_model(self) -> Module:
        """The bare encoder, which shares the weights; the model itself if it has no head."""
        if not self.has_head:
            return self
        bare_class = bare_class_of(self.config_class)
        bare = bare_class.__new__(bare_class)
        bare.__dict__.update(self.__dict__)
        left_out = self.head_shapes(self.config).keys() - bare_class.head_shapes(self.config).keys()
        bare.tensors = {name: tensor for name, tensor in self.tensors.items() if name not in left_out}
        bare.graph_cache = GraphCache()
        bare.head = bare.prepare_head()
        return bare

    def __getattr__(self, name: str) -> Any:  # called only for names that are not there
        if name == self.base_model_prefix and self.has_head:
            return self.base_model
        hint = HINTS.get(name, "minibert/README.md lists what models have.")
        raise AttributeError(f"a {type(self).__name__} has no {name!r}. {hint}")


def bare_class_of(config_class: type[PreTrainedConfig]) -> Any:
    """BertConfig -> BertModel, which stands in the same file."""
    prefix = config_class.__name__.removesuffix("Config")
    return getattr(sys.modules[config_class.__module__], f"{prefix}Model")
