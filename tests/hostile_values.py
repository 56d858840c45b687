"""Values that nobody means, and the valid objects and arguments among which they are put."""

import enum
import importlib.util
import inspect
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from checkpoints import make_checkpoint, small_config, small_model

import minibert
from minibert import MinibertWarning
from minibert.config import PreTrainedConfig
from minibert.families import FAMILIES
from minibert.models.base import PreTrainedModel
from minibert.pipelines import pipeline_class
from minibert.pipelines.base import Pipeline
from minibert.tokenization import AddedToken
from minibert.tokenization.tokenizer import Tokenizer

# --- The values ------------------------------------------------------------------------------------------------------


class Color(enum.Enum):
    RED = "red"


def nested(depth):
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


VALUES: dict[str, Callable[[], Any]] = {  # made for each call, because some can be read only once
    "None": lambda: None,
    "True": lambda: True,
    "0": lambda: 0,
    "-1": lambda: -1,
    "10**30": lambda: 10**30,
    "-10**30": lambda: -(10**30),
    "10**5000": lambda: 10**5000,  # which has no repr
    "1.5": lambda: 1.5,
    "nan": lambda: float("nan"),
    "inf": lambda: float("inf"),
    "''": lambda: "",
    "'nonsense'": lambda: "nonsense",
    "'a\\0b'": lambda: "a\0b",
    "'\\ud800'": lambda: "\ud800",
    "b'bytes'": lambda: b"bytes",
    "[]": list,
    "[[]]": lambda: [[]],
    "[None]": lambda: [None],
    "[1, [2, 3]]": lambda: [1, [2, 3]],
    "[[1], [2, 3]]": lambda: [[1], [2, 3]],
    "['a', b'b']": lambda: ["a", b"b"],
    "[[...]] 10,000 deep": lambda: nested(10_000),
    "{}": dict,
    "{'a': 1}": lambda: {"a": 1},
    "{1: None}": lambda: {1: None},
    "()": lambda: (),
    "set()": lambda: set(),
    "object()": lambda: object(),
    "type": lambda: type,
    "lambda": lambda: lambda *arguments, **options: None,
    "range(3)": lambda: range(3),
    "a generator": lambda: (index for index in range(3)),
    "a missing Path": lambda: Path("missing/file"),
    "an Enum member": lambda: Color.RED,
    "np.array([1, 2])": lambda: np.array([1, 2]),
    "np.array(3)": lambda: np.array(3),
    "np.zeros(0)": lambda: np.zeros((0,)),
    "np.array([None])": lambda: np.array([None], object),
    "np.array(['a', 'b'])": lambda: np.array(["a", "b"]),
    "np.ones((2, 2, 2, 2))": lambda: np.ones((2, 2, 2, 2)),
    "np.int64(3)": lambda: np.int64(3),
    "np.float32('nan')": lambda: np.float32("nan"),
    "np.bool_(True)": lambda: np.bool_(True),
}
if importlib.util.find_spec("torch"):

    def torch():
        import torch

        return torch

    VALUES |= {
        "a torch tensor": lambda: torch().tensor([[1, 2], [3, 4]]),
        "a torch scalar": lambda: torch().tensor(1.5, requires_grad=True),
        "a sparse torch tensor": lambda: torch().eye(3).to_sparse(),
    }


# --- Valid objects and arguments -------------------------------------------------------------------------------------


class Bench:
    """Objects to call that are as they should be: tiny models, on disk and in memory."""

    def __init__(self, root: Path):
        self.root = root
        self.folder, self.model, self.pipe = cache(self.folder), cache(self.model), cache(self.pipe)
        self.kept = cache(self.instance)

    def folder(self, architecture="bert", head="ForSequenceClassification") -> Path:
        folder = make_checkpoint(self.root / f"{architecture}-{head}", architecture, head)
        minibert.AutoTokenizer.from_pretrained(folder).save_pretrained(folder)  # tokenizer.json too
        return folder

    def model(self, model_class=minibert.BertForSequenceClassification):
        return model_class(config_of(model_class.config_class), kernels="reference", seed=0)

    def pipe(self, task):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MinibertWarning)  # zero-shot: no label begins with "entail"
            return minibert.pipeline(task, self.model(pipeline_class(task).auto_class().classes()["bert"]), bert_tokenizer())

    def instance(self, owner: type):
        """An object of a class; a new one each time if calls may change it."""
        if owner is minibert.PreTrainedTokenizerFast:
            return owner(tokenizer_file=self.folder() / "tokenizer.json", **SPECIAL)
        return self.model(owner) if issubclass(owner, PreTrainedModel) else sample(owner)


