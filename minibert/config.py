"""A model's configuration: sizes, activation, labels, as config.json has them.

This is the base class; each family's own class is in its file in `families/`. The families describe the same encoder
with other keys (BERT's `hidden_size` is DistilBERT's `dim`); `config.architecture` has one name for each size. Next:
`weights.py`, which reads the tensors; their shapes follow from the architecture (`models/checkpoint.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from .config_values import check_storable, default_labels, plain, read_config_flag, read_label2id, read_labels
from .errors import ConfigError, InputTypeError, ModelNotFoundError, did_you_mean, short_repr, strict_arguments
from .files import atomic_write, read_json

if TYPE_CHECKING:
    from .hub import Checkpoint

C = TypeVar("C", bound="PreTrainedConfig")

ACTIVATIONS = {  # config.json's names for the four that there are
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
FLAGS = ("output_hidden_states", "output_attentions", "tie_word_embeddings", "is_decoder", "sinusoidal_pos_embds")
MORE_OVERRIDES = (  # besides the keys of the configuration
    "num_labels",
    "id2label",
    "label2id",
    "architectures",
    "problem_type",
    *FLAGS[:3],
)
OTHER_FORMATS = {  # files that stand alone in some folders, where a model's weights should be
    "onnx/model.onnx": "a graph for ONNX Runtime",
    "model.onnx": "a graph for ONNX Runtime",
    "tf_model.h5": "weights for TensorFlow",
    "flax_model.msgpack": "weights for Flax",
}
PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")


class Architecture(NamedTuple):
    """The encoder's sizes, in the letters of `models/encoder.py`."""

    layers: int
    width: int  # D
    heads: int  # H
    feed_forward: int  # F
    vocabulary: int  # V
    positions: int
    types: int
    activation: str  # an operation's name: gelu, gelu_tanh, relu, silu
    eps: float
    embedding_width: int  # E; if it is not D, a linear layer follows the embeddings
    position_padding_id: int | None = None  # if set, positions count from this id + 1 and leave out tokens of this id
    relative_buckets: int = 0  # of a bias for the distance of two tokens; 0: there is none
    windows: tuple[int, ...] | None = None  # how many tokens away one sees, of each layer or of all; None: all tokens

    @property
    def max_tokens(self) -> int:
        """Of a sequence: as many as there are positions for."""
        return self.positions if self.position_padding_id is None else self.positions - self.position_padding_id - 1

    def window_of(self, layer: int) -> int | None:
        """How many tokens away one sees in a layer; None: it sees all."""
        return None if self.windows is None else self.windows[layer % len(self.windows)]


class DropoutRates(NamedTuple):
    """How probable it is, in training, that a value becomes 0; as the configuration has it, unchecked."""

    embeddings: float  # after their norm
    attention: float  # of the attention's probabilities
    attention_out: float
    feed_forward_out: float
    sequence_head: float
    token_head: float
    answer_head: float  # of question answering


