"""The loop of a training: epochs, steps, and after a step what is due: a log, an evaluation, a checkpoint.

A step's number says its dropout and its learning rate; its epoch, and its place there, which rows it reads. So to resume is to
load the weights and moments, and to go on counting. `steps.py` does a step, `checkpoints.py` reads and writes.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CheckpointError, InputError, MinibertWarning, TrainingError
from ..models.base import PreTrainedModel
from .callbacks import TrainerControl, TrainerState, callback_states, is_better, load_callback_states, metric_key
from .checkpoints import (
    Checkpoint,
    check_fingerprint,
    checkpoint_folders,
    read_checkpoint,
    read_model_tensors,
    remove_unfinished,
    rotate,
    write_checkpoint,
)
from .data import Rows, epoch_batches
from .steps import Stepper, StepResult

if TYPE_CHECKING:
    from .trainer import Trainer

NO_RESULT = ("output_dir", "save_total_limit", "disable_tqdm")  # options that change no weights and no figures


class TrainingLoop:
    """One call of `Trainer.train`."""

    def __init__(self, trainer: Trainer, rows: Rows):
        self.trainer, self.args, self.rows = trainer, trainer.args, rows
        self.output_dir = Path(self.args.output_dir)
        batches = len(self.epoch_batches(0))
        self.steps_per_epoch = -(-batches // self.args.gradient_accumulation_steps)
        if not self.steps_per_epoch:
            raise InputError("an epoch must have a step; with dataloader_drop_last=True there is no batch that is full.")
        epochs, max_steps = self.args.num_train_epochs, self.args.max_steps
        total_steps = max_steps if max_steps > 0 else math.ceil(epochs * self.steps_per_epoch)
        self.stepper = Stepper(
            trainer.model, self.args, rows, trainer.data_collator, total_steps, trainer.peft_config, trainer.teacher
        )
        self.loss_sum, self.loss_steps, self.total_loss = 0.0, 0, 0.0
        self.epoch, self.epoch_steps = 0, 0  # which one is under way, and how many of its steps are done
        self.fingerprint: dict[str, Any] | None = None
        trainer.control = TrainerControl()
        trainer.state = TrainerState(
            max_steps=total_steps,
            num_train_epochs=-(-total_steps // self.steps_per_epoch),
            train_batch_size=self.args.per_device_train_batch_size,
            logging_steps=self.interval(self.args.logging_steps),
            eval_steps=self.interval(self.args.eval_interval),
            save_steps=self.interval(self.args.save_steps),
        )

    def interval(self, steps: float) -> int:
        """A number of steps, or a fraction of all."""
        return int(steps) if steps >= 1 else math.ceil(steps * self.stepper.total_steps)

    def epoch_batches(self, epoch: int) -> list:
        args = self.args
        seed = args.seed if args.data_seed is None else args.data_seed
        size, drop_last = args.per_device_train_batch_size, args.dataloader_drop_last
        return epoch_batches(self.rows, size, sampling=args.sampling, seed=seed, epoch=epoch, drop_last=drop_last)

    # --- Steps -------------------------------------------------------------------------------------------------------

    def run(self) -> float:
        """All steps that are left. Returns the mean of the losses of all steps."""
        trainer, state = self.trainer, self.trainer.state
        remove_unfinished(self.output_dir)
        try:
            trainer.notify("on_train_begin")
            if self.args.eval_on_start and not state.global_step:
                self.refresh_model()
                trainer.evaluate()  # no checkpoint has these weights, so it is never the best
            while self.epoch < state.num_train_epochs and self.goes_on():
                self.run_epoch()
        finally:
            self.refresh_model()
        if self.args.load_best_model_at_end:
            self.load_best()
        loss = self.total_loss / max(1, state.global_step)
        trainer.adapter = self.stepper.adapter
        trainer.log({"train_loss": loss})
        trainer.notify("on_train_end")
        return loss

    def load_best(self) -> None:
        """The weights of the best checkpoint, if there is one."""
        best = self.trainer.state.best_model_checkpoint
        if best is not None and (self.output_dir / best).is_dir():
            self.refresh_model(read_model_tensors(self.output_dir / best, self.trainer.model))
            return
        missing = "none was saved at the step of a best evaluation" if best is None else f"there is no {self.output_dir / best}"
        message = (
            f"load_best_model_at_end=True needs the best checkpoint; {missing}. The model has the weights of the last step."
        )
        warnings.warn(message, MinibertWarning, stacklevel=5)

    def goes_on(self) -> bool:
        state = self.trainer.state
        return state.global_step < state.max_steps and not self.trainer.control.should_training_stop

    def run_epoch(self) -> None:
        """The epoch that is under way, up to its end."""
        trainer, size = self.trainer, self.args.gradient_accumulation_steps
        batches = self.epoch_batches(self.epoch)
        if not self.epoch_steps:
            trainer.notify("on_epoch_begin")
        ends = False
        while not ends and self.goes_on():
            trainer.control.clear()
            trainer.notify("on_step_begin")
            result = self.step(batches[self.epoch_steps * size : (self.epoch_steps + 1) * size])
            self.set_due()
            trainer.notify("on_step_end", loss=result.loss)
            ends = self.epoch_ends()
            if ends:
                self.end_epoch()
            self.do_due(result)
            if not ends and self.epoch_ends():  # since on_step_end, after a log, an evaluation or a checkpoint
                ends = True
                trainer.control.clear()
                self.end_epoch()
                self.do_due(result)

    def epoch_ends(self) -> bool:
        """With its last step, or because a callback stops it or the training."""
        return self.epoch_steps == self.steps_per_epoch or self.trainer.control.should_epoch_stop or not self.goes_on()

    def end_epoch(self) -> None:
        """What is due after each epoch. The next step is the first of the next one."""
        args, control = self.args, self.trainer.control
        self.epoch, self.epoch_steps = self.epoch + 1, 0
        control.should_log |= args.logging_strategy == "epoch"
        control.should_evaluate |= args.eval_strategy == "epoch"
        control.should_save |= args.save_strategy == "epoch"
        self.refresh_model()
        self.trainer.notify("on_epoch_end")

    def step(self, batches: list) -> StepResult:
        state = self.trainer.state
        try:
            result = self.stepper.step(state.global_step, batches)
        except TrainingError as error:
            folders = checkpoint_folders(self.output_dir)
            last = f"The last good checkpoint is {folders[-1]}." if folders else "There is no checkpoint yet."
            raise TrainingError(f"{error} {last}") from None
        self.trainer.notify("on_optimizer_step")
        state.global_step += 1
        self.epoch_steps += 1
        state.epoch = (self.epoch * self.steps_per_epoch + self.epoch_steps) / self.steps_per_epoch
        self.loss_sum += result.loss
        self.loss_steps += 1
        self.total_loss += result.loss
        return result

    def set_due(self) -> None:
        """What is due after this step, whether an epoch ends or not; callbacks may change it."""
        args, state, control = self.args, self.trainer.state, self.trainer.control

        def due(strategy: str, interval: int) -> bool:
            return strategy == "steps" and state.global_step % interval == 0

        control.should_log = due(args.logging_strategy, state.logging_steps)
        control.should_log |= args.logging_first_step and state.global_step == 1
        control.should_evaluate = due(args.eval_strategy, state.eval_steps)
        control.should_save = due(args.save_strategy, state.save_steps)
        control.should_save |= args.save_strategy == "steps" and state.global_step >= state.max_steps

    def do_due(self, result: StepResult) -> None:
        control = self.trainer.control
        if control.should_log and self.loss_steps:
            loss = self.loss_sum / self.loss_steps
            self.loss_sum, self.loss_steps = 0.0, 0
            self.trainer.log({"loss": loss, "grad_norm": result.grad_norm, "learning_rate": result.learning_rate})
        improved = control.should_evaluate and self.evaluate()
        if control.should_save or (self.args.save_strategy == "best" and improved):
            self.save()

    def evaluate(self) -> bool:
        """Evaluate, and return whether this was the best evaluation so far."""
        trainer, state, args = self.trainer, self.trainer.state, self.args
        self.refresh_model()
        metrics = trainer.evaluate()
        if args.metric_for_best_model is None:
            return False
        key = metric_key(args.metric_for_best_model)
        if key not in metrics:
            raise InputError(f"metric_for_best_model must be one of {', '.join(metrics)}; got {args.metric_for_best_model!r}.")
        improved = state.best_metric is None or is_better(args, metrics[key], state.best_metric)
        if improved:
            state.best_metric, state.best_global_step = metrics[key], state.global_step
        return improved

    def refresh_model(self, tensors: dict | None = None) -> None:
        """Give the trainer's model the weights as they are now."""
        self.stepper.optimizer.flush()
        model = self.trainer.model
        model.build(model.config, self.stepper.parameters if tensors is None else tensors, model.kernels.spec)

    # --- Checkpoints -------------------------------------------------------------------------------------------------

    def save(self) -> None:
        trainer, state = self.trainer, self.trainer.state
        self.refresh_model()
        folder = self.output_dir / f"checkpoint-{state.global_step}"
        if self.args.save_strategy != "no" and state.best_global_step == state.global_step:
            state.best_model_checkpoint = folder.name
        state.stateful_callbacks = callback_states(trainer.callbacks)
        ends = trainer.control.should_epoch_stop and self.epoch_steps > 0
        progress = {
            "epoch": self.epoch + ends,
            "epoch_steps": 0 if ends else self.epoch_steps,
            "loss_sum": self.loss_sum,
            "loss_steps": self.loss_steps,
            "total_loss": self.total_loss,
            "stopped": trainer.control.should_training_stop,
        }
        moments = self.stepper.state()
        checkpoint = Checkpoint(trainer.model.tensors, moments, state, self.get_fingerprint(), progress)
        write_checkpoint(folder, trainer.save_model, checkpoint)
        rotate(self.output_dir, self.args.save_total_limit, state.best_model_checkpoint, folder)
        trainer.notify("on_save")

    def resume(self, folder: Path) -> None:
        trainer = self.trainer
        checkpoint = read_checkpoint(folder, trainer.model)
        check_fingerprint(checkpoint.fingerprint, self.get_fingerprint(), folder)
        try:
            self.stepper.load(checkpoint.tensors, checkpoint.moments, checkpoint.state.global_step)
            progress = checkpoint.progress
            self.loss_sum, self.loss_steps = float(progress["loss_sum"]), int(progress["loss_steps"])
            self.total_loss = float(progress["total_loss"])
            epoch, steps = divmod(checkpoint.state.global_step, self.steps_per_epoch)  # of checkpoints that do not say it
            self.epoch, self.epoch_steps = int(progress.get("epoch", epoch)), int(progress.get("epoch_steps", steps))
            trainer.control.should_training_stop = bool(progress["stopped"])
            load_callback_states(trainer.callbacks, checkpoint.state.stateful_callbacks)
        except (InputError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{folder} is damaged: {error}. Delete it, and resume from the one before.") from None
        trainer.state = checkpoint.state

    def get_fingerprint(self) -> dict[str, Any]:
        """What decides the result of a training."""
        if self.fingerprint is None:
            model, eval_rows = self.trainer.model, self.trainer.eval_rows
            config = hashlib.sha256(model.config.to_json_string().encode()).hexdigest()
            self.fingerprint = {
                **{name: value for name, value in self.args.to_dict().items() if name not in NO_RESULT},
                "model": f"{type(model).__name__} {config}",
                "peft_config": None if self.trainer.peft_config is None else self.trainer.peft_config.to_dict(),
                "teacher": None if self.trainer.teacher is None else digest_of(self.trainer.teacher),
                "train_dataset": self.rows.digest(),
                "eval_dataset": digest_of_rows(eval_rows),
            }
        return self.fingerprint


def digest_of_rows(rows: Rows | dict[str, Rows] | None) -> Any:
    return {name: one.digest() for name, one in rows.items()} if isinstance(rows, dict) else rows and rows.digest()


def digest_of(model: PreTrainedModel) -> str:
    """What tells a model's weights from others'."""
    sha = hashlib.sha256()
    for name in sorted(model.tensors):
        sha.update(model.tensors[name].tobytes())
    return sha.hexdigest()
