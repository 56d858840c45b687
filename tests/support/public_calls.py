"""Every public call of minibert and its options, from `minibert.__all__` and the signatures; see test_no_raw_exceptions.py."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from use_results import USES, use, use_threads
from valid_calls import (
    ABSTRACT,
    CLASSES,
    INTERNAL,
    NO_CALLS,
    PARTS,
    PROTOCOLS,
    PUBLIC,
    TASK_INPUTS,
    VALID,
    Bench,
    bert_tokenizer,
    sample,
)

import minibert
from minibert.config import PreTrainedConfig
from minibert.ignored_arguments import PIPELINE, SAVING, TOKENIZER_LOADING
from minibert.loading import ARGUMENTS, LOCATING, MODEL_OPTIONS
from minibert.models.base import PreTrainedModel
from minibert.pipelines import TASKS, pipeline_class
from minibert.sentence_transformers import SentenceTransformer, cross_encoder
from minibert.tokenization.tokenizer import Tokenizer
from minibert.training.ignored_options import MEANINGLESS, REFUSALS, TRAINER_REFUSALS

# --- The calls -------------------------------------------------------------------------------------------------------


class Call(NamedTuple):
    """A public call."""

    name: str
    target: Callable[[Bench], Callable]  # what is called
    options: tuple[str, ...]
    valid: Callable[[Bench], list[dict]]
    code: object  # what runs: calls of the same code share the values
    open_ended: bool = False  # has **options whose names are not known
    use: Callable[[Any, Bench], None] = use
    allowed: Any = ()  # exceptions beside minibert's


def every_public_call() -> Iterator[Call]:
    for owner in CLASSES:
        if owner not in NO_CALLS and not issubclass(owner, minibert.Pipeline):
            yield from calls_of_class(owner)
    for value in PUBLIC.values():
        if not inspect.isclass(value):
            yield call_of_function(value)
    for task in TASKS:
        yield from calls_of_task(task)


def call_of_function(function: Callable) -> Call:
    name = function.__name__
    more = (*task_options("text-classification"), *ARGUMENTS, *PIPELINE) if name == "pipeline" else ()
    options, open_ended = options_of([function], more)
    use_result = use_threads if name == "set_num_threads" else use
    return Call(name, lambda bench: function, options, valid_for(name), name, open_ended, use_result)


def calls_of_task(task: str) -> Iterator[Call]:
    """pipeline(task, **options), its class, its call and its stream, and writing it."""
    options, inputs, pipe_class = task_options(task), TASK_INPUTS.get(task, {"inputs": "a movie"}), pipeline_class(task)
    name, labels = f"pipeline({task!r})", {key: value for key, value in inputs.items() if key == "candidate_labels"}

    def construct(bench):
        return lambda **options: minibert.pipeline(task, bench.pipe(task).model, bert_tokenizer(), **options)

    def of_class(bench):
        return [{"model": bench.pipe(task).model, "tokenizer": bert_tokenizer(), **labels}]

    yield Call(name, construct, options, lambda bench: [labels], name)
    names, _ = options_of([pipe_class.__init__], tuple(PIPELINE))
    yield Call(pipe_class.__name__, lambda bench: pipe_class, names, of_class, pipe_class.__init__)
    saved = [{"save_directory": "saved"}]
    yield Call(f"{name}.save_pretrained", lambda bench: bench.pipe(task).save_pretrained, tuple(*saved), lambda bench: saved, 0)
    names, _ = options_of([pipe_class.__call__], options)
    lists = {key: [value] * 2 for key, value in inputs.items() if key != "candidate_labels"} | labels
    yield Call(f"{name}()", lambda bench: bench.pipe(task), names, lambda bench: [inputs, lists], f"{name}()")
    rows = {"inputs": [inputs if "question" in inputs else next(iter(inputs.values()))] * 2, **labels}
    names, _ = options_of([pipe_class.stream], options)
    yield Call(f"{name}.stream", lambda bench: bench.pipe(task).stream, names, lambda bench: [rows], f"{name}.stream")


def task_options(task: str) -> tuple[str, ...]:
    return (*pipeline_class(task).option_names, "batch_size", *pipeline_class(task).tokenizer_options)


def calls_of_class(owner: type) -> Iterator[Call]:
    """Its constructor, its public methods, and assignment to its settings."""
    if owner.__init__ is not object.__init__:
        options, open_ended = options_of(inherited(owner, "__init__"), keys_of(owner, "__init__"))
        yield Call(owner.__name__, lambda bench: owner, options, valid_for("__init__", owner), owner.__init__, open_ended)
    for name, member in inspect.getmembers_static(owner):
        of_class = isinstance(member, (classmethod, staticmethod))
        if is_public(owner, name, member) and (of_class or owner not in ABSTRACT):
            yield call_of_method(owner, name, member, of_class)
    for name in settings_of(owner):
        yield call_of_setting(owner, name)


def call_of_method(owner: type, name: str, member, of_class: bool) -> Call:
    functions = inherited(owner, name)
    functions += FURTHER.get(f"{root(owner).__name__}.{name}", ())
    options, open_ended = options_of(functions, keys_of(owner, name))

    def target(bench):
        if name == "encode_packed":  # builds its tables first, which takes 20 ms, and changes nothing
            return bench.kept(owner).encode_packed
        return getattr(owner if of_class else bench.instance(owner), name)

    shown = f"{owner.__name__}()" if name == "__call__" else f"{owner.__name__}.{name}"
    code = getattr(member, "__func__", member)
    return Call(shown, target, options, valid_for(name, owner), code, open_ended, allowed=PROTOCOLS.get(name, ()))


def call_of_setting(owner: type, name: str) -> Call:
    """Assigning to an attribute, and using the object afterwards."""

    def target(bench):
        return lambda value: (changed := bench.instance(owner), setattr(changed, name, value))[0]

    def valid(bench):
        return [{"value": getattr(bench.instance(owner), name)}]

    return Call(f"{owner.__name__}.{name} =", target, ("value",), valid, f"{root(owner)}.{name}")


# What a method passes its **options on to, if that is no method of the same name.
FURTHER = {
    **{f"Tokenizer.{name}": [Tokenizer.__call__] for name in ("encode", "tokenize", "encode_plus", "batch_encode_plus")},
    "PreTrainedModel.forward": [PreTrainedModel.__call__],
    "SentenceEncoder.encode_query": [minibert.SentenceEncoder.encode],
    "SentenceEncoder.encode_document": [minibert.SentenceEncoder.encode],
    "SentenceEncoder.stream": [minibert.SentenceEncoder.answered],
    **{
        f"SentenceTransformer.{name}": [SentenceTransformer.encode]
        for name in ("encode_query", "encode_document", "encode_multi_process")
    },
}


def keys_of(owner: type, method: str) -> tuple[str, ...]:
    """The names that **options may have and no signature has: keys of a configuration, settings of a tokenizer, arguments
    of loading. The latter only of classes whose code the others share."""
    if owner is minibert.Trainer and method == "__init__":
        return ("tokenizer", *TRAINER_REFUSALS)
    if owner is minibert.TrainingArguments and method == "__init__":
        return ("evaluation_strategy", *REFUSALS, *MEANINGLESS)
    if method == "save_pretrained" and (issubclass(owner, (PreTrainedModel, PreTrainedConfig, Tokenizer))):
        return tuple(SAVING)
    if method == "from_config":
        return ("kernels", "seed")
    if issubclass(owner, minibert.ModelOutput):
        return (owner.fields or ("logits",)) if method == "__init__" else ()
    if owner is cross_encoder.CrossEncoder and method == "__init__":
        return (*cross_encoder.FORMER_NAMES, *cross_encoder.WITHOUT_EFFECT)
    if method not in ("__init__", "from_pretrained", "from_dict") or owner in (minibert.SentenceEncoder, minibert.Reranker):
        return ()
    is_first = method == "from_pretrained" and owner.__name__.startswith(("Auto", "Bert"))
    if owner is minibert.AutoTokenizer or issubclass(owner, Tokenizer):
        options, _ = options_of(inherited(minibert.BertTokenizer, "__init__"))
        loading = (*LOCATING, *TOKENIZER_LOADING) if is_first else ()
        return (*(name for name in options if name not in TOKENIZER_PARTS), *loading)
    if issubclass(owner, PreTrainedConfig) or owner is minibert.AutoConfig:
        known = owner if issubclass(owner, PreTrainedConfig) and owner.model_type else minibert.BertConfig
        return (*known.defaults, *known.aliases, *MORE_KEYS, *(LOCATING if is_first else ()))
    if method == "__init__":
        return ()
    has_config = issubclass(owner, PreTrainedModel) and owner is not PreTrainedModel
    keys = keys_of(owner.config_class if has_config else minibert.BertConfig, method)
    return (*keys, *(MODEL_OPTIONS if owner in (minibert.AutoModel, minibert.BertModel) else ()))


TOKENIZER_PARTS = ("vocab", "vocab_file", "normalizer", "model", "decoder", "special")  # options of other constructors
MORE_KEYS = (
    "architectures",
    "problem_type",
    "model_type",
    "label2id",
    "id2label",
    "num_labels",
    "output_hidden_states",
    "is_decoder",
    "position_embedding_type",
    "key_of_its_own",
)


def is_public(owner: type, name: str, member) -> bool:
    """Whether this is a method of minibert's own that users call."""
    function = getattr(member, "__func__", member)
    if not inspect.isfunction(function) or not function.__module__.startswith("minibert"):
        return False
    return name in ("__call__", "__getitem__") or not name.startswith("_") and name not in names_in(INTERNAL, owner)


