"""What a checkpoint must hold: the names of its tensors and their shapes, and whether a file has them.

The names are a family's (`families/`), the shapes follow from its configuration. `check_tensors` compares them with a
file's header before a tensor is read. Next: `encoder.py`, which uses the arrays.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np

from ..config import Architecture
from ..errors import MinibertWarning, WeightsError, short_repr
from ..stored_tensor import FLOATS, StoredTensor
from ..weights import abbreviate


class EncoderNames(NamedTuple):
    """The names of an encoder's modules in a family's checkpoints; `.weight` and `.bias` are added to them."""

    prefix: str  # before every name of the encoder, if the model has a head
    words: str
    positions: str
    types: str | None  # None: the family has no token types
    embedding_norm: str
    layer: str
    query: str
    key: str
    value: str
    attention_out: str
    attention_norm: str
    feed_forward_in: str
    feed_forward_out: str
    output_norm: str
    embedding_projection: str | None = None  # between embeddings and first layer, if their widths differ
    relative_bias: str | None = None  # a table of biases for the distance of two tokens
    pooler: str | None = None  # a layer that several heads share, and that carries the encoder's prefix
    global_query: str | None = None  # these three of tokens with global attention
    global_key: str | None = None
    global_value: str | None = None
    heads: tuple[str, ...] = ()  # how names of heads begin, beyond COMMON_HEADS

    def of_layer(self, index: int, part: str) -> str:
        return f"{self.layer.format(index)}.{getattr(self, part)}"

    @property
    def global_parts(self) -> tuple[str, ...]:
        """The fields that name the projections of global tokens, if the family has any."""
        return () if self.global_query is None else ("global_query", "global_key", "global_value")

    def in_pooler(self, name: str) -> bool:
        return self.pooler is not None and name.startswith(f"{self.pooler}.")


# A checkpoint may hold heads that its model has no use for, being loaded for another task: they stay in the file.
COMMON_HEADS = ("cls.", "classifier.", "pre_classifier.", "vocab_", "qa_outputs.", "pooler.")
BUFFERS = ("embeddings.position_ids",)  # 0, 1, 2, ..., which old checkpoints stored


def encoder_shapes(names: EncoderNames, arch: Architecture) -> dict[str, tuple[int, ...]]:
    """Every tensor of an encoder -> its shape."""
    width, embedding_width = arch.width, arch.embedding_width
    shapes: dict[str, tuple[int, ...]] = {
        f"{names.words}.weight": (arch.vocabulary, embedding_width),
        f"{names.positions}.weight": (arch.positions, embedding_width),
    }
    if names.types:
        shapes[f"{names.types}.weight"] = (arch.types, embedding_width)
    if names.relative_bias:
        shapes[f"{names.relative_bias}.weight"] = (arch.relative_buckets, arch.heads)
    shapes |= norm_shapes(names.embedding_norm, embedding_width)
    if embedding_width != width and names.embedding_projection is not None:
        shapes |= linear_shapes(names.embedding_projection, width, embedding_width)
    for index in range(arch.layers):
        for part in ("query", "key", "value", *names.global_parts, "attention_out"):
            shapes |= linear_shapes(names.of_layer(index, part), width, width)
        shapes |= norm_shapes(names.of_layer(index, "attention_norm"), width)
        shapes |= linear_shapes(names.of_layer(index, "feed_forward_in"), arch.feed_forward, width)
        shapes |= linear_shapes(names.of_layer(index, "feed_forward_out"), width, arch.feed_forward)
        shapes |= norm_shapes(names.of_layer(index, "output_norm"), width)
    return shapes


def linear_shapes(name: str, outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def norm_shapes(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def canonical(stored: Mapping[str, StoredTensor], prefix: str) -> dict[str, StoredTensor]:
    """The file's names -> the model's: without the prefix, and LayerNorm's `gamma` and `beta` as weight and bias."""
    renamed: dict[str, StoredTensor] = {}
    for name, tensor in stored.items():
        plain = name.removeprefix(prefix)
        plain = plain.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
        if plain in renamed:
            raise WeightsError(
                f"a checkpoint may hold a tensor once; {short_repr(plain)} is there twice, as {short_repr(name)} and another."
            )
        renamed[plain] = tensor
    return renamed


