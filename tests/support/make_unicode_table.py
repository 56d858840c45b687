"""Writes minibert/tokenization/stages/unicode.bin by probing the reference tokenizer with every character.

    python tests/support/make_unicode_table.py

BERT's reference tokenizer (Hugging Face `tokenizers`) holds three Unicode versions in one program, and none of them
is the running Python's. So nothing is copied from a standard here: each fact is probed from the reference, one
character at a time, which takes half a minute. What is in the file, and how it is read, stands in
minibert/tokenization/stages/unicode.py.
"""

import functools
import json
import zlib

from paths import ROOT
from tokenizers import AddedToken, Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordPiece

TABLE = ROOT / "minibert" / "tokenization" / "stages" / "unicode.bin"
SCALARS = [*range(0xD800), *range(0xE000, 0x110000)]
HANGUL = range(0xAC00, 0xD7A4)  # decomposed by arithmetic, so left out of the table


def bert(**flags):
    """The reference's normalizer with only the named flags on."""
    off = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return normalizers.BertNormalizer(**{**off, **flags}).normalize_str


def probe(codes=SCALARS):
    """What the pipeline needs to know of these characters: name -> a set of code points, or a dictionary from them."""
    clean, strip = bert(clean_text=True), bert(strip_accents=True)
    nfd, lower = normalizers.NFD().normalize_str, bert(lowercase=True)
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    facts = {
        "removed": {code for code in codes if not clean(chr(code))},
        "white_space": {code for code in codes if not split(chr(code))},
        "punctuation": {code for code in codes if len(split(f"a{chr(code)}a")) == 3},
        "lower": {code: low for code in codes if (low := lower(chr(code))) != chr(code)},
        "decomposed": {c: nfd(chr(c)) for c in codes if c not in HANGUL and nfd(chr(c)) != chr(c)},
        "accents": {code for code in codes if nfd(chr(code)) == chr(code) and not strip(chr(code))},
        "marks": {code for code in codes if not normalizers.StripAccents().normalize_str(chr(code))},
        "word": word_characters(codes),
        "letters": matched(r"\p{L}", codes),
        "numbers": matched(r"\p{N}", codes),
        "combining": combining_ranks(nfd, codes),
    }
    spaces = {code for code in codes if clean(chr(code)) == " "}
    assert spaces == {code for code in facts["white_space"] if chr(code) not in "\x0b\x0c\x85"}
    assert matched(r"\s", codes) == facts["white_space"]
    return facts


def matched(pattern, codes):
    """The characters that a regular expression of the reference matches."""
    remove = pre_tokenizers.Split(Regex(pattern), "removed").pre_tokenize_str
    return {code for code in codes if not remove(chr(code))}


def word_characters(codes):
    r"""The reference's `\w`: what a single_word token may not touch."""
    tokenizer = Tokenizer(WordPiece({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.add_tokens([AddedToken("x", single_word=True, normalized=False)])
    encodings = tokenizer.encode_batch_fast([f"x{chr(code)}" for code in codes])
    return {code for code, encoding in zip(codes, encodings) if 1 not in encoding.ids}


def combining_ranks(nfd, codes):
    """Code point -> the rank of its combining class. NFD swaps two marks only where the first one's is the larger."""

    def order(a, b):
        return swaps(a, b) - swaps(b, a)

    def swaps(a, b):
        return nfd(chr(a) + chr(b)) == nfd(chr(b)) + nfd(chr(a)) != nfd(chr(a)) + nfd(chr(b))

    lowest, highest = 0x0334, 0x0345
    undecomposed = [code for code in codes if code not in HANGUL and nfd(chr(code)) == chr(code)]
    marks = [code for code in undecomposed if swaps(highest, code) or swaps(code, lowest) or code == highest]
    marks.sort(key=functools.cmp_to_key(order))
    ranks, rank = {}, 0
    for previous, code in zip([None, *marks], marks):
        rank += previous is None or order(previous, code) != 0
        ranks[code] = rank
    return ranks


def runs(codes):
    """{1, 2, 3, 7} -> [1, 3, 4, 1]: the distance from the last run's end, the length, and so on."""
    packed, end = [], 0
    for code in sorted(codes):
        if packed and code == end:
            packed[-1] += 1
        else:
            packed += [code - end, 1]
        end = code + 1
    return packed


def pack(facts):
    """The facts as bytes; minibert/tokenization/stages/unicode.py is the way back."""
    packed = {
        name: runs(facts[name]) for name in ("removed", "white_space", "punctuation", "accents", "word", "letters", "numbers")
    }
    packed["marks"] = runs(facts["marks"] - facts["accents"])
    for name in ("lower", "decomposed", "combining"):
        codes = sorted(facts[name])
        packed[name] = [runs(codes), [facts[name][code] for code in codes]]
    # How far a small letter stands from its capital repeats; the letters themselves do not. U+0130 alone becomes two.
    lower = sorted(facts["lower"].items())
    packed["lower"][1] = [ord(low) - code if len(low) == 1 else low for code, low in lower]
    packed["decomposed"][1] = " ".join(packed["decomposed"][1])
    text = json.dumps(packed, separators=(",", ":"), ensure_ascii=False)
    return zlib.compress(text.encode(), 9)


if __name__ == "__main__":
    TABLE.write_bytes(pack(probe()))
    print(f"{TABLE}: {TABLE.stat().st_size} bytes")
