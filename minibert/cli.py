"""The command line: `minibert classify`, `ner`, `fill-mask`, `ask`, `embed`, `tokenize`, `models`, `kernels`.

Answers go to stdout, one line each, everything else to stderr. Exit status: 0 done, 1 it could not be done, 2 the
command was not understood, 130 interrupted. A user's mistake gets one line, never a traceback.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

from . import __version__
from .config import CONFIGS
from .errors import ConfigError, InputError, MinibertError
from .files import read_json

DEFAULT_MODEL = "minibert-sst2"


def main(arguments: list[str] | None = None) -> int:
    """The command's arguments (sys.argv's by default) -> its exit status."""
    options = parser().parse_args(arguments)
    status = 0
    try:
        if sys.stdout is None:
            raise InputError("stdout is closed, and answers go there.")
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *where: say(f"warning: {message}")
            options.run(options)
        sys.stdout.flush()  # here, so that a reader that has gone is met below
    except MinibertError as error:
        status = say(error)
    except BrokenPipeError:  # `minibert ... | head` has read enough
        pass
    except UnicodeEncodeError as error:
        letters = ascii(error.object[error.start : error.end])
        status = say(f"stdout is {error.encoding}, which has no {letters}; use --json, or set PYTHONIOENCODING=utf-8.")
    except OSError as error:  # the disk is full
        status = say(error)
    except KeyboardInterrupt:
        status = 130
    let_go_of_stdout()
    return status


def say(message: object) -> int:
    """A line on stderr, where there is one; returns the exit status of a failure."""
    if sys.stderr is not None:  # print() would take None for stdout
        print(f"minibert: {message}", file=sys.stderr)
    return 1


def let_go_of_stdout() -> None:
    """What cannot be written now is thrown away, for Python would try again at its end, and complain."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(prog="minibert", description="BERT and DistilBERT on a CPU.")
    whole.add_argument("--version", action="version", version=f"minibert {__version__}")
    commands = whole.add_subparsers(title="commands", required=True, metavar="COMMAND")

    classify = command(commands, "classify", classify_texts, "print each text's label and its probability")
    add_texts(classify)
    add_model(classify)
    classify.add_argument("--top-k", type=at_least_one, metavar="N", help="the N best labels of each text")
    classify.add_argument("--truncate", action="store_true", help="cut a text that is too long instead of refusing it")
    add_kernels(classify)
    add_tasks(commands)

    tokenize = command(commands, "tokenize", tokenize_texts, "show each text's tokens, their ids and their places")
    add_texts(tokenize)
    add_model(tokenize)

    models = command(commands, "models", list_models, "list the models that need no download: bundled and cached")
    models.add_argument("--json", action="store_true", help="one JSON object a line")
    command(commands, "kernels", list_kernels, "list the operations, and the variants that --kernels can choose")
    return whole


def add_tasks(commands) -> None:
    """The tasks that no bundled model is for."""
    ner = command(commands, "ner", find_entities, "print each text's entities: group, score, word, start, end")
    ner.add_argument("--strategy", default="simple", help="simple, first, average, max, or none for each token (simple)")
    ner.add_argument("--stride", type=at_least_one, metavar="N", help="read long texts in windows that share N tokens")
    fill = command(commands, "fill-mask", fill_masks, "print the best words for each text's [MASK]: word, score, text")
    fill.add_argument("--top-k", type=at_least_one, metavar="N", default=5, help="the N best words (5)")
    embed = command(commands, "embed", embed_texts, "print a vector for each text, its numbers parted by blanks")
    embed.add_argument("--prompt", help="a text to stand before each text")
    ask = command(commands, "ask", ask_texts, "print the answer that each text has to a question: answer, score, start, end")
    ask.add_argument("--question", required=True, metavar="TEXT", help="what is asked of each text")
    ask.add_argument("--impossible", action="store_true", help="let there be no answer")
    for made in (ner, fill, embed, ask):
        add_texts(made)
        add_model(made, required=True)
        add_kernels(made)


def command(commands, name: str, run, summary: str) -> argparse.ArgumentParser:
    made = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
    made.set_defaults(run=run)
    return made


def add_texts(made: argparse.ArgumentParser) -> None:
    made.add_argument("texts", nargs="*", metavar="TEXT", help="a text each; none, or -, reads lines from stdin")
    made.add_argument("--json", action="store_true", help="one JSON object a text")


def add_model(made: argparse.ArgumentParser, required: bool = False) -> None:
    summary = "a folder, a bundled model or one of the Hugging Face hub"
    made.add_argument("--model", metavar="NAME", required=required, help=summary)
    made.add_argument("--revision", help="a branch, tag or commit of the hub")


def add_kernels(made: argparse.ArgumentParser) -> None:
    summary = "auto, reference, naive, or linear=naive,gelu=naive"
    made.add_argument("--kernels", type=kernels_option, default="auto", metavar="PRESET", help=summary)


def classify_texts(options: argparse.Namespace) -> None:
    texts = given_texts(options.texts)
    from .pipelines import pipeline

    pipe = pipeline("text-classification", chosen_model(options), kernels=options.kernels, revision=options.revision)
    size = 1 if sys.stdout.isatty() else 32  # someone who watches wants each answer when it is there
    for text, answers in classified(pipe, texts, size, options):
        if options.json:
            print(json.dumps({"text": text, "labels": answers} if options.top_k else {"text": text, **answers[0]}))
            continue
        for answer in answers:
            print(f"{answer['label']}\t{answer['score']:.4f}\t{' '.join(text.split())}")


