"""Tasks from text to answer: `pipeline("sentiment-analysis")` finds the task's class, its model and its tokenizer.

A task is one file here and one entry in TASKS. Its class declares all there is to know of it: the class of its model,
its options, and for the command line the columns it reads and writes. Each does the same three steps: tokenizer, model,
and what the logits mean.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib import import_module
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, NamedTuple

from ..config import PreTrainedConfig
from ..errors import InputError, InputTypeError, short_repr, strict_arguments
from ..families import HEADS, purpose_of
from ..ignored_arguments import DOWNLOADING, LOADING, PIPELINE, PIPELINE_CALLS, TOKENIZER_LOADING, without_ignored
from ..loading import LOCATING, LOCATION, MODEL_OPTIONS, check_loaded, locate, read_mapping, read_model_options
from .streaming import type_name

if TYPE_CHECKING:
    from ..hub import Checkpoint
    from .base import Pipeline


class Registration(NamedTuple):
    """What is known of a task before its file is imported."""

    path: str  # "module:class"; a module of this package begins with a dot
    aliases: tuple[str, ...] = ()


TASKS = {
    "text-classification": Registration(".text_classification:TextClassificationPipeline", ("sentiment-analysis",)),
    "token-classification": Registration(".token_classification:TokenClassificationPipeline", ("ner",)),
    "question-answering": Registration(".question_answering:QuestionAnsweringPipeline"),
    "fill-mask": Registration(".fill_mask:FillMaskPipeline"),
    "feature-extraction": Registration(".feature_extraction:FeatureExtractionPipeline"),
    "zero-shot-classification": Registration(".zero_shot_classification:ZeroShotClassificationPipeline"),
}
# Tasks that the command line has and `pipeline()` has not.
COMMAND_TASKS = {
    "sentence-embeddings": Registration(".sentence_embeddings:SentenceEmbeddings"),
    "text-ranking": Registration(".reranking:Reranker", ("reranking",)),
}
log = logging.getLogger("minibert")


@strict_arguments
def pipeline(
    task: str | None = None,
    model: Any = None,
    config: Any = None,
    tokenizer: Any = None,
    *,
    kernels: str | Mapping[str, str] = "auto",
    revision: str | None = None,
    cache_dir: str | PathLike | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
    strict: bool = True,
    model_kwargs: Mapping[str, Any] | None = None,
    tokenizer_kwargs: Mapping[str, Any] | None = None,
    **options: Any,
) -> Pipeline:
    """A task's name -> a callable from text to answers.

    `model` and `tokenizer` are names, folders, or loaded objects. If no model is named and one is bundled for the task,
    that one is used, and a log line says so. With `strict=False`, tensors that the model does not use are a warning.
    `config` is a configuration for a model that is named; a tokenizer is accepted in its position. `model_kwargs` and
    `tokenizer_kwargs` are more arguments of the two `from_pretrained`; those of `loading.py` and `ignored_arguments.py` may
    be passed directly too. The other `options` become the call's defaults.
    """
    from .base import check_model

    if task is None and model is None:
        raise InputError(f"a pipeline needs a task or a model; the tasks are {known_tasks(TASKS)}.")
    location = {"revision": revision, "cache_dir": cache_dir, "token": token, "local_files_only": local_files_only}
    named = {"kernels": kernels, "strict": strict, **location}
    source, options = read_source(named, options, model_kwargs, tokenizer_kwargs)
    if task is not None:
        task = canonical_task(task)
        model = default_model(task) if model is None else model
    config, tokenizer = read_config_position(model, config, tokenizer)
    if isinstance(model, (str, PathLike)):
        model, tokenizer = load(task, model, config, tokenizer, source)
    else:
        task = task or task_of_model(model)
        check_model(pipeline_class(task), model)
        check_loaded(model, config, source.model)
        tokenizer = load_tokenizer(tokenizer, None, source)
    from ..models.checks import check_vocabulary

    pipe = pipeline_class(task or task_of_model(model))(model, tokenizer, **options)
    check_vocabulary(model, tokenizer)
    return pipe


def default_model(task: str) -> str:
    """The bundled model for a task; InputError if there is none."""
    model = pipeline_class(task).default_model
    if model is None:
        raise InputError(f"no model for {task} comes with minibert; name one with model=...")
    log.warning("No model was named: using the bundled %s. Name another with model=...", model)
    return model


# --- Loading ---------------------------------------------------------------------------------------------------------

DEFAULTS = {  # of arguments of `pipeline` that `model_kwargs` may have too
    "kernels": "auto",
    "strict": True,
    "revision": None,
    "cache_dir": None,
    "token": None,
    "local_files_only": False,
}


class Source(NamedTuple):
    """What the arguments of `pipeline` say of a checkpoint."""

    location: Mapping[str, Any]  # where its files are
    model: Mapping[str, Any]  # the other arguments of its model's from_pretrained
    tokenizer: Mapping[str, Any]  # those of its tokenizer's, over the location


def read_source(
    named: Mapping[str, Any], options: Mapping[str, Any], model_kwargs: Any, tokenizer_kwargs: Any
) -> tuple[Source, dict[str, Any]]:
    """`pipeline`'s arguments -> those of the loaders, and the options of the task's calls.

    `tokenizer_kwargs` may have options of the tokenizer's calls, such as truncation, which are then options of the task's.
    """
    from .call_options import TOKENIZER_OPTIONS

    calls = without_ignored(options, PIPELINE)
    loading = {name: value for name, value in named.items() if value is not DEFAULTS[name]}
    loading |= {name: calls.pop(name) for name in (*LOCATING, *MODEL_OPTIONS) if name in calls}
    loading = merged(loading, read_mapping("model_kwargs", model_kwargs), "model_kwargs")
    loading = without_ignored(loading, DOWNLOADING, LOADING)
    location = {name: loading.pop(name) for name in (*LOCATION, *LOCATING) if name in loading}
    tokenizer = dict(read_mapping("tokenizer_kwargs", tokenizer_kwargs))
    tokenization = {name: tokenizer.pop(name) for name in (*TOKENIZER_OPTIONS, *PIPELINE_CALLS) if name in tokenizer}
    tokenization = without_ignored(tokenization, PIPELINE_CALLS)
    return Source(location, loading, tokenizer), merged(calls, tokenization, "tokenizer_kwargs")


def merged(options: Mapping[str, Any], more: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Arguments and those of a dictionary; InputError for one that is in both."""
    twice = [key for key in options if key in more]
    if twice:
        raise InputError(f"an argument is passed once; {', '.join(twice)} is an argument and in {name} too. Leave one out.")
    return {**options, **more}


