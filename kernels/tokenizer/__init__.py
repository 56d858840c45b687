"""WordPiece and byte-level BPE for many texts at once, compiled. `minibert/tokenization/compiled.py` calls it.

Reading order:

    cpython_strings.py  texts, read from the memory in which CPython keeps their characters
    encode.py           the loop over texts
    segment.py          one segment of a text, which is the text between two spaces: characters to pieces
    trie.py             the vocabulary, for the longest match
    segment_cache.py    segments that were encoded before

    encode_byte_level.py  the same loop for byte-level BPE
    byte_level.py         a segment: its words, their bytes, their pieces
    merges.py             the merges of a word
    long_segments.py      segments that are too long for segment_cache.py
"""
