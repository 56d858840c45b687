"""The best evaluation of a training: its checkpoint is kept and comes back, and without a better one the training stops early."""

import json
import shutil

import pytest
from training_rows import same_tensors, trainer_of

import minibert
from minibert import EarlyStoppingCallback, MinibertWarning, TrainerCallback
from minibert.training import checkpoints

STEPS = {"eval_strategy": "steps", "save_strategy": "steps", "eval_steps": 6, "save_steps": 6, "load_best_model_at_end": True}


class EvaluateAt(TrainerCallback):
    """An evaluation after a step that saves no checkpoint."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        control.should_evaluate |= state.global_step == self.step


def trainer_with(folder, figures, callbacks=None, **options):
    """A Trainer whose evaluations have these figures, by step."""
    trainer = trainer_of(folder, callbacks=callbacks, metric_for_best_model="figure", **{**STEPS, **options})
    trainer.compute_metrics = lambda prediction: {"figure": figures[trainer.state.global_step]}
    return trainer


def has_weights_of(trainer, folder):
    best = minibert.AutoModelForSequenceClassification.from_pretrained(folder)
    return same_tensors(trainer.model.tensors, best.tensors)


def test_an_evaluation_before_the_first_step_is_never_the_best(tmp_path):
    trainer = trainer_with(tmp_path, {0: 9.0, 6: 2.0, 12: 1.0}, eval_on_start=True)
    trainer.train()
    assert trainer.state.best_model_checkpoint == "checkpoint-6" and trainer.state.best_metric == 2
    assert has_weights_of(trainer, tmp_path / "checkpoint-6")


def test_a_best_evaluation_without_a_checkpoint_leaves_the_best_one_that_there_is(tmp_path):
    trainer = trainer_with(tmp_path, {6: 2.0, 8: 9.0, 12: 1.0}, [EvaluateAt(8)], save_total_limit=1)
    trainer.train()
    assert trainer.state.best_model_checkpoint == "checkpoint-6" and trainer.state.best_global_step == 8
    assert has_weights_of(trainer, tmp_path / "checkpoint-6")


def test_a_folder_of_an_earlier_training_is_not_the_best_checkpoint(tmp_path):
    trainer_of(tmp_path, save_steps=8).train()
    assert (tmp_path / "checkpoint-8").is_dir()
    trainer = trainer_with(tmp_path, {6: 2.0, 8: 9.0, 12: 1.0}, [EvaluateAt(8)])
    trainer.train()
    assert trainer.state.best_model_checkpoint == "checkpoint-6"


def test_without_a_best_checkpoint_the_last_weights_stay_and_a_warning_says_so(tmp_path):
    trainer = trainer_with(tmp_path, {3: 9.0, 6: 2.0, 12: 1.0}, [EvaluateAt(3)])
    with pytest.warns(MinibertWarning, match="none was saved at the step of a best evaluation. The model has the weights of"):
        trainer.train()
    assert trainer.state.best_model_checkpoint is None and has_weights_of(trainer, tmp_path / "checkpoint-12")


def test_a_best_checkpoint_that_was_deleted_is_a_warning(tmp_path):
    class Delete(TrainerCallback):
        def on_save(self, args, state, control, **kwargs):
            shutil.rmtree(tmp_path / "checkpoint-6", ignore_errors=True)

    trainer = trainer_with(tmp_path, {6: 2.0, 12: 1.0}, [Delete])
    with pytest.warns(MinibertWarning, match="there is no .*checkpoint-6. The model has the weights of the last step"):
        trainer.train()
    assert has_weights_of(trainer, tmp_path / "checkpoint-12")


# --- Which checkpoints are kept --------------------------------------------------------------------------------------


def names(folder):
    return sorted((path.name for path in folder.iterdir()), key=lambda name: int(name.split("-")[1]))


@pytest.mark.parametrize("limit", range(1, 6))
def test_the_last_checkpoints_are_kept(tmp_path, limit):
    trainer_of(tmp_path, save_steps=3, save_total_limit=limit).train()
    assert names(tmp_path) == [f"checkpoint-{step}" for step in (3, 6, 9, 12)[-limit:]]


@pytest.mark.parametrize(("limit", "kept"), [(1, (12,)), (2, (6, 12)), (3, (4, 6, 12)), (5, (4, 6, 12, 400, 500))])
def test_the_checkpoint_just_written_outlives_those_of_an_earlier_training(tmp_path, limit, kept):
    for step in (4, 400, 500):
        (tmp_path / f"checkpoint-{step}").mkdir()
    trainer_of(tmp_path, save_steps=6, save_total_limit=limit).train()
    assert names(tmp_path) == [f"checkpoint-{step}" for step in kept]


def test_the_best_checkpoint_outlives_those_of_an_earlier_training(tmp_path):
    (tmp_path / "checkpoint-500").mkdir()
    trainer = trainer_with(tmp_path, {3: 1.0, 6: 3.0, 9: 2.0, 12: 1.0}, save_steps=3, eval_steps=3, save_total_limit=1)
    trainer.train()
    assert names(tmp_path) == ["checkpoint-6", "checkpoint-12"]
    assert has_weights_of(trainer, tmp_path / "checkpoint-6")


# --- Early stopping --------------------------------------------------------------------------------------------------

SMALL_STEPS = [0.5, 0.505, 0.51, 0.515, 0.52, 0.525, 0.53, 0.535, 0.54]
FIGURES = {
    "small improvements": (SMALL_STEPS, 3, 0.01),
    "no threshold": (SMALL_STEPS, 3, 0.0),
    "a large one between": ([0.5, 0.505, 0.51, 0.6, 0.605, 0.59, 0.58, 0.9, 0.9], 3, 0.01),
    "worse ones": ([0.5, 0.4, 0.45, 0.51, 0.3, 0.52, 0.1, 0.1, 0.1], 2, 0.0),
    "no numbers": ([float("nan"), 0.5, float("nan"), 0.4, 0.6, float("nan"), float("nan"), 0.1, 0.7], 3, 0.01),
}


def evaluations_until_stopped(folder, figures, patience, threshold):
    trainer = trainer_of(
        folder,
        callbacks=[EarlyStoppingCallback(patience, threshold)],
        eval_strategy="epoch",
        save_strategy="no",
        metric_for_best_model="figure",
        num_train_epochs=len(figures),
        per_device_train_batch_size=24,
    )
    trainer.compute_metrics = lambda prediction: {"figure": figures[trainer.state.global_step - 1]}
    trainer.train()
    return trainer.state.global_step


def test_small_improvements_stop_a_training(tmp_path):
    assert evaluations_until_stopped(tmp_path, SMALL_STEPS, 3, 0.01) == 4


@pytest.mark.parity
@pytest.mark.parametrize("case", FIGURES)
def test_a_training_stops_when_transformers_stops(tmp_path, case):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    figures, patience, threshold = FIGURES[case]
    args = transformers.TrainingArguments(
        str(tmp_path), eval_strategy="epoch", metric_for_best_model="figure", greater_is_better=True
    )
    state, control = transformers.TrainerState(), transformers.TrainerControl()
    callback = transformers.EarlyStoppingCallback(patience, threshold)
    count = 0
    while count < len(figures) and not control.should_training_stop:
        metrics = {"eval_figure": figures[count]}
        callback.on_evaluate(args, state, control, metrics)
        keeper = type("", (), {"args": args, "state": state})()
        transformers.Trainer._determine_best_metric(keeper, metrics, trial=None)
        count += 1
    assert evaluations_until_stopped(tmp_path, figures, patience, threshold) == count


def two_callbacks_trainer(folder):
    callbacks = [EarlyStoppingCallback(9, 0.15), EarlyStoppingCallback(9)]
    figures = {6: 0.5, 12: 0.6, 18: 0.7, 24: 0.4}
    trainer = trainer_with(folder, figures, callbacks, num_train_epochs=4)
    return trainer, callbacks


def test_two_callbacks_of_one_class_keep_their_own_counts(tmp_path):
    trainer, callbacks = two_callbacks_trainer(tmp_path)
    trainer.train()
    assert [callback.count for callback in callbacks] == [3, 1]
    again, resumed = two_callbacks_trainer(tmp_path)
    again.train(resume_from_checkpoint=tmp_path / "checkpoint-18")
    assert [callback.count for callback in resumed] == [3, 1] and again.state == trainer.state


def test_one_state_of_a_former_checkpoint_is_that_of_all_of_its_class(tmp_path):
    two_callbacks_trainer(tmp_path)[0].train()
    folder = tmp_path / "checkpoint-18"
    state = json.loads((folder / checkpoints.STATE).read_text())
    assert state["stateful_callbacks"] == {"EarlyStoppingCallback": [{"count": 2}, {"count": 0}]}
    state["stateful_callbacks"] = {"EarlyStoppingCallback": {"count": 5, "best": 0.7}}
    (folder / checkpoints.STATE).write_text(json.dumps(state))
    content = json.loads((folder / checkpoints.RESUME).read_text())
    content["checksums"][checkpoints.STATE] = checkpoints.checksum_of(folder / checkpoints.STATE)
    (folder / checkpoints.RESUME).write_text(json.dumps(content))
    again, resumed = two_callbacks_trainer(tmp_path)
    again.train(resume_from_checkpoint=folder)
    assert [callback.count for callback in resumed] == [6, 6]
