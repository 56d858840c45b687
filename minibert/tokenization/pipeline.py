"""Stages 1 to 3 together: text -> pieces, each an (id, token, start, end, word).

    "Hey, you"  ->  (4931, "hey", 0, 3, 0)  (1010, ",", 3, 4, 1)  (2017, "you", 5, 8, 2)

`start` and `end` are positions in the raw text; `word` is the index of the word or added token.

`TokenizationPipeline.analyze` is the definition, and may be slow. `FastPipeline` (fast_pipeline.py) gives the same.
Read next: stages/template.py.
"""

import re

from minibert.errors import InputTypeError

from .stages.pre_tokenizer import BERT

SURROGATE = re.compile("[\ud800-\udfff]")


class TokenizationPipeline:
    """A normalizer, a pre-tokenizer, a subword model, and matchers of added tokens in the raw and the normalized text.

    trimmer: an OffsetTrimmer, or None.
    """

    def __init__(self, normalizer, model, raw_matcher, normalized_matcher, pre_tokenizer=BERT, trimmer=None):
        self.normalizer, self.model, self.pre_tokenizer = normalizer, model, pre_tokenizer
        self.raw_matcher, self.normalized_matcher, self.trimmer = raw_matcher, normalized_matcher, trimmer

    def analyze(self, text, starts_text=True):
        """text -> [(id, token, start, end, word), ...]. starts_text: whether it is not the continuation of a text."""
        pieces = self.untrimmed(text, starts_text)
        return self.trimmer.trim(pieces, starts_text) if self.trimmer else pieces

    def untrimmed(self, text, starts_text=True):
        """The pieces before their offsets are trimmed."""
        check_characters(text)
        pieces, word = [], 0
        for first, last, token_id in self.raw_matcher.split(text):
            if token_id is not None:
                pieces.append((token_id, text[first:last], first, last, word))
                word += 1
                continue
            normalized, sources = self.normalizer.normalize(text[first:last])
            for start, end, token_id in self.normalized_matcher.split(normalized):
                content, origins = normalized[start:end], sources[start:end]
                if token_id is not None:
                    pieces.append((token_id, content, first + origins[0], first + origins[-1] + 1, word))
                    word += 1
                    continue
                if starts_text and self.pre_tokenizer.add_prefix_space and not content.startswith(" "):
                    content, origins = " " + content, [origins[0], *origins]
                for begin, stop in self.pre_tokenizer.split(content):
                    for piece_id, token, left, right in self.model.pieces(content[begin:stop]):
                        source, last_source = origins[begin + left], origins[begin + right - 1]
                        pieces.append((piece_id, token, first + source, first + last_source + 1, word))
                    word += 1
        return pieces


def check_characters(text):
    """Raise InputTypeError for half of a surrogate pair, as files read with errors="surrogateescape" have."""
    match = None if text.isascii() else SURROGATE.search(text)
    if match:
        raise InputTypeError(
            f"a text must hold whole characters; at {match.start()} it has U+{ord(match.group()):04X}, half of a"
            " surrogate pair. Decode the bytes again, with errors='replace'."
        )
