"""`minibert train`: a file of labeled rows -> a fine-tuned model. Its steps; training is in minibert/training/."""

from __future__ import annotations

import argparse
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import ConfigError, InputError
from ..files import check_apart
from ..loading import ModelOptions
from .run_shared import SIGTERM_STATUS
from .shared import command, eprint
from .train_card import write_card
from .train_options import add_arguments, check_options


def add_commands(commands: Any) -> None:
    parser = command(commands, "train", train, "fine-tune a model on a file of labeled rows")
    parser.add_arguments = add_arguments


def train(options: argparse.Namespace) -> int:
    """The command."""
    from ..training.plot import check_matplotlib, plot_losses
    from ..training.tasks import TASKS

    task, folder = TASKS[options.task], Path(options.output)
    check_options(options, task)
    check_output(options)
    if options.plot:
        check_matplotlib()
    trainer, balance = make_trainer(options, task)
    if options.head_only:
        solve(options, trainer)
    else:
        with resume_hint_on_exit(folder):
            trainer.train(resume_from_checkpoint=resumes(options, folder))
    trainer.save_model(folder)
    trainer.save_state()
    if options.lora:
        trainer.save_adapter(folder / "adapter", options.model)
    if options.plot and not options.head_only:
        plot_losses(trainer.state.log_history, folder / "loss.png")
    write_card(options, trainer, balance)
    print(folder)
    return 0


def check_output(options: argparse.Namespace) -> None:
    """InputError if the trained model would overwrite one that it is made from."""
    config_folder = None if options.config is None else os.path.dirname(os.path.abspath(options.config))
    for source in (options.model, options.tokenizer, options.teacher, config_folder):
        if source is not None:
            check_apart(os.path.expanduser(source), options.output)


# --- Data, model and trainer -----------------------------------------------------------------------------------------


def make_trainer(options: argparse.Namespace, task: Any) -> tuple[Any, list[float] | None]:
    """Files, model and options -> a Trainer; and the weights of the classes, if they have some."""
    from ..training.callbacks import EarlyStoppingCallback
    from ..training.lora import LoraConfig
    from ..training.masking import DataCollatorForLanguageModeling
    from ..training.tasks import TaskOptions, check_classes, label_names
    from ..training.trainer import Trainer
    from .train_data import encode_file, read_labeled

    columns = TaskOptions(options.text_column, options.pair_column, options.label_column, options.label_separator)
    files = [
        read_labeled(path, task, columns, options.delimiter, options.strict)
        for path in (options.train, options.eval)
        if path is not None
    ]
    config, checkpoint = starting_config(options)
    labels = [label for *_, label in files[0].rows]
    teacher = load_teacher(options, task)
    known = config if teacher is None else teacher.config
    names = [] if task.read_label is None or task.problem_type == "regression" else label_names(labels, known)
    if names and task.problem_type != "multi_label_classification":
        check_classes(labels, options.label_column, taught=bool(teacher or options.teacher_column))
    model = starting_model(options, task, config, checkpoint, names)
    tokenizer = starting_tokenizer(options, model, checkpoint)
    limit = model.config.architecture.max_tokens
    columns = columns._replace(max_length=min(options.max_length or limit, limit, tokenizer.model_max_length))
    learned = columns._replace(teacher_column=options.teacher_column)
    data = [encode_file(file, tokenizer, task, of, names) for file, of in zip(files, (learned, columns))]
    weights = class_weights(data[0], len(names)) if options.balanced else None
    figures, callbacks = task.figures, [evaluations_on_stdout(options.progress)]
    if options.patience:
        callbacks.append(EarlyStoppingCallback(options.patience))
    trainer = Trainer(
        model,
        training_arguments(options, task, weights),
        train_dataset=data[0],
        eval_dataset=data[1] if options.eval else None,
        processing_class=tokenizer,
        data_collator=DataCollatorForLanguageModeling(tokenizer) if task.head == "ForMaskedLM" else None,
        compute_metrics=None if figures is None else lambda prediction: figures(prediction, names),
        callbacks=callbacks,
        peft_config=LoraConfig(options.lora) if options.lora else None,
        teacher=teacher,
    )
    return trainer, weights


def starting_config(options: argparse.Namespace) -> tuple[Any, Any]:
    """The configuration to start from, and the located checkpoint, or None for random weights."""
    from .. import hub
    from ..auto import config_of
    from ..families import FAMILIES
    from ..files import read_json

    if options.config is None:
        checkpoint = hub.locate(options.model, revision=options.revision)
        return config_of(checkpoint), checkpoint
    if not os.path.isfile(options.config):
        raise InputError(f"--config must be a file such as config.json; there is none at {options.config}.")
    values = read_json(options.config, ConfigError)
    model_type = values.get("model_type")
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        raise ConfigError(f"model_type in {options.config} must be {', '.join(FAMILIES)}; got {model_type!r:.80}.")
    config_class: Any = FAMILIES[model_type].load("Config")
    return config_class.from_dict(values), None


