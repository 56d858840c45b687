"""The pipeline at speed: the same pieces as columns, and only the ids if nothing else is needed.

A segment is a part of a text that gives the same pieces wherever it occurs. So the pieces of each segment are cached. A new
one goes through `TokenizationPipeline.analyze`, unless a subclass knows a faster way. Subclasses also find the segments:

    WordPiecePipeline     the text between two spaces: "don't" -> don ' t
    ByteLevelPipeline     a run of white space, or of other characters and the space before them: " don't" -> Ġdon 't
"""

import re
from functools import cached_property, partial
from itertools import chain, compress, islice
from operator import sub

from minibert.errors import InputTypeError

from .pipeline import TokenizationPipeline, check_characters
from .stages.normalizer import UNUSUAL, TranslationTable
from .stages.pre_tokenizer import BERT
from .stages.template import SPACE_CHARACTER
from .stages.unicode import unicode_table

WORD = re.compile("[^ ]+")
MAX_CACHED_CHARACTERS = 64  # a longer segment is unlikely to occur again, and is not cached
MAX_CACHED_SEGMENTS = 1 << 17  # some 30 MB; then the cache is cleared
MAX_COMPILED_TOKENS = 1 << 20  # of a byte-level vocabulary; the kernel has so many symbols
MAX_SHARED_END = 512  # characters; spans that end before are shared by all texts


class SegmentCache(dict):
    """segment -> function(segment), computed once."""

    def __init__(self, function):
        self.function = function

    def __missing__(self, segment):
        value = self.function(segment)
        if len(segment) <= MAX_CACHED_CHARACTERS:
            if len(self) >= MAX_CACHED_SEGMENTS:
                self.clear()
            self[segment] = value
        return value


class SharedSpans(dict):
    """width -> the spans of that width by their start: [(0, width), (1, 1 + width), ...], up to MAX_SHARED_END.

    All texts share these tuples. The garbage collector runs the oftener the more tuples are created; it took two thirds
    of the time of columns that a caller keeps.
    """

    def __missing__(self, width):
        self[width] = [(start, start + width) for start in range(MAX_SHARED_END - width)]
        return self[width]


SPANS = SharedSpans()


class FastPipeline(TokenizationPipeline):
    """A TokenizationPipeline with caches. Its methods take a text and return columns of `analyze`."""

    gap = 0  # characters between two segments

    def __init__(self, normalizer, model, raw_matcher, normalized_matcher, pre_tokenizer, trimmer=None):
        super().__init__(normalizer, model, raw_matcher, normalized_matcher, pre_tokenizer, trimmer)
        self.ids_cache = SegmentCache(self._segment_ids)
        self.pieces_cache = SegmentCache(self._segment_pieces)
        # Segments -> their values in a cache.
        self.ids_of, self.pieces_of = (partial(map, cache.__getitem__) for cache in (self.ids_cache, self.pieces_cache))

    def __getstate__(self):
        """The state to copy or pickle: without the compiled form, which belongs to this process."""
        return {name: value for name, value in self.__dict__.items() if name != "batch_encoder"}

    @cached_property
    def batch_encoder(self):
        """The same for many texts at once, compiled: a BatchEncoder of compiled.py. Only if `encodes_batches`."""
        raise NotImplementedError

    @property
    def encodes_batches(self):
        """Whether the compiled form gives the pieces of any text, or says that it does not."""
        raise NotImplementedError

    @property
    def added_contents(self):
        """The strings by which added tokens are matched."""
        return [*self.raw_matcher.targets, *self.normalized_matcher.targets]

    def ids(self, text):
        """The ids."""
        ids: list[int] = []
        try:
            for segment_ids in self.ids_of(self._segments(text)):
                ids += segment_ids
        except InputTypeError:
            check_characters(text)  # which names the position in the text
            raise
        return ids

    def columns(self, text):
        """The ids, the (start, end) of each token in the text, and the index of the word that it belongs to."""
        try:
            return self._columns(self._segments(text))
        except InputTypeError:
            check_characters(text)
            raise

    def _columns(self, segments):
        shared, gap = SPANS, self.gap
        ids, spans, word_ids, offset, word_count = [], [], [], 0, 0  # the segment's offset; the words before it
        for segment, pieces in zip(segments, self.pieces_of(segments)):
            end = offset + len(segment)
            if len(pieces) == 4 and end < MAX_SHARED_END:  # one piece, by far the most frequent case
                token_id, start, width, _ = pieces
                ids.append(token_id)
                spans.append(shared[width][offset + start])
                word_ids.append(word_count)
                word_count += 1
            elif pieces:
                size = len(pieces) // 4
                ids += pieces[:size]
                starts_and_widths = zip(pieces[size : 2 * size], pieces[2 * size : 3 * size])
                if end < MAX_SHARED_END:
                    spans += [shared[width][offset + start] for start, width in starts_and_widths]
                else:
                    spans += [(offset + start, offset + start + width) for start, width in starts_and_widths]
                word_ids += [word_count + word for word in pieces[3 * size :]]
                word_count = word_ids[-1] + 1
            offset = end + gap
        return ids, spans, word_ids

    def tokens(self, text):
        """The tokens as strings; rarely used, so not cached."""
        return [piece[1] for piece in self.analyze(text)]

    def _segments(self, text):
        raise NotImplementedError

    def _segment_ids(self, segment, starts_text=False):
        return tuple([piece[0] for piece in self.analyze(segment, starts_text)])

    def _segment_pieces(self, segment, starts_text=False):
        """The ids of its pieces, their starts in the segment, their widths and their words, in one flat tuple: the garbage
        collector does not track a tuple of integers. Tracking took a third of the time."""
        columns = list(zip(*self.analyze(segment, starts_text))) or [()] * 5
        return (*columns[0], *columns[2], *map(sub, columns[3], columns[2]), *columns[4])