def config_of(config_class):
    return small_config(config_class.model_type or "bert")


def bert_tokenizer(owner=minibert.BertTokenizer):
    return owner(VOCABULARY, model_max_length=16)


def sample(owner: type):
    """As `Bench.instance`, of classes whose objects need no file."""
    if issubclass(owner, Tokenizer):
        return bert_tokenizer(owner if issubclass(owner, minibert.BertTokenizer) else minibert.BertTokenizer)
    if issubclass(owner, PreTrainedConfig):
        return config_of(owner)
    if issubclass(owner, PreTrainedModel):
        return owner(config_of(owner.config_class), kernels="reference", seed=0)
    if owner is minibert.SentenceEncoder:
        return owner(sample(minibert.BertModel), bert_tokenizer())
    if owner is minibert.BatchEncoding:
        return bert_tokenizer()(TEXTS, padding=True, return_offsets_mapping=True)
    if owner is AddedToken:
        return AddedToken("<x>")
    raise LookupError(f"say here how to construct a {owner.__name__}")


def head_of(model_class) -> str:
    """DistilBertForMaskedLM -> ForMaskedLM; BertModel -> Model"""
    return model_class.__name__.removeprefix(FAMILIES[model_class.config_class.model_type].prefix)


VOCABULARY = {
    token: id
    for id, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "a", "movie", "is", "good", "bad", "##ly"])
}
SPECIAL = {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "sep", "pad", "cls", "mask")}
TEXTS = ["a good movie", "the movie is not bad"]
IDS = [[2, 5, 6, 3], [2, 7, 3, 0]]
MASK = [[1, 1, 1, 1], [1, 1, 1, 0]]
TASK_INPUTS = {  # of tasks that take more than a text
    "fill-mask": {"inputs": "a [MASK] movie"},
    "question-answering": {"question": "a movie", "context": "it is not a bad movie"},
    "zero-shot-classification": {"sequences": "a movie", "candidate_labels": ["good", "bad"]},
}
# Valid arguments of "Class.method", for the class that defines it and those that inherit: what the hostile values are put
# among. Several, if an option is looked at only beside others. A call that is not here needs no arguments.
VALID: dict[str, list[dict] | Callable[[Bench, type], list[dict]]] = {
    "Tokenizer.__call__": [
        {"text": "a good movie"},
        {"text": TEXTS, "text_pair": TEXTS, "padding": True, "truncation": True, "max_length": 8, "return_tensors": "np"},
        {"text": TEXTS, "padding": "max_length", "truncation": True, "max_length": 8, "return_overflowing_tokens": True},
        {"text": ["a", "movie"], "is_split_into_words": True, "return_offsets_mapping": True},
    ],
    "Tokenizer.encode": [{"text": "a good movie"}, {"text": "a", "truncation": True, "max_length": 8}],
    "Tokenizer.tokenize": [{"text": "a good movie"}],
    "Tokenizer.encode_packed": [{"texts": TEXTS}, {"texts": TEXTS, "truncation": True, "max_length": 8}],
    "Tokenizer.decode": [{"token_ids": IDS[0]}],
    "Tokenizer.batch_decode": [{"sequences": IDS}],
    "Tokenizer.convert_tokens_to_string": [{"tokens": ["a", "movie"]}],
    "Vocabulary.convert_tokens_to_ids": [{"tokens": ["a", "movie"]}],
    "Vocabulary.convert_ids_to_tokens": [{"ids": IDS[0]}],
    "Vocabulary.add_tokens": [{"new_tokens": ["<x>"]}],
    "Vocabulary.add_special_tokens": [
        {"special_tokens_dict": {"cls_token": "<x>"}},
        {"special_tokens_dict": {"extra_special_tokens": ["<x>"]}},
    ],
    "LoadableTokenizer.pad": [
        {"encoded_inputs": {"input_ids": IDS}},
        {"encoded_inputs": [{"input_ids": IDS[0]}, {"input_ids": [5]}], "padding": True},
    ],
    "BertTokenizer.__init__": [{}, {"vocab": VOCABULARY}],
    "PreTrainedTokenizerFast.__init__": lambda bench, owner: [{"tokenizer_file": bench.folder() / "tokenizer.json", **SPECIAL}],
    "LoadableTokenizer.from_pretrained": lambda bench, owner: [{"name_or_folder": bench.folder()}],
    "AutoTokenizer.from_pretrained": lambda bench, owner: [{"name_or_folder": bench.folder()}],
    "AddedToken.__init__": [{"content": "<x>"}],
    "BatchEncoding.__init__": [{}, {"data": {"input_ids": IDS}, "tensor_type": "np"}],
    "BatchEncoding.__getitem__": [{"key": "input_ids"}],
    **{
        f"BatchEncoding.{source}_to_{target}": [{f"row_or_{source}": 1}, {f"row_or_{source}": 1, source: 1}]
        for source, target in (
            ("token", "sequence"),
            ("token", "word"),
            ("token", "chars"),
            ("word", "tokens"),
            ("word", "chars"),
            ("char", "token"),
            ("char", "word"),
        )
    },
    "PreTrainedConfig.from_dict": lambda bench, owner: [{"values": config_of(owner).to_dict() if owner.model_type else {}}],
    "PreTrainedConfig.from_pretrained": lambda bench, owner: [{"name": bench.folder(owner.model_type or "bert")}],
    "AutoConfig.from_pretrained": lambda bench, owner: [{"name": bench.folder()}],
    "PreTrainedModel.__init__": lambda bench, owner: [
        {"config": config_of(owner.config_class), "kernels": "reference", "seed": 0}
    ],
    "PreTrainedModel.__call__": [{"input_ids": IDS}, {"input_ids": IDS, "attention_mask": MASK, "output_attentions": True}],
    "MultipleChoice.__call__": [{"input_ids": [IDS]}],
    "PreTrainedModel.from_pretrained": lambda bench, owner: [
        {"name": bench.folder(owner.config_class.model_type, head_of(owner)), "kernels": "reference"}
    ],
    "AutoClass.from_pretrained": lambda bench, owner: [
        {"name": bench.folder("bert", head_of(owner.classes()["bert"])), "kernels": "reference"}
    ],
    "AutoClass.from_config": [{"config": small_config("bert"), "kernels": "reference"}],
    "SentenceEncoder.__init__": lambda bench, owner: [
        {"model": bench.model(minibert.BertModel), "tokenizer": bert_tokenizer()}
    ],
    "SentenceEncoder.from_pretrained": lambda bench, owner: [{"name": bench.folder("bert", "Model"), "kernels": "reference"}],
    **{
        f"SentenceEncoder.{name}": [{"texts": TEXTS}]
        for name in ("encode", "encode_query", "encode_document", "stream", "tokenize")
    },
    "SentenceEncoder.similarity": [{"one": np.eye(3), "other": np.eye(3)}],
    "pipeline": lambda bench, owner: [
        {"model": bench.model(), "tokenizer": bert_tokenizer()},
        {"task": "text-classification", "model": bench.folder(), "kernels": "reference"},
    ],
    "softmax": [{"logits": [[1.0, 2.0]]}],
    "sigmoid": [{"logits": [[1.0, 2.0]]}],
    "set_num_threads": [{"count": 1}],
    "warm_up": [{"kernels": "reference"}],
    "save_pretrained": [{"folder": "saved"}],
}

