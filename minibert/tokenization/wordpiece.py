"""Stage 3: a word -> the pieces of it that are in the vocabulary.

    "unaffable"  ->  un ##aff ##able

Greedy: the longest piece that starts the word, then the longest that goes on from there. Where no piece fits, or the
word is longer than 100 characters, the whole word is one [UNK].
Read next: added_tokens.py, for tokens that are matched in the text before all this; then pipeline.py.
"""

from functools import cached_property
from itertools import filterfalse

from minibert.errors import VocabularyError, brief


class WordPiece:
    """A vocabulary {token: id} that cuts words. Pieces inside a word are written there with `prefix`."""

    def __init__(self, vocab, unk_token="[UNK]", prefix="##", max_characters=100):
        if unk_token not in vocab:
            raise VocabularyError(
                f"the vocabulary must hold the token for unknown words; {brief(unk_token)} is not among its"
                f" {len(vocab)} tokens. Name it with unk_token=..., or mend the file."
            )
        self.vocab, self.unk_token, self.prefix, self.max_characters = vocab, unk_token, prefix, max_characters

    @cached_property
    def whole(self):
        """{token: id} of the tokens that a word may be without a cut."""
        if max(map(len, self.vocab)) <= self.max_characters:
            return self.vocab
        return {token: number for token, number in self.vocab.items() if len(token) <= self.max_characters}

    # What only a word cut into pieces needs: a first text of known words does without (a fifth of the time of a load).

    @cached_property
    def inner(self):
        """{what stands behind the prefix: id} of the pieces that go on."""
        prefix, cut = self.prefix, len(self.prefix)
        return {piece[cut:]: number for piece, number in self.vocab.items() if piece[:cut] == prefix}

    @cached_property
    def reach(self):
        """How far to look, for pieces that begin a word and for those that go on."""
        return _longest_by_first(self.vocab), _longest_by_first(self.inner)

    @cached_property
    def tokens(self):
        """{id: token}; of two tokens with one id the last."""
        return {number: token for token, number in self.vocab.items()}

    def cut(self, word):
        """word -> (ids of its pieces, where each ends in the word), two tuples."""
        size, find = len(word), self.vocab.get
        unknown = (self.vocab[self.unk_token],), (size,)
        if size > self.max_characters:
            return unknown
        number = find(word)
        if number is not None:
            return (number,), (size,)
        ids, ends, start, reach = [], [], 0, self.reach[0]
        while start < size:
            # Most scripts have only short pieces in a vocabulary: nothing longer than the longest is tried.
            end = start + reach.get(word[start], 0)
            end = end if end < size else size
            while end > start:
                number = find(word[start:end])
                if number is not None:
                    break
                end -= 1
            else:
                return unknown
            ids.append(number)
            ends.append(end)
            if not start:
                find, reach = self.inner.get, self.reach[1]
            start = end
        return tuple(ids), tuple(ends)

    def tokens_of(self, word):
        """The pieces of a word as strings."""
        ids, ends = self.cut(word)
        if ends == (len(word),) and word not in self.whole:
            return [self.unk_token]
        return [(self.prefix if start else "") + word[start:end] for start, end in zip((0, *ends), ends)]


def _longest_by_first(pieces):
    """First character -> no less than the length of the longest piece it starts.

    For ASCII it is the longest of all pieces: looking closer at 30,000 of them cost 15 ms of every load.
    """
    reach = dict.fromkeys(map(chr, range(128)), max(map(len, pieces), default=0))
    others = [piece for piece in filterfalse(str.isascii, pieces) if not piece[0].isascii()]
    return {**reach, **{piece[0]: len(piece) for piece in sorted(others, key=len)}}
