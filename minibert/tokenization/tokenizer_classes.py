"""The classes by the names transformers gives them: BertTokenizer, DistilBertTokenizer, PreTrainedTokenizerFast.

They differ in what they take from a checkpoint's files, exactly as transformers 5 does:

                            vocabulary                    normaliser                      template
    BertTokenizer           tokenizer.json or vocab.txt   flags of tokenizer_config.json  [CLS] A [SEP] B [SEP]
    PreTrainedTokenizerFast tokenizer.json                tokenizer.json                  tokenizer.json
"""

import os
from functools import cached_property

from minibert.errors import InputError, InputTypeError, VocabularyError, brief

from .added_tokens import AddedToken
from .arguments import as_file, as_int, as_list, check_side, is_bool, refuse_unknown
from .normalizer import Normalizer
from .template import bert_template
from .tokenizer import Tokenizer
from .vocabulary import NAMED, check_token
from .vocabulary_files import check_vocab, read_tokenizer_json, read_vocab_txt
from .wordpiece import WordPiece

NO_LIMIT = 10**30
NEEDED = ("unk_token", "sep_token", "cls_token")  # by BERT: without one there is no row


class LoadableTokenizer(Tokenizer):
    """What the classes have in common: options, `from_pretrained`, `save_pretrained`."""

    model_input_names = ["input_ids", "attention_mask"]

    def __init__(
        self, normalizer, model, decoder, special, /, *, added_tokens=(), extra_special_tokens=(), name_or_path="",
        model_max_length=None, padding_side="right", truncation_side="right", model_input_names=None,
        clean_up_tokenization_spaces=False, model_specific_special_tokens=None, **own,
    ):  # fmt: skip
        refuse_unknown(type(self).__name__, [name for name in own if not is_own(name, own[name])], option_names(type(self)))
        if not isinstance(model_specific_special_tokens, (dict, type(None))):
            value = brief(model_specific_special_tokens)
            raise InputTypeError(f"model_specific_special_tokens must be a dictionary of names and tokens; got {value}.")
        super().__init__(normalizer, model)
        self.name_or_path, self._decoder, self._warned = name_or_path, decoder, False
        self.model_max_length = model_max_length
        self.padding_side, self.truncation_side = padding_side, truncation_side
        self.model_input_names = model_input_names
        self.clean_up_tokenization_spaces = clean_up_tokenization_spaces
        for tokens in (extra_special_tokens, model_specific_special_tokens):
            own.update(tokens if isinstance(tokens, dict) else {})
        extra = [] if isinstance(extra_special_tokens, dict) else extra_special_tokens
        self._add_first(as_list(added_tokens, "added_tokens"), {**special, **own}, extra)

    def __setattr__(self, name, value):
        """What can be set is checked when it is set: an attribute is read in every call."""
        check = SETTINGS.get(name)
        super().__setattr__(name, value if check is None else check(self, name, value))

    def _add_first(self, added_tokens, special, extra):
        """The added tokens of the files, then those special tokens that are not among them."""
        extra = [] if extra is None else as_list(extra, "extra_special_tokens")
        for token in added_tokens:
            if not isinstance(token, AddedToken):
                raise InputTypeError(f"added_tokens must be AddedTokens; got {brief(token)}.")
        for name, token in (*special.items(), *(("extra_special_tokens", token) for token in extra)):
            if not isinstance(name, str):
                raise InputTypeError(f"special tokens have strings for names; got {brief(name)}.")
            if token is not None:
                check_token(name, token)
        self._named.update({name: None if token is None else str(token) for name, token in special.items()})
        self._extra_special = [str(token) for token in extra]
        known = {token.content for token in added_tokens}
        named = [token for token in (*special.values(), *extra) if token is not None and str(token) not in known]
        self.add_tokens([*added_tokens, *(AddedToken(t, special=True) if isinstance(t, str) else t for t in named)])

    @classmethod
    def from_pretrained(
        cls, name_or_folder, *, revision=None, cache_dir=None, token=None, local_files_only=False, **overrides
    ):
        """The tokenizer of a checkpoint: a folder or a name on the hub; overrides go before tokenizer_config.json."""
        from .loading import load, locate

        checkpoint = locate(name_or_folder, revision, cache_dir, token, local_files_only)
        return load(cls, checkpoint, overrides)

    def save_pretrained(self, folder, **unknown):
        """Write tokenizer.json, tokenizer_config.json and vocab.txt; returns their paths."""
        from .saving import save

        refuse_unknown("save_pretrained", unknown, ("folder",))
        return save(self, folder)

    @cached_property
    def _around(self):
        """The ids before and after a single text."""
        parts = self._template.single
        middle = next(place for place, part in enumerate(parts) if part.sequence is not None)
        return [[number for part in side for number in part.ids] for side in (parts[:middle], parts[middle + 1 :])]

    def pad(self, encoded_inputs, **options):
        """Fill up what was tokenized already; see padding.py."""
        from .padding import pad

        return pad(self, encoded_inputs, **options)

    def __repr__(self):
        added = "".join(f"\n\t{number}: {token}," for number, token in self.added_tokens_decoder.items())
        return (
            f"{type(self).__name__}(name_or_path={self.name_or_path!r}, vocab_size={self.vocab_size},"
            f" model_max_length={self.model_max_length}, padding_side={self.padding_side!r},"
            f" truncation_side={self.truncation_side!r}, special_tokens={self.special_tokens_map},"
            f" added_tokens_decoder={{{added}\n}})"
        )