class PreTrainedConfig:
    """What all configurations share. Keys without a use here stay, and `save_pretrained` writes them back."""

    model_type = ""
    defaults: Mapping[str, Any] = {}
    aliases: Mapping[str, str] = {}  # BERT's name of a size -> this family's
    sizes: tuple[str, ...] = ()  # keys that must be whole numbers, 1 or more

    @strict_arguments
    def __init__(self, *, num_labels: int | None = None, id2label: Mapping | None = None, **values: Any):
        values = {name: plain(value) for name, value in values.items()}
        for alias, name in self.aliases.items():
            if alias in values:
                value = values.pop(alias)
                other = values.setdefault(name, value)
                check_storable(alias, value)
                check_storable(name, other)  # only then can the two be compared
                if other != value:
                    raise ConfigError(f"{alias} is another name of {name}; got {short_repr(value)} and {short_repr(other)}.")
        stated = values.pop("model_type", self.model_type)
        if not isinstance(stated, str) or stated != self.model_type:
            raise ConfigError(f"a {type(self).__name__} is of model_type {self.model_type!r}; got {short_repr(stated)}.")
        label2id = values.pop("label2id", None)
        values.setdefault("problem_type", None)
        values.setdefault("architectures", None)
        taken = [name for name in values if hasattr(type(self), name)]
        if taken:
            raise ConfigError(f"a key may not have the name of a method or property; got {', '.join(taken)}.")
        self.__dict__.update({**self.defaults, **values})
        self.id2label = read_labels(num_labels, id2label)
        if id2label is not None and label2id is not None:
            with suppress(ConfigError):  # a file may hold anything there; it names no label
                if (labels := read_label2id(label2id)) != self.label2id:
                    self.__dict__["label2id"] = labels
        self.check()
        for name, value in values.items():
            check_storable(name, value)

    def __getattr__(self, name: str) -> Any:  # called only for names that are not set
        if name in type(self).aliases:
            return self.__dict__[type(self).aliases[name]]
        if name == "tie_word_embeddings":  # what a file that says nothing of it means
            return True
        if name == "_name_or_path":
            return ""
        raise AttributeError(f"{type(self).__name__} has no {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        value = plain(value)
        if name == "num_labels":
            labels = read_labels(value, None)
            name, value = "id2label", self.id2label if len(labels) == self.num_labels else labels  # keeps their names
        elif name == "id2label":
            value = read_labels(None, value)
        elif name == "label2id":
            self.__dict__[name] = read_label2id(value)  # as in transformers, no other labels follow from it
            return
        else:
            check_storable(name, value)
        if name == "id2label":
            self.__dict__.pop("label2id", None)  # it was that of other labels
        object.__setattr__(self, type(self).aliases.get(name, name), value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PreTrainedConfig) and self.to_dict() == other.to_dict()

    @property
    def num_labels(self) -> int:
        return len(self.id2label)

    @property
    def label2id(self) -> dict[str, int]:
        """The inverse of id2label, unless another was set."""
        return self.__dict__.get("label2id") or {label: index for index, label in self.id2label.items()}

    @property
    def use_return_dict(self) -> bool:
        """Whether calls without `return_dict` return objects; here they always do."""
        return True

    @property
    def name_or_path(self) -> str:
        """Where it was loaded from; "" if it was made in code. It is written to no file."""
        return self.__dict__.get("_name_or_path", "")

    @property
    def architecture(self) -> Architecture:
        raise ConfigError(
            f"a {type(self).__name__} describes no encoder; use AutoConfig, or a family's own class such as BertConfig."
        )

    @property
    def dropout_rates(self) -> DropoutRates:
        raise ConfigError(f"a {type(self).__name__} describes no encoder; use a family's own class such as BertConfig.")

    @strict_arguments
    def check(self) -> None:
        """ConfigError for the first value that no encoder can have."""
        for name in self.sizes:
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value < 2**31:
                raise ConfigError(f"{name} must be a whole number from 1 to 2147483647; got {short_repr(value)}.")
        problem = self.problem_type
        if problem is not None and not (isinstance(problem, str) and problem in PROBLEM_TYPES):
            raise ConfigError(f"problem_type is one of {', '.join(PROBLEM_TYPES)}; got {short_repr(self.problem_type)}.")
        flags = {name: read_config_flag(name, self.__dict__.get(name)) for name in FLAGS}
        if flags["is_decoder"]:
            raise ConfigError("minibert runs encoders; this configuration has is_decoder true.")
        positions = self.__dict__.get("position_embedding_type", "absolute")
        if not isinstance(positions, str) or positions != "absolute":
            raise ConfigError(
                f"position_embedding_type must be 'absolute'; got {short_repr(positions)}, which would need other attention."
            )
        self.check_architecture(self.architecture)
        named = self.architectures
        if named is not None and not (isinstance(named, list) and all(isinstance(name, str) for name in named)):
            raise ConfigError(f"architectures must be a list of names; got {short_repr(named)}.")
        deviation = self.initializer_range
        if type(deviation) not in (int, float) or not 0 <= deviation <= 1:
            raise ConfigError(f"initializer_range must be a number from 0 to 1; got {short_repr(deviation)}.")

    def check_architecture(self, arch: Architecture) -> None:
        if arch.width % arch.heads:
            raise ConfigError(f"the width must divide by the heads; got width {arch.width} and {arch.heads} heads.")
        if type(arch.eps) not in (int, float) or not 0 < arch.eps <= 1:
            raise ConfigError(f"layer_norm_eps must be a number above 0 and at most 1; got {short_repr(arch.eps)}.")

    @strict_arguments
    def activation_named(self, name: str) -> str:
        if not isinstance(name, str) or name not in ACTIVATIONS:
            raise ConfigError(f"the activation is one of {', '.join(ACTIVATIONS)}; got {short_repr(name)}.")
        return ACTIVATIONS[name]

    @strict_arguments
    def to_dict(self) -> dict[str, Any]:
        """All keys and their values; id2label has integers for keys."""
        values = {name: value for name, value in self.__dict__.items() if value is not None or name in self.defaults}
        values.pop("_name_or_path", None)
        return {**values, "model_type": self.model_type, "id2label": dict(self.id2label), "label2id": self.label2id}

    @strict_arguments
    def to_json_string(self) -> str:
        """The text of config.json. It holds labels only if they are not the two default ones."""
        values, stated = self.to_dict(), "label2id" in self.__dict__
        if self.id2label == default_labels(2) and not stated:
            del values["id2label"], values["label2id"]
        elif not stated and not all(isinstance(label, str) for label in self.id2label.values()):
            del values["label2id"]  # whose keys JSON has as texts
        for name, value in values.items():
            check_storable(name, value)  # a dictionary or a list may have changed since it was set
        return json.dumps(values, indent=2, sort_keys=True) + "\n"

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_json_string()}"

    @strict_arguments
    def save_pretrained(self, save_directory: str | PathLike | None = None, **options: Any) -> None:
        """Write config.json into a folder, as `transformers` reads it. The options are transformers', and change nothing."""
        from .loading import saving_folder

        folder, text = saving_folder(save_directory, options), self.to_json_string()
        atomic_write(folder / "config.json", lambda path: path.write_text(text, encoding="utf-8"))

    @classmethod
    @strict_arguments
    def from_dict(cls: type[C], values: Mapping[str, Any], **overrides: Any) -> C:
        """A dictionary, as config.json holds it -> the configuration, with `overrides` put over it."""
        if not isinstance(values, Mapping):
            raise InputTypeError(f"a configuration's values are a dictionary; got {short_repr(values)}.")
        if not all(isinstance(name, str) for name in values):
            raise ConfigError(f"a configuration's keys must be names; got {short_repr(list(values))}.")
        keys = {*values, *cls.defaults, *cls.aliases, *MORE_OVERRIDES} - {"model_type"}
        unknown = sorted(set(overrides) - keys)
        if unknown:
            from .loading import ARGUMENTS

            raise InputTypeError(
                "an argument must be one that the function names, or a key of the configuration; got "
                f"{', '.join(unknown)}.{did_you_mean(unknown, [*ARGUMENTS, *sorted(keys)])}"
            )
        try:
            config = cls(**values)
        except TypeError as error:  # "self" is no key
            raise ConfigError(f"a configuration's keys must be names of its values; {error}") from None
        if "id2label" in overrides:
            read_labels(overrides.get("num_labels"), overrides["id2label"])  # the two must agree
        for name, value in overrides.items():
            setattr(config, name, value)
        config.check()
        return config

    @classmethod
    @strict_arguments
    def from_pretrained(
        cls: type[C],
        pretrained_model_name_or_path: str | PathLike,
        *,
        revision: str | None = None,
        cache_dir: str | PathLike | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        **overrides: Any,
    ) -> C:
        """A folder, a bundled model or a repository of the hub -> its configuration, with `overrides` put over it."""
        from .loading import locate

        if not cls.model_type:
            raise ConfigError(f"a {cls.__name__} describes no encoder; use AutoConfig.from_pretrained(name).")

        location = {"revision": revision, "cache_dir": cache_dir, "token": token, "local_files_only": local_files_only}
        checkpoint, overrides = locate(pretrained_model_name_or_path, {**location, **overrides})
        return config_of(checkpoint, cls, **overrides)


