"""What every model class shares: made at random, loaded from a checkpoint, run, and saved.

A class says only which head it has. Next: `modeling.py` and its neighbours, where the classes are.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any

import numpy as np

from minibert.kernels.catalog import make_ops

from .. import hub
from ..config import PreTrainedConfig, config_of
from ..errors import (
    InputError,
    InputTypeError,
    MinibertWarning,
    WeightsError,
    brief,
    is_whole,
    read_flag,
    strict_arguments,
)
from ..files import as_folder
from ..weights import NAMES, WEIGHTS, canonical, encoder_shapes, fit, open_weights, save_tensors
from .checks import warn_of_padding
from .encoder import UNTRACED, Trace, build_encoder, encode
from .graph_cache import Fields, GraphCache
from .outputs import BaseModelOutput, ModelOutput
from .packing import Packed, pack
from .precompile import ensure_compiled
from .quantized import (
    METHOD,
    VERSION,
    check_kernels,
    computes_in_int8,
    is_quantized,
    kernels_for,
    quantized_shapes,
    quantized_tensors,
)
from .random_weights import initial


class PreTrainedModel:
    """`Model(config)` has random weights; `Model.from_pretrained(name)` a checkpoint's.

    `kernels` is a preset ("auto", "reference", "fast", "bf16", "int8", ...) or a mapping of an operation to a variant;
    `model.kernels` prints what was chosen. No call changes another's answer: any number of threads may call it at once.
    """

    config_class: type[PreTrainedConfig]
    output_class: type[ModelOutput] = BaseModelOutput
    cls_only = False  # whether the head reads nothing but each sequence's first token: the last layer ends with it
    has_head = False  # with a head, the encoder's tensors carry the model type's prefix in the file
    tied: Mapping[str, str] = {}  # a name that a file may hold as well -> the tensor that it must be equal to
    stand_ins: tuple[tuple[str, str], ...] = ()  # a name -> another, which gets its tensor if the file has none for it

    @strict_arguments
    def __init__(self, config: PreTrainedConfig, *, kernels: str | Mapping[str, str] = "auto", seed: int | None = None):
        if not isinstance(config, self.config_class):
            raise InputTypeError(
                f"{type(self).__name__} wants a {self.config_class.__name__}; got {type(config).__name__}. "
                f"For a checkpoint, call {type(self).__name__}.from_pretrained(name)."
            )
        config.check()  # its values may have been set since it was made
        if seed is not None and not (is_whole(seed) and seed >= 0):
            raise InputError(f"seed must be a whole number, 0 or more, or None; got {brief(seed)}.")
        random = np.random.default_rng(seed)
        shapes = {**self.encoder_shapes(config), **self.head_shapes(config)}
        self.build(config, {name: initial(name, shape, config, random) for name, shape in shapes.items()}, kernels)

    def build(self, config: PreTrainedConfig, tensors: dict[str, np.ndarray], kernels) -> None:
        made = config.architecture
        self.config = config
        self.tensors = tensors  # by their names in a checkpoint, without the prefix
        self.kernels = make_ops(kernels)
        self.encoder = build_encoder(tensors, NAMES[config.model_type], made, self.kernels)
        self.graph_cache = GraphCache()
        self.head = self.prepare_head()
        self._warned_of_padding = False

    def __reduce__(self):
        """Pickled, for a process that another one starts: its tensors, which are then prepared anew."""
        return rebuilt, (type(self), self.config, self.tensors, self.kernels.spec)

    def prepare_head(self) -> dict[str, tuple]:
        """The head's linear layers by their names in a checkpoint -> what their operation takes after its input."""
        modules = {name.rpartition(".")[0] for name in self.head_shapes(self.config) if name in self.tensors}
        return {module: self.prepare_linear(module) for module in modules}

    def prepare_linear(self, module: str) -> tuple:
        return self.kernels.pack_weights("linear", self.tensors[f"{module}.weight"], self.tensors[f"{module}.bias"])

    @staticmethod
    def encoder_shapes(config: PreTrainedConfig) -> dict[str, tuple[int, ...]]:
        return encoder_shapes(NAMES[config.model_type], config.architecture)

    @classmethod
    def head_shapes(cls, config: PreTrainedConfig) -> dict[str, tuple[int, ...]]:
        """The head's tensors -> their shapes."""
        return {}

    @classmethod
    def may_lack(cls, stored: Mapping, config: PreTrainedConfig) -> list[str]:
        """Tensors of the head that this checkpoint need not have."""
        return []

    @classmethod
    @strict_arguments
    def from_pretrained(cls, name: str | PathLike, *, config: PreTrainedConfig | None = None,
                        kernels: str | Mapping[str, str] = "auto", revision: str | None = None,
                        cache_dir: str | PathLike | None = None, token: str | bool | None = None,
                        local_files_only: bool = False, strict: bool = True, **overrides: Any):  # fmt: skip
        """A folder, a bundled model or a repository of the hub -> the model. `overrides` go over its configuration.

        float32 weights stay in the file, mapped; others are widened to float32. Errors: ModelFileError where a file
        cannot be had, ConfigError and WeightsError where it cannot be used. With strict=False, tensors that the model
        has no use for, such as a loss function's, are a warning and no error.
        """
        strict = read_flag("strict", strict)
        make_ops(kernels)  # a name that is wrong is known before anything is downloaded
        checkpoint = hub.locate(
            name, revision=revision, cache_dir=cache_dir, token=token, local_files_only=local_files_only
        )
        config = config_for(checkpoint, config, cls.config_class, overrides)
        return cls.from_checkpoint(checkpoint, config, kernels, strict)

    @classmethod
    def from_checkpoint(cls, checkpoint, config: PreTrainedConfig, kernels: str | Mapping[str, str], strict: bool = True):
        """A located checkpoint and its configuration -> the model."""
        names, made = NAMES[config.model_type], config.architecture
        quantized, kernels = is_quantized(config), kernels_for(config, kernels)
        if quantized:
            check_kernels(make_ops(kernels), made, checkpoint.name)
        stored = canonical(open_weights(checkpoint), names.prefix)
        if config.architecture.layers > len(stored):  # before a list of a billion layers' shapes is made
            layers = config.architecture.layers
            raise WeightsError(f"{checkpoint.name}: config.json has {layers} layers, the file {len(stored)} tensors.")
        tied = cls.tied if config.tie_word_embeddings else {}
        for name, original in (*tied.items(), *cls.stand_ins):
            if name in stored:
                stored.setdefault(original, stored[name])
        new = cls.may_lack(stored, config)
        head = cls.head_shapes(config)
        encoder = cls.encoder_shapes(config)
        encoder = quantized_shapes(encoder, names, made) if quantized else encoder
        shapes = {**encoder, **{name: head[name] for name in head if name not in new}}
        fit(stored, shapes, checkpoint.name, strict)
        tensors = {name: stored[name].array() for name in shapes}
        check_tied(stored, tensors, tied, checkpoint.name)
        if new and cls.has_head:  # what has no head can do without: BERT's pooler is then absent
            warn_of_new_head(checkpoint.name, new, cls.purpose)
            random = np.random.default_rng()
            tensors |= {name: initial(name, head[name], config, random) for name in new}
        return rebuilt(cls, config, tensors, kernels)

    @strict_arguments
    def save_pretrained(self, folder: str | PathLike) -> None:
        """Write folder/config.json and folder/model.safetensors: float32, as `transformers` reads them; with
        kernels="int8", an int8 checkpoint (`quantized.py`)."""
        folder = as_folder(folder)
        names, tensors, said = NAMES[self.config.model_type], self.tensors, {"dtype": "float32", "torch_dtype": None}
        if computes_in_int8(self.kernels, self.config.architecture):
            tensors = quantized_tensors(tensors, self.encoder.layers, names)
            said["quantization_config"] = {"quant_method": METHOD, "version": VERSION}
        saved = self.config.from_dict({**self.config.to_dict(), "architectures": [type(self).__name__], **said})
        prefix = names.prefix if self.has_head else ""
        outer = {*self.head_shapes(self.config)} - {"pooler.dense.weight", "pooler.dense.bias"}  # `transformers` has it so
        save_tensors(
            folder / WEIGHTS,
            {name if name in outer else prefix + name: tensor for name, tensor in tensors.items()},
        )
        saved.save_pretrained(folder)

    @strict_arguments
    def __call__(self, input_ids, attention_mask=None, token_type_ids=None, position_ids=None, *,
                 output_hidden_states: bool | None = None, output_attentions: bool | None = None,
                 return_dict: bool | None = None):  # fmt: skip
        """ids (B, T), and masks, types and positions of the same shape -> the class's output.

        token_type_ids are ignored by DistilBERT, which has none; zeros stand in (B, T, ·) where the mask is 0.
        InputError for shapes, ids or lengths the model cannot take.
        """
        packed = self.pack(input_ids, attention_mask, token_type_ids, position_ids)
        trace = Trace(
            [] if wanted(self.config, "output_hidden_states", output_hidden_states) else None,
            [] if wanted(self.config, "output_attentions", output_attentions) else None,
        )
        output = self.output_class(**self.answered(packed, trace), **unpack_trace(packed, trace, self.encoder.heads))
        return output if return_dict is None or read_flag("return_dict", return_dict) else output.to_tuple()

    def pack(self, input_ids, attention_mask=None, token_type_ids=None, position_ids=None) -> Packed:
        """A call's inputs, checked, without their padding."""
        types = token_type_ids if NAMES[self.config.model_type].types else None
        packed = pack(input_ids, attention_mask, types, position_ids, self.config.architecture)
        if attention_mask is None and not self._warned_of_padding and not hasattr(input_ids, "bounds"):
            self._warned_of_padding = warn_of_padding(packed, self.config.pad_token_id)
        return packed

    def encode(self, packed: Packed, trace: Trace = UNTRACED, cls_only: bool = False) -> np.ndarray:
        """Packed tokens -> hidden (N, D); with `cls_only`, of each sequence's first token (S, D)."""

        def compute(packed: Packed) -> Fields:
            return {"hidden": encode(packed, self.encoder, self.kernels, trace, cls_only)}

        if trace != UNTRACED:
            return self.checked(compute, packed)["hidden"]
        return self.checked(self.graph_cache.run, compute, packed, self.kernels, ("encode", cls_only))["hidden"]

    def answered(self, packed: Packed, trace: Trace) -> Fields:
        """Packed tokens -> the output's own fields."""
        if self.cls_only and trace == UNTRACED:

            def compute(packed: Packed) -> Fields:
                hidden = encode(packed, self.encoder, self.kernels, trace, cls_only=True)
                return {"hidden": hidden, **self.answer(packed, hidden)}

            found = self.checked(self.graph_cache.run, compute, packed, self.kernels, ("answer",))
            del found["hidden"]  # which was to be looked at, for a tanh makes numbers of what is infinite
            return found
        hidden = self.encode(packed, trace)  # who sees a layer sees all of it
        return self.checked(self.answer, packed, hidden[packed.first] if self.cls_only else hidden)

    def checked(self, compute: Callable[..., Fields], *arguments) -> Fields:
        """compute(*arguments). WeightsError where the weights make of it what is no number."""
        if not self.kernels.compiled:
            ensure_compiled(self.kernels)
        with np.errstate(all="ignore"):  # not a warning for each operation, but one error
            found = compute(*arguments)
            check_finite(*found.values())
        return found

    def answer(self, packed: Packed, hidden: np.ndarray) -> Fields:
        """hidden (N, D) -> the output's own fields. Or hidden (S, D) where `cls_only`: then all that it does is to call
        operations, so that it can be captured (`graph_cache.py`)."""
        return {"last_hidden_state": packed.unpack(hidden)}

    @strict_arguments
    def num_parameters(self) -> int:
        return sum(tensor.size for tensor in self.tensors.values())

    @strict_arguments
    def eval(self):
        """Models here are always in evaluation mode; for code that says so."""
        return self

    def __repr__(self) -> str:
        made = self.config.architecture
        return (
            f"{type(self).__name__}({made.layers} layers, {made.width} wide, {made.heads} heads, "
            f"{self.num_parameters():,} parameters)"
        )