def read_config_position(model: Any, config: Any, tokenizer: Any) -> tuple[Any, Any]:
    """`config` may be a tokenizer if there is no other -> (config, tokenizer). InputError if it may be either."""
    if config is None or isinstance(config, PreTrainedConfig) or tokenizer is not None:
        return config, tokenizer
    names = isinstance(config, (str, PathLike)) and isinstance(model, (str, PathLike))
    if names and fspath(config) != fspath(model):
        raise InputError(
            f"the third position is of a configuration, and was of a tokenizer; got the name {short_repr(config)}, which may be "
            "either's. Pass tokenizer=..., or config=AutoConfig.from_pretrained(...)."
        )
    return None, config


def load(task: str | None, name: str | PathLike, config: Any, tokenizer: Any, source: Source) -> tuple[Any, Any]:
    """A checkpoint's name -> its model and tokenizer, both of one commit."""
    from ..auto import AutoConfig, config_of
    from ..kernels.catalog import make_ops
    from ..models.checks import check_config

    kernels, strict = (source.model.get(key, DEFAULTS[key]) for key in ("kernels", "strict"))
    others = {key: value for key, value in source.model.items() if key not in ("kernels", "strict")}
    options, overrides = read_model_options(kernels, strict, others)
    make_ops(options.kernels)
    checkpoint, _ = locate(name, source.location)
    if config is None:
        config = config_of(checkpoint, **overrides)
    else:
        config = AutoConfig.from_pretrained(config, **source.location) if isinstance(config, (str, PathLike)) else config
        check_config(config, PreTrainedConfig, overrides)
    architectures = config.architectures or []
    task = task or task_of(architectures)
    check_trained_for(task, architectures, checkpoint.name)
    model_class = pipeline_class(task).auto_class().class_for(type(config))
    tokenizer = load_tokenizer(tokenizer, checkpoint, source)
    return model_class.from_checkpoint(checkpoint, config, options), tokenizer


