"""Tokens matched in the text before it is split into words: special tokens such as [MASK], and those that a user adds.

    "a [MASK]x"  ->  "a " + [MASK] + "x"

Tokens that are not `normalized` are matched in the raw text. The text between them is normalized, and the other tokens
are matched there, in their own normal form. The first match wins; of several matches at one position, the longest.
Read next: pipeline.py.
"""

import re
from dataclasses import dataclass

from minibert.errors import InputError, InputTypeError, is_bool, short_repr, strict_arguments

from .unicode import unicode_table


@dataclass(frozen=True, init=False)
class AddedToken:
    """A token that is never split. By default `normalized` is the opposite of `special`.

    single_word: matches only if no letter, digit, mark or underscore is next to it.
    lstrip, rstrip: the match includes the white space on that side.
    special: skipped by `decode(..., skip_special_tokens=True)`.
    """

    content: str
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool | None = None
    special: bool = False

    @strict_arguments
    def __init__(self, content, single_word=False, lstrip=False, rstrip=False, normalized=None, special=False):
        if not isinstance(content, str):
            raise InputTypeError(f"an added token must be a string; got {type(content).__name__}: {short_repr(content)}.")
        values = dict(zip(FLAGS, (single_word, lstrip, rstrip, normalized, special)))
        for name, value in values.items():
            if not is_bool(value) and not (name == "normalized" and value is None):
                raise InputTypeError(f"{name} of an added token must be True or False; got {short_repr(value)}.")
            object.__setattr__(self, name, None if value is None else bool(value))
        object.__setattr__(self, "content", content)

    def __str__(self):
        return self.content


FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


def as_token(value):
    """An AddedToken of the tokenizers library, which is recognized by its fields -> ours; anything else as it is."""
    if isinstance(value, (str, AddedToken, type)) or not all(hasattr(value, name) for name in ("content", *FLAGS)):
        return value
    return AddedToken(value.content, *(getattr(value, name) for name in FLAGS))


def read_token(name, value):
    """A token -> a str or an AddedToken. InputTypeError if it is neither."""
    token = as_token(value)
    if not isinstance(token, (str, AddedToken)):
        raise InputTypeError(f"{name} must be a string or an AddedToken; got {short_repr(value)}.")
    return token


class Matcher:
    """Finds tokens in a text. targets: {the string to match: (id, AddedToken)}.

    With `splits_special_tokens`, special tokens are text like any other.
    """

    def __init__(self, targets, splits_special_tokens=False):
        if "" in targets:
            raise InputError(
                f"an added token must not be empty after normalization; {targets[''][1].content!r} is."
                " Add it with normalized=False."
            )
        self.targets, self.splits_special_tokens = targets, splits_special_tokens
        longest_first = sorted(targets, key=len, reverse=True)
        self.pattern = re.compile("|".join(map(re.escape, longest_first))) if targets else None

    def split(self, text):
        """text -> [(start, end, id or None), ...] which cover all of it; None for text that is not a token."""
        splits, done = [], 0
        for match in self.pattern.finditer(text) if self.pattern else ():
            token_id, token = self.targets[match.group()]
            start, end = match.span()
            if token.special and self.splits_special_tokens:
                continue
            if token.single_word and (_is_word(text[start - 1 : start]) or _is_word(text[end : end + 1])):
                continue
            if token.lstrip:
                while start > done and _is_space(text[start - 1]):
                    start -= 1
                start = max(start, done)  # the token before may have taken the white space this one begins with
            if token.rstrip:
                while end < len(text) and _is_space(text[end]):
                    end += 1
            if done < start:
                splits.append((done, start, None))
            splits.append((start, end, token_id))
            done = end
        if done < len(text):
            splits.append((done, len(text), None))
        return splits


def _is_word(character):
    return character != "" and ord(character) in unicode_table().word


def _is_space(character):
    return ord(character) in unicode_table().white_space
