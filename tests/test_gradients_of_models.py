"""Whole models: the loss and every tensor's gradient against transformers and torch.autograd, in float64.

Every family and every head, without dropout; differences are over the largest gradient of the tensor.
"""

import copy

import numpy as np
import pytest
from checkpoints import small_model

import minibert
from minibert import ConfigError, InputError, InputTypeError, loss_and_gradients
from minibert.families import FAMILIES
from minibert.models.losses import head_loss

ROWS, LENGTH, LABELS = 6, 9, 3
HEADS = [family.prefix + head for family in FAMILIES.values() for head in family.heads if head != "Model"]


def model_of(name, **changes):
    family, _, head = name.partition("For")
    labels = {"num_labels": LABELS} if head.endswith(("SequenceClassification", "TokenClassification")) else {}
    return small_model(family.lower(), "For" + head, **{**labels, **changes})


@pytest.fixture
def double(tmp_path):
    """A class's name -> transformers' model in float64 at random, ours with its weights, and these weights in float64."""
    torch = pytest.importorskip("torch", reason="parity needs torch: pip install -e '.[test]'")
    transformers = pytest.importorskip("transformers", reason="parity needs transformers: pip install -e '.[test]'")

    def make(name, **changes):
        torch.manual_seed(0)
        ours = model_of(name, **changes)
        ours.save_pretrained(tmp_path / name)
        theirs = getattr(transformers, name).from_pretrained(tmp_path / name, attn_implementation="eager").double().eval()
        with torch.no_grad():
            for parameter in theirs.parameters():  # norms and biases are ones and zeros at first
                parameter.add_(torch.randn_like(parameter) * 0.1)
        prefix = ours.encoder_names.prefix
        state = {key.removeprefix(prefix): value.numpy() for key, value in theirs.state_dict().items()}
        return theirs, ours, {key: state[key].copy() for key in ours.tensors}

    return make


def batch(name, seed=0, padded=True, types=True):
    """Inputs and labels for a class, with padding on the right and some labels that are ignored."""
    random = np.random.default_rng(seed)
    ids = random.integers(1, 33, (ROWS, LENGTH))
    lengths = random.integers(2, LENGTH + 1, ROWS) if padded else np.full(ROWS, LENGTH)
    mask = (np.arange(LENGTH) < lengths[:, None]).astype(int)
    inputs = {"input_ids": ids * mask, "attention_mask": mask}
    if types and not name.startswith("Distil"):
        inputs["token_type_ids"] = random.integers(0, 2, ids.shape) * mask
    tokens = np.where(mask * (random.random(ids.shape) < 0.6), random.integers(0, LABELS, ids.shape), -100)
    if name.endswith("MultipleChoice"):
        inputs = {key: value.reshape(2, 3, LENGTH) for key, value in inputs.items()}
        return inputs, {"labels": np.array([2, 0])}
    if name.endswith("SequenceClassification"):
        return inputs, {"labels": np.array([0, 2, 1, -100, 1, 0])}
    if name.endswith("NextSentencePrediction"):
        return inputs, {"labels": random.integers(0, 2, ROWS)}
    if name.endswith("QuestionAnswering"):
        return inputs, {
            "start_positions": np.array([0, 1, 0, 1, LENGTH + 3, 1]),
            "end_positions": np.array([1, 1, 0, 1, 1, -5]),
        }
    if name == "ElectraForPreTraining":
        return inputs, {"labels": random.integers(0, 2, ids.shape)}
    if name == "BertForPreTraining":
        return inputs, {"labels": tokens, "next_sentence_label": random.integers(0, 2, ROWS)}
    return inputs, {"labels": tokens}


def torch_loss_and_gradients(theirs, inputs, labels):
    """transformers' loss, and the gradients by our names; of parameters that share a tensor, the one."""
    torch = pytest.importorskip("torch")
    arguments = {key: torch.tensor(value) for key, value in {**inputs, **labels}.items()}
    if theirs.config.problem_type in ("regression", "multi_label_classification"):
        arguments["labels"] = arguments["labels"].double()
    theirs.zero_grad()
    outputs = theirs(**arguments)
    if "start_positions" in labels:  # theirs reads padding as if it were text: leave it out, as ours does
        outputs.loss = spans_without_padding(torch, outputs, arguments)
    if type(theirs).__name__ == "ElectraForPreTraining":  # theirs converts labels to float32, and with them the loss
        read = arguments["attention_mask"].bool()
        of_tokens = outputs.logits[read], arguments["labels"][read].double()
        outputs.loss = torch.nn.functional.binary_cross_entropy_with_logits(*of_tokens)
    outputs.loss.backward()
    prefix = theirs.base_model_prefix + "."
    grads = {name.removeprefix(prefix): parameter.grad for name, parameter in theirs.named_parameters()}
    return outputs.loss.item(), {name: grad.numpy() for name, grad in grads.items() if grad is not None}


