"""The Auto classes: `AutoModelFor...from_pretrained(name)` is of the class that the checkpoint's config.json names.

They derive from the table of families (`families/__init__.py`), and import a family's file when it is needed. So this
module, AutoConfig and AutoTokenizer import no NumPy.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

from . import hub, tokenization
from .config import PreTrainedConfig, config_from_file, read_config_file
from .errors import ConfigError, InputTypeError, MinibertWarning, VocabularyError, short_repr, strict_arguments
from .families import FAMILIES
from .loading import locate, read_model_options
from .tokenization.files.loading import load as load_tokenizer
from .tokenization.files.loading import locate as locate_tokenizer
from .tokenization.files.loading import read_json_of
from .tokenization.files.vocabularies import MODELS

if TYPE_CHECKING:
    from .models.base import PreTrainedModel


class AutoConfig:
    """`AutoConfig.from_pretrained(name)`: the class that config.json's model_type names."""

    @classmethod
    @strict_arguments
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | PathLike,
        *,
        revision: str | None = None,
        cache_dir: str | PathLike | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        **overrides: Any,
    ) -> PreTrainedConfig:
        """A folder, a bundled model or a repository of the hub -> its configuration, with `overrides` put over it."""
        location = {"revision": revision, "cache_dir": cache_dir, "token": token, "local_files_only": local_files_only}
        checkpoint, overrides = locate(pretrained_model_name_or_path, {**location, **overrides})
        return config_of(checkpoint, **overrides)


def config_of(checkpoint: hub.Checkpoint, /, **overrides: Any) -> PreTrainedConfig:
    """A located checkpoint's config.json -> its configuration, of the class that its model_type names."""
    path, values = read_config_file(checkpoint)
    model_type = values.get("model_type")
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        raise ConfigError(f"minibert runs models of type {', '.join(FAMILIES)}; {path} says {short_repr(model_type)}.")
    config: PreTrainedConfig = config_from_file(path, values, FAMILIES[model_type].load("Config"), **overrides)
    config._name_or_path = str(checkpoint.name)
    return config


# --- Tokenizers ------------------------------------------------------------------------------------------------------

# Families of transformers whose tokenizer is BERT's under another name
SAME_AS_BERT = ("ConvBert", "DPRContextEncoder", "DPRQuestionEncoder", "LayoutLM", "Lxmert", "MobileBert", "SqueezeBert")
SAME_AS_ROBERTA = ("Bart", "LED", "Longformer", "Mvp", "Roberta")
SENTENCEPIECE = ("Albert", "Camembert", "DebertaV2", "T5", "XLMRoberta", "XLNet")  # sentencepiece's Unigram model
TOKENIZERS = {  # tokenizer_class in tokenizer_config.json, without "Fast" -> the class in `tokenization/`
    **{f"{prefix}Tokenizer": "BertTokenizer" for prefix in SAME_AS_BERT},
    **{f"{prefix}Tokenizer": "RobertaTokenizer" for prefix in SAME_AS_ROBERTA},
    "GPT2Tokenizer": "GPT2Tokenizer",
    **{f"{family.prefix}Tokenizer": family.tokenizer for family in FAMILIES.values() if family.tokenizer},
    "FunnelTokenizer": "FunnelTokenizer",
    "PreTrainedTokenizer": "PreTrainedTokenizerFast",
    "TokenizersBackend": "PreTrainedTokenizerFast",
}


class AutoTokenizer:
    """`AutoTokenizer.from_pretrained(name)`: the class that the checkpoint's files name."""

    @classmethod
    @strict_arguments
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | PathLike | hub.Checkpoint,
        *,
        config: PreTrainedConfig | None = None,
        revision: str | None = None,
        cache_dir: str | PathLike | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        **overrides: Any,
    ) -> Any:
        """The tokenizer of a checkpoint, of the class tokenizer_config.json names, or else of its model's: that of `config` or,
        if none is passed, of config.json."""
        if config is not None and not isinstance(config, PreTrainedConfig):
            raise InputTypeError(
                f"config must be a configuration; got {short_repr(config)}. Call AutoConfig.from_pretrained(name)."
            )
        location = {"revision": revision, "cache_dir": cache_dir, "token": token, "local_files_only": local_files_only}
        checkpoint, overrides = locate_tokenizer(pretrained_model_name_or_path, {**location, **overrides})
        return load_tokenizer(tokenizer_class_of(checkpoint, config), checkpoint, overrides)