class WordPiecePipeline(FastPipeline):
    """A new segment is normalized and spaced out by one `str.translate`, and its words are looked up, unless there are added
    tokens in it, marks that change places, or a pre-tokenizer that looks at more than one character.

    Some added tokens contain a space or include those around them (lstrip, rstrip), as MPNet's <mask> does. A text with such
    a token is one segment; so is every text if the pre-tokenizer does not split at spaces.
    """

    gap = 1

    def __init__(self, normalizer, model, raw_matcher, normalized_matcher, pre_tokenizer=BERT, trimmer=None):
        super().__init__(normalizer, model, raw_matcher, normalized_matcher, pre_tokenizer, trimmer)
        self.splits_at_spaces = pre_tokenizer.splits_at_spaces and not takes_spaces(normalized_matcher)
        with_spaces = [*takes_spaces(raw_matcher), *([SPACE_CHARACTER] if trimmer else [])]  # which trims by place in the text
        self.token_with_spaces = re.compile("|".join(map(re.escape, with_spaces))) if with_spaces else None

    @cached_property
    def batch_encoder(self):
        from .compiled_wordpiece import wordpiece_encoder

        return wordpiece_encoder(self)

    @property
    def encodes_batches(self):
        return (
            self.splits_at_spaces
            and self.pre_tokenizer.context_free
            and not self.normalized_matcher.targets
            and not (self.trimmer and any(SPACE_CHARACTER in token for token in self.model.vocab))
        )

    @cached_property
    def translation(self):
        """Each character's normal form, spaced out, independent of its neighbors."""
        return TranslationTable(self.normalizer, isolates_punctuation=self.pre_tokenizer.isolates_punctuation)

    @cached_property
    def marked_translation(self):
        """The same, with a mark for characters at which an added token may begin, or that may change places."""
        unusual = {*self.normalizer.reordering, *(target[0] for target in self.raw_matcher.targets)}
        return TranslationTable(self.normalizer, unusual, self.pre_tokenizer.isolates_punctuation)

    def tokens(self, text):
        check_characters(text)
        return [token for segment in self._segments(text) for token in self._segment_tokens(segment)]

    def _segments(self, text):
        if not self.splits_at_spaces or (self.token_with_spaces and self.token_with_spaces.search(text)):
            return [text]
        return text.split(" ")

    def _segment_ids(self, segment, starts_text=True):
        spaced = self._spaced_out(segment)
        if spaced is None:
            return super()._segment_ids(segment, starts_text)
        find, longest_match, ids = self.model.whole_words.get, self.model.longest_match, []
        for word in words_of(spaced):
            token_id = find(word)
            if token_id is None:
                ids += longest_match(word)[0]
            else:
                ids.append(token_id)
        return tuple(ids)

    def _segment_pieces(self, segment, starts_text=True):
        spaced = self._spaced_out(segment)
        if spaced is None:
            return super()._segment_pieces(segment, starts_text)
        find, longest_match = self.model.whole_words.get, self.model.longest_match
        ids, words, size = [], [], 0  # size: the characters of the words so far
        ends: list[int] = []
        for index, word in enumerate(words_of(spaced)):
            token_id = find(word)
            if token_id is None:
                piece_ids, stops = longest_match(word)
                ids += piece_ids
                ends += [size + stop for stop in stops] if size else stops
                words += [index] * len(piece_ids)
                size += len(word)
            else:
                size += len(word)
                ids.append(token_id)
                ends.append(size)
                words.append(index)
        starts = [0, *ends][:-1]  # each piece begins at the end of the one before, if spaces are not counted
        sources = self._sources(segment, size)
        if sources:
            starts, ends = [sources[start] for start in starts], [sources[end - 1] + 1 for end in ends]
        return (*ids, *starts, *map(sub, ends, starts), *words)

    def _sources(self, segment, size):
        """The index in the segment of each of the `size` characters of its words; None if it is the identity."""
        normal_forms = self.translation
        if segment.isascii() or self.marked_translation.several.isdisjoint(segment):
            if size == len(segment):
                return None
            # A dropped character has the normal form "", which is false.
            sources = list(compress(range(len(segment)), map(normal_forms.__getitem__, map(ord, segment))))
            if len(sources) == size:  # no white space
                return sources
        codes = enumerate(map(ord, segment))
        return [index for index, code in codes for character in normal_forms[code] if character != " "]

    def _segment_tokens(self, segment):
        spaced = self._spaced_out(segment)
        if spaced is None:
            return [piece[1] for piece in self.analyze(segment)]
        return [piece[1] for word in words_of(spaced) for piece in self.model.pieces(word)]

    def _spaced_out(self, segment):
        """The segment normalized, with spaces between words. None if its characters cannot be normalized independently: a
        token is in it, marks change places, or the pre-tokenizer looks at neighbors."""
        if not self.pre_tokenizer.context_free or (self.trimmer and SPACE_CHARACTER in segment):
            return None
        spaced = segment.translate(self.marked_translation)
        if UNUSUAL in spaced:
            check_characters(segment)
            has_token = self.raw_matcher.pattern and self.raw_matcher.pattern.search(segment)
            if has_token or not self.normalizer.can_translate(segment):
                return None
            spaced = segment.translate(self.translation)
        return None if self.normalized_matcher.targets else spaced


