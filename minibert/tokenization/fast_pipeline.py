"""The pipeline at speed: the same pieces as columns, the ids alone where nothing else is asked for.

Two memories do it. What stands between two spaces gives the same pieces in every text, so each such part is remembered
raw, with its pieces: "don't" -> don ' t. And so is each normalised word, for a part seen first is mostly made of
known words. A part not met before is normalised and spaced out by one `str.translate`; only where that is not
allowed (added tokens in it, marks that change places) does it go through `Pipeline.analyse`.

A space may not lie within a token, nor be taken by one (lstrip, rstrip): with such tokens the whole text is one part.
"""

import re
from functools import cached_property
from itertools import chain

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
    """A Pipeline with memories. Its methods take a text and give columns of `analyse`."""

    def __init__(self, normalizer, model, raw, normal):
        super().__init__(normalizer, model, raw, normal)
        self.spaced = SpacedCharacters(normalizer)
        self.word_cuts = Memory(model.cut)
        self.part_ids = Memory(self._part_ids)
        self.part_columns = Memory(self._part_columns)
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

    def columns(self, text):
        """The ids, where each token stands in the text as (start, end), and the number of the word it belongs to."""
        memory = self.part_columns
        ids, spans, words, at, count = [], [], [], 0, 0
        for part in self._parts(text):
            part_ids, part_spans, part_words = memory[part]
            if len(part_ids) == 1:  # the most frequent kind by far
                start, end = part_spans[0]
                ids.append(part_ids[0])
                spans.append((at + start, at + end))
                words.append(count)
                count += 1
            elif part_ids:
                ids += part_ids
                spans += [(at + start, at + end) for start, end in part_spans]
                words += [count + number for number in part_words]
                count = words[-1] + 1
            at += len(part) + 1
        return ids, spans, words

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

    def _part_columns(self, part):
        """(ids, [(start, end), ...], [word, ...]), the places and words within the part."""
        if not self._is_plain(part):
            pieces = self.analyse(part)
            return [piece[0] for piece in pieces], [piece[2:4] for piece in pieces], [piece[4] for piece in pieces]
        images = list(map(self.spaced.__getitem__, map(ord, part)))
        spaced = "".join(images)
        same_places = len(spaced) == len(part) and "" not in images
        if same_places and " " not in spaced:  # one word, letter for letter
            ids, ends = self.word_cuts[spaced] if part else ((), ())
            return ids, list(zip((0, *ends), ends)), [0] * len(ids)
        sources = range(len(part))
        if not same_places:
            sources = [source for source, image in enumerate(images) for _ in image]
        ids, spans, words, cuts = [], [], [], self.word_cuts
        for number, (start, word) in enumerate(placed_words(spaced)):
            cut, ends = cuts[word]
            if len(cut) == 1:
                ids.append(cut[0])
                spans.append((sources[start], sources[start + len(word) - 1] + 1))
                words.append(number)
                continue
            ids += cut
            words += [number] * len(cut)
            spans += [(sources[start + first], sources[start + end - 1] + 1) for first, end in zip((0, *ends), ends)]
        return ids, spans, words

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


def placed_words(spaced):
    """(where it begins, the word) for each word of a text spaced out."""
    if len(spaced) >= 1 << 16:
        yield from ((match.start(), match.group()) for match in WORD.finditer(spaced))
        return
    start = 0
    for word in spaced.split(" "):
        if word:
            yield start, word
        start += len(word) + 1


def words_of(spaced):
    """The words of a text spaced out; of a long one as they are asked for, as a list of them could be 30 times as large."""
    if len(spaced) < 1 << 16:
        return filter(None, spaced.split(" "))
    return (match.group() for match in WORD.finditer(spaced))
