"""Stage 1: raw text -> normalised text, and where each of its characters came from.

    "Crème\tBRÛLÉE 博"  ->  "creme brulee  博 "         (cased models keep capitals and accents)

BERT has five steps, which can be switched off; a tokenizer.json may hold others, in any order. Each but `decompose` is
a function of one character: "" drops it, " x " spaces it out.
Beside the characters runs a list of where in the raw text each came from, so that a token can be traced back to it.

`normalize` is the definition. `SpacedCharacters` is its fast form: since all but 83 characters are normalised by BERT
without looking at their neighbours, one `str.translate` does the same and puts spaces round punctuation as well.
`can_translate` says when it may be used.
Read next: pre_tokenizer.py.
"""

import functools
import re

from .unicode import unicode_table

# The ranges the original BERT calls Chinese characters. The reference starts one of them at 2B920 instead of 2B820.
CHINESE = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B81F),
    (0x2B920, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip


class SequenceNormalizer:
    """Steps in order. `saved` is how a tokenizer.json writes them."""

    def __init__(self, steps, saved):
        self.steps, self.saved = steps, saved

    def normalize(self, text):
        """text -> (normalised text, the index in `text` of each of its characters)."""
        characters, sources = list(text), list(range(len(text)))
        for step in self.steps:
            if step is decompose:
                characters, sources = decompose(characters, sources)
                continue
            images = [step(character) for character in characters]
            sources = [source for source, image in zip(sources, images) for _ in image]
            characters = list("".join(images))
        return "".join(characters), sources

    def can_translate(self, text):
        """Whether each character of `text` is normalised the same whatever stands beside it."""
        return text.isascii() or decompose not in self.steps or not _reordering(tuple(self.steps)).search(text)

    @property
    def reordering(self):
        """The characters that may change places with a neighbor, so that both are left in the text."""
        return reordering_characters(tuple(self.steps))


class Normalizer(SequenceNormalizer):
    """BERT's normaliser. `strip_accents=None` means: when lowercase is on."""

    def __init__(self, clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True):
        strips = lowercase if strip_accents is None else strip_accents
        switches = (clean_text, handle_chinese_chars, strips, strips, lowercase)
        steps = (clean, space_out_chinese, decompose, drop_accents, lower)
        flags = {
            "clean_text": clean_text, "handle_chinese_chars": handle_chinese_chars, "strip_accents": strip_accents,
            "lowercase": lowercase,
        }  # fmt: skip
        saved = {"type": "BertNormalizer", **flags} if any(switches) else None
        super().__init__([step for step, on in zip(steps, switches) if on], saved)


UNUSUAL = "\ud800"  # half a pair, which no text may hold


class SpacedCharacters(dict):
    """Code point -> its normal form, with spaces round punctuation: for `str.translate`, filled as it is asked.

    alone: whether the pre-tokenizer makes punctuation characters words of their own.
    unusual: characters that become UNUSUAL instead. several: these, and those asked for so far that become more than one.
    """

    def __init__(self, normalizer, unusual=(), alone=True):
        self.normalizer, self.several, self.alone = normalizer, set(unusual), alone
        self.update(dict.fromkeys(map(ord, unusual), UNUSUAL))

    def __missing__(self, code):
        normal = chr(code)
        for step in self.normalizer.steps:
            normal = "".join(map(_parts if step is decompose else step, normal))
        image = "".join(map(_space_out if self.alone else _space, normal))
        if len(image.replace(" ", "")) > 1:
            self.several.add(chr(code))
        self[code] = UNUSUAL if 0xD800 <= code < 0xE000 else image
        return self[code]


def clean(character):
    """What cannot be seen is dropped; every white space becomes " "."""
    if ord(character) in unicode_table().removed:
        return ""
    return " " if ord(character) in unicode_table().white_space else character


def space_out_chinese(character):
    """A Chinese character is a word of its own."""
    code = ord(character)
    if code >= 0x3400 and any(first <= code <= last for first, last in CHINESE):
        return f" {character} "
    return character


def drop_accents(character):
    """Marks that take no space are dropped; composed characters were taken apart before: "é", "e\u0301", "e"."""
    return "" if ord(character) in unicode_table().accents else character


def drop_marks(character):
    """All marks go, those too that take space: the step that a tokenizer.json calls StripAccents."""
    return "" if ord(character) in unicode_table().marks else character


def lower(character):
    """Small letters, without regard to their neighbours: a final sigma is a sigma like others. U+0130 becomes two."""
    return unicode_table().lower.get(ord(character), character)


def _space(character):
    """White space as a space."""
    return " " if ord(character) in unicode_table().white_space else character


def _space_out(character):
    """What the pre-tokeniser will cut at, as spaces."""
    return f" {character} " if ord(character) in unicode_table().punctuation else _space(character)


def decompose(characters, sources):
    """Canonical decomposition (NFD). Where marks change places the reference gives sources by position, not by mark.

    The k-th character that leads a decomposition, in sorted order, gets the k-th source; one that does not lead gets
    the source given last. Without reordering that is simply the source of the composed character.
    """
    rank = unicode_table().combining
    parts, start = [], 0  # (character, whether it leads a decomposition); start of the run of marks being sorted
    for character in characters:
        for place, part in enumerate(_parts(character)):
            if ord(part) not in rank:
                parts[start:] = sorted(parts[start:], key=lambda pair: rank.get(ord(pair[0]), 0))
                start = len(parts)
            parts.append((part, place == 0))
    parts[start:] = sorted(parts[start:], key=lambda pair: rank.get(ord(pair[0]), 0))
    out_sources, taken = [], -1
    for _, leads in parts:
        taken += leads
        out_sources.append(sources[max(taken, 0)])
    return [part for part, _ in parts], out_sources


def _parts(character):
    """One character -> its canonical decomposition; Hangul syllables by the arithmetic of the Unicode standard, 3.12."""
    index = ord(character) - 0xAC00
    if 0 <= index < 11172:
        leading, vowel, trailing = 0x1100 + index // 588, 0x1161 + index % 588 // 28, 0x11A7 + index % 28
        return chr(leading) + chr(vowel) + (chr(trailing) if trailing > 0x11A7 else "")
    return unicode_table().decomposed.get(ord(character), character)


@functools.cache
def reordering_characters(steps):
    """The marks that a normalizer sorts and does not drop afterwards, and what holds one, as characters.

    Only they can change the order of what is left. Of BERT's steps these are 83 characters.
    """
    table, characters = unicode_table(), set()
    for position, step in enumerate(steps):
        if step is not decompose:
            continue
        later = [other for other in steps[position + 1 :] if other is not decompose]
        marks = {chr(code) for code in table.combining if all(other(chr(code)) for other in later)}
        holders = {chr(code) for code, parts in table.decomposed.items() if not marks.isdisjoint(parts)}
        characters |= marks | holders
        if lower in steps[:position]:
            characters |= {chr(code) for code, small in table.lower.items() if not characters.isdisjoint(small)}
    return frozenset(characters)


@functools.cache
def _reordering(steps):
    characters = reordering_characters(steps)
    return re.compile("[" + "".join(sorted(characters)) + "]" if characters else "(?!)")
