"""Numbers against transformers, in process: the yardstick is transformers in float64.

Our error against it must be no larger than transformers' own in float32 (root mean square over a tensor), and below
1e-5 of the largest value everywhere.
"""

import copy

import numpy as np
import pytest
from longformer import softmax_in_the_type_of_its_input

import minibert

torch = pytest.importorskip("torch", reason="parity needs torch: pip install -e '.[test]'")
transformers = pytest.importorskip("transformers", reason="parity needs transformers: pip install -e '.[test]'")

SPACING = 2.0**-22  # two of float32's: the few numbers of tiny models cannot be judged more finely than that
BERT = dict(vocab_size=99, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=37)
DISTILBERT = dict(vocab_size=99, dim=32, n_layers=2, n_heads=4, hidden_dim=37)
ELECTRA = {**BERT, "embedding_size": 16}
DEFAULTS = {
    "BertConfig": BERT,
    "DistilBertConfig": DISTILBERT,
    "ElectraConfig": ELECTRA,
    "RobertaConfig": BERT,
    "LongformerConfig": {**BERT, "attention_window": 8},
    "MPNetConfig": BERT,
}


def make_pair(folder, class_name, kernels="auto", noise=0.1, **sizes):
    """Save a random transformers model of a class and configuration -> (it, what is loaded from `folder` here)."""
    torch.manual_seed(0)
    config_name = class_name.split("Model")[0].split("For")[0] + "Config"
    defaults = DEFAULTS[config_name]
    theirs = getattr(transformers, class_name)(getattr(transformers, config_name)(**{**defaults, **sizes})).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():  # their initial norms and biases are ones and zeros
            parameter.add_(torch.randn_like(parameter) * noise)
    theirs.save_pretrained(folder)
    return theirs, getattr(minibert, class_name).from_pretrained(folder, kernels=kernels)


def batch(rows=13, length=7, vocabulary=99, types=None, seed=0, padded=True):
    random = np.random.default_rng(seed)
    inputs = {"input_ids": random.integers(0, vocabulary, (rows, length))}
    inputs["attention_mask"] = np.ones((rows, length), int)
    if padded:
        for row, real in enumerate(random.integers(1, length + 1, rows)):
            inputs["attention_mask"][row, real:] = 0
    if types:
        inputs["token_type_ids"] = random.integers(0, types, (rows, length))
    return inputs


def compare(theirs, ours, inputs, floor=SPACING, field=0, a_token_each=None):
    """Hold one output to the yardstick, where the mask is 1; `a_token_each` says that a number belongs to a token."""
    tensors = {name: torch.tensor(array) for name, array in inputs.items()}
    with torch.no_grad():
        single = theirs.float()(**tensors)[field].numpy()
        with softmax_in_the_type_of_its_input():
            exact = copy.deepcopy(theirs).double()(**tensors)[field].numpy()
    output = ours(**inputs)[field]
    assert output.dtype == np.float32 and output.shape == exact.shape
    masked = exact.ndim == 3 if a_token_each is None else a_token_each
    mask = inputs["attention_mask"].astype(bool) if masked else slice(None)
    scale = np.abs(exact[mask]).max()
    our_error, their_error = ((x - exact)[mask] / scale for x in (output, single))
    assert np.abs(our_error).max() < 1e-5
    assert rms(our_error) <= max(rms(their_error), floor)


def rms(x):
    return np.sqrt((x * x).mean())
