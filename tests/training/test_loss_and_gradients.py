"""loss_and_gradients without torch: slopes, dropout, padding, float32, options and mistakes; whole models, every head."""

import numpy as np
import pytest
from checkpoints import small_model
from training_batches import HEADS, LABELS, LENGTH, ROWS, batch, model_of

import minibert
from minibert import ConfigError, InputError, InputTypeError, KernelError, loss_and_gradients
from minibert.kernels.catalog import make_training_ops
from minibert.models.losses import head_loss


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("first_masked", [False, True])
def test_head_loss_of_a_model_s_outputs_is_the_loss(name, first_masked):
    model = model_of(name)
    inputs, labels = batch(name)
    if first_masked:
        inputs["attention_mask"].reshape(-1, LENGTH)[0, 0] = 0
    loss, _ = loss_and_gradients(model, **inputs, **labels)
    assert abs(head_loss(model, model(**inputs), labels, inputs["attention_mask"]) - loss) < 1e-5 * loss


@pytest.mark.parametrize("name", HEADS)
def test_padding_changes_no_bit(name):
    """The same batch with three more columns of padding."""
    model = model_of(name)
    inputs, labels = batch(name)
    columns = [(0, 0)] * (inputs["input_ids"].ndim - 1) + [(0, 3)]
    padded = {key: np.pad(values, columns) for key, values in inputs.items()}
    no_label = 0 if name == "ElectraForPreTraining" else -100
    longer = {
        key: np.pad(values, columns, constant_values=no_label) if values.ndim == 2 else np.where(values >= LENGTH, 99, values)
        for key, values in labels.items()
    }
    loss, gradients = loss_and_gradients(model, **inputs, **labels, dropout_seed=3)
    loss_padded, gradients_padded = loss_and_gradients(model, **padded, **longer, dropout_seed=3)
    assert loss == loss_padded
    assert all(np.array_equal(gradients[key], gradients_padded[key]) for key in gradients)


def in_double(model):
    return {name: tensor.astype(np.float64) for name, tensor in model.tensors.items()}


@pytest.mark.parametrize("dropout_seed", [None, 7])
@pytest.mark.parametrize("name", HEADS)
def test_gradients_are_the_slopes_of_the_loss(name, dropout_seed):
    """Central differences along a random direction in all tensors at once; with dropout the zeros stay where they are."""
    model, random = model_of(name), np.random.default_rng(0)
    inputs, labels = batch(name)
    parameters = in_double(model)
    direction = {key: random.normal(size=tensor.shape) for key, tensor in parameters.items()}

    def loss_at(distance):
        moved = {key: tensor + distance * direction[key] for key, tensor in parameters.items()}
        return loss_and_gradients(model, **inputs, **labels, parameters=moved, dropout_seed=dropout_seed)

    _, gradients = loss_at(0)
    padding = model.config.architecture.position_padding_id
    direction[f"{model.encoder_names.words}.weight"][padding or 0] = 0  # the row of padding is left as it is
    if padding is not None:
        direction[f"{model.encoder_names.positions}.weight"][padding] = 0
    slope = sum((gradient * direction[key]).sum() for key, gradient in gradients.items())
    step = 1e-6
    measured = (loss_at(step)[0] - loss_at(-step)[0]) / (2 * step)
    assert abs(measured - slope) < 1e-6 * max(abs(slope), 1)


RATES = {  # class -> the rates that its training has
    "BertForSequenceClassification": ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"),
    "BertForTokenClassification": ("classifier_dropout",),
    "BertForMultipleChoice": ("classifier_dropout",),
    "DistilBertForSequenceClassification": ("dropout", "attention_dropout", "seq_classif_dropout"),
    "DistilBertForTokenClassification": ("dropout",),
    "DistilBertForQuestionAnswering": ("qa_dropout",),
    "ElectraForSequenceClassification": ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"),
    "ElectraForTokenClassification": ("classifier_dropout",),
    "ElectraForMultipleChoice": ("summary_first_dropout", "summary_last_dropout"),
}


