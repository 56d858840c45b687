"""What else a call takes, every family and every head against transformers: tensors, embeddings in place of ids, masks for
each query; and weights, parts and counts of a model."""

import numpy as np
import pytest
from parity import batch, torch, transformers

import minibert
from minibert.families import FAMILIES

pytestmark = pytest.mark.parity

# Longformer's own arguments, masks and attentions are in test_longformer.py.
CLASSES = [family.prefix + head for name, family in FAMILIES.items() if name != "longformer" for head in family.heads]
WITHOUT_CHOICES = [name for name in CLASSES if not name.endswith("MultipleChoice")]
TOLERANCE = 1e-5


def inputs_for(name, **options):
    inputs = {key: torch.tensor(values) for key, values in batch(12, **options).items()}
    return {key: values.reshape(4, 3, 7) for key, values in inputs.items()} if name.endswith("MultipleChoice") else inputs


def call(model, **inputs):
    with torch.no_grad():
        return model(**inputs)


def assert_same(ours, theirs, mask):
    """Fields and their order; numbers where the mask is 1."""
    assert list(ours) == [name for name in theirs if name != "cross_attentions"]  # theirs of encoders are empty
    for name, values in ours.items():
        expected = theirs[name]
        for one, other in zip(values, expected) if isinstance(values, tuple) else [(values, expected)]:
            assert torch.is_tensor(one) and one.dtype == other.dtype and one.shape == other.shape
            assert not one.requires_grad and one.device == other.device
            rows = mask if name != "attentions" and one.shape[: mask.ndim] == mask.shape else slice(None)
            assert (one[rows] - other[rows]).abs().max() < TOLERANCE


@pytest.mark.parametrize("name", CLASSES)
def test_tensors_in_are_tensors_out(pair, name):
    theirs, ours = pair(name)
    theirs.set_attn_implementation("eager")
    inputs = inputs_for(name, padded=False)
    options = {"output_hidden_states": True, "output_attentions": True}
    assert_same(ours(**inputs, **options), call(theirs, **inputs, **options), inputs["attention_mask"].bool())
    arrays = ours(**{key: values.numpy() for key, values in inputs.items()})
    assert all(type(array) is np.ndarray for array in arrays.values())
    assert all(np.array_equal(arrays[key], values.numpy()) for key, values in ours(**inputs).items())


def test_tensors_keep_their_numbers_while_the_model_goes_on(pair):
    """Buffers are used again, but not while a tensor shares their memory."""
    for name in ("DistilBertForSequenceClassification", "BertModel", "BertForMaskedLM"):
        _, ours = pair(name, "fast")
        random = np.random.default_rng(0)
        calls = [torch.tensor(random.integers(0, 99, (1, 7))) for _ in range(8)]
        outputs = [ours(ids, output_hidden_states=index % 2 == 1) for index, ids in enumerate(calls)]
        for ids, output in zip(calls, outputs):
            assert np.array_equal(output[0], ours(ids.numpy())[0])


@pytest.mark.parametrize("kernels", ["reference", "fast"])
@pytest.mark.parametrize("name", CLASSES)
def test_embeddings_in_place_of_ids(pair, name, kernels):
    theirs, ours = pair(name, kernels)
    inputs = inputs_for(name)
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    embeds = theirs.get_input_embeddings()(ids)
    assert torch.equal(ours.get_input_embeddings()(ids), embeds)
    embeds = embeds.detach() + 0.1 * torch.randn_like(embeds)  # no row of the table
    expected = call(theirs, inputs_embeds=embeds, attention_mask=mask)
    assert_same(ours(inputs_embeds=embeds, attention_mask=mask), expected, mask.bool())
    alone = ours(inputs_embeds=embeds.numpy(), attention_mask=mask)[0]  # the embeddings decide, not the mask
    assert type(alone) is np.ndarray


def test_a_short_text_of_embeddings_is_not_taken_for_another(pair):
    """Passes of one short text are captured and replayed with other ids; embeddings are no ids."""
    theirs, ours = pair("BertModel", "fast")
    for seed in range(3):
        embeds = torch.randn(1, 7, 32, generator=torch.Generator().manual_seed(seed))
        assert (ours(inputs_embeds=embeds)[0] - call(theirs, inputs_embeds=embeds)[0]).abs().max() < TOLERANCE


