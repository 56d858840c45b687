"""tokenizer.json -> the parts of a tokenizer. Any error in it is a VocabularyError.

The file has everything: vocabulary, added tokens, normalizer, pre-tokenizer, template, decoder.
"""

from typing import NamedTuple

from minibert.errors import VocabularyError, short_repr

from ..decoding import ByteLevelDecoder, WordPieceDecoder
from ..stages.added_tokens import AddedToken
from ..stages.byte_level import ByteLevelPreTokenizer
from ..stages.normalizer import NO_NORMALIZER, Normalizer, SequenceNormalizer, decompose, drop_marks, lower
from ..stages.pre_tokenizer import BERT, PUNCTUATION, PreTokenizer, pre_tokenize, split_symbols, split_white_space
from ..stages.template import ByteLevelTemplate, RobertaTemplate, Template, TemplatePart, bert_template
from .vocabularies import LARGEST_ID, check_vocab, member, read_model

NO_TEMPLATE = Template([TemplatePart(0, 0)], [TemplatePart(0, 0), TemplatePart(1, 1)])


class TokenizerFile(NamedTuple):
    """The parts in a tokenizer.json."""

    model: dict  # of `read_model`
    added: list  # of AddedToken, in the order of the file
    normalizer: SequenceNormalizer
    pre_tokenizer: PreTokenizer | ByteLevelPreTokenizer
    template: Template
    decoder: WordPieceDecoder | ByteLevelDecoder
    sides: dict  # padding_side, truncation_side, if the file has them


def read_tokenizer_json(content, source):
    """The parsed file -> TokenizerFile. Parts that no tokenizer of minibert has are a VocabularyError."""
    model = read_model(content, source)
    pre_tokenizer, decoder = PARTS_OF[model["type"]]
    return TokenizerFile(
        model,
        read_added_tokens(content.get("added_tokens") or [], source),
        _normalizer(content.get("normalizer")),
        pre_tokenizer(content.get("pre_tokenizer")),
        _template(content.get("post_processor")),
        decoder(content.get("decoder")),
        read_sides(content),
    )


def read_added_tokens(entries, source):
    """[{"id": 103, "content": "[MASK]", ...}, ...] -> AddedTokens in the order of their ids."""
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise VocabularyError(f"added tokens must be a list of objects; those of {source} are not.")
    tokens = [(entry.get("id"), read_added_token(entry, source)) for entry in entries]
    for token_id, token in tokens:
        check_vocab({token.content: token_id}, source)
    return [token for _, token in sorted(tokens, key=lambda pair: pair[0])]


def read_added_token(entry, source):
    """{"content": "[MASK]", "lstrip": false, ...} -> AddedToken."""
    flags = {name: entry.get(name) for name in ("single_word", "lstrip", "rstrip", "normalized", "special")}
    if not isinstance(entry.get("content"), str) or set(map(type, flags.values())) - {bool, type(None)}:
        raise VocabularyError(
            f"an added token must have a string and true or false for its flags; {source} has {short_repr(entry)}."
        )
    normalized = flags.pop("normalized")
    return AddedToken(entry["content"], normalized=normalized, **{name: bool(flag) for name, flag in flags.items()})


def _type_of(part, name, allowed):
    type_name = part.get("type") if isinstance(part, dict) else None
    if type_name not in allowed or (type_name is None and part is not None):
        raise VocabularyError(
            f"the {name} of a tokenizer.json must be {' or '.join(map(str, allowed))}; got {short_repr(type_name or part)}."
        )
    return type_name


def _steps(name, part, key, allowed):
    """A normalizer or pre_tokenizer -> its steps, each Sequence replaced by its own. (A stack, because nesting may be deep.)"""
    stack, steps = [part], []
    while stack:
        step = stack.pop()
        if isinstance(step, dict) and step.get("type") == "Sequence":
            stack += reversed(member(step, key, list))
        else:
            steps.append(step)
    types = [step.get("type") if isinstance(step, dict) else None for step in steps]
    known = [isinstance(type_name, str) and type_name in allowed for type_name in types]
    unknown = [short_repr(type_name or step) for step, type_name, is_known in zip(steps, types, known) if not is_known]
    if unknown:
        raise VocabularyError(
            f"the {name} of a tokenizer.json must be {', '.join(allowed)}, or a Sequence of them; got {', '.join(unknown)}."
        )
    return steps


def _normalizer(part):
    if part is None:
        return NO_NORMALIZER
    simple: dict[str, list] = {"NFD": [decompose], "Lowercase": [lower], "StripAccents": [drop_marks]}
    parts = _steps("normalizer", part, "normalizers", ("BertNormalizer", *simple))
    if part["type"] == "BertNormalizer":
        return _bert_normalizer(part)
    steps_of_parts = [simple.get(step["type"]) or _bert_normalizer(step).steps for step in parts]
    return SequenceNormalizer([step for steps in steps_of_parts for step in steps], part)


