"""The pipeline at speed: the same pieces as columns, the ids alone where nothing else is asked for.

What stands between two spaces gives the same pieces in every text, so each such part is remembered raw, with its
pieces: "don't" -> don ' t. A part not met before is normalised and spaced out by one `str.translate`, and its words are
looked up; only where that is not allowed (added tokens in it, marks that change places, a pre-tokenizer that looks at
more than one character) does it go through `Pipeline.analyse`.

A space may not lie within a token, nor be taken by one (lstrip, rstrip): with such tokens the whole text is one part,
as it is where the pre-tokenizer does not cut at spaces.
"""

import re
from functools import cached_property
from itertools import compress
from operator import sub

from minibert.errors import InputTypeError

from .normalizer import UNUSUAL, SpacedCharacters
from .pipeline import Pipeline, check_characters
from .pre_tokenizer import BERT

WORD = re.compile("[^ ]+")
LONG = 64  # characters; a longer part is unlikely to come again, and is not remembered
MOST = 1 << 17  # parts remembered, some 30 MB; then the memory starts afresh
NEAR = 512  # characters; how far into a text its spans are those that all texts share


class Memory(dict):
    """A function's answers by its argument: `memory[argument]` asks the function once."""

    def __init__(self, function):
        self.function = function

    def __missing__(self, text):
        answer = self.function(text)
        if len(text) <= LONG:
            if len(self) >= MOST:
                self.clear()
            self[text] = answer
        return answer


class Spans(dict):
    """Width -> the spans that wide, each at its start: [(0, width), (1, 1 + width), ...], as far as NEAR.

    They are made once, and texts share them: the garbage collector, which comes by the oftener the more tuples are
    made, took two thirds of the time of columns that a caller keeps (8.5 µs a sentence then, 3 now).
    """

    def __missing__(self, width):
        self[width] = [(start, start + width) for start in range(NEAR - width)]
        return self[width]


SPANS = Spans()


