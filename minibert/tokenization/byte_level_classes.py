"""The classes with byte-level BPE: RobertaTokenizer, which is Longformer's too, and GPT2Tokenizer.

Read next: files/loading.py.
"""

from minibert.errors import InputError, strict_arguments
from minibert.tensors import check_without_effect

from .call_arguments import as_file, as_list
from .classes import PreTrainedTokenizerBase
from .decoding import ByteLevelDecoder
from .files.vocabularies import check_merges, check_vocab, read_merges_txt, read_vocab_json
from .stages.added_tokens import read_token
from .stages.byte_level import ByteLevelPreTokenizer
from .stages.byte_level_bpe import ByteLevelBPE
from .stages.normalizer import NO_NORMALIZER
from .stages.template import ByteLevelTemplate, RobertaTemplate
from .vocabulary import NAMED, vocab_of_special

ERRORS = ("replace", None)


class ByteLevelTokenizer(PreTrainedTokenizerBase):
    """What RoBERTa's and GPT-2's tokenizers have in common. `vocab` is {token: id} or the path of a vocab.json, `merges` a list
    of "left right" or the path of a merges.txt; without them, the special tokens alone."""

    model_type = "BPE"
    vocabulary_files = {"vocab": "vocab.json", "merges": "merges.txt"}
    flags: tuple[str, ...] = ("add_prefix_space",)

    def _construct(self, vocab, merges, add_prefix_space, errors, special, options):
        """The body of `__init__`: `special` are the special tokens by their names, in the order of their ids."""
        check_without_effect("errors", errors, ERRORS, "Bytes that are no UTF-8 decode to U+FFFD.")
        self.add_prefix_space = add_prefix_space
        self._pre_tokenizer = ByteLevelPreTokenizer(self.add_prefix_space)
        special = {name: None if token is None else read_token(name, token) for name, token in special.items()}
        if vocab is None:
            vocab = vocab_of_special(special, self.default_vocab)
        elif not isinstance(vocab, dict) and merges is None:
            raise InputError("a vocab.json needs its merges.txt; got vocab alone. Pass merges=..., the path of that file.")
        vocab = check_vocab(vocab, "the argument") if isinstance(vocab, dict) else read_vocab_json(as_file("vocab", vocab))
        super().__init__(
            NO_NORMALIZER,
            ByteLevelBPE(vocab, read_merges(merges)),
            ByteLevelDecoder(),
            {**dict.fromkeys(NAMED), **special},
            **options,
        )


class RobertaTokenizer(ByteLevelTokenizer):
    """RoBERTa's tokenizer. In published files <mask> takes the white space before it; as a string it does not."""

    flags = ("add_prefix_space", "trim_offsets")
    reserved_positions = 2  # positions count from 2
    default_vocab = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")

    @strict_arguments
    def __init__(
        self,
        vocab=None,
        merges=None,
        errors="replace",
        bos_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        cls_token="<s>",
        unk_token="<unk>",
        pad_token="<pad>",
        mask_token="<mask>",
        add_prefix_space=False,
        trim_offsets=True,
        vocab_file=None,
        merges_file=None,
        **options,
    ):
        self.trim_offsets = trim_offsets
        special = {"pad_token": pad_token, "unk_token": unk_token, "cls_token": cls_token, "sep_token": sep_token}
        special |= {"mask_token": mask_token, "bos_token": bos_token, "eos_token": eos_token}
        for name in ("cls_token", "sep_token"):  # of the template: None is an error
            special[name] = read_token(name, special[name])
        vocab, merges = vocab_file if vocab is None else vocab, merges_file if merges is None else merges
        self._construct(vocab, merges, add_prefix_space, errors, special, options)
        cls, sep = (self.cls_token, self.cls_token_id), (self.sep_token, self.sep_token_id)
        self._template = RobertaTemplate(*cls, *sep, self.trim_offsets, self.add_prefix_space)
        del self._pipeline  # the next one trims offsets


class GPT2Tokenizer(ByteLevelTokenizer):
    """GPT-2's tokenizer: no special tokens around a text, and offsets with the space before a word."""

    @strict_arguments
    def __init__(
        self,
        vocab=None,
        merges=None,
        errors="replace",
        unk_token="<|endoftext|>",
        bos_token="<|endoftext|>",
        eos_token="<|endoftext|>",
        pad_token=None,
        add_prefix_space=False,
        sep_token=None,
        cls_token=None,
        mask_token=None,
        vocab_file=None,
        merges_file=None,
        **options,
    ):
        special = {"unk_token": unk_token, "bos_token": bos_token, "eos_token": eos_token, "pad_token": pad_token}
        special |= {"sep_token": sep_token, "cls_token": cls_token, "mask_token": mask_token}
        vocab, merges = vocab_file if vocab is None else vocab, merges_file if merges is None else merges
        self._construct(vocab, merges, add_prefix_space, errors, special, options)
        self._template = ByteLevelTemplate(trim_offsets=False, add_prefix_space=False)


def read_merges(merges):
    """The argument `merges`, a list or the path of a file -> [(left, right), ...]."""
    if merges is None:
        return []
    if isinstance(merges, (list, tuple)):
        return check_merges(as_list(merges, "merges"), "the argument")
    return read_merges_txt(as_file("merges", merges))


RobertaTokenizerFast = LongformerTokenizer = LongformerTokenizerFast = RobertaTokenizer
GPT2TokenizerFast = GPT2Tokenizer
