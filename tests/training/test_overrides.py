"""What a user's subclass or callback defines is called, or is an error: never passed over in silence."""

import inspect

import numpy as np
import pytest
from training_rows import labeled_rows, same_tensors, tiny_model, trained, trainer_of

from minibert import InputError, InputTypeError, Trainer, TrainerCallback, TrainingArguments
from minibert.training.callbacks import EVENTS
from minibert.training.overrides import NEVER_CALLED, NO_EVENTS


def subclass(**methods):
    return type("MyTrainer", (Trainer,), methods)


def construct(cls, folder, **options):
    args = TrainingArguments(folder, max_steps=2, save_steps=1, eval_strategy="steps", eval_steps=1, disable_tqdm=True)
    return cls(tiny_model(), args, train_dataset=labeled_rows(), eval_dataset=labeled_rows(4), **options)


@pytest.mark.parametrize("name", NEVER_CALLED)
def test_a_method_that_is_never_called_is_an_error_with_the_way_out(tmp_path, name):
    with pytest.raises(
        InputError, match=f"MyTrainer has {name}, of transformers', never called here. {NEVER_CALLED[name][:20]}"
    ):
        construct(subclass(**{name: lambda self, *arguments: None}), tmp_path)


def test_all_of_them_are_named_once_each_with_their_ways_out(tmp_path):
    methods = dict.fromkeys(("compute_loss", "create_optimizer", "create_scheduler"), lambda self: None)
    with pytest.raises(
        InputError, match=r"compute_loss, create_optimizer, create_scheduler.*class_weights.*learning_rate"
    ) as caught:
        construct(subclass(**methods), tmp_path)
    assert str(caught.value).count("The optimizer is AdamW") == 1


def test_a_method_that_is_set_or_inherited_from_a_mixin_is_one_too(tmp_path):
    class Mixin:
        def compute_loss(self, model, inputs):
            return 0

    with pytest.raises(InputError, match="Mixed has compute_loss"):
        construct(type("Mixed", (Mixin, Trainer), {}), tmp_path)
    trainer = construct(Trainer, tmp_path)
    trainer.compute_loss = lambda model, inputs: 0
    for call in (trainer.train, trainer.evaluate):
        with pytest.raises(InputError, match="Trainer has compute_loss"):
            call()


@pytest.mark.parity
def test_every_method_of_transformers_trainer_is_here_or_refused_or_the_caller_s_alone():
    transformers = pytest.importorskip("transformers")
    methods = {name for name, value in vars(transformers.Trainer).items() if callable(value) and not name.startswith("__")}
    by_callers = "get_learning_rates get_num_trainable_parameters get_optimizer_group create_model_card push_to_hub end"
    own = {name for name in methods if hasattr(Trainer, name)}
    assert methods <= {*own, *NEVER_CALLED, *by_callers.split(), "hyperparameter_search"}
    assert not [name for name in NEVER_CALLED if hasattr(Trainer, name)]
    for name in ("log", "evaluate", "predict", "save_model"):  # `super().log(logs, start_time)` of a subclass
        theirs = list(inspect.signature(getattr(transformers.Trainer, name)).parameters)
        assert list(inspect.signature(getattr(Trainer, name)).parameters) == theirs


def test_methods_that_are_here_are_called_with_the_arguments_of_transformers(tmp_path):
    calls = []

    class MyTrainer(Trainer):
        def log(self, logs, start_time=None):
            calls.append("log")
            super().log(logs, start_time)

        def evaluate(self, eval_dataset=None, ignore_keys=None, metric_key_prefix="eval"):
            calls.append("evaluate")
            return super().evaluate(eval_dataset, ignore_keys, metric_key_prefix)

        def predict(self, test_dataset, ignore_keys=None, metric_key_prefix="test"):
            return super().predict(test_dataset, ignore_keys, metric_key_prefix)

        def save_model(self, output_dir=None, _internal_call=False):
            calls.append("save_model")
            super().save_model(output_dir, _internal_call)

    trainer = construct(MyTrainer, tmp_path)
    trainer.train()
    assert calls == [*("evaluate", "log", "save_model") * 2, "log"]
    trainer.evaluate({"a": labeled_rows(4), "b": labeled_rows(4)})
    assert calls[7:] == ["evaluate", "evaluate", "log", "evaluate", "log"]
    assert "test_loss" in trainer.predict(labeled_rows(4), ["hidden_states"]).metrics
    with pytest.raises(InputError, match="ignore_keys may not have logits, the predictions"):
        trainer.evaluate(ignore_keys=["logits"])
    with pytest.raises(InputTypeError, match="ignore_keys must be a list"):
        trainer.predict(labeled_rows(4), "logits")


# --- Callbacks -------------------------------------------------------------------------------------------------------


def test_every_event_of_a_callback_is_called(tmp_path):
    seen = []

    def event(name):
        return lambda self, args, state, control, **kwargs: seen.append(name)

    callback = type("All", (TrainerCallback,), {name: event(name) for name in EVENTS})
    trainer = construct(Trainer, tmp_path, callbacks=[callback])
    assert seen == ["on_init_end"]
    trainer.train()
    trainer.predict(labeled_rows(4))
    assert set(seen) == set(EVENTS)
    assert seen[3:6] == ["on_step_begin", "on_optimizer_step", "on_step_end"]


@pytest.mark.parity
def test_the_events_are_those_of_transformers(tmp_path):
    transformers = pytest.importorskip("transformers")
    theirs = {name for name in vars(transformers.TrainerCallback) if name.startswith("on_")}
    assert theirs == {*EVENTS, *NO_EVENTS, "on_push_begin"}  # nothing is ever pushed
    construct(Trainer, tmp_path, callbacks=[transformers.TrainerCallback(), transformers.PrinterCallback])


