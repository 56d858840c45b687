"""Nothing lost: a training that is killed at any point and resumed ends with the same bytes; damage, other data and a full
disk get one clear error.
"""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
from paths import ROOT
from training_rows import labeled_rows, same_tensors, tiny_model, trainer_of

import minibert
from minibert import CheckpointError, EarlyStoppingCallback, InputError, ModelFileError
from minibert.training import checkpoints
from minibert.training.loop import TrainingLoop

OPTIONS = {
    "logging_steps": 2,
    "eval_strategy": "steps",
    "eval_steps": 3,
    "save_strategy": "steps",
    "save_steps": 3,
    "num_train_epochs": 3,
    "metric_for_best_model": "accuracy",
    "load_best_model_at_end": True,
    "save_total_limit": 2,
    "weight_decay": 0.01,
    "gradient_accumulation_steps": 2,
}
SCRIPT = """
import sys
sys.path[:0] = {path!r}
from training_rows import trainer_of
from minibert import EarlyStoppingCallback, TrainerCallback
trainer = trainer_of({folder!r}, callbacks=[EarlyStoppingCallback(9)], **{options!r})
{before}
trainer.train(resume_from_checkpoint={resume!r})
trainer.save_model()
trainer.save_state()
"""


def run(folder, resume=False, before=""):
    path = [str(ROOT), str(ROOT / "tests" / "support")]
    code = SCRIPT.format(path=path, folder=str(folder), options=OPTIONS, resume=resume or None, before=before)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stderr


def files(folder):
    """Every file below a folder -> its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    trainer_of(tmp_path_factory.mktemp("compiled"), **OPTIONS).train()  # a process that compiles kernels says so on stderr
    folder = tmp_path_factory.mktemp("unbroken")
    assert run(folder) == (0, "")
    return files(folder)


KILL = "import os, signal\ndef kill(*arguments, **options): os.kill(os.getpid(), signal.SIGKILL)\n"
POINTS = {  # what kills the process, at once
    "in a step": KILL
    + """
from minibert.training.steps import Stepper
step = Stepper.step
Stepper.step = lambda self, number, batches: kill() if number == 4 else step(self, number, batches)
""",
    "in an evaluation": KILL
    + """
evaluate = trainer.evaluate
trainer.evaluate = lambda: kill() if trainer.state.global_step == 6 else evaluate()
""",
    "between the files of a checkpoint": KILL
    + """
from minibert.training import checkpoints
save = checkpoints.save_tensors
checkpoints.save_tensors = lambda path, tensors: kill() if trainer.state.global_step == 6 else save(path, tensors)
""",
    "before a checkpoint has its name": KILL
    + """
from minibert.training import checkpoints
replace = checkpoints.os.replace
def replace_or_kill(source, target):
    return kill() if str(target).endswith("checkpoint-6") else replace(source, target)
checkpoints.os.replace = replace_or_kill
""",
    "after a checkpoint has its name": KILL
    + """
from minibert.training import loop
loop.rotate = lambda *arguments: kill() if trainer.state.global_step == 6 else None
""",
    "while old ones are deleted": KILL
    + """
from minibert.training import checkpoints
rmtree = checkpoints.shutil.rmtree
def rmtree_or_kill(path, **options):
    return kill() if "old-" in str(path) and path.exists() else rmtree(path, **options)
