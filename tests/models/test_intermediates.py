"""minibert/models/intermediates.py: every step of a forward pass under its name, each following from those before it."""

import numpy as np
import pytest
from checkpoints import IDS, MASK, small_model
from explanations import FAMILIES as MODEL_TYPES

import minibert
from minibert import InputError, InputTypeError
from minibert.families import FAMILIES

CLASSES = [(model_type, head) for model_type in MODEL_TYPES for head in FAMILIES[model_type].heads]


def inputs_for(head):
    inputs = {"input_ids": IDS, "attention_mask": MASK}
    return {name: array[None] for name, array in inputs.items()} if "Choice" in head else inputs


@pytest.mark.parametrize(("model_type", "head"), CLASSES)
def test_the_last_steps_are_what_the_model_answers(model_type, head):
    model, inputs = small_model(model_type, head), inputs_for(head)
    steps, output = model.intermediates(**inputs), model(**inputs)
    assert list(steps)[-len(output) :] == list(output)
    for name, values in output.items():
        assert steps[name].shape == values.shape
        np.testing.assert_allclose(steps[name], values, atol=1e-5)


def norm(x, weight, bias, eps):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps) * weight + bias


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_each_step_follows_from_those_before_it(model_type):
    """In float64, by formulas that are written out here."""
    model = small_model(model_type)
    steps = model.intermediates(IDS, MASK)
    values = {name: step.array.astype(np.float64) for name, step in steps.items()}
    names, arch, tensors = model.encoder_names, model.architecture, model.tensors
    real = MASK.astype(bool)

    def weights(module):
        return tensors[f"{module}.weight"].astype(np.float64), tensors[f"{module}.bias"].astype(np.float64)

    def check(name, expected):
        np.testing.assert_allclose(values[name][real], expected[real], atol=2e-5, err_msg=name)

    check("embeddings.words", tensors[f"{names.words}.weight"][IDS])
    parts = [values[f"embeddings.{name}"] for name in ("words", "positions", "types") if f"embeddings.{name}" in values]
    assert len(parts) == (3 if names.types else 2)
    check("embeddings.sum", sum(parts))
    check("embeddings.norm", norm(values["embeddings.sum"], *weights(names.embedding_norm), arch.eps))
    hidden = values.get("embeddings.projection", values["embeddings.norm"])
    for index in range(arch.layers):
        layer = {name.removeprefix(f"layer.{index}."): array for name, array in values.items() if f"layer.{index}." in name}

        def linear(part, x, index=index):
            weight, bias = weights(names.of_layer(index, part))
            return x @ weight.T + bias

        for part in ("query", "key", "value"):
            check(f"layer.{index}.{part}", linear(part, hidden))
        heads = layer["value"].reshape(2, 5, arch.heads, -1).transpose(0, 2, 1, 3)
        context = (layer["attention"] @ heads).transpose(0, 2, 1, 3).reshape(2, 5, -1)
        np.testing.assert_allclose(layer["attention"].sum(-1)[np.repeat(real[:, None], arch.heads, 1)], 1, atol=1e-6)
        check(f"layer.{index}.context", context)
        check(f"layer.{index}.attention_out", linear("attention_out", layer["context"]))
        check(f"layer.{index}.attention_sum", hidden + layer["attention_out"])
        after = layer["attention_norm"]
        check(
            f"layer.{index}.attention_norm",
            norm(layer["attention_sum"], *weights(names.of_layer(index, "attention_norm")), arch.eps),
        )
        check(f"layer.{index}.feed_forward_in", linear("feed_forward_in", after))
        check(f"layer.{index}.feed_forward_out", linear("feed_forward_out", layer[f"feed_forward_in.{arch.activation}"]))
        check(f"layer.{index}.output_sum", after + layer["feed_forward_out"])
        hidden = layer["output_norm"]
        check(f"layer.{index}.output_norm", norm(layer["output_sum"], *weights(names.of_layer(index, "output_norm")), arch.eps))


def test_padding_is_zeros_and_changes_no_step():
    model = small_model("bert")
    padded, alone = model.intermediates(IDS, MASK), model.intermediates(IDS[1:, :3])
    for name, step in padded.items():
        if step.array.ndim == 3:
            np.testing.assert_array_equal(step.array[1, 3:], 0, err_msg=name)
            expected = alone[name].array[0]
            np.testing.assert_allclose(step.array[1, :3], expected, rtol=0, atol=1e-6 * np.abs(expected).max(), err_msg=name)


def test_a_step_says_its_shape_and_the_function_that_computed_it():
    steps = small_model("bert").intermediates(IDS)
    assert repr(steps["layer.1.attention"]) == "layer.1.attention (2, 2, 5, 5) by kernels/reference.py: softmax"
    assert steps["embeddings.sum"].function == "kernels/composed.py: embed"
    assert steps["logits"].function == "minibert/models/pooling.py: PooledClassifier.head_outputs"


@pytest.mark.parametrize("kernels", ["fast", "int8"])
def test_other_kernels_have_the_same_steps(kernels):
    steps, reference = (small_model("bert", kernels=name).intermediates(IDS, MASK) for name in (kernels, "reference"))
    assert list(steps) == list(reference)
    for name in steps:
        np.testing.assert_array_equal(steps[name].array, reference[name].array)


def test_embeddings_of_the_caller_s_give_the_same_steps():
    model = small_model("electra")
    words = model.tensors[f"{model.encoder_names.words}.weight"][IDS]
    steps, of_ids = model.intermediates(inputs_embeds=words), model.intermediates(IDS)
    for name in of_ids:
        np.testing.assert_array_equal(steps[name].array, of_ids[name].array)


def test_windows_are_refused_with_what_to_call_instead():
    with pytest.raises(InputError, match="a LongformerModel has windows. Call it with output_hidden_states=True"):
        small_model("longformer", "Model").intermediates(IDS)


def test_a_call_without_inputs_is_refused():
    with pytest.raises(InputTypeError, match="input_ids must be whole numbers"):
        small_model("bert").intermediates()


def test_weights_of_8_bits_are_read_as_floats():
    """As the reference kernels read them from the files."""
    load = minibert.AutoModelForSequenceClassification.from_pretrained
    steps, of_floats = (load("minibert-sst2", kernels=name).intermediates(IDS) for name in ("int8", "reference"))
    assert list(steps) == list(of_floats)
    for name in of_floats:
        np.testing.assert_array_equal(steps[name].array, of_floats[name].array)


def test_the_bundled_model_of_8_bits_is_explained():
    pipe = minibert.pipeline("text-classification", model="minibert-sst2")
    model = pipe.model
    explanation = minibert.explain(pipe, "I love it")
    assert pipe.model is model and "POSITIVE" in explanation.to_html()
