"""The commands that answer for texts: `classify`, `ner`, `fill-mask`, `ask`, `embed`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator

from ..errors import InputError
from .shared import add_kernels, add_model, add_texts, at_least_one, chosen_model, command, given_texts


def add_commands(commands) -> None:
    classify = command(commands, "classify", classify_texts, "print each text's label and its probability")
    add_texts(classify)
    add_model(classify)
    classify.add_argument("--top-k", type=at_least_one, metavar="N", help="the N best labels of each text")
    classify.add_argument("--truncate", action="store_true", help="cut a text that is too long instead of refusing it")
    add_kernels(classify)
    add_tasks(commands)


def add_tasks(commands) -> None:
    """The tasks that no bundled model is for."""
    ner = command(commands, "ner", find_entities, "print each text's entities: group, score, word, start, end")
    ner.add_argument("--strategy", default="simple", help="simple, first, average, max, or none for each token (simple)")
    ner.add_argument("--stride", type=at_least_one, metavar="N", help="read long texts in windows that share N tokens")
    fill = command(commands, "fill-mask", fill_masks, "print the best words for each text's [MASK]: word, score, text")
    fill.add_argument("--top-k", type=at_least_one, metavar="N", default=5, help="the N best words (5)")
    embed = command(commands, "embed", embed_texts, "print a vector for each text, its numbers separated by blanks")
    embed.add_argument("--prompt", help="a text to stand before each text")
    ask = command(commands, "ask", ask_texts, "print the answer that each text has to a question: answer, score, start, end")
    ask.add_argument("--question", required=True, metavar="TEXT", help="what is asked of each text")
    ask.add_argument("--impossible", action="store_true", help="let there be no answer")
    for made in (ner, fill, embed, ask):
        add_texts(made)
        add_model(made, required=True)
        add_kernels(made)


def classify_texts(options: argparse.Namespace) -> None:
    texts = given_texts(options)
    from ..pipelines import pipeline

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
        from ..pipelines.streaming import CUT

        raise InputError(str(error).replace(CUT, "Cut it with --truncate.")) from None


def find_entities(options: argparse.Namespace) -> None:
    pipe = task_pipeline("token-classification", options, aggregation_strategy=options.strategy, stride=options.stride)
    for text in given_texts(options):
        print_rows(options, text, "entities", pipe(text))


def fill_masks(options: argparse.Namespace) -> None:
    pipe = task_pipeline("fill-mask", options, top_k=options.top_k)
    for text in given_texts(options):
        answer = pipe(text)
        masks = [answer] if isinstance(answer[0], dict) else answer
        words = [{key: word[key] for key in ("token_str", "score", "sequence")} for words in masks for word in words]
        print_rows(options, text, "words", words)


def ask_texts(options: argparse.Namespace) -> None:
    pipe = task_pipeline("question-answering", options, handle_impossible_answer=options.impossible)
    for text in given_texts(options):
        answer = pipe(question=options.question, context=text)
        print_rows(options, text, "answers", [{key: answer[key] for key in ("answer", "score", "start", "end")}])


def embed_texts(options: argparse.Namespace) -> None:
    from ..pipelines.sentence_encoder import SentenceEncoder

    encoder = SentenceEncoder.from_pretrained(options.model, kernels=options.kernels, revision=options.revision)
    for text in given_texts(options):
        vector = encoder.encode(text, prompt=options.prompt).tolist()
        print(json.dumps({"text": text, "vector": vector}) if options.json else " ".join(f"{x:.6g}" for x in vector))


def task_pipeline(task: str, options: argparse.Namespace, **settings):
    from ..pipelines import pipeline

    return pipeline(task, options.model, kernels=options.kernels, revision=options.revision, **settings)


def print_rows(options: argparse.Namespace, text: str, name: str, rows: list[dict]) -> None:
    """All of a text's rows in one JSON object, or a line each."""
    if options.json:
        print(json.dumps({"text": text, name: rows}))
        return
    for row in rows:
        cells = (f"{cell:.4f}" if isinstance(cell, float) else " ".join(str(cell).split()) for cell in row.values())
        print("\t".join(cells))