def starting_model(options: argparse.Namespace, task: Any, config: Any, checkpoint: Any, names: list[str]) -> Any:
    """The model with a head for these labels. What the checkpoint lacks of the head is drawn from the seed."""
    from ..families import FAMILIES

    family = FAMILIES[config.model_type]
    if names:
        config.id2label = dict(enumerate(names))
    elif task.problem_type == "regression":
        config.num_labels = 1
    config.problem_type = task.problem_type
    model_class: Any = family.load(task.head)
    if checkpoint is None:
        return model_class(config, seed=options.seed)
    return model_class.from_checkpoint(checkpoint, config, ModelOptions("fast", new_head_seed=options.seed))


def starting_tokenizer(options: argparse.Namespace, model: Any, checkpoint: Any) -> Any:
    from ..auto import AutoTokenizer
    from ..models.checks import check_vocabulary

    tokenizer = AutoTokenizer.from_pretrained(options.tokenizer or checkpoint)
    check_vocabulary(model, tokenizer)
    return tokenizer


def load_teacher(options: argparse.Namespace, task: Any) -> Any:
    from .. import auto

    return None if options.teacher is None else getattr(auto, f"AutoModel{task.head}").from_pretrained(options.teacher)


def class_weights(rows: list[dict], classes: int) -> list[float]:
    """The rows over the classes times how many rows each class has, as scikit-learn's "balanced"; 1 for one without rows."""
    import numpy as np

    counts = np.bincount([row["labels"] for row in rows], minlength=classes)
    return [float(len(rows) / (classes * count)) if count else 1.0 for count in counts]


def training_arguments(options: argparse.Namespace, task: Any, weights: list[float] | None) -> Any:
    from ..training.arguments import TrainingArguments

    strategy = "steps" if options.every else "epoch"
    return TrainingArguments(
        options.output,
        num_train_epochs=options.epochs,
        learning_rate=options.lr,
        per_device_train_batch_size=options.batch_size,
        per_device_eval_batch_size=options.batch_size,
        gradient_accumulation_steps=options.accumulate,
        group_by_length=options.group_by_length,
        lr_scheduler_type=options.schedule,
        warmup_steps=options.warmup,
        weight_decay=options.weight_decay,
        layerwise_lr_decay=options.layer_decay,
        label_smoothing_factor=options.label_smoothing,
        class_weights=weights,
        freeze_layers=options.freeze,
        distillation_temperature=options.temperature,
        distillation_weight=options.distillation_weight,
        distillation_hidden_weight=options.hidden_weight,
        seed=options.seed,
        bf16=options.bf16,
        disable_tqdm=True,  # the command shows it itself
        logging_steps=10,
        save_strategy=strategy,
        save_steps=options.every or 500,
        save_total_limit=1,
        eval_strategy=strategy if options.eval else "no",
        eval_steps=options.every,
        load_best_model_at_end=bool(options.eval),
        metric_for_best_model=(options.metric or task.metrics[0]) if options.eval else None,
    )


# --- While it trains -------------------------------------------------------------------------------------------------


def evaluations_on_stdout(shown: bool | None) -> Any:
    """The line of progress on stderr, but a line for each evaluation on stdout, also if stderr is no terminal."""
    from ..training.callbacks import ProgressCallback, figures_line

    class Progress(ProgressCallback):
        def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
            self.write("\r")
            print(figures_line(state, metrics), flush=True)

    return Progress(shown)


def resumes(options: argparse.Namespace, folder: Path) -> bool:
    from ..training.checkpoints import checkpoint_folders

    if options.resume and not checkpoint_folders(folder):
        eprint(f"{folder} has no checkpoint yet; the training starts at its beginning.")
        return False
    return options.resume


@contextmanager
def resume_hint_on_exit(folder: Path) -> Iterator[None]:
    """After Ctrl-C or SIGTERM, say what is saved. (After SIGKILL the same is saved, without a message.)"""
    from ..training.checkpoints import checkpoint_folders

    previous = None
    if threading.current_thread() is threading.main_thread():
        previous = signal.signal(signal.SIGTERM, exit_on_sigterm)
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        found = checkpoint_folders(folder)
        if found:
            eprint(f"interrupted; {found[-1]} is saved. Run the same command with --resume to continue.")
        raise
    finally:
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)


def exit_on_sigterm(signal_number: int, frame: Any) -> None:
    raise SystemExit(SIGTERM_STATUS)


def solve(options: argparse.Namespace, trainer: Any) -> None:
    """--head-only: the head's minimum, then one evaluation."""
    from ..training.head_only import solve_head
    from ..training.steps import loss_options

    solution = solve_head(
        trainer.model,
        trainer.train_rows,
        trainer.data_collator,
        batch_size=options.batch_size,
        weight_decay=options.weight_decay,
        options=loss_options(trainer.args),
        kernels="bf16" if options.bf16 else None,
    )
    trainer.log({"train_loss": solution.loss, "iterations": solution.iterations})
    if options.eval:
        trainer.evaluate()