def spans_without_padding(torch, outputs, arguments):
    mask = arguments["attention_mask"].bool()
    losses = []
    for field in ("start", "end"):
        logits = outputs[f"{field}_logits"].masked_fill(~mask, -torch.inf)
        positions = arguments[f"{field}_positions"].clamp(0, LENGTH)
        losses.append(torch.nn.functional.cross_entropy(logits, positions, ignore_index=LENGTH))
    return sum(losses) / 2


def compare(theirs, ours, parameters, inputs, labels, **options):
    expected_loss, expected = torch_loss_and_gradients(theirs, inputs, labels)
    loss, gradients = loss_and_gradients(ours, **inputs, **labels, parameters=parameters, **options)
    assert abs(loss - expected_loss) <= 1e-12 * abs(expected_loss)
    assert set(gradients) == set(expected)
    assert set(gradients) <= set(ours.tensors)
    rounding = 1e-4 * max(np.abs(gradient).max() for gradient in expected.values())
    for name, gradient in gradients.items():
        assert gradient.shape == ours.tensors[name].shape and gradient.dtype == np.float64
        size = max(np.abs(expected[name]).max(), rounding)  # keys' biases have gradients of 0, but for rounding
        assert np.abs(gradient - expected[name]).max() <= 1e-9 * size, name
    return loss, gradients


@pytest.mark.parity
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("name", HEADS)
def test_every_head_s_gradients_are_torch_s(double, name, padded):
    theirs, ours, parameters = double(name)
    for seed in range(2):
        compare(theirs, ours, parameters, *batch(name, seed, padded))


@pytest.mark.parity
def test_without_padding_the_loss_of_answers_is_theirs_as_it_stands(double):
    theirs, ours, parameters = double("BertForQuestionAnswering")
    inputs, labels = batch("BertForQuestionAnswering", padded=False)
    torch = pytest.importorskip("torch")
    expected = theirs(**{key: torch.tensor(value) for key, value in {**inputs, **labels}.items()}).loss.item()
    assert abs(loss_and_gradients(ours, **inputs, **labels, parameters=parameters)[0] - expected) < 1e-12 * expected


@pytest.mark.parity
@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu", "silu"])
@pytest.mark.parametrize("name", ["BertForMaskedLM", "DistilBertForSequenceClassification", "ElectraForPreTraining"])
def test_every_activation(double, name, activation):
    key = "activation" if name.startswith("Distil") else "hidden_act"
    compare(*double(name, **{key: activation}), *batch(name))


@pytest.mark.parity
@pytest.mark.parametrize("name", [name for name in HEADS if name.endswith("MaskedLM")] + ["BertForPreTraining"])
def test_a_decoder_that_is_not_tied(double, name):
    theirs, ours, parameters = double(name, tie_word_embeddings=False)
    _, gradients = compare(theirs, ours, parameters, *batch(name))
    words = ours.encoder_names.words + ".weight"
    assert ours.decoder_names(ours.config)[0] in gradients and ours.decoder_names(ours.config)[0] != words


@pytest.mark.parity
@pytest.mark.parametrize("family", ["Bert", "DistilBert", "Electra"])
@pytest.mark.parametrize(
    ("problem", "num_labels"),
    [("regression", 1), ("regression", 3), (None, 1), ("multi_label_classification", 3), ("single_label_classification", 3)],
)
def test_every_problem_type(double, family, problem, num_labels):
    name = f"{family}ForSequenceClassification"
    theirs, ours, parameters = double(name, problem_type=problem, num_labels=num_labels)
    inputs, _ = batch(name)
    labels = np.random.default_rng(1).random((ROWS, num_labels)).squeeze()
    if problem and problem.startswith("single"):
        labels = np.arange(ROWS) % 3
    compare(theirs, ours, parameters, inputs, {"labels": labels})


