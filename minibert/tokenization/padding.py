"""`tokenizer.pad`: rows of ids that were tokenized before -> rows of one length. Rows fresh from text need no such call."""

from minibert.errors import InputError

from .arguments import resolve
from .batch_encoding import BatchEncoding, check_tensor_type


def pad(
    tokenizer, encoded_inputs, padding=True, max_length=None, pad_to_multiple_of=None, padding_side=None,
    return_attention_mask=None, return_tensors=None, verbose=True,
):  # fmt: skip
    """A dictionary of rows, of one row, or a list of dictionaries of one row each -> BatchEncoding."""
    check_tensor_type(return_tensors)
    if isinstance(encoded_inputs, (list, tuple)):
        if not all(hasattr(row, "keys") for row in encoded_inputs):
            raise InputError("pad takes a dictionary, or a list of dictionaries as tokenizer(text) returns; got others.")
        names = list(encoded_inputs[0]) if encoded_inputs else ["input_ids"]
        encoded_inputs = {name: [row[name] for row in encoded_inputs] for name in names}
    if "input_ids" not in encoded_inputs:
        raise InputError(f"what is to be padded must have 'input_ids'; got {', '.join(encoded_inputs)}.")
    data = {name: _to_list(value) for name, value in encoded_inputs.items()}
    if return_tensors is None and any(hasattr(value, "tolist") for value in encoded_inputs.values()):
        return_tensors = "np"
    request = resolve(
        tokenizer, padding=padding, truncation=False, max_length=max_length, stride=0,
        pad_to_multiple_of=pad_to_multiple_of, padding_side=padding_side, overflow=False,
    )  # fmt: skip
    one = bool(data["input_ids"]) and not isinstance(data["input_ids"][0], (list, tuple))
    if one:
        data = {name: [value] for name, value in data.items()}
    if tokenizer._wants("attention_mask", return_attention_mask):
        data.setdefault("attention_mask", [[1] * len(row) for row in data["input_ids"]])
    if request.padding:
        _fill(tokenizer, data, request)
    return BatchEncoding({name: value[0] for name, value in data.items()} if one else data, None, return_tensors)


def _fill(tokenizer, data, request):
    lengths = [len(row) for row in data["input_ids"]]
    length = request.max_length if request.padding == "max_length" else max(lengths, default=0)
    length += -length % (request.pad_to_multiple_of or 1)
    fillings = {"input_ids": tokenizer.pad_token_id, "token_type_ids": 0, "attention_mask": 0, "special_tokens_mask": 1}
    for name in fillings.keys() & data.keys():
        rows = [(list(row), [fillings[name]] * (length - len(row))) for row in data[name]]
        data[name] = [more + row if request.padding_side == "left" else row + more for row, more in rows]


def _to_list(value):
    """Arrays, and lists of arrays, as lists."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return [_to_list(item) for item in value] if isinstance(value, (list, tuple)) else value
