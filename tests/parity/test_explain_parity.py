"""Every step of a pass, contributions and attributions against transformers and torch.autograd, in process."""

import numpy as np
import pytest
from parity import batch, torch

from minibert.explanation.gradients import integrated_gradients
from minibert.explanation.readout import Readout
from minibert.explanation.targets import Target

CLASSES = [
    "BertForSequenceClassification",
    "DistilBertForSequenceClassification",
    "ElectraForSequenceClassification",
    "MPNetForSequenceClassification",
]


@pytest.mark.parity
@pytest.mark.parametrize("name", CLASSES)
def test_hidden_states_and_attentions_are_theirs(pair, name):
    theirs, ours = pair(name)
    inputs = batch(3)
    with torch.no_grad():
        theirs.set_attn_implementation("eager")
        arguments = {key: torch.tensor(value) for key, value in inputs.items()}
        expected = theirs(**arguments, output_attentions=True, output_hidden_states=True)
    steps = ours.intermediates(**inputs)
    real = inputs["attention_mask"].astype(bool)
    first = "embeddings.projection" if "embeddings.projection" in steps else "embeddings.norm"
    names = [first, *(f"layer.{index}.output_norm" for index in range(ours.architecture.layers))]
    for step, other in zip(names, expected.hidden_states, strict=True):
        np.testing.assert_allclose(steps[step].array[real], other.numpy()[real], atol=1e-5, err_msg=step)
    for index, other in enumerate(expected.attentions):
        queries = np.repeat(real[:, None], other.shape[1], 1)
        np.testing.assert_allclose(steps[f"layer.{index}.attention"].array[queries], other.numpy()[queries], atol=1e-5)
    np.testing.assert_allclose(steps["logits"], expected.logits.numpy(), atol=1e-5)


@pytest.mark.parity
@pytest.mark.parametrize("name", CLASSES)
def test_integrated_gradients_are_those_of_autograd(pair, name):
    """The same Gauss-Legendre sum over torch's gradients by `inputs_embeds`."""
    theirs, ours = pair(name)
    ids = np.array([[2, 7, 9, 11, 5, 3]])
    baseline = np.array([2, 1, 1, 1, 1, 3])
    targets = [Target("first", 0, 0, "softmax"), Target("second", 0, 1, "softmax")]
    result = integrated_gradients(ours, Readout(ours), ours.pack(ids), baseline, targets)
    table = theirs.get_input_embeddings().weight.detach()
    start, end = table[torch.tensor(baseline)], table[torch.tensor(ids[0])]
    nodes, weights = np.polynomial.legendre.leggauss(result.steps)
    expected = torch.zeros(2, len(baseline))
    for node, weight in zip((nodes + 1) / 2, weights / 2):
        for target in targets:
            words = (start + float(node) * (end - start)).requires_grad_()
            theirs(inputs_embeds=words[None]).logits[0, target.column].backward()
            expected[target.column] += float(weight) * (words.grad * (end - start)).sum(dim=1)
    np.testing.assert_allclose(result.values, expected.numpy(), atol=2e-5)
