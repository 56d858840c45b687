"""Checkpoints of a training: all that it needs to go on to the same bits as if it had never stopped.

    checkpoint-120/
        config.json, model.safetensors     the model, as from_pretrained reads it, beside its tokenizer's files
        optimizer.safetensors              both moments of each trained tensor
        trainer_state.json                 steps, losses, evaluations, as transformers has them
        resume.json                        what decides the result, how far it is, the files' checksums

A checkpoint is written under another name and renamed when all of it is on the disk: whatever kills the training, a folder of
that name is whole. No generator's state is in it: order, dropout and masks are functions of the seed and the step.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import CheckpointError, InputError, ModelFileError, short_repr
from ..files import read_json, write_json
from ..models.base import PreTrainedModel
from ..weights import WEIGHTS, read_tensors, save_tensors
from .callbacks import TrainerState

OPTIMIZER, STATE, RESUME = "optimizer.safetensors", "trainer_state.json", "resume.json"
LARGEST_STATE = 1 << 30  # bytes of trainer_state.json: a line of log_history for each of millions of steps
NAME = re.compile(r"checkpoint-(\d+)")
UNFINISHED = ".unfinished-"


class Checkpoint(NamedTuple):
    """What a checkpoint holds beside the model's own files."""

    tensors: Mapping[str, np.ndarray]  # of the model, by its names
    moments: Mapping[str, np.ndarray]
    state: TrainerState
    fingerprint: dict[str, Any]  # a training can be resumed only if all of this is the same
    progress: dict[str, Any]  # the epoch and its steps, sums of losses, whether a callback has stopped the training


def checkpoint_folders(output_dir: Path) -> list[Path]:
    """The checkpoints of a training, in the order of their steps."""
    if not output_dir.is_dir():
        return []
    found = [(NAME.fullmatch(path.name), path) for path in output_dir.iterdir() if path.is_dir()]
    return [path for _, path in sorted((int(match[1]), path) for match, path in found if match)]


def write_checkpoint(folder: Path, save_model: Callable[[Path], None], checkpoint: Checkpoint) -> None:
    """Write a checkpoint's folder, all of it or nothing. ModelFileError if the disk is full."""
    with unfinished(folder) as tmp_path:
        save_model(tmp_path)
        save_tensors(tmp_path / OPTIMIZER, checkpoint.moments)
        write_json(tmp_path / STATE, checkpoint.state.to_dict())
        content = {"fingerprint": checkpoint.fingerprint, "progress": checkpoint.progress}
        checksums = {path.name: checksum_of(path) for path in sorted(tmp_path.iterdir())}
        write_json(tmp_path / RESUME, {**content, "checksums": {**checksums, RESUME: checksum_of_json(content)}})