@pytest.mark.parametrize(("name", "rate"), [(name, rate) for name, rates in RATES.items() for rate in rates])
def test_each_rate_of_dropout_has_an_effect_and_none_has_one_without_a_seed(name, rate):
    inputs, labels = batch(name)
    family = name.partition("For")[0]
    off = dict.fromkeys((rate for known in RATES if known.startswith(family) for rate in RATES[known]), 0.0)
    model, dropping = model_of(name, **off), model_of(name, **{**off, rate: 0.5})
    plain = loss_and_gradients(model, **inputs, **labels)[0]
    assert loss_and_gradients(model, **inputs, **labels, dropout_seed=1)[0] == plain
    assert loss_and_gradients(dropping, **inputs, **labels)[0] == plain
    assert loss_and_gradients(dropping, **inputs, **labels, dropout_seed=1)[0] != plain


def test_dropout_depends_on_seed_and_step_alone():
    model = model_of("BertForSequenceClassification")
    inputs, labels = batch("BertForSequenceClassification")

    def loss(seed, step):
        return loss_and_gradients(model, **inputs, **labels, dropout_seed=seed, dropout_step=step)[0]

    assert loss(1, 0) == loss(1, 0)
    assert len({loss(1, 0), loss(1, 1), loss(2, 0), loss(2, 1), loss(2**64 - 1, 2**32 - 1)}) == 5


@pytest.mark.parametrize("dropout_seed", [None, 7])
@pytest.mark.parametrize("kernels", ["auto", "fast", "naive", "reference"])
@pytest.mark.parametrize("name", HEADS)
def test_float32_gradients_are_near_those_in_float64(name, kernels, dropout_seed):
    model = model_of(name)
    inputs, labels = batch(name)
    options = {"dropout_seed": dropout_seed}
    loss, gradients = loss_and_gradients(model, **inputs, **labels, **options, kernels=kernels)
    exact_loss, exact = loss_and_gradients(model, **inputs, **labels, **options, parameters=in_double(model))
    assert type(loss) is float and abs(loss - exact_loss) < 1e-5 * exact_loss
    assert set(gradients) == set(exact)
    largest = max(np.abs(gradient).max() for gradient in exact.values())
    for key, gradient in gradients.items():
        assert gradient.dtype == np.float32
        assert np.abs(gradient - exact[key]).max() < 1e-4 * max(np.abs(exact[key]).max(), 1e-2 * largest), key


@pytest.mark.parametrize("name", ["BertForMaskedLM", "MPNetForSequenceClassification", "ElectraForMultipleChoice"])
def test_bf16_products_change_the_gradients_a_little(name):
    model = model_of(name)
    inputs, labels = batch(name)
    _, exact = loss_and_gradients(model, **inputs, **labels)
    loss, gradients = loss_and_gradients(model, **inputs, **labels, kernels="bf16")
    largest = max(np.abs(gradient).max() for gradient in exact.values())
    differences = [np.abs(gradients[key] - exact[key]).max() for key in exact]
    assert 1e-4 * largest < max(differences) < 0.1 * largest
    assert all(gradient.dtype == np.float32 for gradient in gradients.values())


@pytest.mark.parametrize("kernels", ["fast", "bf16"])
@pytest.mark.parametrize("name", ["MPNetForMaskedLM", "DistilBertForSequenceClassification"])
def test_one_thread_and_three_give_the_same_bits(name, kernels):
    model, threads, computed = model_of(name), minibert.get_num_threads(), []
    inputs, labels = batch(name)
    try:
        for count in (1, 3):
            minibert.set_num_threads(count)
            computed.append(loss_and_gradients(model, **inputs, **labels, dropout_seed=1, kernels=kernels))
    finally:
        minibert.set_num_threads(threads)
    (loss, gradients), (other_loss, others) = computed
    assert loss == other_loss and all(np.array_equal(gradients[key], others[key]) for key in gradients)


def test_parameters_need_not_be_contiguous():
    model = model_of("BertForSequenceClassification")
    inputs, labels = batch("BertForSequenceClassification")
    apart = {name: np.repeat(tensor, 2, axis=-1)[..., ::2] for name, tensor in model.tensors.items()}
    _, gradients = loss_and_gradients(model, **inputs, **labels)
    _, others = loss_and_gradients(model, **inputs, **labels, parameters=apart)
    assert all(np.array_equal(gradients[key], others[key]) for key in gradients)