def load_tokenizer(tokenizer: Any, checkpoint: Checkpoint | None, source: Source) -> Any:
    """`pipeline`'s tokenizer, a name, (name, arguments), a loaded one or None for the checkpoint's -> the tokenizer."""
    from ..auto import AutoTokenizer

    arguments, location = source.tokenizer, source.location
    if isinstance(tokenizer, tuple) and len(tokenizer) == 2:
        tokenizer, more = tokenizer
        arguments = merged(arguments, read_mapping("the second of the tokenizer's pair", more), "the pair")
    if tokenizer is None:
        if checkpoint is None:
            raise InputError("a loaded model does not bring its tokenizer; pass tokenizer=..., a name or a loaded one.")
        tokenizer = checkpoint.name
        location = {**location, "revision": checkpoint.commit} if checkpoint.commit else location
    if isinstance(tokenizer, (str, PathLike)):
        return AutoTokenizer.from_pretrained(tokenizer, **{**location, **arguments})
    others = without_ignored(arguments, TOKENIZER_LOADING, DOWNLOADING)
    if others:
        raise InputTypeError(f"a tokenizer that is loaded already keeps its settings; got {', '.join(others)} beside it.")
    return tokenizer


# --- Names of tasks --------------------------------------------------------------------------------------------------


def load_task(task: str, model: str, **options: Any) -> Any:
    """The name of a task of TASKS or COMMAND_TASKS -> a loaded object of its class, which is a Task (task.py)."""
    return pipeline(task, model, **options) if task in TASKS else pipeline_class(task).from_pretrained(model, **options)


def canonical_task(task: str, tasks: Mapping[str, Registration] = TASKS) -> str:
    """A task's name or an alias -> its name; InputError if it is neither."""
    if not isinstance(task, str):
        raise InputTypeError(f"a task is named by a string; got {type_name(task)}.")
    for name, registration in tasks.items():
        if task == name or task in registration.aliases:
            return name
    raise InputError(f"the tasks are {known_tasks(tasks)}; got {short_repr(task)}.")


def known_tasks(tasks: Mapping[str, Registration]) -> str:
    """The names of tasks, then their aliases, for a message."""
    return ", ".join([*tasks, *(alias for registration in tasks.values() for alias in registration.aliases)])


def task_of(architectures: list[str]) -> str:
    """The names of model classes -> the task of the first that has one."""
    for name in architectures:
        purpose = purpose_of(str(name))
        if purpose in TASKS:
            return purpose
    known = ", ".join(f"...{head}" for head, purpose in HEADS.items() if purpose in TASKS)
    raise InputError(f"the task follows from a model's class, {known}; got {architectures or 'none'}. Name the task.")


def task_of_model(model: Any) -> str:
    """A loaded model -> the task of its class."""
    from ..models.base import PreTrainedModel
    from .base import of_another_library

    if not isinstance(model, PreTrainedModel):
        raise InputTypeError(f"model is a name, a folder or a loaded one; got {of_another_library(model)}")
    return task_of([type(model).__name__])


def check_trained_for(task: str, architectures: list[str], name: str) -> None:
    """InputError if config.json names a model whose head is for something else, which would answer at random.

    Models without a head, or with the one they were pretrained with, are for every task to begin from.
    """
    purposes = {name: purpose for name in map(str, architectures) if (purpose := purpose_of(name))}
    task_class = pipeline_class(task)
    usable = {task_class.trained_for or task, "feature-extraction", *task_class.may_start_from}
    if task == "feature-extraction" or not purposes or usable & set(purposes.values()):
        return
    architecture, purpose = next(iter(purposes.items()))
    remedy = f"Pass the task {purpose!r}, or another model." if purpose in TASKS else f"Pass a model for {task}."
    raise InputError(
        f"{task} needs a model that was trained for it; {name} was trained for {purpose}, for its config.json names "
        f"{architecture}. {remedy}"
    )


def pipeline_class(task: str) -> Any:
    """A task's name -> its class, whose file is imported."""
    registration = TASKS[task] if task in TASKS else COMMAND_TASKS[task]
    module, _, name = registration.path.partition(":")
    return getattr(import_module(module, __name__), name)
