"""Text -> ids, exactly as the reference tokenizers of BERT and RoBERTa compute them.

Reading order:

    stages/                           the stages of the pipeline, one file each
        unicode.py, normalizer.py     1  "Crème BRÛLÉE" -> "creme brulee"
        pre_tokenizer.py              2  -> words
        wordpiece.py                  3  -> pieces that are in the vocabulary
        byte_level.py                 2  the same of RoBERTa and GPT-2: words with the space before them,
        byte_level_bpe.py             3  and tokens by merging their bytes
        added_tokens.py                  [MASK] and other added tokens, matched in the text before stages 1 to 3
        template.py                   4  -> [CLS] pieces [SEP], truncated
    pipeline.py, fast_pipeline.py     stages 1 to 3 together: the definition, then an equal fast form
    compiled.py                       the same for many texts at once, compiled: calls of kernels/tokenizer/
        compiled_wordpiece.py, compiled_byte_level.py
                                      its tables
    encoding.py                       5  -> padded rows; which part of the text each token came from
    tokenizer.py                      the methods that users call, on top of
        call_arguments.py             checking of their arguments
        vocabulary.py, decoding.py    tokens <-> ids, and back to text
        batch_encoding.py             the result of a call
        legacy_methods.py             rows from ids, and methods of transformers 4
    classes.py, settings.py           what all classes have in common; AutoTokenizer (minibert/auto.py) selects one
        wordpiece_classes.py          BertTokenizer and its like
        byte_level_classes.py         RobertaTokenizer and GPT2Tokenizer
    files/                            loading from a checkpoint's files, and saving
"""

from .batch_encoding import BatchEncoding
from .byte_level_classes import (
    GPT2Tokenizer,
    GPT2TokenizerFast,
    LongformerTokenizer,
    LongformerTokenizerFast,
    RobertaTokenizer,
    RobertaTokenizerFast,
)
from .classes import PreTrainedTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from .stages.added_tokens import AddedToken
from .wordpiece_classes import (
    BertTokenizer,
    BertTokenizerFast,
    DistilBertTokenizer,
    DistilBertTokenizerFast,
    FunnelTokenizer,
    FunnelTokenizerFast,
    MPNetTokenizer,
    MPNetTokenizerFast,
)

__all__ = [
    "AddedToken",
    "BatchEncoding",
    "BertTokenizer",
    "BertTokenizerFast",
    "DistilBertTokenizer",
    "DistilBertTokenizerFast",
    "FunnelTokenizer",
    "FunnelTokenizerFast",
    "GPT2Tokenizer",
    "GPT2TokenizerFast",
    "LongformerTokenizer",
    "LongformerTokenizerFast",
    "MPNetTokenizer",
    "MPNetTokenizerFast",
    "PreTrainedTokenizer",
    "PreTrainedTokenizerBase",
    "PreTrainedTokenizerFast",
    "RobertaTokenizer",
    "RobertaTokenizerFast",
]
