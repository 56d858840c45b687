"""One step of a training: micro-batches -> the mean loss and its gradients -> clipped -> the optimizer.

All that is random depends on the seed and the step's number. Next: `trainer.py`, which calls it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError, TrainingError
from ..models.base import PreTrainedModel
from ..models.losses import LossOptions
from .arguments import TrainingArguments
from .data import TEACHER, Rows, label_counts, load_batch
from .forward import DropoutKey
from .freezing import frozen_tensors, learning_rate_scales
from .gradients import BatchSettings, loss_and_row_gradients, with_teacher_options
from .hidden_states import PROJECTION, HiddenTargets, new_projection
from .lazy_rows import RowGradient, add_rows, dense
from .lora import Adapter, LoraConfig
from .optimizer import AdamW, catch_up, clip_factor, gradient_norm
from .schedules import SCHEDULES

TRAINING = 0  # of the keys of random draws
Gradient = np.ndarray | RowGradient


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
        kernels = "reference" if args.preset == "reference" else "auto"
        self.adapter = None if peft_config is None else Adapter(model, peft_config, args.seed, args.freeze_layers, kernels)
        if self.adapter is None:
            frozen = frozen_tensors(model, args.freeze_layers)
            trainable = {name: array for name, array in self.parameters.items() if name not in frozen}
        else:
            trainable = self.adapter.trainable(self.parameters)
        scales = scales_of(trainable, learning_rate_scales(model, args.layerwise_lr_decay))
        self.projection = projection_of(model, teacher, args)
        self.optimizer = AdamW(
            {**trainable, **self.projection},
            betas=(args.adam_beta1, args.adam_beta2),
            eps=args.adam_epsilon,
            weight_decay=args.weight_decay,
            kernels=args.preset,
            lr_scales=scales,
        )

    def load(self, tensors: Mapping[str, np.ndarray], moments: Mapping[str, np.ndarray], steps: int) -> None:
        """Continue from a checkpoint. InputError if LoRA's matrices do not give its weights, on the model they began with."""
        for name, array in self.parameters.items():
            array[...] = tensors[name]
        others = self.other_arrays()
        self.optimizer.load_state_dict({name: array for name, array in moments.items() if name not in others}, steps)
        for name, array in others.items():
            array[...] = moments[name]
        if self.adapter is not None:
            self.adapter.apply(self.parameters)
            if any(not np.array_equal(array, tensors[name]) for name, array in self.parameters.items()):
                raise InputError("a training with LoRA is resumed on the model that it began with; the weights are others.")

    def state(self) -> dict[str, np.ndarray]:
        """What `load` takes as moments: those of the optimizer, and what is trained but no part of the model."""
        return self.optimizer.state_dict() | self.other_arrays()

    def other_arrays(self) -> dict[str, np.ndarray]:
        """LoRA's matrices, and the projection of hidden states."""
        return {**({} if self.adapter is None else self.adapter.matrices), **self.projection}

    def step(self, number: int, batches: Sequence[np.ndarray]) -> StepResult:
        """The step after `number` others, on the rows of these micro-batches. TrainingError if its loss is NaN or infinite."""
        loss, gradients = self.loss_and_gradients(number, batches)
        if self.adapter is not None:
            of_projection = {name: gradients[name] for name in self.projection if name in gradients}
            gradients = self.adapter.gradients(gradients) | of_projection
        grad_norm = gradient_norm(gradients, self.args.preset)
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

    def loss_and_gradients(self, number: int, batches: Sequence[np.ndarray]) -> tuple[float, dict[str, Gradient]]:
        """Those of one batch of all micro-batches' rows: each loss of each counts by the labels that its own mean is over."""
        args = self.args
        loaded = []
        for index, batch in enumerate(batches):
            micro_step = number * args.gradient_accumulation_steps + index
            names = (*self.label_names, TEACHER)
            inputs, labels = load_batch(self.rows, batch, self.collator, names, (args.seed, TRAINING, micro_step))
            from_rows = labels.pop(TEACHER, None)
            loaded.append((micro_step, inputs, labels, from_rows, label_counts(labels, args.class_weights, inputs)))
        totals = {name: sum(counts.get(name, 0) for *_, counts in loaded) for name in self.label_names}
        mean_loss = 0.0
        gradients: dict[str, Gradient] = {}
        for micro_step, inputs, labels, from_rows, counts in loaded:
            shares = {name: count / totals[name] if count else 0.0 for name, count in counts.items()}
            if shares and not any(shares.values()):  # no token of it has a label
                continue
            options, settings = self.settings_of(inputs, from_rows, micro_step)
            share = next(iter(shares.values()), 1.0)  # without labels: an error of the loss
            if len(set(shares.values())) > 1:  # each loss has its own
                share, settings = 1.0, settings._replace(loss_shares=shares)
            loss, micro_gradients = loss_and_row_gradients(self.model, inputs, labels, options, settings)
            mean_loss += loss * share
            add_scaled(gradients, micro_gradients, share)
        return mean_loss, gradients

    def settings_of(
        self, inputs: Mapping[str, Any], from_rows: np.ndarray | None, micro_step: int
    ) -> tuple[LossOptions, BatchSettings]:
        """The loss of a micro-batch, and how it is computed. `from_rows`: a teacher's logits, if the rows have them."""
        args, targets = self.args, None
        options = loss_options(args)
        if self.teacher is not None and from_rows is not None:
            raise InputError(f"the rows of {self.rows.name} have {TEACHER}, and there is a teacher too; pass one of them.")
        if from_rows is not None:
            options = with_teacher_options(options, from_rows, args.distillation_temperature, args.distillation_weight)
        if self.teacher is not None:
            weight = args.distillation_hidden_weight
            output = self.teacher(**inputs, output_hidden_states=weight > 0)
            options = with_teacher_options(options, output.logits, args.distillation_temperature, args.distillation_weight)
            projection = self.projection.get(PROJECTION)
            targets = HiddenTargets(output.hidden_states, weight, args.distillation_layers, projection) if weight else None
        dropout_key = DropoutKey(args.seed, micro_step)
        settings = BatchSettings(dropout_key, self.parameters, args.freeze_layers, args.preset, targets, self.catch_up)
        return options, settings

    def catch_up(self, token_ids: np.ndarray) -> None:
        """Before a batch reads the embeddings of these tokens: `lazy_rows.py`."""
        catch_up(self.optimizer, f"{self.model.encoder_names.words}.weight", np.unique(token_ids))


