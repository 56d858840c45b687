"""Back to text: ids -> a string to read.

    [101, 3653, 2102, 1012, 102]  ->  "[CLS] prett. [SEP]"

WordPiece's pieces lose their ## and are joined to the token before them; a space goes before every other token. Spaces before
punctuation are removed token by token; those inside "don ' t" remain: `clean_up_tokenization_spaces=True` removes
them, as it works on the whole string. Byte-level tokens are joined byte by byte.
"""

from typing import NamedTuple

from minibert.errors import InputError, InputTypeError, short_repr, strict_arguments

from .call_arguments import as_flag, as_list, as_python
from .stages.byte_level import CHARACTER_BYTES
from .vocabulary import Vocabulary, as_id

MAX_DEPTH = 8  # of nested lists of ids
CONTRACTIONS = ((" ' ", "'"), (" n't", "n't"), (" 'm", "'m"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"))
PUNCTUATION = ((" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","))

# The library has one rule more, after " 'm": " do not" -> " don't".
RULES = (*PUNCTUATION, *CONTRACTIONS[:3], (" do not", " don't"), *CONTRACTIONS[3:])


class WordPieceDecoder(NamedTuple):
    """Tokens -> a string, as the WordPiece decoder of the `tokenizers` library writes it. tidy: no spaces before punctuation."""

    prefix: str = "##"
    tidy: bool = True

    def join(self, tokens):
        text = []
        for index, token in enumerate(tokens):
            if index:
                token = token[len(self.prefix) :] if token.startswith(self.prefix) else " " + token
            text.append(_replace(token, RULES) if self.tidy else token)
        return "".join(text)

    @property
    def saved(self):
        """Its form in a tokenizer.json."""
        return {"type": "WordPiece", "prefix": self.prefix, "cleanup": self.tidy}


class ByteLevelDecoder(NamedTuple):
    """Tokens -> the string of their bytes; bytes that are no UTF-8 are U+FFFD. A token with other characters than those of
    byte_level.py, which only an added one can have, is itself."""

    def join(self, tokens):
        return b"".join(map(bytes_of, tokens)).decode("utf-8", "replace")

    @property
    def saved(self):
        return {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}


def bytes_of(token):
    """A token of a byte-level vocabulary -> its bytes."""
    try:
        return bytes([CHARACTER_BYTES[character] for character in token])
    except KeyError:
        return token.encode("utf-8", "replace")


def clean_up(text):
    """transformers' clean_up_tokenization: the same on a whole string."""
    return _replace(text, (*PUNCTUATION, *CONTRACTIONS))


def _replace(text, rules):
    for old, new in rules:
        text = text.replace(old, new)
    return text


class Decoder(Vocabulary):
    """The methods of a tokenizer that go back to text."""

    _decoder: WordPieceDecoder | ByteLevelDecoder

    @strict_arguments
    def decode(
        self, token_ids, skip_special_tokens=False, clean_up_tokenization_spaces=None, spaces_between_special_tokens=None
    ):
        """Ids -> a string; rows of ids -> a list of strings. Ids that are not in the vocabulary are skipped.

        As in transformers 5, spaces_between_special_tokens has no effect.
        """
        as_flag("spaces_between_special_tokens", spaces_between_special_tokens)
        skipped = self._specials if as_flag("skip_special_tokens", skip_special_tokens) else ()
        tidy = self.clean_up_tokenization_spaces if clean_up_tokenization_spaces is None else clean_up_tokenization_spaces
        return self._decode(_ids_of(token_ids), skipped, as_flag("clean_up_tokenization_spaces", tidy))

    def _decode(self, ids, skipped, tidy, depth=0):
        """Nested rows -> nested lists of strings."""
        ids = as_python(ids, "token ids")
        ids = as_list(ids, "token ids") if hasattr(ids, "__iter__") else [ids]
        ids = [as_python(row, "token ids") for row in ids]  # of a tensor without axes an integer
        if any(hasattr(row, "__iter__") and not isinstance(row, str) for row in ids):
            if depth == MAX_DEPTH:
                raise InputTypeError(f"token ids must be an integer, a row, or rows; got lists nested {MAX_DEPTH} deep.")
            return [self._decode(row, skipped, tidy, depth + 1) for row in ids]
        tokens = [self._token(as_id(token_id)) for token_id in ids]
        text = self._decoder.join([token for token in tokens if token is not None and token not in skipped])
        return clean_up(text) if tidy else text

    @strict_arguments
    def batch_decode(
        self, sequences, skip_special_tokens=False, clean_up_tokenization_spaces=None, spaces_between_special_tokens=None
    ):
        """Rows of ids -> a list of strings; as in transformers 5, one row of ids -> a list of one string."""
        rows = as_list(_ids_of(sequences), "rows of token ids")
        if not rows:
            return []
        texts = self.decode(rows, skip_special_tokens, clean_up_tokenization_spaces, spaces_between_special_tokens)
        return [texts] if isinstance(texts, str) else texts

    @strict_arguments
    def convert_tokens_to_string(self, tokens):
        """Tokens -> a string."""
        tokens = as_list(tokens, "tokens")
        if not all(isinstance(token, str) for token in tokens):
            raise InputTypeError(f"tokens must be strings; got {short_repr(tokens)}.")
        return self._decoder.join(tokens)


def _ids_of(value):
    """The ids of a BatchEncoding or dictionary; anything else as it is."""
    if isinstance(value, type) or not hasattr(value, "keys"):
        return value
    if "input_ids" not in value:
        raise InputError(f"a dictionary to be decoded must have 'input_ids'; got {', '.join(map(str, value)) or 'nothing'}.")
    return value["input_ids"]