@pytest.mark.parametrize("kernels", ["reference", "naive", "fast"])
@pytest.mark.parametrize("name", WITHOUT_CHOICES)
def test_a_mask_for_each_query(pair, name, kernels):
    theirs, ours = pair(name, kernels)
    theirs.set_attn_implementation("eager")
    ids = inputs_for(name)["input_ids"]
    causal = torch.tril(torch.ones(7, 7)).bool().expand(12, 1, 7, 7)
    added = torch.where(causal, 0.0, torch.finfo(torch.float32).min)
    expected = call(theirs, input_ids=ids, attention_mask=added, output_attentions=True)
    forms = [causal, added, added.expand(12, 4, 7, 7), causal[:1], causal[:, 0], causal[:, 0].long()]
    for mask in forms:
        assert_same(ours(ids, attention_mask=mask, output_attentions=True), expected, torch.ones(12, 7, dtype=torch.bool))


@pytest.mark.parametrize("kernels", ["reference", "fast", "bf16"])
def test_masks_that_differ_by_row_by_head_and_in_degree(pair, kernels):
    theirs, ours = pair("BertModel", kernels)
    generator = torch.Generator().manual_seed(0)
    ids = inputs_for("BertModel")["input_ids"]
    masks = torch.rand(12, 4, 7, 7, generator=generator) < 0.7, torch.randn(12, 4, 7, 7, generator=generator)
    for mask in masks:
        if mask.dtype == torch.bool:
            mask[..., 0] = True  # a query without a key is NaN in some of theirs
        difference = ours(ids, attention_mask=mask)[0] - call(theirs, input_ids=ids, attention_mask=mask)[0]
        assert difference.abs().max() < (0.05 if kernels == "bf16" else TOLERANCE)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64", "int32", "int64", "bool", "uint8"])
def test_masks_and_ids_of_every_dtype(pair, dtype):
    _, ours = pair("DistilBertModel")
    inputs = inputs_for("DistilBertModel")
    expected = ours(**inputs)[0]
    mask = inputs["attention_mask"].to(getattr(torch, dtype))
    assert torch.equal(ours(inputs["input_ids"].int(), attention_mask=mask)[0], expected)
    if mask.dtype.is_floating_point:
        assert torch.equal(ours(inputs["input_ids"], attention_mask=mask.requires_grad_())[0], expected)


@pytest.mark.parametrize("name", CLASSES)
def test_weights_have_their_names_and_counts(pair, name):
    theirs, ours = pair(name)
    for expected, found in (
        (theirs.state_dict(), ours.state_dict()),
        (dict(theirs.named_parameters()), dict(ours.named_parameters())),
        (theirs.base_model.state_dict(), ours.base_model.state_dict()),
    ):
        assert found.keys() == expected.keys()
        assert all(np.array_equal(found[key], expected[key].detach()) for key in found)
    for options in ({}, {"only_trainable": True}, {"exclude_embeddings": True}):
        assert ours.num_parameters(**options) == theirs.num_parameters(**options)
    count = sum(p.numel() for p in theirs.parameters() if p.requires_grad)
    assert sum(p.numel() for p in ours.parameters() if p.requires_grad) == count
    size = sum(p.nelement() * p.element_size() for p in theirs.parameters())
    assert sum(p.nelement() * p.element_size() for p in ours.parameters()) == size


@pytest.mark.parametrize("name", CLASSES)
def test_parts_are_theirs(pair, name):
    theirs, ours = pair(name)
    ids = inputs_for(name)["input_ids"].reshape(12, 7)
    assert type(ours.base_model).__name__ == type(theirs.base_model).__name__
    assert ours.base_model_prefix == theirs.base_model_prefix and ours.main_input_name == theirs.main_input_name
    bare = getattr(ours, ours.base_model_prefix) if ours.has_head else ours
    assert (bare(ids)[0] - call(theirs.base_model, input_ids=ids)[0]).abs().max() < TOLERANCE
    assert np.array_equal(ours.get_input_embeddings().weight, theirs.get_input_embeddings().weight.detach())
    expected = theirs.get_output_embeddings()
    decoder = ours.get_output_embeddings()
    assert (decoder is None) == (expected is None)
    if decoder is not None:
        assert np.array_equal(decoder.weight, expected.weight.detach())
        assert np.array_equal(decoder.bias, expected.bias.detach())


def test_device_dtype_and_where_it_came_from_are_theirs(pair):
    theirs, ours = pair("BertForSequenceClassification")
    loaded = transformers.AutoModelForSequenceClassification.from_pretrained(ours.name_or_path)
    assert (ours.device, ours.dtype, ours.num_labels) == (theirs.device, theirs.dtype, theirs.num_labels)
    assert next(ours.parameters()).device == theirs.device
    assert ours.name_or_path == loaded.name_or_path and ours.config.name_or_path == loaded.config.name_or_path
    assert minibert.BertModel(ours.config.from_dict(ours.config.to_dict())).name_or_path == theirs.name_or_path == ""
    assert loaded.config.return_dict and ours.config.use_return_dict
