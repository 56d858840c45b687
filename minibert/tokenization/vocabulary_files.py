"""vocab.txt and tokenizer.json -> what a tokenizer is made of; anything wrong in them is one VocabularyError.

    vocab.txt        one token a line; its id is the number of the line, from 0; of equal lines the last one counts
    tokenizer.json   all of it: vocabulary, added tokens, normaliser, template, decoder
"""

from pathlib import Path
from typing import NamedTuple

from minibert.errors import VocabularyError, brief

from .added_tokens import AddedToken
from .normalizer import Normalizer, SequenceNormalizer, decompose, drop_marks, lower
from .pre_tokenizer import BERT, PUNCTUATION, PreTokenizer, pre_tokenize, split_symbols, split_white_space
from .template import Part, Template, bert_template
from .unicode import unicode_table

LARGEST_ID = 2**31 - 1
NO_TEMPLATE = Template([Part(0, 0)], [Part(0, 0), Part(1, 1)])
KINDS = {
    str: "a string", bool: "true or false", (bool, type(None)): "true, false or null", int: "a whole number from 0 up",
    list: "a list", dict: "an object",
}  # fmt: skip


def read_vocab_txt(path):
    """The file -> {token: id}."""
    from minibert.files import LARGEST_VOCABULARY, check_size

    check_size(Path(path), VocabularyError, LARGEST_VOCABULARY)
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as fault:
        raise VocabularyError(f"vocab.txt must be UTF-8; {path} is not: {fault}.") from None
    if text.startswith("\ufeff"):
        raise VocabularyError(
            f"vocab.txt must start with its first token; {path} starts with a byte order mark, which would be part of"
            " it. Save the file as UTF-8 without one."
        )
    ends = "".join(map(chr, unicode_table().white_space))
    lines = text.removesuffix("\n").split("\n")
    return {line.rstrip(ends): number for number, line in enumerate(lines)}


def check_vocab(vocab, source):
    """Refuse a vocabulary that is not {str: id}; ids are integers that fit an embedding's index."""
    if not isinstance(vocab, dict) or set(map(type, vocab)) - {str}:
        raise VocabularyError(f"a vocabulary must be a dictionary from tokens to ids; that of {source} is not.")
    if set(map(type, vocab.values())) - {int} or not 0 <= min(vocab.values(), default=0) <= max(
        vocab.values(), default=0
    ) <= LARGEST_ID:  # fmt: skip
        token = next(t for t, n in vocab.items() if type(n) is not int or not 0 <= n <= LARGEST_ID)
        raise VocabularyError(
            f"ids must be integers from 0 to {LARGEST_ID}; {source} gives {brief(token)} the id {brief(vocab[token])}."
        )
    return vocab


class TokenizerFile(NamedTuple):
    """tokenizer.json, understood."""

    model: dict  # vocab, unk_token, prefix, max_characters
    added: list  # of AddedToken, in the order of the file
    normalizer: SequenceNormalizer
    pre_tokenizer: PreTokenizer
    template: Template
    decoder: tuple  # prefix, tidy
    sides: dict  # padding_side, truncation_side, where the file has them


def read_tokenizer_json(content, source):
    """The parsed file -> TokenizerFile. It may hold BERT's parts only: another tokenizer's would give other ids."""
    return TokenizerFile(
        read_model(content, source),
        read_added_tokens(content.get("added_tokens") or [], source),
        _normalizer(content.get("normalizer")),
        _pre_tokenizer(content.get("pre_tokenizer")),
        _template(content.get("post_processor")),
        _decoder(content.get("decoder")),
        read_sides(content),
    )


def member(part, name, kind, *default):
    """part[name], of a kind out of KINDS; or the default, where one is given and there is none."""
    value = part.get(name, *default)
    right = isinstance(value, kind) and (kind is not int or type(value) is int and 0 <= value <= LARGEST_ID)
    if not right and not (default and name not in part):
        raise VocabularyError(f"{name} in tokenizer.json must be {KINDS[kind]}; got {brief(value)}.")
    return value


def read_model(content, source):
    """The vocabulary part of the parsed file."""
    model = content.get("model")
    if not isinstance(model, dict) or model.get("type", "WordPiece") != "WordPiece":
        kind = model.get("type") if isinstance(model, dict) else model
        raise VocabularyError(f"tokenizer.json must hold a WordPiece model; {source} holds {brief(kind)}.")
    return {
        "vocab": check_vocab(model.get("vocab"), source),
        "unk_token": member(model, "unk_token", str, "[UNK]"),
        "prefix": member(model, "continuing_subword_prefix", str, "##"),
        "max_characters": member(model, "max_input_chars_per_word", int, 100),
    }


def read_added_tokens(entries, source):
    """[{"id": 103, "content": "[MASK]", ...}, ...] -> AddedTokens in the order of their ids."""
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise VocabularyError(f"added tokens must be a list of objects; those of {source} are not.")
    tokens = [(entry.get("id"), read_added_token(entry, source)) for entry in entries]
    for number, token in tokens:
        check_vocab({token.content: number}, source)
    return [token for _, token in sorted(tokens, key=lambda pair: pair[0])]


def read_added_token(entry, source):
    """{"content": "[MASK]", "lstrip": false, ...} -> AddedToken."""
    flags = {name: entry.get(name) for name in ("single_word", "lstrip", "rstrip", "normalized", "special")}
    if not isinstance(entry.get("content"), str) or set(map(type, flags.values())) - {bool, type(None)}:
        raise VocabularyError(
            f"an added token must have a string and true or false for its flags; {source} has {brief(entry)}."
        )
    normalized = flags.pop("normalized")
    return AddedToken(entry["content"], normalized=normalized, **{name: bool(flag) for name, flag in flags.items()})


