"""Numbers against transformers, in process: the yardstick is transformers in float64.

Our error against it must be no larger than transformers' own in float32 (root mean square over a tensor), and below
1e-5 of the largest value everywhere.
"""

import copy
import os

import numpy as np
import pytest
from longformer import softmax_in_the_type_of_its_input

import minibert

torch = pytest.importorskip("torch", reason="parity needs torch: pip install -e '.[test]'")
transformers = pytest.importorskip("transformers", reason="parity needs transformers: pip install -e '.[test]'")

SPACING = 2.0**-22  # two of float32's: the few numbers of tiny models cannot be judged more finely than that
FEW = 100
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
    share = 1.5 if os.environ.get("MINIBERT_ISA") else 1  # torch then has more instructions than the kernels
    if our_error.size < FEW:  # the two root mean squares of so few numbers differ by chance
        share = max(share, 1 + 2 / np.sqrt(our_error.size))
    assert rms(our_error) <= share * max(rms(their_error), floor)


def compare_all(theirs, ours, inputs):
    """`compare` for every number that a class gives."""
    answers = type(ours).__name__.endswith("QuestionAnswering")
    a_token_each = True if answers or type(ours).__name__ == "ElectraForPreTraining" else None
    if type(ours).__name__.endswith("MultipleChoice"):
        a_token_each = False
    for field in range(2 if answers else 1):
        compare(theirs, ours, inputs, field=field, a_token_each=a_token_each)


def check_names(theirs, ours, inputs):
    """The output's fields have their names and their order."""
    with torch.no_grad():
        names = list(theirs(**{key: torch.tensor(value) for key, value in inputs.items()}))
    assert list(ours(**inputs)) == names


def check_loads_back(ours, folder, inputs):
    """transformers reads what is saved here, misses nothing and knows everything, and gives the same numbers."""
    ours.save_pretrained(folder)
    model_class = getattr(transformers, type(ours).__name__)
    theirs, report = model_class.from_pretrained(folder, output_loading_info=True)
    assert not any(report.values())
    compare_all(theirs.eval(), ours, inputs)


def as_choices(inputs, name):
    """(B, T) -> (B / 3, 3, T) for a class that chooses among texts."""
    if not name.endswith("MultipleChoice"):
        return inputs
    return {key: value.reshape(-1, 3, value.shape[-1]) for key, value in inputs.items()}


def padded_anywhere(name, seed=0, length=7):
    """Rows whose padding is on the right, on the left, and in the middle; some ids are 1, RoBERTa's padding."""
    inputs = batch(12, length=length, seed=seed)
    inputs["attention_mask"][3] = [0, 0, 1, 1, 1, 1, 0] + [0] * (length - 7)
    inputs["attention_mask"][4] = [1, 0, 1, 1, 0, 0, 1] + [0] * (length - 7)
    inputs["input_ids"][5, 2] = 1
    return as_choices(inputs, name)


def rms(x):
    return np.sqrt((x * x).mean())
