"""Rows of the word embeddings that a step does not touch: the same bits as if AdamW changed all rows in every step."""

import numpy as np
import pytest
from checkpoints import write_tokenizer
from training_rows import labeled_rows, same_tensors, tiny_model, trainer_of

import minibert
from minibert import AdamW, AutoTokenizer, DataCollatorForLanguageModeling, LoraConfig, TrainerCallback
from minibert.training import lazy_rows, steps
from minibert.training.lazy_rows import LazyRows, RowGradient, add_rows
from minibert.training.optimizer import catch_up, clip_factor, gradient_norm

ROWS = 29
SETTINGS = {
    "torch's defaults": {},
    "a large decay": {"weight_decay": 0.5},
    "other moments": {"betas": (0.5, 0.9), "eps": 1e-3, "weight_decay": 0.01},
    "a slower layer": {"lr_scales": {"words": 0.25}, "weight_decay": 0.01},
}


def row_gradient(random, width, dtype):
    rows = np.flatnonzero(random.random(ROWS) < 0.2)
    return RowGradient(rows, (random.normal(size=(len(rows), width)) * 10.0 ** random.integers(-5, 3)).astype(dtype), ROWS)


def same_moments(one, other):
    return same_tensors(one.state_dict(), other.state_dict())


@pytest.fixture
def threads():
    before = minibert.get_num_threads()
    yield minibert.set_num_threads
    minibert.set_num_threads(before)


# --- The optimizer ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernels", ["reference", "fast"])
@pytest.mark.parametrize("options", SETTINGS)
def test_rows_that_are_read_have_the_bits_of_the_eager_update(options, kernels, threads, monkeypatch):
    """Whatever the learning rate and the clipping of each step; also if more steps are missed than the list holds."""
    monkeypatch.setattr(lazy_rows, "MAX_STEPS", 8)
    for width, count in ((5, 1), (16, 3), (33, 2)):
        threads(count)
        random = np.random.default_rng(width)
        table = random.normal(size=(ROWS, width)).astype(np.float32)
        lazy, eager = {"words": table.copy()}, {"words": table.copy()}
        one, other = (AdamW(parameters, kernels=kernels, **SETTINGS[options]) for parameters in (lazy, eager))
        behind = 0
        for step in range(30):
            read = np.flatnonzero(random.random(ROWS) < 0.2)
            catch_up(one, "words", read)
            assert np.array_equal(lazy["words"][read], eager["words"][read])
            behind += not np.array_equal(lazy["words"], eager["words"])
            grad = row_gradient(random, width, np.float32)
            scale = clip_factor(gradient_norm({"words": grad}, kernels), 1.0)
            assert scale == clip_factor(gradient_norm({"words": grad.dense()}, kernels), 1.0)
            rate = 1e-2 * (1 - step / 30)
            one.step({"words": grad if step % 7 else grad.dense()}, rate, scale)
            other.step({"words": grad.dense()}, rate, scale)
        assert behind > 20  # or this would compare the eager update with itself
        assert same_moments(one, other) and same_tensors(lazy, eager)


def test_a_table_in_float64_and_one_that_is_not_contiguous():
    random = np.random.default_rng(0)
    for table in (random.normal(size=(ROWS, 6)), random.normal(size=(6, ROWS)).astype(np.float32).T):
        lazy, eager = {"words": table}, {"words": table.copy()}
        one, other = AdamW(lazy, weight_decay=0.1), AdamW(eager, weight_decay=0.1, kernels="reference")
        for _ in range(5):
            grad = row_gradient(random, 6, table.dtype)
            one.step({"words": grad})
            other.step({"words": grad.dense()})
        assert same_moments(one, other) and same_tensors(lazy, eager)


def test_a_norm_is_the_same_whether_or_not_rows_of_zeros_are_listed():
    random = np.random.default_rng(0)
    for width in (1, 7, 64):
        grad, bias = row_gradient(random, width, np.float32), random.normal(size=9).astype(np.float32)
        assert gradient_norm({"x": grad, "y": bias}) == gradient_norm({"x": grad.dense(), "y": bias}) > 0
    nothing = RowGradient(np.zeros(0, int), np.zeros((0, 3), np.float32), 4)
    assert gradient_norm({"x": nothing}) == 0


def test_sums_of_two_gradients_are_those_of_the_tables():
    random = np.random.default_rng(0)
    one, other = (row_gradient(random, 7, np.float32) for _ in range(2))
    total = add_rows(one, other)
    assert np.array_equal(total.dense(), one.dense() + other.dense())
    assert np.array_equal(total.rows, np.union1d(one.rows, other.rows)) and len(total.rows) > len(one.rows)


# --- A training ------------------------------------------------------------------------------------------------------