def settings_of(owner: type) -> list[str]:
    """The attributes that a user may set."""
    if owner in ABSTRACT or not issubclass(owner, tuple(USES)):  # others have no objects
        return []
    properties = [name for name, member in inspect.getmembers_static(owner) if isinstance(member, property) and member.fset]
    names = dict.fromkeys([*properties, *vars(sample(owner))])
    return [name for name in names if not name.startswith("_") and name not in names_in(PARTS, owner)]


def names_in(table: dict[str, str], owner: type) -> set[str]:
    return {name for parent in owner.__mro__ for name in table.get(parent.__name__, "").split()}


def root(owner: type) -> type:
    """The class that a family of classes inherits from."""
    return next((known for known in (Tokenizer, PreTrainedConfig, PreTrainedModel) if issubclass(owner, known)), owner)


def inherited(owner: type, name: str) -> list[Callable]:
    """A method and, while they take **options, those of the same name that come after it."""
    functions = []
    for parent in owner.__mro__:
        if name in vars(parent):
            functions.append(getattr(vars(parent)[name], "__func__", vars(parent)[name]))
            if not keywords_of(functions[-1]):
                break
    return functions


def keywords_of(function: Callable) -> list[str]:
    """The name of its **options, unless it says that all of them are refused."""
    parameters = inspect.signature(function).parameters.values()
    return [one.name for one in parameters if one.kind is one.VAR_KEYWORD and one.name != "unknown"]


def options_of(functions: list[Callable], more: tuple[str, ...] = ()) -> tuple[tuple[str, ...], bool]:
    """Functions that pass **options on to each other -> the names of all options; and whether there may be others."""
    names = []
    for function in functions:
        parameters = inspect.signature(function).parameters.values()
        names += [one.name for one in parameters if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)]
    names = [name for name in dict.fromkeys([*names, *more]) if name not in ("self", "cls")]
    return tuple(names), bool(keywords_of(functions[-1])) and not more


def valid_for(name: str, owner: type | None = None) -> Callable[[Bench], list[dict]]:
    names = [f"{parent.__name__}.{name}" for parent in owner.__mro__] if owner else []
    valid = next((VALID[known] for known in (*names, name) if known in VALID), [{}])
    return lambda bench: valid(bench, owner) if callable(valid) else valid