@pytest.mark.parity
@pytest.mark.parametrize("summary", [{"summary_activation": "tanh"}, {"summary_activation": ""}, {"summary_use_proj": False}])
def test_electra_s_summaries(double, summary):
    compare(*double("ElectraForMultipleChoice", **summary), *batch("ElectraForMultipleChoice"))


@pytest.mark.parity
@pytest.mark.parametrize("width", [4, 8])
def test_electra_with_and_without_an_embedding_projection(double, width):
    compare(*double("ElectraForTokenClassification", embedding_size=width), *batch("ElectraForTokenClassification"))


@pytest.mark.parity
@pytest.mark.parametrize("mask", [[0, 0, 1, 1, 1, 1, 1, 1, 1], [1, 1, 0, 1, 0, 1, 1, 0, 1], [1, 0, 0, 0, 0, 0, 0, 0, 0]])
def test_masks_of_every_shape(double, mask):
    inputs, labels = batch("BertForSequenceClassification", padded=False)
    inputs["attention_mask"][::2] = mask
    compare(*double("BertForSequenceClassification"), inputs, labels)


@pytest.mark.parity
def test_without_a_mask_padding_tokens_leave_their_embedding_as_it_is(double):
    """PyTorch's padding_idx: row 0 gets no gradient from the input, but one from the tied decoder."""
    inputs, labels = batch("BertForMaskedLM", padded=False)
    inputs["input_ids"][:, 4] = 0
    del inputs["attention_mask"]
    _, gradients = compare(*double("BertForMaskedLM"), inputs, labels)
    assert gradients["embeddings.word_embeddings.weight"][0].any()
    inputs, labels = batch("BertForTokenClassification", padded=False)
    inputs["input_ids"][:, 4] = 0
    _, gradients = compare(*double("BertForTokenClassification"), inputs, labels)
    assert not gradients["embeddings.word_embeddings.weight"][0].any()


@pytest.mark.parity
def test_class_weights_and_label_smoothing(double):
    torch = pytest.importorskip("torch")
    theirs, ours, parameters = double("BertForSequenceClassification")
    inputs, labels = batch("BertForSequenceClassification")
    weights, smoothing = np.array([0.5, 2.0, 1.25]), 0.15
    theirs.zero_grad()
    logits = theirs(**{key: torch.tensor(value) for key, value in inputs.items()}).logits
    expected = torch.nn.functional.cross_entropy(
        logits, torch.tensor(labels["labels"]), weight=torch.tensor(weights), label_smoothing=smoothing
    )
    expected.backward()
    loss, gradients = loss_and_gradients(
        ours, **inputs, **labels, parameters=parameters, class_weights=weights, label_smoothing=smoothing
    )
    assert abs(loss - expected.item()) < 1e-12
    assert np.abs(gradients["classifier.weight"] - theirs.classifier.weight.grad.numpy()).max() < 1e-11
    plain = loss_and_gradients(ours, **inputs, **labels, parameters=parameters)[0]
    assert (
        len({plain, loss, loss_and_gradients(ours, **inputs, **labels, parameters=parameters, class_weights=weights)[0]}) == 3
    )


@pytest.mark.parity
@pytest.mark.parametrize("name", ["BertForSequenceClassification", "BertForMaskedLM"])
def test_float32_gradients_are_no_further_from_float64_than_torch_s(name, tmp_path):
    """Root mean squares of a tensor; a model that is wide and a batch that is large enough to judge them."""
    pytest.importorskip("torch", reason="parity needs torch: pip install -e '.[test]'")
    transformers = pytest.importorskip("transformers", reason="parity needs transformers: pip install -e '.[test]'")
    sizes = dict(vocab_size=500, hidden_size=128, intermediate_size=512, num_attention_heads=4, num_hidden_layers=2)
    ours = getattr(minibert, name)(minibert.BertConfig(**sizes), seed=0)
    ours.save_pretrained(tmp_path)
    theirs = getattr(transformers, name).from_pretrained(tmp_path, attn_implementation="eager").eval()
    random = np.random.default_rng(0)
    ids = random.integers(1, 500, (32, 40))
    mask = (np.arange(40) < random.integers(5, 41, 32)[:, None]).astype(int)
    words = np.where(mask * (random.random(ids.shape) < 0.15), ids, -100)
    labels = {"labels": words if "Masked" in name else random.integers(0, 2, 32)}
    inputs = {"input_ids": ids * mask, "attention_mask": mask}
    _, gradients = loss_and_gradients(ours, **inputs, **labels)
    _, single = torch_loss_and_gradients(theirs, inputs, labels)
    _, exact = torch_loss_and_gradients(copy.deepcopy(theirs).double(), inputs, labels)

    def errors(compared):
        return {key: np.sqrt(np.square(compared[key] - exact[key]).mean()) for key in exact}

    judged = [key for key in exact if exact[key].size > 100]  # the classifier's bias has two numbers
    ratios = {key: errors(gradients)[key] / errors(single)[key] for key in judged}
    assert np.median(list(ratios.values())) < 1 and max(ratios.values()) < 1.2, ratios


