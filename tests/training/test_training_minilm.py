"""A trained model, all-MiniLM-L6-v2, fine-tuned here and by torch in float64, on the same batches and without dropout."""

import copy

import numpy as np
import pytest
from training_rows import trainer_of

from minibert import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding, loss_and_gradients
from minibert.training.data import Rows, epoch_batches

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore::minibert.errors.MinibertWarning"),  # of a head that is new
]
OPINIONS = {1: ["gripping", "funny", "a delight", "warm and clever"], 0: ["dull", "a mess", "far too long", "cold"]}
SUBJECTS = ["the film", "this story", "the second half of the book", "what they call a comedy", "her acting, as ever,"]
ENDS = [".", " from its first minute to its last.", ", I thought.", " - see for yourself!"]
BATCH, PEAK_RATE, WARMUP, DECAY = 8, 5e-5, 20, 0.01


def opinions(tokenizer, count):
    """Tokenized sentences of several lengths and what they say; some labels are wrong, so that the loss stays above 0."""
    random, rows = np.random.default_rng(0), []
    for _ in range(count):
        label = int(random.integers(2))
        subject, end = (texts[random.integers(len(texts))] for texts in (SUBJECTS, ENDS))
        text = f"{subject} is {OPINIONS[label][random.integers(4)]}{end}"
        rows.append({**tokenizer(text), "label": label if random.random() < 0.85 else 1 - label})
    return rows


@pytest.fixture(scope="module")
def tokenizer(minilm):
    return AutoTokenizer.from_pretrained(minilm)


@pytest.fixture(scope="module")
def folder(minilm, tmp_path_factory):
    """The model with a new head, the same for both sides, without dropout."""
    config = AutoConfig.from_pretrained(minilm, num_labels=2)
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    folder = tmp_path_factory.mktemp("minilm")
    AutoModelForSequenceClassification.from_pretrained(minilm, config=config).save_pretrained(folder)
    return folder


def torch_model(folder):
    transformers = pytest.importorskip("transformers")
    return transformers.AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager").eval()


def torch_losses(folder, rows, steps):
    """The loss of each step of torch.optim.AdamW in float64, with a linear schedule and clipping."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    model, losses, dataset = torch_model(folder).double(), [], Rows("rows", rows)
    groups = [[p for p in model.parameters() if p.ndim > 1], [p for p in model.parameters() if p.ndim == 1]]
    optimizer = torch.optim.AdamW(
        [{"params": groups[0], "weight_decay": DECAY}, {"params": groups[1], "weight_decay": 0.0}], lr=PEAK_RATE
    )
    scheduler = transformers.get_linear_schedule_with_warmup(optimizer, WARMUP, 200)
    per_epoch = len(rows) // BATCH
    for step in range(steps):
        batches = epoch_batches(dataset, BATCH, sampling="random", seed=42, epoch=step // per_epoch, drop_last=False)
        features = DataCollatorWithPadding(None)([rows[index] for index in batches[step % per_epoch]])
        loss = model(**{name: torch.tensor(values) for name, values in features.items()}).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("steps", [12, pytest.param(200, marks=pytest.mark.slow)])
def test_the_losses_are_within_1e_4_of_torch_s_in_float64(folder, tokenizer, tmp_path, steps):
    rows = opinions(tokenizer, 320)
    expected = torch_losses(folder, rows, steps)
    trainer = trainer_of(
        tmp_path,
        AutoModelForSequenceClassification.from_pretrained(folder),
        rows,
        per_device_train_batch_size=BATCH,
        learning_rate=PEAK_RATE,
        num_train_epochs=5,
        weight_decay=DECAY,
        warmup_steps=WARMUP,
        logging_steps=1,
        save_strategy="no",
        callbacks=[StopAfter(steps)],
    )
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(losses) == steps
    assert np.abs(np.array(losses) - expected).max() < 1e-4


class StopAfter:
    """The schedule stays that of all steps."""

    def __init__(self, steps):
        self.steps = steps

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step >= self.steps


def test_gradients_are_no_further_from_float64_than_torch_s_own_in_float32(folder, tokenizer):
    torch = pytest.importorskip("torch")
    rows = opinions(tokenizer, 32)
    batch = DataCollatorWithPadding(tokenizer)(rows)
    model, theirs = AutoModelForSequenceClassification.from_pretrained(folder), torch_model(folder)

    def torch_gradients(network):
        network(**{name: torch.tensor(values) for name, values in batch.items()}).loss.backward()
        return {name.removeprefix("bert."): one.grad.double().numpy() for name, one in network.named_parameters()}

    exact, single = torch_gradients(copy.deepcopy(theirs).double()), torch_gradients(theirs)
    ours = loss_and_gradients(model, **batch)[1]
    assert set(ours) == set(exact)
    errors = [[np.square(compared[name] - exact[name]).sum() for name in exact] for compared in (ours, single)]
    totals = np.sqrt(np.sum(errors, axis=1))
    assert totals[0] <= totals[1] and totals[0] < 1e-5 * np.sqrt(sum(np.square(grad).sum() for grad in exact.values()))