def config_of(checkpoint: Checkpoint, config_class: type[C], /, **overrides: Any) -> C:
    """A located checkpoint's config.json -> its configuration, of `config_class`."""
    path, values = read_config_file(checkpoint)
    model_type = values.get("model_type", config_class.model_type)
    if model_type != config_class.model_type:
        stated = model_type if isinstance(model_type, str) else short_repr(model_type)
        raise ConfigError(
            f"{path} is a {stated} model's; load it with the {stated} class, or an Auto class. {config_class.__name__} is "
            f"the configuration of {config_class.model_type} models."
        )
    config = config_from_file(path, values, config_class, **overrides)
    config._name_or_path = str(checkpoint.name)
    return config


def read_config_file(checkpoint: Checkpoint) -> tuple[Path, dict[str, Any]]:
    """A located checkpoint -> its config.json's path and values, which nobody has judged yet."""
    if checkpoint.optional("config.json") is None:
        check_contents(checkpoint)
    path = checkpoint.file("config.json")
    return path, read_json(path, ConfigError)


def config_from_file(path: Path, values: Mapping[str, Any], config_class: type[C], /, **overrides: Any) -> C:
    """config.json's values -> a configuration; a ConfigError names the file."""
    try:
        return config_class.from_dict(values, **overrides)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def check_contents(checkpoint: Checkpoint) -> None:
    """Raise ModelNotFoundError if a folder holds an adapter or another format instead of a model's weights."""
    if checkpoint.has("adapter_config.json"):
        raise ModelNotFoundError(
            f"minibert reads whole models; {checkpoint.name} holds an adapter (adapter_config.json), which is a change to "
            "the weights of another model. Merge the two once, where peft is installed: "
            "AutoPeftModelFor...from_pretrained(NAME).merge_and_unload().save_pretrained(FOLDER)."
        )
    for name, content in OTHER_FORMATS.items():
        if checkpoint.has(name):
            raise ModelNotFoundError(
                f"minibert reads model.safetensors or pytorch_model.bin; {checkpoint.name} has neither, only {name}, {content}. "
                "Load the checkpoint that it was exported from."
            )