def projection_of(model: PreTrainedModel, teacher: PreTrainedModel | None, args: TrainingArguments) -> dict[str, np.ndarray]:
    """The matrix from the model's hidden states to the teacher's, by its name; nothing if it is not needed."""
    width = model.config.architecture.width
    teacher_width = width if teacher is None else teacher.config.architecture.width
    if not args.distillation_hidden_weight or teacher_width == width:
        return {}
    return {PROJECTION: new_projection(width, teacher_width, args.seed)}


def loss_options(args: TrainingArguments) -> LossOptions:
    weights = None if args.class_weights is None else np.asarray(args.class_weights)
    return LossOptions(weights, args.label_smoothing_factor)


def scales_of(trainable: Mapping[str, np.ndarray], scales: Mapping[str, float]) -> dict[str, float]:
    """LoRA's matrices have the factor of the weight that they change, whose name theirs begin with."""
    return {name: scales[name if name in scales else name.rpartition(".")[0]] for name in trainable}


def add_scaled(sums: dict[str, Gradient], gradients: Mapping[str, Gradient], factor: float) -> None:
    for name, gradient in gradients.items():
        values = gradient.values if isinstance(gradient, RowGradient) else gradient
        if factor != 1:
            values *= factor
        if name not in sums:
            sums[name] = gradient
        elif isinstance(gradient, RowGradient) and isinstance(sums[name], RowGradient):
            sums[name] = add_rows(sums[name], gradient)
        else:  # of word embeddings one may be of rows, and the other not: of a micro-batch without a label for a head
            sums[name] = dense(sums[name])
            sums[name] += dense(gradient)


def shown(rows: list[int], most: int = 64) -> str:
    more = "" if len(rows) <= most else f" and {len(rows) - most} more"
    return ", ".join(map(str, rows[:most])) + more
