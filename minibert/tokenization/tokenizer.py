"""The tokenizers that users call: text in, ids and mask out.

    tokenizer = BertTokenizer.from_pretrained("bert-base-uncased")
    tokenizer(["Hello!", "How are you?"], padding=True, return_tensors="np")

A call goes through the stages in order: texts.py and arguments.py make definite what was asked, the pipeline gives
ids (fast_pipeline.py), template.py cuts them and adds [CLS] and [SEP], encoding.py holds each row, and here rows are
filled to one length and put into a BatchEncoding.

The answers are those of transformers 5 over tokenizers 0.23.3 for every string, with these few differences, where
the reference crashes, wraps round, or does nothing:
- max_length below the number of special tokens, and a stride that is no less than a window: InputError;
- an added token of which normalisation leaves nothing: InputError (there it matches between any two characters);
- rows of different lengths with return_tensors: InputError that names padding=True;
- arguments that would do nothing: InputError; split_special_tokens=True, which is not there: InputError;
- `tokenizer([])` is an empty batch.
"""

import warnings

from minibert.errors import InputError, InputTypeError, MinibertWarning, brief

from .arguments import as_flag, as_list, filled_length, plain, refuse_unknown, resolve, room
from .batch_encoding import BatchEncoding, check_tensor_type
from .decoding import clean_up, join_tokens
from .encoding import Encoding, Padding, Sequence
from .template import combine, cut, parts_for
from .texts import read_texts
from .vocabulary import Vocabulary, as_id

# What a call returns -> the column of an Encoding that it is.
COLUMNS = {
    "input_ids": "ids", "token_type_ids": "type_ids", "attention_mask": "attention_mask",
    "special_tokens_mask": "special_tokens_mask", "offset_mapping": "offsets",
}  # fmt: skip
FLAGS = (
    "add_special_tokens", "is_split_into_words", "return_overflowing_tokens", "return_special_tokens_mask",
    "return_offsets_mapping", "return_length", "verbose", "split_special_tokens",
)  # fmt: skip