def test_without_numba_training_is_in_numpy(monkeypatch):
    def refuse(kernels):
        if kernels != "reference":
            raise KernelError("compiled kernels need Numba")
        return make_training_ops(kernels)

    model = model_of("BertForSequenceClassification")
    inputs, labels = batch("BertForSequenceClassification")
    expected = loss_and_gradients(model, **inputs, **labels, kernels="reference")[0]
    monkeypatch.setattr("minibert.training.operations.training_ops", refuse)
    assert loss_and_gradients(model, **inputs, **labels)[0] == expected
    with pytest.raises(KernelError, match="need Numba"):
        loss_and_gradients(model, **inputs, **labels, kernels="fast")


def test_packed_texts_are_a_batch_too():
    model = model_of("DistilBertForSequenceClassification")
    inputs, labels = batch("DistilBertForSequenceClassification")
    mask = inputs["attention_mask"].astype(bool)

    class Encoding:
        ids, bounds = inputs["input_ids"][mask], np.concatenate([[0], np.cumsum(mask.sum(axis=1))])

    assert loss_and_gradients(model, Encoding, **labels)[0] == loss_and_gradients(model, **inputs, **labels)[0]


def test_plain_gradient_descent_learns_its_batch():
    model = model_of("BertForSequenceClassification", initializer_range=0.1)
    inputs, labels = batch("BertForSequenceClassification")
    parameters = {name: tensor.copy() for name, tensor in model.tensors.items()}
    losses = []
    for step in range(60):
        loss, gradients = loss_and_gradients(
            model, **inputs, **labels, parameters=parameters, dropout_seed=0, dropout_step=step
        )
        losses.append(loss)
        for name, gradient in gradients.items():
            parameters[name] -= np.float32(0.1) * gradient
    trained = model.with_tensors(parameters)
    predicted = trained(**inputs).logits.argmax(axis=1)
    counted = labels["labels"] >= 0
    assert losses[0] > 1 and (predicted == labels["labels"])[counted].all()
    assert not np.array_equal(trained(**inputs).logits, model(**inputs).logits)