@pytest.mark.parametrize("name", NO_EVENTS)
def test_an_event_that_is_none_here_is_an_error(tmp_path, name):
    callback = type("Mine", (TrainerCallback,), {name: lambda self, *arguments, **options: None})
    with pytest.raises(InputError, match=f"Mine has {name}, never called here.*Use on_step_begin, on_optimizer_step or"):
        construct(Trainer, tmp_path, callbacks=[callback])
    with pytest.raises(InputError, match=f"Mine has {name}"):
        construct(Trainer, tmp_path).add_callback(callback())


def test_callbacks_are_removed_by_class_or_by_themselves(tmp_path):
    class Mine(TrainerCallback):
        pass

    one, two = Mine(), Mine()
    trainer = construct(Trainer, tmp_path, callbacks=[one, two])
    assert trainer.pop_callback(Mine) is one and two in trainer.callbacks
    trainer.remove_callback(two)
    assert two not in trainer.callbacks and trainer.pop_callback(Mine) is None


# --- The end of an epoch that a callback asks for ---------------------------------------------------------------------


class StopsEpoch(TrainerCallback):
    """Ends each epoch after its second step; `event` says at which point."""

    def __init__(self, event="on_step_end", steps=(2, 4, 6)):
        self.steps, self.ends, self.begins = steps, [], []
        setattr(self, event, self.stop)

    def stop(self, args, state, control, **kwargs):
        control.should_epoch_stop = state.global_step in self.steps

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.begins.append(state.global_step)

    def on_epoch_end(self, args, state, control, **kwargs):
        self.ends.append((state.global_step, state.epoch))


@pytest.mark.parametrize("event", ["on_step_end", "on_log", "on_evaluate", "on_save"])
def test_an_epoch_that_is_stopped_is_followed_by_the_next(tmp_path, event):
    callback = StopsEpoch(event)
    options = {"logging_steps": 1, "eval_strategy": "steps", "eval_steps": 1, "save_steps": 1}
    trainer = trainer_of(tmp_path, callbacks=[callback], num_train_epochs=3, **options)  # of six steps each
    trainer.train()
    assert callback.begins == [0, 2, 4]
    assert callback.ends == [(2, 2 / 6), (4, 1 + 2 / 6), (6, 2 + 2 / 6)]
    assert trainer.state.global_step == 6


@pytest.mark.parity
def test_a_stopped_epoch_is_that_of_transformers(tmp_path):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    tiny_model().save_pretrained(tmp_path / "model")
    options = {"num_train_epochs": 3, "per_device_train_batch_size": 4, "logging_strategy": "epoch", "eval_strategy": "epoch"}
    options |= {"save_strategy": "no", "disable_tqdm": True, "report_to": "none"}

    class Theirs(transformers.TrainerCallback):
        begins, ends = [], []
        on_step_end = StopsEpoch.stop
        on_epoch_begin, on_epoch_end = StopsEpoch.on_epoch_begin, StopsEpoch.on_epoch_end
        steps = (2, 9)

    reference = transformers.Trainer(
        transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "model"),
        transformers.TrainingArguments(str(tmp_path / "theirs"), use_cpu=True, **options),
        data_collator=lambda rows: {
            "input_ids": torch.tensor([row["input_ids"][:3] for row in rows]),
            "labels": torch.tensor([row["label"] for row in rows]),
        },
        train_dataset=labeled_rows(),
        eval_dataset=labeled_rows(4),
        callbacks=[Theirs],
    )
    reference.args.remove_unused_columns = False
    reference.train()
    callback = StopsEpoch(steps=Theirs.steps)
    trainer = trainer_of(tmp_path / "ours", callbacks=[callback], **options)
    trainer.train()
    assert callback.begins == Theirs.begins and np.allclose(callback.ends, Theirs.ends)

    def logged(state):
        return [(entry["step"], *("loss" in entry, "eval_loss" in entry)) for entry in state.log_history]

    assert logged(trainer.state) == logged(reference.state)


@pytest.mark.parametrize("resumed_at", [1, 2, 3, 5])
@pytest.mark.parametrize("event", ["on_step_end", "on_evaluate"])
def test_a_resumed_training_knows_which_epochs_were_stopped(tmp_path, resumed_at, event):
    def trainer(folder):
        options = {"num_train_epochs": 3, "save_steps": 1, "eval_strategy": "steps", "eval_steps": 1, "save_total_limit": None}
        return trainer_of(folder, callbacks=[StopsEpoch(event, steps=(2, 7))], **options)

    whole = trainer(tmp_path)
    whole.train()
    assert whole.state.global_step == 13  # 2 of the first epoch, 5 of the second, all 6 of the third
    again = trainer(tmp_path)
    again.train(resume_from_checkpoint=tmp_path / f"checkpoint-{resumed_at}")
    assert same_tensors(again.model.tensors, whole.model.tensors)
    assert again.state.log_history == whole.state.log_history


def test_a_checkpoint_that_does_not_say_its_epoch_is_resumed(tmp_path, monkeypatch):
    """As those that were written before an epoch could be stopped."""
    from minibert.training import checkpoints, loop

    def write(folder, save_model, checkpoint):
        for name in ("epoch", "epoch_steps"):
            checkpoint.progress.pop(name)
        checkpoints.write_checkpoint(folder, save_model, checkpoint)

    monkeypatch.setattr(loop, "write_checkpoint", write)
    trainer = trainer_of(tmp_path, save_steps=7)
    trainer.train()
    again = trainer_of(tmp_path, save_steps=7)
    again.train(resume_from_checkpoint=tmp_path / "checkpoint-7")
    assert same_tensors(again.model.tensors, trainer.model.tensors)
    assert same_tensors(again.model.tensors, trained(tmp_path / "other"))
