"""Text -> ids, exactly as BERT's reference tokenizer does it. To read in this order:

    unicode.py, normalizer.py      1  "Crème BRÛLÉE" -> "creme brulee"
    pre_tokenizer.py               2  -> words
    wordpiece.py                   3  -> pieces that are in the vocabulary
    added_tokens.py                   [MASK] and its like, found in the text before all that
    pipeline.py, fast_pipeline.py     the three together: the definition, then the same at speed
    batch.py                          and for many texts at once, compiled: tables for kernels/wordpiece.py
    template.py                    4  -> [CLS] pieces [SEP], cut to fit
    encoding.py                    5  -> rows, padded; and which place of the text each token came from
    tokenizer.py                      the class users call, on top of
        texts.py, arguments.py        what may be passed to it
        vocabulary.py, decoding.py    tokens <-> ids, and back to text
        batch_encoding.py             what it returns
    tokenizer_classes.py              BertTokenizer and the others
    loading.py, saving.py             from a checkpoint's files and to them
"""

from .added_tokens import AddedToken
from .batch_encoding import BatchEncoding
from .tokenizer_classes import (
    BertTokenizer,
    BertTokenizerFast,
    DistilBertTokenizer,
    DistilBertTokenizerFast,
    PreTrainedTokenizerFast,
)

__all__ = [
    "AddedToken",
    "BatchEncoding",
    "BertTokenizer",
    "BertTokenizerFast",
    "DistilBertTokenizer",
    "DistilBertTokenizerFast",
    "PreTrainedTokenizerFast",
]
