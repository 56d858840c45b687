"""A row of tokens -> its words: where each is in the text and in the row, and why it was cut into pieces."""

from __future__ import annotations

from typing import Any, NamedTuple


class Word(NamedTuple):
    """Tokens `first` to `last` - 1 of a row, which are one word of a text."""

    text: str  # as it stands in the text
    sequence: int  # of which text: 0 or 1
    first: int
    last: int
    pieces: tuple[str, ...]
    reason: str  # why it was cut, or is unknown; "" for a word that is a token


def words_of(encoding: Any, texts: tuple[str, ...], tokenizer: Any) -> list[Word]:
    """A row of the tokenizer's and its texts -> the words, in order. Special tokens that were added are none."""
    words, places = [], list(zip(encoding.sequence_ids, encoding.word_ids))
    first = 0
    while first < len(places):
        sequence, word = places[first]
        last = first + 1
        if word is not None and sequence is not None:
            while last < len(places) and places[last] == (sequence, word):
                last += 1
            start, end = encoding.offsets[first][0], encoding.offsets[last - 1][1]
            pieces = tuple(encoding.tokens[first:last])
            text = texts[sequence][start:end]
            words.append(Word(text, sequence, first, last, pieces, reason_of(text, pieces, tokenizer)))
        first = last
    return words


def reason_of(text: str, pieces: tuple[str, ...], tokenizer: Any) -> str:
    """Why a word became these pieces. WordPiece takes the longest token at each place; other models do not."""
    if pieces == (tokenizer.unk_token,):
        return f"no tokens of the vocabulary put together spell “{text}”, so one token stands for all that is unknown"
    if len(pieces) == 1:
        return ""
    if subword_of(tokenizer) == "BPE":
        return f"of “{text}”, neighbors were merged in the order of the list of merges, and this list has no more pair of them"
    rest = ", then ".join(f"“{piece}”" for piece in pieces[1:])
    return (
        f"“{text}” is no token of the vocabulary; the longest token that it begins with is “{pieces[0]}”, and what is left "
        f"goes on with the longest that fits, {rest}"
    )


def subword_of(tokenizer: Any) -> str:
    """The name of the subword model: "WordPiece" or "BPE"."""
    return "WordPiece" if hasattr(tokenizer._pipeline.model, "longest_match") else "BPE"


def normalized(text: str, tokenizer: Any) -> str:
    """A text as the normalizer leaves it; tokens that were added to the vocabulary stay as they are."""
    pipeline = tokenizer._pipeline
    parts = []
    for first, last, token_id in pipeline.raw_matcher.split(text):
        part = text[first:last]
        parts.append(part if token_id is not None else pipeline.normalizer.normalize(part)[0])
    return "".join(parts)
