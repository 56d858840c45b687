"""The commands that answer no task: `tokenize`, `models`, `kernels`, `quantize`, `dequantize`, `cache`, `warmup`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..errors import ConfigError
from ..families import FAMILIES
from ..files import read_json
from .shared import add_kernels, add_model, add_texts, chosen_model, command, input_texts


def add_commands(commands: argparse._SubParsersAction) -> None:
    tokenize = command(commands, "tokenize", tokenize_texts, "show each text's tokens, their ids and their offsets")
    add_texts(tokenize)
    add_model(tokenize)

    models = command(commands, "models", list_models, "list the models that need no download: bundled and cached")
    models.add_argument("--json", action="store_true", help="one JSON object a line")
    command(commands, "kernels", list_kernels, "list the operations and the variants that --kernels can choose")
    quantize = command(commands, "quantize", quantize_model, "write a model's int8 checkpoint into a folder")
    dequantize = command(
        commands, "dequantize", dequantize_model, "write an int8 checkpoint's weights as float32 into a folder"
    )
    for parser in (quantize, dequantize):
        parser.add_argument("model", metavar="MODEL", help="a folder, a bundled model, or a model of the Hugging Face hub")
        parser.add_argument("folder", metavar="FOLDER", help="where to write it; created if it does not exist")
        parser.add_argument("--revision", help="a branch, tag or commit of the hub")
    cache = command(commands, "cache", show_cache, "print the folder of compiled kernels and its size")
    cache.add_argument("--clear", action="store_true", help="delete its contents")
    add_kernels(
        command(commands, "warmup", compile_kernels, "compile the kernels now, so that the first answer does not wait for them")
    )


def tokenize_texts(options: argparse.Namespace) -> None:
    texts = input_texts(options)
    from ..auto import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(chosen_model(options), revision=options.revision)
    for text in texts:
        encoded = tokenizer(text, return_offsets_mapping=True, verbose=False)
        tokens, ids, offsets = encoded.tokens(), encoded["input_ids"], encoded["offset_mapping"]
        if options.json:
            print(json.dumps({"text": text, "tokens": tokens, "ids": ids, "offsets": offsets}))
            continue
        for token, token_id, (start, stop) in zip(tokens, ids, offsets):
            print(f"{token}\t{token_id}\t{start}\t{stop}")


def list_models(options: argparse.Namespace) -> None:
    from .. import hub

    models: list[dict] = [{"name": name, "where": "bundled"} for name in hub.bundled_models()]
    for cached in hub.cached_models():
        if runs_here(cached.folder / "config.json"):
            where = "cached" if cached.complete else "in part"
            models.append({"name": cached.name, "where": where, "commit": cached.commit, "bytes": cached.size})
    for model in models:
        if options.json:
            print(json.dumps(model))
        else:
            size = f"{model['bytes'] / 1e6:.1f} MB" if "bytes" in model else ""
            print(f"{model['name']}\t{model['where']}\t{model.get('commit', '')[:12]}\t{size}".rstrip())


def runs_here(config: Path) -> bool:
    """Whether minibert has the model type of a config.json; the cache holds models of other libraries too."""
    try:
        return read_json(config, ConfigError).get("model_type") in FAMILIES
    except (ConfigError, OSError):
        return False


def list_kernels(options: argparse.Namespace) -> None:
    from ..kernels.catalog import operations, variants
    from ..kernels.compiler.cpu import describe_amx

    for operation in operations():
        print(f"{operation}\t{', '.join(variants(operation)) or 'composed of others'}")
    print(f"AMX\t{describe_amx()}")


def compile_kernels(options: argparse.Namespace) -> None:
    from ..warmup import warm_up

    warm_up(options.kernels)


def show_cache(options: argparse.Namespace) -> None:
    from ..kernels.compiler import object_cache

    if options.clear:
        object_cache.clear_cache()
    print(f"{object_cache.cache_root() or 'no folder'}\t{object_cache.cache_size() / 1e6:.1f} MB")


def quantize_model(options: argparse.Namespace) -> None:
    from ..quantize import quantize

    quantize(options.model, options.folder, revision=options.revision)


def dequantize_model(options: argparse.Namespace) -> None:
    from ..quantize import dequantize

    dequantize(options.model, options.folder, revision=options.revision)
