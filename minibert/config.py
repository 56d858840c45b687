"""A model's configuration: sizes, activation, labels, as config.json has them. First file a checkpoint is asked for.

`BertConfig()` and `DistilBertConfig()` are the published base models. Both speak of the same encoder in their own
words (`hidden_size` here is `dim` there); `config.architecture` says it in one. Next: `weights.py`, whose tensors must
have the shapes that follow from it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from typing import Any, NamedTuple

from .config_values import check_storable, default_labels, plain, read_config_flag, read_labels, turned
from .errors import ConfigError, InputTypeError, ModelNotFoundError, brief, strict_arguments
from .files import as_folder, read_json, write_whole

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
MORE_OVERRIDES = (  # beside a config's own keys
    "num_labels", "id2label", "label2id", "architectures", "problem_type", *FLAGS[:3],
)  # fmt: skip
OTHER_FORMATS = {  # files that stand alone in some folders, where model.safetensors should be
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


class PreTrainedConfig:
    """What both configurations share. Keys it has no use for are kept, and written back by `save_pretrained`."""

    model_type = ""
    defaults: Mapping[str, Any] = {}
    aliases: Mapping[str, str] = {}  # the other model's name for a size -> this one's
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
                    raise ConfigError(f"{alias} is another name of {name}; got {brief(value)} and {brief(other)}.")
        stated = values.pop("model_type", self.model_type)
        if not isinstance(stated, str) or stated != self.model_type:
            raise ConfigError(f"a {type(self).__name__} is of model_type {self.model_type!r}; got {brief(stated)}.")
        values.pop("label2id", None)  # it is id2label turned round
        values.setdefault("problem_type", None)
        values.setdefault("architectures", None)
        taken = [name for name in values if hasattr(type(self), name)]
        if taken:
            raise ConfigError(f"a key may not have the name of a method or property; got {', '.join(taken)}.")
        self.__dict__.update({**self.defaults, **values})
        self.id2label = read_labels(num_labels, id2label)
        self.check()
        for name, value in values.items():
            check_storable(name, value)

    def __getattr__(self, name: str) -> Any:  # asked only for names that are not there
        if name in type(self).aliases:
            return self.__dict__[type(self).aliases[name]]
        if name == "tie_word_embeddings":  # what a file that says nothing of it means
            return True
        raise AttributeError(f"{type(self).__name__} has no {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        value = plain(value)
        if name == "num_labels":
            labels = read_labels(value, None)
            name, value = "id2label", self.id2label if len(labels) == self.num_labels else labels  # keeps their names
        elif name == "id2label":
            value = read_labels(None, value)
        elif name == "label2id":
            name, value = "id2label", read_labels(None, turned(value))
        else:
            check_storable(name, value)
        object.__setattr__(self, type(self).aliases.get(name, name), value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PreTrainedConfig) and self.to_dict() == other.to_dict()

    @property
    def num_labels(self) -> int:
        return len(self.id2label)

    @property
    def label2id(self) -> dict[str, int]:
        return {label: index for index, label in self.id2label.items()}

    @property
    def architecture(self) -> Architecture:
        raise ConfigError("a PreTrainedConfig describes no encoder; use BertConfig or DistilBertConfig.")

    @strict_arguments
    def check(self) -> None:
        """ConfigError for the first value that no encoder can have."""
        for name in self.sizes:
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value < 2**31:
                raise ConfigError(f"{name} must be a whole number from 1 to 2147483647; got {brief(value)}.")
        problem = self.problem_type
        if problem is not None and not (isinstance(problem, str) and problem in PROBLEM_TYPES):
            raise ConfigError(f"problem_type is one of {', '.join(PROBLEM_TYPES)}; got {brief(self.problem_type)}.")
        flags = {name: read_config_flag(name, self.__dict__.get(name)) for name in FLAGS}
        if flags["is_decoder"]:
            raise ConfigError("minibert runs encoders; this configuration has is_decoder true.")
        positions = self.__dict__.get("position_embedding_type", "absolute")
        if not isinstance(positions, str) or positions != "absolute":
            raise ConfigError(
                f"position_embedding_type must be 'absolute'; got {brief(positions)}, which would need other attention."
            )
        self.check_architecture(self.architecture)
        named = self.architectures
        if named is not None and not (isinstance(named, list) and all(isinstance(name, str) for name in named)):
            raise ConfigError(f"architectures must be a list of names; got {brief(named)}.")
        spread = self.initializer_range
        if type(spread) not in (int, float) or not 0 <= spread <= 1:
            raise ConfigError(f"initializer_range must be a number from 0 to 1; got {brief(spread)}.")

    def check_architecture(self, made: Architecture) -> None:
        if made.width % made.heads:
            raise ConfigError(f"the width must divide by the heads; got width {made.width} and {made.heads} heads.")
        if type(made.eps) not in (int, float) or not 0 < made.eps <= 1:
            raise ConfigError(f"layer_norm_eps must be a number above 0 and at most 1; got {brief(made.eps)}.")

    @strict_arguments
    def activation_named(self, name: str) -> str:
        if not isinstance(name, str) or name not in ACTIVATIONS:
            raise ConfigError(f"the activation is one of {', '.join(ACTIVATIONS)}; got {brief(name)}.")
        return ACTIVATIONS[name]

    @strict_arguments
    def to_dict(self) -> dict[str, Any]:
        """All keys and their values; id2label with numbers for keys."""
        values = {name: value for name, value in self.__dict__.items() if value is not None or name in self.defaults}
        return {**values, "model_type": self.model_type, "id2label": dict(self.id2label), "label2id": self.label2id}

    @strict_arguments
    def to_json_string(self) -> str:
        """What config.json holds: labels only where they are not the two that everyone has by default."""
        values = self.to_dict()
        if self.id2label == default_labels(2):
            del values["id2label"]
        if self.id2label == default_labels(2) or not all(isinstance(label, str) for label in self.id2label.values()):
            del values["label2id"]  # whose keys JSON has as texts
        for name, value in values.items():
            check_storable(name, value)  # a dictionary or a list may have changed since it was set
        return json.dumps(values, indent=2, sort_keys=True) + "\n"

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_json_string()}"

    @strict_arguments
    def save_pretrained(self, folder: str | PathLike) -> None:
        """Write folder/config.json, as `transformers` reads it."""
        text = self.to_json_string()
        write_whole(as_folder(folder) / "config.json", lambda path: path.write_text(text, encoding="utf-8"))

    @classmethod
    @strict_arguments
    def from_dict(cls, values: Mapping[str, Any], **overrides: Any):
        """A dictionary, as config.json holds it -> the configuration, with `overrides` put over it."""
        if not isinstance(values, Mapping):
            raise InputTypeError(f"a configuration's values are a dictionary; got {brief(values)}.")
        if not all(isinstance(name, str) for name in values):
            raise ConfigError(f"a configuration's keys must be names; got {brief(list(values))}.")
        unknown = sorted(set(overrides) - ({*values, *cls.defaults, *cls.aliases, *MORE_OVERRIDES} - {"model_type"}))
        if unknown:
            raise InputTypeError(
                f"an argument must be one that the function names, or a key of the configuration; got {', '.join(unknown)}."
            )
        try:
            made = cls(**values)
        except TypeError as error:  # "self" is no key
            raise ConfigError(f"a configuration's keys must be names of its values; {error}") from None
        if "id2label" in overrides:
            read_labels(overrides.get("num_labels"), overrides["id2label"])  # the two must agree
        for name, value in overrides.items():
            setattr(made, name, value)
        made.check()
        return made

    @classmethod
    @strict_arguments
    def from_pretrained(cls, name: str | PathLike, *, revision=None, cache_dir=None, token=None,
                        local_files_only=False, **overrides: Any):  # fmt: skip
        """A folder, a bundled model or a repository of the hub -> its configuration, with `overrides` put over it."""
        from . import hub

        checkpoint = hub.locate(
            name, revision=revision, cache_dir=cache_dir, token=token, local_files_only=local_files_only
        )
        return config_of(checkpoint, cls if cls.model_type else None, **overrides)


class BertConfig(PreTrainedConfig):
    """BERT's configuration; the defaults are bert-base-uncased's."""

    model_type = "bert"
    defaults = {
        "attention_probs_dropout_prob": 0.1,
        "classifier_dropout": None,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": 768,
        "initializer_range": 0.02,
        "intermediate_size": 3072,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 512,
        "num_attention_heads": 12,
        "num_hidden_layers": 12,
        "pad_token_id": 0,
        "type_vocab_size": 2,
        "vocab_size": 30522,
    }
    sizes = ("hidden_size", "intermediate_size", "max_position_embeddings", "num_attention_heads",
             "num_hidden_layers", "type_vocab_size", "vocab_size")  # fmt: skip

    @property
    def architecture(self) -> Architecture:
        return Architecture(
            layers=self.num_hidden_layers,
            width=self.hidden_size,
            heads=self.num_attention_heads,
            feed_forward=self.intermediate_size,
            vocabulary=self.vocab_size,
            positions=self.max_position_embeddings,
            types=self.type_vocab_size,
            activation=self.activation_named(self.hidden_act),
            eps=self.layer_norm_eps,
        )


class DistilBertConfig(PreTrainedConfig):
    """DistilBERT's configuration; the defaults are distilbert-base-uncased's."""

    model_type = "distilbert"
    defaults = {
        "activation": "gelu",
        "attention_dropout": 0.1,
        "dim": 768,
        "dropout": 0.1,
        "hidden_dim": 3072,
        "initializer_range": 0.02,
        "max_position_embeddings": 512,
        "n_heads": 12,
        "n_layers": 6,
        "pad_token_id": 0,
        "qa_dropout": 0.1,
        "seq_classif_dropout": 0.2,
        "sinusoidal_pos_embds": False,
        "vocab_size": 30522,
    }
    aliases = {"hidden_size": "dim", "num_attention_heads": "n_heads", "num_hidden_layers": "n_layers"}
    sizes = ("dim", "hidden_dim", "max_position_embeddings", "n_heads", "n_layers", "vocab_size")

    @property
    def architecture(self) -> Architecture:
        return Architecture(
            layers=self.n_layers,
            width=self.dim,
            heads=self.n_heads,
            feed_forward=self.hidden_dim,
            vocabulary=self.vocab_size,
            positions=self.max_position_embeddings,
            types=1,  # DistilBERT has no token types: the encoder adds one row of zeros
            activation=self.activation_named(self.activation),
            eps=1e-12,  # not configurable there
        )


CONFIGS = {config.model_type: config for config in (BertConfig, DistilBertConfig)}


class AutoConfig:
    """`AutoConfig.from_pretrained(name)`: the class that config.json's model_type names."""

    from_pretrained = classmethod(PreTrainedConfig.from_pretrained.__func__)
    model_type = ""


