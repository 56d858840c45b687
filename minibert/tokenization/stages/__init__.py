"""The stages of tokenization, in reading order:

    unicode.py           the properties of characters (from unicode.bin)
    normalizer.py     1  "Crème BRÛLÉE" -> "creme brulee"
    pre_tokenizer.py  2  -> words
    wordpiece.py      3  -> pieces that are in the vocabulary
    byte_level.py     2  the same of RoBERTa and GPT-2: words with the space before them,
    byte_level_bpe.py 3  and tokens by merging their bytes
    added_tokens.py      [MASK] and other added tokens, which are matched in the text before stages 1 to 3
    template.py       4  -> [CLS] pieces [SEP], truncated

Stage 5, padding, is in ../encoding.py. Next: ../pipeline.py puts stages 1 to 3 together.
"""
