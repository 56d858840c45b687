"""Stage 4: add the special tokens, and truncate sequences that are too long.

    A           ->  [CLS] A [SEP]
    A and B     ->  [CLS] A [SEP] B [SEP]      with token types 0 and, from B on, 1
                    <s> A </s></s> B </s>      RoBERTa and MPNet, with token types 0

A long sequence is split into windows. The first is the input, the others are the overflow; neighbors share
`stride` tokens:    10 tokens, size 4, stride 1  ->  (0, 4) (3, 7) (6, 10)
Read next: ../encoding.py.
"""

from typing import NamedTuple

from minibert.errors import InputError, short_repr


class TemplatePart:
    """An element of a template: sequence 0 or 1, or (None) special tokens, which have the columns of a sequence."""

    def __init__(self, sequence, type_id, ids=(), tokens=()):
        self.sequence, self.type_id, self.ids, self.tokens = sequence, type_id, list(ids), list(tokens)
        self.offsets, self.word_ids = [(0, 0)] * len(self.ids), [None] * len(self.ids)
        self.is_special = int(sequence is None)


class Template:
    """The parts for one sequence, and for a pair. `trimmer` is an OffsetTrimmer, or None."""

    def __init__(self, single, pair, trimmer=None):
        self.single, self.pair, self.trimmer = single, pair, trimmer
        self.second_first = [part.sequence for part in pair if part.sequence is not None] == [1, 0]
        self._without_special = [[part for part in parts if part.sequence is not None] for parts in (single, pair)]

    def parts(self, pair, add_special_tokens):
        """The parts for one sequence or a pair, with or without the special tokens."""
        if add_special_tokens:
            return self.pair if pair else self.single
        return self._without_special[pair]

    def parts_of_windows(self, choice, windows_of_each, parts):
        """The parts of this template for a choice of windows.

        As in the reference, only the first window of a sequence has the template's token type; the others have the index of
        the sequence, 0 or 1. They differ in templates that have the second sequence first.
        """
        return [
            part
            if part.sequence in (None, part.type_id) or choice[part.sequence] == windows_of_each[part.sequence][0]
            else TemplatePart(part.sequence, part.sequence)
            for part in parts
        ]

    def special_count(self, pair):
        """The number of special tokens that the template adds."""
        return sum(len(part.ids) for part in (self.pair if pair else self.single))


def bert_template(cls_token, cls_id, sep_token, sep_id, cls_type_id=0):
    """The template of BERT and DistilBERT; Funnel's [CLS] has a token type of its own."""
    cls, sep = TemplatePart(None, cls_type_id, [cls_id], [cls_token]), TemplatePart(None, 0, [sep_id], [sep_token])
    single = [cls, TemplatePart(0, 0), sep]
    return Template(single, [*single, TemplatePart(1, 1), TemplatePart(None, 1, [sep_id], [sep_token])])


class OffsetTrimmer(NamedTuple):
    """The offsets of a token leave out the white space around it. With `add_prefix_space`, a single one at the start of a
    text or of a window stays."""

    add_prefix_space: bool

    def trim(self, pieces, starts_row=True):
        """[(id, token, start, end, word), ...] -> the same with trimmed offsets. starts_row: whether the first piece is the
        first of a text or window.

        As in the reference, the white space is counted in the token, and SPACE_CHARACTER, which stands for a space in
        byte-level vocabularies, counts too.
        """
        trimmed = []
        for index, (token_id, token, start, end, word) in enumerate(pieces):
            leading, trailing = len(token) - len(token.lstrip(SPACES)), len(token) - len(token.rstrip(SPACES))
            is_first = starts_row and (index == 0 or start == 0)
            if leading == 1 and self.add_prefix_space and is_first:
                leading = 0
            start = min(start + leading, end)
            if trailing <= end:
                end = max(end - trailing, start)
            trimmed.append((token_id, token, start, end, word))
        return trimmed


