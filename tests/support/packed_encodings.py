"""What encode_packed gives, and what a call of the tokenizer for each text gives, as lists that can be compared."""

import numpy as np

# Encoded by a call of the tokenizer
WORDPIECE_FALLBACK = ["[MASK]", "a[SEP]b", "ส\u0e38ั", "\u0f71\u0f72", "\U0001d15e"]
BYTE_LEVEL_FALLBACK = ["<mask>", "a</s>b", "x" * 5000]


def rows(packed):
    """A PackedEncoding -> for each text its (ids, offsets, word ids), as lists."""
    bounds = packed.bounds.tolist()
    words = [None if word < 0 else word for word in packed.word_ids.tolist()]
    offsets = list(map(tuple, packed.offsets.tolist()))
    return [(packed.ids[a:b].tolist(), offsets[a:b], words[a:b]) for a, b in zip(bounds, bounds[1:])]


def calls(tokenizer, some, **options):
    """The same by a call for each text."""
    encoded = [tokenizer([text], verbose=False, **options)[0] for text in some]
    return [(row.ids, row.offsets, row.word_ids) for row in encoded]


def check(tokenizer, some, threads=1, **options):
    """Equal to the calls; without offsets the ids are the same."""
    packed = tokenizer.encode_packed(some, threads=threads, **options)
    for text, mine, other in zip(some, rows(packed), calls(tokenizer, some, **options), strict=True):
        assert mine == other, ascii(text)
    check_ids(tokenizer.encode_packed(some, threads=threads, return_offsets=False, **options), packed)


def check_ids(ids_alone, packed):
    assert ids_alone.offsets is None and ids_alone.word_ids is None
    assert np.array_equal(ids_alone.ids, packed.ids) and np.array_equal(ids_alone.bounds, packed.bounds)


def sweep(pair, codes, contexts):
    """(ours, the reference): the characters in every context, 50 to a text, all of a context as one batch."""
    ours, theirs = pair
    for context in contexts:
        groups = [codes[start : start + 50] for start in range(0, len(codes), 50)]
        batch = [" ".join(context.format(chr(code)) for code in group) for group in groups]
        mine = rows(ours.encode_packed(batch))
        for text, row, other in zip(batch, mine, theirs.encode_batch(batch), strict=True):
            assert row == (other.ids, other.offsets, other.word_ids), ascii(text)
