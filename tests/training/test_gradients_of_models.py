"""Whole models: the loss and every tensor's gradient against transformers and torch.autograd, in float64.

Every family and every head, without dropout; differences are over the largest gradient of the tensor.
"""

import copy

import numpy as np
import pytest
from longformer import softmax_in_the_type_of_its_input
from training_batches import HEADS, LENGTH, ROWS, batch, model_of

import minibert
from minibert import loss_and_gradients


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


def torch_loss_and_gradients(theirs, inputs, labels):
    """transformers' loss, and the gradients by our names; of parameters that share a tensor, the one."""
    torch = pytest.importorskip("torch")
    arguments = {key: torch.tensor(value) for key, value in {**inputs, **labels}.items()}
    if theirs.config.problem_type in ("regression", "multi_label_classification"):
        arguments["labels"] = arguments["labels"].double()
    theirs.zero_grad()
    with softmax_in_the_type_of_its_input():
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
@pytest.mark.parametrize("family", ["Bert", "DistilBert", "Electra", "Roberta", "Longformer", "MPNet"])
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
@pytest.mark.parametrize("name", ["BertForSequenceClassification", "BertForMaskedLM", "ElectraForPreTraining"])
def test_masks_of_every_shape(double, name, mask):
    inputs, labels = batch(name, padded=False)
    inputs["attention_mask"][::2] = mask
    if name == "BertForMaskedLM":
        labels["labels"][inputs["attention_mask"] == 0] = -100
    compare(*double(name), inputs, labels)


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
@pytest.mark.parametrize("kernels", ["fast", "reference"])
@pytest.mark.parametrize("name", ["BertForSequenceClassification", "BertForMaskedLM"])
def test_float32_gradients_are_no_further_from_float64_than_torch_s(name, kernels, tmp_path):
    """Root mean squares of a tensor over several models that are wide, and batches that are large enough to judge them."""
    pytest.importorskip("torch", reason="parity needs torch: pip install -e '.[test]'")
    transformers = pytest.importorskip("transformers", reason="parity needs transformers: pip install -e '.[test]'")
    sizes = dict(vocab_size=500, hidden_size=128, intermediate_size=512, num_attention_heads=4, num_hidden_layers=2)
    squares: dict[str, list] = {}  # of the errors: ours, torch's
    for seed in range(4):
        ours = getattr(minibert, name)(minibert.BertConfig(**sizes), seed=seed)
        ours.save_pretrained(tmp_path / str(seed))
        theirs = getattr(transformers, name).from_pretrained(tmp_path / str(seed), attn_implementation="eager").eval()
        random = np.random.default_rng(seed)
        ids = random.integers(1, 500, (32, 40))
        mask = (np.arange(40) < random.integers(5, 41, 32)[:, None]).astype(int)
        words = np.where(mask * (random.random(ids.shape) < 0.15), ids, -100)
        labels = {"labels": words if "Masked" in name else random.integers(0, 2, 32)}
        inputs = {"input_ids": ids * mask, "attention_mask": mask}
        _, gradients = loss_and_gradients(ours, **inputs, **labels, kernels=kernels)
        _, single = torch_loss_and_gradients(theirs, inputs, labels)
        _, exact = torch_loss_and_gradients(copy.deepcopy(theirs).double(), inputs, labels)
        for key in exact:
            if exact[key].size > 100:  # the classifier's bias has two numbers
                errors = [np.square(compared[key] - exact[key]).sum() for compared in (gradients, single)]
                squares.setdefault(key, []).append(errors)
    ratios = {key: np.sqrt(np.divide(*np.sum(errors, axis=0))) for key, errors in squares.items()}
    assert np.median(list(ratios.values())) < 1 and max(ratios.values()) < 1.2, ratios
