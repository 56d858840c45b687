"""Content that no file of a model may have, each with a part of the error's message; readers' own tests and faults.py try it."""

import math
import struct

import numpy as np
from checkpoints import safetensors_bytes

from minibert.weights import LARGEST_HEADER

# --- Any JSON file ---------------------------------------------------------------------------------------------------

NOT_JSON = {
    "empty": b"",
    "cut short": b'{"hidden_size": 7',
    "UTF-16": '{"hidden_size": 768}'.encode("utf-16"),
    "UTF-16 without a mark": '{"hidden_size": 768}'.encode("utf-16-le"),
    "Latin-1": '{"label": "café"}'.encode("latin-1"),
    "five thousand digits": b'{"hidden_size": ' + b"9" * 5000 + b"}",
    "nested deep": b'{"a": ' * 100_000,
    "arrays nested deep": b"[" * 100_000 + b"]" * 100_000,
    "a web page": b"<!doctype html><html></html>",
    "zeros": bytes(64),
    "two objects": b"{}{}",
    "half a surrogate pair": b'{"label": "\\ud83d"}',
    "half a surrogate pair for a key": b'{"\\uDE00": 1}',
}

# --- model.safetensors -----------------------------------------------------------------------------------------------

ONE = {"x": ("F32", (2, 2), np.arange(4, dtype="<f4").tobytes())}
WHOLE = safetensors_bytes(ONE)
LONG = struct.pack("<Q", LARGEST_HEADER + 8) + b"{" + b" " * LARGEST_HEADER
DAMAGED = {
    "an LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "Git LFS pointer; run"),
    "a web page": (b"<!DOCTYPE html><html><body>404</body></html>", "a web page, .*download it again"),
    "a web page after a blank": (b"\n  <html><body>Sorry, sign in first</body></html>", "a web page"),
    "a zip": (b"PK\x03\x04\x00\x00\x08\x08\x00\x00" + bytes(90), "a zip archive or a pickle, .* is named pytorch_model.bin"),
    "a pickle": (b"\x80\x02}q\x00(X\x01\x00\x00\x00a" + bytes(90), "a zip archive or a pickle"),
    "a framed pickle": (b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00}" + bytes(90), "a zip archive or a pickle"),
    "nothing": (b"", "it has 0 bytes"),
    "seven bytes": (bytes(7), "it has 7 bytes"),
    "a long header": (LONG, f"header would have {LARGEST_HEADER + 8} bytes, and may have {LARGEST_HEADER}"),
    "a long header that begins as a pickle": (struct.pack("<Q", 2_000_000) + b"{", "header would have 2000000 bytes"),
    "a header without end": (struct.pack("<Q", 2**63) + b"{}", "header would have 9223372036854775808 bytes"),
    "no header": (bytes(64), "is damaged: .*Download it again"),
    "its header only": (WHOLE[:-16], "is damaged"),
    "one byte less": (WHOLE[:-1], "is damaged"),
    "one byte more": (WHOLE + b"\0", "is damaged"),
    "half a header": (WHOLE[:30], "is damaged"),
    "no JSON": (struct.pack("<Q", 8) + b"hello!!!", "is damaged"),
    "an array": (struct.pack("<Q", 2) + b"[]", "is damaged"),
    "UTF-16": (struct.pack("<Q", 4) + "{}".encode("utf-16-le"), "is damaged"),
}


