"""What a model's call may be given, over every head and both ends of the kernels: an answer, or an error with the rule.

test_input_rules.py has the rules one by one, for a classifier.
"""

import numpy as np
import pytest
from checkpoints import NAMES, small_model

import minibert
from minibert import InputError, InputTypeError

HEADS = [
    "Model",
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
    "ForMaskedLM",
    "ForMultipleChoice",
    "ForNextSentencePrediction",
    "ForPreTraining",
]
CLASSES = [(model_type, head) for model_type in NAMES for head in HEADS if hasattr(minibert, NAMES[model_type] + head)]
KERNELS = ["reference", "fast"]


@pytest.fixture(params=[(kernels, *pair) for kernels in KERNELS for pair in CLASSES], ids="-".join)
def model(request):
    kernels, model_type, head = request.param
    return small_model(model_type, head, kernels=kernels)


def shaped(model, rows, length):
    """The shape of so many rows; of each, where it is a choice, two."""
    return (rows, 2, length) if "MultipleChoice" in type(model).__name__ else (rows, length)


def test_a_batch_of_no_rows_has_answers_of_no_rows(model):
    ids = np.zeros(shaped(model, 0, 4), int)
    for mask in (None, ids):
        output = model(ids, mask, output_hidden_states=True, output_attentions=True)
        for array in (*output.to_tuple()[:-2], *output.hidden_states, *output.attentions):
            assert array.shape[0] == 0


@pytest.mark.parametrize("rows", [0, 2])
def test_rows_without_a_token_are_refused(model, rows):
    with pytest.raises(InputError, match=r"input_ids must be of shape \(B, T\) with T at least 1; got"):
        model(np.zeros(shaped(model, rows, 0), int))


def test_rows_that_are_wholly_masked_have_finite_answers_and_change_no_other(model):
    ids = np.random.default_rng(0).integers(0, 30, shaped(model, 3, 6))
    mask = np.ones_like(ids)
    mask[1] = 0
    output = model(ids, mask, output_hidden_states=True, output_attentions=True)
    for array in (*output.to_tuple()[:-2], *output.hidden_states, *output.attentions):
        assert np.isfinite(array).all()
    alone = model(ids[[0, 2]], mask[[0, 2]])
    for array, expected in zip(output.to_tuple(), alone.to_tuple()):
        assert np.allclose(array[[0, 2]], expected, atol=1e-5)
    assert np.isfinite(model(ids, np.zeros_like(ids))[0]).all()


def test_a_row_that_is_wholly_masked_is_its_first_token_alone(model):
    """As the README says where it lists what differs from transformers."""
    ids = np.random.default_rng(0).integers(5, 30, shaped(model, 3, 6))
    mask = np.ones_like(ids)
    mask[1] = 0
    masked, alone = model(ids, mask, output_hidden_states=True), model(ids[1:2, ..., :1], output_hidden_states=True)
    for state, expected in zip(masked.hidden_states, alone.hidden_states):
        rows = state.reshape(*ids.shape, -1)[1]
        assert not rows[..., 1:, :].any() and rows[..., :1, :].all()
        if not model.architecture.windows:  # a Longformer's token does not see itself
            assert np.allclose(rows[..., :1, :], expected, atol=1e-5)


@pytest.mark.parametrize("model_type", NAMES)
def test_states_where_the_mask_is_0_are_zeros_but_for_those_that_the_readme_names(model_type):
    states = small_model(model_type, "Model")(np.arange(5, 11)[None], [[0, 0, 1, 1, 0, 0]]).last_hidden_state[0]
    between = model_type in ("mpnet", "longformer")
    assert [bool(state.any()) for state in states] == [True, between, True, True, False, False]


def test_forward_is_the_call(model):
    ids = np.random.default_rng(0).integers(5, 30, shaped(model, 2, 6))
    for answer in (model.forward(ids), model.forward(input_ids=ids, attention_mask=np.ones_like(ids))):
        assert all(map(np.array_equal, answer.to_tuple(), model(ids).to_tuple()))
    with pytest.raises(InputTypeError, match="got 'inputs'|unexpected keyword argument 'inputs'"):
        model.forward(inputs=ids)


WRONG = {
    "an id below 0": (lambda ids: ids - 1, InputError, "input_ids must be from 0 to"),
    "an id past the end": (lambda ids: ids + 10**6, InputError, "input_ids must be from 0 to"),
    "an id that wraps round": (lambda ids: ids.astype(np.uint64) + np.uint64(2**64 - 1), InputError, "input_ids must be from"),
    "fractions": (lambda ids: ids + 0.5, InputTypeError, "input_ids must be whole numbers"),
    "whole fractions": (lambda ids: ids.astype(np.float32), InputTypeError, "input_ids must be whole numbers"),
    "complex numbers": (lambda ids: ids.astype(complex), InputTypeError, "input_ids must be whole numbers"),
    "dates": (lambda ids: ids.astype("M8[s]"), InputTypeError, "input_ids must be whole numbers"),
    "objects": (lambda ids: np.full(ids.shape, None), InputTypeError, "input_ids must be whole numbers"),
    "letters": (lambda ids: ids.astype(str), InputTypeError, "input_ids must be whole numbers"),
    "an axis too many": (lambda ids: ids[..., None], InputError, "input_ids must be of shape"),
    "an axis too few": (lambda ids: ids[0], InputError, "input_ids must be of shape"),
    "more tokens than positions": (lambda ids: np.repeat(ids, 100, axis=-1), InputError, "may have 16 tokens"),
}


@pytest.mark.parametrize("change, error, message", WRONG.values(), ids=WRONG)
def test_wrong_ids_are_refused_with_the_rule(model, change, error, message):
    with pytest.raises(error, match=message):
        model(change(np.zeros(shaped(model, 2, 3), int)))


@pytest.mark.parametrize("name", ["attention_mask", "token_type_ids", "position_ids"])
def test_what_stands_beside_the_ids_must_have_their_shape(model, name):
    if name == "token_type_ids" and not model.encoder_names.types:
        pytest.skip("a model without token types ignores them")
    ids = np.zeros(shaped(model, 2, 3), int)
    for other in (np.zeros(shaped(model, 2, 4), int), np.zeros(shaped(model, 3, 3), int), ids[..., None]):
        with pytest.raises(InputError, match=f"{name} must have the shape of input_ids"):
            model(ids, **{name: other})


@pytest.mark.parametrize(
    "odd", [{1, 2}, (index for index in (1, 2)), {}, object(), "[[1]]"], ids=lambda odd: type(odd).__name__
)
def test_what_is_no_array_is_refused_by_its_type(odd):
    with pytest.raises(InputTypeError, match=r"input_ids must be whole numbers of shape \(B, T\); got"):
        small_model()(odd)


def test_positions_that_no_integer_holds_are_refused():
    for position in (2**63 - 1, -(2**63), 2**40):
        with pytest.raises(InputError, match="16 tokens, the positions this model has|position_ids must be from 0 to 15"):
            small_model()([[1, 2]], position_ids=np.array([[0, position]]))


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("model_type", NAMES)
def test_a_hundred_thousand_rows_are_an_answer_like_any_other(model_type, kernels):
    model = small_model(model_type, kernels=kernels)
    ids = np.random.default_rng(0).integers(0, 30, (100_000, 3))
    logits = model(ids).logits
    assert logits.shape == (100_000, 2)
    for start in (0, 54_321, 99_990):
        assert np.allclose(logits[start : start + 10], model(ids[start : start + 10]).logits, atol=1e-5)
