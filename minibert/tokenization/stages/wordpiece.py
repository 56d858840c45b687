"""Stage 3: a word -> the pieces of it that are in the vocabulary.

    "unaffable"  ->  un ##aff ##able

Greedy longest match first: the longest piece that starts the word, then the longest that continues from there. If no
piece matches, or the word is longer than 100 characters, the word is one [UNK].
Read next: added_tokens.py, for tokens that are matched in the text before these stages; then ../pipeline.py.
"""

from functools import cached_property
from itertools import filterfalse

from minibert.errors import VocabularyError, short_repr


class WordPiece:
    """A vocabulary {token: id} and the splitting of words into its pieces. Those inside a word begin with `prefix`."""

    def __init__(self, vocab, unk_token="[UNK]", prefix="##", max_characters=100):
        if unk_token not in vocab:
            raise VocabularyError(
                f"the vocabulary must hold the token for unknown words; {short_repr(unk_token)} is not among its"
                f" {len(vocab)} tokens. Name it with unk_token=..., or fix the file."
            )
        self.vocab, self.unk_token, self.prefix, self.max_characters = vocab, unk_token, prefix, max_characters

    @cached_property
    def whole_words(self):
        """{token: id} of the tokens that are no longer than a word may be."""
        if max(map(len, self.vocab)) <= self.max_characters:
            return self.vocab
        return {token: token_id for token, token_id in self.vocab.items() if len(token) <= self.max_characters}

    # Only words of several pieces need the next two; a first text of known words does not (a fifth of the time of a load).

    @cached_property
    def continuations(self):
        """{the piece without its prefix: id} of the pieces inside a word."""
        prefix, size = self.prefix, len(self.prefix)
        return {piece[size:]: token_id for piece, token_id in self.vocab.items() if piece[:size] == prefix}

    @cached_property
    def max_lengths(self):
        """First character -> the longest piece to try, for pieces that begin a word and for continuations."""
        return _max_lengths(self.vocab), _max_lengths(self.continuations)

    @cached_property
    def tokens(self):
        """{id: token}; of two tokens with one id the last."""
        return {token_id: token for token, token_id in self.vocab.items()}

    def longest_match(self, word):
        """word -> (ids of its pieces, the end of each in the word), two tuples."""
        size, find = len(word), self.vocab.get
        unknown = (self.vocab[self.unk_token],), (size,)
        if size > self.max_characters:
            return unknown
        token_id = find(word)
        if token_id is not None:
            return (token_id,), (size,)
        ids, ends, start, max_lengths = [], [], 0, self.max_lengths[0]
        while start < size:
            # In most scripts a vocabulary has only short pieces.
            end = start + max_lengths.get(word[start], 0)
            end = end if end < size else size
            while end > start:
                token_id = find(word[start:end])
                if token_id is not None:
                    break
                end -= 1
            else:
                return unknown
            ids.append(token_id)
            ends.append(end)
            if not start:
                find, max_lengths = self.continuations.get, self.max_lengths[1]
            start = end
        return tuple(ids), tuple(ends)

    def pieces(self, word):
        """word -> [(id, token, start, end), ...]; start and end are characters of the word."""
        ids, ends = self.longest_match(word)
        return list(zip(ids, self.tokens_of(word, ends), (0, *ends), ends))

    def tokens_of(self, word, ends):
        """The pieces of a word, which end at `ends`, as strings."""
        if ends == (len(word),) and word not in self.whole_words:
            return [self.unk_token]
        return [(self.prefix if start else "") + word[start:end] for start, end in zip((0, *ends), ends)]

    @property
    def saved(self):
        """Its form in a tokenizer.json."""
        return {
            "type": "WordPiece",
            "unk_token": self.unk_token,
            "continuing_subword_prefix": self.prefix,
            "max_input_chars_per_word": self.max_characters,
            "vocab": self.vocab,
        }


def _max_lengths(pieces):
    """First character -> an upper bound of the length of the pieces that it starts.

    For ASCII it is the longest of all pieces: the exact lengths of 30,000 pieces cost 15 ms of every load.
    """
    ascii_lengths = dict.fromkeys(map(chr, range(128)), max(map(len, pieces), default=0))
    others = [piece for piece in filterfalse(str.isascii, pieces) if not piece[0].isascii()]
    return {**ascii_lengths, **{piece[0]: len(piece) for piece in sorted(others, key=len)}}