def entry(start, stop, shape=(1,), dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


HEADERS = {
    "tensors that overlap": {"x": entry(0, 4), "y": entry(2, 6)},
    "the same place twice": {"x": entry(0, 4), "y": entry(0, 4)},
    "a gap": {"x": entry(0, 2), "y": entry(4, 8)},
    "an end before its start": {"x": entry(8, 0)},
    "a place past the end": {"x": entry(0, 2**62)},
    "a place before the beginning": {"x": entry(-8, 0)},
    "a shape of another size": {"x": entry(0, 8, (3,))},
    "a shape whose size overflows to 0": {"x": entry(0, 8, (2**33, 2**33))},
    "a negative shape": {"x": entry(0, 8, (-2,))},
    "a shape of fractions": {"x": entry(0, 8, (2.5,))},
    "an unknown type": {"x": entry(0, 8, (2,), "F31")},
    "no place": {"x": {"dtype": "F32", "shape": [2]}},
    "a number for a tensor": {"x": 5},
}

NOT_SHARDS = [
    "../x.safetensors",
    "/x.safetensors",
    "a/x.safetensors",
    "a\\x.safetensors",
    "c:x.safetensors",
    "x\0.safetensors",
    "pytorch_model.bin",
    ".safetensors",
    "..",
    "",
    5,
    None,
    ["x"],
    "x.safetensors\n",
]

# --- config.json -----------------------------------------------------------------------------------------------------

CONFIGS = {
    "heads that do not divide": ({"num_attention_heads": 5}, "the width must divide by the heads; got width 8 and 5"),
    "more heads than width": ({"num_attention_heads": 16}, "the width must divide by the heads"),
    "a decoder": ({"is_decoder": True}, "runs encoders; .* is_decoder true"),
    "relative positions": ({"position_embedding_type": "relative_key"}, "must be 'absolute'; got 'relative_key'"),
    "an activation by another name": ({"hidden_act": "mish"}, "the activation is one of gelu, .*; got 'mish'"),
    "an activation that is a list": ({"hidden_act": ["gelu"]}, "the activation is one of .*; got \\['gelu'\\]"),
    "an unknown problem": ({"problem_type": "clustering"}, "problem_type is one of regression, .*; got 'clustering'"),
    "an epsilon of 0": ({"layer_norm_eps": 0}, "layer_norm_eps must be a number above 0 .*; got 0"),
    "an epsilon in quotes": ({"layer_norm_eps": "1e-12"}, "layer_norm_eps .*; got '1e-12'"),
    "an epsilon that is NaN": ({"layer_norm_eps": math.nan}, "layer_norm_eps .*; got nan"),
    "an epsilon without end": ({"layer_norm_eps": 10**400}, "layer_norm_eps .*; got 1000"),
    "an epsilon that is true": ({"layer_norm_eps": True}, "layer_norm_eps .*; got True"),
    "a spread in quotes": ({"initializer_range": "0.02"}, "initializer_range must be a number from 0 to 1"),
    "a spread that is NaN": ({"initializer_range": math.nan}, "initializer_range .*; got nan"),
    "architectures of one string": ({"architectures": "BertModel"}, "architectures must be a list of names"),
    "architectures of numbers": ({"architectures": [7]}, "architectures must be a list of names"),
    "another model's type": ({"model_type": "gpt2"}, "is of model_type 'bert'; got 'gpt2'"),
    "a list for a type": ({"model_type": ["bert"]}, "is of model_type 'bert'; got \\['bert'\\]"),
    "a key that switches checks off": ({"sizes": []}, "may not have the name of a method or property; got sizes"),
    "a key that hides a method": ({"to_dict": 1, "check": 2}, "got to_dict, check"),
    "no labels": ({"id2label": {}}, "must map 0, 1, 2, ... without a gap"),
    "labels with a gap": ({"id2label": {"0": "a", "2": "b"}}, "without a gap to names; got"),
    "labels from 1": ({"id2label": {"1": "a", "2": "b"}}, "without a gap"),
    "a label twice": ({"id2label": {"0": "a", "00": "b"}}, "without a gap"),
    "labels with names for keys": ({"id2label": {"a": 0}}, "id2label must map 0, 1, 2, ... to names"),
    "a label's number without end": ({"id2label": {math.inf: "a"}}, "id2label must map 0, 1, 2, ... to names"),
    "labels in a list": ({"id2label": ["a", "b"]}, "id2label must map 0, 1, 2, ... to names; got \\['a', 'b'\\]"),
    "labels of another number": (
        {"num_labels": 3, "id2label": {"0": "a", "1": "b"}},
        "num_labels must be the length of id2label; got 3 and 2",
    ),
    "no number of labels": ({"num_labels": 0}, "num_labels must be a whole number, 1 or more; got 0"),
    "a number of labels that is true": ({"num_labels": True}, "num_labels must be .*; got True"),
    "too many labels to list": ({"num_labels": 2**31}, "num_labels must be"),
}

# --- tokenizer.json --------------------------------------------------------------------------------------------------

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "##b", "A", "é"]


def tokenizer_json(**changes):
    model = {"type": "WordPiece", "unk_token": "[UNK]", "vocab": {token: n for n, token in enumerate(PIECES)}}
    content = {
        "model": model,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": None,
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
    }
    return {**content, **changes}


# --- Folders of sentence-transformers --------------------------------------------------------------------------------

SENTENCE_CONFIGS = [
    ({"steps": ("Transformer", "Pooling", "Asym")}, "must be a Transformer, then Pooling, .* has Asym in '2_Asym'"),
    ({"steps": ("Transformer", "Normalize", "Pooling")}, "in this order; .* has Pooling in '2_Pooling'"),
    ({"steps": ("Transformer", "Pooling", "Pooling")}, "in this order; .* has Pooling in '2_Pooling'"),
    ({"steps": ("Pooling", "Transformer")}, "has Pooling in ''"),
    ({"pooling": {"pooling_mode": "median"}}, "pooling_mode is one of cls, .*; .* has 'median'"),
    ({"pooling": {"pooling_mode": [["cls"]]}}, "pooling_mode is one of"),
    ({"pooling": {"pooling_mode": 5}}, "pooling_mode is one of .*has 5"),
    ({"limits": {"max_seq_length": "long"}}, "max_seq_length must be a whole number, 3 or more; .* has 'long'"),
    ({"limits": {"max_seq_length": 0}}, "max_seq_length must be"),
    ({"prompts": {"prompts": ["a"]}}, "prompts must map names to texts"),
    ({"prompts": {"default_prompt_name": "a"}}, "default_prompt_name must be one of the prompts"),
    ({"prompts": {"similarity_fn_name": "angle"}}, "similarity_fn_name is one of cosine, dot, euclidean, manhattan; .*'angle'"),
]
