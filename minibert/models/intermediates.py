"""Every step of a forward pass as an array with its name: what `model.intermediates(**inputs)` returns.

    embeddings.words, .positions, .types    rows of the three tables (B, T, E)
    embeddings.sum, .norm, .projection      their sum, normalized, and widened if the family does so
    layer.0.query, .key, .value             (B, T, D)
    layer.0.attention                       probabilities (B, H, T, T): the row of a query, the column of a key
    layer.0.context                         the values, weighted by them (B, T, D): head h has columns h Dh to (h + 1) Dh
    layer.0.attention_out, .attention_sum, .attention_norm        a linear layer, + what came in, normalized
    layer.0.feed_forward_in, .feed_forward_in.gelu                (B, T, F)
    layer.0.feed_forward_out, .output_sum, .output_norm           the layer's result (B, T, D)
    head.NAME                               the head's modules by their names in a checkpoint
    logits, ...                             the fields of the model's output

They are recorded while the encoder runs (`encoder.py`) with the reference kernels, whatever the model's own are: each operation of
the table writes down its result, and its name follows from the weights that it is called with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minibert.kernels import composed
from minibert.kernels.catalog import Ops, make_ops

from ..errors import InputError
from .encoder import encode
from .packing import Packed
from .quantized import dequantized_tensors, is_quantized, tables, with_float_tables, without_quantization

LAYER_PARTS = ("query", "key", "value", "attention_out", "attention_norm", "feed_forward_in", "feed_forward_out", "output_norm")
SUMS: dict[str, tuple[str, Callable]] = {  # a norm -> its input's name, and the composition that adds it up
    "embeddings.norm": ("embeddings.sum", composed.embed),
    "attention_norm": ("attention_sum", composed.linear_add),
    "output_norm": ("output_sum", composed.linear_add),
}
ACTIVATIONS = ("gelu", "gelu_tanh", "relu", "silu", "tanh")
PARAMETERIZED = ("linear", "layer_norm")


@dataclass(frozen=True)
class Step:
    """One step's result. `np.asarray(step)` is its array."""

    name: str
    array: np.ndarray
    function: str  # the file and the function that computed it

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.array, dtype=dtype) if copy else np.asarray(self.array, dtype=dtype)

    def __repr__(self) -> str:
        return f"{self.name} {self.shape} by {self.function}"


def reference_model(model: Any) -> Any:
    """A model -> the same with the reference kernels. InputError if its attention has windows, whose probabilities are no
    squares."""
    if model.architecture.windows is not None:
        raise InputError(
            f"every step is recorded where each token sees all others; a {type(model).__name__} has windows. Call it with "
            "output_hidden_states=True and output_attentions=True."
        )
    return float_model(model, "reference")


def float_model(model: Any, kernels: str) -> Any:
    """A model -> the same with these kernels, its weights as floats if they are of 8 bits."""
    from .base import rebuild

    config, tensors, names = model.config, model.tensors, model.encoder_names
    if is_quantized(config):
        stored = tuple(table for table in tables(names) if f"{table}.qweight" in tensors)
        tensors = dequantized_tensors(with_float_tables(tensors, stored), names, model.architecture)
        config = without_quantization(config)
    return rebuild(type(model), config, tensors, kernels)


def record_steps(model: Any, packed: Packed) -> dict[str, Step]:
    """A model of `reference_model` and packed tokens -> the steps by their names, in the order in which they were computed."""
    recorder = Recorder(module_names(model), packed)
    ops = recording_ops(recorder)
    recorder.add_embeddings(model.encoder.tables, bool(model.encoder_names.types))
    with np.errstate(all="ignore"):
        hidden = encode(packed, model.encoder, ops)  # all tokens of the last layer, also where a head reads the first alone
        recorder.in_head = True
        model.kernels = ops
        outputs = model.head_outputs(packed, hidden[packed.first] if model.cls_only else hidden)
    if packed.choices > 1:
        outputs["logits"] = outputs["logits"].reshape(-1, packed.choices)
    head = location(type(model).head_outputs)
    return recorder.steps() | {name: Step(name, array, head) for name, array in outputs.items()}