def tokenizer_class_of(checkpoint: hub.Checkpoint, config: PreTrainedConfig | None = None) -> type:
    """The class that a located checkpoint's files name; a configuration stands in place of config.json. If they name one that is
    not known, but have a tokenizer.json whose model minibert has, that file is used as it is, with a MinibertWarning, as
    transformers does."""
    stated = read_json_of(checkpoint, "tokenizer_config.json").get("tokenizer_class")
    if stated is not None:
        name, source, known = (
            TOKENIZERS.get(str(stated).removesuffix("Fast")),
            f"tokenizer_class {short_repr(stated)}",
            TOKENIZERS,
        )
    else:
        model_type = read_json_of(checkpoint, "config.json").get("model_type") if config is None else config.model_type
        known = {model_type: family.tokenizer for model_type, family in FAMILIES.items() if family.tokenizer}
        name, source = known.get(str(model_type)), f"model_type {short_repr(model_type)}"
    model_type = model_type_of(checkpoint) if name is None and isinstance(stated, str) else None
    if model_type in MODELS:
        warnings.warn(
            f"{checkpoint.name} says {source}, which is not known here; its tokenizer.json has a {model_type} model, and is used"
            " as it is.",
            MinibertWarning,
            stacklevel=3,
        )
        name = "PreTrainedTokenizerFast"
    if name is None and (
        model_type == "Unigram" or str(stated).removesuffix("Fast") in map("{}Tokenizer".format, SENTENCEPIECE)
    ):
        raise VocabularyError(
            f"minibert's tokenizers are WordPiece and byte-level BPE; the checkpoint {checkpoint.name} says {source}, which is"
            " sentencepiece's Unigram model. Use a model with one of the two."
        )
    if name is None:
        raise VocabularyError(
            f"minibert has the tokenizers of {', '.join(known)}, and uses any other's tokenizer.json if its model is"
            f" {' or '.join(MODELS)}; the checkpoint {checkpoint.name} says {source}."
            " If it is one of them all the same, call from_pretrained of that class."
        )
    return getattr(tokenization, name)


def model_type_of(checkpoint: hub.Checkpoint) -> str | None:
    """The type of the model in a located checkpoint's tokenizer.json, by its own word; None if it has none."""
    model = read_json_of(checkpoint, "tokenizer.json").get("model")
    model_type = model.get("type") if isinstance(model, dict) else None
    return model_type if isinstance(model_type, str) else None


# --- Models ----------------------------------------------------------------------------------------------------------


class AutoClass:
    """One head, of whichever family a configuration belongs to."""

    head = "Model"  # the end of the classes' names

    @classmethod
    @strict_arguments
    def from_pretrained(
        cls,
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
    ) -> Any:
        """As `PreTrainedModel.from_pretrained`, for whichever model type the checkpoint has."""
        from .kernels.catalog import make_ops
        from .models.checks import check_config

        options, overrides = read_model_options(kernels, strict, overrides)
        make_ops(options.kernels)  # a wrong name is an error before anything is downloaded
        location = {"revision": revision, "cache_dir": cache_dir, "token": token, "local_files_only": local_files_only}
        checkpoint, overrides = locate(pretrained_model_name_or_path, {**location, **overrides})
        if config is None:
            config = config_of(checkpoint, **overrides)
        else:
            check_config(config, PreTrainedConfig, overrides)
        return cls.class_for(type(config)).load(checkpoint, config, options)

    @classmethod
    @strict_arguments
    def from_config(cls, config: PreTrainedConfig, **options: Any) -> Any:
        """A model with random weights."""
        return cls.class_for(type(config))(config, **options)

    @classmethod
    def heads(cls) -> dict[str, str]:
        """model_type -> the end of the class's name, for each family that has this head."""
        return {model_type: cls.head for model_type, family in FAMILIES.items() if cls.head in family.heads}

    @classmethod
    def classes(cls) -> dict[str, type[PreTrainedModel]]:
        """model_type -> the class, for each family that has this head."""
        return {model_type: FAMILIES[model_type].load(head) for model_type, head in cls.heads().items()}

    @classmethod
    def class_for(cls, config_class: type[PreTrainedConfig]) -> type[PreTrainedModel]:
        model_type, heads = getattr(config_class, "model_type", None), cls.heads()
        if model_type not in heads:
            known = ", ".join(f"{FAMILIES[model_type].prefix}Config" for model_type in heads)
            raise ConfigError(f"{cls.__name__} takes a configuration of class {known}; got {config_class.__name__}.")
        return FAMILIES[model_type].load(heads[model_type])


class AutoModel(AutoClass):
    """An encoder without a head."""


class AutoModelForSequenceClassification(AutoClass):
    """An encoder that labels texts."""

    head = "ForSequenceClassification"


class AutoModelForTokenClassification(AutoClass):
    """An encoder that labels tokens."""

    head = "ForTokenClassification"


class AutoModelForQuestionAnswering(AutoClass):
    """An encoder that finds answers."""

    head = "ForQuestionAnswering"


class AutoModelForMultipleChoice(AutoClass):
    """An encoder that chooses among texts."""

    head = "ForMultipleChoice"


class AutoModelForNextSentencePrediction(AutoClass):
    """An encoder that says whether a sentence follows another."""

    head = "ForNextSentencePrediction"


class AutoModelForMaskedLM(AutoClass):
    """An encoder that guesses masked words."""

    head = "ForMaskedLM"


class AutoModelForPreTraining(AutoClass):
    """An encoder with the heads it was trained with; DistilBERT's is the one that guesses words."""

    head = "ForPreTraining"

    @classmethod
    def heads(cls) -> dict[str, str]:
        return {model_type: family.pretraining_head for model_type, family in FAMILIES.items()}


def class_named_by(config: PreTrainedConfig) -> type[PreTrainedModel]:
    """The class that config.json names under "architectures"; if it names none of ours, the encoder's."""
    family = FAMILIES[config.model_type]
    for name in config.architectures or ():
        head = str(name).removeprefix(family.prefix)
        if head in family.heads and str(name) == family.prefix + head:
            return family.load(head)
    return AutoModel.class_for(type(config))