class Tokenizer(Vocabulary):
    """Everything a tokenizer does, given its parts; the classes of tokenizer_classes.py differ in how they get them."""

    is_fast = True

    def __call__(
        self, text, text_pair=None, *, add_special_tokens=True, padding=False, truncation=None, max_length=None,
        stride=0, is_split_into_words=False, pad_to_multiple_of=None, padding_side=None, return_tensors=None,
        return_token_type_ids=None, return_attention_mask=None, return_overflowing_tokens=False,
        return_special_tokens_mask=False, return_offsets_mapping=False, return_length=False, verbose=True,
        split_special_tokens=False, **unknown,
    ):  # fmt: skip
        """A text, a pair, or a list of either -> BatchEncoding; see texts.py for what may be given.

        padding: True fills rows to the longest, "max_length" to max_length or, failing that, the model's limit.
        truncation: True cuts to max_length or the model's limit; "only_first" and "only_second" cut one of a pair.
        return_overflowing_tokens: what is cut off comes as rows of its own, `stride` tokens shared with the one before.
        """
        if unknown:
            refuse_unknown("a tokenizer's call", unknown, CALL_OPTIONS)
        if return_tensors is not None:
            check_tensor_type(return_tensors)
        if not (
            add_special_tokens is True and is_split_into_words is False and return_overflowing_tokens is False
            and return_special_tokens_mask is False and return_offsets_mapping is False and return_length is False
            and verbose is True and split_special_tokens is False
        ):  # fmt: skip
            flags = (
                add_special_tokens, is_split_into_words, return_overflowing_tokens, return_special_tokens_mask,
                return_offsets_mapping, return_length, verbose, split_special_tokens,
            )  # fmt: skip
            (
                add_special_tokens, is_split_into_words, return_overflowing_tokens, return_special_tokens_mask,
                return_offsets_mapping, return_length, verbose, split_special_tokens,
            ) = map(as_flag, FLAGS, flags)  # fmt: skip
            if split_special_tokens:
                raise InputError(
                    "split_special_tokens must be false: a special token written in a text is that token here, and is not"
                    " cut; got True. Leave it out, or take such tokens out of the text."
                )
        request = resolve(
            self, padding=padding, truncation=truncation, max_length=max_length, stride=stride,
            pad_to_multiple_of=pad_to_multiple_of, padding_side=padding_side, overflow=return_overflowing_tokens,
        )  # fmt: skip
        rows, batched = read_texts(text, text_pair, is_split_into_words)
        encodings = [self._encode(row, request, add_special_tokens, return_offsets_mapping) for row in rows]
        if request.padding:
            self._fill(encodings, request)
        wanted = {
            "token_type_ids": self._wants("token_type_ids", return_token_type_ids),
            "attention_mask": self._wants("attention_mask", return_attention_mask),
            "special_tokens_mask": return_special_tokens_mask,
            "offset_mapping": return_offsets_mapping,
            "length": return_length,
            "overflow_to_sample_mapping": return_overflowing_tokens,
        }
        if max_length is None and verbose:
            self._warn_of_length(max(map(len, encodings), default=0))
        one = not batched and return_tensors is None and not return_overflowing_tokens
        return _collect(encodings, wanted, one, return_tensors)

    def encode(self, text, text_pair=None, **options):
        """The ids of a text or a pair, as a list; options as of a call."""
        if text_pair is None and not options and type(text) is str:
            before, after = self._around
            ids = [*before, *self._pipeline.ids(text), *after]
            if len(ids) > self.model_max_length:
                self._warn_of_length(len(ids))
            return ids
        return self(text, text_pair, **options)["input_ids"]

    def encode_packed(
        self, texts, *, add_special_tokens=True, truncation=None, max_length=None, places=True, threads=1, **unknown
    ):  # fmt: skip
        """A list of texts -> PackedEncoding: their ids in one array without padding, and with `places` their offsets
        and word ids. Compiled, for many texts; the pieces are those of a call for each. See batch.py."""
        from .batch import encode_packed

        known = ("texts", "add_special_tokens", "truncation", "max_length", "places", "threads")
        refuse_unknown("encode_packed", unknown, known)
        options = {"truncation": truncation, "max_length": max_length, "places": places, "threads": threads}
        return encode_packed(self, texts, add_special_tokens=add_special_tokens, **options)

    def tokenize(self, text, pair=None, add_special_tokens=False, **options):
        """All tokens of a text or a pair, as strings; without [CLS] and [SEP] unless asked for.

        Of a call's other options is_split_into_words alone counts: as in transformers nothing is cut, nor filled up.
        """
        refuse_unknown("tokenize", options.keys() - CALL_OPTIONS, ("text", "pair", *CALL_OPTIONS))
        words = options.get("is_split_into_words", False)
        batch = self(text, pair, add_special_tokens=add_special_tokens, is_split_into_words=words, verbose=False)
        return batch.tokens() if batch.encodings else []

    def _encode(self, texts, request, special, offsets):
        """One text or pair -> Encoding, with what does not fit as its overflow."""
        pipeline = self._pipeline
        sequences = [Sequence(pipeline, text) for text in texts]
        if offsets:
            for sequence in sequences:
                sequence.locate()  # before the ids are asked for: they come with it
        parts = self._template.parts(len(texts) == 2, special)
        lengths = [len(sequence.ids) for sequence in sequences]
        if not request.truncation:
            return Encoding(sequences, [(0, length) for length in lengths], parts)
        taken = self.num_special_tokens_to_add(len(texts) == 2) if special else 0
        space = room(request.max_length, taken, request.stride, self.num_special_tokens_to_add())
        windows = cut(lengths, space, request.truncation, request.stride, self.truncation_side)
        choices = combine(windows, self._template.second_first)
        first, *others = (Encoding(sequences, choice, parts_for(choice, windows, parts)) for choice in choices)
        first.overflowing = others
        return first

    def _fill(self, encodings, request):
        """Stage 5: rows of one length."""
        length = filled_length(map(len, encodings), request)
        padding = Padding(request.padding_side, self.pad_token_id, self.pad_token)
        for encoding in encodings:
            encoding.pad(length, padding)

    def _wants(self, name, asked):
        return name in self.model_input_names if asked is None else as_flag(f"return_{name}", asked)

    def _warn_of_length(self, length):
        """Say once that a row is longer than the model can take; the model itself refuses it."""
        if length > self.model_max_length and not self._warned:
            self._warned = True
            warnings.warn(
                f"a row has {length} tokens and the model takes {self.model_max_length}: it will refuse it."
                " Pass truncation=True.",
                MinibertWarning,
                stacklevel=3,
            )

    def num_special_tokens_to_add(self, pair=False, **unknown):
        """How many tokens a call adds to a text, or to a pair."""
        if unknown or type(pair) is not bool:
            refuse_unknown("num_special_tokens_to_add", unknown, ("pair",))
            pair = as_flag("pair", pair)
        return self._template.special_count(pair)

    # --- back to text ---

    def decode(self, token_ids, skip_special_tokens=False, clean_up_tokenization_spaces=None, **unknown):
        """Ids -> a string; rows of ids -> a list of strings. Ids that are not in the vocabulary are passed over."""
        if unknown:
            refuse_unknown("decode", unknown, ("token_ids", "skip_special_tokens", "clean_up_tokenization_spaces"))
        hidden = self._specials if as_flag("skip_special_tokens", skip_special_tokens) else ()
        tidy = self.clean_up_tokenization_spaces if clean_up_tokenization_spaces is None else clean_up_tokenization_spaces
        return self._decode(_ids_of(token_ids), hidden, as_flag("clean_up_tokenization_spaces", tidy))

    def _decode(self, ids, hidden, tidy, depth=0):
        """Of rows within rows, lists of strings within lists."""
        ids = plain(ids, "token ids")
        ids = as_list(ids, "token ids") if hasattr(ids, "__iter__") else [ids]
        if any(hasattr(row, "__iter__") and not isinstance(row, str) for row in ids):
            if depth == DEEPEST:
                raise InputTypeError(f"token ids must be an integer, a row of them, or rows; got lists nested {DEEPEST} deep.")
            return [self._decode(row, hidden, tidy, depth + 1) for row in ids]
        tokens = [self._token(as_id(number)) for number in ids]
        text = join_tokens([token for token in tokens if token is not None and token not in hidden], *self._decoder)
        return clean_up(text) if tidy else text

    def batch_decode(self, sequences, skip_special_tokens=False, clean_up_tokenization_spaces=None, **unknown):
        """Rows of ids -> a list of strings."""
        refuse_unknown("batch_decode", unknown, ("sequences", "skip_special_tokens", "clean_up_tokenization_spaces"))
        rows = as_list(_ids_of(sequences), "rows of token ids")
        return [self.decode(row, skip_special_tokens, clean_up_tokenization_spaces) for row in rows]

    def convert_tokens_to_string(self, tokens, **unknown):
        """Tokens -> a string."""
        refuse_unknown("convert_tokens_to_string", unknown, ("tokens",))
        tokens = as_list(tokens, "tokens")
        if not all(isinstance(token, str) for token in tokens):
            raise InputTypeError(f"tokens must be strings; got {brief(tokens)}.")
        return join_tokens(tokens, *self._decoder)


