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
    """A normalizer, a pre-tokenizer, a WordPiece model, and matchers of added tokens in the raw and the normalized text."""

    def __init__(self, normalizer, model, raw_matcher, normalized_matcher, pre_tokenizer=BERT, trim=None):
        self.normalizer, self.model, self.pre_tokenizer = normalizer, model, pre_tokenizer
        self.trim = trim  # RobertaTemplate.trim, or None
        self.raw_matcher, self.normalized_matcher = raw_matcher, normalized_matcher

    def analyze(self, text):
        """text -> [(id, token, start, end, word), ...]."""
        check_characters(text)
        pieces, word = [], 0
        for first, last, token_id in self.raw_matcher.split(text):
            if token_id is not None:
                pieces.append((token_id, text[first:last], first, last, word))
                word += 1
                continue
            normalized, sources = self.normalizer.normalize(text[first:last])
            for start, end, token_id in self._words_and_tokens(normalized):
                content = normalized[start:end]
                ids, ends = self.model.longest_match(content) if token_id is None else ((token_id,), (len(content),))
                tokens = self.model.tokens_of(content) if token_id is None else [content]
                for piece_id, token, begin, stop in zip(ids, tokens, (0, *ends), ends):
                    source, last_source = sources[start + begin], sources[start + stop - 1]
                    pieces.append((piece_id, token, first + source, first + last_source + 1, word))
                word += 1
        return self.trim(pieces) if self.trim else pieces

    def _words_and_tokens(self, normalized):
        """Normalized text -> [(start, end, id of an added token or None for a word), ...]."""
        for start, end, token_id in self.normalized_matcher.split(normalized):
            if token_id is not None:
                yield start, end, token_id
            else:
                for begin, stop in self.pre_tokenizer.split(normalized[start:end]):
                    yield start + begin, start + stop, None


def check_characters(text):
    """Raise InputTypeError for half of a surrogate pair, as files read with errors="surrogateescape" have."""
    match = None if text.isascii() else SURROGATE.search(text)
    if match:
        raise InputTypeError(
            f"a text must hold whole characters; at {match.start()} it has U+{ord(match.group()):04X}, half of a"
            " surrogate pair. Decode the bytes again, with errors='replace'."
        )
