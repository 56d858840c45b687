"""minibert/families/longformer.py against transformers, in process.

tests/support/checkpoints.py has a small Longformer, so test_models.py, test_heads.py, test_config.py and others run it too.
"""

import tracemalloc

import numpy as np
import pytest
from checkpoints import small_config, small_model
from longformer import softmax_in_the_type_of_its_input
from parity import as_choices, batch, check_loads_back, check_names, compare, compare_all, torch

from minibert import ConfigError, InputError, LongformerForSequenceClassification
from minibert.families import FAMILIES

CLASSES = [f"Longformer{head}" for head in FAMILIES["longformer"].heads]
SIZES = {"max_position_embeddings": 130, "type_vocab_size": 1, "attention_window": [8, 16]}
SEPARATOR = 2
PRESETS = ["reference", "naive", "fast"]


def inputs_for(name, seed=0, length=9, with_global=False):
    """Rows whose padding is on the right and in the middle. Each has the three separators of a pair if the class reads them."""
    inputs = batch(12, length=length, seed=seed)
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    if length > 6:
        mask[3, 2:4], mask[:, :6] = 0, 1
        ids[ids == SEPARATOR] = 7
        ids[:, [2, 3, 5]] = SEPARATOR
    if with_global:
        inputs["global_attention_mask"] = np.random.default_rng(seed).integers(0, 2, ids.shape) * mask
    return as_choices(inputs, name)


@pytest.mark.parity
@pytest.mark.parametrize("kernels", PRESETS)
@pytest.mark.parametrize("name", CLASSES)
def test_every_class_gives_the_same_numbers_under_the_same_names(pair, name, kernels):
    theirs, ours = pair(name, kernels, **SIZES)
    for length in (9, 16, 75, 128):
        compare_all(theirs, ours, inputs_for(name, length=length))
        compare_all(theirs, ours, inputs_for(name, length=length, with_global=True))
    check_names(theirs, ours, inputs_for(name))


@pytest.mark.parity
@pytest.mark.parametrize("length", [*range(1, 20), 63, 64, 65])
def test_every_length_around_the_window_is_theirs(pair, length):
    theirs, ours = pair("LongformerForSequenceClassification", **SIZES)
    compare(theirs, ours, inputs_for("", length=length))


@pytest.mark.parity
@pytest.mark.parametrize("kernels", ["reference", "fast"])
def test_four_thousand_tokens_are_theirs(pair, kernels):
    theirs, ours = pair("LongformerForSequenceClassification", kernels, max_position_embeddings=4098, attention_window=512)
    for length in (513, 3000, 4096):
        compare(theirs, ours, batch(1, length=length, padded=False), floor=2e-6)  # of two numbers
    changed = batch(1, length=3000, padded=False)
    before = ours(**changed).logits
    changed["input_ids"][0, 2500] += 1
    assert not np.array_equal(before, ours(**changed).logits)


@pytest.mark.parity
@pytest.mark.parametrize("name", CLASSES)
def test_transformers_loads_back_every_class_saved_here(pair, name, tmp_path):
    _, ours = pair(name, **SIZES)
    check_loads_back(ours, tmp_path / "saved", inputs_for(name))


@pytest.mark.parity
@pytest.mark.parametrize("kernels", ["reference", "fast"])
@pytest.mark.parametrize("length", [5, 23])
@pytest.mark.parametrize("with_global", [False, True])
def test_hidden_states_and_attentions_are_laid_out_as_theirs(pair, kernels, length, with_global):
    theirs, ours = pair("LongformerModel", kernels, attention_window=8)
    inputs = batch(4, length=length)
    inputs["attention_mask"][:, :3] = 1
    inputs["attention_mask"][0, 1] = 0
    if with_global:
        inputs["global_attention_mask"] = np.zeros((4, length), int)
        inputs["global_attention_mask"][:, 0] = inputs["global_attention_mask"][2, 2] = 1
    requests = {"output_attentions": True, "output_hidden_states": True}
    with torch.no_grad(), softmax_in_the_type_of_its_input():
        expected = theirs(**{key: torch.tensor(value) for key, value in inputs.items()}, **requests)
    output = ours(**inputs, **requests)
    assert list(output) == list(expected)
    mask = inputs["attention_mask"].astype(bool)
    for one, other in zip(output.hidden_states, expected.hidden_states, strict=True):
        np.testing.assert_allclose(one[mask], other.numpy()[mask], atol=1e-5)
    for one, other in zip(output.attentions, expected.attentions, strict=True):
        assert one.shape == other.shape
        of_local = mask & (inputs["global_attention_mask"] == 0) if with_global else mask
        np.testing.assert_allclose(one.swapaxes(1, 2)[of_local], other.numpy().swapaxes(1, 2)[of_local], atol=1e-5)
    if with_global:
        for one, other in zip(output.global_attentions, expected.global_attentions, strict=True):
            np.testing.assert_allclose(
                one[2], other.numpy()[2, :, :length], atol=1e-5
            )  # the row that has two; theirs is padded