CALL_OPTIONS = tuple(Tokenizer.__call__.__kwdefaults__)
DEEPEST = 8  # lists within lists of ids


def _ids_of(value):
    """The ids of what a tokenizer returned; anything else as it is."""
    if isinstance(value, type) or not hasattr(value, "keys"):
        return value
    if "input_ids" not in value:
        raise InputError(f"what is to be decoded must have 'input_ids'; got {', '.join(map(str, value)) or 'nothing'}.")
    return value["input_ids"]


def _collect(encodings, wanted, one, return_tensors):
    """Encodings -> a BatchEncoding of the columns that are wanted: {name: yes or no}; with `one`, of a single row."""
    samples = None
    if wanted["overflow_to_sample_mapping"]:
        samples = [row for row, encoding in enumerate(encodings) for _ in (encoding, *encoding.overflowing)]
        encodings = [part for encoding in encodings for part in (encoding, *encoding.overflowing)]
    columns = [(name, column) for name, column in COLUMNS.items() if wanted.get(name, True)]
    if one:
        data = {name: getattr(encodings[0], column) for name, column in columns}
    else:
        data = {name: [getattr(encoding, column) for encoding in encodings] for name, column in columns}
    if wanted["length"]:
        data["length"] = [len(encoding) for encoding in encodings]
    if samples is not None:
        data["overflow_to_sample_mapping"] = samples
    return BatchEncoding(data, encodings, return_tensors)
