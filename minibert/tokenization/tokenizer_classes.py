"""The classes by the names transformers gives them: BertTokenizer, DistilBertTokenizer, PreTrainedTokenizerFast.

They differ in what they take from a checkpoint's files, exactly as transformers 5 does:

                            vocabulary                    normaliser                      template
    BertTokenizer           tokenizer.json or vocab.txt   flags of tokenizer_config.json  [CLS] A [SEP] B [SEP]
    PreTrainedTokenizerFast tokenizer.json                tokenizer.json                  tokenizer.json
"""

from functools import cached_property

from minibert.errors import InputError, VocabularyError, brief

from .added_tokens import AddedToken
from .arguments import check_side
from .normalizer import Normalizer
from .template import bert_template
from .tokenizer import Tokenizer
from .vocabulary import NAMED
from .vocabulary_files import check_vocab, read_tokenizer_json, read_vocab_txt
from .wordpiece import WordPiece

NO_LIMIT = 10**30


class LoadableTokenizer(Tokenizer):
    """What the classes have in common: options, `from_pretrained`, `save_pretrained`."""

    model_input_names = ["input_ids", "attention_mask"]

    def __init__(
        self, normalizer, model, decoder, *, special, added_tokens=(), extra_special_tokens=(), name_or_path="",
        model_max_length=None, padding_side="right", truncation_side="right", model_input_names=None,
        clean_up_tokenization_spaces=False,
    ):  # fmt: skip
        super().__init__(normalizer, model)
        check_side("padding_side", padding_side)
        check_side("truncation_side", truncation_side)
        check_flags(clean_up_tokenization_spaces=clean_up_tokenization_spaces)
        check_length(model_max_length)
        check_input_names(model_input_names or type(self).model_input_names)
        self.name_or_path, self._decoder, self._warned = name_or_path, decoder, False
        self.model_max_length = NO_LIMIT if model_max_length is None else int(min(model_max_length, NO_LIMIT))
        self.padding_side, self.truncation_side = padding_side, truncation_side
        self.model_input_names = list(model_input_names or type(self).model_input_names)
        self.clean_up_tokenization_spaces = clean_up_tokenization_spaces
        self._add_first(added_tokens, special, extra_special_tokens)

    def _add_first(self, added_tokens, special, extra):
        """The added tokens of the files, then those special tokens that are not among them."""
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

    def save_pretrained(self, folder):
        """Write tokenizer.json, tokenizer_config.json and vocab.txt; returns their paths."""
        from .saving import save

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
        vocab = vocab_file if vocab is None else vocab
        if vocab is None:
            vocab = {str(t): number for number, t in enumerate((pad_token, unk_token, cls_token, sep_token, mask_token))}
        vocab = check_vocab(vocab, "the argument") if isinstance(vocab, dict) else read_vocab_txt(vocab)
        check_flags(do_lower_case=do_lower_case, tokenize_chinese_chars=tokenize_chinese_chars)
        if strip_accents is not None:
            check_flags(strip_accents=strip_accents)
        self.do_lower_case, self.tokenize_chinese_chars = do_lower_case, tokenize_chinese_chars
        self.strip_accents = strip_accents
        special = (bos_token, eos_token, unk_token, sep_token, pad_token, cls_token, mask_token)
        super().__init__(
            Normalizer(True, tokenize_chinese_chars, strip_accents, do_lower_case),
            WordPiece(vocab, str(unk_token)),
            ("##", True),
            special=dict(zip(NAMED, special)),
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
        content = read_json(tokenizer_file, VocabularyError, largest=LARGEST_VOCABULARY)
        file = read_tokenizer_json(content, tokenizer_file)
        special = {name: options.pop(name, None) for name in NAMED}
        self._pre_tokenizer = file.pre_tokenizer
        super().__init__(
            file.normalizer,
            WordPiece(**file.model),
            file.decoder,
            special=special,
            added_tokens=[*file.added, *added_tokens],
            **{**file.sides, **options},
        )
        self._template = file.template


def check_flags(**flags):
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise InputError(f"{name} must be True or False; got {brief(value)}.")


def check_length(length):
    if length is not None and (isinstance(length, bool) or not isinstance(length, (int, float)) or not length >= 1):
        raise InputError(f"model_max_length must be a number, 1 or more; got {brief(length)}.")


def check_input_names(names):
    """Without a mask, padding would be read as text."""
    known = LoadableTokenizer.model_input_names, BertTokenizer.model_input_names
    if not isinstance(names, (list, tuple)) or sorted(map(str, names)) not in list(map(sorted, known)):
        raise InputError(f"model_input_names must be {' or '.join(map(str, known))}; got {brief(names)}.")


BertTokenizerFast = BertTokenizer
DistilBertTokenizerFast = DistilBertTokenizer