BASE = {"weight_decay": 0.1, "save_strategy": "steps", "save_steps": 3, "save_total_limit": 9, "logging_steps": 1}
TRAININGS = {
    "linear": {},
    "cosine with warm-up": {"lr_scheduler_type": "cosine", "warmup_steps": 4},
    "without decay": {"weight_decay": 0.0},
    "clipped": {"max_grad_norm": 0.05},
    "without clipping": {"max_grad_norm": 0.0},
    "accumulated": {"gradient_accumulation_steps": 2},
    "slower layers": {"layerwise_lr_decay": 0.5},
    "evaluated": {"eval_strategy": "steps", "eval_steps": 2, "load_best_model_at_end": True, "save_steps": 2},
    "in NumPy": {"kernels": "reference"},
    "in bf16": {"bf16": True},
    "an embedding projection": {"model_type": "electra"},
}


@pytest.fixture
def eager(monkeypatch):
    """-> a function after which all gradients are of whole tables."""

    def densify(*arguments):
        loss, gradients = original(*arguments)
        return loss, {name: grad.dense() if isinstance(grad, RowGradient) else grad for name, grad in gradients.items()}

    original = steps.loss_and_row_gradients
    return lambda: monkeypatch.setattr(steps, "loss_and_row_gradients", densify)


@pytest.fixture
def replayed(monkeypatch):
    """How many rows were behind at each call of `catch_up`."""
    counts, catch_up = [], LazyRows.catch_up

    def counted(self, rows):
        counts.append(int((self.done[rows] < self.steps).sum()))
        catch_up(self, rows)

    monkeypatch.setattr(LazyRows, "catch_up", counted)
    return counts


def files(folder):
    """Weights and moments of every checkpoint, and the model at the end: the bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.safetensors"))}


def train(folder, resume=None, model_type="distilbert", **options):
    """-> the trainer, and all that the training has saved."""
    trainer = trainer_of(folder, tiny_model(model_type), **{**BASE, **options})
    trainer.train(resume_from_checkpoint=resume)
    trainer.save_model()
    return trainer, files(folder)


@pytest.mark.parametrize("name", TRAININGS)
def test_a_training_saves_the_bytes_of_the_eager_one(tmp_path, name, eager, replayed):
    one, lazily = train(tmp_path / "lazy", **TRAININGS[name])
    assert sum(replayed) > 0
    replayed.clear()
    eager()
    other, eagerly = train(tmp_path / "eager", **TRAININGS[name])
    assert not replayed and len(eagerly) > 4
    assert lazily == eagerly
    losses = [[(entry.get("loss"), entry.get("grad_norm")) for entry in each.state.log_history] for each in (one, other)]
    assert losses[0] == losses[1]


def test_a_training_that_is_resumed_in_the_middle_saves_the_bytes_of_the_eager_one(tmp_path, eager, replayed):
    train(tmp_path / "lazy")
    _, resumed = train(tmp_path / "lazy", resume=tmp_path / "lazy" / "checkpoint-6")
    assert sum(replayed) > 0
    eager()
    _, eagerly = train(tmp_path / "eager")
    assert resumed == eagerly


def test_frozen_embeddings_and_lora_leave_the_words_as_they_are(tmp_path, replayed):
    words = "embeddings.word_embeddings.weight"
    frozen, _ = train(tmp_path / "frozen", freeze_layers=0)
    adapted = trainer_of(tmp_path / "lora", **BASE)
    adapted.peft_config = LoraConfig(r=2)
    adapted.train()
    for trainer in (frozen, adapted):
        assert np.array_equal(trainer.model.tensors[words], tiny_model().tensors[words])
    assert not replayed


@pytest.mark.parametrize("tied", [True, False])
def test_words_that_the_decoder_shares_are_all_updated_in_each_step(tmp_path, tied, eager, replayed):
    tokenizer = AutoTokenizer.from_pretrained(write_tokenizer(tmp_path, "bert"))
    collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.5)

    def run(folder):
        model = tiny_model("bert", "ForMaskedLM", tie_word_embeddings=tied)
        rows = [{"input_ids": row["input_ids"]} for row in labeled_rows()]
        args = minibert.TrainingArguments(folder, learning_rate=1e-2, max_steps=8, disable_tqdm=True, weight_decay=0.1)
        minibert.Trainer(model, args, train_dataset=rows, data_collator=collator).train()
        return model.tensors

    lazily = run(tmp_path / "lazy")
    assert (sum(replayed) == 0) == tied
    eager()
    assert same_tensors(lazily, run(tmp_path / "eager"))


class Copies(TrainerCallback):
    def __init__(self):
        self.of_epochs = []

    def on_epoch_end(self, args, state, control, model=None, **kwargs):
        self.of_epochs.append({name: tensor.copy() for name, tensor in model.tensors.items()})


def test_at_the_end_of_an_epoch_a_callback_sees_the_weights_of_this_step(tmp_path, eager):
    copies = Copies(), Copies()
    for one in copies:
        trainer_of(tmp_path, callbacks=[one], save_strategy="no").train()
        eager()
    for one, other in zip(*(each.of_epochs for each in copies), strict=True):
        assert same_tensors(one, other)
    assert len(copies[0].of_epochs) == 2 and not same_tensors(*copies[0].of_epochs)
