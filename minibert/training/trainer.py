"""`Trainer`: a model and rows with labels -> the model trained, with checkpoints and evaluations on the way.

    trainer = Trainer(model, TrainingArguments("folder", num_train_epochs=3), train_dataset=rows, processing_class=tokenizer)
    trainer.train()
    trainer.save_model("folder")

Here is what a user calls; `loop.py` goes through epochs and steps, `steps.py` does one step.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import InputError, InputTypeError, read_flag, short_repr, strict_arguments
from ..files import as_folder, check_writable, write_json
from ..models.base import PreTrainedModel
from .arguments import TrainingArguments
from .callbacks import ProgressCallback, TrainerCallback, TrainerControl, TrainerState, check_callbacks, is_of_time
from .checkpoints import STATE, chosen_checkpoint
from .collators import DataCollatorWithPadding
from .data import Rows, evaluation_rows
from .evaluation import EvalPrediction, Evaluation, PredictionOutput, check_metrics, evaluate_rows
from .ignored_options import TRAINER_REFUSALS, check_others
from .loop import TrainingLoop
from .lora import Adapter, LoraConfig
from .overrides import check_methods
from .results import check_split, formatted, print_metrics, write_metrics
from .steps import loss_options
from .trainer_arguments import NAMES, check_args, check_ignored_keys, check_model, check_prefix, check_teacher


class TrainOutput(NamedTuple):
    global_step: int
    training_loss: float
    metrics: dict[str, float]


class Trainer:
    """Trains a model with a head in float32, in place; names and meanings are those of transformers.

    Data sets are lists of rows, dictionaries of columns, or anything with a length and rows by index. A row has `input_ids`, as
    a tokenizer gives them, and `labels` or `label` (`start_positions` and so on for other heads). `processing_class` is the
    tokenizer: it pads, and is saved with the model. `compute_metrics` takes (predictions, labels) and returns figures by name.
    `peft_config`, a LoraConfig, trains low-rank changes of the weights, and the head; `teacher`, a model of the same tokens
    and labels, adds a loss against its logits (`distillation_weight`) and its layers (`distillation_hidden_weight`); rows that
    have its logits, as `teacher_logits` (C,), add the first.
    """

    @strict_arguments
    def __init__(
        self,
        model: PreTrainedModel | None = None,
        args: TrainingArguments | None = None,
        data_collator: Callable | None = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: Any = None,
        compute_metrics: Callable | None = None,
        callbacks: list[TrainerCallback] | None = None,
        peft_config: LoraConfig | None = None,
        teacher: PreTrainedModel | None = None,
        **others: Any,
    ):
        check_methods(self)
        check_others("Trainer", others, NAMES, TRAINER_REFUSALS, ("tokenizer",))
        former = others.pop("tokenizer", None)
        if former is not None and processing_class is not None:
            raise InputTypeError("tokenizer is the former name of processing_class; got both. Leave tokenizer out.")
        processing_class = former if processing_class is None else processing_class
        self.model, self.args = check_model(model), check_args(args)
        for name, function in (("data_collator", data_collator), ("compute_metrics", compute_metrics)):
            if function is not None and not callable(function):
                raise InputTypeError(f"{name} must be a function; got {short_repr(function)}.")
        if processing_class is not None and not callable(processing_class):
            raise InputTypeError(f"processing_class must be a tokenizer; got {short_repr(processing_class)}.")
        if peft_config is not None and not isinstance(peft_config, LoraConfig):
            raise InputTypeError(f"peft_config must be minibert's LoraConfig; got {short_repr(peft_config)}.")
        self.peft_config, self.teacher = peft_config, check_teacher(teacher, self.model, self.args)
        self.adapter: Adapter | None = None
        self.processing_class, self.compute_metrics = processing_class, compute_metrics
        self.data_collator = data_collator or DataCollatorWithPadding(processing_class)
        self.train_rows = None if train_dataset is None else Rows("train_dataset", train_dataset)
        self.eval_rows = None if eval_dataset is None else evaluation_rows(eval_dataset)
        self.callbacks: list[TrainerCallback] = [*check_callbacks(callbacks), ProgressCallback(self.shows_progress)]
        self.state, self.control = TrainerState(), TrainerControl()
        self.notify("on_init_end")

    @property
    def shows_progress(self) -> bool | None:
        return None if self.args.disable_tqdm is None else not self.args.disable_tqdm

    @strict_arguments
    def add_callback(self, callback: TrainerCallback | type) -> None:
        self.callbacks += check_callbacks([callback])

    @strict_arguments
    def pop_callback(self, callback: TrainerCallback | type) -> TrainerCallback | None:
        """Remove a callback, or the first of a class, and return it; None if there is none."""
        for index, one in enumerate(self.callbacks):
            if one is callback or type(one) is callback:
                return self.callbacks.pop(index)
        return None

    @strict_arguments
    def remove_callback(self, callback: TrainerCallback | type) -> None:
        self.pop_callback(callback)

    def is_world_process_zero(self) -> bool:
        """True: a training is one process."""
        return True

    def is_local_process_zero(self) -> bool:
        return True

    # --- Training ----------------------------------------------------------------------------------------------------

    @strict_arguments
    def train(self, resume_from_checkpoint: str | PathLike | bool | None = None) -> TrainOutput:
        """Train, and leave the trained weights in `model`; with `load_best_model_at_end`, those of the best evaluation.

        `resume_from_checkpoint`: True for the last checkpoint in output_dir, or a checkpoint's folder. The result is that of
        a training that was never interrupted, to the bit, with the same kernels. InputError if data or options are not those
        it began with; CheckpointError for a damaged checkpoint; TrainingError, with the step, its rows and the last
        checkpoint, if a loss is NaN or infinite.
        """
        self.args.check()
        check_methods(self)  # one may have been set since
        if self.train_rows is None:
            raise InputError("train() needs rows to train on; pass train_dataset to the Trainer.")
        if self.args.eval_strategy != "no" and self.eval_rows is None:
            raise InputError(f"eval_strategy={self.args.eval_strategy!r} needs rows to evaluate on; pass eval_dataset.")
        if self.args.save_strategy != "no":
            check_writable(Path(self.args.output_dir))
        start, loop = time.monotonic(), TrainingLoop(self, self.train_rows)
        checkpoint = chosen_checkpoint(resume_from_checkpoint, Path(self.args.output_dir))
        if checkpoint is not None:
            loop.resume(checkpoint)
        first_step = self.state.global_step
        loss = loop.run()
        seconds, steps = time.monotonic() - start, self.state.global_step - first_step
        rates = {"train_runtime": seconds, "train_steps_per_second": steps / seconds}
        return TrainOutput(self.state.global_step, loss, {"train_loss": loss, **rates, "epoch": self.state.epoch})

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add figures to `state.log_history`, without those that differ from run to run. `start_time` changes nothing."""
        kept = {name: value for name, value in logs.items() if not is_of_time(name)}
        self.state.log_history.append({**kept, "epoch": self.state.epoch, "step": self.state.global_step})
        self.notify("on_log", logs=logs)

    def notify(self, event: str, **values: Any) -> None:
        """Call the callbacks' methods of this name."""
        for callback in self.callbacks:
            method = getattr(callback, event, None)
            if method is not None:
                control = method(
                    self.args, self.state, self.control, model=self.model, processing_class=self.processing_class, **values
                )
                self.control = control if isinstance(control, TrainerControl) else self.control

    # --- Evaluation --------------------------------------------------------------------------------------------------

    @strict_arguments
    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """-> {"eval_loss", those of compute_metrics as "eval_NAME", "eval_runtime", "eval_samples_per_second", "epoch"}; of a
        dictionary of data sets, those of each as "eval_DATASET_NAME". `ignore_keys` changes nothing: predictions are the
        outputs of the head."""
        rows = self.eval_rows if eval_dataset is None else evaluation_rows(eval_dataset)
        if rows is None:
            raise InputError("evaluate() needs rows; pass eval_dataset to it or to the Trainer.")
        check_prefix(metric_key_prefix)
        check_ignored_keys(ignore_keys, self.model)
        if isinstance(rows, dict):
            of_each = [
                self.evaluate(eval_dataset=one.dataset, metric_key_prefix=f"{metric_key_prefix}_{name}")
                for name, one in rows.items()
            ]
            return {name: value for metrics in of_each for name, value in metrics.items()}
        metrics = self.measured(rows, metric_key_prefix, loss_only=self.compute_metrics is None)[1]
        self.log({name: value for name, value in metrics.items() if name != "epoch"})
        self.notify("on_evaluate", metrics=metrics)
        return metrics

    @strict_arguments
    def predict(
        self, test_dataset: Any, ignore_keys: list[str] | None = None, metric_key_prefix: str = "test"
    ) -> PredictionOutput:
        """-> the logits of all rows, their labels, and the figures of `evaluate` as "test_NAME"."""
        check_prefix(metric_key_prefix)
        check_ignored_keys(ignore_keys, self.model)
        evaluation, metrics = self.measured(Rows("test_dataset", test_dataset), metric_key_prefix)
        self.notify("on_predict", metrics=metrics)
        return PredictionOutput(evaluation.predictions, evaluation.label_ids, metrics)

    def measured(self, rows: Rows, prefix: str, loss_only: bool = False) -> tuple[Evaluation, dict[str, float]]:
        self.args.check()
        check_methods(self)
        start, args = time.monotonic(), self.args
        batch_size, options = args.per_device_eval_batch_size, loss_options(args)

        def on_batch() -> None:
            self.notify("on_prediction_step")

        evaluation = evaluate_rows(self.model, rows, self.data_collator, batch_size, options, args.seed, loss_only, on_batch)
        metrics = {} if evaluation.loss is None else {"loss": evaluation.loss}
        if self.compute_metrics is not None and evaluation.label_ids is not None:
            metrics |= check_metrics(self.compute_metrics(EvalPrediction(evaluation.predictions, evaluation.label_ids)))
        seconds = time.monotonic() - start
        metrics |= {"runtime": seconds, "samples_per_second": len(rows) / seconds if seconds else 0.0}
        named = {name if name.startswith(f"{prefix}_") else f"{prefix}_{name}": value for name, value in metrics.items()}
        return evaluation, {**named, "epoch": self.state.epoch}

    # --- Saving ------------------------------------------------------------------------------------------------------

    @strict_arguments
    def save_model(self, output_dir: str | PathLike | None = None, _internal_call: bool = False) -> None:
        """Write config.json, model.safetensors and the tokenizer's files, which from_pretrained reads, here and there."""
        folder = as_folder(self.args.output_dir if output_dir is None else output_dir)
        self.model.save_pretrained(folder)
        if hasattr(self.processing_class, "save_pretrained"):
            self.processing_class.save_pretrained(folder)

    @strict_arguments
    def save_adapter(self, output_dir: str | PathLike, base_model: str | None = None) -> None:
        """After a training with `peft_config`: write PEFT's files, adapter_config.json and adapter_model.safetensors. They
        change the model that was trained, `base_model`; `save_model` writes the two merged."""
        if self.adapter is None:
            raise InputError("an adapter is what train() leaves if the Trainer has a peft_config; there is none yet.")
        if base_model is not None and not isinstance(base_model, str):
            raise InputTypeError(f"base_model must be a model's name; got {short_repr(base_model)}.")
        self.adapter.save(self.model, output_dir, base_model)

    @strict_arguments
    def save_state(self) -> None:
        """Write trainer_state.json into output_dir."""
        write_json(Path(self.args.output_dir) / STATE, self.state.to_dict())

    @strict_arguments
    def log_metrics(self, split: str, metrics: dict[str, float]) -> None:
        """Print figures, those of `evaluate` for instance; `split` is their name: "train", "eval"."""
        check_split(split, metrics)
        print_metrics(split, metrics)

    @strict_arguments
    def metrics_format(self, metrics: dict[str, float]) -> dict[str, Any]:
        """The figures as `log_metrics` prints them."""
        check_split("all", metrics)
        return formatted(metrics)

    @strict_arguments
    def save_metrics(self, split: str, metrics: dict[str, float], combined: bool = True) -> None:
        """Write them to SPLIT_results.json in output_dir and, if `combined`, add them to all_results.json there."""
        check_split(split, metrics)
        write_metrics(Path(self.args.output_dir), split, metrics, read_flag("combined", combined))
