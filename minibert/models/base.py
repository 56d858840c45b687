"""What every model class shares: random weights or a checkpoint's, the call, `save_pretrained`.

A class adds its configuration, the names of its tensors and its head; `module.py` has the other methods. Next:
`classification.py` and `language_modeling.py`, the heads; then `families/`, the classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from minibert.kernels.catalog import make_ops

from .. import hub
from ..config import PreTrainedConfig, config_of
from ..errors import InputError, InputTypeError, WeightsError, is_integer, read_flag, refuses, short_repr, strict_arguments
from ..loading import ModelOptions, locate, read_model_options, saving_folder
from ..tensors import is_torch_tensor
from ..weights import WEIGHTS, open_weights, save_tensors
from .call_arguments import check_of_decoders, passed_labels, refuse_source
from .checkpoint import BUFFERS, canonical, check_tensors, check_tied, encoder_shapes, mismatched_shapes, warn_of_new_head
from .checks import check_config, check_is_family, check_same_tensors, warn_of_padding
from .encoder import NO_INTERMEDIATES, Intermediates, build_encoder, encode
from .graph_cache import Fields, GraphCache
from .losses import LossHead, head_loss
from .module import Module
from .outputs import BaseModelOutput, Loss, ModelOutput, to_tensors
from .packing import Packed, pack, pack_embeds
from .precompile import ensure_compiled
from .quantized import (
    METHOD,
    VERSION,
    adapt,
    computes_in_int8,
    int8_names,
    is_quantized,
    kernels_for,
    quantized_shapes,
    quantized_tensors,
)
from .random_weights import generator, init_tensor

if TYPE_CHECKING:
    from .intermediates import Step

M = TypeVar("M", bound="PreTrainedModel")
NO_OPTIONS = ModelOptions()


class PreTrainedModel(Module):
    """`Model(config)` has random weights; `Model.from_pretrained(name)` a checkpoint's.

    `kernels` is a preset ("auto", "reference", "fast", "bf16", "int8", ...) or a mapping of an operation to a variant;
    `model.kernels` prints what was chosen. No call changes another's answer: any number of threads may call it at once.
    """

    output_class: type[ModelOutput] = BaseModelOutput
    cls_only = False  # whether the head reads each sequence's first token only: the last layer computes no other
    purpose: str  # what a checkpoint with the class's head was trained to do
    loading_info: Mapping[str, Any] = {}  # of a checkpoint: keys of the model and of the file that have no partner
    stand_ins: tuple[tuple[str, str], ...] = ()  # a name -> another one, which takes its tensor if the file has none

    @strict_arguments
    def __init__(self, config: PreTrainedConfig, *, kernels: str | Mapping[str, str] = "auto", seed: int | None = None):
        check_is_family(type(self))
        if not isinstance(config, self.config_class):
            raise InputTypeError(
                f"{type(self).__name__} wants a {self.config_class.__name__}; got {type(config).__name__}. "
                f"For a checkpoint, call {type(self).__name__}.from_pretrained(name)."
            )
        config.check()  # a value may have been set after it was constructed
        if seed is not None and not (is_integer(seed) and seed >= 0):
            raise InputError(f"seed must be a whole number, 0 or more, or None; got {short_repr(seed)}.")
        random = generator(seed)
        shapes = {**self.encoder_shapes(config), **self.head_shapes(config)}
        self.build(config, {name: init_tensor(name, shape, config, random) for name, shape in shapes.items()}, kernels)

    def build(self, config: PreTrainedConfig, tensors: dict[str, np.ndarray], kernels: Any) -> None:
        self.config = config
        self.architecture = config.architecture  # the tensors'; a later change of `config` changes no tensor
        self.tensors = tensors  # by their names in a checkpoint, without the prefix
        self.kernels = make_ops(kernels)
        if self.kernels.packs_by_kernels:
            ensure_compiled(self.kernels, self.architecture.width // self.architecture.heads)
        self.encoder = build_encoder(tensors, self.encoder_names, self.architecture, self.kernels)
        self.graph_cache = GraphCache()
        self.head = self.prepare_head()
        self._warned_of_padding = False

    def __reduce__(self) -> tuple:
        """Pickle the tensors alone; the other process prepares them again."""
        return rebuild, (type(self), self.config, self.tensors, self.kernels.spec)

    def prepare_head(self) -> dict[str, tuple]:
        """The head's linear layers by their names in a checkpoint -> what their operation takes after its input."""
        modules = {name.rpartition(".")[0] for name in self.head_shapes(self.config) if name in self.tensors}
        return {module: self.prepare_linear(module) for module in modules}

    def prepare_linear(self, module: str) -> tuple:
        return self.kernels.pack_weights("linear", self.tensors[f"{module}.weight"], self.tensors[f"{module}.bias"])

    @classmethod
    def encoder_shapes(cls, config: PreTrainedConfig) -> dict[str, tuple[int, ...]]:
        return encoder_shapes(cls.encoder_names, config.architecture)

    @classmethod
    def loss_heads(cls, config: PreTrainedConfig) -> tuple[LossHead, ...]:
        """What the model is trained with (`losses.py`); nothing for a bare encoder."""
        return ()

    @classmethod
    def optional_tensors(cls, stored: Mapping, config: PreTrainedConfig) -> list[str]:
        """Tensors of the head that this checkpoint need not have."""
        return []

    @classmethod
    @strict_arguments
    def from_pretrained(
        cls: type[M],
        pretrained_model_name_or_path: str | PathLike,
        *,
        config: PreTrainedConfig | None = None,
        kernels: str | Mapping[str, str] = "auto",
        revision: str | None = None,
        cache_dir: str | PathLike | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        strict: bool = True,
        **overrides: Any,
    ) -> M:
        """A folder, a bundled model or a repository of the hub -> the model. `overrides` go over its configuration; the
        arguments of `loading.py` and `ignored_arguments.py` are accepted too.

        float32 weights stay in the file, mapped; others are widened to float32. Errors: ModelFileError if a file is
        missing, ConfigError and WeightsError if it cannot be used. With strict=False, surplus tensors, such as a loss
        function's, are a warning and no error.
        """
        check_is_family(cls)
        options, overrides = read_model_options(kernels, strict, overrides)
        make_ops(options.kernels)  # a wrong name is an error before anything is downloaded
        location = {"revision": revision, "cache_dir": cache_dir, "token": token, "local_files_only": local_files_only}
        checkpoint, overrides = locate(pretrained_model_name_or_path, {**location, **overrides})
        if config is None:
            config = config_of(checkpoint, cls.config_class, **overrides)
        else:
            check_config(config, cls.config_class, overrides)
        return cls.load(checkpoint, config, options)

    @classmethod
    def load(cls: type[M], checkpoint: hub.Checkpoint, config: PreTrainedConfig, options: ModelOptions) -> Any:
        """A located checkpoint and its configuration -> the model; with `with_info`, (model, transformers' loading info)."""
        model = cls.from_checkpoint(checkpoint, config, options)
        return (model, model.loading_info) if options.with_info else model

    @classmethod
    def from_checkpoint(
        cls: type[M], checkpoint: hub.Checkpoint, config: PreTrainedConfig, options: ModelOptions = NO_OPTIONS
    ) -> M:
        """A located checkpoint and its configuration -> the model."""
        names, arch = cls.encoder_names, config.architecture
        quantized, kernels = is_quantized(config), kernels_for(config, options.kernels)
        stored = canonical(open_weights(checkpoint, options.safetensors_only), names.prefix)
        if not options.pooler:
            if cls.has_head:
                raise InputTypeError(f"add_pooling_layer is an argument of encoders without a head; {cls.__name__} has one.")
            stored = {name: tensor for name, tensor in stored.items() if not names.in_pooler(name)}
        if arch.layers > len(stored):  # before the shapes of a billion layers are listed
            raise WeightsError(f"{checkpoint.name}: config.json has {arch.layers} layers, the file {len(stored)} tensors.")
        tied = cls.tied_weights if config.tie_word_embeddings else {}
        for name, original in (*tied.items(), *cls.stand_ins):
            if name in stored:
                stored.setdefault(original, stored[name])
        missing = cls.optional_tensors(stored, config)
        head = cls.head_shapes(config)
        mismatched: dict[str, tuple] = {}  # of the head, which gets new ones
        if cls.has_head and (options.new_shapes or options.new_head_seed is not None):
            mismatched = mismatched_shapes({name: head[name] for name in head if name not in missing}, stored)
        encoder = cls.encoder_shapes(config)
        encoder = quantized_shapes(encoder, names, arch) if quantized else encoder
        shapes = {**encoder, **{name: head[name] for name in head if name not in missing and name not in mismatched}}
        int8 = int8_names(shapes) if quantized else set()
        check_tensors(stored, shapes, checkpoint.name, options.strict, names.heads, int8, head if cls.has_head else ())
        tensors = {name: stored[name].array() for name in shapes}
        if quantized:
            tensors, config = adapt(tensors, config, names, make_ops(kernels), bool(tied))
        check_tied(stored, tensors, tied, checkpoint.name)
        if (missing or mismatched) and cls.has_head:  # a bare encoder does without: BERT's pooler is then absent
            if options.new_head_seed is None:
                warn_of_new_head(checkpoint.name, missing, mismatched, cls.purpose)
            random = generator(options.new_head_seed)
            tensors |= {name: init_tensor(name, head[name], config, random) for name in (*missing, *mismatched)}
        model = rebuild(cls, config, tensors, kernels)
        prefix, outer = names.prefix if cls.has_head else "", {name for name in head if not names.in_pooler(name)}

        def stored_name(name: str) -> str:
            return name if name in outer else prefix + name

        model.loading_info = {
            "missing_keys": set(map(stored_name, missing)),
            "unexpected_keys": {name for name in stored if name not in (*shapes, *mismatched, *cls.tied_weights, *BUFFERS)},
            "mismatched_keys": {(stored_name(name), *two) for name, two in mismatched.items()},
            "error_msgs": [],
        }
        return model

    @strict_arguments
    def save_pretrained(self, save_directory: str | PathLike | None = None, **options: Any) -> None:
        """Write config.json and model.safetensors into a folder: float32, as `transformers` reads them; with
        kernels="int8", an int8 checkpoint (`quantized.py`). The options are transformers', and change nothing."""
        folder = saving_folder(save_directory, options)
        tensors = self.tensors
        changes: dict[str, Any] = {"architectures": [type(self).__name__], "dtype": "float32", "torch_dtype": None}
        if computes_in_int8(self.kernels, self.architecture):
            tensors = quantized_tensors(tensors, self.encoder.layers, self.encoder_names)
            changes["quantization_config"] = {"quant_method": METHOD, "version": VERSION}
        saved = self.config.from_dict({**self.config.to_dict(), **changes})
        save_tensors(folder / WEIGHTS, self.checkpoint_names(tensors))
        saved.save_pretrained(folder)

    @strict_arguments
    @refuses("head_mask", "encoder_hidden_states", "encoder_attention_mask", "past_key_values")
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
        labels: Any = None,
        next_sentence_label: Any = None,
        start_positions: Any = None,
        end_positions: Any = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
        head_mask: Any = None,
        encoder_hidden_states: Any = None,
        encoder_attention_mask: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
    ) -> Any:
        """ids (B, T), or inputs_embeds (B, T, E) in their place; masks, types and positions of shape (B, T) -> the class's
        output: torch tensors if ids or embeddings are, else NumPy arrays.

        An attention_mask may also be (B, T, T), for each query (`query_masks.py`). DistilBERT has no token types and ignores
        token_type_ids. Outputs (B, T, ·) are zeros where the mask is 0. With the labels that its head takes, the output has
        the loss: transformers', but padding is no part of it (`losses.py`). The arguments from head_mask on are of decoders
        and must say nothing. InputError for shapes, ids or lengths the model cannot take.
        """
        if not (head_mask is encoder_hidden_states is encoder_attention_mask is past_key_values is use_cache is None):
            check_of_decoders(head_mask, encoder_hidden_states, encoder_attention_mask, past_key_values, use_cache)
        source = input_ids if inputs_embeds is None else inputs_embeds
        if source is None or (inputs_embeds is not None and input_ids is not None) or hasattr(source, "keys"):
            refuse_source(input_ids, inputs_embeds)
        packed = self.pack(input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        intermediates = Intermediates(
            [] if requested(self.config, "output_hidden_states", output_hidden_states) else None,
            [] if requested(self.config, "output_attentions", output_attentions) else None,
        )
        fields = self.run_head(packed, intermediates)
        if not (labels is next_sentence_label is start_positions is end_positions is None):
            passed = passed_labels(labels, next_sentence_label, start_positions, end_positions)
            fields["loss"] = Loss(head_loss(self, fields, passed, packed))
        if is_torch_tensor(source):
            fields = {name: to_tensors(value) for name, value in fields.items()}
        output = self.output_class(**fields)
        return output if return_dict is None or read_flag("return_dict", return_dict) else output.to_tuple()

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """The call, by its name in torch."""
        return self(*inputs, **options)

    def pack(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        inputs_embeds: Any = None,
    ) -> Packed:
        """A call's inputs, checked, without their padding."""
        types = token_type_ids if self.encoder_names.types else None
        if inputs_embeds is not None:
            return pack_embeds(inputs_embeds, attention_mask, types, position_ids, self.architecture)
        packed = pack(input_ids, attention_mask, types, position_ids, self.architecture)
        if attention_mask is None and not self._warned_of_padding and not hasattr(input_ids, "bounds"):
            self._warned_of_padding = warn_of_padding(packed, self.config.pad_token_id)
        return packed

    def run_head(self, packed: Packed, intermediates: Intermediates) -> dict[str, Any]:
        """Packed tokens -> the output's fields."""
        if intermediates == NO_INTERMEDIATES and self.cls_only:
            outputs = self.run_checked(self.all_outputs, packed, captured=True)
            del outputs["hidden"]  # it was there to be checked: a tanh turns infinity into 1
            return outputs
        hidden = self.encode(packed, intermediates)  # who sees a layer sees all of it
        outputs = self.run_checked(self.head_outputs, packed, hidden[packed.first] if self.cls_only else hidden)
        return {**outputs, **self.unpack_intermediates(packed, intermediates)}

    def unpack_intermediates(self, packed: Packed, intermediates: Intermediates) -> dict[str, Any]:
        """Those that a caller requested -> the output's fields."""
        fields: dict[str, Any] = {}
        if intermediates.hidden_states is not None:
            fields["hidden_states"] = tuple(packed.unpack(state) for state in intermediates.hidden_states)
        if intermediates.attentions is not None:
            fields |= self.unpack_attentions(packed, intermediates.attentions)
        return fields

    def unpack_attentions(self, packed: Packed, attentions: list) -> dict[str, Any]:
        """`Intermediates.attentions` -> the output's fields."""
        return {"attentions": tuple(packed.unpack_squares(squares, self.encoder.heads) for squares in attentions)}

    def encode(self, packed: Packed, intermediates: Intermediates = NO_INTERMEDIATES, cls_only: bool = False) -> np.ndarray:
        """Packed tokens -> hidden (N, D); with `cls_only`, of each sequence's first token (S, D)."""
        captured = intermediates == NO_INTERMEDIATES
        return self.run_checked(self.encoder_outputs, packed, intermediates, cls_only, captured=captured)["hidden"]

    def run_checked(self, compute: Callable[..., Fields], packed: Packed, *arguments: Any, captured: bool = False) -> Fields:
        """compute(packed, *arguments); captured if the kernels can be, which `compute` must allow (`graph_cache.py`).
        Raise WeightsError if any output is NaN or infinite."""
        if not self.kernels.compiled:
            ensure_compiled(self.kernels, self.architecture.width // self.architecture.heads)
        with np.errstate(all="ignore"):  # not a warning for each operation, but one error
            if captured and self.kernels.capturable and packed.score_bias is None and self.architecture.windows is None:
                outputs = self.graph_cache.run(compute, packed, *arguments)
            else:
                outputs = compute(packed, *arguments)
            check_finite(*outputs.values())
        return outputs

    def all_outputs(self, packed: Packed) -> Fields:
        """The two steps of a class whose head reads first tokens only."""
        hidden = encode(packed, self.encoder, self.kernels, cls_only=True)
        return {"hidden": hidden, **self.head_outputs(packed, hidden)}

    def encoder_outputs(self, packed: Packed, intermediates: Intermediates, cls_only: bool) -> Fields:
        """The first step alone."""
        return {"hidden": encode(packed, self.encoder, self.kernels, intermediates, cls_only)}

    def head_outputs(self, packed: Packed, hidden: np.ndarray) -> Fields:
        """hidden (N, D), or (S, D) if `cls_only` -> the output's own fields. If `cls_only`, it calls operations and
        does nothing else, so that they can be captured (`graph_cache.py`)."""
        return {"last_hidden_state": packed.unpack(hidden)}

    @strict_arguments
    def intermediates(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        inputs_embeds: Any = None,
    ) -> dict[str, Step]:
        """A call's inputs -> every step of the forward pass by its name, in order: a `Step` with its array, its shape and the
        function that computed it (`intermediates.py`), by the reference kernels. Outputs of padding are zeros."""
        from .intermediates import record_steps, reference_model  # an answer alone need not wait for it

        source = input_ids if inputs_embeds is None else inputs_embeds
        if source is None or (inputs_embeds is not None and input_ids is not None) or hasattr(source, "keys"):
            refuse_source(input_ids, inputs_embeds)
        packed = self.pack(input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        steps = record_steps(reference_model(self), packed)
        check_finite(*(step.array for step in steps.values()))
        return steps

    @strict_arguments
    def with_tensors(self: M, tensors: Mapping[str, np.ndarray]) -> M:
        """A model of the same class, configuration and kernels with other weights: arrays of the names and shapes of
        `model.tensors`. Arrays of their types, float32 or an int8 checkpoint's int8, are not copied: do not change them while
        it is in use."""
        check_same_tensors("tensors", tensors, self.tensors)
        arrays = {name: np.ascontiguousarray(tensors[name], own.dtype) for name, own in self.tensors.items()}
        return rebuild(type(self), self.config, arrays, self.kernels.spec)

    def __repr__(self) -> str:
        arch = self.architecture
        return (
            f"{type(self).__name__}({arch.layers} layers, {arch.width} wide, {arch.heads} heads, "
            f"{self.num_parameters():,} parameters)"
        )


class ModelWithHead(PreTrainedModel):
    """An encoder with a head. A checkpoint may lack the head, if it was trained for something else, but not a part of it."""

    has_head = True
    purpose = "classify"

    @classmethod
    def optional_tensors(cls, stored: Mapping, config: PreTrainedConfig) -> list[str]:
        """The head's tensors if the file has none of them. A pooler, which heads share, may be there or not."""
        head = list(cls.head_shapes(config))
        unshared = [name for name in head if not cls.encoder_names.in_pooler(name)]
        if any(name in stored for name in unshared):
            return []
        return unshared if any(name in stored for name in head) else head


def rebuild(model_class: type[M], config: PreTrainedConfig, tensors: dict[str, np.ndarray], kernels: Any) -> M:
    model = model_class.__new__(model_class)
    model.build(config, tensors, kernels)
    return model


def check_finite(*arrays: np.ndarray) -> None:
    """Raise WeightsError if an array holds NaN or infinity, which its sum shows."""
    for array in arrays:
        if not math.isfinite(np.add.reduce(array, axis=None)):
            raise WeightsError(
                "the weights of a model must give numbers; these give NaN or infinity. Some are NaN, infinite or too large: "
                "is the file damaged, or did its training fail?"
            )


def requested(config: PreTrainedConfig, name: str, argument: bool | None) -> bool:
    """A call's flag, or the configuration's if the call has none."""
    value = config.__dict__.get(name) if argument is None else argument
    return value is not None and read_flag(name, value)
