"""Stages 1 to 3 put together: text -> pieces, each an (id, token, start, end, word).

    "Hey, you"  ->  (4931, "hey", 0, 3, 0)  (1010, ",", 3, 4, 1)  (2017, "you", 5, 8, 2)

`start` and `end` are places in the raw text; `word` counts the words and the tokens matched whole.

`Pipeline.analyse` is the definition, and may be slow. `FastPipeline` (fast_pipeline.py) gives the same.
Read next: template.py.
"""

import re

from minibert.errors import InputTypeError

from .pre_tokenizer import BERT

SURROGATE = re.compile("[\ud800-\udfff]")


class Pipeline:
    """A normaliser, a pre-tokenizer, a WordPiece model, and two matchers: of tokens to be found raw, and found normalised."""

    def __init__(self, normalizer, model, raw, normal, pre_tokenizer=BERT):
        self.normalizer, self.model, self.raw, self.normal = normalizer, model, raw, normal
        self.pre_tokenizer = pre_tokenizer

    def analyse(self, text):
        """text -> [(id, token, start, end, word), ...]."""
        check_characters(text)
        pieces, word = [], 0
        for first, last, number in self.raw.split(text):
            if number is not None:
                pieces.append((number, text[first:last], first, last, word))
                word += 1
                continue
            normal, sources = self.normalizer.normalize(text[first:last])
            for start, end, number in self._words_and_tokens(normal):
                content = normal[start:end]
                ids, ends = self.model.cut(content) if number is None else ((number,), (len(content),))
                tokens = self.model.tokens_of(content) if number is None else [content]
                for number, token, begin, stop in zip(ids, tokens, (0, *ends), ends):
                    source, last_source = sources[start + begin], sources[start + stop - 1]
                    pieces.append((number, token, first + source, first + last_source + 1, word))
                word += 1
        return pieces

    def _words_and_tokens(self, normal):
        """Normalised text -> [(start, end, id of a token or None for a word), ...]."""
        for start, end, number in self.normal.split(normal):
            if number is not None:
                yield start, end, number
            else:
                for begin, stop in self.pre_tokenizer.split(normal[start:end]):
                    yield start + begin, start + stop, None


def check_characters(text):
    """Refuse what no text file can hold: half a UTF-16 pair, as files read with errors="surrogateescape" leave."""
    found = None if text.isascii() else SURROGATE.search(text)
    if found:
        raise InputTypeError(
            f"a text must hold whole characters; at {found.start()} it has U+{ord(found.group()):04X}, half of a"
            " surrogate pair. Decode the bytes anew, with errors='replace'."
        )
