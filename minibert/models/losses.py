"""Losses: logits and labels -> one number, each formula with its gradient below it; and which loss a head is trained with.

A head names its losses (`loss_heads` of its class): the outputs, the arguments that hold their labels, and the form of the
labels. The numbers are those that transformers computes for the same labels, but padding is never part of a loss: its
logits are not computed here. Next: `minibert/training/`, which goes back from a loss to the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from minibert.kernels import reference

from ..config import PreTrainedConfig
from ..errors import InputError
from .labels import IGNORED, as_labels, check_class_weights, class_labels, position_labels, real_labels, token_labels
from .packing import Packed, read_mask

# --- The formulas ----------------------------------------------------------------------------------------------------


def cross_entropy(
    logits: np.ndarray, labels: np.ndarray, class_weights: np.ndarray | None = None, label_smoothing: float = 0.0
) -> np.floating:
    """logits (R, C), labels (R,) -> −Σ targets log softmax(logits), a weighted mean over the rows: PyTorch's definition.

    A target is 1 for the label and 0 elsewhere; smoothed by ε, ε / C is everywhere and 1 − ε comes on top for the label
    (arXiv:1512.00567, 7). It is multiplied by its class's weight, and divided by the sum of the labels' weights. Rows whose
    label is −100 are left out; if all are, the mean is NaN.
    """
    targets = cross_entropy_targets(logits, labels, class_weights, label_smoothing)
    log_probabilities = log_softmax(logits)
    products = np.multiply(targets, log_probabilities, out=np.zeros_like(logits), where=targets != 0)  # 0 · −∞ is 0 here
    return -products.sum(dtype=np.float64) if targets.any() else np.float64("nan")


def cross_entropy_grad(
    logits: np.ndarray, labels: np.ndarray, class_weights: np.ndarray | None = None, label_smoothing: float = 0.0
) -> np.ndarray:
    """As `cross_entropy` -> the gradient of the logits (R, C): softmax(logits) Σ targets − targets."""
    targets = cross_entropy_targets(logits, labels, class_weights, label_smoothing)
    return reference.softmax(logits) * targets.sum(axis=-1, keepdims=True) - targets


def cross_entropy_targets(
    logits: np.ndarray, labels: np.ndarray, class_weights: np.ndarray | None, label_smoothing: float
) -> np.ndarray:
    """What the log-probabilities are multiplied by (R, C): targets by weights, over the sum of the labels' weights."""
    counted, classes = labels != IGNORED, logits.shape[1]
    targets = np.full(logits.shape, label_smoothing / classes, logits.dtype)
    targets[np.flatnonzero(counted), labels[counted]] += 1 - label_smoothing
    weights = np.ones(classes, logits.dtype) if class_weights is None else np.asarray(class_weights, logits.dtype)
    total = weights[labels[counted]].sum()
    return targets * weights * counted[:, None] / (total if total else 1)


def binary_cross_entropy(logits: np.ndarray, targets: np.ndarray) -> np.floating:
    """logits and targets from 0 to 1, of one shape -> mean of −t log σ(x) − (1 − t) log(1 − σ(x)), in a form without
    overflow: max(x, 0) − x t + log(1 + exp(−|x|)). PyTorch's `binary_cross_entropy_with_logits`."""
    return (np.maximum(logits, 0) - logits * targets + np.log1p(np.exp(-np.abs(logits)))).mean(dtype=np.float64)


