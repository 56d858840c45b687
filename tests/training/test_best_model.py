"""The best evaluation of a training: its checkpoint is kept and comes back."""

import shutil

import pytest
from training_rows import same_tensors, trainer_of

import minibert
from minibert import MinibertWarning, TrainerCallback

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