@pytest.mark.parametrize("name", HEADS)
def test_head_loss_of_a_model_s_outputs_is_the_loss(name):
    model = model_of(name)
    inputs, labels = batch(name)
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


# --- Without torch: dropout, floats of 32 bits, mistakes ---------------------------------------------------------------


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
    padding = model.encoder_names.words + ".weight"
    direction[padding][0] = 0  # the row of padding is left as it is, so its gradient is not the slope
    slope = sum((gradient * direction[key]).sum() for key, gradient in gradients.items())
    step = 1e-6
    measured = (loss_at(step)[0] - loss_at(-step)[0]) / (2 * step)
    assert abs(measured - slope) < 1e-6 * max(abs(slope), 1)


RATES = {
    "bert": ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"),
    "distilbert": ("dropout", "attention_dropout", "seq_classif_dropout"),
    "electra": ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"),
}


@pytest.mark.parametrize(("family", "rate"), [(family, rate) for family, rates in RATES.items() for rate in rates])
def test_each_rate_of_dropout_has_an_effect_and_none_has_one_without_a_seed(family, rate):
    inputs, labels = batch("DistilBertForSequenceClassification")
    off = {**dict.fromkeys(RATES[family], 0.0), "num_labels": LABELS}
    model, dropping = small_model(family, **off), small_model(family, **{**off, rate: 0.5})
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


@pytest.mark.parametrize("name", ["BertForMaskedLM", "DistilBertForSequenceClassification", "ElectraForMultipleChoice"])
def test_float32_gradients_are_near_those_in_float64(name):
    model = model_of(name)
    inputs, labels = batch(name)
    loss, gradients = loss_and_gradients(model, **inputs, **labels)
    exact_loss, exact = loss_and_gradients(model, **inputs, **labels, parameters=in_double(model))
    assert type(loss) is float and abs(loss - exact_loss) < 1e-5 * exact_loss
    largest = max(np.abs(gradient).max() for gradient in exact.values())
    for key, gradient in gradients.items():
        assert gradient.dtype == np.float32
        assert np.abs(gradient - exact[key]).max() < 1e-4 * max(np.abs(exact[key]).max(), 1e-2 * largest), key


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
    with pytest.raises(ConfigError, match="a rate of dropout must be a number"):
        loss_and_gradients(
            model_of(SEQUENCES, hidden_dropout_prob="a tenth"), **inputs, labels=np.zeros(ROWS, int), dropout_seed=1
        )
    regression = model_of(SEQUENCES, problem_type="regression")
    with pytest.raises(InputError, match="class_weights and label_smoothing are for classes"):
        loss_and_gradients(regression, **inputs, labels=np.zeros((ROWS, LABELS)), label_smoothing=0.1)
    with pytest.raises(InputError, match="the shape of the logits"):
        loss_and_gradients(regression, **inputs, labels=np.zeros(ROWS))
    with pytest.raises(InputError, match="must be finite"):
        loss_and_gradients(regression, **inputs, labels=np.full((ROWS, LABELS), np.nan))


def test_eight_bit_weights_are_not_trained(tmp_path):
    small_model("bert", kernels="int8").save_pretrained(tmp_path)
    model = minibert.BertForSequenceClassification.from_pretrained(tmp_path)
    with pytest.raises(InputError, match="load the original checkpoint"):
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
