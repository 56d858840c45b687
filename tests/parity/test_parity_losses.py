"""The loss of a call with labels against transformers', every family and every head, and the form in which it comes."""

import numpy as np
import pytest
from training_batches import HEADS, batch, model_of

import minibert
from minibert import InputError, loss_and_gradients

pytestmark = pytest.mark.parity

torch = pytest.importorskip("torch", reason="parity needs torch: pip install -e '.[test]'")
transformers = pytest.importorskip("transformers", reason="parity needs transformers: pip install -e '.[test]'")


@pytest.fixture
def both(tmp_path):
    """A class's name -> a model of transformers at random, and the same here."""

    def make(name, **changes):
        model_of(name, **changes).save_pretrained(tmp_path)
        return getattr(transformers, name).from_pretrained(tmp_path).eval(), getattr(minibert, name).from_pretrained(tmp_path)

    return make


def tensors(*mappings):
    return [{name: torch.tensor(values) for name, values in mapping.items()} for mapping in mappings]


def call(model, *mappings, **options):
    with torch.no_grad():
        return model(**{name: value for mapping in mappings for name, value in mapping.items()}, **options)


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("padded", [False, True])
def test_the_loss_is_theirs_and_comes_first(both, name, padded):
    theirs, ours = both(name, initializer_range=0.1)  # larger weights would make differences of rounding larger too
    inputs, labels = tensors(*batch(name, padded=padded))
    expected, output = call(theirs, inputs, labels), ours(**inputs, **labels)
    assert list(output) == list(expected) and list(output)[0] == "loss"
    assert output.loss.dtype == torch.float32 and output.loss.shape == () and not output.loss.requires_grad
    if padded and name.endswith("QuestionAnswering"):  # padding is no part of our softmax over tokens
        assert 0 < output.loss < expected.loss
    else:
        assert abs(output.loss - expected.loss) < 1e-6 * max(1, expected.loss)
    as_tuple = ours(**inputs, **labels, return_dict=False)
    assert torch.equal(as_tuple[0], output.loss) and torch.equal(as_tuple[1], output[1])


@pytest.mark.parametrize("name", HEADS)
def test_the_loss_of_arrays_is_a_number_and_that_of_training(name):
    model = model_of(name)
    inputs, labels = batch(name)
    output = model(**inputs, **labels)
    assert isinstance(output.loss, np.float32) and output["loss"] is output[0] is output.loss
    assert abs(output.loss - loss_and_gradients(model, **inputs, **labels)[0]) < 1e-5 * output.loss
    without = model(**inputs)
    assert without.loss is None and "loss" not in without
    assert all(np.array_equal(output[field], without[field]) for field in without)


PROBLEMS = {
    "one label: regression": ({"num_labels": 1}, [[0.5], [-1.0], [2.0]]),
    "one label, a flat list": ({"num_labels": 1}, [0.5, -1.0, 2.0]),
    "integers: classes": ({"num_labels": 3}, [0, 2, 1]),
    "floats: several labels each": ({"num_labels": 3}, [[0.0, 1.0, 1.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]),
    "regression of three": (
        {"num_labels": 3, "problem_type": "regression"},
        [[0.5, 1.5, -1.0], [1.0, 0.0, 0.0], [3.0, 2.0, 1.0]],
    ),
    "stated classes": ({"num_labels": 3, "problem_type": "single_label_classification"}, [2, 2, 0]),
}


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("name", ["BertForSequenceClassification", "DistilBertForSequenceClassification"])
def test_the_problem_is_derived_as_theirs_is(both, name, problem):
    changes, labels = PROBLEMS[problem]
    theirs, ours = both(name, initializer_range=0.1, **changes)  # as above
    ids = torch.tensor([[2, 5, 6, 3], [2, 7, 8, 3], [2, 9, 9, 3]])
    expected = call(theirs, {"input_ids": ids, "labels": torch.tensor(labels)}).loss
    assert abs(ours(ids, labels=torch.tensor(labels)).loss - expected) < 1e-6 * max(1, expected)
    assert abs(ours(ids.tolist(), labels=labels).loss - expected.item()) < 1e-6 * max(1, expected)


def test_labels_of_bfloat16_and_with_a_gradient_are_read(both):
    _, ours = both("BertForSequenceClassification", num_labels=1)
    ids = [[2, 5, 3], [2, 6, 3]]
    losses = [ours(ids, labels=torch.tensor([0.5, 2.0], **options)).loss for options in ({}, {"dtype": torch.bfloat16})]
    losses.append(ours(ids, labels=torch.tensor([0.5, 2.0], requires_grad=True)).loss)
    assert len({float(loss) for loss in losses}) == 1


def test_labels_that_a_head_does_not_take_are_refused():
    inputs, labels = batch("BertForQuestionAnswering")
    model = model_of("BertForQuestionAnswering")
    with pytest.raises(InputError, match="takes start_positions, end_positions; got start_positions"):
        model(**inputs, start_positions=labels["start_positions"])
    with pytest.raises(InputError, match="takes start_positions, end_positions; got labels"):
        model(**inputs, labels=[0] * 6)
    with pytest.raises(InputError, match="a BertModel has no head and so no loss"):
        model.base_model(**inputs, labels=[0] * 6)


@pytest.mark.parametrize("as_tensor", [False, True])
def test_backward_is_an_error_that_names_the_way(as_tensor):
    ids, labels = [[2, 5, 3]], [1]
    model = model_of("BertForSequenceClassification")
    loss = model(torch.tensor(ids), labels=torch.tensor(labels)).loss if as_tensor else model(ids, labels=labels).loss
    with pytest.raises(InputError, match="loss_and_gradients.*minibert.Trainer"):
        loss.backward()
    assert 0 < loss.item() < 10