def check_tensors(
    stored: Mapping[str, StoredTensor],
    shapes: Mapping[str, tuple[int, ...]],
    source: str,
    strict: bool = True,
    heads: tuple[str, ...] = (),
    int8: Collection[str] = (),
    head_names: Collection[str] = (),
) -> None:
    """One WeightsError that lists all tensors that are missing, surplus, or of another shape or type; or nothing.

    Tensors are floats, those named in `int8` int8, those in `head_names` the model's head. Names that begin with one of `heads`
    are not surplus. Without `strict`, surplus tensors are a warning.
    """
    allowed = (*COMMON_HEADS, *heads, *BUFFERS)
    missing = [name for name in shapes if name not in stored]
    surplus = [name for name in stored if name not in shapes and not name.startswith(allowed)]
    present = {name: stored[name] for name in shapes if name in stored}
    mismatched = mismatched_shapes(shapes, stored)
    wrong_shape = [f"{name} {short_repr(one)} for {shape}" for name, (one, shape) in mismatched.items()]
    wrong_type = [
        f"{name} {tensor.dtype}"
        for name, tensor in present.items()
        if tensor.dtype not in (("I8",) if name in int8 else FLOATS)
    ]
    if surplus and not strict:
        warnings.warn(
            f"{source} holds tensors that its config.json does not describe, which are not used: "
            f"{', '.join(abbreviate(surplus))}.",
            MinibertWarning,
            stacklevel=2,
        )
    problems = {
        "missing": missing,
        "surplus": surplus if strict else [],
        "wrong shape": wrong_shape,
        "not its type": wrong_type,
    }
    if any(problems.values()):
        lines = "".join(f"\n  {problem}: {', '.join(abbreviate(names))}" for problem, names in problems.items() if names)
        hint = "\nfrom_pretrained(..., strict=False) leaves surplus tensors in the file." if problems["surplus"] else ""
        if set(mismatched) <= set(head_names) and not (missing or problems["surplus"] or wrong_type):
            hint = "\nfrom_pretrained(..., ignore_mismatched_sizes=True) makes new ones of another shape, to be trained."
        raise WeightsError(f"the tensors of {source} must be those that its config.json describes:{lines}{hint}")


def mismatched_shapes(
    shapes: Mapping[str, tuple[int, ...]], stored: Mapping[str, StoredTensor]
) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
    """Tensors that a file has in another shape -> (its shape there, the one that it must have)."""
    return {
        name: (stored[name].shape, shape) for name, shape in shapes.items() if name in stored and stored[name].shape != shape
    }


def check_tied(stored: Mapping, tensors: Mapping[str, np.ndarray], tied: Mapping[str, str], source: str) -> None:
    """Raise WeightsError if a file holds a tied tensor twice, with different values."""
    for name, original in tied.items():
        if name in stored and original in tensors and stored[name] != stored[original]:  # not the same place
            check_tensors({name: stored[name]}, {name: tensors[original].shape}, source)
            if not np.array_equal(stored[name].array(), tensors[original]):
                hint = " For weights of its own, pass tie_word_embeddings=False." if name.endswith(".weight") else ""
                raise WeightsError(f"{name} must be equal to {original}, which is used for both; in {source} it is not.{hint}")


def warn_of_new_head(source: str, missing: list[str], mismatched: Mapping[str, tuple], purpose: str) -> None:
    new = [*missing, *(f"{name} {short_repr(stored)} for {shape}" for name, (stored, shape) in mismatched.items())]
    problem = f"was not trained to {purpose}" if missing else "has tensors of the head in another shape"
    warnings.warn(
        f"{source} {problem}: {', '.join(new)} are new, at random, and the answers mean nothing until they are trained. "
        "For features, load it with AutoModel.",
        MinibertWarning,
        stacklevel=3,
    )
