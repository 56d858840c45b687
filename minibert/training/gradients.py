"""`loss_and_gradients`: a model, a batch and its labels -> the loss, and its gradient by every tensor.

    parameters = {name: tensor.copy() for name, tensor in model.tensors.items()}
    loss, gradients = loss_and_gradients(model, **batch, labels=labels, parameters=parameters)
    for name, gradient in gradients.items():
        parameters[name] -= 1e-3 * gradient
    model = model.with_tensors(parameters)

Read `forward.py`, `backward.py` and `heads.py` first: here they are put together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from ..config import DropoutRates
from ..errors import ConfigError, InputError, InputTypeError, read_int, short_repr, strict_arguments
from ..models.base import PreTrainedModel
from ..models.checks import check_same_tensors
from ..models.labels import as_labels
from ..models.losses import LossHead, LossOptions, check_label_names
from ..models.packing import Packed
from ..models.quantized import is_quantized
from ..models.window_layers import with_global_mask
from ..tensors import as_array
from .backward import Gradients, encode_backward
from .forward import DropoutKey, Network, encode_for_training
from .freezing import frozen_tensors
from .heads import TrainingHead
from .hidden_states import PROJECTION, HiddenTargets, hidden_loss, read_hidden_targets
from .lazy_rows import RowGradient, dense
from .operations import choose_ops
from .option_readers import read_real


@strict_arguments
def loss_and_gradients(
    model: PreTrainedModel,
    input_ids: Any,
    attention_mask: Any = None,
    token_type_ids: Any = None,
    position_ids: Any = None,
    *,
    global_attention_mask: Any = None,
    labels: Any = None,
    next_sentence_label: Any = None,
    start_positions: Any = None,
    end_positions: Any = None,
    class_weights: Any = None,
    label_smoothing: float = 0.0,
    dropout_seed: int | None = None,
    dropout_step: int = 0,
    parameters: Mapping[str, np.ndarray] | None = None,
    freeze_layers: int | None = None,
    teacher_logits: Any = None,
    temperature: float = 1.0,
    distillation_weight: float = 0.5,
    teacher_hidden_states: Any = None,
    hidden_weight: float = 1.0,
    hidden_layers: Any = None,
    hidden_projection: Any = None,
    kernels: str = "auto",
) -> tuple[float, dict[str, np.ndarray]]:
    """A batch and its labels, as transformers' class of the same name takes them -> the loss that it returns, and
    {name in `model.tensors`: the loss's gradient by that tensor, of its shape}. The model is left as it is.

    `parameters` are used in place of `model.tensors`: the same names and shapes, float32 or float64, in which everything is
    computed. A tensor that the loss does not depend on has no gradient. Without `dropout_seed` there is no dropout; with one,
    the configuration's rates hold, and the zeros depend on seed and step alone. Padding is no part of any loss.
    With `teacher_logits`, as another model returned them for this batch, `distillation_weight` is the share of the loss against
    them, at this temperature (`minibert/models/losses.py`). With `teacher_hidden_states`, as another model returned them,
    `hidden_weight` times the error of the layers is added; `hidden_layers` are those of the teacher that the layers learn, and
    `hidden_projection` (teacher's width, width), which gets a gradient too, takes the model's states to the teacher's width
    (`hidden_states.py`). With `freeze_layers=n` the embeddings and the first n layers have no gradient, and nothing is computed
    below them.

    `global_attention_mask` is of Longformer alone, as in its call.

    `kernels` is "fast" (compiled, in float32), "bf16" (the same, but the layers' products are of numbers rounded to bf16),
    "reference" (NumPy), or "auto": "fast" for float32 if Numba is installed, else "reference". Each has the same bits on any
    number of threads.

    InputError for labels that this head does not take, or a batch in which all are ignored; ConfigError for a rate of dropout
    that is none; KernelError for kernels that are none, or that cannot be compiled.
    """
    check_trainable(model)
    inputs = {
        "input_ids": input_ids,
        "attention_mask": attention_mask,
        "token_type_ids": token_type_ids,
        "position_ids": position_ids,
        "global_attention_mask": global_attention_mask,
    }
    labels_by_name = {
        "labels": labels,
        "next_sentence_label": next_sentence_label,
        "start_positions": start_positions,
        "end_positions": end_positions,
    }
    labels_by_name = {name: values for name, values in labels_by_name.items() if values is not None}
    options = LossOptions(class_weights, read_label_smoothing(label_smoothing))
    if teacher_logits is not None:
        options = with_teacher_options(options, teacher_logits, temperature, distillation_weight)
    targets = None
    if teacher_hidden_states is not None:
        weight = read_real("hidden_weight", hidden_weight)
        targets = read_hidden_targets(teacher_hidden_states, weight, hidden_layers, hidden_projection)
    freeze_layers = None if freeze_layers is None else read_int("freeze_layers", freeze_layers)
    settings = BatchSettings(read_dropout_key(dropout_seed, dropout_step), parameters, freeze_layers, kernels, targets)
    loss, gradients = loss_and_row_gradients(model, inputs, labels_by_name, options, settings)
    return loss, {name: dense(grad) for name, grad in gradients.items()}


class BatchSettings(NamedTuple):
    """How a batch is computed, besides its loss."""

    dropout_key: DropoutKey | None = None
    parameters: Mapping[str, np.ndarray] | None = None
    freeze_layers: int | None = None
    kernels: str = "auto"
    hidden_targets: HiddenTargets | None = None
    before_read: Callable[[np.ndarray], None] | None = None  # gets the tokens whose embeddings are read next
    loss_shares: Mapping[str, float] | None = None  # factors of the losses, by their labels; 0 for one without a label


def pack_inputs(model: PreTrainedModel, inputs: Mapping[str, Any]) -> Packed:
    """A batch's inputs by their names -> its tokens without padding."""
    masks = with_global_mask(model, inputs.get("attention_mask"), inputs.get("global_attention_mask"))
    return model.pack(inputs["input_ids"], masks, inputs.get("token_type_ids"), inputs.get("position_ids"))


def loss_and_row_gradients(
    model: PreTrainedModel, inputs: Mapping[str, Any], labels: Mapping[str, Any], options: LossOptions, settings: BatchSettings
) -> tuple[float, dict[str, np.ndarray | RowGradient]]:
    """As `loss_and_gradients`, with the gradient of the word embeddings as `Gradients` has it."""
    heads, frozen = model.loss_heads(model.config), frozen_tensors(model, settings.freeze_layers)
    check_label_names(model, heads, labels)
    network = make_network(model, settings.parameters, settings.dropout_key, heads, settings.kernels)
    network = network._replace(frozen_layers=settings.freeze_layers)
    packed = pack_inputs(model, inputs)
    if packed.score_bias is not None:
        raise InputError("training takes one mask for all queries: attention_mask must have the shape of input_ids, (B, T).")
    if settings.before_read is not None:
        settings.before_read(packed.token_ids)
    targets = settings.hidden_targets
    cls_only = model.cls_only and targets is None  # who compares a layer compares all of it
    shares = settings.loss_shares or dict.fromkeys(labels, 1.0)
    training_heads = {
        index: TrainingHead(head, model, labels, packed, cls_only, shares)
        for index, head in enumerate(heads)
        if any(shares[name] for name in head.labels)
    }
    with np.errstate(all="ignore"):  # a loss that is NaN says it all
        hidden, record = encode_for_training(packed, network, cls_only)
        loss, grad, gradients = run_heads(hidden, network, training_heads, options)
        layer_grads = None
        if targets is not None:
            outputs = [*(layer.hidden for layer in record.layers[1:]), hidden]
            layer_loss, layer_grads, projection_grad = hidden_loss(outputs, targets, packed, network.ops)
            loss += layer_loss
            if projection_grad is not None:
                gradients.accumulate_tensor(PROJECTION, projection_grad)
        encode_backward(grad, record, packed, network, gradients, padding_id_of(model, network), layer_grads)
    kept = {name: gradient for name, gradient in gradients.items() if name not in frozen}
    if len(training_heads) < len(heads):  # tied word embeddings are read whole in the next step, if not in this one
        kept = {name: dense(gradient) for name, gradient in kept.items()}
    return loss, kept


def run_heads(
    hidden: np.ndarray, network: Network, heads: dict[int, TrainingHead], options: LossOptions
) -> tuple[float, np.ndarray, Gradients]:
    """The encoder's output -> the loss of these of the model's heads, its gradient by that output, and by the heads' tensors."""
    gradients, losses, grad = Gradients(), [], np.zeros_like(hidden)
    for index, head in heads.items():
        site = 3 * network.arch.layers + 1 + 8 * index  # of its first dropout: the encoder's come first
        loss, head_grad = head.run(hidden, network, site, options, gradients)
        losses.append(float(loss))
        grad = grad + head_grad
    return sum(losses), grad, gradients


def padding_id_of(model: PreTrainedModel, network: Network) -> Any:
    positions_padding = network.arch.position_padding_id  # is that of words too
    return model.config.pad_token_id if positions_padding is None else positions_padding


def check_trainable(model: Any) -> None:
    if not isinstance(model, PreTrainedModel):
        raise InputTypeError(f"model must be a model of minibert, with a head; got {type(model).__name__}.")


def make_network(
    model: PreTrainedModel, parameters: Any, dropout_key: DropoutKey | None, heads: tuple[LossHead, ...], kernels: str
) -> Network:
    config = model.config
    if is_quantized(config):
        raise InputError("8-bit weights cannot be trained; load the model with kernels='fast', which makes floats of them.")
    rates = config.dropout_rates
    if dropout_key is not None:
        check_rates(rates, heads)
    if parameters is None:
        parameters = model.tensors
    else:
        check_same_tensors("parameters", parameters, model.tensors)
        parameters = {name: np.ascontiguousarray(tensor) for name, tensor in parameters.items()}
    ops = choose_ops(kernels, next(iter(parameters.values())).dtype)
    return Network(parameters, model.encoder_names, config.architecture, ops, rates, dropout_key)


def check_rates(rates: DropoutRates, heads: tuple[LossHead, ...]) -> None:
    of_heads = [layer.rate for head in heads for layer in head.layers if layer.operation == "dropout"]
    for rate in (*rates, *of_heads):
        if isinstance(rate, bool) or not isinstance(rate, Real) or not 0 <= rate < 1:
            raise ConfigError(
                f"a rate of dropout must be a number from 0 to below 1; the configuration has {short_repr(rate)}."
            )


def read_dropout_key(seed: Any, step: Any) -> DropoutKey | None:
    step = read_int("dropout_step", step)
    if seed is None:
        return None
    key = DropoutKey(read_int("dropout_seed", seed), step)
    if key.seed >= 2**64 or key.step >= 2**32:
        raise InputError(
            f"dropout_seed must be below 2**64 and dropout_step below 2**32; got {short_repr(seed)} and {short_repr(step)}."
        )
    return key


def with_teacher_options(options: LossOptions, logits: Any, temperature: Any, share: Any) -> LossOptions:
    array = as_labels("teacher_logits", as_array(logits, "teacher_logits"))
    temperature = read_real("temperature", temperature, above=0)
    share = read_real("distillation_weight", share)
    if share > 1 or not np.isfinite(array).all():
        raise InputError(f"distillation_weight must be from 0 to 1, and teacher_logits finite; got {share:g}.")
    return options._replace(teacher_logits=array, temperature=temperature, distillation_weight=share)


def read_label_smoothing(value: Any) -> float:
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not 0 <= value < 1:
        raise InputError(f"label_smoothing must be a number from 0 to below 1; got {short_repr(value)}.")
    return float(value)
