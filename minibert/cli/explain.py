"""`minibert explain TEXT -o page.html`: one page that shows how a text became its answer."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import InputError
from .shared import CommandParser, add_model, chosen_model, command

TASKS = ("text-classification", "token-classification", "question-answering", "fill-mask", "similarity")


def add_commands(commands: argparse._SubParsersAction) -> None:
    parser = command(commands, "explain", explain_text, "write a page that shows how a text became its answer")
    parser.add_arguments = add_arguments


def add_arguments(parser: CommandParser, arguments: list[str]) -> None:
    parser.add_argument("texts", nargs="+", metavar="TEXT", help="the text; a second one is read as --second says")
    parser.add_argument(
        "-o", "--output", required=True, metavar="FILE", help="the page; all arrays as JSON if the name ends in .json"
    )
    parser.add_argument("--task", choices=TASKS, help="what the model was trained for; by default its class says so")
    parser.add_argument(
        "--second",
        choices=("beside", "pair"),
        help="the second text stands beside the first, in a batch (the default), or is the second of a pair",
    )
    parser.add_argument("--question", metavar="TEXT", help="the question, for question-answering")
    parser.add_argument("--replace", metavar="WORD", action="append", help="a word to be put in others' place; may be repeated")
    parser.add_argument("--truncate", action="store_true", help="cut a text that is too long instead of refusing it")
    add_model(parser)


def explain_text(options: argparse.Namespace) -> None:
    if len(options.texts) > 2:
        raise InputError(f"one text is explained, or two; got {len(options.texts)}.")
    if options.second is not None and (len(options.texts) == 1 or options.task == "similarity"):
        options.usage_error("--second says how a second TEXT is read; it needs two, and a similarity is always of both")
    from ..explanation.explain import explain
    from ..run.job import reason_of

    pipe = load(options)
    inputs, beside = read_inputs(options, pipe)
    settings: dict[str, Any] = {"beside": beside, "replacements": options.replace}
    try:
        explanation = explain(pipe, inputs, **{name: value for name, value in settings.items() if value is not None})
    except InputError as error:
        raise InputError(reason_of(error)) from None
    explanation.save(options.output)
    print(" ".join(explanation.answer.split()), options.output, sep="\t")


def load(options: argparse.Namespace) -> Any:
    """The pipeline, with float weights, of which there are gradients."""
    from ..pipelines import pipeline
    from ..pipelines.sentence_encoder import SentenceEncoder

    model, loading = chosen_model(options), {"kernels": "fast", "revision": options.revision}
    if options.task == "similarity":
        return SentenceEncoder.from_pretrained(model, **loading)
    pipe = pipeline(options.task, model, **loading)
    return pipeline(pipe.task, pipe.model, tokenizer=pipe.tokenizer, truncation=True) if truncates(options, pipe) else pipe


def truncates(options: argparse.Namespace, pipe: Any) -> bool:
    """Whether --truncate was passed; a usage error for a task that has no such option."""
    if options.truncate and "truncation" not in pipe.tokenizer_options:
        options.usage_error(f"--truncate is of text-classification and fill-mask; this is {pipe.task}")
    return options.truncate


def read_inputs(options: argparse.Namespace, pipe: Any) -> tuple[Any, str | None]:
    """The texts -> the pipeline's input, and the text beside it."""
    first, *second = options.texts
    if options.question is not None:
        if second:
            options.usage_error("a question has one TEXT, the context")
        return {"question": options.question, "context": first}, None
    if options.task == "similarity" or options.second == "pair":
        return tuple(options.texts), None
    return first, (second[0] if second else None)
