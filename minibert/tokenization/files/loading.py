"""A checkpoint's files -> the arguments of a tokenizer class. AutoTokenizer, in minibert/auto.py, selects the class.

tokenizer_config.json holds the options; the tokens are in tokenizer.json, or in vocab.txt, or in vocab.json and merges.txt.
Older checkpoints have special tokens in special_tokens_map.json and added_tokens.json, which are read too. Other keys belong
to other tokenizers or to older versions, and are ignored, as in transformers.
"""

from pathlib import Path

from minibert.errors import InputError, VocabularyError, check_option_names, short_repr
from minibert.ignored_arguments import TOKENIZER_FLAGS, TOKENIZER_LOADING, without_ignored

from ..stages.added_tokens import AddedToken, as_token
from ..vocabulary import NAMED, is_named_token
from .parsing import read_added_token, read_added_tokens, read_sides
from .vocabularies import check_vocab, read_model

OPTIONS = (
    "model_max_length",
    "padding_side",
    "truncation_side",
    "model_input_names",
    "clean_up_tokenization_spaces",
    "split_special_tokens",
    "extra_special_tokens",
    "model_specific_special_tokens",
    *NAMED,
)
OPTIONAL_TOKENS = ("bos_token", "eos_token", "pad_token", "mask_token")  # null in a file: the tokenizer has none


def locate(name, options):
    """The checkpoint, and the options that are the tokenizer's. The hub is imported only here, when something is loaded."""
    from minibert import loading

    return loading.locate(name, without_ignored(options, TOKENIZER_LOADING))


def load(cls, checkpoint, overrides):
    """A checkpoint, and options that replace those of its files -> a tokenizer of that class."""
    allowed = (*OPTIONS, *cls.flags)
    overrides = without_ignored(overrides, {name: TOKENIZER_FLAGS[name] for name in TOKENIZER_FLAGS.keys() - set(cls.flags)})
    if "additional_special_tokens" in overrides:
        overrides["extra_special_tokens"] = overrides.pop("additional_special_tokens")
    others = [name for name, value in overrides.items() if not is_named_token(name, value)]
    check_option_names(f"{cls.__name__}.from_pretrained", others, allowed)
    config = read_json_of(checkpoint, "tokenizer_config.json")
    tokens_path = checkpoint.optional("tokenizer.json")
    content = read_json_of(checkpoint, "tokenizer.json") if tokens_path else {}
    added = _added_tokens(checkpoint, config, content)
    options = {name: value for name, value in _known(config, allowed).items() if value is not None or name in OPTIONAL_TOKENS}
    sides = {} if cls.described_by_tokenizer_json else read_sides(content)
    options = {**sides, **options, "model_max_length": _limit(checkpoint, config, cls.reserved_positions), **overrides}
    added_by_content = {token.content: token for token in added}
    for name in NAMED:
        if isinstance(as_token(options.get(name)), (str, AddedToken)):
            options[name] = added_by_content.get(str(options[name]), options[name])
    options.update(name_or_path=checkpoint.name, added_tokens=added)
    try:
        if cls.described_by_tokenizer_json:
            return cls(tokenizer_file=checkpoint.file("tokenizer.json"), **options)
        if tokens_path:
            model = read_model(content, tokens_path, cls.model_type)
            return cls(**{name: model[name] for name in cls.vocabulary_files}, **options)
        return cls(**{name: checkpoint.file(filename) for name, filename in cls.vocabulary_files.items()}, **options)
    except InputError as error:
        if overrides:
            raise
        raise VocabularyError(f"the files of {checkpoint.name} make no tokenizer: {error}") from None


def read_json_of(checkpoint, filename):
    """A JSON file of the checkpoint, or {} if there is no such file."""
    from minibert.files import LARGEST_VOCABULARY, read_json

    path = checkpoint.optional(filename)
    largest = LARGEST_VOCABULARY if filename == "tokenizer.json" else None
    return {} if path is None else read_json(Path(path), VocabularyError, largest=largest)


def _known(config, allowed):
    """The options that this library has, with tokens as AddedTokens if the file has objects."""
    config = dict(config)
    if isinstance(config.get("additional_special_tokens"), list):
        config.setdefault("extra_special_tokens", config["additional_special_tokens"])
    named_tokens = {name: value for name, value in config.items() if is_named_token(name, value)}
    return {**named_tokens, **{name: _token(config[name], name) for name in allowed if name in config}}


def _token(value, name):
    if name in NAMED and isinstance(value, dict):
        return read_added_token(value, "tokenizer_config.json")
    if name in NAMED and not isinstance(value, (str, type(None))):
        raise VocabularyError(f"{name} in tokenizer_config.json must be a string or an object; got {short_repr(value)}.")
    if name == "model_specific_special_tokens":
        return _named_tokens(value, name)
    if name == "extra_special_tokens":
        if isinstance(value, dict):
            return _named_tokens(value, name)
        entries = [] if value is None else value
        if not isinstance(entries, list) or not all(isinstance(entry, (str, dict)) for entry in entries):
            raise VocabularyError(f"{name} must be a list of strings and objects; got {short_repr(value)}.")
        return [read_added_token(entry, name) if isinstance(entry, dict) else entry for entry in entries]
    return value


def _named_tokens(tokens, name):
    """{"image_token": "<x>"}, the token a string or an object."""
    if not isinstance(tokens, dict) or not all(isinstance(token, (str, dict)) for token in tokens.values()):
        raise VocabularyError(f"{name} must map names to strings or objects; got {short_repr(tokens)}.")
    return {key: read_added_token(token, name) if isinstance(token, dict) else token for key, token in tokens.items()}


def _added_tokens(checkpoint, config, content):
    """The added tokens of the files, in the order of their ids."""
    decoder = config.get("added_tokens_decoder")
    if decoder is not None:
        return read_added_tokens(_entries_with_ids(decoder), "tokenizer_config.json")
    for name, value in read_json_of(checkpoint, "special_tokens_map.json").items():
        if name in (*NAMED, "additional_special_tokens", "extra_special_tokens") or is_named_token(name, value):
            config[name] = {**value, "special": True} if isinstance(value, dict) and name in NAMED else value
    if content:
        return read_added_tokens(content.get("added_tokens") or [], "tokenizer.json")
    ids = check_vocab(read_json_of(checkpoint, "added_tokens.json"), "added_tokens.json")
    special = {str(config.get(name)) for name in NAMED}
    in_order = sorted(ids, key=ids.get)
    return [AddedToken(token, normalized=token not in special, special=token in special) for token in in_order]


def _entries_with_ids(decoder):
    """added_tokens_decoder, {"103": {"content": "[MASK]", ...}} -> [{"id": 103, "content": "[MASK]", ...}]"""
    try:
        return [{**entry, "id": int(token_id)} for token_id, entry in decoder.items()]
    except (AttributeError, TypeError, ValueError):
        raise VocabularyError(
            f"added_tokens_decoder in tokenizer_config.json must map ids to objects; got {short_repr(decoder)}."
        ) from None


def _limit(checkpoint, config, reserved_positions):
    """model_max_length, at most the number of positions of the model; files have 1e30, nothing, or a negative number."""
    values = config.get("model_max_length"), read_json_of(checkpoint, "config.json").get("max_position_embeddings")
    is_limit = [isinstance(n, (int, float)) and not isinstance(n, bool) and 1 <= n < 1e29 for n in values]
    limits = [int(n) - reserved for n, known, reserved in zip(values, is_limit, (0, reserved_positions)) if known]
    return max(min(limits), 1) if limits else None
