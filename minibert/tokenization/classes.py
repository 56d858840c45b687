"""The classes, under transformers' names: what all of them have in common, and PreTrainedTokenizerFast, which takes any
tokenizer.json. Those with WordPiece are in wordpiece_classes.py, those with byte-level BPE in byte_level_classes.py.

They differ in what they take from a checkpoint's files, exactly as transformers 5 does:

                            vocabulary                    pipeline                        template
    BertTokenizer           tokenizer.json or vocab.txt   flags of tokenizer_config.json  [CLS] A [SEP] B [SEP]
    FunnelTokenizer         tokenizer.json or vocab.txt   flags of tokenizer_config.json  <cls> A <sep> B <sep>
    MPNetTokenizer          tokenizer.json or vocab.txt   flags of tokenizer_config.json  <s> A </s></s> B </s>
    RobertaTokenizer        tokenizer.json, or vocab.json flags of tokenizer_config.json  <s> A </s></s> B </s>
                            and merges.txt
    PreTrainedTokenizerFast tokenizer.json                tokenizer.json                  tokenizer.json

Read next: wordpiece_classes.py; byte_level_classes.py; files/loading.py; ../auto.py selects the class of a checkpoint.
"""

from functools import cached_property

from minibert.errors import InputError, InputTypeError, VocabularyError, check_option_names, short_repr, strict_arguments
from minibert.loading import saving_folder

from .call_arguments import as_file, as_list
from .encoding import pad
from .files import loading, saving
from .files.parsing import read_tokenizer_json
from .files.vocabularies import make_model
from .legacy_methods import LegacyMethods
from .settings import SETTINGS
from .stages.added_tokens import AddedToken, as_token, read_token
from .vocabulary import NAMED, is_named_token


