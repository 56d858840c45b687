"""Token classification, of which named entities are the usual case: text -> a label for each token -> entities."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Any

import numpy as np

from ..errors import InputError, InputTypeError, MinibertWarning, short_repr, strict_arguments
from ..ignored_arguments import ANY_PADDING, Argument, always_cuts, one_of
from ..models.heads import softmax
from .base import Pipeline, as_list, as_text, batches, check_choice, check_count, check_flag, check_labels, plain
from .task import STRIDE, Option

STRATEGIES = ("none", "simple", "first", "average", "max")


class TokenClassificationPipeline(Pipeline):
    """`pipe("text")`: a list of tokens or entities with their label, score and place, in the shapes of `transformers`.

        aggregation_strategy="none"     {"entity", "score", "index", "word", "start", "end"} for each token
        "simple"                        {"entity_group", "score", "word", "start", "end"}: neighbors of one label
        "first", "average", "max"       the same of whole words, labeled as their first token is, as the mean of their
                                        tokens' scores says, or as their surest token is

    Whole words are WordPiece's. A byte-level tokenizer (RoBERTa's) does not mark a word's pieces: there a word is what
    stands between two spaces, with its punctuation, as in `transformers`.

    Labels B-X and I-X are of one group X, in which a B- begins a new one. `ignore_labels` (["O"]) are left out.
    `start` and `end` are places in the text. A text longer than the model's limit is cut, with a warning; `stride=n`
    reads all of it in windows that share n tokens, and of entities that overlap keeps the longest.

    `pipe(["two", "words"], is_split_into_words=True)`, or a list of such lists, for words that were told apart before;
    places are then in the words joined by `delimiter` (" ").
    """

    task = "token-classification"
    former_options = {"grouped_entities": "aggregation_strategy='simple'", "ignore_subwords": "aggregation_strategy='first'"}
    option_names = ("aggregation_strategy", "ignore_labels", "stride", "is_split_into_words", "delimiter")
    tokenizer_options = ("max_length",)
    ignored_options = {
        "padding": ANY_PADDING,
        "truncation": always_cuts("longest_first", "A text that is too long is cut, or with stride=... read in windows"),
        "offset_mapping": Argument(one_of(None), "None", "Offsets are the tokenizer's own: leave it out."),
    }
    command_options = (
        Option(
            "strategy",
            "how tokens become entities: simple (the default), first, average, max, or none for each token",
            metavar="NAME",
            parameter="aggregation_strategy",
            choices=STRATEGIES,
        ),
        STRIDE,
    )
    command_defaults = {"aggregation_strategy": "simple"}

    @staticmethod
    def auto_class() -> Any:
        from ..auto import AutoModelForTokenClassification

        return AutoModelForTokenClassification

    @strict_arguments
    def __call__(self, inputs: Any, **options: Any) -> Any:
        split = plain({**self.options, **options}.get("is_split_into_words"))
        if split is True and isinstance(inputs, list) and not all(isinstance(row, list) for row in inputs):
            inputs = [inputs]  # the words of one text, which gets a list of one answer, as from `transformers`
        return super().__call__(inputs, **options)

    @property
    def answer_types(self) -> dict[str, Any]:
        span = {"word": str, "start": int, "end": int}
        if self.options.get("aggregation_strategy", "none").lower() == "none":
            return {"entities": [{"entity": str, "score": float, "index": int, **span}]}
        return {"entities": [{"entity_group": str, "score": float, **span}]}

    def to_columns(self, answer: Any) -> dict[str, Any]:
        return {"entities": answer}

    def answers(
        self,
        inputs: Iterable,
        batch_size: int,
        *,
        aggregation_strategy: str = "none",
        ignore_labels: Iterable[str] = ("O",),
        stride: int | None = None,
        is_split_into_words: bool = False,
        delimiter: str | None = None,
        **tokenizer_options: Any,
    ) -> Iterator:
        """As of every pipeline; a text's windows are rows of their own until their entities are put together."""
        strategy = aggregation_strategy.lower()
        for rows in batches(inputs, batch_size, as_words if is_split_into_words else as_text):
            encoded, bounds = self.windows(
                rows, stride=stride or 0, is_split_into_words=is_split_into_words, **tokenizer_options
            )
            scores = softmax(self.run(encoded, batch_size)["logits"])  # (windows, T, labels)
            check_labels(self.model.config, scores)
            for text, start, stop in zip(rows, bounds[:-1], bounds[1:]):
                words = None
                if is_split_into_words:
                    text, words = joined_words(text, " " if delimiter is None else delimiter)
                if stride is None and stop - start > 1:
                    warn_of_cut(encoded["attention_mask"][start].sum())
                    stop = start + 1
                entities = []
                for row in range(start, stop):
                    tokens = self.tokens(text, encoded[int(row)], scores[row], words)
                    entities += [
                        one
                        for one in self.aggregate(tokens, strategy)
                        if (one["entity"] if "entity" in one else one["entity_group"]) not in ignore_labels
                    ]
                yield longest(entities) if stop - start > 1 else entities

    def tokens(self, text: str, encoding: Any, scores: np.ndarray, words: list[int] | None) -> list[dict]:
        """scores (T, labels) of a window -> its tokens without [CLS] and the like, as dictionaries.

        `words` has where each word begins in the text, if the tokens' places are places in the words.
        """
        tokens = []
        marks_subwords = bool(getattr(self.tokenizer._pipeline.model, "prefix", ""))
        columns = zip(encoding.tokens, encoding.ids, encoding.offsets, encoding.special_tokens_mask)
        for index, (word, token_id, (start, end), special) in enumerate(columns):
            if special:
                continue
            if words is not None:
                before = words[encoding.word_ids[index]]
                start, end = before + start, before + end
            is_subword = len(word) != end - start if marks_subwords else start > 0 and " " not in text[start - 1 : start + 1]
            if token_id == self.tokenizer.unk_token_id:
                word, is_subword = text[start:end], False
            tokens.append(
                {"word": word, "scores": scores[index], "index": index, "start": start, "end": end, "is_subword": is_subword}
            )
        return tokens

    def aggregate(self, tokens: list[dict], strategy: str) -> list[dict]:
        """Tokens -> entities."""
        if strategy in ("none", "simple"):
            entities = [
                {
                    **self.top_label(token["scores"]),
                    "index": token["index"],
                    "word": token["word"],
                    "start": token["start"],
                    "end": token["end"],
                }
                for token in tokens
            ]
        else:
            entities = [self.of_word(word, strategy) for word in split_words(tokens)]
        return entities if strategy == "none" else [self.joined(group) for group in groups(entities)]

    def of_word(self, tokens: list[dict], strategy: str) -> dict:
        """The tokens of a word -> one entity."""
        scores = [token["scores"] for token in tokens]
        agreed = {
            "first": lambda: scores[0],
            "average": lambda: np.mean(scores, axis=0),
            "max": lambda: max(scores, key=np.max),
        }[strategy]()
        return {**self.top_label(agreed), **self.span(tokens)}

    def joined(self, entities: list[dict]) -> dict:
        """Neighbors with one tag -> their group."""
        score = float(np.mean([entity["score"] for entity in entities]))
        return {"entity_group": str(entities[0]["entity"]).split("-", 1)[-1], "score": score, **self.span(entities)}

    def top_label(self, scores: np.ndarray) -> dict:
        best = int(scores.argmax())
        return {"entity": self.model.config.id2label[best], "score": float(scores[best])}

    def span(self, parts: list[dict]) -> dict:
        word = self.tokenizer.convert_tokens_to_string([part["word"] for part in parts])
        return {"word": word, "start": parts[0]["start"], "end": parts[-1]["end"]}

    def read_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        options = super().read_options(options)
        if "ignore_labels" in options:
            labels = as_list(options["ignore_labels"])
            if labels is None or not all(isinstance(label, (str, int)) for label in labels):
                raise InputTypeError(f"ignore_labels must be a list of labels; got {short_repr(options['ignore_labels'])}.")
            options["ignore_labels"] = labels
        return options

    def check(self, options: Mapping[str, Any]) -> None:
        super().check(options)
        strategy = options.get("aggregation_strategy", "none")
        check_choice("aggregation_strategy", strategy, STRATEGIES)
        check_flag("is_split_into_words", options.get("is_split_into_words", False))
        if not isinstance(options.get("delimiter"), (str, type(None))):
            raise InputTypeError(f"delimiter must be a text; got {short_repr(options['delimiter'])}.")
        if options.get("stride") is not None:
            check_count("stride", options["stride"], least=0)
            if strategy.lower() == "none":
                raise InputError(
                    "stride joins the entities of a text's windows; got aggregation_strategy='none', which makes none. "
                    "Pass aggregation_strategy='simple'."
                )


