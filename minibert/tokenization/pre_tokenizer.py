"""Stage 2: normalised text -> words, as (start, end) in it.

    "hey, you"  ->  (0, 3) (3, 4) (5, 8)

White space separates words; every punctuation character is a word of its own.
Read next: wordpiece.py.
"""

from .unicode import unicode_table


def pre_tokenize(text):
    """text -> [(start, end), ...] of its words."""
    white_space, punctuation = unicode_table().white_space, unicode_table().punctuation
    spans, start = [], None  # start of the word being read
    for index, character in enumerate(text):
        apart = ord(character) in punctuation
        if apart or ord(character) in white_space:
            if start is not None:
                spans.append((start, index))
                start = None
            if apart:
                spans.append((index, index + 1))
        elif start is None:
            start = index
    if start is not None:
        spans.append((start, len(text)))
    return spans
