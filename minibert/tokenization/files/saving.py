"""A tokenizer -> files that minibert and transformers 5 can load.

Each file is written under another name and then renamed, so no file is ever incomplete.
"""

import json
import os
from dataclasses import asdict
from functools import partial
from pathlib import Path

from minibert.errors import InputError, InputTypeError, short_repr

from ..call_arguments import as_path
from ..pipeline import SURROGATE
from ..stages.byte_level_bpe import ByteLevelBPE
from ..stages.template import ByteLevelTemplate, RobertaTemplate
from ..vocabulary import NAMED

NULL_IF_NONE = ("pad_token", "mask_token")  # if the file does not name them, a tokenizer has the default ones


def save(tokenizer, folder):
    """Write the files; returns their paths."""
    folder = as_path("save_directory", folder)
    contents = {"tokenizer.json": _json(tokenizer_json(tokenizer)), "tokenizer_config.json": _json(tokenizer_config(tokenizer))}
    return write_texts(folder, {**contents, **vocabulary_files(tokenizer._model)})


def save_vocabulary(tokenizer, folder, prefix):
    """Write vocab.txt alone, or vocab.json and merges.txt; returns their paths."""
    folder, contents = as_path("save_directory", folder), vocabulary_files(tokenizer._model)
    if not isinstance(prefix, (str, type(None))) or "/" in (prefix or "") or os.sep in (prefix or ""):
        raise InputTypeError(f"filename_prefix must be the beginning of a file's name; got {short_repr(prefix)}.")
    if not contents:
        raise InputError(
            "ids must be 0, 1, 2 and so on to be the lines of a vocab.txt; those of this tokenizer are not. Call save_pretrained."
        )
    return write_texts(folder, {f"{prefix}-{name}" if prefix else name: text for name, text in contents.items()})


def vocabulary_files(model):
    """{name: text} of the files that a tokenizer.json replaces; {} if ids are not those of the lines of a vocab.txt."""
    in_order = dict(sorted(model.vocab.items(), key=lambda item: item[1]))
    if isinstance(model, ByteLevelBPE):
        merges = "".join(f"{left} {right}\n" for left, right in model.merges)
        return {"vocab.json": json.dumps(in_order, ensure_ascii=False), "merges.txt": f"#version: 0.2\n{merges}"}
    if list(in_order.values()) != list(range(len(in_order))):
        return {}
    return {"vocab.txt": "".join(f"{token}\n" for token in in_order)}


def write_texts(folder, contents):
    """{name: text} -> files in a folder; returns their paths."""
    from minibert.files import atomic_write

    for text in contents.values():
        if match := SURROGATE.search(text):
            half = ascii(match.group())
            raise InputError(f"a token must hold whole characters to be saved; one has {half}, half of a surrogate pair.")
    for name, text in contents.items():
        as_path("filename_prefix", name)
        atomic_write(folder / name, partial(Path.write_bytes, data=text.encode()))
    return tuple(str(folder / name) for name in contents)


def _json(content):
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def tokenizer_config(tokenizer):
    """tokenizer_config.json: the class, its flags, the special tokens."""
    names = (
        *type(tokenizer).flags,
        "model_max_length",
        "padding_side",
        "truncation_side",
        "model_input_names",
        "clean_up_tokenization_spaces",
    )
    config = {name: getattr(tokenizer, name) for name in names}
    config.update((name, token) for name, token in tokenizer.special_tokens_map.items() if name in NAMED)
    named_tokens = {name: token for name, token in tokenizer.special_tokens_map.items() if name not in NAMED}
    if named_tokens:  # as transformers 5 writes them
        config["model_specific_special_tokens"] = named_tokens
    if tokenizer.split_special_tokens:
        config["split_special_tokens"] = True
    for name in NULL_IF_NONE:
        if getattr(tokenizer, name) is None:
            config[name] = None
    if tokenizer.extra_special_tokens:
        config["extra_special_tokens"] = tokenizer.extra_special_tokens
    name = type(tokenizer).__name__
    return {**config, "tokenizer_class": name}


def tokenizer_json(tokenizer):
    """tokenizer.json: everything, in the layout of the `tokenizers` library."""
    added = [{"id": token_id, **asdict(token)} for token_id, token in tokenizer.added_tokens_decoder.items()]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": tokenizer._normalizer.saved,
        "pre_tokenizer": tokenizer._pre_tokenizer.saved,
        "post_processor": _post_processor(tokenizer._template),
        "decoder": tokenizer._decoder.saved,
        "model": tokenizer._model.saved,
    }


def _post_processor(template):
    if isinstance(template, RobertaTemplate):
        flags = {"trim_offsets": template.trim_offsets, "add_prefix_space": template.add_prefix_space}
        return {"type": "RobertaProcessing", "sep": [*template.sep], "cls": [*template.cls], **flags}
    if isinstance(template, ByteLevelTemplate):
        flags = {"trim_offsets": template.trim_offsets, "add_prefix_space": template.add_prefix_space}
        return {"type": "ByteLevel", **flags, "use_regex": True}
    special = [part for part in (*template.single, *template.pair) if part.sequence is None]
    return {
        "type": "TemplateProcessing",
        "single": [_piece(part) for part in template.single],
        "pair": [_piece(part) for part in template.pair],
        "special_tokens": {_name(p): {"id": _name(p), "ids": p.ids, "tokens": p.tokens} for p in special},
    }


def _name(part):
    return part.tokens[0]


def _piece(part):
    if part.sequence is None:
        return {"SpecialToken": {"id": _name(part), "type_id": part.type_id}}
    return {"Sequence": {"id": "AB"[part.sequence], "type_id": part.type_id}}
