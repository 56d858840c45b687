"""The tokenizers that users call: text in, ids and mask out.

    tokenizer = BertTokenizer.from_pretrained("bert-base-uncased")
    tokenizer(["Hello!", "How are you?"], padding=True, return_tensors="np")

A call goes through the stages in order: call_arguments.py checks the arguments, the pipeline computes ids
(fast_pipeline.py), stages/template.py truncates them and adds [CLS] and [SEP], encoding.py holds each row, and this
file pads the rows and puts them into a BatchEncoding.

For every string the results equal those of transformers 5 over tokenizers 0.23.3. The exceptions are cases in which
the reference crashes, overflows, or silently ignores something:
- max_length below the number of special tokens, and a stride that is no less than a window: InputError;
- an added token that is empty after normalization: InputError (there it matches between any two characters);
- rows of different lengths with return_tensors: InputError that names padding=True;
- an option that is not known: InputTypeError; text_target, which encoders do not have: InputError;
- `tokenizer([])` is an empty batch, and `batch_decode([])` an empty list.
"""

from minibert.errors import check_option_names, refuses, strict_arguments

from .batch_encoding import BatchEncoding, read_tensor_type
from .call_arguments import (
    as_flag,
    max_text_tokens,
    padded_length,
    positional_options,
    read_texts,
    refuse_targets,
    refuse_unknown,
    resolve,
    warn_caller,
)
from .decoding import Decoder
from .encoding import Encoding, Padding, Sequence
from .stages.template import combine, truncate

# A key of the result -> the column of an Encoding that it holds.
COLUMNS = {
    "input_ids": "ids",
    "token_type_ids": "type_ids",
    "attention_mask": "attention_mask",
    "special_tokens_mask": "special_tokens_mask",
    "offset_mapping": "offsets",
}
FLAGS = (
    "add_special_tokens",
    "is_split_into_words",
    "return_overflowing_tokens",
    "return_special_tokens_mask",
    "return_offsets_mapping",
    "return_length",
    "verbose",
)


