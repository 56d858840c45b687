"""int8 checkpoints: what they hold, and which kernels can use them.

`minibert quantize`, or `save_pretrained` of a model with kernels="int8", writes one. Its config.json says so under
"quantization_config". In place of a layer's float weights and biases, its model.safetensors holds these; the int8 kernels
use the weights as they are in the mapped file:

    transformer.layer.0.query_key_value.qweight        int8     the weights in panels (`kernels/gemm/int8_layout.py`)
    transformer.layer.0.query_key_value.scales         float32  of each output
    transformer.layer.0.query_key_value.weight_sums    float32  of each output's 8-bit weights
    transformer.layer.0.query_key_value.bias           float32
    ... attention_out, feed_forward_in, feed_forward_out

The last three are (3, N) for query, key and value, else (1, N), with N rounded up to whole panels. Tables of words and of
positions are int8 too, each row with a scale of its own. Positions become float32 when they are read; words stay in the
mapped file, if the kernels read their rows as they are (`adapt`):

    embeddings.word_embeddings.qweight                 int8     (V, E)
    embeddings.word_embeddings.scales                  float32  (V,)

All else is float32, as in any checkpoint. Other kernels than int8 get the weights as floats (`dequantized_tensors`);
`minibert dequantize` writes them so, for `transformers`, which does not read this form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minibert.kernels.catalog import Ops
from minibert.kernels.gemm.int8_layout import packed_shapes, unpack_panels
from minibert.kernels.ops.quantization import Int8Table, dequantize_table, dequantize_weight, quantize_table
from minibert.kernels.runtime.buffer_pool import aligned

from ..config import Architecture, PreTrainedConfig, short_repr
from ..errors import ConfigError
from .checkpoint import EncoderNames

METHOD, VERSION = "minibert-int8", 5  # before: up to 8 scales a row and other names (4), float tables (3), unmixed rows (1)
VECTORS = ("bias", "scales", "weight_sums")  # a product's epilogue vectors, in their order
PACKED_FIELDS = ("qweight", *VECTORS)
QUANTIZED_LINEARS = {  # a field of `encoder.Layer` -> the checkpoint's modules that it joins, and its operation
    "query_key_value": (("query", "key", "value"), "query_key_value"),
    "attention_out": (("attention_out",), "linear_add"),
    "feed_forward_in": (("feed_forward_in",), "linear_{activation}"),
    "feed_forward_out": (("feed_forward_out",), "linear_add"),
}


def is_quantized(config: PreTrainedConfig) -> bool:
    """Whether config.json says that the weights are int8; ConfigError if it names another quantization."""
    declared = getattr(config, "quantization_config", None)
    if declared is None:
        return False
    if not isinstance(declared, dict) or declared.get("quant_method") != METHOD:
        raise ConfigError(
            f"minibert reads float weights, and those that it quantized itself ({METHOD}); quantization_config says "
            f"{short_repr(declared)}. Take the original checkpoint."
        )
    if declared.get("version") != VERSION:
        raise ConfigError(
            f"8-bit weights must be of the form that this minibert writes, version {VERSION}; quantization_config says "
            f"{short_repr(declared)}. Quantize the original checkpoint again: minibert quantize MODEL FOLDER."
        )
    return True


def kernels_for(config: PreTrainedConfig, kernels: Any) -> Any:
    """The same kernels, but "auto" means int8 for an int8 checkpoint."""
    return "int8" if isinstance(kernels, str) and kernels == "auto" and is_quantized(config) else kernels


def computes_in_int8(ops: Ops, arch: Architecture) -> bool:
    """Whether the int8 variants compute all linear layers of an encoder's layer."""
    names = {operation.format(activation=arch.activation) for _, operation in QUANTIZED_LINEARS.values()}
    return all(ops.names[name] in ("int8", "amx_int8") for name in names)


def adapt(
    tensors: Mapping[str, np.ndarray], config: PreTrainedConfig, names: EncoderNames, ops: Ops, tied: bool
) -> tuple[dict[str, np.ndarray], PreTrainedConfig]:
    """The tensors of an int8 checkpoint and its configuration -> those of a model with these kernels. `tied`: a head
    multiplies by the words."""
    if computes_in_int8(ops, config.architecture):
        stay = ops.names["embed"] == "vector" and not tied
        return with_float_tables(tensors, (names.positions,) if stay else tables(names)), config
    read = with_float_tables(tensors, tables(names))
    return dequantized_tensors(read, names, config.architecture), without_quantization(config)


def without_quantization(config: PreTrainedConfig) -> PreTrainedConfig:
    """The configuration of the same model with float weights."""
    return config.from_dict({name: value for name, value in config.to_dict().items() if name != "quantization_config"})


