"""What a model's call takes and refuses, rule by rule, for a classifier; test_inputs.py has every head.

The numbers are compared with transformers in test_parity_models.py.
"""

import numpy as np
import pytest
from checkpoints import IDS, MASK, MODEL_TYPES, close, small_model

from minibert import InputError, InputTypeError

# --- The lesson on batches -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ids", [[2, 5, 3], np.array([2, 5, 3]), (2, 5, 3)])
def test_one_sequence_without_the_batch_axis_is_told_to_add_it(ids):
    with pytest.raises(InputError, match=r"one sequence of shape \(3,\). Add the batch axis: np.array\(\[ids\]\)"):
        small_model()(ids)


def test_rows_of_different_lengths_are_told_of_padding():
    with pytest.raises(InputError, match="input_ids .* rows of different lengths. Call the tokenizer with padding=True"):
        small_model()([[2, 5, 3], [2, 3]])
    with pytest.raises(InputError, match="attention_mask .* rows of different lengths"):
        small_model()(IDS, attention_mask=[[1], [1, 1]])


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_padding_changes_the_short_row_without_its_mask_and_not_with_it(model_type):
    model = small_model(model_type)
    alone = model(IDS[1:, :3]).logits[0]
    without, masked = model(IDS).logits, model(IDS, attention_mask=MASK).logits
    assert not close(without[1], alone) and close(masked[1], alone)
    assert close(without[0], masked[0]) and close(masked[0], model(IDS[:1]).logits[0])


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_padding_on_the_left_moves_positions_unless_position_ids_put_them_back(model_type):
    model = small_model(model_type, "Model")
    alone = model([[2, 9, 3]]).last_hidden_state[0]
    ids, mask, positions = [[0, 0, 2, 9, 3]], [[0, 0, 1, 1, 1]], np.array([[0, 0, 0, 1, 2]])
    if model.architecture.position_padding_id is not None:  # whose positions count no padding, and start after its id
        positions += model.architecture.position_padding_id + 1
    assert not close(model(ids, mask).last_hidden_state[0, 2:], alone)  # 0 is no padding of such a model
    back = model(ids, mask, position_ids=positions).last_hidden_state[0]
    assert close(back[2:], alone) and back[0].any()  # the first one is always there, unseen
    if model.architecture.relative_buckets == 0 and model.architecture.windows is None:  # distances do not count
        assert not back[1].any()


@pytest.mark.parametrize("mask", [MASK.tolist(), MASK.astype(bool), MASK.astype(np.float64), MASK.astype(np.uint8)])
def test_a_mask_may_be_of_any_type_that_holds_ones_and_zeros(mask):
    model = small_model()
    assert np.array_equal(model(IDS, mask).logits, model(IDS, MASK).logits)


@pytest.mark.parametrize("mask", [MASK[:1], MASK[0], MASK.T, 1, [], MASK[None]], ids=lambda mask: str(np.shape(mask)))
def test_a_mask_of_another_shape_is_refused(mask):
    with pytest.raises(InputError, match=r"attention_mask must have the shape of input_ids, \(2, 5\); got \("):
        small_model()(IDS, mask)


@pytest.mark.parametrize("value", [2, -1, 0.5, -10000.0, np.nan, "1", None])
def test_a_mask_of_other_values_is_refused(value):
    mask = MASK.tolist()
    mask[0][0] = value
    with pytest.raises(InputError, match="attention_mask must hold 1 for a token and 0 for padding"):
        small_model()(IDS, np.array(mask))


@pytest.mark.parametrize("kernels", ["reference", "naive"])
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_row_that_is_wholly_masked_is_finite_and_changes_no_other(model_type, kernels):
    model = small_model(model_type, kernels=kernels)
    output = model(IDS, [[1, 1, 1, 1, 1], [0, 0, 0, 0, 0]], output_hidden_states=True, output_attentions=True)
    assert close(output.logits[0], model(IDS[:1]).logits[0])
    for array in (output.logits, *output.hidden_states, *output.attentions):
        assert np.isfinite(array).all()


# --- What is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_an_input_over_the_limit_is_refused_with_the_limit_and_its_length(model_type):
    model = small_model(model_type)
    assert model([[5] * 16]).logits.shape == (1, 2)
    with pytest.raises(InputError, match="may have 16 tokens, .*; got 17. Call the tokenizer with truncation=True"):
        model([[5] * 17])
    assert close(model([[5] * 16 + [0] * 4], [[1] * 16 + [0] * 4]).logits, model([[5] * 16]).logits)


@pytest.mark.parametrize("token_id", [-1, 10**3, 2**31, -(2**63), 2**63, np.iinfo(np.uint64).max])
def test_an_id_that_the_vocabulary_does_not_have_is_refused(token_id):
    with pytest.raises(InputError, match="input_ids must be from 0 to .*; got from .* Was another model's tokenizer"):
        small_model()(np.array([[2, token_id]]) if token_id < 2**63 else np.array([[2, token_id]], np.uint64))


@pytest.mark.parametrize(
    "ids",
    [
        [[2.0, 5.0]],
        [["2", "5"]],
        "good film",
        [[2, None]],
        [[True, False]],
        [[2**70, 5]],
        {"input_ids": [[2]]},
        b"x",
        5.5,
        None,
    ],
    ids=repr,
)
def test_what_is_no_whole_number_is_refused_by_its_type(ids):
    with pytest.raises(InputTypeError, match=r"input_ids must be whole numbers of shape \(B, T\); got "):
        small_model()(ids)


@pytest.mark.parametrize("shape", [(2, 0), (0, 0), (1, 2, 3), ()])
def test_a_batch_without_two_axes_or_without_a_token_is_refused(shape):
    with pytest.raises(InputError, match=r"shape \(B, T\) with T at least 1; got \("):
        small_model()(np.zeros(shape, int))


@pytest.mark.parametrize("kernels", ["reference", "naive"])
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_batch_of_no_rows_has_an_answer_of_no_rows(model_type, kernels):
    output = small_model(model_type, kernels=kernels)(np.zeros((0, 4), int), output_attentions=True)
    assert output.logits.shape == (0, 2) and output.attentions[0].shape == (0, 2, 4, 5 if model_type == "longformer" else 4)
    assert small_model(model_type, "Model", kernels=kernels)(np.zeros((0, 4), int)).last_hidden_state.shape == (0, 4, 8)


@pytest.mark.parametrize("name, limit", [("token_type_ids", 1), ("position_ids", 15)])
def test_types_and_positions_are_checked_as_ids_are(name, limit):
    model = small_model("bert")
    for values, message in [
        ([[-1] * 5] * 2, f"{name} must be from 0 to {limit}"),
        ([[0, 0]], "the shape of input_ids"),
        ([[0.5] * 5] * 2, f"{name} must be whole numbers"),
        ([[0], [0, 0]], "different lengths"),
    ]:
        with pytest.raises(InputError, match=message):
            model(IDS, **{name: values})
    with pytest.raises(InputError, match="token_type_ids must be from 0 to 1; got from 0 to 2"):
        model(IDS, token_type_ids=[[0, 0, 0, 0, 2]] * 2)
    with pytest.raises(InputError, match="16 tokens, the positions this model has; got 17"):
        model(IDS, position_ids=[[0, 1, 2, 3, 16]] * 2)


def test_token_types_change_bert_and_are_ignored_by_distilbert():
    types = [[0, 0, 1, 1, 1]] * 2
    assert not close(small_model("bert")(IDS, token_type_ids=types).logits, small_model("bert")(IDS).logits)
    assert np.array_equal(small_model()(IDS, token_type_ids=types).logits, small_model()(IDS).logits)
