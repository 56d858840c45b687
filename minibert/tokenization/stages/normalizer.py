"""Stage 1: raw text -> normalized text, and the position in the raw text from which each of its characters came.

    "Crème\tBRÛLÉE 博"  ->  "creme brulee  博 "         (cased models keep capitals and accents)

BERT has five steps, which can be switched off; a tokenizer.json may have others, in any order. Each step except
`decompose` is a function of one character: "" drops it, " x " puts spaces around it.
A list of source positions is computed along with the characters, so that a token can be traced back to the text.

`normalize` is the definition. `TranslationTable` is its fast form: BERT normalizes all but 83 characters without
looking at their neighbors, so one `str.translate` does the same, and puts spaces around punctuation as well.
`can_translate` says whether it may be used.
Read next: pre_tokenizer.py.
"""

import functools
import re

from .unicode import unicode_table

# The ranges the original BERT calls Chinese characters. The reference starts one of them at 2B920 instead of 2B820.
CHINESE = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


class SequenceNormalizer:
    """Steps in order. `saved` is their form in a tokenizer.json."""

    def __init__(self, steps, saved):
        self.steps, self.saved = steps, saved

    def normalize(self, text):
        """text -> (normalized text, the index in `text` of each of its characters)."""
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
        """Whether the normal form of each character of `text` is independent of its neighbors."""
        return text.isascii() or decompose not in self.steps or not _reordering(tuple(self.steps)).search(text)

    @property
    def reordering(self):
        """The characters that may swap with a neighbor, if both remain in the text."""
        return reordering_characters(tuple(self.steps))


class Normalizer(SequenceNormalizer):
    """BERT's normalizer. `strip_accents=None` means: the same as lowercase."""

    def __init__(self, clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True):
        strips = lowercase if strip_accents is None else strip_accents
        switches = (clean_text, handle_chinese_chars, strips, strips, lowercase)
        steps = (clean, space_out_chinese, decompose, drop_accents, lower)
        flags = {
            "clean_text": clean_text,
            "handle_chinese_chars": handle_chinese_chars,
            "strip_accents": strip_accents,
            "lowercase": lowercase,
        }
        saved = {"type": "BertNormalizer", **flags} if any(switches) else None
        super().__init__([step for step, on in zip(steps, switches) if on], saved)


UNUSUAL = "\ud800"  # half of a surrogate pair, which no text may hold


class TranslationTable(dict):
    """Code point -> its normal form, with spaces around punctuation: for `str.translate`. Entries are computed when used.

    unusual: characters that become UNUSUAL instead.
    isolates_punctuation: whether the pre-tokenizer makes punctuation characters words of their own.
    several: the unusual characters, and those looked up so far whose normal form has several characters.
    """

    def __init__(self, normalizer, unusual=(), isolates_punctuation=True):
        self.normalizer, self.several, self.isolates_punctuation = normalizer, set(unusual), isolates_punctuation
        self.update(dict.fromkeys(map(ord, unusual), UNUSUAL))

    def __missing__(self, code):
        normal = chr(code)
        for step in self.normalizer.steps:
            normal = "".join(map(_decomposed if step is decompose else step, normal))
        image = "".join(map(_space_out_punctuation if self.isolates_punctuation else _as_space, normal))
        if len(image.replace(" ", "")) > 1:
            self.several.add(chr(code))
        self[code] = UNUSUAL if 0xD800 <= code < 0xE000 else image
        return self[code]


def clean(character):
    """Control and format characters are dropped; every white space becomes " "."""
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
    """Non-spacing marks are dropped; composed characters were decomposed before: "é", "e\u0301", "e"."""
    return "" if ord(character) in unicode_table().accents else character


def drop_marks(character):
    """All marks are dropped, spacing ones too: the step that a tokenizer.json calls StripAccents."""
    return "" if ord(character) in unicode_table().marks else character


def lower(character):
    """Lower case, independent of the neighbors: a final sigma is like any other. U+0130 becomes two characters."""
    return unicode_table().lower.get(ord(character), character)


def _as_space(character):
    """White space as a space."""
    return " " if ord(character) in unicode_table().white_space else character


def _space_out_punctuation(character):
    """Spaces around a character at which the pre-tokenizer splits."""
    return f" {character} " if ord(character) in unicode_table().punctuation else _as_space(character)


def decompose(characters, sources):
    """Canonical decomposition (NFD). If marks are reordered, the reference assigns sources by position, not by mark.

    The k-th character that leads a decomposition, in sorted order, gets the k-th source; one that does not lead gets
    the source assigned last. Without reordering that is simply the source of the composed character.
    """
    rank = unicode_table().combining
    parts: list[tuple[str, bool]] = []  # (character, whether it leads a decomposition)
    start = 0  # of the run of marks that is being sorted
    for character in characters:
        for index, part in enumerate(_decomposed(character)):
            if ord(part) not in rank:
                parts[start:] = sorted(parts[start:], key=lambda pair: rank.get(ord(pair[0]), 0))
                start = len(parts)
            parts.append((part, index == 0))
    parts[start:] = sorted(parts[start:], key=lambda pair: rank.get(ord(pair[0]), 0))
    out_sources, leaders = [], -1
    for _, leads in parts:
        leaders += leads
        out_sources.append(sources[max(leaders, 0)])
    return [part for part, _ in parts], out_sources


def _decomposed(character):
    """One character -> its canonical decomposition; Hangul syllables by the arithmetic of the Unicode standard, 3.12."""
    index = ord(character) - 0xAC00
    if 0 <= index < 11172:
        leading, vowel, trailing = 0x1100 + index // 588, 0x1161 + index % 588 // 28, 0x11A7 + index % 28
        return chr(leading) + chr(vowel) + (chr(trailing) if trailing > 0x11A7 else "")
    return unicode_table().decomposed.get(ord(character), character)


@functools.cache
def reordering_characters(steps):
    """The marks that a normalizer sorts and does not drop afterwards, and the characters whose decomposition has one.

    Only they can change the order of the characters that remain. With BERT's steps there are 83.
    """
    table, characters = unicode_table(), set()
    for position, step in enumerate(steps):
        if step is not decompose:
            continue
        later_steps = [later for later in steps[position + 1 :] if later is not decompose]
        marks = {chr(code) for code in table.combining if all(later(chr(code)) for later in later_steps)}
        composed = {chr(code) for code, parts in table.decomposed.items() if not marks.isdisjoint(parts)}
        characters |= marks | composed
        if lower in steps[:position]:
            characters |= {chr(code) for code, small in table.lower.items() if not characters.isdisjoint(small)}
    return frozenset(characters)


@functools.cache
def _reordering(steps):
    characters = reordering_characters(steps)
    return re.compile("[" + "".join(sorted(characters)) + "]" if characters else "(?!)")


NO_NORMALIZER = Normalizer(False, False, False, False)
