"""What people and attackers feed a loader: FAULTS, a name -> what is done to a small model, and which error tells of it.

tests/robustness/test_faults.py tries each. Tables of damaged content come from the tests of the readers they were made for.
"""

import json
import os
import struct
from typing import NamedTuple

import damaged_files
from checkpoints import rewrite_config, rewrite_weights, safetensors_bytes, stored_tensors
from damaged_files import tokenizer_json
from hostile_torch_files import HOSTILE
from sentence_folders import write_sentence_config
from torch_files import torch_bytes

from minibert import SentenceEncoder, pipeline

WEIGHTS, INDEX, PICKLE = "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"


def classify(folder):
    return pipeline("text-classification", str(folder), kernels="reference")("a good movie", truncation=True)


def embed(folder):
    return SentenceEncoder.from_pretrained(str(folder), kernels="reference").encode("a good movie")


class Fault(NamedTuple):
    make: object  # what is done to the folder of a small model
    error: str
    message: str  # a part of it, as a pattern
    use: object = classify
    model_type: str = "distilbert"


# --- How files are damaged -------------------------------------------------------------------------------------------


def holds(name, content):
    """The file holds these bytes, this text, or this as JSON."""
    if not isinstance(content, (bytes, str)):
        content = json.dumps(content)
    content = content.encode() if isinstance(content, str) else content
    return lambda folder: ((folder / name).parent.mkdir(exist_ok=True), (folder / name).write_bytes(content))


def large(name, size, start=b""):
    """The file has this size, of which the disk holds next to nothing."""

    def make(folder):
        (folder / name).write_bytes(start)
        os.truncate(folder / name, size)

    return make


def header(text, data=b""):
    """model.safetensors has this header."""
    text = text.encode() if isinstance(text, str) else text
    return holds(WEIGHTS, struct.pack("<Q", len(text)) + text + data)


def in_place_of(name, make):
    """Something that is no file stands there."""
    return lambda folder: ((folder / name).unlink(), make(folder / name))


def settings(**changes):
    """tokenizer_config.json says so."""

    def make(folder):
        values = json.loads((folder / "tokenizer_config.json").read_text())
        holds("tokenizer_config.json", {**values, **changes})(folder)

    return make


def of_class(name, content):
    """A tokenizer of this class, with this tokenizer.json."""
    return lambda folder: (settings(tokenizer_class=name)(folder), holds("tokenizer.json", content)(folder))


def config(**changes):
    return lambda folder: rewrite_config(folder, **changes)


def weights(change):
    return lambda folder: rewrite_weights(folder, change)


def stored(name, dtype, shape, data):
    """A tensor is stored so."""

    def make(folder):
        tensors = {**stored_tensors(folder), name: (dtype, shape, data)}
        (folder / WEIGHTS).write_bytes(safetensors_bytes(tensors))

    return make


def index_of(name, index=INDEX):
    """The weights are in shards, one of which has this name."""
    return lambda folder: ((folder / WEIGHTS).unlink(), holds(index, {"weight_map": {"x": name}})(folder))


def sentence_config(**changes):
    return lambda folder: write_sentence_config(folder, **changes)


def only_pickle(content):
    """The weights are a file of torch.save, which has these bytes."""
    return lambda folder: ((folder / WEIGHTS).unlink(), holds(PICKLE, content)(folder))


def spread(folder, value):
    """Every number of the model is this one."""
    rewrite_weights(folder, lambda tensors: [tensor.fill(value) for tensor in tensors.values()])


ENTRY = '{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
EMPTY = '{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
MANY = ",".join(f'"{index}":{EMPTY}' for index in range(14_000))
JSON_FILES = {
    "config.json": "ConfigError",
    "tokenizer_config.json": "VocabularyError",
    "tokenizer.json": "VocabularyError",
    "special_tokens_map.json": "VocabularyError",
    "added_tokens.json": "VocabularyError",
}
SENTENCE_FILES = ("modules.json", "1_Pooling/config.json", "sentence_bert_config.json", "config_sentence_transformers.json")
DEEP = "[" * 500_000 + "]" * 500_000