def quantized_shapes(float_shapes: Mapping, names: EncoderNames, arch: Architecture) -> dict[str, tuple[int, ...]]:
    """A float encoder's tensors and their shapes -> those of an int8 one."""
    shapes = dict(float_shapes)
    for table in tables(names):
        shapes[f"{table}.qweight"] = shapes.pop(f"{table}.weight")
        shapes[f"{table}.scales"] = shapes[f"{table}.qweight"][:1]
    for index in range(arch.layers):
        for product, (modules, _) in QUANTIZED_LINEARS.items():
            for module in modules:
                outputs, inputs = shapes.pop(f"{names.of_layer(index, module)}.weight")
                del shapes[f"{names.of_layer(index, module)}.bias"]
            panels, (parts, _, width) = packed_shapes(len(modules), outputs, inputs)
            stem = f"{names.layer.format(index)}.{product}"
            shapes |= {f"{stem}.qweight": panels} | {f"{stem}.{vector}": (parts, width) for vector in VECTORS}
    return shapes


def quantized_tensors(tensors: Mapping[str, np.ndarray], layers: list, names: EncoderNames) -> dict[str, np.ndarray]:
    """A model's tensors and its prepared layers -> the tensors of its int8 checkpoint."""
    saved = dict(tensors)
    for table in tables(names):
        if f"{table}.qweight" not in tensors:
            saved[f"{table}.qweight"], saved[f"{table}.scales"] = quantize_table(saved.pop(f"{table}.weight"))
    for index, layer in enumerate(layers):
        for product, (modules, _) in QUANTIZED_LINEARS.items():
            for module in modules:
                for part in ("weight", "bias"):
                    saved.pop(f"{names.of_layer(index, module)}.{part}", None)
            panels, epilogue_vectors, _ = getattr(layer, product)
            stem = f"{names.layer.format(index)}.{product}"
            saved[f"{stem}.qweight"] = panels
            saved |= {f"{stem}.{vector}": epilogue_vectors[:, i] for i, vector in enumerate(VECTORS)}
    return saved


def packed_linear(tensors: Mapping[str, np.ndarray], stem: str, outputs: int) -> tuple | None:
    """The tensors of an int8 checkpoint -> a product's packed parameters; None if it has none of that name."""
    if f"{stem}.qweight" not in tensors:
        return None
    epilogue_vectors = np.stack([tensors[f"{stem}.{vector}"] for vector in VECTORS], axis=1)
    return aligned(tensors[f"{stem}.qweight"]), epilogue_vectors, outputs


def tables(names: EncoderNames) -> tuple[str, str]:
    """The modules whose rows are int8 with a scale each."""
    return names.words, names.positions


def int8_names(shapes: Mapping) -> set[str]:
    """Those of an int8 encoder's tensors that are int8."""
    return {name for name in shapes if name.endswith(".qweight")}


def with_float_tables(tensors: Mapping[str, np.ndarray], names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The tensors of an int8 checkpoint -> the same with float32 tables of these names, and without their scales."""
    read = dict(tensors)
    for name in names:
        read[f"{name}.weight"] = dequantize_table(Int8Table(read.pop(f"{name}.qweight"), read.pop(f"{name}.scales")))
    return read


def word_table(tensors: Mapping[str, np.ndarray], words: str) -> np.ndarray | Int8Table:
    """A model's table of word embeddings: an int8 one, if `adapt` left it so."""
    values = tensors.get(f"{words}.qweight")
    return tensors[f"{words}.weight"] if values is None else Int8Table(values, tensors[f"{words}.scales"])


def as_floats(table: np.ndarray | Int8Table) -> np.ndarray:
    return dequantize_table(table) if isinstance(table, Int8Table) else table


def dequantized_tensors(tensors: Mapping[str, np.ndarray], names: EncoderNames, arch: Architecture) -> dict[str, np.ndarray]:
    """The tensors of an int8 checkpoint, its tables floats already -> those of a float one: the inverse of
    `quantized_tensors`, but for the rounding."""
    read = dict(tensors)
    for index in range(arch.layers):
        for product, (modules, _) in QUANTIZED_LINEARS.items():
            stem = f"{names.layer.format(index)}.{product}"
            panels, bias, scales, _ = (read.pop(f"{stem}.{field}") for field in PACKED_FIELDS)
            inputs = arch.feed_forward if product == "feed_forward_out" else arch.width
            outputs = arch.feed_forward if product == "feed_forward_in" else arch.width
            for part, module in enumerate(modules):
                values = unpack_panels(panels.reshape(len(modules), -1, *panels.shape[1:])[part])[:outputs]
                name = names.of_layer(index, module)
                read[f"{name}.weight"] = dequantize_weight(values, scales[part, :outputs], inputs)
                read[f"{name}.bias"] = bias[part, :outputs].copy()
    return read