class Tokenizer(Decoder):
    """All methods of a tokenizer. The classes of classes.py differ in how they are constructed."""

    is_fast = True
    _warned: bool  # whether it has warned of a row that is too long

    @strict_arguments
    @refuses("text_target", "text_pair_target")
    def __call__(
        self,
        text,
        text_pair=None,
        text_target=None,
        text_pair_target=None,
        add_special_tokens=True,
        padding=False,
        truncation=None,
        max_length=None,
        stride=0,
        is_split_into_words=False,
        pad_to_multiple_of=None,
        padding_side=None,
        return_tensors=None,
        return_token_type_ids=None,
        return_attention_mask=None,
        return_overflowing_tokens=False,
        return_special_tokens_mask=False,
        return_offsets_mapping=False,
        return_length=False,
        verbose=True,
        split_special_tokens=None,
        return_dict=None,
        **unknown,
    ):
        """A text, a pair, or a list of either -> BatchEncoding; the forms of texts are listed in call_arguments.py.

        padding: True pads rows to the longest, "max_length" to max_length or, if there is none, to the model's limit.
        truncation: True truncates to max_length or the model's limit; "only_first" and "only_second" one text of a pair.
        return_overflowing_tokens: the truncated tokens are further rows, each sharing `stride` tokens with the one before.
        return_tensors: "np" for NumPy arrays, "pt" for torch tensors.
        split_special_tokens: True splits [MASK] in a text like other text; None is the tokenizer's setting.
        return_dict has no effect. Arguments have transformers' order; text_target and text_pair_target are refused.
        """
        if unknown:
            refuse_unknown("__call__", unknown, CALL_OPTIONS)
        if text_target is not None or text_pair_target is not None or return_dict is not None:
            refuse_targets(text_target, text_pair_target, return_dict)
        if return_tensors is not None:
            return_tensors = read_tensor_type(return_tensors)
        if not (
            add_special_tokens is True
            and is_split_into_words is False
            and return_overflowing_tokens is False
            and return_special_tokens_mask is False
            and return_offsets_mapping is False
            and return_length is False
            and verbose is True
        ):
            flags = (
                add_special_tokens,
                is_split_into_words,
                return_overflowing_tokens,
                return_special_tokens_mask,
                return_offsets_mapping,
                return_length,
                verbose,
            )
            (
                add_special_tokens,
                is_split_into_words,
                return_overflowing_tokens,
                return_special_tokens_mask,
                return_offsets_mapping,
                return_length,
                verbose,
            ) = map(as_flag, FLAGS, flags)
        request = resolve(
            self,
            padding=padding,
            truncation=truncation,
            max_length=max_length,
            stride=stride,
            pad_to_multiple_of=pad_to_multiple_of,
            padding_side=padding_side,
            verbose=verbose,
        )
        rows, batched = read_texts(text, text_pair, is_split_into_words)
        pipeline = self._pipeline if split_special_tokens is None else self._pipeline_for(split_special_tokens)
        encodings = [self._encode(pipeline, row, request, add_special_tokens, return_offsets_mapping) for row in rows]
        if request.padding:
            self._pad(encodings, request)
        returns = {
            "token_type_ids": self._returns("token_type_ids", return_token_type_ids),
            "attention_mask": self._returns("attention_mask", return_attention_mask),
            "special_tokens_mask": return_special_tokens_mask,
            "offset_mapping": return_offsets_mapping,
            "length": return_length,
            "overflow_to_sample_mapping": return_overflowing_tokens,
        }
        if max_length is None and verbose:
            self._warn_of_length(max(map(len, encodings), default=0))
        is_one_row = not batched and return_tensors is None and not return_overflowing_tokens
        return _collect(encodings, returns, is_one_row, return_tensors)

    def encode(self, text=None, text_pair=None, *positional, verbose=True, **options):
        """The ids of a text or a pair, as a list; options as of a call, which checks them (`strict_arguments` would take
        a tenth of the time of a short text). Those of ENCODE_ORDER may be positional, as in transformers."""
        if text_pair is None and not options and not positional and type(text) is str and (verbose is True or verbose is False):
            before, after = self._special_affixes
            ids = [*before, *self._pipeline.ids(text), *after]
            if verbose and len(ids) > self.model_max_length:
                self._warn_of_length(len(ids))
            return ids
        options |= positional_options("encode", positional, ENCODE_ORDER, options)
        return self(text, text_pair, verbose=verbose, **options)["input_ids"]

    @strict_arguments
    def encode_packed(
        self, texts, *, add_special_tokens=True, truncation=None, max_length=None, return_offsets=True, threads=1, places=None
    ):
        """A list of texts -> PackedEncoding: their ids in one array without padding and, with return_offsets, their offsets
        and word ids. Compiled, for many texts; the tokens are those of a call for each. See compiled.py.

        places: the former name of return_offsets.
        """
        from .compiled import encode_packed

        flag = ("return_offsets", return_offsets) if places is None else ("places", places)
        options = {"truncation": truncation, "max_length": max_length, "return_offsets": as_flag(*flag), "threads": threads}
        return encode_packed(self, texts, add_special_tokens=as_flag("add_special_tokens", add_special_tokens), **options)

    @strict_arguments
    def tokenize(self, text, pair=None, add_special_tokens=False, **options):
        """The tokens of a text or a pair, as strings; by default without [CLS] and [SEP].

        Of a call's other options only is_split_into_words and split_special_tokens have an effect: as in transformers,
        tokens are neither truncated nor padded.
        """
        check_option_names("tokenize", options, ("text", "pair", *CALL_OPTIONS))
        used = {name: options[name] for name in ("is_split_into_words", "split_special_tokens") if name in options}
        batch = self(text, pair, add_special_tokens=add_special_tokens, verbose=False, **used)
        return batch.tokens() if batch.encodings else []

    def _pipeline_for(self, split_special_tokens):
        """The pipeline that splits special tokens in a text, or the one that does not."""
        splits = as_flag("split_special_tokens", split_special_tokens)
        return self._pipeline if splits == self.split_special_tokens else self._other_pipeline

    def _encode(self, pipeline, texts, request, add_special_tokens, return_offsets):
        """One text or pair -> Encoding, with the truncated tokens as its overflow."""
        sequences = [Sequence(pipeline, text) for text in texts]
        if return_offsets:
            for sequence in sequences:
                sequence.locate()  # which computes the ids too
        return self._row(sequences, request, add_special_tokens)

    def _row(self, sequences, request, add_special_tokens):
        """One sequence or two -> Encoding."""
        is_pair = len(sequences) == 2
        parts = self._template.parts(is_pair, add_special_tokens)
        lengths = [len(sequence.ids) for sequence in sequences]
        if not request.truncation:
            return Encoding(sequences, [(0, length) for length in lengths], parts)
        special_count = self._template.special_count
        special_tokens = special_count(is_pair) if add_special_tokens else 0
        limit = max_text_tokens(request.max_length, special_tokens, request.stride, special_count(False))
        windows = truncate(lengths, limit, request.truncation, request.stride, self.truncation_side)
        choices = combine(windows, self._template.second_first)
        parts_of_windows = self._template.parts_of_windows
        first, *overflow = (Encoding(sequences, choice, parts_of_windows(choice, windows, parts)) for choice in choices)
        first.overflowing = overflow
        return first

    def _pad(self, encodings, request):
        """Stage 5: rows of one length."""
        length = padded_length(map(len, encodings), request)
        padding = Padding(request.padding_side, self.pad_token_id, self.pad_token)
        for encoding in encodings:
            encoding.pad(length, padding)

    def _returns(self, name, option):
        """Whether the result has this key: the option return_<name> or, if that is None, the tokenizer's input names."""
        return name in self.model_input_names if option is None else as_flag(f"return_{name}", option)

    def _warn_of_length(self, length):
        """Warn once if a row is longer than the model accepts; the model itself raises an error."""
        if length > self.model_max_length and not self._warned:
            self._warned = True
            warn_caller(
                f"a row has {length} tokens and the model accepts {self.model_max_length} at most. Pass truncation=True."
            )

    @strict_arguments
    def num_special_tokens_to_add(self, pair=False):
        """The number of special tokens that a call adds to a text or to a pair."""
        return self._template.special_count(as_flag("pair", pair))


