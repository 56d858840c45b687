"""One step of a training: micro-batches -> the mean loss and its gradients -> clipped -> the optimizer.

All that is random depends on the seed and the step's number. Next: `trainer.py`, which calls it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ..errors import InputError, TrainingError
from ..models.base import PreTrainedModel
from .arguments import TrainingArguments
from .data import TEACHER, Rows, label_count, load_batch
from .freezing import frozen_tensors, learning_rate_scales
from .gradients import loss_and_gradients
from .lora import Adapter, LoraConfig
from .optimizer import AdamW, clip_factor, gradient_norm
from .schedules import SCHEDULES

TRAINING = 0  # of the keys of random draws


class StepResult(NamedTuple):
    loss: float
    grad_norm: float  # before clipping
    learning_rate: float


class Stepper:
    """The parameters of a training and its optimizer; `step(n, batches)` changes both in place."""

    def __init__(
        self,
        model: PreTrainedModel,
        args: TrainingArguments,
        rows: Rows,
        collator: Callable,
        total_steps: int,
        peft_config: LoraConfig | None = None,
        teacher: PreTrainedModel | None = None,
    ):
        self.model, self.args, self.rows, self.collator = model, args, rows, collator
        self.teacher = teacher
        self.total_steps, self.warmup = total_steps, args.warmup_of(total_steps)
        self.label_names = [name for head in model.loss_heads(model.config) for name in head.labels]
        self.parameters = {name: np.array(tensor, np.float32) for name, tensor in model.tensors.items()}
        self.adapter = None if peft_config is None else Adapter(model, peft_config, args.seed, args.freeze_layers)
        if self.adapter is None:
            frozen = frozen_tensors(model, args.freeze_layers)
            trainable = {name: array for name, array in self.parameters.items() if name not in frozen}
        else:
            trainable = self.adapter.trainable(self.parameters)
        self.optimizer = AdamW(
            trainable,
            betas=(args.adam_beta1, args.adam_beta2),
            eps=args.adam_epsilon,
            weight_decay=args.weight_decay,
            kernels=args.preset,
            lr_scales=scales_of(trainable, learning_rate_scales(model, args.layerwise_lr_decay)),
        )

    def load(self, tensors: Mapping[str, np.ndarray], moments: Mapping[str, np.ndarray], steps: int) -> None:
        """Continue from a checkpoint. InputError if LoRA's matrices do not give its weights, on the model they began with."""
        for name, array in self.parameters.items():
            array[...] = tensors[name]
        matrices = {} if self.adapter is None else self.adapter.matrices
        self.optimizer.load_state_dict({name: array for name, array in moments.items() if name not in matrices}, steps)
        if self.adapter is not None:
            self.adapter.load(moments)
            self.adapter.apply(self.parameters)
            if any(not np.array_equal(array, tensors[name]) for name, array in self.parameters.items()):
                raise InputError("a training with LoRA is resumed on the model that it began with; the weights are others.")

    def state(self) -> dict[str, np.ndarray]:
        """What `load` takes as moments: those of the optimizer, and LoRA's matrices."""
        return self.optimizer.state_dict() | ({} if self.adapter is None else self.adapter.matrices)

    def step(self, number: int, batches: Sequence[np.ndarray]) -> StepResult:
        """The step after `number` others, on the rows of these micro-batches. TrainingError if its loss is NaN or infinite."""
        loss, gradients = self.loss_and_gradients(number, batches)
        if self.adapter is not None:
            gradients = self.adapter.gradients(gradients)
        grad_norm = gradient_norm(gradients)
        if not math.isfinite(loss) or not math.isfinite(grad_norm):
            rows = [int(index) for batch in batches for index in batch]
            value = f"loss is {loss:g}" if not math.isfinite(loss) else f"norm of the gradients is {grad_norm:g}"
            raise TrainingError(
                f"the {value} at step {number + 1}, whose rows of {self.rows.name} are {shown(rows)}, counted from 0. "
                "Is the learning rate too high, or a row's label wrong?"
            )
        learning_rate = self.args.learning_rate * SCHEDULES[self.args.lr_scheduler_type](number, self.warmup, self.total_steps)
        self.optimizer.step(gradients, learning_rate, clip_factor(grad_norm, self.args.max_grad_norm))
        if self.adapter is not None:
            self.adapter.apply(self.parameters)
        return StepResult(loss, grad_norm, learning_rate)

    def loss_and_gradients(self, number: int, batches: Sequence[np.ndarray]) -> tuple[float, dict[str, np.ndarray]]:
        """Those of one batch of all micro-batches' rows: each counts by the labels that its own mean is over."""
        args = self.args
        loaded = []
        for index, batch in enumerate(batches):
            micro_step = number * args.gradient_accumulation_steps + index
            names = (*self.label_names, TEACHER)
            inputs, labels = load_batch(self.rows, batch, self.collator, names, (args.seed, TRAINING, micro_step))
            teacher_logits = self.teacher_logits(inputs, labels.pop(TEACHER, None))
            loaded.append((micro_step, inputs, labels, teacher_logits, label_count(labels, args.class_weights)))
        total = sum(count for *_, count in loaded)
        mean_loss = 0.0
        gradients: dict[str, np.ndarray] = {}
        for micro_step, inputs, labels, teacher_logits, count in loaded:
            if not count:  # no token of it has a label
                continue
            loss, micro_gradients = loss_and_gradients(
                self.model,
                **inputs,
                **labels,
                class_weights=args.class_weights,
                label_smoothing=args.label_smoothing_factor,
                dropout_seed=args.seed,
                dropout_step=micro_step,
                parameters=self.parameters,
                freeze_layers=args.freeze_layers,
                kernels=args.preset,
                teacher_logits=teacher_logits,
                temperature=args.distillation_temperature,
                distillation_weight=args.distillation_weight,
            )
            mean_loss += loss * (count / total)
            add_scaled(gradients, micro_gradients, count / total)
        return mean_loss, gradients

    def teacher_logits(self, inputs: Mapping, from_rows: np.ndarray | None) -> np.ndarray | None:
        """A batch's, computed by the teacher or read from its rows; None without either."""
        if self.teacher is None:
            return from_rows
        if from_rows is not None:
            raise InputError(f"the rows of {self.rows.name} have {TEACHER}, and there is a teacher too; pass one of them.")
        return self.teacher(**inputs).logits


def scales_of(trainable: Mapping[str, np.ndarray], scales: Mapping[str, float]) -> dict[str, float]:
    """LoRA's matrices have the factor of the weight that they change, whose name theirs begin with."""
    return {name: scales[name if name in scales else name.rpartition(".")[0]] for name in trainable}


def add_scaled(sums: dict[str, np.ndarray], gradients: Mapping[str, np.ndarray], factor: float) -> None:
    for name, gradient in gradients.items():
        if factor != 1:
            gradient *= factor
        if name in sums:
            sums[name] += gradient
        else:
            sums[name] = gradient


def shown(rows: list[int], most: int = 64) -> str:
    more = "" if len(rows) <= most else f" and {len(rows) - most} more"
    return ", ".join(map(str, rows[:most])) + more