class PreTrainedTokenizerBase(LegacyMethods):
    """What all classes have in common, for isinstance(): their options, `from_pretrained`, `save_pretrained` and `pad`."""

    described_by_tokenizer_json = False  # whether it takes everything from tokenizer.json
    model_type: str | None = None  # of its model in a tokenizer.json, if it takes only that
    vocabulary_files: dict[str, str] = {}  # an argument of the class -> the file it is in, if there is no tokenizer.json
    flags: tuple[str, ...] = ()  # options that only some classes have
    default_vocab: tuple[str, ...] = ()  # names of the special tokens that are the vocabulary if none is passed
    reserved_positions = 0  # of the model's positions, those that no token has
    model_input_names = ["input_ids", "attention_mask"]

    @strict_arguments
    def __init__(
        self,
        normalizer=None,
        model=None,
        decoder=None,
        special=None,
        /,
        *,
        added_tokens=(),
        extra_special_tokens=(),
        name_or_path="",
        model_max_length=None,
        padding_side="right",
        truncation_side="right",
        model_input_names=None,
        clean_up_tokenization_spaces=False,
        split_special_tokens=False,
        model_specific_special_tokens=None,
        **named_tokens,
    ):
        others = [name for name, token in named_tokens.items() if not is_named_token(name, token)]
        check_option_names(type(self).__name__, others, option_names(type(self)))
        refuse_base(type(self))
        if not isinstance(model_specific_special_tokens, (dict, type(None))):
            value = short_repr(model_specific_special_tokens)
            raise InputTypeError(f"model_specific_special_tokens must be a dictionary of names and tokens; got {value}.")
        super().__init__(normalizer, model)
        self.name_or_path, self._decoder, self._warned = name_or_path, decoder, False
        self.model_max_length = model_max_length
        self.padding_side, self.truncation_side = padding_side, truncation_side
        self.model_input_names = model_input_names
        self.clean_up_tokenization_spaces = clean_up_tokenization_spaces
        self.split_special_tokens = split_special_tokens
        for tokens in (extra_special_tokens, model_specific_special_tokens):
            named_tokens.update(tokens if isinstance(tokens, dict) else {})
        extra = [] if isinstance(extra_special_tokens, dict) else extra_special_tokens
        self._add_first(as_list(added_tokens, "added_tokens"), {**special, **named_tokens}, extra)

    def __setattr__(self, name, value):
        """Check a setting when it is assigned, since it is read in every call."""
        check = SETTINGS.get(name)
        super().__setattr__(name, value if check is None else check(self, name, value))
        if name == "split_special_tokens":
            self.__dict__.pop("_pipeline", None)
            self.__dict__.pop("_other_pipeline", None)

    def _add_first(self, added_tokens, special, extra):
        """Add the added tokens of the files, then the special tokens that are not among them."""
        extra = [] if extra is None else as_list(extra, "extra_special_tokens")
        added_tokens = list(map(as_token, added_tokens))
        for token in added_tokens:
            if not isinstance(token, AddedToken):
                raise InputTypeError(f"added_tokens must be AddedTokens; got {short_repr(token)}.")
        for name in special:
            if not isinstance(name, str):
                raise InputTypeError(f"the name of a special token must be a string; got {short_repr(name)}.")
        special = {name: None if token is None else read_token(name, token) for name, token in special.items()}
        extra = [read_token("extra_special_tokens", token) for token in extra]
        self._named.update({name: None if token is None else str(token) for name, token in special.items()})
        self._extra_special = [str(token) for token in extra]
        added = {token.content for token in added_tokens}
        missing = [token for token in (*special.values(), *extra) if token is not None and str(token) not in added]
        self.add_tokens([*added_tokens, *(AddedToken(t, special=True) if isinstance(t, str) else t for t in missing)])

    @classmethod
    @strict_arguments
    def from_pretrained(
        cls, pretrained_model_name_or_path, *, revision=None, cache_dir=None, token=None, local_files_only=False, **overrides
    ):
        """The tokenizer of a checkpoint: a folder or a name on the hub. Overrides replace values of tokenizer_config.json."""
        refuse_base(cls)
        location = {"revision": revision, "cache_dir": cache_dir, "token": token, "local_files_only": local_files_only}
        checkpoint, overrides = loading.locate(pretrained_model_name_or_path, {**location, **overrides})
        return loading.load(cls, checkpoint, overrides)

    @strict_arguments
    def save_pretrained(self, save_directory=None, legacy_format=None, filename_prefix=None, push_to_hub=False, **options):
        """Write tokenizer.json, tokenizer_config.json and the files that older programs read to a folder; returns their paths.

        The other arguments are transformers', and change nothing.
        """
        options |= {"legacy_format": legacy_format, "filename_prefix": filename_prefix, "push_to_hub": push_to_hub}
        return saving.save(self, saving_folder(save_directory, options))

    @strict_arguments
    def save_vocabulary(self, save_directory, filename_prefix=None):
        """Write vocab.txt, or vocab.json and merges.txt, with <filename_prefix>- before their names; returns their paths.
        Added tokens are not in them."""
        return saving.save_vocabulary(self, save_directory, filename_prefix)

    @property
    def init_kwargs(self):
        """The settings, by their names in tokenizer_config.json."""
        return {**saving.tokenizer_config(self), "name_or_path": self.name_or_path}

    @property
    def max_len_single_sentence(self):
        """The tokens of a text that fit into a row beside the special ones."""
        return self.model_max_length - self.num_special_tokens_to_add()

    @property
    def max_len_sentences_pair(self):
        """The tokens of two texts that fit into a row beside the special ones."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=True)

    @cached_property
    def _special_affixes(self):
        """The ids before and after a single text."""
        parts = self._template.single
        middle = next(index for index, part in enumerate(parts) if part.sequence is not None)
        return [[token_id for part in side for token_id in part.ids] for side in (parts[:middle], parts[middle + 1 :])]

    @strict_arguments
    def pad(
        self,
        encoded_inputs,
        padding=True,
        max_length=None,
        pad_to_multiple_of=None,
        padding_side=None,
        return_attention_mask=None,
        return_tensors=None,
        verbose=True,
    ):
        """Pad rows of ids: a dictionary of rows or of one row, or a list of dictionaries of one row each -> BatchEncoding.

        Arrays and tensors come back as what they are, unless return_tensors says otherwise. The rows that a call returns
        need no `pad`, only padding=True.
        """
        lengths = {"max_length": max_length, "pad_to_multiple_of": pad_to_multiple_of, "padding_side": padding_side}
        return pad(self, encoded_inputs, return_attention_mask, return_tensors, verbose, padding=padding, **lengths)

    def __repr__(self):
        added = "".join(f"\n\t{token_id}: {token}," for token_id, token in self.added_tokens_decoder.items())
        return (
            f"{type(self).__name__}(name_or_path={self.name_or_path!r}, vocab_size={self.vocab_size},"
            f" model_max_length={self.model_max_length}, padding_side={self.padding_side!r},"
            f" truncation_side={self.truncation_side!r}, special_tokens={self.special_tokens_map},"
            f" added_tokens_decoder={{{added}\n}})"
        )


class PreTrainedTokenizerFast(PreTrainedTokenizerBase):
    """The tokenizer that a tokenizer.json fully describes: `tokenizer_file` is its path."""

    described_by_tokenizer_json = True

    @strict_arguments
    def __init__(self, *, tokenizer_file=None, added_tokens=(), **options):
        from minibert.files import LARGEST_VOCABULARY, read_json

        if tokenizer_file is None:
            raise InputError("PreTrainedTokenizerFast needs tokenizer_file=..., the path of a tokenizer.json; got none.")
        tokenizer_file = as_file("tokenizer_file", tokenizer_file)
        content = read_json(tokenizer_file, VocabularyError, largest=LARGEST_VOCABULARY)
        file = read_tokenizer_json(content, tokenizer_file)
        special = {name: options.pop(name, None) for name in NAMED}
        added_tokens = [*file.added, *as_list(added_tokens, "added_tokens")]
        self._pre_tokenizer, self._template = file.pre_tokenizer, file.template
        super().__init__(
            file.normalizer,
            make_model(file.model),
            file.decoder,
            special,
            added_tokens=added_tokens,
            **{**file.sides, **options},
        )


PreTrainedTokenizer = PreTrainedTokenizerBase  # transformers' name for tokenizers without a tokenizer.json


def refuse_base(cls):
    """InputTypeError for the class that is no tokenizer by itself."""
    if cls is PreTrainedTokenizerBase:
        raise InputTypeError(
            "PreTrainedTokenizerBase is what all tokenizers have in common, for isinstance(); it is none itself."
            " Call AutoTokenizer.from_pretrained, or a class such as BertTokenizer."
        )


def option_names(cls):
    """The options of a class, for an error."""
    code = cls.__init__.__wrapped__.__code__
    names = code.co_varnames[1 + code.co_posonlyargcount : code.co_argcount] or ("tokenizer_file",)
    common = PreTrainedTokenizerBase.__init__.__wrapped__.__kwdefaults__  # type: ignore[attr-defined]
    return (*names, *(name for name in common if name not in names))
