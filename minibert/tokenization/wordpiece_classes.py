"""The classes with WordPiece: BertTokenizer, DistilBertTokenizer, FunnelTokenizer and MPNetTokenizer.

Read next: files/loading.py.
"""

from minibert.errors import strict_arguments

from .call_arguments import as_file
from .classes import PreTrainedTokenizerBase
from .decoding import WordPieceDecoder
from .files.vocabularies import check_vocab, read_vocab_txt
from .stages.added_tokens import AddedToken, read_token
from .stages.normalizer import Normalizer
from .stages.template import RobertaTemplate, bert_template
from .stages.wordpiece import WordPiece
from .vocabulary import NAMED, vocab_of_special

REQUIRED = ("unk_token", "sep_token", "cls_token")  # of BERT's template and model


class BertTokenizer(PreTrainedTokenizerBase):
    """BERT's tokenizer: `vocab` is {token: id} or the path of a vocab.txt; without one, the special tokens alone."""

    model_type = "WordPiece"
    vocabulary_files = {"vocab": "vocab.txt"}
    flags = ("do_lower_case", "tokenize_chinese_chars", "strip_accents")
    model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    default_vocab: tuple[str, ...] = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    cls_token_type_id = 0

    @strict_arguments
    def __init__(
        self,
        vocab=None,
        do_lower_case=True,
        unk_token="[UNK]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        mask_token="[MASK]",
        tokenize_chinese_chars=True,
        strip_accents=None,
        bos_token=None,
        eos_token=None,
        vocab_file=None,
        **options,
    ):
        tokens = (bos_token, eos_token, unk_token, sep_token, pad_token, cls_token, mask_token)
        special = dict(zip(NAMED, tokens))
        for name, token in special.items():
            if token is not None or name in REQUIRED:
                special[name] = read_token(name, token)
        vocab = vocab_file if vocab is None else vocab
        if vocab is None:
            vocab = vocab_of_special(special, self.default_vocab)
        vocab = check_vocab(vocab, "the argument") if isinstance(vocab, dict) else read_vocab_txt(as_file("vocab", vocab))
        self.do_lower_case, self.tokenize_chinese_chars = do_lower_case, tokenize_chinese_chars
        self.strip_accents = strip_accents
        super().__init__(
            Normalizer(True, self.tokenize_chinese_chars, self.strip_accents, self.do_lower_case),
            WordPiece(vocab, str(special["unk_token"])),
            WordPieceDecoder(),
            special,
            **options,
        )
        cls, sep = (self.cls_token, self.cls_token_id), (self.sep_token, self.sep_token_id)
        self._template = bert_template(*cls, *sep, self.cls_token_type_id)


class DistilBertTokenizer(BertTokenizer):
    """BertTokenizer without token_type_ids, which DistilBERT does not have."""

    model_input_names = ["input_ids", "attention_mask"]


class FunnelTokenizer(BertTokenizer):
    """BertTokenizer with other special tokens, whose <cls> has the token type 2, if types are asked for. (Funnel's models are not here.)"""

    model_input_names = ["input_ids", "attention_mask"]
    default_vocab = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token", "bos_token", "eos_token")
    cls_token_type_id = 2

    @strict_arguments
    def __init__(
        self,
        vocab=None,
        do_lower_case=True,
        unk_token="<unk>",
        sep_token="<sep>",
        pad_token="<pad>",
        cls_token="<cls>",
        mask_token="<mask>",
        bos_token="<s>",
        eos_token="</s>",
        tokenize_chinese_chars=True,
        strip_accents=None,
        vocab_file=None,
        **options,
    ):
        super().__init__(
            vocab_file if vocab is None else vocab,
            do_lower_case=do_lower_case,
            unk_token=unk_token,
            sep_token=sep_token,
            pad_token=pad_token,
            cls_token=cls_token,
            mask_token=mask_token,
            tokenize_chinese_chars=tokenize_chinese_chars,
            strip_accents=strip_accents,
            bos_token=bos_token,
            eos_token=eos_token,
            **options,
        )


class MPNetTokenizer(BertTokenizer):
    """BertTokenizer with RoBERTa's special tokens and template. <mask> takes the white space before it."""

    model_input_names = ["input_ids", "attention_mask"]
    reserved_positions = 2  # positions count from 2
    default_vocab = NAMED

    @strict_arguments
    def __init__(
        self,
        vocab=None,
        do_lower_case=True,
        bos_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        cls_token="<s>",
        unk_token="[UNK]",
        pad_token="<pad>",
        mask_token="<mask>",
        tokenize_chinese_chars=True,
        strip_accents=None,
        vocab_file=None,
        **options,
    ):
        super().__init__(
            vocab_file if vocab is None else vocab,
            do_lower_case=do_lower_case,
            unk_token=unk_token,
            sep_token=sep_token,
            pad_token=pad_token,
            cls_token=cls_token,
            mask_token=AddedToken(mask_token, lstrip=True, special=True) if isinstance(mask_token, str) else mask_token,
            tokenize_chinese_chars=tokenize_chinese_chars,
            strip_accents=strip_accents,
            bos_token=bos_token,
            eos_token=eos_token,
            **options,
        )
        self._template = RobertaTemplate(self.cls_token, self.cls_token_id, self.sep_token, self.sep_token_id)
        del self._pipeline  # the next one trims offsets


BertTokenizerFast = BertTokenizer
DistilBertTokenizerFast = DistilBertTokenizer
FunnelTokenizerFast = FunnelTokenizer
MPNetTokenizerFast = MPNetTokenizer