# Public by their names, yet no calls of a user's: other modules of the package call them, with arguments that are checked.
INTERNAL = {
    "PreTrainedModel": "build encode encoder_shapes from_checkpoint head_outputs head_shapes logits_at mlm_logits num_outputs"
    " optional_tensors pack prepare_head prepare_linear run_checked run_head all_outputs encoder_outputs",
    "AutoClass": "class_for classes heads",
    "PreTrainedConfig": "activation_named check check_architecture",
    "SentenceEncoder": "answered chosen_prompt prompt_for vectors",
}
PARTS = {  # attributes that are no settings: what an object consists of
    "PreTrainedModel": "architecture config encoder head kernels graph_cache tensors",
    "PreTrainedTokenizerFast": "do_lower_case strip_accents tokenize_chinese_chars",  # of BertTokenizer; it has none
    "SentenceEncoder": "dense model recipe tokenizer width",
    "BatchEncoding": "data",
    "AddedToken": "content lstrip normalized rstrip single_word special",  # frozen
}
KEEPS_UNKNOWN_KEYS = (  # their constructors, as the docstring says; the base class cannot know the keys, and points to AutoConfig
    "PreTrainedConfig",
    "PreTrainedConfig.from_pretrained",
    *(f"{family.prefix}Config" for family in FAMILIES.values()),
)
# Python's own protocols: what they raise beside minibert's errors. They have no options.
PROTOCOLS: dict[str, Any] = {"__getitem__": LookupError, "keys": (), "values": (), "items": ()}
PUBLIC = {name: getattr(minibert, name) for name in minibert.__all__} | {"AddedToken": AddedToken}
CLASSES = [value for value in dict.fromkeys(PUBLIC.values()) if inspect.isclass(value)]  # each once, whatever its names
NO_CALLS = [owner for owner in CLASSES if issubclass(owner, Exception)]  # and warnings: Python constructs them