def classified(pipe, texts: Iterable[str], size: int, options: argparse.Namespace) -> Iterator[tuple[str, list]]:
    """Each text with its answers; the mend of a text that is too long is named in this command's words."""
    seen: list[str] = []

    def remembered() -> Iterator[str]:
        for text in texts:
            seen.append(text)
            yield text

    answers = pipe(remembered(), top_k=options.top_k or 1, batch_size=size, truncation=options.truncate)
    try:
        for answer in answers:
            yield seen.pop(0), answer
    except InputError as error:
        raise InputError(str(error).replace("Call the tokenizer with truncation=True.", "Cut it with --truncate.")) from None


def find_entities(options: argparse.Namespace) -> None:
    pipe = task_pipeline("token-classification", options, aggregation_strategy=options.strategy, stride=options.stride)
    for text in given_texts(options.texts):
        print_rows(options, text, "entities", pipe(text))


def fill_masks(options: argparse.Namespace) -> None:
    pipe = task_pipeline("fill-mask", options, top_k=options.top_k)
    for text in given_texts(options.texts):
        answer = pipe(text)
        masks = [answer] if isinstance(answer[0], dict) else answer
        words = [{key: word[key] for key in ("token_str", "score", "sequence")} for words in masks for word in words]
        print_rows(options, text, "words", words)


def ask_texts(options: argparse.Namespace) -> None:
    pipe = task_pipeline("question-answering", options, handle_impossible_answer=options.impossible)
    for text in given_texts(options.texts):
        answer = pipe(question=options.question, context=text)
        print_rows(options, text, "answers", [{key: answer[key] for key in ("answer", "score", "start", "end")}])


def embed_texts(options: argparse.Namespace) -> None:
    from .pipelines.sentence_encoder import SentenceEncoder

    encoder = SentenceEncoder.from_pretrained(options.model, kernels=options.kernels, revision=options.revision)
    for text in given_texts(options.texts):
        vector = encoder.encode(text, prompt=options.prompt).tolist()
        print(json.dumps({"text": text, "vector": vector}) if options.json else " ".join(f"{x:.6g}" for x in vector))


def task_pipeline(task: str, options: argparse.Namespace, **settings):
    from .pipelines import pipeline

    return pipeline(task, options.model, kernels=options.kernels, revision=options.revision, **settings)


def print_rows(options: argparse.Namespace, text: str, name: str, rows: list[dict]) -> None:
    """All of a text's rows in one JSON object, or a line each."""
    if options.json:
        print(json.dumps({"text": text, name: rows}))
        return
    for row in rows:
        cells = (f"{cell:.4f}" if isinstance(cell, float) else " ".join(str(cell).split()) for cell in row.values())
        print("\t".join(cells))


def tokenize_texts(options: argparse.Namespace) -> None:
    texts = given_texts(options.texts)
    from .tokenization import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(chosen_model(options), revision=options.revision)
    for text in texts:
        encoded = tokenizer(text, return_offsets_mapping=True, verbose=False)
        tokens, ids, offsets = encoded.tokens(), encoded["input_ids"], encoded["offset_mapping"]
        if options.json:
            print(json.dumps({"text": text, "tokens": tokens, "ids": ids, "offsets": offsets}))
            continue
        for token, number, (start, stop) in zip(tokens, ids, offsets):
            print(f"{token}\t{number}\t{start}\t{stop}")


def list_models(options: argparse.Namespace) -> None:
    from . import hub

    models: list[dict] = [{"name": name, "where": "bundled"} for name in hub.bundled_models()]
    for model in hub.cached_models():
        if runs_here(model.folder / "config.json"):
            where = "cached" if model.whole else "in part"
            models.append({"name": model.name, "where": where, "commit": model.commit, "bytes": model.size})
    for model in models:
        if options.json:
            print(json.dumps(model))
        else:
            size = f"{model['bytes'] / 1e6:.1f} MB" if "bytes" in model else ""
            print(f"{model['name']}\t{model['where']}\t{model.get('commit', '')[:12]}\t{size}".rstrip())


def runs_here(config: Path) -> bool:
    """Whether a config.json is of a model type there is; the cache holds other libraries' models too."""
    try:
        return read_json(config, ConfigError).get("model_type") in CONFIGS
    except (ConfigError, OSError):
        return False


def list_kernels(options: argparse.Namespace) -> None:
    from .kernels.registry import operations, variants

    for operation in operations():
        print(f"{operation}\t{', '.join(variants(operation)) or 'composed of others'}")


def chosen_model(options: argparse.Namespace) -> str:
    if options.model is None:
        say(f"using the bundled model {DEFAULT_MODEL}; name another with --model.")
        return DEFAULT_MODEL
    return options.model


def given_texts(texts: list[str]) -> Iterable[str]:
    """The texts of the command line, or the lines of stdin."""
    if texts not in ([], ["-"]):
        for text in texts:
            if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
                raise InputError(f"a TEXT must be {sys.getfilesystemencoding()}; got {text!a}.")
        return texts
    if sys.stdin is None or (not texts and sys.stdin.isatty()):
        parser().error("a TEXT is needed, or lines on stdin")
    return lines(sys.stdin.buffer)


def lines(stream: Iterable[bytes]) -> Iterator[str]:
    """Lines without their ends; each is an answer, an empty one too."""
    for number, line in enumerate(stream, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as fault:
            raise InputError(f"stdin must be UTF-8; line {number} is not: {fault.reason} at byte {fault.start}.") from None


def at_least_one(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number, 1 or more; got {text!r}")
    return int(text)


def kernels_option(text: str) -> str | dict[str, str]:
    """`reference`, or `linear=naive,gelu=naive`."""
    if "=" not in text:
        return text
    return dict(part.split("=", 1) if "=" in part else (part, "") for part in text.split(","))
