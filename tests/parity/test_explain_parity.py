"""Every step of a pass, contributions and attributions against transformers and torch.autograd, in process."""

import numpy as np
import pytest
from parity import batch, torch

CLASSES = ["BertForSequenceClassification", "DistilBertForSequenceClassification", "ElectraForSequenceClassification"]


@pytest.mark.parity
@pytest.mark.parametrize("name", [*CLASSES, "MPNetForSequenceClassification"])
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