def _bert_normalizer(part):
    clean, chinese, lowercase = (member(part, name, bool) for name in ("clean_text", "handle_chinese_chars", "lowercase"))
    return Normalizer(clean, chinese, member(part, "strip_accents", (bool, type(None))), lowercase)


def _pre_tokenizer(part):
    simple = {"BertPreTokenizer": pre_tokenize, "Whitespace": split_symbols, "WhitespaceSplit": split_white_space}
    parts = _steps("pre_tokenizer", part, "pretokenizers", (*simple, "Punctuation"))
    steps = [simple.get(step["type"]) or _punctuation(step) for step in parts]
    return BERT if steps == BERT.steps else PreTokenizer(steps, part)


def _byte_level_pre_tokenizer(part):
    steps = _steps("pre_tokenizer", part, "pretokenizers", ("ByteLevel",))
    if len(steps) != 1 or not member(steps[0], "use_regex", bool, True):
        raise VocabularyError(f"the pre_tokenizer of a BPE model must be one ByteLevel with use_regex; got {short_repr(part)}.")
    return ByteLevelPreTokenizer(member(steps[0], "add_prefix_space", bool), part)


def _punctuation(part):
    behavior = member(part, "behavior", str, "Isolated")
    if behavior not in PUNCTUATION:
        raise VocabularyError(f"behavior in tokenizer.json must be {', '.join(PUNCTUATION)}; got {short_repr(behavior)}.")
    return PUNCTUATION[behavior]


def _template(part):
    type_name = _type_of(
        part, "post_processor", ("TemplateProcessing", "BertProcessing", "RobertaProcessing", "ByteLevel", None)
    )
    if type_name is None:
        return NO_TEMPLATE
    if type_name == "BertProcessing":
        return bert_template(*_named_token(part, "cls"), *_named_token(part, "sep"))
    if type_name == "ByteLevel":
        return ByteLevelTemplate(member(part, "trim_offsets", bool), member(part, "add_prefix_space", bool))
    if type_name == "RobertaProcessing":
        flags = [member(part, name, bool, True) for name in ("trim_offsets", "add_prefix_space")]
        return RobertaTemplate(*_named_token(part, "cls"), *_named_token(part, "sep"), *flags)
    special = member(part, "special_tokens", dict)
    single, pair = ([_template_part(piece, special) for piece in member(part, name, list)] for name in ("single", "pair"))
    sequences = [sorted(part.sequence for part in parts if part.sequence is not None) for parts in (single, pair)]
    if sequences != [[0], [0, 1]]:
        raise VocabularyError("a template in tokenizer.json must have A once, and for a pair A and B once; it has not.")
    return Template(single, pair)


def _named_token(part, name):
    """["[CLS]", 101] -> the same, or VocabularyError."""
    value = member(part, name, list)
    if [type(item) for item in value] != [str, int] or not 0 <= value[1] <= LARGEST_ID:
        raise VocabularyError(f"{name} in tokenizer.json must be a token and its id; got {short_repr(value)}.")
    return value


def _template_part(piece, special):
    """{"Sequence": {"id": "A", "type_id": 0}} or {"SpecialToken": {"id": "[CLS]", "type_id": 0}} -> TemplatePart."""
    if not isinstance(piece, dict) or len(piece) != 1 or not {"Sequence", "SpecialToken"} & set(piece):
        raise VocabularyError(f"a template in tokenizer.json is of Sequence and SpecialToken; got {short_repr(piece)}.")
    ((piece_type, _),) = piece.items()
    content = member(piece, piece_type, dict)
    name, type_id = member(content, "id", str), member(content, "type_id", int)
    if piece_type == "Sequence" and name in ("A", "B"):
        return TemplatePart("AB".index(name), type_id)
    token = member(special, name, dict)
    ids, tokens = member(token, "ids", list), member(token, "tokens", list)
    are_ids = all(type(token_id) is int and 0 <= token_id <= LARGEST_ID for token_id in ids)
    if not are_ids or len(ids) != len(tokens) or not all(isinstance(text, str) for text in tokens):
        raise VocabularyError(f"a special token in tokenizer.json must have ids and a text for each; got {short_repr(token)}.")
    return TemplatePart(None, type_id, ids, tokens)


def _decoder(part):
    _type_of(part, "decoder", ("WordPiece",))
    return WordPieceDecoder(member(part, "prefix", str), member(part, "cleanup", bool))


def _byte_level_decoder(part):
    _type_of(part, "decoder", ("ByteLevel",))
    return ByteLevelDecoder()


def read_sides(content):
    """padding_side and truncation_side, if the file has them."""
    sides = {}
    for name in ("padding", "truncation"):
        part = content.get(name)
        if isinstance(part, dict) and "direction" in part:
            sides[f"{name}_side"] = member(part, "direction", str).lower()
    return sides


PARTS_OF = {"WordPiece": (_pre_tokenizer, _decoder), "BPE": (_byte_level_pre_tokenizer, _byte_level_decoder)}
