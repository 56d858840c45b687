"""What may be given to a tokenizer, told apart: a text, a pair, a batch of either, or the same as lists of words.

    "a"                        one text                 ["a", "b"]                 a batch of two
    "a", "b"                   one pair                 ["a", "c"], ["b", "d"]     a batch of two pairs
                                                        [("a", "b"), ("c", "d")]   the same
    ["a", "b"]                 with is_split_into_words=True: one text of two words
"""

from minibert.errors import InputError, InputTypeError, brief


def read_texts(text, text_pair, words):
    """The arguments of a call -> (rows, batched): each row a tuple of one text or two."""
    if text_pair is None and type(text) is str and not words:  # the usual case
        return [(text,)], False
    batched = isinstance(text, (list, tuple)) and (not words or bool(text) and isinstance(text[0], (list, tuple)))
    if not batched:
        # As transformers has it, an empty second text is no second text here; in a batch it is one.
        empty = text_pair is None or (isinstance(text_pair, (str, list, tuple)) and not text_pair)
        row = (text,) if empty else (text, text_pair)
        return [tuple(_check(part, words) for part in row)], False
    if text_pair is None:
        return [_row(item, words) for item in text], True
    if isinstance(text_pair, str) or not isinstance(text_pair, (list, tuple)):
        raise InputTypeError(f"beside a batch of texts, text_pair must be a list as well; got {type(text_pair).__name__}.")
    if len(text) != len(text_pair):
        raise InputError(f"text and text_pair must be lists of one length; got {len(text)} and {len(text_pair)}.")
    return [(_check(first, words), _check(second, words)) for first, second in zip(text, text_pair)], True


def _row(item, words):
    """An item of a batch: a text, or two of them in a tuple or list."""
    is_pair = isinstance(item, (list, tuple)) and len(item) == 2
    if is_pair and not (words and all(isinstance(part, str) for part in item)):
        return tuple(_check(part, words) for part in item)
    return (_check(item, words),)


def _check(text, words):
    """A str, or with `words` a list of str; anything else is refused."""
    if words and isinstance(text, (list, tuple)):
        for word in text:
            _check(word, False)
        return list(text)
    if words or not isinstance(text, str):
        kind = "a list of strings, as is_split_into_words=True says" if words else "a string"
        hint = " Decode bytes first." if isinstance(text, (bytes, bytearray)) else ""
        raise InputTypeError(f"a text must be {kind}; got {type(text).__name__}: {brief(text)}.{hint}")
    return text