class BertTokenizer(LoadableTokenizer):
    """BERT's tokenizer: `vocab` is {token: id} or the path of a vocab.txt."""

    model_input_names = ["input_ids", "token_type_ids", "attention_mask"]

    def __init__(
        self, vocab=None, do_lower_case=True, unk_token="[UNK]", sep_token="[SEP]", pad_token="[PAD]",
        cls_token="[CLS]", mask_token="[MASK]", tokenize_chinese_chars=True, strip_accents=None, bos_token=None,
        eos_token=None, vocab_file=None, **options,
    ):  # fmt: skip
        tokens = (bos_token, eos_token, unk_token, sep_token, pad_token, cls_token, mask_token)
        special = dict(zip(NAMED, tokens))
        for name, token in special.items():
            if token is not None or name in NEEDED:
                check_token(name, token)
        vocab = vocab_file if vocab is None else vocab
        if vocab is None:
            first = (pad_token, unk_token, cls_token, sep_token, mask_token)
            vocab = {str(t): number for number, t in enumerate(first) if t is not None}
        vocab = check_vocab(vocab, "the argument") if isinstance(vocab, dict) else read_vocab_txt(as_file("vocab", vocab))
        self.do_lower_case, self.tokenize_chinese_chars = do_lower_case, tokenize_chinese_chars
        self.strip_accents = strip_accents
        super().__init__(
            Normalizer(True, self.tokenize_chinese_chars, self.strip_accents, self.do_lower_case),
            WordPiece(vocab, str(unk_token)),
            ("##", True),
            special,
            **options,
        )
        self._template = bert_template(self.cls_token, self.cls_token_id, self.sep_token, self.sep_token_id)


class DistilBertTokenizer(BertTokenizer):
    """The same; DistilBERT has no token types, so they are left out."""

    model_input_names = ["input_ids", "attention_mask"]


class PreTrainedTokenizerFast(LoadableTokenizer):
    """The tokenizer that a tokenizer.json describes in full: `tokenizer_file` is its path."""

    def __init__(self, *, tokenizer_file=None, added_tokens=(), **options):
        from minibert.files import LARGEST_VOCABULARY, read_json

        if tokenizer_file is None:
            raise InputError("PreTrainedTokenizerFast needs tokenizer_file=..., the path of a tokenizer.json; got none.")
        tokenizer_file = as_file("tokenizer_file", tokenizer_file)
        content = read_json(tokenizer_file, VocabularyError, largest=LARGEST_VOCABULARY)
        file = read_tokenizer_json(content, tokenizer_file)
        special = {name: options.pop(name, None) for name in NAMED}
        added_tokens = [*file.added, *as_list(added_tokens, "added_tokens")]
        self._pre_tokenizer = file.pre_tokenizer
        super().__init__(
            file.normalizer,
            WordPiece(**file.model),
            file.decoder,
            special,
            added_tokens=added_tokens,
            **{**file.sides, **options},
        )
        self._template = file.template


def is_own(name, token):
    """Whether it is a special token with a name of its own: image_token="<image>"."""
    return name.endswith("_token") and name not in NAMED and isinstance(token, (str, AddedToken))


def option_names(cls):
    """The options of a class, for an error."""
    own = cls.__init__.__code__.co_varnames[1 : cls.__init__.__code__.co_argcount] or ("tokenizer_file",)
    common = LoadableTokenizer.__init__.__kwdefaults__
    return (*own, *(name for name in common if name not in own))


def read_flag(name, value):
    if not is_bool(value):
        raise InputError(f"{name} must be True or False; got {brief(value)}.")
    return bool(value)


def read_length(length):
    """model_max_length as an int: files have 1e30 for none."""
    limit = as_int(length) if not isinstance(length, float) else length
    if length is None:
        return NO_LIMIT
    if limit is None or not limit >= 1:
        raise InputError(f"model_max_length must be a number, 1 or more; got {brief(length)}.")
    return int(min(limit, NO_LIMIT))


def read_input_names(names):
    """Without a mask, padding would be read as text."""
    known = LoadableTokenizer.model_input_names, BertTokenizer.model_input_names
    right = isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names)
    if not right or sorted(names) not in list(map(sorted, known)):
        raise InputError(f"model_input_names must be {' or '.join(map(str, known))}; got {brief(names)}.")
    return list(names)


def read_side(name, value):
    check_side(name, value)
    return str(value)


def read_name(value):
    """name_or_path, of which nothing depends."""
    if not isinstance(value, (str, os.PathLike)):
        raise InputTypeError(f"name_or_path must be a name or a path; got {brief(value)}.")
    return os.fspath(value)


SETTINGS = {
    "padding_side": lambda self, name, value: read_side(name, value),
    "truncation_side": lambda self, name, value: read_side(name, value),
    "do_lower_case": lambda self, name, value: read_flag(name, value),
    "tokenize_chinese_chars": lambda self, name, value: read_flag(name, value),
    "strip_accents": lambda self, name, value: None if value is None else read_flag(name, value),
    "clean_up_tokenization_spaces": lambda self, name, value: read_flag(name, value),
    "model_max_length": lambda self, name, value: read_length(value),
    "model_input_names": lambda self, name, value: read_input_names(type(self).model_input_names if value is None else value),
    "name_or_path": lambda self, name, value: read_name(value),
}

BertTokenizerFast = BertTokenizer
DistilBertTokenizerFast = DistilBertTokenizer
