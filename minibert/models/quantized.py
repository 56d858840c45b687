"""Checkpoints whose products are of 8 bits already: what is in them, and who may load them.

`minibert quantize`, or `save_pretrained` of a model with kernels="int8", writes one. Its config.json says so under
"quantization_config", and in the place of a layer's float weights and biases its model.safetensors holds what the kernel
takes, to be used where it lies:

    transformer.layer.0.query_key_value.panels     int8     the weights, packed (`kernels/gemm/int8_layout.py`)
    transformer.layer.0.query_key_value.scales     float32  of each output and group of k (`group_size`, the same file)
    transformer.layer.0.query_key_value.columns    float32  each output's bias, and the sum of its weights
    ... attention_out, feed_forward_in, feed_forward_out

Embeddings, norms and heads are in it as in any other. `transformers` does not read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minibert.kernels.gemm.int8_layout import packed_shapes
from minibert.kernels.registry import Ops

from ..config import Architecture, PreTrainedConfig, brief
from ..errors import ConfigError, KernelError
from ..weights import EncoderNames

METHOD, VERSION = "minibert-int8", 3  # 2: a weight's rows are mixed by sixteens; 3: they have up to 8 scales each
PARTS = ("panels", "scales", "columns")
PRODUCTS = {  # a layer's products, as `encoder.Layer` has them -> the modules each is made of, and its operation
    "query_key_value": (("query", "key", "value"), "query_key_value"),
    "attention_out": (("attention_out",), "linear_add"),
    "feed_forward_in": (("feed_forward_in",), "linear_{activation}"),
    "feed_forward_out": (("feed_forward_out",), "linear_add"),
}


def is_quantized(config: PreTrainedConfig) -> bool:
    """Whether config.json says that the weights are of 8 bits; ConfigError where it says anything else of the kind."""
    said = getattr(config, "quantization_config", None)
    if said is None:
        return False
    if not isinstance(said, dict) or said.get("quant_method") != METHOD:
        raise ConfigError(
            f"minibert reads float weights, and those that it quantised itself ({METHOD}); quantization_config says "
            f"{brief(said)}. Take the checkpoint that it was made from."
        )
    if said.get("version") != VERSION:
        raise ConfigError(
            f"8-bit weights must be of the form that this minibert writes, version {VERSION}; quantization_config says "
            f"{brief(said)}. Quantise the checkpoint that it was made from anew: minibert quantize MODEL FOLDER."
        )
    return True


def kernels_for(config: PreTrainedConfig, kernels: Any):
    """The kernels that were asked for; for a quantised checkpoint "auto" means int8."""
    return "int8" if isinstance(kernels, str) and kernels == "auto" and is_quantized(config) else kernels


def computes_in_int8(ops: Ops, made: Architecture) -> bool:
    """Whether all products of a layer are done by the int8 variants."""
    names = {operation.format(activation=made.activation) for _, operation in PRODUCTS.values()}
    return all(ops.names[name] == "int8" for name in names)


def check_kernels(ops: Ops, made: Architecture, source: str) -> None:
    """KernelError where the table cannot compute with 8-bit weights."""
    if not computes_in_int8(ops, made):
        raise KernelError(
            f"{source} holds weights of 8 bits, which kernels='int8' computes with; got "
            f"{ops.preset or 'a mapping of variants'!r}. For other kernels, load the checkpoint that it was made from."
        )


def quantized_shapes(float_shapes: Mapping, names: EncoderNames, made: Architecture) -> dict[str, tuple[int, ...]]:
    """A float encoder's tensors and their shapes -> those of a quantised one."""
    shapes = dict(float_shapes)
    for number in range(made.layers):
        for product, (modules, _) in PRODUCTS.items():
            for module in modules:
                outputs, inputs = shapes.pop(f"{names.of_layer(number, module)}.weight")
                del shapes[f"{names.of_layer(number, module)}.bias"]
            found = packed_shapes(len(modules), outputs, inputs)
            shapes |= {f"{names.layer.format(number)}.{product}.{part}": shape for part, shape in zip(PARTS, found)}
    return shapes


def quantized_tensors(tensors: Mapping[str, np.ndarray], layers: list, names: EncoderNames) -> dict[str, np.ndarray]:
    """A model's tensors and its prepared layers -> the tensors of its quantised checkpoint."""
    kept = dict(tensors)
    for number, layer in enumerate(layers):
        for product, (modules, _) in PRODUCTS.items():
            for module in modules:
                for part in ("weight", "bias"):
                    kept.pop(f"{names.of_layer(number, module)}.{part}", None)
            packed = getattr(layer, product)[: len(PARTS)]
            kept |= {f"{names.layer.format(number)}.{product}.{part}": array for part, array in zip(PARTS, packed)}
    return kept