def as_words(row: Any) -> list[str]:
    if not isinstance(row, list) or not all(isinstance(word, str) for word in row):
        raise InputTypeError(f"with is_split_into_words=True each input is a list of words; got {short_repr(row)}.")
    return row


def joined_words(words: list[str], delimiter: str) -> tuple[str, list[int]]:
    """["ab", "c"] -> ("ab c", [0, 3]): a text, and where each of its words begins."""
    lengths = [len(word) + len(delimiter) for word in words]
    return delimiter.join(words), [0, *accumulate(lengths[:-1])]


def warn_of_cut(length: int) -> None:
    warnings.warn(
        f"a text was cut to {length} tokens, what the model takes. Pass stride=... with an aggregation_strategy to read "
        "all of it.",
        MinibertWarning,
        stacklevel=4,
    )


def split_words(tokens: list[dict]) -> Iterator[list[dict]]:
    """[micro, ##soft, is] -> [micro, ##soft], [is]"""
    word: list[dict] = []
    for token in tokens:
        if word and not token["is_subword"]:
            yield word
            word = []
        word.append(token)
    if word:
        yield word


def groups(entities: list[dict]) -> Iterator[list[dict]]:
    """[B-PER, I-PER, B-PER, O] -> [B-PER, I-PER], [B-PER], [O]"""
    group: list[dict] = []
    for entity in entities:
        if group and (str(entity["entity"]).startswith("B-") or tag(entity) != tag(group[-1])):
            yield group
            group = []
        group.append(entity)
    if group:
        yield group


def tag(entity: dict) -> str:
    """B-PER and I-PER -> PER; anything else is its own."""
    name = str(entity["entity"])
    return name[2:] if name.startswith(("B-", "I-")) else name


def longest(entities: list[dict]) -> list[dict]:
    """Of entities that overlap, found in neighboring windows, the longest; the surest of equals."""
    disjoint: list[dict] = []
    for entity in sorted(entities, key=lambda entity: entity["start"]):
        if disjoint and entity["start"] < disjoint[-1]["end"]:
            if rank(entity) > rank(disjoint[-1]):
                disjoint[-1] = entity
        else:
            disjoint.append(entity)
    return disjoint


def rank(entity: dict) -> tuple[int, float]:
    return entity["end"] - entity["start"], entity["score"]
