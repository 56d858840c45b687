"""The Trainer: each option has an effect; data in every form; losses and saved folders against torch and transformers."""

import json

import numpy as np
import pytest
from checkpoints import WORDS, write_tokenizer
from training_batches import HEADS, batch, model_of
from training_rows import CLASSES, accuracy_of, labeled_rows, same_tensors, tiny_model, trained, trainer_of

import minibert
from minibert import (
    AutoTokenizer,
    DataCollatorForLanguageModeling,
    DataCollatorWithPadding,
    EarlyStoppingCallback,
    InputError,
    InputTypeError,
    ModelFileError,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    TrainingError,
)
from minibert.training.data import Rows, epoch_batches
from minibert.training.ignored_options import MEANINGLESS, REFUSALS, TRAINER_REFUSALS

# --- What is trained -------------------------------------------------------------------------------------------------


def test_a_trained_model_knows_its_rows(tmp_path):
    model = tiny_model(dropout=0.0, attention_dropout=0.0, seq_classif_dropout=0.0)
    trainer = trainer_of(tmp_path, model, num_train_epochs=60)
    before = trainer.evaluate()
    output = trainer.train()
    after = trainer.evaluate()
    assert after["eval_accuracy"] == 1 and after["eval_loss"] < 0.1 < before["eval_loss"]
    assert output.global_step == 360 and output.metrics["epoch"] == 60
    logits, labels, metrics = trainer.predict(labeled_rows())
    assert np.array_equal(logits.argmax(axis=1), labels) and metrics["test_accuracy"] == 1
    assert trainer.model is model and np.array_equal(model([[2, 5, 3]]).logits, trainer.model([[2, 5, 3]]).logits)


def test_the_same_options_give_the_same_bits(tmp_path):
    assert same_tensors(trained(tmp_path), trained(tmp_path))


def test_the_same_bits_on_one_thread_and_on_two(tmp_path):
    threads = minibert.get_num_threads()
    try:
        weights = []
        for count in (1, 2):
            minibert.set_num_threads(count)
            weights.append(trained(tmp_path, model=tiny_model("bert", hidden_size=48, intermediate_size=100)))
    finally:
        minibert.set_num_threads(threads)
    assert same_tensors(*weights)


OPTIONS = {  # an option -> a value that must change the weights, and options that both trainings have
    "learning_rate": (1e-3, {}),
    "num_train_epochs": (1, {}),
    "max_steps": (5, {}),
    "per_device_train_batch_size": (8, {}),
    "gradient_accumulation_steps": (2, {}),
    "lr_scheduler_type": ("cosine", {}),
    "warmup_steps": (0.5, {}),
    "warmup_ratio": (0.5, {}),
    "weight_decay": (0.5, {}),
    "adam_beta1": (0.5, {}),
    "adam_beta2": (0.9, {}),
    "adam_epsilon": (0.1, {}),
    "max_grad_norm": (0.01, {}),
    "label_smoothing_factor": (0.3, {}),
    "seed": (7, {}),
    "data_seed": (7, {}),
    "dataloader_drop_last": (True, {"per_device_train_batch_size": 5}),
    "train_sampling_strategy": ("sequential", {}),
    "group_by_length": (True, {}),
    "class_weights": ([1, 2, 9], {}),
    "layerwise_lr_decay": (0.5, {}),
    "freeze_layers": (1, {}),
    "bf16": (True, {}),
    "load_best_model_at_end": (True, {"eval_strategy": "epoch", "save_strategy": "epoch", "num_train_epochs": 4}),
}


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_changes_the_weights(tmp_path, option):
    value, others = OPTIONS[option]
    if option == "load_best_model_at_end":  # the first evaluation is the best of this figure
        others = {**others, "metric_for_best_model": "accuracy", "greater_is_better": False, "learning_rate": 0.03}
    assert not same_tensors(trained(tmp_path / "a", **others), trained(tmp_path / "b", **{**others, option: value}))


@pytest.mark.parametrize("rate", ["dropout", "attention_dropout", "seq_classif_dropout"])
def test_dropout_is_the_configuration_s(tmp_path, rate):
    assert not same_tensors(trained(tmp_path, model=tiny_model()), trained(tmp_path, model=tiny_model(**{rate: 0.4})))


