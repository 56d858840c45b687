"""Which tensors are trained, and at what share of the learning rate: both depend on the layer that a tensor belongs to.

Level 0 are the embeddings, level i + 1 is layer i, and the head is the level above the last layer.
"""

from __future__ import annotations

from ..errors import InputError, short_repr
from ..models.base import PreTrainedModel


def levels(model: PreTrainedModel) -> dict[str, int]:
    """Each tensor of a model -> its level. A table that all layers read, as MPNet's of relative biases, is of the lowest."""
    names, layers = model.encoder_names, model.config.architecture.layers
    encoder = model.encoder_shapes(model.config)
    result = {name: 0 if name in encoder else layers + 1 for name in model.tensors}
    for index in range(layers):
        prefix = names.layer.format(index) + "."
        result |= {name: index + 1 for name in result if name.startswith(prefix)}
    if names.relative_bias:
        result[f"{names.relative_bias}.weight"] = 1
    return result


def frozen_tensors(model: PreTrainedModel, freeze_layers: int | None) -> set[str]:
    """The tensors of the embeddings and of the first `freeze_layers` layers; none if that is None."""
    if freeze_layers is None:
        return set()
    if freeze_layers > model.config.architecture.layers:
        raise InputError(
            f"freeze_layers may be up to the model's {model.config.architecture.layers} layers; got {short_repr(freeze_layers)}."
        )
    return {name for name, level in levels(model).items() if level <= freeze_layers}


def learning_rate_scales(model: PreTrainedModel, decay: float) -> dict[str, float]:
    """Each tensor -> decay to the power of how many levels it is below the head (arXiv:1801.06146, 3.2)."""
    top = model.config.architecture.layers + 1
    return {name: decay ** (top - level) for name, level in levels(model).items()}
