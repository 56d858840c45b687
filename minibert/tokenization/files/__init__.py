"""A tokenizer's files.

Reading order:

    vocabularies.py   vocab.txt, vocab.json and merges.txt, and the model of a tokenizer.json
    parsing.py        the other parts of a tokenizer.json
    loading.py        a checkpoint's files -> the arguments of a tokenizer class
    saving.py         a tokenizer -> its files
"""