class FastPipeline(Pipeline):
    """A Pipeline with memories. Its methods take a text and give columns of `analyse`."""

    def __init__(self, normalizer, model, raw, normal, pre_tokenizer=BERT):
        super().__init__(normalizer, model, raw, normal, pre_tokenizer)
        self.part_ids = Memory(self._part_ids)
        self.part_pieces = Memory(self._part_pieces)
        self.parts_at_spaces = pre_tokenizer.at_spaces and not any(
            " " in target or token.lstrip or token.rstrip
            for matcher in (raw, normal)
            for target, (_, token) in matcher.targets.items()
        )

    @cached_property
    def spaced(self):
        """Each character's normal form, spaced out, whatever it stands beside."""
        return SpacedCharacters(self.normalizer, alone=self.pre_tokenizer.alone)

    @cached_property
    def quickly_spaced(self):
        """The same, with a mark for what calls for a closer look: a token may begin there, or marks change places."""
        unusual = {*self.normalizer.reordering, *(target[0] for target in self.raw.targets)}
        return SpacedCharacters(self.normalizer, unusual, self.pre_tokenizer.alone)

    def __getstate__(self):
        """What is copied or pickled: not the compiled form, which is this process's."""
        return {name: value for name, value in self.__dict__.items() if name != "batch"}

    @cached_property
    def batch(self):
        """The same for many texts at once, compiled: batch.py."""
        from .batch import BatchEncoder

        return BatchEncoder(self)

    def ids(self, text):
        """The ids."""
        memory, ids = self.part_ids, []
        try:
            for part in self._parts(text):
                ids += memory[part]
        except InputTypeError:
            check_characters(text)  # which says where in the whole text
            raise
        return ids

    def columns(self, text):
        """The ids, where each token stands in the text as (start, end), and the number of the word it belongs to."""
        try:
            return self._columns(self._parts(text))
        except InputTypeError:
            check_characters(text)
            raise

    def _columns(self, parts):
        memory, shared = self.part_pieces, SPANS
        ids, spans, words, at, count = [], [], [], 0, 0  # at: where the part begins; count: the words before it
        for part in parts:
            pieces, end = memory[part], at + len(part)
            if len(pieces) == 4 and end < NEAR:  # one piece, the most frequent kind by far
                number, start, width, _ = pieces
                ids.append(number)
                spans.append(shared[width][at + start])
                words.append(count)
                count += 1
            elif pieces:
                size = len(pieces) // 4
                ids += pieces[:size]
                places = zip(pieces[size : 2 * size], pieces[2 * size : 3 * size])
                if end < NEAR:
                    spans += [shared[width][at + start] for start, width in places]
                else:
                    spans += [(at + start, at + start + width) for start, width in places]
                words += [count + word for word in pieces[3 * size :]]
                count = words[-1] + 1
            at = end + 1
        return ids, spans, words

    def tokens(self, text):
        """The tokens as strings; seldom asked for, so not remembered."""
        check_characters(text)
        return [token for part in self._parts(text) for token in self._part_tokens(part)]

    def _parts(self, text):
        return text.split(" ") if self.parts_at_spaces else [text]

    def _part_ids(self, part):
        spaced = self._spaced_out(part)
        if spaced is None:
            return tuple([piece[0] for piece in self.analyse(part)])
        whole, cut, ids = self.model.whole.get, self.model.cut, []
        for word in words_of(spaced):
            number = whole(word)
            if number is None:
                ids += cut(word)[0]
            else:
                ids.append(number)
        return tuple(ids)

    def _part_pieces(self, part):
        """The ids of its pieces, then their starts in the part, then their widths, then their words, all in one tuple:
        of one with nothing but numbers the garbage collector keeps no account, which took a third of the time."""
        spaced = self._spaced_out(part)
        if spaced is None:
            ids, _, starts, ends, words = list(zip(*self.analyse(part))) or [()] * 5
            return (*ids, *starts, *map(sub, ends, starts), *words)
        whole, cut = self.model.whole.get, self.model.cut
        ids, ends, words, size = [], [], [], 0  # size: the characters of the words so far
        for index, word in enumerate(words_of(spaced)):
            number = whole(word)
            if number is None:
                found, stops = cut(word)
                ids += found
                ends += [size + stop for stop in stops] if size else stops
                words += [index] * len(found)
                size += len(word)
            else:
                size += len(word)
                ids.append(number)
                ends.append(size)
                words.append(index)
        starts = [0, *ends][:-1]  # each piece begins where the one before it ends, when spaces are not counted
        sources = self._sources(part, size)
        if sources:
            starts, ends = [sources[start] for start in starts], [sources[end - 1] + 1 for end in ends]
        return (*ids, *starts, *map(sub, ends, starts), *words)

    def _sources(self, part, size):
        """The place in the part of each of the `size` characters of its words; None where these are simply all of it."""
        images = self.spaced
        if part.isascii() or self.quickly_spaced.several.isdisjoint(part):
            if size == len(part):
                return None
            sources = list(compress(range(len(part)), map(images.__getitem__, map(ord, part))))  # a dropped one's image is ""
            if len(sources) == size:  # no white space
                return sources
        return [place for place, code in enumerate(map(ord, part)) for one in images[code] if one != " "]

    def _part_tokens(self, part):
        spaced = self._spaced_out(part)
        if spaced is None:
            return [piece[1] for piece in self.analyse(part)]
        return [token for word in words_of(spaced) for token in self.model.tokens_of(word)]

    def _spaced_out(self, part):
        """The part normalised, with a space between words; None where its characters do not go each its own way: a
        token is in it, marks change places, or the pre-tokenizer looks at neighbors."""
        if not self.pre_tokenizer.by_character:
            return None
        spaced = part.translate(self.quickly_spaced)
        if UNUSUAL in spaced:
            check_characters(part)
            if (self.raw.pattern and self.raw.pattern.search(part)) or not self.normalizer.can_translate(part):
                return None
            spaced = part.translate(self.spaced)
        return None if self.normal.targets else spaced


def words_of(spaced):
    """The words of a text spaced out; of a long one as they are asked for, as a list of them could be 30 times as large."""
    if len(spaced) < 1 << 16:
        return filter(None, spaced.split(" "))
    return (match.group() for match in WORD.finditer(spaced))