FAULTS = {
    # safetensors
    **{
        f"weights: {what}": Fault(holds(WEIGHTS, content), "WeightsError", message)
        for what, (content, message) in damaged_files.DAMAGED.items()
    },
    **{
        f"header: {what}": Fault(header(json.dumps(values), bytes(8)), "WeightsError", "is damaged")
        for what, values in damaged_files.HEADERS.items()
    },
    "header: 75 MB": Fault(large(WEIGHTS, 80 << 20, struct.pack("<Q", 75 << 20) + b"{"), "WeightsError", "may have 1048576"),
    "header: a name twice": Fault(header(f'{{"x":{ENTRY},"x":{ENTRY}}}', bytes(4)), "WeightsError", "a name is there twice"),
    "header: an entry that is a list": Fault(header('{"x":["F32",[1],[0,4]]}', bytes(4)), "WeightsError", "'x' is no object"),
    "header: nested deep": Fault(header(DEEP), "WeightsError", "is damaged"),
    "header: nested deep where nobody looks": Fault(header(ENTRY[:-1] + f',"a":{DEEP}}}'), "WeightsError", "is damaged"),
    "header: 5,000 digits": Fault(header(f'{{"x":{ENTRY[:-1]},"a":{"9" * 5000}}}}}', bytes(4)), "WeightsError", "is damaged"),
    "header: 14,000 tensors of nothing": Fault(header(f"{{{MANY}}}"), "WeightsError", "surplus: .*more"),
    "header: a tensor without a name": Fault(stored("", "F32", (0,), b""), "WeightsError", r"surplus: \n"),
    "header: a name of 100,000 letters": Fault(
        stored("x" * 100_000, "F32", (1,), bytes(4)), "WeightsError", r"surplus: x+\.\.\."
    ),
    "header: 100,000 axes": Fault(
        stored("classifier.bias", "F32", [1] * 100_000, bytes(4)), "WeightsError", "wrong shape: classifier.bias"
    ),
    "header: a tensor of no size": Fault(stored("classifier.bias", "F32", (0, 2**40), b""), "WeightsError", "wrong shape"),
    "weights: 8-bit floats": Fault(stored("classifier.bias", "F8_E4M3", (2,), bytes(2)), "WeightsError", "not its type: "),
    "weights: 4-bit floats": Fault(stored("classifier.bias", "F4", (2,), bytes(1)), "WeightsError", "not its type: "),
    "weights: whole numbers": Fault(stored("classifier.bias", "I64", (2,), bytes(16)), "WeightsError", "not its type: "),
    "weights: NaN": Fault(lambda folder: spread(folder, float("nan")), "WeightsError", "give NaN or infinity"),
    "weights: infinity": Fault(lambda folder: spread(folder, float("inf")), "WeightsError", "give NaN or infinity"),
    "weights: too large": Fault(lambda folder: spread(folder, 3e38), "WeightsError", "give NaN or infinity"),
    "weights: one tensor less": Fault(weights(lambda tensors: tensors.popitem()), "WeightsError", "missing: "),
    "weights: a folder": Fault(in_place_of(WEIGHTS, os.mkdir), "ModelFileError", "is a folder"),
    "weights: a pipe": Fault(in_place_of(WEIGHTS, os.mkfifo), "ModelFileError", "or a device"),
    "weights: a device without end": Fault(
        in_place_of(WEIGHTS, lambda path: path.symlink_to("/dev/zero")), "ModelFileError", "or a device"
    ),
    "weights: a link to nothing": Fault(in_place_of(WEIGHTS, lambda path: path.symlink_to("gone")), "ModelFileError", "cp -rL"),
    "weights: none": Fault(
        lambda folder: (folder / WEIGHTS).unlink(), "ModelNotFoundError", "must have a file 'model.safetensors'"
    ),
    "weights: a pickle with safetensors in it": Fault(
        lambda folder: (folder / WEIGHTS).rename(folder / PICKLE), "WeightsError", "no file of torch.save"
    ),
    **{
        f"shard: {ascii(name):.40}": Fault(index_of(name), "WeightsError", "a shard is a plain file name")
        for name in (*damaged_files.NOT_SHARDS, "../outside/secret.safetensors", "/etc/passwd.safetensors")
    },
    **{
        f"shard of torch: {ascii(name):.40}": Fault(index_of(name, f"{PICKLE}.index.json"), "WeightsError", "ending in .bin")
        for name in ("../outside/secret.bin", "/etc/passwd.bin", "x.safetensors", "..", 5)
    },
    # pytorch_model.bin
    **{f"torch, {what}": Fault(only_pickle(content), "WeightsError", message) for what, (content, message) in HOSTILE.items()},
    "torch: 100 GB": Fault(
        lambda folder: ((folder / WEIGHTS).unlink(), large(PICKLE, 100 << 30, b"\x80\x02")(folder)), "WeightsError", "opcode"
    ),
    "torch: a zip of 100 GB": Fault(
        lambda folder: ((folder / WEIGHTS).unlink(), large(PICKLE, 100 << 30, b"PK\x03\x04")(folder)),
        "WeightsError",
        "no directory at its end",
    ),
    "torch: other tensors": Fault(
        only_pickle(torch_bytes({"x": ("F32", (1,), bytes(4))})), "WeightsError", "the file 1 tensors"
    ),
    "torch: whole numbers": Fault(
        lambda folder: only_pickle(torch_bytes({**stored_tensors(folder), "classifier.bias": ("I64", (2,), bytes(16))}))(
            folder
        ),
        "WeightsError",
        "not its type: ",
    ),
    "torch: a pipe": Fault(
        lambda folder: ((folder / WEIGHTS).unlink(), os.mkfifo(folder / PICKLE)), "ModelFileError", "device"
    ),
    "shard: not there": Fault(index_of("x.safetensors"), "ModelNotFoundError", "'x.safetensors'"),
    "shards: no map": Fault(lambda folder: (index_of("x")(folder), holds(INDEX, {})(folder)), "WeightsError", "has none"),
    # JSON
    **{
        f"{name}: {what}": Fault(holds(name, content), error, f"{name} must hold one JSON object")
        for name, error in JSON_FILES.items()
        for what, content in (*damaged_files.NOT_JSON.items(), ("an array", b"[]"))
    },
    **{
        f"{name}: {what}": Fault(
            lambda folder, name=name, content=content: (sentence_config()(folder), holds(name, content)(folder)),
            "ConfigError",
            "must hold one JSON",
            embed,
        )
        for name in SENTENCE_FILES
        for what, content in (*damaged_files.NOT_JSON.items(), ("a number", b"5"))
    },
    "index: a web page": Fault(
        lambda folder: (index_of("x")(folder), holds(INDEX, "<html>")(folder)), "WeightsError", "must hold one JSON"
    ),
    "config.json: 100 GB": Fault(large("config.json", 100 << 30, b"{"), "ConfigError", "may have 2097152 bytes"),
    "config.json: 2 MB of empty lists": Fault(
        holds("config.json", b"[" + b"[]," * 699_000 + b"0]"), "ConfigError", "holds a list"
    ),
    "tokenizer.json: 100 GB": Fault(large("tokenizer.json", 100 << 30, b"{"), "VocabularyError", "may have 16777216 bytes"),
    "vocab.txt: 100 GB": Fault(large("vocab.txt", 100 << 30, b"[PAD]\n"), "VocabularyError", "may have 16777216 bytes"),
    # the configuration
    **{
        f"config: {what}": Fault(
            config(**values), "ConfigError", "runs models of type" if "model_type" in values else message, model_type="bert"
        )
        for what, (values, message) in damaged_files.CONFIGS.items()
    },
    "config: as many layers as there are numbers": Fault(config(n_layers=2**31 - 1), "WeightsError", "2147483647 layers"),
    "config: a vocabulary of 16 TB": Fault(config(vocab_size=2**31 - 1, dim=2048), "WeightsError", "wrong shape"),
    "config: two names that disagree": Fault(config(hidden_size=16), "ConfigError", "another name of dim"),
    "config: none": Fault(lambda folder: (folder / "config.json").unlink(), "ModelNotFoundError", "'config.json'"),
    # the tokenizer
    "vocab.txt: a byte order mark": Fault(
        holds("vocab.txt", b"\xef\xbb\xbf[PAD]\n[UNK]\n"), "VocabularyError", "byte order mark"
    ),
    "vocab.txt: no [UNK]": Fault(holds("vocab.txt", "[PAD]\n[CLS]\n"), "VocabularyError", "token for unknown words"),
    "vocab.txt: nothing": Fault(holds("vocab.txt", b""), "VocabularyError", "token for unknown words"),
    "vocab.txt: UTF-16": Fault(holds("vocab.txt", "[PAD]\n[UNK]".encode("utf-16")), "VocabularyError", "must be UTF-8"),
    "vocab.txt: more than the model has": Fault(
        holds("vocab.txt", "\n".join(["[UNK]", *map(str, range(50_000)), "[PAD]", "[CLS]", "[SEP]", "[MASK]", "good"])),
        "VocabularyError",
        "ids must be below the model's vocabulary of .* rows; the id of 'good' is 50005",
    ),
    "vocab.txt: none, nor tokenizer.json": Fault(
        lambda folder: (folder / "vocab.txt").unlink(), "ModelNotFoundError", "vocab.txt"
    ),
    **{
        f"tokenizer.json: an id of {token_id}": Fault(
            of_class(name, tokenizer_json(model={"type": "WordPiece", "vocab": {"[UNK]": 0, "a": token_id}})),
            "VocabularyError",
            "the id",
        )
        for token_id in (-1, 2**31, 7592.5, True, None, "1")
        for name in ("BertTokenizer", "PreTrainedTokenizerFast")
    },
}
FAULTS.update(
    {
        f"tokenizer.json: {changes}"[:100]: Fault(
            of_class("PreTrainedTokenizerFast", tokenizer_json(**changes)), "VocabularyError", message
        )
        for message, changes in [
            ("must hold a WordPiece or BPE model", {"model": {"type": "Unigram", "vocab": {}}}),
            ("merges in tokenizer.json must be a list", {"model": {"type": "BPE", "vocab": {}}}),
            ("the normalizer of", {"normalizer": {"type": ["NFC"]}}),
            ("clean_text in tokenizer.json must be true or false", {"normalizer": {"type": "BertNormalizer", "clean_text": 1}}),
            ("the pre_tokenizer of", {"pre_tokenizer": [[]]}),
            ("prefix in tokenizer.json must be a string", {"decoder": {"type": "WordPiece", "prefix": True, "cleanup": True}}),
            (
                "max_input_chars_per_word .* must be an integer",
                {"model": {"vocab": {"[UNK]": 0}, "max_input_chars_per_word": "x"}},
            ),
            ("unk_token in tokenizer.json must be a string", {"model": {"vocab": {"[UNK]": 0}, "unk_token": ["[UNK]"]}}),
            ("direction in tokenizer.json must be a string", {"padding": {"direction": 5}}),
            ("padding_side must be", {"padding": {"direction": "up"}}),
            (
                "cls in tokenizer.json must be a token and its id",
                {"post_processor": {"type": "BertProcessing", "cls": ["a", -1], "sep": []}},
            ),
            (
                "must have A once",
                {"post_processor": {"type": "TemplateProcessing", "single": [], "pair": [], "special_tokens": {}}},
            ),
            (
                "is of Sequence and SpecialToken",
                {"post_processor": {"type": "TemplateProcessing", "single": [5], "pair": [], "special_tokens": {}}},
            ),
            ("added tokens must be a list", {"added_tokens": {"a": 1}}),
            ("an added token must have a string", {"added_tokens": [{"id": 1, "content": None}]}),
        ]
    }
)
FAULTS.update(
    {
        f"tokenizer_config.json: {changes}"[:100]: Fault(settings(**changes), "VocabularyError", message)
        for message, changes in [
            ("do_lower_case must be True or False", {"do_lower_case": "yes"}),
            ("strip_accents must be True or False", {"strip_accents": 0}),
            ("clean_up_tokenization_spaces must be", {"clean_up_tokenization_spaces": [True]}),
            ("model_input_names must be", {"model_input_names": ["input_ids"]}),
            ("model_input_names must be", {"model_input_names": {"input_ids": -0.5}}),
            ("padding_side must be 'left' or 'right'", {"padding_side": "x" * 100_000}),
            ("mask_token .* must be a string or an object", {"mask_token": 5}),
            ("extra_special_tokens must be a list", {"extra_special_tokens": 5}),
            ("extra_special_tokens must be a list", {"additional_special_tokens": [5]}),
            ("added_tokens_decoder .* must map ids to objects", {"added_tokens_decoder": [5]}),
            ("added_tokens_decoder .* must map ids to objects", {"added_tokens_decoder": {"x": {}}}),
            ("ids must be integers", {"added_tokens_decoder": {"-5": {"content": "a"}}}),
            ("the token for unknown words", {"unk_token": "<none>" * 1000}),
            ("the checkpoint .* says tokenizer_class", {"tokenizer_class": ["BertTokenizer"]}),
        ]
    }
)
FAULTS.update(
    {
        f"sentence_config: {str(changes)[:90]}": Fault(sentence_config(**changes), "ConfigError", message, embed)
        for changes, message in damaged_files.SENTENCE_CONFIGS
    }
)
FAULTS.update(
    {
        f"sentence_config: a step in {path!r}": Fault(
            lambda folder, path=path: (
                sentence_config()(folder),
                holds("modules.json", [{"path": "", "type": "a.Transformer"}, {"path": path, "type": "a.Pooling"}])(folder),
            ),
            "InputError",
            "named without a folder",
            embed,
        )
        for path in ("../outside", "/etc", "1_Pooling/..", "..", "1_Pooling/../../outside")
    }
)
