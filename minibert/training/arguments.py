"""`TrainingArguments`: how a model is trained, with transformers' names and defaults.

What means nothing on a CPU is accepted and does nothing; what would change the result and is not here is one InputError that
says so (`ignored_options.py`). Next: `trainer.py`, which reads them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from os import PathLike
from typing import TYPE_CHECKING, Any

from ..errors import InputError, InputTypeError, read_flag, read_int, short_repr, strict_arguments
from ..files import as_folder
from .ignored_options import MEANINGLESS, REFUSALS, check_others
from .option_readers import read_choice, read_count, read_layers, read_numbers, read_real, read_steps
from .schedules import SCHEDULES

STRATEGIES = ("no", "steps", "epoch")
SAMPLING = ("random", "group_by_length", "sequential")
Reader = Callable[[str, Any], Any]


def real(**rule: Any) -> Reader:
    return lambda name, value: read_real(name, value, **rule)


def count(least: int) -> Reader:
    return lambda name, value: read_count(name, value, least)


def choice(*choices: str) -> Reader:
    return lambda name, value: read_choice(name, value, choices)


def optional(read: Reader) -> Reader:
    return lambda name, value: None if value is None else read(name, value)


def read_text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise InputTypeError(f"{name} must be text; got {short_repr(value)}.")
    return value


def read_strategy(name: str, value: Any) -> str:
    return read_choice(name, value, (*STRATEGIES, "best") if name == "save_strategy" else STRATEGIES)


def read_max_steps(name: str, value: Any) -> int:
    steps = read_int(name, value, least=None)
    return -1 if steps <= 0 else read_count(name, steps, 1)


READERS: dict[str, Reader] = {  # an option -> what reads it; the defaults are in the signature below
    "output_dir": lambda name, value: str(as_folder(value)),
    "per_device_train_batch_size": count(1),
    "per_device_eval_batch_size": count(1),
    "num_train_epochs": real(above=0),
    "max_steps": read_max_steps,
    "learning_rate": real(),
    "lr_scheduler_type": choice(*SCHEDULES),
    "warmup_steps": real(),
    "warmup_ratio": optional(real(below=1.0)),
    "weight_decay": real(),
    "adam_beta1": real(below=1.0),
    "adam_beta2": real(below=1.0),
    "adam_epsilon": real(),
    "gradient_accumulation_steps": count(1),
    "max_grad_norm": real(),
    "label_smoothing_factor": real(below=1.0),
    "logging_strategy": read_strategy,
    "logging_steps": read_steps,
    "logging_first_step": read_flag,
    "eval_strategy": read_strategy,
    "eval_steps": optional(read_steps),
    "eval_on_start": read_flag,
    "save_strategy": read_strategy,
    "save_steps": read_steps,
    "save_total_limit": optional(count(1)),
    "load_best_model_at_end": read_flag,
    "metric_for_best_model": optional(read_text),
    "greater_is_better": optional(read_flag),
    "seed": count(0),
    "data_seed": optional(count(0)),
    "dataloader_drop_last": read_flag,
    "train_sampling_strategy": choice(*SAMPLING),
    "group_by_length": read_flag,
    "disable_tqdm": optional(read_flag),
    "bf16": lambda name, value: value is not None and read_flag(name, value),
    "class_weights": optional(read_numbers),
    "layerwise_lr_decay": real(above=0),
    "freeze_layers": optional(count(0)),
    "kernels": choice("auto", "reference", "fast", "bf16"),
    "distillation_temperature": real(above=0),
    "distillation_weight": real(below=1.0 + 1e-9),
    "distillation_hidden_weight": real(),
    "distillation_layers": optional(read_layers),
}


class TrainingArguments:
    """The options of a training; names, defaults and meanings are those of transformers.

    Of minibert alone: `class_weights`, one number for each class; `layerwise_lr_decay`, by which factor the learning rate of
    each layer is smaller than that of the layer above (1: all the same); `freeze_layers=n` trains neither the embeddings nor
    the first n layers, and computes no gradient below; `kernels` is a preset ("auto": the fastest in float32), and with
    `bf16=True` "auto" is "bf16": products of 8-bit precision, float32 weights; `distillation_weight` is the share of the
    loss against a teacher's logits, at `distillation_temperature`; `distillation_hidden_weight` times the error of its layers
    is added, of those that `distillation_layers` names for each layer (`hidden_states.py`). `group_by_length=True` is
    `train_sampling_strategy="group_by_length"`, and `warmup_ratio` a `warmup_steps` below 1, as in transformers 4.
    """

    @strict_arguments
    def __init__(
        self,
        output_dir: str | PathLike = "trainer_output",
        per_device_train_batch_size: int = 8,
        num_train_epochs: float = 3.0,
        max_steps: int = -1,
        learning_rate: float = 5e-5,
        lr_scheduler_type: str = "linear",
        warmup_steps: float = 0,
        warmup_ratio: float | None = None,
        weight_decay: float = 0.0,
        adam_beta1: float = 0.9,
        adam_beta2: float = 0.999,
        adam_epsilon: float = 1e-8,
        gradient_accumulation_steps: int = 1,
        max_grad_norm: float = 1.0,
        label_smoothing_factor: float = 0.0,
        logging_strategy: str = "steps",
        logging_steps: float = 500,
        logging_first_step: bool = False,
        eval_strategy: str = "no",
        eval_steps: float | None = None,
        eval_on_start: bool = False,
        per_device_eval_batch_size: int = 8,
        save_strategy: str = "steps",
        save_steps: float = 500,
        save_total_limit: int | None = None,
        load_best_model_at_end: bool = False,
        metric_for_best_model: str | None = None,
        greater_is_better: bool | None = None,
        seed: int = 42,
        data_seed: int | None = None,
        dataloader_drop_last: bool = False,
        train_sampling_strategy: str = "random",
        group_by_length: bool = False,
        disable_tqdm: bool | None = None,
        bf16: bool = False,
        class_weights: Any = None,
        layerwise_lr_decay: float = 1.0,
        freeze_layers: int | None = None,
        kernels: str = "auto",
        distillation_temperature: float = 2.0,
        distillation_weight: float = 0.5,
        distillation_hidden_weight: float = 0.0,
        distillation_layers: Any = None,
        **without_effect: Any,
    ):
        options = dict(locals())
        for name in READERS:
            setattr(self, name, options[name])
        former = without_effect.pop("evaluation_strategy", None)  # its name in transformers before 4.46
        if former is not None and eval_strategy != "no":
            raise InputTypeError("evaluation_strategy is the former name of eval_strategy; got both. Leave it out.")
        self.eval_strategy = eval_strategy if former is None else former
        check_others("TrainingArguments", without_effect, READERS, REFUSALS, MEANINGLESS)
        self.check()

    if TYPE_CHECKING:  # the attributes are those of READERS
        metric_for_best_model: str | None
        eval_strategy: str

        def __getattr__(self, name: str) -> Any: ...

    def check(self) -> None:
        """Read all options again: they may have been set after construction. Raise InputError for those that contradict."""
        for name, read in READERS.items():
            setattr(self, name, read(name, getattr(self, name)))
        if self.warmup_steps != int(self.warmup_steps) and self.warmup_steps >= 1:
            raise InputError(f"warmup_steps must be an integer, or a fraction below 1; got {self.warmup_steps:g}.")
        if self.load_best_model_at_end:
            self.check_best()

    def check_best(self) -> None:
        self.metric_for_best_model = "loss" if self.metric_for_best_model is None else self.metric_for_best_model
        if self.eval_strategy == "no" or self.save_strategy not in (self.eval_strategy, "best"):
            raise InputError(
                "load_best_model_at_end=True needs a checkpoint for each evaluation: the same eval_strategy and save_strategy; "
                f"got {self.eval_strategy!r} and {self.save_strategy!r}."
            )
        if self.save_strategy == "steps" and self.save_steps != self.eval_interval:
            raise InputError(
                "load_best_model_at_end=True needs a checkpoint for each evaluation: save_steps equal to eval_steps; "
                f"got {self.save_steps} and {self.eval_interval}."
            )

    @property
    def eval_interval(self) -> float:
        return self.logging_steps if self.eval_steps is None else self.eval_steps

    @property
    def preset(self) -> str:
        """The kernels of a step."""
        return "bf16" if self.bf16 and self.kernels == "auto" else self.kernels

    @property
    def train_batch_size(self) -> int:
        return self.per_device_train_batch_size

    @property
    def eval_batch_size(self) -> int:
        return self.per_device_eval_batch_size

    @property
    def sampling(self) -> str:
        return "group_by_length" if self.group_by_length else self.train_sampling_strategy

    def warmup_of(self, total: int) -> int:
        """How many of `total` steps the warm-up takes."""
        ratio = self.warmup_ratio if self.warmup_ratio is not None and not self.warmup_steps else self.warmup_steps
        return math.ceil(total * ratio) if ratio < 1 else int(ratio)

    def items(self) -> Iterator[tuple[str, Any]]:
        return ((name, getattr(self, name)) for name in READERS)

    @strict_arguments
    def to_dict(self) -> dict[str, Any]:
        """All options and their values, which JSON can hold."""
        return dict(self.items())

    def __repr__(self) -> str:
        return f"TrainingArguments({', '.join(f'{name}={value!r}' for name, value in self.items())})"