SEQUENCES, TOKENS = "BertForSequenceClassification", "BertForTokenClassification"
MISTAKES = {
    "no labels": (SEQUENCES, {"labels": None}, InputError, "takes labels; got none"),
    "another head's": (SEQUENCES, {"start_positions": [0] * ROWS}, InputError, "takes labels; got labels, start_positions"),
    "a label too large": (
        SEQUENCES,
        {"labels": [0, 1, 2, 3, 0, 0]},
        InputError,
        "labels must be from 0 to 2, or -100 .* got 3",
    ),
    "a negative label": (SEQUENCES, {"labels": [0, 1, 2, -1, 0, 0]}, InputError, "got -1"),
    "too few": (SEQUENCES, {"labels": [0, 1]}, InputError, r"one label for each row of 6; got an array of shape \(2,\)"),
    "all ignored": (SEQUENCES, {"labels": [-100] * ROWS}, InputError, "Leave the batch out"),
    "text": (SEQUENCES, {"labels": ["good"] * ROWS}, InputTypeError, "labels must be an array of numbers"),
    "ragged": (SEQUENCES, {"labels": [[1], [1, 2]]}, InputTypeError, "labels must be an array of numbers"),
    "weights of another length": (SEQUENCES, {"class_weights": [1, 2]}, InputError, "class_weights must be 3 numbers"),
    "negative weights": (SEQUENCES, {"class_weights": [1, 2, -1]}, InputError, "class_weights must be 3 numbers"),
    "too smooth": (SEQUENCES, {"label_smoothing": 1.0}, InputError, "label_smoothing must be"),
    "a seed that is none": (SEQUENCES, {"dropout_seed": -1}, InputError, "dropout_seed"),
    "a seed too large": (SEQUENCES, {"dropout_seed": 2**64}, InputError, "below 2.*64"),
    "parameters of no name": (SEQUENCES, {"parameters": {}}, InputError, "names and shapes of model.tensors"),
    "parameters of none": (SEQUENCES, {"parameters": 5}, InputTypeError, "parameters must map names"),
    "kernels that are none": (SEQUENCES, {"kernels": "quick"}, KernelError, "are one of 'reference', .* got 'quick'"),
    "kernels of another type": (SEQUENCES, {"kernels": ["fast"]}, KernelError, "must be a preset's name"),
    "an unknown option": (SEQUENCES, {"smoothing": 0.1}, InputTypeError, "It takes model, input_ids"),
    "a label at padding": (TOKENS, {"labels": np.ones((ROWS, LENGTH), int)}, InputError, "must be -100 at padding"),
    "labels of another shape": (TOKENS, {"labels": np.ones((ROWS, 2), int)}, InputError, "the shape of input_ids"),
    "float classes": (TOKENS, {"labels": np.ones((ROWS, LENGTH))}, InputTypeError, "must be whole numbers"),
    "an answer in padding": (
        "BertForQuestionAnswering",
        {"start_positions": [LENGTH - 1] * ROWS},
        InputError,
        "which is padding",
    ),
    "no word replaced twice": ("ElectraForPreTraining", {"labels": np.full((ROWS, LENGTH), 2)}, InputError, "1 for a replaced"),
    "one of two": (
        "BertForPreTraining",
        {"next_sentence_label": None},
        InputError,
        "takes labels, next_sentence_label; got labels",
    ),
    "texts, not choices": ("BertForMultipleChoice", {"input_ids": [[1, 2]]}, InputError, "C choices for each question"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_the_rule_and_what_came(mistake):
    name, changes, error, message = MISTAKES[mistake]
    inputs, labels = batch(name)
    with pytest.raises(error, match=message):
        loss_and_gradients(model_of(name), **{**inputs, **labels, **changes})


def test_what_has_no_loss_is_refused():
    inputs, _ = batch("BertModel")
    with pytest.raises(InputError, match="a BertModel has no head and so no loss"):
        loss_and_gradients(small_model("bert", "Model"), **inputs)
    with pytest.raises(InputTypeError, match="model must be a model of minibert, with a head; got str"):
        loss_and_gradients("bert-base-uncased", **inputs)
    model, (inputs, labels) = model_of(SEQUENCES), batch(SEQUENCES)
    with pytest.raises(InputError, match="kernels='fast' computes in float32, but the parameters are float64"):
        loss_and_gradients(model, **inputs, **labels, parameters=in_double(model), kernels="fast")
    with pytest.raises(ConfigError, match="a rate of dropout must be a number"):
        loss_and_gradients(
            model_of(SEQUENCES, hidden_dropout_prob="a tenth"), **inputs, labels=np.zeros(ROWS, int), dropout_seed=1
        )
    regression = model_of(SEQUENCES, problem_type="regression")
    with pytest.raises(InputError, match="class_weights, label_smoothing and a teacher are for classes"):
        loss_and_gradients(regression, **inputs, labels=np.zeros((ROWS, LABELS)), label_smoothing=0.1)
    answers, labels = batch("BertForQuestionAnswering")
    with pytest.raises(InputError, match="one each; the loss here is of positions"):
        loss_and_gradients(model_of("BertForQuestionAnswering"), **answers, **labels, label_smoothing=0.1)
    with pytest.raises(InputError, match="a batch of padding alone"):
        loss_and_gradients(model_of("ElectraForPreTraining"), [[1, 2]], [[0, 0]], labels=[[0, 0]])
    with pytest.raises(InputError, match="the shape of the logits"):
        loss_and_gradients(regression, **inputs, labels=np.zeros(ROWS))
    with pytest.raises(InputError, match="must be finite"):
        loss_and_gradients(regression, **inputs, labels=np.full((ROWS, LABELS), np.nan))


def test_eight_bit_weights_are_not_trained(tmp_path):
    small_model("bert", kernels="int8").save_pretrained(tmp_path)
    model = minibert.BertForSequenceClassification.from_pretrained(tmp_path)
    with pytest.raises(InputError, match="load the model with kernels='fast'"):
        loss_and_gradients(model, [[1, 2, 3]], labels=[0])


def test_a_model_takes_other_tensors_of_its_shapes():
    model, other = model_of(SEQUENCES), small_model("bert", num_labels=LABELS, seed=5)
    inputs, _ = batch(SEQUENCES)
    changed = model.with_tensors(in_double(other))
    assert type(changed) is type(model) and changed.kernels.spec == model.kernels.spec
    assert np.array_equal(changed(**inputs).logits, other(**inputs).logits)
    with pytest.raises(InputError, match="must have the names and shapes"):
        model.with_tensors({**model.tensors, "classifier.bias": np.zeros(7, np.float32)})
    with pytest.raises(InputError, match="all float32 or all float64"):
        model.with_tensors({**model.tensors, "classifier.bias": np.zeros(3)})