def test_frozen_layers_stay_as_they_were(tmp_path):
    before = tiny_model().tensors
    after = trained(tmp_path, freeze_layers=1)
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed and not any(name.startswith(("embeddings.", "transformer.layer.0.")) for name in changed)
    assert any(name.startswith("transformer.layer.1.") for name in changed)


def test_accumulated_micro_batches_are_one_batch(tmp_path):
    """Also if labels are ignored, or weighted: each counts as in one batch of all."""
    rows = labeled_rows()
    for index in range(0, len(rows), 5):
        rows[index]["label"] = -100
    off = {"dropout": 0.0, "attention_dropout": 0.0, "seq_classif_dropout": 0.0}
    options = {"rows": rows, "class_weights": [1, 2, 3], "label_smoothing_factor": 0.1, "learning_rate": 1e-3}
    options["adam_epsilon"] = 1e-3  # the gradient of a key's bias is 0 but for rounding, which Adam would divide by itself
    one = trained(tmp_path, model=tiny_model(**off), per_device_train_batch_size=8, **options)
    two = trained(tmp_path, model=tiny_model(**off), per_device_train_batch_size=4, gradient_accumulation_steps=2, **options)
    for name in one:
        assert np.abs(one[name] - two[name]).max() < 1e-4, name


@pytest.mark.parametrize("name", HEADS)
def test_every_head_is_trained_and_evaluated(tmp_path, name):
    inputs, labels = batch(name)
    columns = {**inputs, **labels}
    args = TrainingArguments(tmp_path, per_device_train_batch_size=len(inputs["input_ids"]), max_steps=3, disable_tqdm=True)
    trainer = Trainer(model_of(name), args, train_dataset=columns, eval_dataset=columns)
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    assert trainer.evaluate()["eval_loss"] != before
    predictions = trainer.predict(columns).predictions
    heads = trainer.model.loss_heads(trainer.model.config)
    assert isinstance(predictions, tuple) == (sum(len(head.outputs) for head in heads) > 1)


# --- Data ------------------------------------------------------------------------------------------------------------