def config_of(checkpoint, expected: type[PreTrainedConfig] | None = None, **overrides: Any) -> PreTrainedConfig:
    """A located checkpoint's config.json -> its configuration; of the `expected` class where one is given."""
    if checkpoint.optional("config.json") is None:
        check_contents(checkpoint)
    path = checkpoint.file("config.json")
    values = read_json(path, ConfigError)
    model_type = values.get("model_type", expected.model_type if expected else None)
    if not isinstance(model_type, str) or model_type not in CONFIGS:
        raise ConfigError(f"minibert runs models of type {', '.join(CONFIGS)}; {path} says {brief(model_type)}.")
    if expected is not None and CONFIGS[model_type] is not expected:
        raise ConfigError(f"{path} is a {model_type} model's; load it with the {model_type} class, or an Auto class.")
    try:
        return CONFIGS[model_type].from_dict(values, **overrides)
    except ConfigError as fault:
        raise ConfigError(f"{path}: {fault}") from None


def check_contents(checkpoint) -> None:
    """ModelNotFoundError for a folder that holds something else in place of a model's weights, and says what it is."""
    if checkpoint.has("adapter_config.json"):
        raise ModelNotFoundError(
            f"minibert reads whole models; {checkpoint.name} holds an adapter (adapter_config.json), which is a change to "
            "the weights of another model. Merge the two once, where peft is installed: "
            "AutoPeftModelFor...from_pretrained(NAME).merge_and_unload().save_pretrained(FOLDER)."
        )
    for name, content in OTHER_FORMATS.items():
        if checkpoint.has(name):
            raise ModelNotFoundError(
                f"minibert reads model.safetensors; {checkpoint.name} has none, only {name}, {content}. "
                "Load the checkpoint that it was exported from."
            )
