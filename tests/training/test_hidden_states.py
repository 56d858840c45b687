"""Learning a teacher's hidden states: the loss and its gradients against torch's, and what each option changes."""

import numpy as np
import pytest
from training_batches import batch, model_of
from training_rows import labeled_rows, same_tensors, tiny_model

import minibert
from minibert import InputError, InputTypeError, LoraConfig, Trainer, TrainingArguments, loss_and_gradients
from minibert.training.hidden_states import teacher_layers

NAMES = ["BertForSequenceClassification", "DistilBertForMultipleChoice", "MPNetForTokenClassification"]
WIDER = {"hidden_size": 24, "num_attention_heads": 3}


def doubles(model):
    return {name: tensor.astype(np.float64) for name, tensor in model.tensors.items()}


def states_of(name, inputs, **changes):
    """The hidden states of another model of this class."""
    return [state.astype(np.float64) for state in model_of(name, seed=5, **changes)(**inputs, output_hidden_states=True)[-1]]


# --- Against torch ---------------------------------------------------------------------------------------------------


@pytest.mark.parity
@pytest.mark.parametrize("layers", [None, [0, 1]])
@pytest.mark.parametrize("teacher_width", [None, 24, 4])
def test_loss_and_gradients_are_torch_s(tmp_path, layers, teacher_width):
    """Of the mean squared error over the tokens that are no padding, of each layer, in torch's own model in float64."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    name, random = "BertForSequenceClassification", np.random.default_rng(0)
    model, (inputs, labels) = model_of(name), batch(name)
    model.save_pretrained(tmp_path)
    theirs = transformers.BertForSequenceClassification.from_pretrained(tmp_path, attn_implementation="eager").double().eval()
    width = model.config.hidden_size
    shape = *inputs["input_ids"].shape, teacher_width or width
    states = [random.normal(size=shape) for _ in range(5)]  # of a teacher of four layers
    matrix = None if teacher_width is None else random.normal(size=(teacher_width, width))

    torch_inputs = {key: torch.tensor(value) for key, value in (inputs | labels).items()}
    output = theirs(**torch_inputs, output_hidden_states=True)
    mask, loss = torch_inputs["attention_mask"].bool(), output.loss
    projection = torch.eye(width).double() if matrix is None else torch.tensor(matrix, requires_grad=True)
    for hidden, layer in zip(output.hidden_states[1:], layers or [2, 4], strict=True):
        target = torch.tensor(states[layer])[mask]
        loss = loss + 0.35 * torch.nn.functional.mse_loss(hidden[mask] @ projection.T, target)  # a weight of 0.7, two layers
    loss.backward()

    options = {"hidden_weight": 0.7, "hidden_layers": layers, "hidden_projection": matrix}
    ours, gradients = loss_and_gradients(
        model, **inputs, **labels, parameters=doubles(model), teacher_hidden_states=states, **options
    )
    assert ours == pytest.approx(loss.item(), rel=1e-10)
    expected = {key.removeprefix("bert."): parameter.grad.numpy() for key, parameter in theirs.named_parameters()}
    if matrix is not None:
        expected["hidden_projection"] = projection.grad.numpy()
    assert set(gradients) == set(expected)
    for key, gradient in gradients.items():
        largest = max(np.abs(expected[key]).max(), 1e-6)  # of a key's bias it is 0
        assert np.abs(gradient - expected[key]).max() < 1e-9 * largest, key


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("changes", [{}, WIDER], ids=["of one width", "wider"])
def test_the_gradients_are_the_slopes_of_the_loss(name, changes):
    model, (inputs, labels) = model_of(name), batch(name)
    if changes and not name.startswith("Bert"):
        changes = {} if name.startswith("MPNet") else {"dim": 24, "n_heads": 3}
    states, parameters = states_of(name, inputs, **changes), doubles(model)
    matrix = np.random.default_rng(1).normal(size=(states[0].shape[-1], model.config.hidden_size))

    def run():
        options = {"teacher_hidden_states": states, "hidden_projection": matrix}
        return loss_and_gradients(model, **inputs, **labels, parameters=parameters, **options)

    gradients = run()[1]
    words = f"{model.encoder_names.words}.weight"
    for array, gradient in ((parameters[words], gradients[words]), (matrix, gradients["hidden_projection"])):
        row, column = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
        array[row, column] += 1e-6
        above = run()[0]
        array[row, column] -= 2e-6
        slope = (above - run()[0]) / 2e-6
        array[row, column] += 1e-6
        assert slope == pytest.approx(gradient[row, column], rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_teacher_that_agrees_adds_no_loss_and_padding_has_no_part_in_it(name):
    model, (inputs, labels) = model_of(name), batch(name)
    states = model(**inputs, output_hidden_states=True).hidden_states
    plain, gradients = loss_and_gradients(model, **inputs, **labels)
    same, others = loss_and_gradients(model, **inputs, **labels, teacher_hidden_states=states)
    assert same == pytest.approx(plain, rel=1e-6)
    padding = inputs["attention_mask"].reshape(-1, inputs["attention_mask"].shape[-1]) == 0
    padded = [np.where(padding[..., None], np.float32(9), state) for state in states]
    assert loss_and_gradients(model, **inputs, **labels, teacher_hidden_states=padded)[0] == same
    assert set(gradients) == set(others)


def test_which_layers_are_learned():
    assert teacher_layers(None, 6, 12) == [2, 4, 6, 8, 10, 12] and teacher_layers(None, 3, 3) == [1, 2, 3]
    assert teacher_layers(None, 2, 5) == [3, 5] and teacher_layers(None, 4, 2) == [1, 1, 2, 2]
    assert teacher_layers([0, 5], 2, 5) == [0, 5]


# --- A training ------------------------------------------------------------------------------------------------------


def student_of(folder, teacher=None, peft_config=None, **options):
    """A Trainer without dropout that learns hidden states."""
    model = tiny_model(dropout=0.0, attention_dropout=0.0, seq_classif_dropout=0.0)
    base = {"distillation_hidden_weight": 1.0, "learning_rate": 1e-2, "max_steps": 6, "save_steps": 2, "disable_tqdm": True}
    teacher = tiny_model("bert", seed=3) if teacher is None else teacher
    args = TrainingArguments(folder, **{**base, **options})
    return Trainer(model, args, train_dataset=labeled_rows(), teacher=teacher, peft_config=peft_config)


def trained(folder, *arguments, **options):
    trainer = student_of(folder, *arguments, **options)
    trainer.train()
    return trainer.model.tensors


CHANGES = {
    "a weight": {"distillation_hidden_weight": 0.2},
    "none": {"distillation_hidden_weight": 0.0},
    "layers": {"distillation_layers": [0, 2]},
    "a teacher": {"teacher": {"seed": 4}},
    "a wider teacher": {"teacher": {"seed": 3, **WIDER}},
    "a deeper teacher": {"teacher": {"seed": 3, "num_hidden_layers": 5}},
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_option_changes_the_weights(tmp_path, change):
    options = dict(CHANGES[change])
    if "teacher" in options:
        options["teacher"] = tiny_model("bert", **options["teacher"])
    assert not same_tensors(trained(tmp_path / "a"), trained(tmp_path / "b", **options))


@pytest.mark.parametrize("changes", [{}, WIDER], ids=["of one width", "wider"])
def test_a_student_comes_to_its_teacher_s_states(tmp_path, changes):
    teacher, logged = tiny_model("bert", seed=3, **changes), {"logging_steps": 1, "save_strategy": "no"}
    trainer = student_of(tmp_path, teacher, max_steps=200, distillation_weight=0.0, distillation_hidden_weight=5.0, **logged)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert np.mean(losses[-10:]) < 0.3 * np.mean(losses[:10])


@pytest.mark.parametrize("peft_config", [None, LoraConfig(2)], ids=["all weights", "lora"])
def test_the_projection_is_trained_and_resumed_to_the_same_bits(tmp_path, peft_config):
    teacher = tiny_model("bert", seed=3, **WIDER)
    whole = trained(tmp_path, teacher, peft_config)
    stored = [
        minibert.weights.read_tensors(tmp_path / f"checkpoint-{step}" / "optimizer.safetensors")["hidden_projection"]
        for step in (2, 4)
    ]
    assert stored[0].shape == (24, whole["embeddings.word_embeddings.weight"].shape[1]) and not np.array_equal(*stored)
    again = student_of(tmp_path, teacher, peft_config)
    again.train(resume_from_checkpoint=tmp_path / "checkpoint-2")
    assert same_tensors(whole, again.model.tensors) and "hidden_projection" not in whole


def test_the_same_bits_on_one_thread_and_on_two(tmp_path):
    before, weights = minibert.get_num_threads(), []
    try:
        for count in (1, 2):
            minibert.set_num_threads(count)
            weights.append(trained(tmp_path, tiny_model("bert", seed=3, **WIDER)))
    finally:
        minibert.set_num_threads(before)
    assert same_tensors(*weights)


def test_mistakes(tmp_path):
    with pytest.raises(InputError, match="distillation_hidden_weight needs the hidden states of a teacher"):
        Trainer(tiny_model(), TrainingArguments(tmp_path, distillation_hidden_weight=1.0), train_dataset=labeled_rows())
    for layers in ([1], [1, 3]):
        with pytest.raises(InputError, match=r"from 0 to 2, for each of the model's 2 layers; got \[1"):
            student_of(tmp_path, distillation_layers=layers)
    with pytest.raises(InputTypeError, match="distillation_layers must be a list of the teacher's layers"):
        TrainingArguments(tmp_path, distillation_layers=3)
    model, (inputs, labels) = model_of(NAMES[0]), batch(NAMES[0])
    states = states_of(NAMES[0], inputs, **WIDER)

    def run(**options):
        loss_and_gradients(model, **inputs, **labels, **options)

    with pytest.raises(InputTypeError, match="teacher_hidden_states must be the hidden_states of an output"):
        run(teacher_hidden_states=states[0])
    with pytest.raises(
        InputError, match=r"must be of shape .* here; got float64 \(6, 9, 24\). Is the teacher of another width"
    ):
        run(teacher_hidden_states=states)
    with pytest.raises(InputError, match=r"hidden_projection must be an array of floats .* got float64 \(3, 3\)"):
        run(teacher_hidden_states=states, hidden_projection=np.zeros((3, 3)))
    with pytest.raises(InputError, match="a layer map must name a layer of the teacher, from 0 to 2"):
        run(teacher_hidden_states=states, hidden_layers=[1, 9])