class RobertaTemplate(Template):
    """The template of RoBERTa and MPNet."""

    def __init__(self, cls_token, cls_id, sep_token, sep_id, trim_offsets=True, add_prefix_space=False):
        before, after = TemplatePart(None, 0, [cls_id], [cls_token]), TemplatePart(None, 0, [sep_id], [sep_token])
        single = [before, TemplatePart(0, 0), after]
        super().__init__(single, [*single, after, TemplatePart(1, 0), after])
        self.cls, self.sep = (cls_token, cls_id), (sep_token, sep_id)
        self.trim_offsets, self.add_prefix_space = trim_offsets, add_prefix_space
        self.trimmer = OffsetTrimmer(add_prefix_space) if trim_offsets else None

    def parts_of_windows(self, choice, windows_of_each, parts):
        """With the special tokens, all windows have the token type 0."""
        return parts if parts in (self.single, self.pair) else super().parts_of_windows(choice, windows_of_each, parts)


class ByteLevelTemplate(Template):
    """No special tokens; trimmed offsets, as the ByteLevel post-processor of GPT-2 has them if it says so."""

    def __init__(self, trim_offsets, add_prefix_space):
        first, second = TemplatePart(0, 0), TemplatePart(1, 1)
        super().__init__([first], [first, second], OffsetTrimmer(add_prefix_space) if trim_offsets else None)
        self.trim_offsets, self.add_prefix_space = trim_offsets, add_prefix_space


SPACE_CHARACTER = "\u0120"  # Ġ
SPACES = SPACE_CHARACTER + "".join(
    map(chr, [*range(9, 14), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000])
)


def truncate(lengths, limit, strategy, stride, side):
    """Lengths of the sequences -> the windows of each. The first windows together have at most `limit` tokens."""
    sizes = list(lengths)
    if limit == 0:
        sizes = [0] * len(sizes)
    elif sum(lengths) > limit:
        sizes = _truncated_sizes(sizes, limit, strategy)
    return [windows(length, size, stride, side) for length, size in zip(lengths, sizes)]


def _truncated_sizes(lengths, limit, strategy):
    """The number of tokens that remain of each sequence."""
    if strategy == "longest_first":
        if len(lengths) == 1:
            return [limit]
        short, long = sorted(lengths)
        long = long if short > limit else max(short, limit - short)
        if short + long > limit:
            short, long = limit // 2, limit // 2 + limit % 2
        return [short, long] if lengths[0] <= lengths[1] else [long, short]
    truncated, excess = 0 if strategy == "only_first" else 1, sum(lengths) - limit
    if truncated >= len(lengths):
        raise InputError("truncation='only_second' needs a second text; there is one text only. Use 'only_first' or True.")
    size = lengths[truncated] - excess
    if size <= 0:
        raise InputError(
            f"truncation={strategy!r} must leave something of that text; it has {lengths[truncated]} tokens, and"
            f" {excess} have to go. Use truncation='longest_first', or a larger max_length."
        )
    return [size if index == truncated else length for index, length in enumerate(lengths)]


def windows(length, size, stride, side):
    """[(start, stop), ...] over `length` tokens: the input, then the overflow. With size 0 everything is overflow."""
    if size >= length:
        return [(0, length)]
    if size == 0:
        return [(0, 0), (0, length)]
    if stride >= size:
        raise InputError(f"stride must be less than the {size} tokens a window holds; got {short_repr(stride)}.")
    starts = range(0, length, size - stride)
    spans = [(start, min(start + size, length)) for start in starts]
    spans = spans[: next(i for i, (_, stop) in enumerate(spans) if stop == length) + 1]
    return spans if side == "right" else [(length - stop, length - start) for start, stop in spans]


def combine(windows_of_each, second_first=False):
    """Windows of each sequence -> one choice of windows per row: the input, then the overflow in the reference's order.

    The order depends on which of two sequences is first in the template.
    """
    if len(windows_of_each) == 1:
        return [(window,) for window in windows_of_each[0]]
    if second_first:
        return [choice[::-1] for choice in combine(windows_of_each[::-1])]
    (first, *rest), seconds = windows_of_each
    return [(first, seconds[0]), *((a, b) for a in rest for b in seconds), *((first, b) for b in seconds[1:])]
