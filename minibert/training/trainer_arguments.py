"""The arguments of a Trainer, checked. Next: `trainer.py`."""

from __future__ import annotations

from typing import Any

from ..errors import InputError, InputTypeError, short_repr
from ..models.base import PreTrainedModel
from ..models.quantized import is_quantized
from .arguments import TrainingArguments
from .hidden_states import teacher_layers

NAMES = (  # of the arguments of a Trainer, for an error
    *("model", "args", "data_collator", "train_dataset", "eval_dataset", "processing_class", "compute_metrics", "callbacks"),
    *("peft_config", "teacher"),
)


def check_model(model: Any, name: str = "model") -> PreTrainedModel:
    if not isinstance(model, PreTrainedModel):
        raise InputTypeError(f"{name} must be a model of minibert, with a head; got {short_repr(model)}.")
    if not model.loss_heads(model.config):
        raise InputError(f"a {type(model).__name__} has no head to train; take AutoModelForSequenceClassification or its like.")
    if is_quantized(model.config):
        raise InputError("8-bit weights cannot be trained; load the model with kernels='fast', which makes floats of them.")
    return model


def check_teacher(teacher: Any, model: PreTrainedModel, args: TrainingArguments) -> PreTrainedModel | None:
    if teacher is None:
        if args.distillation_hidden_weight:
            raise InputError("distillation_hidden_weight needs the hidden states of a teacher; pass teacher too.")
        return None
    teacher = check_model(teacher, "teacher")
    forms = [[head.form for head in one.loss_heads(one.config)] for one in (teacher, model)]
    if forms[0] != forms[1] or forms[1][0] not in ("sequence", "token", "choice") or len(forms[1]) > 1:
        raise InputError(
            f"a {type(model).__name__} learns from no {type(teacher).__name__}; the heads must be classifiers alike."
        )
    if teacher.config.id2label != model.config.id2label and forms[1][0] != "choice":
        raise InputError("teacher must have the labels of the model, in the same order: set id2label of the model to its own.")
    teacher_layers(args.distillation_layers, model.config.architecture.layers, teacher.config.architecture.layers)
    return teacher


def check_prefix(prefix: Any) -> None:
    if not isinstance(prefix, str):
        raise InputTypeError(f"metric_key_prefix must be text; got {short_repr(prefix)}.")


def check_args(args: Any) -> TrainingArguments:
    if args is None:
        return TrainingArguments()
    if not isinstance(args, TrainingArguments):
        raise InputTypeError(f"args must be minibert's TrainingArguments; got {short_repr(args)}.")
    return args


def check_ignored_keys(keys: Any, model: PreTrainedModel) -> None:
    """`ignore_keys`: outputs that are no predictions. InputError for one of the head's, which all are."""
    if keys is None:
        return
    if not isinstance(keys, (list, tuple)) or not all(isinstance(key, str) for key in keys):
        raise InputTypeError(f"ignore_keys must be a list of names of outputs; got {short_repr(keys)}.")
    outputs = {field for head in model.loss_heads(model.config) for field in head.outputs}
    if outputs & set(keys):
        raise InputError(f"ignore_keys may not have {', '.join(sorted(outputs))}, the predictions; got {short_repr(keys)}.")
