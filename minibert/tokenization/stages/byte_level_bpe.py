"""Stage 3 of GPT-2 and RoBERTa: a word -> tokens, by byte-pair encoding of its bytes.

    " lower"  ->  Ġ l o w e r  ->  Ġ l o w er  ->  Ġ lo w er  ->  Ġlo w er  ->  Ġlow er

The symbols of a word are its bytes at first. Of all neighbors that the list of merges has, the pair that is first in the
list is merged; of several equal pairs, the leftmost. That repeats until no pair is in the list (Sennrich, Haddow and Birch,
"Neural Machine Translation of Rare Words with Subword Units", 2016). Bytes are written as characters: byte_level.py.

A token may begin or end inside a character; its offsets then include the character.
Read next: added_tokens.py, for tokens that are matched in the text before these stages; then ../pipeline.py.
"""

from functools import cached_property
from heapq import heapify, heappop, heappush

from minibert.errors import VocabularyError, short_repr

from .byte_level import BYTE_CHARACTERS, CHARACTER_BYTES


class ByteLevelBPE:
    """A vocabulary {token: id}, and merges [(left, right), ...] in the order of their rank.

    A byte that is not in the vocabulary is `unk_token`, or dropped if that is None. fuse_unk: such neighbors are one token.
    """

    def __init__(self, vocab, merges, unk_token=None, fuse_unk=False):
        self.vocab, self.merges, self.unk_token, self.fuse_unk = vocab, merges, unk_token, fuse_unk
        if unk_token is not None and unk_token not in vocab:
            raise VocabularyError(f"the token for unknown bytes must be in the vocabulary; {short_repr(unk_token)} is not.")
        unknown = next((token for pair in merges for token in (*pair, "".join(pair)) if token not in vocab), None)
        if unknown is not None:
            raise VocabularyError(
                f"both sides of a merge, and its result, must be in the vocabulary; {short_repr(unknown)} is not among its"
                f" {len(vocab)} tokens. Are vocab.json and merges.txt of one model?"
            )

    @cached_property
    def ranks(self):
        """{(left, right): rank}; of two equal merges the last counts."""
        return {pair: rank for rank, pair in enumerate(self.merges)}

    @cached_property
    def has_all_bytes(self):
        return self.vocab.keys() >= CHARACTER_BYTES.keys()

    @cached_property
    def tokens(self):
        """{id: token}; of two tokens with one id the last."""
        return {token_id: token for token, token_id in self.vocab.items()}

    @property
    def saved(self):
        """Its form in a tokenizer.json."""
        return {
            "type": "BPE",
            "dropout": None,
            "unk_token": self.unk_token,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": self.fuse_unk,
            "byte_fallback": False,
            "vocab": self.vocab,
            "merges": [f"{left} {right}" for left, right in self.merges],
        }

    def pieces(self, word):
        """word -> [(id, token, start, end), ...]; start and end are characters of the word.

        As in the reference, offsets count the units of the symbols in UTF-8, and a dropped byte does not count.
        """
        symbols, units, sources = self.symbols(word)
        starts = self.merge(symbols)
        pieces, start_unit = [], 0
        for start, stop in zip(starts, [*starts[1:], len(symbols)]):
            token, end_unit = "".join(symbols[start:stop]), start_unit + sum(units[start:stop])
            pieces.append((self.vocab[token], token, sources[start_unit], sources[end_unit - 1] + 1))
            start_unit = end_unit
        return pieces

    def symbols(self, word):
        """word -> (its symbols, the units of each, the character of the word that each unit of its bytes is from)."""
        symbols: list[str] = []
        units, sources, is_unknown = [], [], False
        for index, character in enumerate(word):
            for byte in character.encode():
                symbol, was_unknown = BYTE_CHARACTERS[byte], is_unknown
                size = 1 if symbol < "\x80" else 2
                sources += [index] * size
                is_unknown = symbol not in self.vocab
                if not is_unknown:
                    symbols.append(symbol)
                    units.append(size)
                elif self.unk_token is not None and was_unknown and self.fuse_unk:
                    units[-1] += size
                elif self.unk_token is not None:
                    symbols.append(self.unk_token)
                    units.append(size)
        return symbols, units, sources

    def merge(self, symbols):
        """Symbols -> the index at which each token begins. A queue finds the next pair, so a word of n bytes takes n log n."""
        ranks, size = self.ranks, len(symbols)
        tokens, following, previous = list(symbols), list(range(1, size + 1)), list(range(-1, size))
        pairs = enumerate(zip(symbols, symbols[1:]))
        queue = [(ranks[pair], index) for index, pair in pairs if pair in ranks]
        heapify(queue)
        while queue:
            rank, left = heappop(queue)
            right = following[left]
            if right == size or ranks.get((tokens[left], tokens[right])) != rank:
                continue  # one of the two has been merged with another neighbor
            tokens[left] += tokens[right]
            tokens[right] = ""
            following[left] = after = following[right]
            previous[after] = left
            for first, second in ((previous[left], left), (left, after)):
                rank = ranks.get((tokens[first], tokens[second])) if first >= 0 and second < size else None
                if rank is not None:
                    heappush(queue, (rank, first))
        return [index for index, token in enumerate(tokens) if token]
