"""Tasks from text to answer: `pipeline("sentiment-analysis")` finds the task's class, its model and its tokenizer.

A task is one file here and one entry in TASKS. Its class declares all there is to know of it: the class of its model,
its options, and for the command line the columns it reads and writes. Each does the same three steps: tokenizer, model,
and what the logits mean.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib import import_module
from os import PathLike
from typing import TYPE_CHECKING, Any, NamedTuple

from ..config import PreTrainedConfig
from ..errors import InputError, InputTypeError, short_repr
from ..families import HEADS, purpose_of
from ..ignored_arguments import DOWNLOADING, PIPELINE, without_ignored
from ..loading import LOCATING, MODEL_OPTIONS, ModelOptions, locate, read_model_options
from .streaming import type_name

if TYPE_CHECKING:
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


def pipeline(
    task: str | None = None,
    model: Any = None,
    tokenizer: Any = None,
    *,
    config: Any = None,
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
    `config` is a configuration for a model that is named. `model_kwargs` and `tokenizer_kwargs` are more arguments of the
    two `from_pretrained`; those of `loading.py` and `ignored_arguments.py` may be passed directly too. The other `options`
    become the call's defaults.
    """
    from .base import check_model

    if isinstance(tokenizer, PreTrainedConfig) and config is None:  # transformers' third position
        config, tokenizer = tokenizer, None
    if task is None and model is None:
        raise InputError(f"a pipeline needs a task or a model; the tasks are {known_tasks(TASKS)}.")
    location = {"revision": revision, "cache_dir": cache_dir, "token": token, "local_files_only": local_files_only}
    options = without_ignored(options, PIPELINE)
    if options.get("batch_size", 0) is None:
        del options["batch_size"]  # the default
    loading = {name: options.pop(name) for name in (*LOCATING, *MODEL_OPTIONS) if name in options}
    loading = merged(loading, read_kwargs("model_kwargs", model_kwargs), "model_kwargs")
    source = Source(config, kernels, strict, location, loading, read_kwargs("tokenizer_kwargs", tokenizer_kwargs))
    if task is not None:
        task = canonical_task(task)
        model = default_model(task) if model is None else model
    if isinstance(model, (str, PathLike)):
        model, tokenizer = load(task, model, tokenizer, source)
    else:
        check_loaded(source)
    task_class = pipeline_class(task or task_of_model(model))
    check_model(task_class, model)
    if tokenizer is None:
        raise InputError("a loaded model does not bring its tokenizer; pass tokenizer=..., a name or a loaded one.")
    if isinstance(tokenizer, (str, PathLike)):
        from ..auto import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(tokenizer, **source.location, **source.tokenizer_kwargs)
    from ..models.checks import check_vocabulary

    pipe = task_class(model, tokenizer, **options)
    check_vocabulary(model, tokenizer)
    return pipe


def default_model(task: str) -> str:
    """The bundled model for a task; InputError if there is none."""
    model = pipeline_class(task).default_model
    if model is None:
        raise InputError(f"no model for {task} comes with minibert; name one with model=...")
    log.warning("No model was named: using the bundled %s. Name another with model=...", model)
    return model


class Source(NamedTuple):
    """What the arguments of `pipeline` say of a checkpoint."""

    config: Any
    kernels: Any
    strict: Any
    location: Mapping[str, Any]
    loading: Mapping[str, Any]  # more arguments of the model's from_pretrained
    tokenizer_kwargs: Mapping[str, Any]


def read_kwargs(name: str, kwargs: Any) -> dict[str, Any]:
    if kwargs is None:
        return {}
    if not isinstance(kwargs, Mapping) or not all(isinstance(key, str) for key in kwargs):
        raise InputTypeError(f"{name} must map names of arguments to their values; got {short_repr(kwargs)}.")
    return dict(kwargs)


def merged(options: Mapping[str, Any], more: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Arguments and those of a dictionary; InputError for one that is in both."""
    twice = [key for key in options if key in more]
    if twice:
        raise InputError(f"an argument is passed once; {', '.join(twice)} is an argument and in {name} too. Leave one out.")
    return {**options, **more}


def check_loaded(source: Source) -> None:
    """InputError for an argument that says how to load a model, if it is loaded already."""
    options, others = read_model_options("auto", source.strict, source.loading)
    others = without_ignored(others, DOWNLOADING)
    if source.config is not None or others or options._replace(strict=True) != ModelOptions():
        names = [*(["config"] if source.config is not None else []), *source.loading]
        raise InputError(
            f"a model that is loaded already keeps its configuration and kernels; got {', '.join(names)} beside it."
        )


def load(task: str | None, name: str | PathLike, tokenizer: Any, source: Source) -> tuple[Any, Any]:
    """A checkpoint's name -> its model and tokenizer, both of one commit."""
    from ..auto import AutoTokenizer, config_of
    from ..kernels.catalog import make_ops
    from ..models.base import check_config

    options, others = read_model_options(source.kernels, source.strict, source.loading)
    make_ops(options.kernels)
    checkpoint, overrides = locate(name, source.location, others)
    if source.config is None:
        config = config_of(checkpoint, **overrides)
    else:
        check_config(config := source.config, PreTrainedConfig, overrides)
    architectures = config.architectures or []
    task = task or task_of(architectures)
    check_trained_for(task, architectures, checkpoint.name)
    auto_class = pipeline_class(task).auto_class()
    if tokenizer is None:
        tokenizer = AutoTokenizer.from_pretrained(checkpoint, **source.tokenizer_kwargs)
    model_class = auto_class.class_for(type(config))
    return model_class.from_checkpoint(checkpoint, config, options.kernels, options.strict, options), tokenizer


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