def module_names(model: Any) -> dict[int, str]:
    """id of a weight -> the name of its step. The reference kernels use the tensors as they are, so an id says which it is."""
    names, tensors = model.encoder_names, model.tensors
    modules = {names.embedding_norm: "embeddings.norm", names.embedding_projection: "embeddings.projection"}
    for index in range(model.architecture.layers):
        modules |= {names.of_layer(index, part): f"layer.{index}.{part}" for part in LAYER_PARTS}
    for name in model.head_shapes(model.config):
        modules.setdefault(name.rpartition(".")[0], f"head.{name.rpartition('.')[0]}")
    modules[names.words] = "head.decoder"  # of a masked-LM head that is tied to them; the encoder has no product with them
    weights = {f"{module}.weight": name for module, name in modules.items()}
    return {id(tensors[weight]): name for weight, name in weights.items() if weight in tensors}


def recording_ops(recorder: Recorder) -> Ops:
    """The reference kernels, each of which reports its arguments and its result. Compositions call the others by way of
    the same table, so their parts report first."""
    ops = make_ops("reference")

    def recorded(operation: str, function: Callable) -> Callable:
        where = location(ops.chosen[operation].function)

        def call(*arguments: Any) -> Any:
            result = function(*arguments)
            recorder.record(operation, arguments, result, where)
            return result

        return call

    for operation in (*PARAMETERIZED, *ACTIVATIONS, "softmax", "attention"):
        setattr(ops, operation, recorded(operation, getattr(ops, operation)))
    return ops


def location(function: Callable) -> str:
    """`reference.linear` -> "kernels/reference.py: linear"."""
    module = function.__module__.removeprefix("minibert.") if ".kernels." in function.__module__ else function.__module__
    return f"{module.replace('.', '/')}.py: {function.__qualname__}"


class Recorder:
    """What the operations of one forward pass report."""

    def __init__(self, names: dict[int, str], packed: Packed) -> None:
        self.names, self.packed, self.in_head = names, packed, False
        self.recorded: dict[str, tuple[list[np.ndarray], str]] = {}  # several arrays if there is one for each sequence
        self.last = ""  # the last step that has weights: what has none belongs to it

    def add_embeddings(self, tables: tuple, has_types: bool) -> None:
        words, types, positions = tables
        packed, where = self.packed, location(composed.embed)
        rows = packed.token_ids
        self.add("embeddings.words", (words if packed.words is None else packed.words)[rows], where)
        self.add("embeddings.positions", positions[packed.position_ids], where)
        if has_types:
            self.add("embeddings.types", types[packed.type_ids], where)

    def record(self, operation: str, arguments: tuple, result: np.ndarray, where: str) -> None:
        layer = ".".join(self.last.split(".")[:2])
        if operation in PARAMETERIZED:
            self.last = self.names.get(id(arguments[1]), self.last)
            for norm, (name, function) in SUMS.items():
                if self.last.endswith(norm):
                    self.add(self.last.removesuffix(norm) + name, arguments[0], location(function))
            self.add(self.last, result, where)
        elif operation == "softmax":
            self.add(f"{layer}.attention", result, where)
        elif operation == "attention":
            self.add(f"{layer}.context", result, where)
        else:
            self.add(f"{self.last}.{operation}", result, where)

    def add(self, name: str, array: np.ndarray, where: str) -> None:
        self.recorded.setdefault(name, ([], where))[0].append(array)

    def steps(self) -> dict[str, Step]:
        return {name: Step(name, self.unpack(name, arrays), where) for name, (arrays, where) in self.recorded.items()}

    def unpack(self, name: str, arrays: list[np.ndarray]) -> np.ndarray:
        """A step's arrays, of packed tokens -> one of padded rows."""
        if name.endswith(".attention"):
            return self.packed.unpack_squares(arrays, arrays[0].shape[0])
        joined = np.concatenate(arrays) if len(arrays) > 1 else arrays[0]
        of_tokens = len(joined) == self.packed.bounds[-1] and not name.startswith("head.")
        return self.packed.unpack(joined) if of_tokens or self.is_of_tokens(joined) else joined

    def is_of_tokens(self, array: np.ndarray) -> bool:
        """Whether a head's result has a row for each token, not for each sequence."""
        return len(array) == self.packed.bounds[-1] and len(array) != len(self.packed.bounds) - 1