class ByteLevelPipeline(FastPipeline):
    """Segments are those of the ByteLevelPreTokenizer. A text is one segment if there is an added token in it, or if a
    normalizer or a byte that the vocabulary lacks could make its parts depend on each other.

    With `add_prefix_space`, a segment that starts a text has other pieces and offsets, and caches of its own.
    """

    def __init__(self, normalizer, model, raw_matcher, normalized_matcher, pre_tokenizer, trimmer=None):
        super().__init__(normalizer, model, raw_matcher, normalized_matcher, pre_tokenizer, trimmer)
        self.is_segmented = not normalizer.steps and model.has_all_bytes
        contents = self.added_contents
        self.token_pattern = re.compile("|".join(map(re.escape, contents))) if contents else None
        if pre_tokenizer.add_prefix_space or (trimmer and trimmer.add_prefix_space):
            first_ids = SegmentCache(partial(self._segment_ids, starts_text=True))
            first_pieces = SegmentCache(partial(self._segment_pieces, starts_text=True))
            self.ids_of = partial(look_up, first_ids, self.ids_cache)
            self.pieces_of = partial(look_up, first_pieces, self.pieces_cache)

    @cached_property
    def batch_encoder(self):
        from .compiled_byte_level import byte_level_encoder

        return byte_level_encoder(self)

    @property
    def encodes_batches(self):
        return self.is_segmented and len(self.model.vocab) < MAX_COMPILED_TOKENS

    def _segments(self, text):
        if not self.is_segmented or (self.token_pattern and self.token_pattern.search(text)):
            return [text]
        if self.pre_tokenizer.add_prefix_space and text and text[0] != " " and ord(text[0]) in unicode_table().white_space:
            return [text]  # the prefix would be part of a run of white space
        return self.pre_tokenizer.segments(text)

    def _columns(self, segments):
        if self.is_segmented:
            return super()._columns(segments)
        pieces = self.analyze(segments[0])  # a word may have no piece, which the columns of segments cannot express
        return [piece[0] for piece in pieces], [piece[2:4] for piece in pieces], [piece[4] for piece in pieces]


def look_up(first_cache, cache, segments):
    """A text's segments -> their values: of the first one in a cache of its own."""
    return chain(map(first_cache.__getitem__, segments[:1]), map(cache.__getitem__, islice(segments, 1, None)))


def takes_spaces(matcher):
    """The strings to match that contain a space, or whose token includes the white space around it."""
    return [target for target, (_, token) in matcher.targets.items() if " " in target or token.lstrip or token.rstrip]


def words_of(spaced):
    """The words of a spaced-out text; of a long one as an iterator, since a list could be 30 times as large."""
    if len(spaced) < 1 << 16:
        return filter(None, spaced.split(" "))
    return (match.group() for match in WORD.finditer(spaced))
