"""Callbacks: what is called at each point of a training, and may stop it; under transformers' names.

    class Printer(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **kwargs):
            print(state.global_step, logs["loss"])

Next: `trainer.py`, which calls them.
"""

from __future__ import annotations

import json
import math
import sys
import time
from dataclasses import asdict, dataclass, field, fields
from datetime import timedelta
from typing import Any

from ..errors import CheckpointError, InputError, InputTypeError, read_flag, short_repr, strict_arguments
from .option_readers import read_count, read_real
from .overrides import check_events

REDRAW_SECONDS = 0.1
EVENTS = (
    *(
        "on_init_end",
        "on_optimizer_step",
        "on_prediction_step",
        "on_predict",
        "on_train_begin",
        "on_train_end",
        "on_epoch_begin",
        "on_epoch_end",
        "on_step_begin",
        "on_step_end",
    ),
    *("on_evaluate", "on_save", "on_log"),
)


TYPES: dict[str, tuple[type, ...]] = {  # of the state's fields; the others are numbers
    "log_history": (list,),
    "stateful_callbacks": (dict,),
    "best_metric": (int, float, type(None)),
    "best_global_step": (int, type(None)),
    "best_model_checkpoint": (str, type(None)),
}


@dataclass
class TrainerState:
    """How far a training is; `trainer_state.json`, as transformers writes and reads it."""

    epoch: float = 0.0
    global_step: int = 0
    max_steps: int = 0
    num_train_epochs: int = 0
    train_batch_size: int = 0
    logging_steps: int = 0
    eval_steps: int = 0
    save_steps: int = 0
    log_history: list[dict[str, Any]] = field(default_factory=list)
    best_metric: float | None = None
    best_global_step: int | None = None
    best_model_checkpoint: str | None = None  # the folder's name within output_dir
    stateful_callbacks: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any], source: object) -> TrainerState:
        """What `to_dict` returned. CheckpointError if it is something else."""
        known = cls()
        for name, default in known.to_dict().items():
            value = values.get(name, default)
            if not isinstance(value, TYPES.get(name, (int, float))):
                raise CheckpointError(f"{source} is damaged: its {name} is {short_repr(value)}. Delete this checkpoint.")
            setattr(known, name, value)
        return known


@dataclass
class TrainerControl:
    """What the training does next; a callback may set these."""

    should_training_stop: bool = False
    should_epoch_stop: bool = False
    should_save: bool = False
    should_evaluate: bool = False
    should_log: bool = False

    def clear(self) -> None:
        """Before each step; that the training stops is not taken back."""
        for one in fields(self)[1:]:
            setattr(self, one.name, False)


class TrainerCallback:
    """The base: does nothing. Each method gets the arguments, the state and the control, and more by keyword: `model`,
    `processing_class`, and `metrics` or `logs`. The model has the weights of this step at `on_epoch_end`, `on_evaluate`,
    `on_save` and `on_train_end`; at other points some of them are older."""

    def on_init_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """After the Trainer is constructed."""

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Before the first step."""

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """After the last step."""

    def on_epoch_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Before an epoch's first step."""

    def on_epoch_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """After an epoch's last step."""

    def on_step_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Before a step."""

    def on_optimizer_step(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """After a step of the optimizer, before `state` counts it."""

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """After a step."""

    def on_evaluate(self, args: Any, state: TrainerState, control: TrainerControl, metrics: Any = None, **kwargs: Any) -> None:
        """After an evaluation."""

    def on_predict(self, args: Any, state: TrainerState, control: TrainerControl, metrics: Any = None, **kwargs: Any) -> None:
        """After a `predict`."""

    def on_prediction_step(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """After each batch of an evaluation, or of a `predict`."""

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """After a checkpoint is written."""

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, logs: Any = None, **kwargs: Any) -> None:
        """After the loss, or an evaluation's figures, are added to `state.log_history`."""

    def state(self) -> dict[str, Any]:
        """What a resumed training must know of this callback: values that JSON can hold."""
        return {}

    def load_state(self, values: dict[str, Any]) -> None:
        """What `state` returned."""


