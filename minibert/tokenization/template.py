"""Stage 4: special tokens round the ids, and the cutting of what is too long.

    A           ->  [CLS] A [SEP]
    A and B     ->  [CLS] A [SEP] B [SEP]      with token types 0 and, from B on, 1

A long sequence is cut into windows, of which the first is the input and the others the overflow; neighbours share
`stride` tokens:    10 tokens, size 4, stride 1  ->  (0, 4) (3, 7) (6, 10)
Read next: encoding.py.
"""

from minibert.errors import InputError, brief


class Part:
    """One place of a template: sequence 0 or 1, or (None) special tokens, which have columns as a sequence has."""

    def __init__(self, sequence, type_id, ids=(), tokens=()):
        self.sequence, self.type_id, self.ids, self.tokens = sequence, type_id, list(ids), list(tokens)
        self.offsets, self.word_ids = [(0, 0)] * len(self.ids), [None] * len(self.ids)
        self.is_special = int(sequence is None)


class Template:
    """The parts for one sequence, and for a pair."""

    def __init__(self, single, pair):
        self.single, self.pair = single, pair
        self.second_first = [part.sequence for part in pair if part.sequence is not None] == [1, 0]
        self._without = [[part for part in parts if part.sequence is not None] for parts in (single, pair)]

    def parts(self, pair, special):
        """The parts in use; without the special ones where `special` is false."""
        if special:
            return self.pair if pair else self.single
        return self._without[pair]

    def special_count(self, pair):
        """How many special tokens the template adds."""
        return sum(len(part.ids) for part in (self.pair if pair else self.single))


def bert_template(cls_token, cls_id, sep_token, sep_id):
    """The template of BERT and DistilBERT."""
    single = [Part(None, 0, [cls_id], [cls_token]), Part(0, 0), Part(None, 0, [sep_id], [sep_token])]
    return Template(single, [*single, Part(1, 1), Part(None, 1, [sep_id], [sep_token])])


def cut(lengths, room, strategy, stride, side):
    """Lengths of the sequences -> for each its windows, so that the first ones together fit into `room` tokens."""
    sizes = list(lengths)
    if room == 0:
        sizes = [0] * len(sizes)
    elif sum(lengths) > room:
        sizes = _sizes(sizes, room, strategy)
    return [windows(length, size, stride, side) for length, size in zip(lengths, sizes)]


def _sizes(lengths, room, strategy):
    """What is left of each sequence."""
    if strategy == "longest_first":
        if len(lengths) == 1:
            return [room]
        short, long = sorted(lengths)
        long = long if short > room else max(short, room - short)
        if short + long > room:
            short, long = room // 2, room // 2 + room % 2
        return [short, long] if lengths[0] <= lengths[1] else [long, short]
    which = 0 if strategy == "only_first" else 1
    if which >= len(lengths):
        raise InputError("truncation='only_second' needs a second text to cut; only one came. Use 'only_first' or True.")
    left = lengths[which] - (sum(lengths) - room)
    if left <= 0:
        raise InputError(
            f"truncation={strategy!r} must leave something of that text; it has {lengths[which]} tokens, and"
            f" {sum(lengths) - room} have to go. Use truncation='longest_first', or a larger max_length."
        )
    return [left if index == which else length for index, length in enumerate(lengths)]


def windows(length, size, stride, side):
    """[(start, stop), ...] over `length` tokens, the first to be kept; with size 0 nothing is, and all overflows."""
    if size >= length:
        return [(0, length)]
    if size == 0:
        return [(0, 0), (0, length)]
    if stride >= size:
        raise InputError(f"stride must be less than the {size} tokens a window holds; got {brief(stride)}.")
    starts = range(0, length, size - stride)
    found = [(start, min(start + size, length)) for start in starts]
    found = found[: next(i for i, (_, stop) in enumerate(found) if stop == length) + 1]
    return found if side == "right" else [(length - stop, length - start) for start, stop in found]


def combine(windows_of_each, second_first=False):
    """Windows of each sequence -> the choices to be encoded, the input first, in the order the reference overflows.

    It goes by which of two sequences the template has first.
    """
    if len(windows_of_each) == 1:
        return [(window,) for window in windows_of_each[0]]
    if second_first:
        return [choice[::-1] for choice in combine(windows_of_each[::-1])]
    (first, *rest), others = windows_of_each
    return [(first, others[0]), *((a, b) for a in rest for b in others), *((first, b) for b in others[1:])]


def parts_for(choice, windows_of_each, parts):
    """The parts of a template for a choice of windows.

    As in the reference, a window that is not the first of its sequence has the sequence's own type, 0 or 1, and not the
    template's. They differ in templates that put the second sequence first.
    """
    return [
        part if part.sequence in (None, part.type_id) or choice[part.sequence] == windows_of_each[part.sequence][0]
        else Part(part.sequence, part.sequence)
        for part in parts
    ]  # fmt: skip
