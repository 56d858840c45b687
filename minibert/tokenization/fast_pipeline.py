"""The pipeline at speed: the same pieces as columns, the ids alone where nothing else is asked for.

Two memories do it. What stands between two spaces gives the same pieces in every text, so each such part is remembered
raw, with its pieces: "don't" -> don ' t. And so is each normalised word, for a part seen first is mostly made of
known words. A part not met before is normalised and spaced out by one `str.translate`; only where that is not
allowed (added tokens in it, marks that change places) does it go through `Pipeline.analyse`.

A space may not lie within a token, nor be taken by one (lstrip, rstrip): with such tokens the whole text is one part.
Chinese and Japanese are written without spaces: there a long part is cut again, at each Chinese character.
"""

import re
from functools import cached_property
from itertools import chain, compress

from minibert.errors import InputTypeError

from .normalizer import CHINESE, UNUSUAL, SpacedCharacters, drop_accents, reordering_characters
from .pipeline import Pipeline, check_characters

WORD = re.compile("[^ ]+")
IDEOGRAPHS = "".join(f"{chr(first)}-{chr(last)}" for first, last in CHINESE)
IDEOGRAPH, IDEOGRAPH_OR_NONE = re.compile(f"[{IDEOGRAPHS}]"), re.compile(f"[{IDEOGRAPHS}]|[^{IDEOGRAPHS}]+")
LONG = 64  # characters; a longer part is unlikely to come again, and is not remembered
MOST = 1 << 17  # parts remembered, some 30 MB; then the memory starts afresh


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


class FastPipeline(Pipeline):
    """A Pipeline with memories. Its methods take a text and give columns of `analyse`."""

    def __init__(self, normalizer, model, raw, normal):
        super().__init__(normalizer, model, raw, normal)
        self.word_cuts = Memory(model.cut)
        self.part_ids = Memory(self._part_ids)
        self.part_pieces = Memory(self._part_pieces)
        self.parts_at_spaces = not any(
            " " in target or token.lstrip or token.rstrip
            for matcher in (raw, normal)
            for target, (_, token) in matcher.targets.items()
        )

    @cached_property
    def spaced(self):
        """Each character's normal form, spaced out, whatever it stands beside."""
        return SpacedCharacters(self.normalizer)

    @cached_property
    def quickly_spaced(self):
        """The same, with a mark for what calls for a closer look: a token may begin there, or marks change places."""
        reordering = reordering_characters() if drop_accents in self.normalizer.steps else ()
        return SpacedCharacters(self.normalizer, {*reordering, *(target[0] for target in self.raw.targets)})

    @cached_property
    def batch(self):
        """The same for many texts at once, compiled: batch.py."""
        from .batch import BatchEncoder

        return BatchEncoder(self)

    def ids(self, text):
        """The ids."""
        parts = text.split(" ") if self.parts_at_spaces else [text]
        try:
            return list(chain.from_iterable(map(self.part_ids.__getitem__, parts)))
        except InputTypeError:
            check_characters(text)  # which says where in the whole text
            raise

    def columns(self, text):
        """The ids, where each token stands in the text as (start, end), and the number of the word it belongs to."""
        try:
            return self._joined(self._parts(text), 1)
        except InputTypeError:
            check_characters(text)
            raise

    def _joined(self, parts, gap):
        """The columns of parts that stand so many characters apart."""
        memory = self.part_pieces
        ids, spans, words, at, count = [], [], [], 0, 0
        for part in parts:
            pieces = memory[part]
            if len(pieces) == 4:  # one piece, the most frequent kind by far
                number, start, end, _ = pieces
                ids.append(number)
                spans.append((at + start, at + end))
                words.append(count)
                count += 1
            elif pieces:
                ids += pieces[::4]
                spans += [(at + start, at + end) for start, end in zip(pieces[1::4], pieces[2::4])]
                words += [count + word for word in pieces[3::4]]
                count = words[-1] + 1
            at += len(part) + gap
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
        if self._has_long_runs(part):
            memory = self.part_ids
            return [number for match in IDEOGRAPH_OR_NONE.finditer(part) for number in memory[match.group()]]
        cuts = self.word_cuts
        if spaced and " " not in spaced:
            return cuts[spaced][0]
        return tuple([number for word in words_of(spaced) for number in cuts[word][0]])

    def _part_pieces(self, part):
        """(id, start, end, word, id, start, end, word, ...), the places and words within the part. One flat tuple: of
        numbers alone, the garbage collector keeps no account, which took a third of the time."""
        spaced = self._spaced_out(part)
        if spaced is None:
            return tuple([field for number, _, *places in self.analyse(part) for field in (number, *places)])
        if self._has_long_runs(part):
            columns = self._joined((match.group() for match in IDEOGRAPH_OR_NONE.finditer(part)), 0)
            return tuple([field for number, span, word in zip(*columns) for field in (number, *span, word)])
        sources = self._sources(part, spaced)
        cuts, pieces = self.word_cuts, []
        for word, (begin, content) in enumerate(placed_words(spaced)):
            start = begin
            for number, end in zip(*cuts[content]):
                end += begin
                pieces += (number, sources[start], sources[end - 1] + 1, word) if sources else (number, start, end, word)
                start = end
        return tuple(pieces)

    def _sources(self, part, spaced):
        """Of each character of `spaced` its place in the part; None where that is simply the same."""
        images = self.spaced
        if not self.quickly_spaced.growing.isdisjoint(part):
            return [source for source, code in enumerate(map(ord, part)) for _ in images[code]]
        if len(spaced) == len(part):
            return None
        return list(compress(range(len(part)), map(images.__getitem__, map(ord, part))))  # a dropped one's image is ""

    def _part_tokens(self, part):
        spaced = self._spaced_out(part)
        if spaced is None:
            return [piece[1] for piece in self.analyse(part)]
        return [token for word in words_of(spaced) for token in self.model.tokens_of(word)]

    def _spaced_out(self, part):
        """The part normalised, with a space between words; None where its characters do not go each its own way: a
        token is in it, or marks change places."""
        spaced = part.translate(self.quickly_spaced)
        if UNUSUAL in spaced:
            check_characters(part)
            if (self.raw.pattern and self.raw.pattern.search(part)) or not self.normalizer.can_translate(part):
                return None
            spaced = part.translate(self.spaced)
        return None if self.normal.targets else spaced

    def _has_long_runs(self, part):
        return len(part) > LONG and self.normalizer.handle_chinese_chars and IDEOGRAPH.search(part)


def placed_words(spaced):
    """(where it begins, the word) for each word of a text spaced out."""
    if " " not in spaced:
        return ((0, spaced),) if spaced else ()
    return ((match.start(), match.group()) for match in WORD.finditer(spaced))


def words_of(spaced):
    """The words of a text spaced out; of a long one as they are asked for, as a list of them could be 30 times as large."""
    if len(spaced) < 1 << 16:
        return filter(None, spaced.split(" "))
    return (match.group() for match in WORD.finditer(spaced))
