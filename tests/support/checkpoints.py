"""Tiny checkpoints on disk for tests: made by the public classes, or byte by byte where they are to be damaged.

For example:

    folder = make_checkpoint(tmp_path / "m", "distilbert", num_labels=3)     config, weights, vocabulary
    rewrite_weights(folder, lambda tensors: tensors.pop("classifier.bias"))  the same with one tensor less
"""

import json
import struct
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

import minibert

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "the",
    "a",
    "movie",
    "film",
    "is",
    "was",
    "good",
    "bad",
    "great",
    "dull",
    "not",
    "very",
    "i",
    "hate",
    "love",
    "this",
    "it",
    ".",
    ",",
    "!",
    "?",
    "##ly",
    "##s",
    "##ing",
    "wait",
    "life",
    "'",
    "course",
]
NAMES = {
    "bert": "Bert",
    "distilbert": "DistilBert",
    "electra": "Electra",
    "roberta": "Roberta",
    "longformer": "Longformer",
    "mpnet": "MPNet",
}
SMALL = {"vocab_size": len(WORDS), "max_position_embeddings": 16, "initializer_range": 0.5}
ROBERTA = {  # two positions are of no token
    **SMALL,
    "max_position_embeddings": 18,
    "hidden_size": 8,
    "intermediate_size": 12,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
}
SIZES = {
    "bert": {**SMALL, "hidden_size": 8, "intermediate_size": 12, "num_attention_heads": 2, "num_hidden_layers": 2},
    "distilbert": {**SMALL, "dim": 8, "hidden_dim": 12, "n_heads": 2, "n_layers": 2},
    "electra": {
        **SMALL,
        "embedding_size": 4,
        "hidden_size": 8,
        "intermediate_size": 12,
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
    },
    "roberta": ROBERTA,
    "longformer": {**ROBERTA, "attention_window": 4, "sep_token_id": None},  # IDS are no pair of texts
    "mpnet": ROBERTA,
}
ROBERTA_LIKE = ("roberta", "longformer", "mpnet")  # families with RoBERTa's special tokens; here all have MPNet's tokenizer
MPNET_WORDS = ["<s>", "<pad>", "</s>", "[UNK]", "<mask>", *WORDS[5:]]
MODEL_TYPES = list(NAMES)
IDS = np.array([[2, 5, 6, 7, 3], [2, 9, 3, 0, 0]])  # a batch for any of them
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])


def close(a, b):
    return np.abs(a - b).max() < 1e-5


def small_config(model_type="distilbert", **changes):
    """A configuration of two layers, eight wide, which takes sixteen tokens."""
    return getattr(minibert, f"{NAMES[model_type]}Config")(**{**SIZES[model_type], **changes})


def small_model(model_type="distilbert", head="ForSequenceClassification", seed=0, kernels="auto", **changes):
    """A model of that size at random; head "Model" for the bare encoder."""
    return getattr(minibert, NAMES[model_type] + head)(small_config(model_type, **changes), seed=seed, kernels=kernels)


def make_checkpoint(folder, model_type="distilbert", head="ForSequenceClassification", seed=0, **changes):
    """Write a model at random and its tokenizer into `folder`, and return it."""
    separators = {"sep_token_id": 2} if model_type == "longformer" else {}
    small_model(model_type, head, seed, **{**separators, **changes}).save_pretrained(folder)
    return write_tokenizer(folder, model_type)


def write_tokenizer(folder, model_type="distilbert"):
    folder = Path(folder)
    words = MPNET_WORDS if model_type in ROBERTA_LIKE else WORDS
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    prefix = "MPNet" if model_type in ROBERTA_LIKE else NAMES[model_type]
    settings = {"tokenizer_class": f"{prefix}Tokenizer", "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


def rewrite_config(folder, **changes):
    """Change keys of config.json; a value of None takes the key out."""
    path = Path(folder) / "config.json"
    values = {**json.loads(path.read_text(encoding="utf-8")), **changes}
    path.write_text(json.dumps({name: value for name, value in values.items() if value is not None}), encoding="utf-8")


def rewrite_weights(folder, change):
    """Read model.safetensors into a dictionary, let `change` work on it, write it back."""
    path = Path(folder) / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def safetensors_bytes(tensors, *, pad=8):
    """{name: (dtype, shape, bytes)} -> a safetensors file, its header filled with blanks to a multiple of `pad`."""
    header, end = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [end, end + len(data)]}
        end += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % pad)
    return struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values())


def stored_tensors(folder):
    """model.safetensors as `safetensors_bytes` takes it."""
    tensors = load_file(Path(folder) / "model.safetensors")
    return {name: ("F32", array.shape, array.tobytes()) for name, array in tensors.items()}