_CALL = Tokenizer.__call__.__wrapped__.__code__  # type: ignore[attr-defined]  # set by functools.wraps
CALL_OPTIONS = _CALL.co_varnames[5 : _CALL.co_argcount]  # from add_special_tokens on
ENCODE_ORDER = ("add_special_tokens", "padding", "truncation", "max_length", "stride", "padding_side", "return_tensors")


def _collect(encodings, returns, is_one_row, return_tensors):
    """Encodings -> a BatchEncoding. returns: {key: whether the result has it}."""
    samples = None
    if returns["overflow_to_sample_mapping"]:
        samples = [sample for sample, encoding in enumerate(encodings) for _ in (encoding, *encoding.overflowing)]
        encodings = [row for encoding in encodings for row in (encoding, *encoding.overflowing)]
    if is_one_row:
        row = encodings[0]
        data = {name: getattr(row, column) for name, column in COLUMNS.items() if returns.get(name, True)}
    else:
        columns = [(name, column) for name, column in COLUMNS.items() if returns.get(name, True)]
        data = {name: [getattr(row, column) for row in encodings] for name, column in columns}
    if returns["length"]:
        data["length"] = [len(encoding) for encoding in encodings]
    if samples is not None:
        data["overflow_to_sample_mapping"] = samples
    return BatchEncoding(data, encodings, return_tensors)
