r"""Stage 2 of GPT-2 and RoBERTa: text -> words that hold the space before them, and the alphabet in which vocabularies write bytes.

    "I'm here  now"  ->  "I" "'m" " here" " " " now"

The words are the matches of GPT-2's regular expression ("Language Models are Unsupervised Multitask Learners", 2019):

    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+

They cover the text. Letters (\p{L}), numbers (\p{N}) and white space (\s) are those of unicode.py: Python's `re` has no
\p, and its \s differs.

A vocabulary of bytes must be text, so every byte has a character: printable ones of Latin-1 stand for themselves, the other
68 are shifted to U+0100 and up. A space is Ġ:  " é" -> "Ä" is not there, but "ĠÃ©".
Read next: byte_level_bpe.py.
"""

import re
from functools import cache

from .unicode import unicode_table

PRINTABLE = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
SHIFTED = [byte for byte in range(256) if byte not in PRINTABLE]
BYTE_CHARACTERS = [chr(byte if byte in PRINTABLE else 256 + SHIFTED.index(byte)) for byte in range(256)]
CHARACTER_BYTES = {character: byte for byte, character in enumerate(BYTE_CHARACTERS)}

WORD = r"'s|'t|'re|'ve|'m|'ll|'d| ?[{L}]+| ?[{N}]+| ?[^{S}{L}{N}]+|[{S}]+(?![^{S}])|[{S}]+"
# What no word goes beyond, whatever follows: the words of a text are those of its segments.
SEGMENT = " ?[^{S}]+|[{S}]+(?![^{S}])|[{S}]"


class ByteLevelPreTokenizer:
    """GPT-2's pre-tokenizer. With `add_prefix_space`, a text that begins without a space gets one: its first word is then the
    same token as inside a text. `saved` is its form in a tokenizer.json."""

    splits_at_spaces = context_free = isolates_punctuation = False  # as in `PreTokenizer`

    def __init__(self, add_prefix_space=False, saved=None):
        self.add_prefix_space = add_prefix_space
        flags = {"add_prefix_space": add_prefix_space, "trim_offsets": True, "use_regex": True}
        self.saved = saved or {"type": "ByteLevel", **flags}

    def split(self, text):
        """text -> [(start, end), ...] of its words."""
        return [match.span() for match in pattern(WORD, text.isascii()).finditer(text)]

    def segments(self, text):
        """text -> strings that together are the text, and whose words are independent of each other."""
        return pattern(SEGMENT, text.isascii()).findall(text)


@cache
def pattern(template, is_ascii):
    """A regular expression with the classes of characters in it; those of ASCII alone are compiled a hundred times faster."""
    table = unicode_table()
    classes = {"L": table.letters, "N": table.numbers, "S": sorted(table.white_space)}
    for name, codes in classes.items():
        template = template.replace(f"{{{name}}}", character_class(code for code in codes if code < 128 or not is_ascii))
    return re.compile(template)


def character_class(codes):
    r"""Code points in order -> the inside of a class in a regular expression: [65, 66, 67, 97] -> "\U00000041-\U00000043..."."""
    runs: list[list[int]] = []
    for code in codes:
        if runs and code == runs[-1][1] + 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    return "".join(rf"\U{first:08x}-\U{last:08x}" for first, last in runs)
