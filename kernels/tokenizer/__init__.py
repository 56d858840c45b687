"""WordPiece for many texts at once, compiled. `minibert/tokenization/batch.py` calls it. Reading order:

    cpython_strings.py  texts, read where CPython keeps their characters
    encode.py           the loop over texts
    segment.py          one part of a text, between spaces: characters to pieces
    trie.py             the vocabulary, for the longest match
    part_cache.py       parts that were encoded before
"""
