"""Stage 2: normalized text -> words, as (start, end) in it.

    "hey, you"  ->  (0, 3) (3, 4) (5, 8)

White space separates words; every punctuation character is a word of its own. That is BERT's step, `pre_tokenize`.
A tokenizer.json may name other steps, each of which splits the words of the step before: `PreTokenizer`.
Read next: wordpiece.py.
"""

import re
from functools import cache

from .unicode import unicode_table


def pre_tokenize(text):
    """text -> [(start, end), ...] of its words."""
    white_space, punctuation = unicode_table().white_space, unicode_table().punctuation
    spans, start = [], None  # start of the word being read
    for index, character in enumerate(text):
        is_punctuation = ord(character) in punctuation
        if is_punctuation or ord(character) in white_space:
            if start is not None:
                spans.append((start, index))
                start = None
            if is_punctuation:
                spans.append((index, index + 1))
        elif start is None:
            start = index
    if start is not None:
        spans.append((start, len(text)))
    return spans


class PreTokenizer:
    """Steps in order: functions like `pre_tokenize`. `saved` is their form in a tokenizer.json.

    splits_at_spaces: whether no word has a space in it.
    context_free: whether it splits at a character regardless of its neighbors.
    isolates_punctuation: if so, whether punctuation characters are words of their own.
    """

    add_prefix_space = False  # as in ByteLevelPreTokenizer

    def __init__(self, steps, saved):
        self.steps, self.saved = steps, saved
        self.splits_at_spaces = not {pre_tokenize, split_white_space, split_symbols}.isdisjoint(steps)
        self.context_free = self.splits_at_spaces and {pre_tokenize, split_white_space, isolate_punctuation}.issuperset(steps)
        self.isolates_punctuation = not {pre_tokenize, isolate_punctuation}.isdisjoint(steps)

    def split(self, text):
        """text -> [(start, end), ...] of its words."""
        spans = [(0, len(text))] if text else []
        for step in self.steps:
            spans = [(first + start, first + end) for first, last in spans for start, end in step(text[first:last])]
        return spans


def split_white_space(text):
    """WhitespaceSplit: "a.b c" -> "a.b", "c"."""
    white_space = unicode_table().white_space
    return runs(text, lambda character: ord(character) not in white_space)


def split_symbols(text):
    """Whitespace: runs of letters, digits and marks, and runs of anything else but white space: "a.b!! c" -> a . b !! c."""
    word, white_space = unicode_table().word, unicode_table().white_space
    return runs(text, lambda c: 0 if ord(c) in white_space else 1 if ord(c) in word else 2)


def runs(text, group_of):
    """The spans of neighbors in one group; those of group 0 are left out."""
    groups = [group_of(character) for character in text]
    starts = [index for index, group in enumerate(groups) if not index or group != groups[index - 1]]
    return [(start, end) for start, end in zip(starts, [*starts[1:], len(text)]) if groups[start]]


# The behaviors of Punctuation. "a.b!!" ->


def isolate_punctuation(text):
    """a . b ! !"""
    return [match.span() for match in _punctuation_pattern("{p}|[^{p}]+").finditer(text)]


def remove_punctuation(text):
    """a b"""
    return [match.span() for match in _punctuation_pattern("[^{p}]+").finditer(text)]


def merge_punctuation_back(text):
    """a. b! !"""
    return [match.span() for match in _punctuation_pattern("[^{p}]+{p}?|{p}").finditer(text)]


def merge_punctuation_on(text):
    """a .b ! !"""
    return [match.span() for match in _punctuation_pattern("{p}?[^{p}]+|{p}").finditer(text)]


def group_punctuation(text):
    """a . b !!"""
    return [match.span() for match in _punctuation_pattern("{p}+|[^{p}]+").finditer(text)]


PUNCTUATION = {
    "Isolated": isolate_punctuation,
    "Removed": remove_punctuation,
    "MergedWithPrevious": merge_punctuation_back,
    "MergedWithNext": merge_punctuation_on,
    "Contiguous": group_punctuation,
}


@cache
def _punctuation_pattern(pattern):
    """{p} in the pattern stands for a punctuation character, [^{p}] for any other."""
    characters = re.escape("".join(map(chr, sorted(unicode_table().punctuation))))
    return re.compile(pattern.replace("[^{p}]", f"[^{characters}]").replace("{p}", f"[{characters}]"))


BERT = PreTokenizer([pre_tokenize], {"type": "BertPreTokenizer"})