@contextmanager
def unfinished(folder: Path) -> Iterator[Path]:
    """A folder beside the one that is to be, which takes its name at the end, or is removed after an error."""
    tmp_path = folder.with_name(UNFINISHED + folder.name)
    try:
        remove(tmp_path)
        tmp_path.mkdir(parents=True)
        yield tmp_path
        for path in tmp_path.iterdir():
            flush_to_disk(path)
        remove(folder)  # of the same training, if it had been killed after this point and was resumed from an earlier one
        os.replace(tmp_path, folder)
    except OSError as error:
        if isinstance(error, ModelFileError):
            raise ModelFileError(f"checkpoint {folder} cannot be written: {error}") from error
        raise ModelFileError(f"checkpoint {folder} cannot be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(tmp_path, ignore_errors=True)


def flush_to_disk(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def remove(folder: Path) -> None:
    """Delete a checkpoint; it loses its name first, so that half of one never has it."""
    if folder.exists():
        tmp_path = folder.with_name(f"{UNFINISHED}old-{folder.name}")
        shutil.rmtree(tmp_path, ignore_errors=True)
        os.replace(folder, tmp_path)
        shutil.rmtree(tmp_path)


def remove_unfinished(output_dir: Path) -> None:
    """Delete what a training that was killed left half-written."""
    for path in output_dir.glob(f"{UNFINISHED}*") if output_dir.is_dir() else ():
        shutil.rmtree(path, ignore_errors=True)


def rotate(output_dir: Path, limit: int | None, best: str | None, newest: Path) -> None:
    """Keep the last `limit` checkpoints, the one just written among them, and the best one. Those of later steps than the one
    just written are of an earlier training, and so are deleted first."""
    if limit is None:
        return
    folders = checkpoint_folders(output_dir)
    end = folders.index(newest) + 1
    in_order = folders[end:] + folders[:end]
    for folder in in_order[: max(0, len(in_order) - limit)]:
        if folder.name != best:
            remove(folder)


def read_checkpoint(folder: Path, model: PreTrainedModel) -> Checkpoint:
    """A checkpoint's folder -> its content. CheckpointError if a file is missing or damaged."""
    content = read_json(checked_file(folder, RESUME), CheckpointError, largest=LARGEST_STATE)
    fingerprint, progress, sums = (content.get(name) for name in ("fingerprint", "progress", "checksums"))
    if not (isinstance(fingerprint, dict) and isinstance(progress, dict) and isinstance(sums, dict)):
        raise CheckpointError(f"{folder / RESUME} is damaged: it lacks its fingerprint, progress or checksums. {FIX}")
    if sums.pop(RESUME, None) != checksum_of_json({"fingerprint": fingerprint, "progress": progress}):
        raise CheckpointError(f"{folder / RESUME} is damaged: its checksum is not its own. {FIX}")
    for name, checksum in sums.items():
        if checksum_of(checked_file(folder, name)) != checksum:
            raise CheckpointError(f"{folder / name} is damaged: its checksum is not that of {RESUME}. {FIX}")
    values = read_json(checked_file(folder, STATE), CheckpointError, largest=LARGEST_STATE)
    state = TrainerState.from_dict(values, folder / STATE)
    return Checkpoint(read_model_tensors(folder, model), stored_arrays(folder / OPTIMIZER), state, fingerprint, progress)


FIX = "Delete this checkpoint, and resume from the one before."


def checked_file(folder: Path, name: str) -> Path:
    if not (folder / name).is_file():
        raise CheckpointError(f"a checkpoint must have a file {name}; {folder} has none. {FIX}")
    return folder / name


def read_model_tensors(folder: Path, model: PreTrainedModel) -> dict[str, np.ndarray]:
    """The model's weights in a checkpoint, under their names in `model.tensors`."""
    stored = stored_arrays(checked_file(folder, WEIGHTS))
    prefix = model.encoder_names.prefix
    tensors = {name.removeprefix(prefix): array for name, array in stored.items()}
    if {name: array.shape for name, array in tensors.items()} != {name: a.shape for name, a in model.tensors.items()}:
        raise InputError(f"{folder} is a checkpoint of another model than this {type(model).__name__}.")
    return tensors


def stored_arrays(path: Path) -> dict[str, np.ndarray]:
    return {name: tensor.array() for name, tensor in read_tensors(path).items()}


def checksum_of_json(content: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())


def checksum_of(path: Path) -> int:
    """CRC-32 of a file: it finds damage, not forgery."""
    checksum = 0
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            checksum = zlib.crc32(block, checksum)
    return checksum


def check_fingerprint(stored: dict[str, Any], current: dict[str, Any], folder: Path) -> None:
    """InputError if a training would not go on as it began, with the names of what differs."""
    different = [name for name in {**stored, **current} if stored.get(name) != current.get(name)]
    if different:
        shown = "; ".join(
            f"{name} was {short_repr(stored.get(name))}, is {short_repr(current.get(name))}" for name in different
        )
        raise InputError(
            f"a training is resumed with the data and the options it began with; in {folder} {shown}. "
            "To train on from these weights with others, load that folder as the model."
        )


def chosen_checkpoint(resume: Any, output_dir: Path) -> Path | None:
    """`resume_from_checkpoint`: None or False, True for the last in output_dir, or a checkpoint's folder."""
    if resume is None or resume is False:
        return None
    if resume is True:
        folders = checkpoint_folders(output_dir)
        if not folders:
            raise InputError(
                f"there must be a checkpoint to resume from; {output_dir} has none. Leave resume_from_checkpoint out."
            )
        return folders[-1]
    if not isinstance(resume, (str, os.PathLike)) or not os.path.isdir(resume):
        raise InputError(f"resume_from_checkpoint must be True or a checkpoint's folder; got {short_repr(resume)}.")
    return Path(resume)