checkpoints.shutil.rmtree = rmtree_or_kill
""",
    "when all steps are done": KILL
    + "trainer.save_model = lambda *folder: kill() if not folder else type(trainer).save_model(trainer, *folder)",
}


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_a_killed_training_resumes_to_the_same_bytes(tmp_path, unbroken, point):
    status, error = run(tmp_path, before=POINTS[point])
    assert status == -signal.SIGKILL and error == ""
    assert files(tmp_path) != unbroken
    assert run(tmp_path, resume=True) == (0, "")
    after = files(tmp_path)
    assert set(after) == set(unbroken)
    different = [name for name in after if after[name] != unbroken[name]]
    assert not different, different


def test_each_checkpoint_leads_to_the_same_weights(tmp_path):
    options = {**OPTIONS, "save_total_limit": None, "save_steps": 1, "eval_steps": 1}
    whole = trainer_of(tmp_path, **options)
    whole.train()
    folders = checkpoints.checkpoint_folders(tmp_path)
    assert len(folders) == 9
    for folder in folders:
        trainer = trainer_of(tmp_path / "other", **options)
        shutil.rmtree(tmp_path / "other", ignore_errors=True)
        shutil.copytree(tmp_path, tmp_path / "other", ignore=shutil.ignore_patterns("other"))
        output = trainer.train(resume_from_checkpoint=folder)
        assert output.global_step == 9 and trainer.state == whole.state
        assert same_tensors(trainer.model.tensors, whole.model.tensors)


def test_a_training_that_was_stopped_stays_stopped(tmp_path):
    options = {**OPTIONS, "eval_strategy": "epoch", "save_strategy": "epoch", "learning_rate": 0.0, "num_train_epochs": 9}
    first = trainer_of(tmp_path, callbacks=[EarlyStoppingCallback(1)], **options)
    assert first.train().global_step == 6
    again = trainer_of(tmp_path, callbacks=[EarlyStoppingCallback(1)], **options)
    assert again.train(resume_from_checkpoint=True).global_step == 6 and again.state == first.state


# --- What cannot be resumed ------------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path):
    """The folder of a training with one checkpoint."""
    trainer_of(tmp_path, num_train_epochs=1).train()
    return tmp_path


def resume(folder, checkpoint=True, **options):
    return trainer_of(folder, **{"num_train_epochs": 1, **options}).train(resume_from_checkpoint=checkpoint)


CHANGES = {
    "a row": ({"rows": labeled_rows(seed=1)}, "train_dataset was .* is "),
    "an evaluation's row": ({"eval_rows": labeled_rows(8, seed=1)}, "eval_dataset was .* is "),
    "a rate": ({"learning_rate": 1e-3}, "learning_rate was 0.01, is 0.001"),
    "a seed": ({"seed": 1}, "seed was 42, is 1"),
    "a model": ({"model": tiny_model(seq_classif_dropout=0.5)}, "model was .* is "),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_training_with_other_data_or_options_is_not_resumed(saved, change):
    options, message = CHANGES[change]
    with pytest.raises(InputError, match=f"resumed with the data and the options it began with; in .*checkpoint-6 {message}"):
        resume(saved, **options)


def test_options_that_change_no_result_may_change(saved):
    assert resume(saved, save_total_limit=5, disable_tqdm=None).global_step == 6


def test_there_must_be_a_checkpoint(tmp_path):
    with pytest.raises(InputError, match="there must be a checkpoint to resume from; .* has none"):
        resume(tmp_path)
    for wrong in (5, "nowhere", b"x", ""):
        with pytest.raises(InputError, match="resume_from_checkpoint must be True or a checkpoint's folder; got"):
            resume(tmp_path, wrong)


FILES = ("config.json", "model.safetensors", checkpoints.OPTIMIZER, checkpoints.STATE)


@pytest.mark.parametrize("name", [*FILES, checkpoints.RESUME])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "one bit"])
def test_a_damaged_checkpoint_is_one_error_that_names_the_file(saved, name, damage):
    path = saved / "checkpoint-6" / name
    content = path.read_bytes()
    middle = len(content) // 2
    changed = {
        "empty": b"",
        "cut": content[:middle],
        "one bit": content[:middle] + bytes([content[middle] ^ 128]) + content[middle + 1 :],
    }
    path.unlink()
    if damage != "missing":
        path.write_bytes(changed[damage])
    with pytest.raises(CheckpointError, match=name):
        resume(saved)


@pytest.mark.parametrize("content", ['{"checksums": {}}', '{"checksums": 5}', "[]", '{"fingerprint": {}, "progress": {}}', "{"])
def test_a_state_that_says_nothing_is_one_error(saved, content):
    (saved / "checkpoint-6" / checkpoints.RESUME).write_text(content)
    with pytest.raises(CheckpointError, match="resume.json"):
        resume(saved)


def test_a_state_of_wrong_values_is_one_error(saved):
    folder = saved / "checkpoint-6"
    state = json.loads((folder / checkpoints.STATE).read_text())
    for name, value in (("global_step", "six"), ("log_history", 5), ("best_metric", [])):
        (folder / checkpoints.STATE).write_text(json.dumps({**state, name: value}))
        content = json.loads((folder / checkpoints.RESUME).read_text())
        content["checksums"][checkpoints.STATE] = checkpoints.checksum_of(folder / checkpoints.STATE)
        (folder / checkpoints.RESUME).write_text(json.dumps(content))
        with pytest.raises(CheckpointError, match=f"trainer_state.json is damaged: its {name} is"):
            resume(saved)


def test_a_sum_that_was_changed_is_damage_too(saved):
    path = saved / "checkpoint-6" / checkpoints.RESUME
    content = json.loads(path.read_text())
    content["progress"]["total_loss"] += 1
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="resume.json is damaged: its checksum is not its own"):
        resume(saved)


def test_a_checkpoint_is_a_model_too(saved):
    model = minibert.AutoModelForSequenceClassification.from_pretrained(saved / "checkpoint-6")
    assert model([[2, 5, 3]]).logits.shape == (1, 3)


def test_a_disk_that_is_full_leaves_the_checkpoints_there_are(tmp_path, monkeypatch):
    trainer = trainer_of(tmp_path, save_steps=3)
    save = checkpoints.save_tensors

    def full_at_six(path, tensors):
        if trainer.state.global_step == 6:
            raise ModelFileError(f"{path} cannot be written: No space left on device.")
        save(path, tensors)

    monkeypatch.setattr(checkpoints, "save_tensors", full_at_six)
    with pytest.raises(ModelFileError, match="checkpoint .*checkpoint-6 cannot be written: .* No space left"):
        trainer.train()
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-3"]
    monkeypatch.undo()
    assert trainer_of(tmp_path, save_steps=3).train(resume_from_checkpoint=True).global_step == 12


def test_a_folder_that_cannot_be_written_is_one_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelFileError, match="cannot be written"):
        trainer_of(tmp_path / "file").train()


def test_an_interrupted_training_leaves_the_weights_it_has(tmp_path, monkeypatch):
    step = TrainingLoop.step

    def interrupt(self, batches):
        if self.trainer.state.global_step == 4:
            raise KeyboardInterrupt
        return step(self, batches)

    monkeypatch.setattr(TrainingLoop, "step", interrupt)
    trainer = trainer_of(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    monkeypatch.undo()
    four = trainer_of(tmp_path, max_steps=12)  # the same schedule
    weights = trainer.model.tensors
    assert not same_tensors(weights, tiny_model().tensors) and four.state.global_step == 0
    trainer.save_model(tmp_path / "m")
    assert same_tensors(minibert.AutoModelForSequenceClassification.from_pretrained(tmp_path / "m").tensors, weights)
