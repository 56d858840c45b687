"""int8 checkpoints: what they hold, and which kernels can use them.

`minibert quantize`, or `save_pretrained` of a model with kernels="int8", writes one. Its config.json says so under
"quantization_config". In place of a layer's float weights and biases, its model.safetensors holds the kernel's own
arrays, which are used as they are in the mapped file:

    transformer.layer.0.query_key_value.panels     int8     the weights, packed (`kernels/gemm/int8_layout.py`)
    transformer.layer.0.query_key_value.scales     float32  of each output and group of k (`group_size`, the same file)
    transformer.layer.0.query_key_value.columns    float32  each output's bias, and the sum of its weights
    ... attention_out, feed_forward_in, feed_forward_out

Embeddings, their projection, norms and heads are float32, as in any checkpoint. `transformers` does not read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minibert.kernels.catalog import Ops
from minibert.kernels.gemm.int8_layout import packed_shapes

from ..config import Architecture, PreTrainedConfig, short_repr
from ..errors import ConfigError, KernelError
from .checkpoint import EncoderNames

METHOD, VERSION = "minibert-int8", 3  # 2: a weight's rows are mixed by sixteens; 3: they have up to 8 scales each
PACKED_FIELDS = ("panels", "scales", "columns")
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
    return all(ops.names[name] == "int8" for name in names)


def check_kernels(ops: Ops, arch: Architecture, source: str) -> None:
    """Raise KernelError if `ops` cannot compute with int8 weights."""
    if not computes_in_int8(ops, arch):
        raise KernelError(
            f"{source} holds weights of 8 bits, which kernels='int8' computes with; got "
            f"{ops.preset or 'a mapping of variants'!r}. For other kernels, load the original checkpoint."
        )


def quantized_shapes(float_shapes: Mapping, names: EncoderNames, arch: Architecture) -> dict[str, tuple[int, ...]]:
    """A float encoder's tensors and their shapes -> those of an int8 one."""
    shapes = dict(float_shapes)
    for index in range(arch.layers):
        for product, (modules, _) in QUANTIZED_LINEARS.items():
            for module in modules:
                outputs, inputs = shapes.pop(f"{names.of_layer(index, module)}.weight")
                del shapes[f"{names.of_layer(index, module)}.bias"]
            packed = packed_shapes(len(modules), outputs, inputs)
            shapes |= {f"{names.layer.format(index)}.{product}.{part}": shape for part, shape in zip(PACKED_FIELDS, packed)}
    return shapes


def quantized_tensors(tensors: Mapping[str, np.ndarray], layers: list, names: EncoderNames) -> dict[str, np.ndarray]:
    """A model's tensors and its prepared layers -> the tensors of its int8 checkpoint."""
    saved = dict(tensors)
    for index, layer in enumerate(layers):
        for product, (modules, _) in QUANTIZED_LINEARS.items():
            for module in modules:
                for part in ("weight", "bias"):
                    saved.pop(f"{names.of_layer(index, module)}.{part}", None)
            packed = getattr(layer, product)[: len(PACKED_FIELDS)]
            saved |= {f"{names.layer.format(index)}.{product}.{part}": array for part, array in zip(PACKED_FIELDS, packed)}
    return saved