# --- Using what a call returned: what a constructor accepted must not fail later ---------------------------------------


def use(result, bench: Bench) -> None:
    for type_, function in USES.items():
        if isinstance(result, type_):
            function(result, bench)


def use_tokenizer(tokenizer, bench):
    tokenizer(TEXTS, padding=True, truncation=True, max_length=8)
    tokenizer("a movie", return_offsets_mapping=True)
    tokenizer.decode(tokenizer.encode("a movie"), skip_special_tokens=True)
    tokenizer.save_pretrained("saved")
    repr(tokenizer)


def use_config(config, bench):
    repr(config), config.to_dict(), config.num_labels, config.label2id
    sizes = [value for name in config.sizes if type(value := getattr(config, name)) is int]
    if max(sizes) < 10_000:  # others would be too large to construct
        model_class = getattr(minibert, type(config).__name__.replace("Config", "ForSequenceClassification"))
        model_class(config, kernels="reference", seed=0)


def use_model(model, bench):
    model([IDS] if "MultipleChoice" in type(model).__name__ else IDS)
    repr(model)


def use_encoder(encoder, bench):
    encoder.encode(TEXTS)
    encoder.similarity(np.eye(3), np.eye(3))


def use_pipeline(pipe, bench):
    inputs = TASK_INPUTS.get(pipe.task, {"inputs": "a movie"})
    pipe(**{name: value for name, value in inputs.items() if name not in pipe.options})


def use_threads(result, bench):
    sample_of_compiled_kernels()([[1, 2, 3]])


@cache
def sample_of_compiled_kernels():
    return small_model("distilbert", kernels="fast")


USES: dict[type, Callable[[Any, Bench], object]] = {
    Iterator: lambda answers, bench: list(islice(answers, 5)),
    Tokenizer: use_tokenizer,
    PreTrainedConfig: use_config,
    PreTrainedModel: use_model,
    Pipeline: use_pipeline,
    minibert.SentenceEncoder: use_encoder,
    minibert.BatchEncoding: lambda batch, bench: repr(batch),
    AddedToken: lambda token, bench: bert_tokenizer().add_tokens(token),
}