def binary_cross_entropy_grad(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """As `binary_cross_entropy` -> the gradient of the logits: (σ(x) − t) over how many there are."""
    return ((1 + np.tanh(logits * 0.5)) * 0.5 - targets) / logits.size


def mean_squared_error(predictions: np.ndarray, targets: np.ndarray) -> np.floating:
    """predictions and targets of one shape -> the mean of (x − t)²."""
    return np.square(predictions - targets).mean(dtype=np.float64)


def mean_squared_error_grad(predictions: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """As `mean_squared_error` -> the gradient of the predictions: 2 (x − t) over how many there are."""
    return 2 * (predictions - targets) / predictions.size


def distillation(logits: np.ndarray, teacher_logits: np.ndarray, temperature: float) -> Any:
    """logits and a teacher's (R, C) -> T² times the mean over the rows of KL(p ‖ q), where p is the softmax of the teacher's
    logits / T and q that of the others / T (arXiv:1503.02531, 2)."""
    teacher, student = log_softmax(teacher_logits / temperature), log_softmax(logits / temperature)
    return temperature**2 * (np.exp(teacher) * (teacher - student)).sum(dtype=np.float64) / len(logits)


def distillation_grad(logits: np.ndarray, teacher_logits: np.ndarray, temperature: float) -> np.ndarray:
    """As `distillation` -> the gradient of the logits: T (q − p) over the number of rows."""
    difference = reference.softmax(logits / temperature) - reference.softmax(teacher_logits / temperature)
    return temperature * difference / len(logits)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


# --- What a head is trained with -------------------------------------------------------------------------------------


class HeadLayer(NamedTuple):
    """One step from hidden states to logits: an operation, and the names of its tensors in a checkpoint."""

    operation: str  # "linear", "layer_norm", "dropout", or an activation
    weight: str = ""
    bias: str = ""
    rate: float = 0.0  # of a dropout


class LossHead(NamedTuple):
    """A way from hidden states to a loss.

    `form` says what the labels are: "sequence", one answer each, of the configuration's problem_type; "class", a class for
    each sequence; "choice", which of C texts; "token", a class for each token; "replaced", 1 or 0 for each token;
    "position", the index of a token.
    """

    form: str
    layers: tuple[HeadLayer, ...]
    outputs: tuple[str, ...] = ("logits",)  # fields of the model's output
    labels: tuple[str, ...] = ("labels",)  # the argument that holds the labels of each
    share: float = 1.0  # of each of these losses in the model's


OF_TOKENS = ("token", "replaced", "position")  # the forms whose labels say something of a row's tokens


class LossOptions(NamedTuple):
    class_weights: np.ndarray | None = None
    label_smoothing: float = 0.0
    teacher_logits: np.ndarray | None = None  # (R, C), or padded as a model returned them, before the rows are chosen
    temperature: float = 1.0
    distillation_weight: float = 0.0  # the share of the loss against the teacher


PLAIN = LossOptions()


def linear_layer(module: str) -> HeadLayer:
    return HeadLayer("linear", f"{module}.weight", f"{module}.bias")


def head_loss(
    model: Any,
    outputs: Mapping[str, np.ndarray],
    labels: Mapping[str, Any],
    attention_mask: Any = None,
    options: LossOptions | None = None,
) -> float:
    """A model's outputs, padded as it returned them, and its labels by the names of their arguments -> the loss.

    For "sequence" (B,), regression and multi-label (B, labels); "token" and "replaced" (B, T). InputError for labels that
    this head does not take. In place of the mask, the packed tokens of the call will do.
    """
    heads = model.loss_heads(model.config)
    check_label_names(model, heads, labels)
    total = 0.0
    for head in heads:
        for field, name in zip(head.outputs, head.labels):
            logits = outputs[field]
            values = as_labels(name, labels[name])
            if head.form in OF_TOKENS:
                token_mask = tokens_of_loss(head.form, *read_masks(attention_mask, logits.shape[:2]))
                if head.form == "position":
                    values, logits = position_labels(name, values, token_mask), np.where(token_mask, logits, -np.inf)
                else:
                    values, rows = token_labels(head.form, name, values, token_mask)
                    logits = logits[rows]
            total += head.share * loss_and_grad(head.form, model.config, name, logits, values, options or PLAIN)[0]
    return float(total)


def read_masks(mask: Any, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray | None]:
    """An attention mask, or packed tokens -> `token_mask` and `key_mask` as `Packed` has them."""
    return (mask.token_mask, mask.key_mask) if isinstance(mask, Packed) else read_mask(mask, shape)


def tokens_of_loss(form: str, token_mask: np.ndarray, key_mask: np.ndarray | None) -> np.ndarray:
    """`token_mask` and `key_mask` as `Packed` has them -> which tokens (B, T) a loss may read: those that are computed; for
    "replaced", which the attention mask is for, not a first token that is masked."""
    if form != "replaced" or key_mask is None:
        return token_mask
    attended = token_mask.copy()
    attended[attended] = key_mask
    return attended


def check_label_names(model: Any, heads: tuple[LossHead, ...], labels: Mapping[str, Any]) -> None:
    """Raise InputError unless the labels are those that this model's heads take."""
    names = [name for head in heads for name in head.labels]
    if not names:
        raise InputError(
            f"a {type(model).__name__} has no head and so no loss; take a class with one: AutoModelForSequenceClassification."
        )
    if sorted(labels) != sorted(names):
        raise InputError(f"the loss of {type(model).__name__} takes {', '.join(names)}; got {', '.join(labels) or 'none'}.")


def loss_and_grad(
    form: str, config: PreTrainedConfig, name: str, logits: np.ndarray, labels: np.ndarray, options: LossOptions = PLAIN
) -> Any:
    """logits (R, C) or (R,), and labels of a form -> the loss, and the gradient of the logits."""
    problem = problem_of(form, config, labels)
    plain = options.class_weights is None and not options.label_smoothing and options.teacher_logits is None
    if not plain and (form == "position" or problem != "single_label_classification"):
        labeled = "positions" if form == "position" else problem
        raise InputError(
            f"class_weights, label_smoothing and a teacher are for classes, one each; the loss here is of {labeled}."
        )
    if problem == "single_label_classification":
        classes = class_labels(name, labels, logits.shape)
        weights = check_class_weights(options.class_weights, logits.shape[1])
        arguments = logits, classes, weights, options.label_smoothing
        loss, grad = cross_entropy(*arguments), cross_entropy_grad(*arguments)
        return (loss, grad) if options.teacher_logits is None else mix(loss, grad, logits, options.teacher_logits, options)
    targets = real_labels(name, labels, logits)
    if problem == "regression":
        return mean_squared_error(logits, targets), mean_squared_error_grad(logits, targets)
    return binary_cross_entropy(logits, targets), binary_cross_entropy_grad(logits, targets)


def mix(loss: Any, grad: np.ndarray, logits: np.ndarray, teacher: np.ndarray, options: LossOptions) -> tuple[Any, np.ndarray]:
    """The loss of the labels and its gradient -> the same, mixed with those against the teacher's logits."""
    share = options.distillation_weight
    if teacher.shape != logits.shape:
        raise InputError(f"teacher_logits must have the shape of the logits, {logits.shape}; got {teacher.shape}.")
    arguments = logits, teacher.astype(logits.dtype, copy=False), options.temperature
    return (1 - share) * loss + share * distillation(*arguments), (1 - share) * grad + share * distillation_grad(*arguments)


def problem_of(form: str, config: PreTrainedConfig, labels: np.ndarray) -> str:
    """The problem_type: that of the configuration; or, as transformers derives it, by the number and the type of labels."""
    if form == "replaced":
        return "multi_label_classification"
    if form != "sequence":
        return "single_label_classification"
    if config.problem_type is not None:
        return config.problem_type
    if config.num_labels == 1:
        return "regression"
    return "single_label_classification" if labels.dtype.kind in "iu" else "multi_label_classification"