class ModelWithHead(PreTrainedModel):
    """An encoder with a head. A checkpoint trained for something else has none of it; a part of it is an error."""

    has_head = True
    purpose = "classify"  # what a checkpoint with this head was trained to do

    @classmethod
    def may_lack(cls, stored: Mapping, config: PreTrainedConfig) -> list[str]:
        """All of the head but BERT's pooler, which other heads share; and that too where it is not there."""
        head = list(cls.head_shapes(config))
        own = [name for name in head if not name.startswith("pooler.")]
        if any(name in stored for name in own):
            return []
        return own if any(name in stored for name in head) else head


def rebuilt(kind: type[PreTrainedModel], config: PreTrainedConfig, tensors: dict[str, np.ndarray], kernels):
    model = kind.__new__(kind)
    model.build(config, tensors, kernels)
    return model


def config_for(checkpoint, given, expected: type[PreTrainedConfig], overrides: Mapping[str, Any]) -> PreTrainedConfig:
    """What a checkpoint is loaded by: the configuration that was given, or its config.json with `overrides` over it."""
    if given is None:
        return config_of(checkpoint, expected if expected.model_type else None, **overrides)
    if not isinstance(given, expected):
        raise InputTypeError(f"config must be a {expected.__name__}; got {type(given).__name__}.")
    if overrides:
        raise InputError(f"with config=..., set the others on it; got {', '.join(overrides)} beside it.")
    given.check()
    return given


