"""`minibert convert`: a checkpoint of any form, written as safetensors. It is in minibert/convert.py."""

from __future__ import annotations

import argparse

from .shared import command


def add_commands(commands: argparse._SubParsersAction) -> None:
    convert = command(commands, "convert", convert_model, "write a model's weights as safetensors, beside its other files")
    convert.add_argument("model", metavar="NAME", help="a folder, a bundled model or one of the Hugging Face hub")
    convert.add_argument("folder", metavar="FOLDER", help="where to write it; created if it is not there")
    convert.add_argument("--to", choices=["longformer"], help="make a Longformer of a RoBERTa, for texts of 4,096 tokens")
    convert.add_argument("--revision", help="a branch, tag or commit of the hub")


def convert_model(options: argparse.Namespace) -> None:
    """The command: a line for each file that it has written."""
    from ..convert import convert

    for file in convert(options.model, options.folder, to=options.to, revision=options.revision):
        how = f"{file.tensors} tensors, {file.parameters:,} parameters of" if file.tensors else "a copy of"
        print(f"{file.path}\t{how} {file.source}")
