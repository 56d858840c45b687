"""`tokenizer.pad`: rows of ids that were tokenized before -> rows of one length. Rows fresh from text need no such call."""

from collections.abc import Mapping

from minibert.errors import InputError, InputTypeError, brief

from .arguments import as_int, as_list, filled_length, is_bool, refuse_unknown, resolve
from .batch_encoding import BatchEncoding, check_tensor_type

OPTIONS = (
    "encoded_inputs", "padding", "max_length", "pad_to_multiple_of", "padding_side", "return_attention_mask", "return_tensors",
    "verbose",
)  # fmt: skip
FILLED = {"input_ids", "token_type_ids", "attention_mask", "special_tokens_mask"}


def pad(
    tokenizer, /, encoded_inputs, padding=True, max_length=None, pad_to_multiple_of=None, padding_side=None,
    return_attention_mask=None, return_tensors=None, verbose=True, **unknown,
):  # fmt: skip
    """A dictionary of rows, of one row, or a list of dictionaries of one row each -> BatchEncoding."""
    refuse_unknown("pad", unknown, OPTIONS)
    check_tensor_type(return_tensors)
    encoded_inputs = _columns(encoded_inputs)
    if return_tensors is None and any(hasattr(value, "tolist") for value in encoded_inputs.values()):
        return_tensors = "np"
    data = {name: _to_list(value, name) for name, value in encoded_inputs.items()}
    request = resolve(
        tokenizer, padding=padding, truncation=False, max_length=max_length, stride=0,
        pad_to_multiple_of=pad_to_multiple_of, padding_side=padding_side, overflow=False,
    )  # fmt: skip
    data["input_ids"] = as_list(data["input_ids"], "input_ids")
    one = bool(data["input_ids"]) and not isinstance(data["input_ids"][0], (list, tuple))
    if one:
        data = {name: [value] for name, value in data.items()}
    _check_rows(data)
    if tokenizer._wants("attention_mask", return_attention_mask):
        data.setdefault("attention_mask", [[1] * len(row) for row in data["input_ids"]])
    if request.padding:
        _fill(tokenizer, data, request)
    return BatchEncoding({name: value[0] for name, value in data.items()} if one else data, None, return_tensors)


def _columns(encoded_inputs):
    """What is to be padded as one dictionary."""
    if isinstance(encoded_inputs, (list, tuple)):
        if not all(hasattr(row, "keys") for row in encoded_inputs):
            raise InputError("pad takes a dictionary, or a list of dictionaries as tokenizer(text) returns; got others.")
        names = list(encoded_inputs[0]) if encoded_inputs else ["input_ids"]
        lacking = next((name for row in encoded_inputs for name in names if name not in row), None)
        if lacking is not None:
            raise InputError(f"the dictionaries to be padded must have the keys of the first; one lacks {brief(lacking)}.")
        encoded_inputs = {name: [row[name] for row in encoded_inputs] for name in names}
    if not isinstance(encoded_inputs, Mapping):
        raise InputTypeError(f"pad takes a dictionary, or a list of them; got {type(encoded_inputs).__name__}.")
    if "input_ids" not in encoded_inputs:
        names = ", ".join(map(str, encoded_inputs))
        raise InputError(f"what is to be padded must have 'input_ids'; got {names}.")
    return encoded_inputs


def _check_rows(data):
    """Rows of ids, and as many rows of each of the others that are filled."""
    for name in FILLED & data.keys():
        rows = data[name]
        if not isinstance(rows, (list, tuple)) or not all(isinstance(row, (list, tuple)) for row in rows):
            raise InputTypeError(f"{name} must be rows of integers, or one row; got {brief(rows)}.")
        if len(rows) != len(data["input_ids"]) or any(len(row) != len(ids) for row, ids in zip(rows, data["input_ids"])):
            raise InputError(f"{name} must have rows as long as those of input_ids; they are not.")
        if not all(type(value) is int or is_bool(value) or as_int(value) is not None for row in rows for value in row):
            raise InputTypeError(f"{name} must be rows of integers; got {brief(rows)}.")


def _fill(tokenizer, data, request):
    length = filled_length(map(len, data["input_ids"]), request)
    fillings = {"input_ids": tokenizer.pad_token_id, "token_type_ids": 0, "attention_mask": 0, "special_tokens_mask": 1}
    for name in fillings.keys() & data.keys():
        rows = [(list(row), [fillings[name]] * (length - len(row))) for row in data[name]]
        data[name] = [more + row if request.padding_side == "left" else row + more for row, more in rows]


def _to_list(value, name):
    """Arrays, and lists of arrays, as lists."""
    if hasattr(value, "tolist") and not isinstance(value, type):
        return as_list(value, name)
    if isinstance(value, (list, tuple)):
        return [_to_list(item, name) if hasattr(item, "tolist") else item for item in value]
    return value
