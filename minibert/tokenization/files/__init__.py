"""A tokenizer's files.

Reading order:

    parsing.py   vocab.txt and tokenizer.json -> the parts of a tokenizer
    loading.py   a checkpoint's files -> the arguments of a tokenizer class
    saving.py    a tokenizer -> its files
"""