class EarlyStoppingCallback(TrainerCallback):
    """Stop after `early_stopping_patience` evaluations in a row whose `metric_for_best_model` was not better than the best of
    all before, `state.best_metric`, by more than the threshold. So many small improvements stop the training too, as in
    transformers."""

    @strict_arguments
    def __init__(self, early_stopping_patience: int = 1, early_stopping_threshold: float = 0.0):
        self.patience = read_count("early_stopping_patience", early_stopping_patience, 1)
        self.threshold = read_real("early_stopping_threshold", early_stopping_threshold)
        self.count = 0

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if args.metric_for_best_model is None or args.eval_strategy == "no":
            raise InputError("early stopping needs evaluations: set eval_strategy and metric_for_best_model.")

    def on_evaluate(self, args: Any, state: TrainerState, control: TrainerControl, metrics: Any = None, **kwargs: Any) -> None:
        value = metrics.get(metric_key(args.metric_for_best_model))
        if value is None:  # an evaluation of other rows: the training itself refuses one without the figure
            return
        if state.best_metric is None or is_better(args, value, state.best_metric, self.threshold):
            self.count = 0
        else:
            self.count += 1
        if self.count >= self.patience:
            control.should_training_stop = True

    def state(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state(self, values: dict[str, Any]) -> None:
        self.count = values["count"]


def metric_key(name: str) -> str:
    return name if name.startswith("eval_") else f"eval_{name}"


def is_better(args: Any, value: float, best: float, threshold: float = 0.0) -> bool:
    """Whether an evaluation's figure is better: larger, but smaller if it is a loss or greater_is_better is False."""
    if math.isnan(best) or math.isnan(value):  # of a correlation with a column that is constant
        return math.isnan(best) and not math.isnan(value)
    greater = args.greater_is_better
    if greater is None:
        greater = not args.metric_for_best_model.endswith("loss")
    return value - best > threshold if greater else best - value > threshold


class ProgressCallback(TrainerCallback):
    """One line on stderr, overwritten as the training goes on, and a line for each evaluation.

    120/600  20%  loss 0.312  38.1 examples/s  0:06:42 left
    """

    @strict_arguments
    def __init__(self, shown: bool | None = None):
        """`shown`: None if that depends on whether stderr is a terminal."""
        shown = None if shown is None else read_flag("shown", shown)
        self.shown = sys.stderr is not None and (sys.stderr.isatty() if shown is None else shown)
        self.loss: float | None = None

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.start = self.last_drawn = time.monotonic()
        self.first_step = state.global_step

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, loss: Any = None, **kwargs: Any) -> None:
        now = time.monotonic()
        self.loss = loss if self.loss is None else 0.9 * self.loss + 0.1 * loss  # of some ten steps
        if now - self.last_drawn >= REDRAW_SECONDS:
            self.last_drawn = now
            examples = args.per_device_train_batch_size * args.gradient_accumulation_steps
            self.write("\r" + progress_line(state, state.global_step - self.first_step, now - self.start, self.loss, examples))

    def on_evaluate(self, args: Any, state: TrainerState, control: TrainerControl, metrics: Any = None, **kwargs: Any) -> None:
        self.write(f"\r{figures_line(state, metrics)}\x1b[K\n")

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.write("\r")

    def write(self, text: str) -> None:
        if self.shown:
            print(f"{text}\x1b[K" if not text.endswith("\n") else text, end="", file=sys.stderr, flush=True)


def figures_line(state: TrainerState, metrics: dict[str, float]) -> str:
    """An evaluation's figures -> `epoch 1.00  step 6  loss 0.6412  accuracy 0.7500`."""
    shown = [(name, value) for name, value in metrics.items() if not is_of_time(name) and name != "epoch"]
    figures = [f"{name.removeprefix('eval_')} {value:.4f}" for name, value in shown]
    return f"epoch {state.epoch:.2f}  step {state.global_step}  {'  '.join(figures)}"


def progress_line(state: TrainerState, steps: int, seconds: float, loss: float, examples: int) -> str:
    """Steps of this process and the seconds they took, with so many examples each -> the line."""
    rate = steps / seconds if seconds else 0.0
    left = timedelta(seconds=round((state.max_steps - state.global_step) / rate)) if rate else "?"
    share = state.global_step / state.max_steps
    return f"{state.global_step}/{state.max_steps}  {share:.0%}  loss {loss:.3f}  {rate * examples:.1f} examples/s  {left} left"


def is_of_time(name: str) -> bool:
    """Whether a figure differs from run to run: it is not kept in `log_history`, which a resumed training ends with too."""
    return name.endswith(("_runtime", "_per_second"))


def check_callbacks(callbacks: Any) -> list[TrainerCallback]:
    """Callbacks, or their classes, in a list -> callbacks."""
    if callbacks is None:
        return []
    if not isinstance(callbacks, (list, tuple)):
        raise InputTypeError(f"callbacks must be a list of TrainerCallback; got {short_repr(callbacks)}.")
    instances = [callback() if is_callback_class(callback) else callback for callback in callbacks]
    for callback in instances:
        if not any(callable(getattr(callback, event, None)) for event in EVENTS):
            raise InputTypeError(f"a callback has methods such as on_log(args, state, control); got {short_repr(callback)}.")
        check_events(callback)
    return instances


def is_callback_class(value: Any) -> bool:
    return isinstance(value, type) and any(hasattr(value, event) for event in EVENTS)


def callback_states(callbacks: list[TrainerCallback]) -> dict[str, Any]:
    """The states of those that have one, by the names of their classes; of several of a class a list, in their order.
    InputError if JSON cannot hold one."""
    states: dict[str, list] = {}
    for one in callbacks:
        if isinstance(one, TrainerCallback):
            states.setdefault(type(one).__name__, []).append(one.state())
    kept = {name: of_class if len(of_class) > 1 else of_class[0] for name, of_class in states.items() if any(of_class)}
    try:
        return json.loads(json.dumps(kept))
    except (TypeError, ValueError) as error:
        raise InputError(f"a callback's state must be values that JSON can hold: {error}") from None


def load_callback_states(callbacks: list[TrainerCallback], states: dict[str, Any]) -> None:
    """What `callback_states` returned. One state alone is that of all of its class, as former checkpoints have it."""
    for name, stored in states.items():
        of_class = [one for one in callbacks if isinstance(one, TrainerCallback) and type(one).__name__ == name]
        for callback, values in zip(of_class, stored if isinstance(stored, list) else [stored] * len(of_class)):
            if values:
                callback.load_state(values)
