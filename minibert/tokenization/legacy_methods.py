"""Rows from ids instead of texts, and methods of transformers 4 that code on the hub still calls.

    encode_plus, batch_encode_plus     a call for one text or pair, and for a batch
    prepare_for_model                  ids of one text or of a pair -> the row that a call gives for the text
    build_inputs_with_special_tokens, create_token_type_ids_from_sequences, get_special_tokens_mask
                                       columns of such a row
    apply_chat_template                an error

Each ends in the methods of tokenizer.py.
"""

from typing import NamedTuple

from minibert.errors import InputError, InputTypeError, short_repr, strict_arguments

from .batch_encoding import BatchEncoding, read_tensor_type
from .call_arguments import Request, as_flag, as_list, resolve
from .tokenizer import COLUMNS, Tokenizer
from .vocabulary import as_id

AS_IT_IS = Request(None, None, None, 0, None, "right")  # neither truncated nor padded


class IdSequence(NamedTuple):
    """As `Sequence`, of known ids and without a text."""

    ids: list


class LegacyMethods(Tokenizer):
    """Methods of every tokenizer, beside those of `Tokenizer`."""

    chat_template = None

    @strict_arguments
    def encode_plus(self, text, text_pair=None, add_special_tokens=True, *, pad_to_max_length=False, **options):
        """A call for one text or pair, as in transformers 4; pad_to_max_length=True is padding="max_length"."""
        is_split = as_flag("is_split_into_words", options.get("is_split_into_words", False))
        if isinstance(text, (list, tuple)) and not is_split:
            raise InputTypeError(
                f"encode_plus takes one text or pair; got {type(text).__name__}: {short_repr(text)}."
                " Call the tokenizer itself for a batch, or prepare_for_model for ids."
            )
        options = with_padding(pad_to_max_length, options)
        return self(text, text_pair, add_special_tokens=add_special_tokens, **options)

    @strict_arguments
    def batch_encode_plus(self, batch_text_or_text_pairs, add_special_tokens=True, *, pad_to_max_length=False, **options):
        """A call for a list of texts or pairs, as in transformers 4."""
        texts = batch_text_or_text_pairs
        if not isinstance(texts, (list, tuple)):
            raise InputTypeError(
                f"batch_encode_plus takes a list of texts or pairs; got {type(texts).__name__}: {short_repr(texts)}."
                " Call the tokenizer itself for one text."
            )
        options = with_padding(pad_to_max_length, options)
        return self(list(texts), add_special_tokens=add_special_tokens, **options)

    @strict_arguments
    def prepare_for_model(
        self,
        ids,
        pair_ids=None,
        add_special_tokens=True,
        padding=False,
        truncation=None,
        max_length=None,
        stride=0,
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
        prepend_batch_axis=False,
    ):
        """Ids of a text, or of a pair, without special tokens -> BatchEncoding, truncated and padded as in a call.

        Tensors have no batch axis unless prepend_batch_axis=True. return_overflowing_tokens and return_offsets_mapping need
        texts, and must be False.
        """
        for name, value in (
            ("return_overflowing_tokens", return_overflowing_tokens),
            ("return_offsets_mapping", return_offsets_mapping),
        ):
            if as_flag(name, value):
                raise InputError(f"{name} must be False for ids; got True. Call the tokenizer itself with the text.")
        tensor_type, verbose = read_tensor_type(return_tensors), as_flag("verbose", verbose)
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
        row = self._row_of_ids(ids, pair_ids, request, as_flag("add_special_tokens", add_special_tokens))
        if request.padding:
            self._pad([row], request)
        columns = {
            "input_ids": True,
            "token_type_ids": self._returns("token_type_ids", return_token_type_ids),
            "attention_mask": self._returns("attention_mask", return_attention_mask),
            "special_tokens_mask": as_flag("return_special_tokens_mask", return_special_tokens_mask),
        }
        data = {name: getattr(row, COLUMNS[name]) for name, returned in columns.items() if returned}
        if as_flag("return_length", return_length):
            data["length"] = len(row)
        if max_length is None and verbose:
            self._warn_of_length(len(row))
        return BatchEncoding(data, None, tensor_type, prepend_batch_axis)

    def _row_of_ids(self, ids, pair_ids, request=AS_IT_IS, add_special_tokens=True):
        """Ids -> the Encoding of a row."""
        rows = [("ids", ids)] if pair_ids is None else [("ids", ids), ("pair_ids", pair_ids)]
        sequences = [IdSequence([as_id(token_id) for token_id in as_list(row, name)]) for name, row in rows]
        return self._row(sequences, request, add_special_tokens)

    @strict_arguments
    def build_inputs_with_special_tokens(self, token_ids_0, token_ids_1=None):
        """Ids of a text, or of a pair -> the same with special tokens."""
        return self._row_of_ids(token_ids_0, token_ids_1).ids

    @strict_arguments
    def create_token_type_ids_from_sequences(self, token_ids_0, token_ids_1=None):
        """Ids of a text, or of a pair -> the token types of their row, with special tokens."""
        return self._row_of_ids(token_ids_0, token_ids_1).type_ids

    @strict_arguments
    def get_special_tokens_mask(self, token_ids_0, token_ids_1=None, already_has_special_tokens=False):
        """1 for each special token of a row, 0 for the others: of a row of ids that has special tokens already, or of the
        row that the ids of a text or pair give."""
        if not as_flag("already_has_special_tokens", already_has_special_tokens):
            return self._row_of_ids(token_ids_0, token_ids_1).special_tokens_mask
        if token_ids_1 is not None:
            raise InputError("already_has_special_tokens=True takes one row of ids; got token_ids_1 too. Join the two rows.")
        special = set(self.all_special_ids)
        return [int(as_id(token_id) in special) for token_id in as_list(token_ids_0, "token_ids_0")]

    def apply_chat_template(self, *arguments, **unknown):
        """InputError: encoders have no chats."""
        raise InputError(
            "apply_chat_template is for models that write; minibert's are encoders, without a chat template."
            " Join the messages to one text, and call the tokenizer with it."
        )


def with_padding(pad_to_max_length, options):
    """Options, with pad_to_max_length as transformers 4 read it: to max_length or, without one, to the longest."""
    if not as_flag("pad_to_max_length", pad_to_max_length) or options.get("padding", False) is not False:
        return options
    if options.get("max_length") is None:
        return {**options, "padding": "longest"}
    truncation = options.get("truncation")  # which max_length switches on
    return {**options, "padding": "max_length", "truncation": "longest_first" if truncation is None else truncation}
