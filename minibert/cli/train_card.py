"""What `minibert train` writes into the model card of its folder."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

from .. import __version__


def write_card(options: argparse.Namespace, trainer: Any, weights: list[float] | None) -> None:
    """FOLDER/README.md."""
    from ..training.model_card import model_card, write_model_card

    state, config = trainer.state, trainer.model.config
    data = {"trained on": f"{Path(options.train).name}, {len(trainer.train_rows):,} rows"}
    if options.eval:
        data["evaluated on"] = f"{Path(options.eval).name}, {len(trainer.eval_rows):,} rows"
    if trainer.model.loss_heads(config)[0].form in ("sequence", "token"):
        data["labels"] = ", ".join(map(str, config.id2label.values()))
    names = (
        "epochs",
        "lr",
        "batch_size",
        "bf16",
        "accumulate",
        "schedule",
        "warmup",
        "weight_decay",
        "layer_decay",
        "label_smoothing",
    )
    recipe = {
        "started from": options.model or f"random weights of {options.config}",
        "task": options.task,
        "seed": options.seed,
    }
    if options.head_only:
        recipe |= {"trained": "the head alone, by L-BFGS", "weight_decay": options.weight_decay}
    else:
        recipe |= {name: getattr(options, name) for name in names} | {
            "steps": state.global_step,
            "frozen layers": options.freeze,
        }
    if options.teacher or options.teacher_column:
        source = options.teacher or f"the column {options.teacher_column}"
        recipe["teacher"] = f"{source}, weight {options.distillation_weight:g}, temperature {options.temperature:g}"
        if options.hidden_weight:
            recipe["teacher"] += f", hidden weight {options.hidden_weight:g}"
    if options.lora:
        recipe["LoRA"] = f"rank {options.lora}; adapter/ holds PEFT's files"
    if weights:
        recipe["class weights"] = ", ".join(f"{weight:.3g}" for weight in weights)
    recipe["minibert"] = __version__
    evaluations = [entry for entry in state.log_history if "eval_loss" in entry]
    command_line = shlex.join(["minibert", "train", *options.arguments])
    tables = {"Data": data, "Recipe": recipe}
    write_model_card(Path(options.output), model_card(Path(options.output).name, tables, evaluations, command_line))