class Indexed:
    """As a datasets.Dataset: rows by index, and other columns beside."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return {**self.rows[index], "sentence": "a movie", "idx": index}


def test_rows_may_be_a_list_columns_or_anything_indexed(tmp_path):
    rows = labeled_rows()
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    with_masks = [{**row, "attention_mask": [1] * len(row["input_ids"])} for row in labeled_rows(label="labels")]
    arrays = [{"input_ids": np.array(row["input_ids"]), "label": np.int64(row["label"])} for row in rows]
    expected = trained(tmp_path)
    for dataset in (columns, Indexed(rows), with_masks, arrays, tuple(rows)):
        assert same_tensors(trained(tmp_path, rows=dataset, eval_rows=rows), expected)


def test_batches_of_like_lengths_hold_every_row_once_and_little_padding():
    random = np.random.default_rng(0)
    rows = Rows("rows", [{"input_ids": [1] * random.integers(1, 40)} for _ in range(203)])
    lengths = rows.lengths()

    def batches(sampling, epoch=0, drop_last=False):
        return epoch_batches(rows, 8, sampling=sampling, seed=3, epoch=epoch, drop_last=drop_last)

    def padding(sampling):
        return sum((lengths[indices].max() - lengths[indices]).sum() for indices in batches(sampling))

    for sampling in ("random", "group_by_length", "sequential"):
        assert sorted(np.concatenate(batches(sampling))) == list(range(203))
        assert {len(indices) for indices in batches(sampling, drop_last=True)} == {8}
    assert padding("group_by_length") * 5 < padding("random")
    for sampling in ("random", "group_by_length"):
        assert not np.array_equal(np.concatenate(batches(sampling)), np.concatenate(batches(sampling, epoch=1)))


def test_a_collator_of_the_caller_s_is_used(tmp_path):
    folder = write_tokenizer(tmp_path, "distilbert")
    collator = DataCollatorWithPadding(tokenizer=AutoTokenizer.from_pretrained(folder))
    seen = []

    def collate(features):
        seen.append(len(features))
        return collator(features)

    args = TrainingArguments(tmp_path, max_steps=2, disable_tqdm=True, save_strategy="no", learning_rate=1e-2)
    trainer = Trainer(tiny_model(), args, data_collator=collate, train_dataset=labeled_rows())
    trainer.train()
    assert seen == [8, 8]
    expected = trained(tmp_path, num_train_epochs=3, max_steps=2, per_device_train_batch_size=8)
    assert same_tensors(trainer.model.tensors, expected)


def test_masks_of_words_depend_on_seed_and_step_alone(tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(write_tokenizer(tmp_path, "distilbert"))
    collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.5)
    rows = [{"input_ids": row["input_ids"]} for row in labeled_rows(200)]
    batch = collator.with_key((0, 0, 1))(rows)
    again, other = collator.with_key((0, 0, 1))(rows), collator.with_key((0, 0, 2))(rows)
    assert np.array_equal(batch["input_ids"], again["input_ids"]) and not np.array_equal(batch["labels"], other["labels"])
    chosen, original = batch["labels"] != -100, DataCollatorWithPadding(tokenizer)(rows)["input_ids"]
    assert np.array_equal(batch["labels"][chosen], original[chosen])
    assert np.array_equal(batch["input_ids"][~chosen], original[~chosen])
    assert not chosen[np.isin(original, (0, 2, 3))].any()  # padding, [CLS], [SEP]
    assert 0.45 < chosen.sum() / (~np.isin(original, (0, 2, 3))).sum() < 0.55
    assert 0.75 < (batch["input_ids"][chosen] == tokenizer.mask_token_id).mean() < 0.85
    args = TrainingArguments(tmp_path, max_steps=4, disable_tqdm=True, save_strategy="no")
    models = [tiny_model(head="ForMaskedLM") for _ in range(2)]
    for model in models:
        Trainer(model, args, data_collator=collator, train_dataset=rows).train()
    assert same_tensors(models[0].tensors, models[1].tensors)


# --- Callbacks, logs, evaluations ------------------------------------------------------------------------------------


class Recorder(TrainerCallback):
    def __init__(self):
        self.events = []

    def on_log(self, args, state, control, logs=None, **kwargs):
        self.events.append(("log", state.global_step, *logs))

    def on_evaluate(self, args, state, control, metrics=None, **kwargs):
        self.events.append(("evaluate", state.global_step))

    def on_save(self, args, state, control, **kwargs):
        self.events.append(("save", state.global_step))

    def on_epoch_end(self, args, state, control, **kwargs):
        self.events.append(("epoch", state.global_step))


def test_logs_evaluations_and_checkpoints_come_when_they_are_due(tmp_path):
    recorder = Recorder()
    options = {"logging_steps": 5, "logging_first_step": True, "eval_strategy": "steps", "eval_steps": 4, "save_steps": 0.5}
    trainer_of(tmp_path, callbacks=[recorder], **options).train()
    events = [event[:2] for event in recorder.events]
    assert [step for event, step in events if event == "epoch"] == [6, 12]
    assert [step for event, step in events if event == "evaluate"] == [4, 8, 12]
    assert [step for event, step in events if event == "save"] == [6, 12]
    losses = [event[1] for event in recorder.events if "loss" in event[2:]]
    assert losses == [1, 5, 10]


def test_a_callback_may_stop_the_training(tmp_path):
    class Stop(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            control.should_training_stop = state.global_step == 3

    trainer = trainer_of(tmp_path, callbacks=[Stop])
    assert trainer.train().global_step == 3


def test_early_stopping_waits_for_its_patience(tmp_path):
    """With a learning rate of 0 no evaluation is better than the first."""
    for patience in (1, 3):
        options = {"eval_strategy": "epoch", "metric_for_best_model": "loss", "learning_rate": 0.0, "num_train_epochs": 9}
        trainer = trainer_of(tmp_path, callbacks=[EarlyStoppingCallback(patience)], **options)
        trainer.train()
        assert trainer.state.epoch == 1 + patience


@pytest.mark.parametrize("threshold", [0.0, 5.0])
def test_early_stopping_counts_what_is_better_by_no_more_than_its_threshold(tmp_path, threshold):
    callback = EarlyStoppingCallback(1, early_stopping_threshold=threshold)
    options = {"eval_strategy": "epoch", "metric_for_best_model": "loss", "learning_rate": 1e-3, "num_train_epochs": 4}
    trainer = trainer_of(tmp_path, callbacks=[callback], lr_scheduler_type="constant", **options)
    trainer.train()
    assert (trainer.state.epoch > 2) == (threshold == 0)


def test_the_best_weights_come_back_and_their_checkpoint_is_kept(tmp_path):
    options = {"eval_strategy": "epoch", "save_strategy": "epoch", "save_total_limit": 1, "num_train_epochs": 4}
    options |= {"load_best_model_at_end": True, "metric_for_best_model": "step", "greater_is_better": False}
    trainer = trainer_of(tmp_path, **options)
    trainer.compute_metrics = lambda prediction: {"step": abs(trainer.state.global_step - 6)}  # the first is the best
    trainer.train()
    assert trainer.state.best_model_checkpoint == "checkpoint-6" and trainer.state.best_metric == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-24", "checkpoint-6"]
    best = minibert.AutoModelForSequenceClassification.from_pretrained(tmp_path / "checkpoint-6")
    assert same_tensors(trainer.model.tensors, best.tensors)


def test_any_figure_is_better_than_one_that_is_no_number(tmp_path):
    options = {"eval_strategy": "epoch", "metric_for_best_model": "figure", "num_train_epochs": 3}
    trainer = trainer_of(tmp_path, **options)
    figures = iter([float("nan"), 0.5, float("nan")])
    trainer.compute_metrics = lambda prediction: {"figure": next(figures)}
    trainer.train()
    assert trainer.state.best_metric == 0.5 and trainer.state.best_global_step == 12


def test_only_the_best_checkpoints_are_saved_if_asked(tmp_path):
    options = {"eval_strategy": "epoch", "save_strategy": "best", "num_train_epochs": 3}
    trainer = trainer_of(tmp_path, metric_for_best_model="step", greater_is_better=False, **options)
    trainer.compute_metrics = lambda prediction: {"step": trainer.state.global_step}
    trainer.train()
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-6"]


def test_progress_is_a_line_and_evaluations_are_lines(tmp_path, capsys):
    trainer_of(tmp_path, disable_tqdm=False, eval_strategy="epoch").train()
    error = capsys.readouterr().err
    lines = [line for line in error.replace("\r", "\n").splitlines() if line.startswith("epoch")]
    assert len(lines) == 2 and lines[0].startswith("epoch 1.00  step 6  loss ") and "accuracy" in lines[0]
    trainer_of(tmp_path, disable_tqdm=None).train()  # stderr is no terminal here
    assert capsys.readouterr().err == ""


def test_a_loss_of_nan_names_the_step_its_rows_and_the_last_checkpoint(tmp_path):
    rows = labeled_rows()
    model = tiny_model(head="ForSequenceClassification", problem_type="regression", num_labels=1)
    for index, row in enumerate(rows):
        row["label"] = 1e30 if index == 13 else 1.0  # whose square is infinite in float32
    trainer = trainer_of(tmp_path, model, rows, save_steps=1, num_train_epochs=9)
    trainer.compute_metrics = None
    with pytest.raises(
        TrainingError, match=r"loss is inf at step (\d+), whose rows of train_dataset are ([\d, ]+), .*"
    ) as caught:
        trainer.train()
    step, named = int(str(caught.value).split("step ")[1].split(",")[0]), str(caught.value).split("are ")[1]
    assert "13" in named
    last = f"The last good checkpoint is {tmp_path / f'checkpoint-{step - 1}'}." if step > 1 else "There is no checkpoint yet."
    assert str(caught.value).endswith(last)


# --- Figures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parity
def test_figures_are_printed_and_written_as_by_transformers(tmp_path, capsys):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    metrics = {"eval_loss": 0.123456, "eval_runtime": 62.3456, "eval_samples": 5, "eval_f1": 1.0, "epoch": 2.0}
    written = {}
    theirs = transformers.Trainer(
        transformers.BertModel(transformers.BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1)),
        transformers.TrainingArguments(str(tmp_path / "theirs"), use_cpu=True, report_to="none"),
    )
    (tmp_path / "theirs").mkdir(exist_ok=True)
    for trainer in (theirs, trainer_of(tmp_path / "ours")):
        capsys.readouterr()
        trainer.log_metrics("eval", metrics)
        trainer.save_metrics("eval", metrics)
        trainer.save_metrics("test", {"test_loss": 1.5})
        trainer.save_metrics("train", {"train_loss": 2.5}, combined=False)
        written[trainer] = (
            capsys.readouterr().out,
            {path.name: json.loads(path.read_text()) for path in (tmp_path / trainer.args.output_dir).glob("*.json")},
        )
        assert trainer.is_world_process_zero() and trainer.is_local_process_zero()
    reference, ours = written.values()
    assert ours == reference


@pytest.mark.parametrize(
    "split, metrics", [("a/b", {}), ("", {}), (5, {}), ("eval", 5), ("eval", {1: 2}), ("eval", {"a": set()})]
)
def test_figures_have_a_name_and_are_a_dictionary(tmp_path, split, metrics):
    with pytest.raises(InputTypeError, match="split must be a name|metrics must be a dictionary of names and numbers"):
        trainer_of(tmp_path).save_metrics(split, metrics)


# --- Against the reference -------------------------------------------------------------------------------------------


def without_dropout(model_type):
    names = {"bert": ("hidden_dropout_prob", "attention_probs_dropout_prob")}
    return dict.fromkeys(names.get(model_type, ("dropout", "attention_dropout", "seq_classif_dropout")), 0.0)


@pytest.mark.parity
@pytest.mark.parametrize("model_type", ["bert", "distilbert"])
def test_fifty_steps_have_the_losses_of_torch_in_float64(tmp_path, model_type):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    model = tiny_model(model_type, initializer_range=0.1, **without_dropout(model_type))
    model.save_pretrained(tmp_path)
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path, attn_implementation="eager").double()
    decayed = [p for name, p in theirs.named_parameters() if p.ndim > 1]
    plain = [p for name, p in theirs.named_parameters() if p.ndim == 1]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=5e-3)
    scheduler = transformers.get_linear_schedule_with_warmup(optimizer, 5, 50)
    rows = labeled_rows(80)
    expected = []
    dataset = Rows("rows", rows)
    for step in range(50):
        batches = epoch_batches(dataset, 8, sampling="random", seed=42, epoch=step // 10, drop_last=False)
        features = DataCollatorWithPadding(None)([rows[index] for index in batches[step % 10]])
        loss = theirs(**{name: torch.tensor(values) for name, values in features.items()}).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        expected.append(loss.item())
    options = {"num_train_epochs": 5, "per_device_train_batch_size": 8, "learning_rate": 5e-3, "weight_decay": 0.01}
    trainer = trainer_of(tmp_path, model, rows, logging_steps=1, warmup_steps=5, save_strategy="no", **options)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert np.abs(np.array(losses) - expected).max() < 1e-4
    assert losses[-1] < losses[0]


@pytest.mark.parity
@pytest.mark.parametrize("model_type", ["bert", "distilbert", "electra", "roberta", "longformer", "mpnet"])
def test_transformers_loads_the_saved_folder_and_evaluates_the_same(tmp_path, model_type):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    write_tokenizer(tmp_path, model_type)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    trainer = trainer_of(tmp_path, tiny_model(model_type), label_smoothing_factor=0.1)
    trainer.processing_class = tokenizer
    trainer.train()
    trainer.save_model()
    trainer.save_state()
    ours = trainer.evaluate(labeled_rows(21, seed=5))
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path)
    reference = transformers.Trainer(
        theirs,
        transformers.TrainingArguments(str(tmp_path / "t"), use_cpu=True, report_to="none", label_smoothing_factor=0.1),
        eval_dataset=labeled_rows(21, seed=5),
        processing_class=transformers.AutoTokenizer.from_pretrained(tmp_path),
        compute_metrics=accuracy_of,
    ).evaluate()
    for figure in ("eval_loss", "eval_accuracy"):
        assert ours[figure] == pytest.approx(reference[figure], abs=1e-5)
    state = transformers.TrainerState.load_from_json(str(tmp_path / "trainer_state.json"))
    assert state.global_step == 12 and state.log_history == json.loads(json.dumps(trainer.state.log_history))[:-1]


# --- Mistakes --------------------------------------------------------------------------------------------------------

ARGUMENTS = {
    "a rate below 0": ({"learning_rate": -1}, InputError, "learning_rate must be a number, 0 or more; got -1"),
    "text for a rate": ({"learning_rate": "fast"}, InputTypeError, "learning_rate must be a number, 0 or more; got 'fast'"),
    "no rows": ({"per_device_train_batch_size": 0}, InputError, "per_device_train_batch_size must be an integer from 1 up"),
    "another schedule": ({"lr_scheduler_type": "step"}, InputError, "must be 'linear', 'cosine', 'constant'.* got 'step'"),
    "half a step": ({"warmup_steps": 1.5}, InputError, "warmup_steps must be an integer, or a fraction below 1; got 1.5"),
    "another optimizer": ({"optim": "adafactor"}, InputError, "optim must be 'adamw_torch' or .* got 'adafactor'"),
    "half precision": ({"fp16": True}, InputError, "fp16 must be False or None"),
    "the model alone": ({"save_only_model": True}, InputError, "save_only_model must be False or None: a checkpoint always"),
    "a former name": (
        {"evaluation_strategy": "epoch", "eval_strategy": "epoch"},
        InputTypeError,
        "evaluation_strategy is the former name of eval_strategy; got both",
    ),
    "almost a former name": ({"evalstrategy": "epoch"}, InputTypeError, "Did you mean 'eval_strategy'\\?"),
    "the hub": ({"push_to_hub": True}, InputError, "push_to_hub must be False"),
    "an unknown option": (
        {"learning_rat": 1},
        InputTypeError,
        "unexpected keyword argument 'learning_rat'. It takes output_dir",
    ),
    "no folder": ({"output_dir": ""}, InputError, "a folder's name must have a character"),
    "the best of nothing": ({"load_best_model_at_end": True}, InputError, "a checkpoint for each evaluation"),
    "the best of others": (
        {"load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 3, "save_steps": 4},
        InputError,
        "save_steps equal to eval_steps; got 4 and 3",
    ),
    "weights of text": ({"class_weights": "balanced"}, InputTypeError, "class_weights must be a list of numbers"),
}


@pytest.mark.parametrize("mistake", ARGUMENTS)
def test_a_wrong_option_gets_the_rule_and_what_came(mistake):
    options, error, message = ARGUMENTS[mistake]
    with pytest.raises(error, match=message):
        TrainingArguments(**options)


def test_the_former_name_of_eval_strategy_is_read():
    assert TrainingArguments(evaluation_strategy="epoch").eval_strategy == "epoch"
    assert TrainingArguments(per_device_train_batch_size=5).train_batch_size == 5
    assert TrainingArguments(per_device_eval_batch_size=6).eval_batch_size == 6


@pytest.mark.parametrize("name", [*REFUSALS, *TRAINER_REFUSALS])
def test_each_refusal_has_its_own_reason_and_ends_with_what_to_do(tmp_path, name):
    refusal = {**REFUSALS, **TRAINER_REFUSALS}[name]
    with pytest.raises(InputError, match=rf"^{name} must be .*: {refusal.reason}; got 'x'. \w.*\.$") as caught:
        if name in REFUSALS:
            TrainingArguments(tmp_path, **{name: "x"})
        else:
            Trainer(tiny_model(), TrainingArguments(tmp_path), **{name: "x"})
    assert str(caught.value).endswith(refusal.fix)


def test_an_option_that_is_set_later_is_checked_too(tmp_path):
    trainer = trainer_of(tmp_path)
    trainer.args.learning_rate = "fast"
    with pytest.raises(InputTypeError, match="learning_rate must be a number"):
        trainer.train()


@pytest.mark.parity
def test_the_names_and_defaults_are_those_of_transformers():
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    from dataclasses import fields

    from minibert.training.arguments import READERS

    args, own = TrainingArguments(), {"class_weights", "layerwise_lr_decay", "freeze_layers", "group_by_length", "warmup_ratio"}
    own |= {"distillation_temperature", "distillation_weight", "distillation_hidden_weight", "distillation_layers", "kernels"}
    theirs = transformers.TrainingArguments("trainer_output", use_cpu=True)
    names = {field.name for field in fields(theirs)}
    assert set(READERS) - own <= names
    assert names <= {*READERS, *REFUSALS, *MEANINGLESS}
    for name in set(READERS) - own:
        reference = getattr(theirs, name)
        if name == "disable_tqdm":  # theirs is decided at once
            continue
        assert getattr(args, name) == getattr(reference, "value", reference), name
    assert TrainingArguments(bf16=None, fp16=None, report_to=None, neftune_noise_alpha=None)


TRAINERS = {
    "a model's name": ({"model": "bert"}, InputTypeError, "model must be a model of minibert, with a head; got 'bert'"),
    "no head": ({"model": "bare"}, InputError, "a DistilBertModel has no head to train"),
    "transformers' arguments": ({"args": {}}, InputTypeError, "args must be minibert's TrainingArguments"),
    "a text": ({"train_dataset": "train.tsv"}, InputTypeError, "train_dataset must be a list of rows"),
    "no row": ({"train_dataset": []}, InputError, "train_dataset must have a row; got none"),
    "columns of two lengths": ({"train_dataset": {"input_ids": [[1]], "label": []}}, InputError, "must be of one length"),
    "texts": ({"train_dataset": [{"text": "a"}]}, InputError, "must have input_ids; row 0 has .*Tokenize the texts first"),
    "a row that is none": ({"train_dataset": [5]}, InputTypeError, "must be a dictionary; row 0 is 5"),
    "no labels": ({"train_dataset": [{"input_ids": [2, 3]}]}, InputError, "takes labels; got none"),
    "a class too many": ({"train_dataset": [{"input_ids": [2, 3], "label": CLASSES}]}, InputError, "from 0 to 2"),
    "a label that is a word": ({"train_dataset": [{"input_ids": [2], "label": "good"}]}, InputError, "labels must be numbers"),
    "two kinds of rows": (
        {"train_dataset": [{"input_ids": [2], "label": 1}, {"input_ids": [2]}]},
        InputError,
        "the rows of a batch must have the same columns",
    ),
    "no callback": ({"callbacks": [5]}, InputTypeError, "a callback has methods such as on_log"),
    "no function": ({"compute_metrics": 5}, InputTypeError, "compute_metrics must be a function; got 5"),
    "an optimizer": ({"optimizers": (1, 2)}, InputError, "optimizers must be"),
    "two tokenizers": ({"tokenizer": print, "processing_class": print}, InputTypeError, "former name of processing_class; got"),
    "an unknown one": ({"optimiser": None}, InputTypeError, "'optimiser'. It takes model, args, .*, peft_config, teacher\\."),
    "a model of a function": (
        {"model": None, "model_init": print},
        InputError,
        "model_init must be None: .* Pass model=model_",
    ),
    "no model": ({"model": None}, InputTypeError, "model must be a model of minibert, with a head; got None"),
}


@pytest.mark.parametrize("mistake", TRAINERS)
def test_a_mistake_gets_the_rule_and_what_came(tmp_path, mistake):
    changes, error, message = TRAINERS[mistake]
    changes = {**changes, **({"model": tiny_model(head="Model")} if changes.get("model") == "bare" else {})}
    args = TrainingArguments(tmp_path, disable_tqdm=True)
    with pytest.raises(error, match=message):
        Trainer(**{"model": tiny_model(), "args": args, "train_dataset": labeled_rows(), **changes}).train()


def test_what_a_training_lacks_is_named(tmp_path):
    args = TrainingArguments(tmp_path, eval_strategy="epoch", disable_tqdm=True)
    with pytest.raises(InputError, match="pass train_dataset"):
        Trainer(tiny_model(), args).train()
    with pytest.raises(InputError, match="pass eval_dataset"):
        Trainer(tiny_model(), args, train_dataset=labeled_rows()).train()
    with pytest.raises(InputError, match="evaluate\\(\\) needs rows"):
        Trainer(tiny_model(), args).evaluate()
    with pytest.raises(InputError, match="metric_for_best_model must be one of eval_loss, eval_accuracy, .*; got 'f1'"):
        trainer_of(tmp_path, eval_strategy="epoch", metric_for_best_model="f1").train()
    with pytest.raises(InputError, match="must return a dictionary of names and numbers"):
        Trainer(tiny_model(), args, eval_dataset=labeled_rows(), compute_metrics=lambda prediction: 0.5).evaluate()
    with pytest.raises(InputError, match="early stopping needs evaluations"):
        trainer_of(tmp_path, callbacks=[EarlyStoppingCallback()]).train()


def test_a_folder_that_cannot_be_written_is_known_before_the_first_step(tmp_path, monkeypatch):
    class Fails(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            raise AssertionError("a step began")

    (tmp_path / "file").touch()
    with pytest.raises(ModelFileError, match="file/out cannot be written: .*file is no folder. Name another one"):
        trainer_of(tmp_path / "file" / "out", callbacks=[Fails]).train()
    trainer_of(tmp_path / "file" / "out", save_strategy="no").train()  # which writes nothing
    monkeypatch.setattr("minibert.files.os.access", lambda path, mode: False)  # for root, every folder is writable
    with pytest.raises(ModelFileError, match="out cannot be written: .* is read-only for this user"):
        trainer_of(tmp_path / "out", callbacks=[Fails]).train()
    assert not (tmp_path / "out").exists()


def test_words_of_the_vocabulary_are_enough_for_these_rows():
    assert max(max(row["input_ids"]) for row in labeled_rows()) < len(WORDS)