def check_tied(stored: Mapping, tensors: Mapping[str, np.ndarray], tied: Mapping[str, str], source: str) -> None:
    """WeightsError where a file's second copy of a tensor is not one."""
    for name, original in tied.items():
        if name in stored and original in tensors and stored[name] is not stored[original]:
            fit({name: stored[name]}, {name: tensors[original].shape}, source)
            if not np.array_equal(stored[name].array(), tensors[original]):
                hint = " For weights of its own, pass tie_word_embeddings=False." if name.endswith(".weight") else ""
                raise WeightsError(f"{name} must be equal to {original}, which is used for both; in {source} it is not.{hint}")


def check_finite(*arrays: np.ndarray | None) -> None:
    """WeightsError for NaN and infinity, which any of them leaves in the sum (26 µs for 128 tokens of BERT-base)."""
    if not all(array is None or math.isfinite(np.add.reduce(array, axis=None)) for array in arrays):
        raise WeightsError(
            "the weights of a model must give numbers; these give NaN or infinity. Some are NaN, infinite or too large: "
            "is the file damaged, or did its training fail?"
        )


def warn_of_new_head(source: str, new: list[str], purpose: str) -> None:
    warnings.warn(
        f"{source} was not trained to {purpose}: {', '.join(new)} are new, at random, and the answers mean nothing "
        "until they are trained. For features, load it with AutoModel.",
        MinibertWarning,
        stacklevel=3,
    )


def wanted(config: PreTrainedConfig, name: str, asked: bool | None) -> bool:
    """What the call says, or the configuration where the call says nothing."""
    value = getattr(config, name, None) if asked is None else asked
    return value is not None and read_flag(name, value)


def unpack_trace(packed: Packed, trace: Trace, heads: int) -> dict[str, tuple]:
    shown = {}
    if trace.hidden_states is not None:
        shown["hidden_states"] = tuple(packed.unpack(state) for state in trace.hidden_states)
    if trace.attentions is not None:
        shown["attentions"] = tuple(packed.unpack_squares(squares, heads) for squares in trace.attentions)
    return shown