def _kind(name, part, allowed):
    kind = part.get("type") if isinstance(part, dict) else None
    if kind not in allowed or (kind is None and part is not None):
        raise VocabularyError(
            f"the {name} of a tokenizer.json must be {' or '.join(map(str, allowed))}; got {brief(kind or part)}."
        )
    return kind


def _steps(name, part, key, allowed):
    """A normalizer or pre_tokenizer -> its steps, those of each Sequence in its place. (By a stack: nesting may be deep.)"""
    stack, steps = [part], []
    while stack:
        step = stack.pop()
        if isinstance(step, dict) and step.get("type") == "Sequence":
            stack += reversed(member(step, key, list))
        else:
            steps.append(step)
    types = [step.get("type") if isinstance(step, dict) else None for step in steps]
    known = [isinstance(name_of_type, str) and name_of_type in allowed for name_of_type in types]
    unknown = [brief(name_of_type or step) for step, name_of_type, is_known in zip(steps, types, known) if not is_known]
    if unknown:
        raise VocabularyError(
            f"the {name} of a tokenizer.json must be {', '.join(allowed)}, or a Sequence of them; got {', '.join(unknown)}."
        )
    return steps


def _normalizer(part):
    if part is None:
        return Normalizer(False, False, False, False)
    simple = {"NFD": [decompose], "Lowercase": [lower], "StripAccents": [drop_marks]}
    parts = _steps("normalizer", part, "normalizers", ("BertNormalizer", *simple))
    if part["type"] == "BertNormalizer":
        return _bert_normalizer(part)
    each = [simple.get(step["type"]) or _bert_normalizer(step).steps for step in parts]
    return SequenceNormalizer([step for steps in each for step in steps], part)


def _bert_normalizer(part):
    clean, chinese, small = (member(part, name, bool) for name in ("clean_text", "handle_chinese_chars", "lowercase"))
    return Normalizer(clean, chinese, member(part, "strip_accents", (bool, type(None))), small)


def _pre_tokenizer(part):
    simple = {"BertPreTokenizer": pre_tokenize, "Whitespace": split_symbols, "WhitespaceSplit": split_white_space}
    parts = _steps("pre_tokenizer", part, "pretokenizers", (*simple, "Punctuation"))
    steps = [simple.get(step["type"]) or _punctuation(step) for step in parts]
    return BERT if steps == BERT.steps else PreTokenizer(steps, part)


def _punctuation(part):
    behavior = member(part, "behavior", str, "Isolated")
    if behavior not in PUNCTUATION:
        raise VocabularyError(f"behavior in tokenizer.json must be {', '.join(PUNCTUATION)}; got {brief(behavior)}.")
    return PUNCTUATION[behavior]


def _template(part):
    kind = _kind("post_processor", part, ("TemplateProcessing", "BertProcessing", None))
    if kind is None:
        return NO_TEMPLATE
    if kind == "BertProcessing":
        return bert_template(*_named_token(part, "cls"), *_named_token(part, "sep"))
    special = member(part, "special_tokens", dict)
    single, pair = ([_part(piece, special) for piece in member(part, name, list)] for name in ("single", "pair"))
    texts = [sorted(part.sequence for part in parts if part.sequence is not None) for parts in (single, pair)]
    if texts != [[0], [0, 1]]:
        raise VocabularyError("a template in tokenizer.json must have A once, and for a pair A and B once; it has not.")
    return Template(single, pair)


def _named_token(part, name):
    """["[CLS]", 101] -> the same, or VocabularyError."""
    value = member(part, name, list)
    if [type(item) for item in value] != [str, int] or not 0 <= value[1] <= LARGEST_ID:
        raise VocabularyError(f"{name} in tokenizer.json must be a token and its id; got {brief(value)}.")
    return value


def _part(piece, special):
    """{"Sequence": {"id": "A", "type_id": 0}} or {"SpecialToken": {"id": "[CLS]", "type_id": 0}} -> Part."""
    if not isinstance(piece, dict) or len(piece) != 1 or not {"Sequence", "SpecialToken"} & set(piece):
        raise VocabularyError(f"a template in tokenizer.json is of Sequence and SpecialToken; got {brief(piece)}.")
    ((kind, _),) = piece.items()
    inner = member(piece, kind, dict)
    name, type_id = member(inner, "id", str), member(inner, "type_id", int)
    if kind == "Sequence" and name in ("A", "B"):
        return Part("AB".index(name), type_id)
    token = member(special, name, dict)
    ids, tokens = member(token, "ids", list), member(token, "tokens", list)
    known = all(type(number) is int and 0 <= number <= LARGEST_ID for number in ids)
    if not known or len(ids) != len(tokens) or not all(isinstance(text, str) for text in tokens):
        raise VocabularyError(f"a special token in tokenizer.json must have ids and a text for each; got {brief(token)}.")
    return Part(None, type_id, ids, tokens)


def _decoder(part):
    _kind("decoder", part, ("WordPiece",))
    return member(part, "prefix", str), member(part, "cleanup", bool)


def read_sides(content):
    """The sides that the file's padding and truncation are on, where it says so."""
    found = {}
    for name in ("padding", "truncation"):
        part = content.get(name)
        if isinstance(part, dict) and "direction" in part:
            found[f"{name}_side"] = member(part, "direction", str).lower()
    return found
