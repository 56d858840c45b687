"""The files of a vocabulary -> {token: id}, and merges. Any error in them is a VocabularyError.

vocab.txt        WordPiece: one token per line; its id is the index of the line; of equal lines the last one counts
vocab.json       byte-level BPE: {token: id}
merges.txt       its merges in the order of their rank, each a line: two tokens with a space between them
tokenizer.json   all of this in its "model"
"""

from pathlib import Path

from minibert.errors import VocabularyError, short_repr

from ..stages.byte_level_bpe import ByteLevelBPE
from ..stages.unicode import unicode_table
from ..stages.wordpiece import WordPiece

LARGEST_ID = 2**31 - 1
TYPE_NAMES = {
    str: "a string",
    bool: "true or false",
    (bool, type(None)): "true, false or null",
    int: "an integer from 0 up",
    list: "a list",
    dict: "an object",
}


def read_vocab_txt(path):
    """The file -> {token: id}."""
    from minibert.files import LARGEST_VOCABULARY, check_size

    check_size(Path(path), VocabularyError, LARGEST_VOCABULARY)
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise VocabularyError(f"vocab.txt must be UTF-8; {path} is not: {error}.") from None
    if text.startswith("\ufeff"):
        raise VocabularyError(
            f"vocab.txt must start with its first token; {path} starts with a byte order mark, which would be part of"
            " it. Save the file as UTF-8 without one."
        )
    white_space = "".join(map(chr, unicode_table().white_space))
    lines = text.removesuffix("\n").split("\n")
    return {line.rstrip(white_space): token_id for token_id, line in enumerate(lines)}


def check_vocab(vocab, source):
    """Raise VocabularyError unless it is {str: id}; ids are integers that can index an embedding."""
    if not isinstance(vocab, dict) or set(map(type, vocab)) - {str}:
        raise VocabularyError(f"a vocabulary must be a dictionary from tokens to ids; that of {source} is not.")
    if (
        set(map(type, vocab.values())) - {int}
        or not 0 <= min(vocab.values(), default=0) <= max(vocab.values(), default=0) <= LARGEST_ID
    ):
        token = next(t for t, n in vocab.items() if type(n) is not int or not 0 <= n <= LARGEST_ID)
        raise VocabularyError(
            f"ids must be integers from 0 to {LARGEST_ID}; {source} gives {short_repr(token)} the id {short_repr(vocab[token])}."
        )
    return vocab


def read_vocab_json(path):
    """The file -> {token: id}."""
    from minibert.files import LARGEST_VOCABULARY, read_json

    return check_vocab(read_json(Path(path), VocabularyError, largest=LARGEST_VOCABULARY), str(path))


def read_merges_txt(path):
    """The file -> [(left, right), ...]. Lines that begin with #version are skipped."""
    from minibert.files import LARGEST_VOCABULARY, check_size

    check_size(Path(path), VocabularyError, LARGEST_VOCABULARY)
    try:
        lines = Path(path).read_bytes().decode("utf-8").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise VocabularyError(f"merges.txt must be UTF-8; {path} is not: {error}.") from None
    lines = [line.removesuffix("\r") for line in lines if not line.startswith("#version")]
    return check_merges([] if lines == [""] else lines, path)


def check_merges(merges, source):
    """["left right", ...] or [["left", "right"], ...] -> [(left, right), ...]."""
    pairs = [
        tuple(merge.split(" ") if isinstance(merge, str) else merge)
        for merge in merges
        if isinstance(merge, (str, list, tuple))
    ]
    are_pairs = len(pairs) == len(merges) and all(len(pair) == 2 and set(map(type, pair)) == {str} for pair in pairs)
    if not are_pairs or not all(left and right for left, right in pairs):
        raise VocabularyError(f"a merge must be two tokens with a space between them; {source} has others.")
    return pairs


def member(part, name, expected, *default):
    """part[name], which must be of a type out of TYPE_NAMES; or the default, if there is one and the part lacks the name."""
    value = part.get(name, *default)
    is_valid = isinstance(value, expected) and (expected is not int or type(value) is int and 0 <= value <= LARGEST_ID)
    if not is_valid and not (default and name not in part):
        raise VocabularyError(f"{name} in tokenizer.json must be {TYPE_NAMES[expected]}; got {short_repr(value)}.")
    return value


def read_model(content, source, expected=None):
    """The model of a parsed tokenizer.json -> the arguments of its class, with "type". VocabularyError if it is not the
    expected type, or one that minibert has."""
    model = content.get("model")
    model_type = model.get("type", "BPE" if "merges" in model else "WordPiece") if isinstance(model, dict) else model
    if not isinstance(model_type, str) or model_type not in MODELS or expected not in (None, model_type):
        known = expected or " or ".join(MODELS)
        raise VocabularyError(f"tokenizer.json must hold a {known} model; {source} holds {short_repr(model_type)}.")
    return {"type": model_type, "vocab": check_vocab(model.get("vocab"), source), **READERS[model_type](model, source)}


def _read_wordpiece(model, source):
    return {
        "unk_token": member(model, "unk_token", str, "[UNK]"),
        "prefix": member(model, "continuing_subword_prefix", str, "##"),
        "max_characters": member(model, "max_input_chars_per_word", int, 100),
    }


def _read_bpe(model, source):
    for name, neutral in NEUTRAL.items():
        if name in model and not any(type(model[name]) is type(value) and model[name] == value for value in neutral):
            raise VocabularyError(f"{name} of a BPE model must be {neutral[0]!r}; {source} has {short_repr(model[name])}.")
    unk_token = model.get("unk_token")
    if not isinstance(unk_token, (str, type(None))):
        raise VocabularyError(f"unk_token in tokenizer.json must be a string or null; got {short_repr(unk_token)}.")
    fuse_unk = bool(member(model, "fuse_unk", (bool, type(None)), False))
    return {"merges": check_merges(member(model, "merges", list), source), "unk_token": unk_token, "fuse_unk": fuse_unk}


NEUTRAL = {  # options of BPE that byte-level vocabularies do not use -> their values that change nothing
    "dropout": (None, 0.0, 0),
    "continuing_subword_prefix": (None, ""),
    "end_of_word_suffix": (None, ""),
    "byte_fallback": (False, None),
    "ignore_merges": (False, None),
}
MODELS = {"WordPiece": WordPiece, "BPE": ByteLevelBPE}
READERS = {"WordPiece": _read_wordpiece, "BPE": _read_bpe}


def make_model(arguments):
    """The answer of `read_model` -> the model."""
    return MODELS[arguments["type"]](**{name: value for name, value in arguments.items() if name != "type"})
