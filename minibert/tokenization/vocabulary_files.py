"""vocab.txt and tokenizer.json -> what a tokenizer is made of; anything wrong in them is one VocabularyError.

    vocab.txt        one token a line; its id is the number of the line, from 0; of equal lines the last one counts
    tokenizer.json   all of it: vocabulary, added tokens, normaliser, template, decoder
"""

from pathlib import Path
from typing import NamedTuple

from minibert.errors import VocabularyError

from .added_tokens import AddedToken
from .normalizer import Normalizer
from .template import Part, Template, bert_template
from .unicode import unicode_table

LARGEST_ID = 2**31 - 1
NO_TEMPLATE = Template([Part(0, 0)], [Part(0, 0), Part(1, 1)])


def read_vocab_txt(path):
    """The file -> {token: id}."""
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
            f"ids must be integers from 0 to {LARGEST_ID}; {source} gives {token!r} the id {vocab[token]!r}."
        )
    return vocab


class TokenizerFile(NamedTuple):
    """tokenizer.json, understood."""

    model: dict  # vocab, unk_token, prefix, max_characters
    added: list  # of AddedToken, in the order of the file
    normalizer: Normalizer
    template: Template
    decoder: tuple  # prefix, tidy
    sides: dict  # padding_side, truncation_side, where the file has them


def read_tokenizer_json(content, source):
    """The parsed file -> TokenizerFile. It may hold BERT's parts only: another tokenizer's would give other ids."""
    try:
        return TokenizerFile(
            read_model(content, source),
            read_added_tokens(content.get("added_tokens") or [], source),
            _normalizer(content.get("normalizer")),
            _template(content.get("post_processor")),
            _decoder(content.get("decoder"), content.get("pre_tokenizer")),
            _sides(content),
        )
    except (KeyError, TypeError, AttributeError, IndexError) as fault:
        raise VocabularyError(f"tokenizer.json must be laid out as the tokenizers library does; {source}: {fault!r}.") from None


def read_model(content, source):
    """The vocabulary part of the parsed file."""
    model = content.get("model")
    if not isinstance(model, dict) or model.get("type", "WordPiece") != "WordPiece":
        kind = model.get("type") if isinstance(model, dict) else model
        raise VocabularyError(f"tokenizer.json must hold a WordPiece model; {source} holds {kind!r:.40}.")
    return {
        "vocab": check_vocab(model.get("vocab"), source),
        "unk_token": model.get("unk_token", "[UNK]"),
        "prefix": model.get("continuing_subword_prefix", "##"),
        "max_characters": model.get("max_input_chars_per_word", 100),
    }


def read_added_tokens(entries, source):
    """[{"id": 103, "content": "[MASK]", ...}, ...] -> AddedTokens in the order of their ids."""
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise VocabularyError(f"added tokens must be a list of objects; those of {source} are not.")
    check_vocab({entry.get("content"): entry.get("id") for entry in entries}, source)
    return [read_added_token(entry, source) for entry in sorted(entries, key=lambda entry: entry["id"])]


def read_added_token(entry, source):
    """{"content": "[MASK]", "lstrip": false, ...} -> AddedToken."""
    flags = {name: entry.get(name) for name in ("single_word", "lstrip", "rstrip", "normalized", "special")}
    if not isinstance(entry.get("content"), str) or set(map(type, flags.values())) - {bool, type(None)}:
        raise VocabularyError(f"an added token must have a string and true or false for its flags; {source} has {entry}.")
    normalized = flags.pop("normalized")
    return AddedToken(entry["content"], normalized=normalized, **{name: bool(flag) for name, flag in flags.items()})


def _kind(name, part, allowed):
    kind = None if part is None else part["type"]
    if kind not in allowed:
        raise VocabularyError(f"the {name} of a tokenizer.json must be {' or '.join(map(str, allowed))}; got {kind}.")
    return kind


def _normalizer(part):
    if _kind("normalizer", part, ("BertNormalizer", None)) is None:
        return Normalizer(False, False, False, False)
    flags = ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase")
    return Normalizer(*(part[flag] for flag in flags))


def _template(part):
    kind = _kind("post_processor", part, ("TemplateProcessing", "BertProcessing", None))
    if kind is None:
        return NO_TEMPLATE
    if kind == "BertProcessing":
        return bert_template(*part["cls"], *part["sep"])
    return Template(*([_part(piece, part["special_tokens"]) for piece in part[name]] for name in ("single", "pair")))


def _part(piece, special):
    if "Sequence" in piece:
        return Part("AB".index(piece["Sequence"]["id"]), piece["Sequence"]["type_id"])
    token = special[piece["SpecialToken"]["id"]]
    return Part(None, piece["SpecialToken"]["type_id"], token["ids"], token["tokens"])


def _decoder(part, pre_tokenizer):
    _kind("pre_tokenizer", pre_tokenizer, ("BertPreTokenizer",))
    _kind("decoder", part, ("WordPiece",))
    return part["prefix"], part["cleanup"]


def _sides(content):
    found = {"padding_side": content.get("padding"), "truncation_side": content.get("truncation")}
    return {name: part["direction"].lower() for name, part in found.items() if part and "direction" in part}
