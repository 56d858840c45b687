"""The pipeline at speed: the same pieces, column by column, and only the columns that are asked for.

Two memories do it. What stands between two spaces gives the same pieces in every text, so each such part is remembered
raw, with its pieces: "don't" -> don ' t. And so is each normalised word, for a part seen first is mostly made of
known words. A part not met before is normalised and spaced out by one `str.translate`; only where that is not
allowed (added tokens in it, marks that change places) does it go through `Pipeline.analyse`.

A space may not lie within a token, nor be taken by one (lstrip, rstrip): with such tokens the whole text is one part.
"""

import re
from functools import cached_property
from itertools import accumulate, chain

from .normalizer import SpacedCharacters
from .pipeline import Pipeline, check_characters

WORD = re.compile("[^ ]+")
LONG = 64  # characters; a longer part is unlikely to come again, and is not remembered
MOST = 1 << 17  # parts remembered, some 30 MB; then the memory starts afresh


class Memory(dict):
    """A function's answers by its argument: `memory[argument]` asks the function once."""

    def __init__(self, function):
        self.function = function

    def __missing__(self, text):
        return self.remember(text, self.function(text))

    def remember(self, text, answer):
        if len(text) <= LONG:
            if len(self) >= MOST:
                self.clear()
            self[text] = answer
        return answer


class FastPipeline(Pipeline):
    """A Pipeline with memories. Each method takes a text and gives one column of `analyse`."""

    def __init__(self, normalizer, model, raw, normal):
        super().__init__(normalizer, model, raw, normal)
        self.spaced = SpacedCharacters(normalizer)
        self.word_cuts = Memory(model.cut)
        self.part_ids = Memory(self._part_ids)
        self.part_places = Memory(self._part_places)
        self.parts_at_spaces = not any(
            " " in target or token.lstrip or token.rstrip
            for matcher in (raw, normal)
            for target, (_, token) in matcher.targets.items()
        )

    @cached_property
    def batch(self):
        """The same for many texts at once, compiled: batch.py."""
        from .batch import BatchEncoder

        return BatchEncoder(self)

    def ids(self, text):
        """The ids."""
        parts = text.split(" ") if self.parts_at_spaces else [text]
        return list(chain.from_iterable(map(self.part_ids.__getitem__, parts)))

    def spans(self, text):
        """Where each token stands in the text: (start, end). Remembers the ids on its way, so they are cheap after it."""
        parts, memory = self._parts(text), self.part_places
        starts = accumulate([len(part) + 1 for part in parts[:-1]], initial=0)
        return [(at + start, at + end) for at, part in zip(starts, parts) for start, end in memory[part][0]]

    def words(self, text):
        """The number of the word each token belongs to."""
        words, count = [], 0
        for part in self._parts(text):
            numbers = self.part_places[part][1]
            if numbers:
                words += [count + number for number in numbers]
                count = words[-1] + 1
        return words

    def tokens(self, text):
        """The tokens as strings; seldom asked for, so not remembered."""
        return [token for part in self._parts(text) for token in self._part_tokens(part)]

    def _parts(self, text):
        return text.split(" ") if self.parts_at_spaces else [text]

    def _part_ids(self, part):
        if not self._is_plain(part):
            return tuple([piece[0] for piece in self.analyse(part)])
        cuts = self.word_cuts
        return tuple([number for word in words_of(part.translate(self.spaced)) for number in cuts[word][0]])

    def _part_places(self, part):
        """([(start, end), ...], [word, ...]), both within the part."""
        if not self._is_plain(part):
            pieces = self.analyse(part)
            return [piece[2:4] for piece in pieces], [piece[4] for piece in pieces]
        images = list(map(self.spaced.__getitem__, map(ord, part)))
        spaced = "".join(images)
        sources = range(len(part))
        if len(spaced) != len(part) or "" in images:
            sources = [source for source, image in enumerate(images) for _ in image]
        ids, spans, words = [], [], []
        for number, match in enumerate(WORD.finditer(spaced)):
            first = start = match.start()
            cut, ends = self.word_cuts[match.group()]
            ids += cut
            words += [number] * len(cut)
            for end in ends:
                spans.append((sources[start], sources[first + end - 1] + 1))
                start = first + end
        self.part_ids.remember(part, tuple(ids))
        return spans, words

    def _part_tokens(self, part):
        if not self._is_plain(part):
            return [piece[1] for piece in self.analyse(part)]
        return [token for word in words_of(part.translate(self.spaced)) for token in self.model.tokens_of(word)]

    def _is_plain(self, part):
        """Whether each character goes its own way: no token in the part, and no marks that change places."""
        if self.normal.targets or (self.raw.pattern and self.raw.pattern.search(part)):
            return False
        if part.isascii():
            return True
        check_characters(part)
        return self.normalizer.can_translate(part)


def words_of(spaced):
    """The words of a text spaced out; of a long one as they are asked for, as a list of them could be 30 times as large."""
    if len(spaced) < 1 << 16:
        return filter(None, spaced.split(" "))
    return (match.group() for match in WORD.finditer(spaced))
