"""Question answering: a question and a text -> the piece of the text that answers it.

`transformers` had this task until 5.2; the answers here are its last version's, less the spans it gave a score of 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ..errors import InputError, InputTypeError, short_repr, strict_arguments
from ..ignored_arguments import ANY_PADDING, always_cuts
from ..models.heads import softmax
from .base import Pipeline, as_list, batches, check_count, check_flag, check_room
from .streaming import type_name
from .task import Option

NEVER = -10000.0  # the logit of a token that cannot be in an answer
FORM = "a question and a context: pipe(question=..., context=...), or {'question': ..., 'context': ...}"


class QuestionAnsweringPipeline(Pipeline):
    """`pipe(question="who?", context="...")`: {"score", "start", "end", "answer"}, a piece of the context.

    Lists of both, a list of questions on one context, a list or a generator of {"question", "context"} give a list (of
    one: its answer) or an iterator.

    A span's score is the product of its first token's share of the softmax of the starts and its last one's of the ends.
    `top_k` answers (1); those that read the same are one, their scores summed. `max_answer_len` (15) tokens at most. A
    context that is too long is read in windows of `max_seq_len` (384, or the model's limit) tokens, question included,
    which share `doc_stride` (128, or half of that). `handle_impossible_answer` lets "" be an answer.
    `align_to_words=False` lets an answer begin and end within a word.
    """

    task = "question-answering"
    option_names = ("top_k", "doc_stride", "max_answer_len", "max_seq_len", "handle_impossible_answer", "align_to_words")
    tokenizer_options = ()
    ignored_options = {
        "padding": ANY_PADDING,
        "truncation": always_cuts("only_second", "A context that is too long is read in windows"),
    }
    length_option = "max_seq_len"
    inputs = FORM
    text_input = "context"
    command_options = (
        Option("question", "the question to each text", metavar="TEXT", input="question"),
        Option(
            "question_column", "the column with the question to each text", metavar="NAME", input="question", is_column=True
        ),
        Option("impossible", "allow an empty answer", bool, parameter="handle_impossible_answer"),
    )
    required_options = ("question", "question_column")
    answer_types = {"answer": str, "score": float, "start": int, "end": int}

    @staticmethod
    def auto_class() -> Any:
        from ..auto import AutoModelForQuestionAnswering

        return AutoModelForQuestionAnswering

    @strict_arguments
    def __call__(self, inputs: Any = None, context: Any = None, *, question: Any = None, **options: Any) -> Any:
        if question is None and context is not None or isinstance(inputs, str):
            question, inputs = inputs, None
        if inputs is None:
            inputs = paired(question, context)
        elif question is not None or context is not None:
            raise InputError(f"this task takes {FORM}; got both.")
        answer = super().__call__(inputs, **options)
        return answer[0] if isinstance(inputs, list) and len(inputs) == 1 else answer

    def answers(
        self,
        inputs: Iterable,
        batch_size: int,
        *,
        top_k: int = 1,
        doc_stride: int | None = None,
        max_seq_len: int | None = None,
        **options: Any,
    ) -> Iterator:
        length = min(self.limit, 384) if max_seq_len is None else max_seq_len
        stride = min(length // 2, 128) if doc_stride is None else doc_stride
        for batch in batches(inputs, batch_size, read_example):
            questions, contexts = (list(column) for column in zip(*batch))
            try:
                encoded, bounds = self.windows(
                    questions, contexts, truncation="only_second", max_length=length, stride=stride, padding_side="right"
                )
            except InputError:
                self.check_windows(questions, length, stride)
                raise
            logits = self.run(encoded, batch_size)
            for context, start, stop in zip(contexts, bounds[:-1], bounds[1:]):
                windows = [
                    (encoded[int(row)], logits["start_logits"][row], logits["end_logits"][row]) for row in range(start, stop)
                ]
                yield self.best(context, windows, top_k, **options)

    def check_windows(self, questions: list[str], length: int, stride: int) -> None:
        """InputError for what the tokenizer refused, in the names of this task's options."""
        check_room(self, questions, length, "question")
        special = self.tokenizer.num_special_tokens_to_add(pair=True)
        room = length - special - max(len(self.tokenizer.tokenize(question)) for question in questions)
        if stride >= room:
            raise InputError(
                f"doc_stride must be less than the {room} tokens of a context in a window; got {short_repr(stride)}."
            )

    def best(
        self,
        context: str,
        windows: list[tuple],
        top_k: int,
        *,
        handle_impossible_answer: bool = False,
        align_to_words: bool = True,
        max_answer_len: int = 15,
    ) -> Any:
        """The windows of a context -> its answer; of several, a list."""
        answers: dict[str, dict] = {}  # by their text in small letters
        nothing = []
        for encoding, start_logits, end_logits in windows:
            starts, ends, allowed = shares(encoding, start_logits, end_logits)
            nothing.append(float(starts[0] * ends[0]))
            starts[0] = ends[0] = 0.0
            candidates = top_k * 2 + 10 if align_to_words else top_k  # several may become one word
            for first, last, score in best_spans(starts, ends, allowed, candidates, max_answer_len):
                start, end = char_span(encoding, first, last, align_to_words)
                text = context[start:end]
                answer = {"score": 0.0, "start": start, "end": end, "answer": text}
                answers.setdefault(text.lower(), answer)["score"] += score
        ranked = list(answers.values())
        if handle_impossible_answer or not ranked:  # none: the context has no token
            score = min(nothing) if handle_impossible_answer else 0.0
            ranked.append({"score": score, "start": 0, "end": 0, "answer": ""})
        ranked = sorted(ranked, key=lambda answer: -answer["score"])[:top_k]
        return ranked[0] if len(ranked) == 1 else ranked

    def check(self, options: Mapping[str, Any]) -> None:
        super().check(options)
        for name in ("top_k", "max_answer_len"):
            check_count(name, options.get(name, 1))
        for name, least in (("max_seq_len", 1), ("doc_stride", 0)):
            if options.get(name) is not None:
                check_count(name, options[name], least=least)
        for name in ("handle_impossible_answer", "align_to_words"):
            check_flag(name, options.get(name, False))


def shares(encoding: Any, start_logits: np.ndarray, end_logits: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A window's logits (T,) -> the softmax over [CLS] and the context of both, and which tokens are of those."""
    allowed = np.array([owner == 1 for owner in encoding.sequence_ids])
    allowed[0] = True  # [CLS], with which models say that there is no answer
    return softmax(np.where(allowed, start_logits, NEVER)), softmax(np.where(allowed, end_logits, NEVER)), allowed


def best_spans(starts: np.ndarray, ends: np.ndarray, allowed: np.ndarray, count: int, longest: int) -> list[tuple]:
    """starts (T,), ends (T,) -> the best (first, last, score), at most `count` of at most `longest` tokens."""
    longest = min(longest, len(starts))
    scores = np.tril(np.triu(np.outer(starts, ends)), longest - 1)  # last not before first, nor too far behind
    ranked = np.argsort(-scores, axis=None, kind="stable")[:count]
    spans = zip(*np.unravel_index(ranked, scores.shape))
    return [(int(i), int(j), float(scores[i, j])) for i, j in spans if allowed[i] and allowed[j] and scores[i, j] > 0]


def char_span(encoding: Any, first: int, last: int, align_to_words: bool) -> tuple[int, int]:
    """The tokens of a span -> where it begins and ends in the context; widened to whole words where it is to be."""
    if align_to_words and None not in (encoding.word_ids[first], encoding.word_ids[last]):
        start, _ = encoding.word_to_chars(encoding.word_ids[first], 1)
        _, end = encoding.word_to_chars(encoding.word_ids[last], 1)
        return start, end
    return encoding.offsets[first][0], encoding.offsets[last][1]


def paired(question: Any, context: Any) -> list[dict]:
    """Questions and contexts, each a text or a list -> rows."""
    if isinstance(question, str) and isinstance(context, str):
        return [{"question": question, "context": context}]
    questions, contexts = as_list(question), as_list(context)
    if questions is not None and isinstance(context, str):
        contexts = [context] * len(questions)
    if questions is None or contexts is None:
        raise InputTypeError(f"this task takes {FORM}; got {type_name(question)} and {type_name(context)}.")
    question, context = questions, contexts
    if len(question) != len(context):
        raise InputError(f"there must be a context for each question; got {len(question)} and {len(context)}.")
    return [{"question": one, "context": other} for one, other in zip(question, context)]


def read_example(row: Any) -> tuple[str, str]:
    if not isinstance(row, Mapping) or not all(isinstance(row.get(name), str) for name in ("question", "context")):
        raise InputTypeError(f"each input is {FORM}; got {short_repr(row)}.")
    for name in ("question", "context"):
        if not row[name].strip():
            raise InputError(f"a {name} must have a word; got {row[name]!r:.80}.")
    return row["question"], row["context"]