@pytest.mark.parametrize("kernels", ["fast", "int8", "bf16"])
@pytest.mark.parametrize("head", ["Model", "ForSequenceClassification"])
def test_a_row_has_the_same_bits_alone_and_in_a_batch(kernels, head):
    sizes = {"hidden_size": 64, "intermediate_size": 96, "max_position_embeddings": 700, "attention_window": 32}
    model = small_model("longformer", head, kernels=kernels, **sizes)
    inputs = batch(6, length=600, vocabulary=33)
    together = model(**inputs)[0]
    for row, length in enumerate(inputs["attention_mask"].sum(axis=1)):
        alone = model(inputs["input_ids"][row : row + 1, :length])[0][0]
        assert np.array_equal(together[row, :length] if head == "Model" else together[row], alone)


@pytest.mark.parametrize("kernels", ["reference", "naive", "fast", "int8", "bf16"])
def test_no_array_has_a_value_for_each_pair_of_tokens(kernels):
    """The peak of four times the tokens is about four times as high; full attention's would be sixteen times."""
    sizes = {"hidden_size": 32, "intermediate_size": 32, "max_position_embeddings": 4098, "attention_window": 64}
    model = small_model("longformer", kernels=kernels, **sizes)
    peaks = []
    for length in (1024, 4096):
        ids = np.full((1, length), 7)
        model(ids)
        tracemalloc.start()
        model(ids)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 6 * peaks[0]
    assert peaks[1] < 4096 * 4096


@pytest.mark.parametrize("kernels", ["int8", "bf16"])
def test_fewer_bits_change_little(kernels):
    sizes = {"hidden_size": 64, "intermediate_size": 96, "max_position_embeddings": 300, "initializer_range": 0.05}
    exact, rounded = (small_model("longformer", "Model", kernels=name, **sizes) for name in ("reference", kernels))
    inputs = batch(4, length=250, vocabulary=33)
    expected = exact(**inputs).last_hidden_state
    assert np.abs(rounded(**inputs).last_hidden_state - expected).max() < 0.1 * np.abs(expected).max()


@pytest.mark.parametrize("window", [0, 3, -2, True, 2.0, "8", None, [], [4], [4, 3], [4, 4, 4]])
def test_a_window_that_is_none_is_a_config_error(window):
    with pytest.raises(ConfigError, match="^attention_window must"):
        small_config("longformer", attention_window=window)


def test_a_global_mask_must_fit():
    model = small_model("longformer", "Model")
    ids = np.full((2, 5), 7)
    with pytest.raises(InputError, match=r"global_attention_mask must have the shape of input_ids, \(2, 5\); got \(5,\)"):
        model(ids, global_attention_mask=[1, 0, 0, 0, 0])
    with pytest.raises(InputError, match="global_attention_mask must hold 1 for a token with global attention"):
        model(ids, global_attention_mask=ids)
    with pytest.raises(InputError, match="a model with windows takes one mask for all queries"):
        model(ids, attention_mask=np.ones((2, 5, 5), int))


def test_a_question_without_its_separators_is_an_input_error():
    model = small_model("longformer", "ForQuestionAnswering", sep_token_id=2)
    with pytest.raises(InputError, match="must have 3 separators, tokens of id 2, .*; got 1. .* pass global_attention_mask"):
        model([[0, 5, 6, 2]])
    model([[0, 5, 6, 2]], global_attention_mask=[[1, 1, 1, 1]])


def test_the_first_token_is_global_if_a_text_is_classified():
    model = small_model("longformer", max_position_embeddings=66, attention_window=2)
    assert isinstance(model, LongformerForSequenceClassification)
    ids = np.random.default_rng(0).integers(5, 33, (3, 60))
    first = np.zeros((3, 60), int)
    first[:, 0] = 1
    assert np.array_equal(model(ids).logits, model(ids, global_attention_mask=first).logits)
    assert not np.array_equal(model(ids).logits, model(ids, global_attention_mask=first * 0).logits)
