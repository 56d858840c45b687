"""The methods that code calls on models of torch and transformers: what does nothing, what is refused, and with what words.
Numbers: tests/parity/test_parity_calls.py."""

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
from checkpoints import IDS, MASK, make_checkpoint, small_config, small_model

import minibert
from minibert import InputError, InputTypeError

LEFT_AS_IT_IS = {
    "to a device": lambda model: model.to("cpu"),
    "to a device by name": lambda model: model.to(device="cpu", non_blocking=True),
    "to float32": lambda model: model.to(np.float32),
    "to both": lambda model: model.to("cpu", dtype="float32"),
    "to nothing": lambda model: model.to(),
    "cpu": lambda model: model.cpu(),
    "float": lambda model: model.float(),
    "eval": lambda model: model.eval(),
    "train(False)": lambda model: model.train(False),
    "chained": lambda model: model.to("cpu").eval(),
}


@pytest.mark.parametrize("title", LEFT_AS_IT_IS)
def test_what_changes_nothing_returns_the_model(title):
    model = small_model()
    assert LEFT_AS_IT_IS[title](model) is model and model.training is False


REFUSED = {
    "a GPU": (lambda model: model.to("cuda"), "computes on the CPU only.*got 'cuda'"),
    "a number's GPU": (lambda model: model.to(0), "computes on the CPU only"),
    "cuda()": (lambda model: model.cuda(), "computes on the CPU only"),
    "half()": (lambda model: model.half(), "stays float32; got half.*kernels='bf16'"),
    "bfloat16()": (lambda model: model.bfloat16(), "stays float32; got bfloat16.*kernels='bf16'"),
    "to float16": (lambda model: model.to(np.float16), "stays float32; got .*kernels='bf16'"),
    "to bfloat16": (lambda model: model.to("bfloat16"), "stays float32; got 'bfloat16'.*kernels='bf16'"),
    "to float64": (lambda model: model.to("cpu", "float64"), "stays float32; got 'float64'"),
    "train()": (lambda model: model.train(), "Train it with minibert.Trainer, or .* minibert.loss_and_gradients"),
    "gradients": (lambda model: model.requires_grad_(), "computes no gradients. Train it with minibert.Trainer"),
    "no gradients": (lambda model: model.requires_grad_(False), "nothing to switch off: leave it out.*freeze_layers"),
    "frozen weights": (lambda model: setattr(next(model.parameters()), "requires_grad", False), "freeze_layers"),
    "a pickle": (lambda model: model.save_pretrained("x", safe_serialization=False), "Only safetensors are written"),
    "another table": (lambda model: model.set_input_embeddings(None), "model.with_tensors"),
    "another size": (lambda model: model.resize_token_embeddings(7), "the model has 33 rows, got 7.*transformers"),
}


@pytest.mark.parametrize("title", REFUSED)
def test_what_would_change_the_answer_is_one_error_that_names_the_way(title):
    call, message = REFUSED[title]
    with pytest.raises(InputError, match=message):
        call(small_model())


ARGUMENTS = {
    "head_mask": (np.ones(2), "head_mask must be None or False"),
    "encoder_hidden_states": (np.ones((1, 2, 8)), "encoder_hidden_states must be None or False"),
    "encoder_attention_mask": (MASK, "encoder_attention_mask must be None or False"),
    "past_key_values": (((),), "past_key_values must be None or False"),
    "use_cache": ("yes", "use_cache must be True or False"),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_of_decoders_must_say_nothing(name):
    model, (value, message) = small_model("bert", "Model"), ARGUMENTS[name]
    for harmless in (None, False):
        assert np.array_equal(model(IDS, MASK, **{name: harmless})[0], model(IDS, MASK)[0])
    with pytest.raises(InputError, match=message):
        model(IDS, MASK, **{name: value})


def test_a_cache_of_an_encoder_is_nothing_as_in_transformers():
    assert list(small_model("bert", "Model")(IDS, use_cache=True)) == ["last_hidden_state", "pooler_output"]


@pytest.mark.parametrize("head", ["Model", "ForMultipleChoice"])
def test_inputs_in_one_dictionary_are_asked_for_by_their_names(head):
    model = small_model("bert", head)
    for inputs in ({"input_ids": IDS}, minibert.BatchEncoding({"input_ids": IDS})):
        with pytest.raises(InputTypeError, match=rf"got a {type(inputs).__name__}.* call `model\(\*\*inputs\)`"):
            model(inputs)


def test_ids_or_embeddings_one_of_the_two():
    model = small_model("bert", "Model")
    embeds = model.get_input_embeddings()(IDS)
    with pytest.raises(InputTypeError, match="got both. Pass one of them"):
        model(IDS, inputs_embeds=embeds)
    with pytest.raises(InputTypeError, match="got None, and no inputs_embeds in their place"):
        model(attention_mask=MASK)


@pytest.mark.parametrize(
    "embeds, message",
    [
        (np.zeros((2, 5)), r"of shape \(B, T, 8\) with T at least 1.*got float64 of shape \(2, 5\)"),
        (np.zeros((2, 5, 7)), r"of shape \(B, T, 8\)"),
        (np.zeros((2, 0, 8)), "with T at least 1"),
        (np.zeros((2, 5, 8), complex), "got complex128"),
        (np.full((1, 2, 8), np.nan), "must be finite"),
        (np.full((1, 2, 8), 1e300), "must be finite"),
        (np.zeros((1, 17, 8)), "may have 16 tokens"),
    ],
    ids=str,
)
def test_embeddings_that_no_answer_exists_for(embeds, message):
    with pytest.raises(InputError, match=message):
        small_model()(inputs_embeds=embeds)


QUERY_MASKS = {
    "too few rows": (np.ones((1, 5, 5)), r"One for each query has the shape \(2, 5, 5\), or \(2, 1 or 2, 5, 5\)"),
    "too many heads": (np.ones((2, 3, 5, 5), bool), "must have the shape of input_ids"),
    "five axes": (np.ones((2, 1, 1, 5, 5), bool), "must have the shape of input_ids"),
    "other values": (np.full((2, 5, 5), 2), "1 where a query attends to a key, and 0 elsewhere"),
    "integers of four axes": (np.ones((2, 1, 5, 5), int), r"must be bool, or floats to add.*mask.astype\(bool\)"),
    "NaN": (np.full((2, 1, 5, 5), np.nan), "must hold numbers; got NaN"),
}


@pytest.mark.parametrize("title", QUERY_MASKS)
def test_masks_for_each_query_that_are_none(title):
    mask, message = QUERY_MASKS[title]
    with pytest.raises(InputError, match=message):
        small_model()(IDS, attention_mask=mask)


def test_a_mask_for_each_query_needs_attention_with_a_bias_and_does_not_train():
    square = np.ones((2, 5, 5))
    with pytest.raises(minibert.KernelError, match="attention adds a bias here, .* a mask for each query"):
        small_model(kernels={"attention": "lanes"})(IDS, attention_mask=square)
    with pytest.raises(InputError, match="training takes one mask for all queries"):
        minibert.loss_and_gradients(small_model(), IDS, square, labels=[0, 1])


@pytest.mark.parametrize("kernels", ["reference", "fast"])
@pytest.mark.parametrize("model_type", ["bert", "mpnet"])
def test_a_mask_for_each_query_that_says_what_a_mask_says(model_type, kernels):
    model = small_model(model_type, "Model", kernels=kernels)
    square = np.repeat(MASK[:, None], 5, axis=1)
    squared, plain = model(IDS, square)[0], model(IDS, MASK)[0]
    assert np.abs(squared - plain)[MASK.astype(bool)].max() < 1e-5
    assert np.isfinite(model(IDS, np.zeros((2, 5, 5)))[0]).all()


def test_weights_are_read_only_and_share_memory():
    model = small_model()
    weight = model.get_input_embeddings().weight
    assert np.shares_memory(weight, model.tensors["embeddings.word_embeddings.weight"])
    for array in (weight, next(model.parameters()), model.state_dict()["classifier.bias"]):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    assert type(weight.detach().cpu().numpy()) is np.ndarray and not weight.is_cuda and weight.dtype == np.float32
    assert weight.requires_grad and weight.numel() == weight.nelement() == 33 * 8 and weight.element_size() == 4
    assert repr(model.get_input_embeddings()) == "Embedding(33, 8)"
    with pytest.raises(InputError, match="input_ids must be from 0 to 32; got from 0 to 33"):
        model.get_input_embeddings()([[33]])
    assert model.resize_token_embeddings(33).weight.shape == model.resize_token_embeddings().weight.shape == (33, 8)
    assert dict(model.named_parameters(prefix="model")).keys() == {f"model.{name}" for name in dict(model.named_parameters())}


def test_the_bare_encoder_shares_weights_and_leaves_the_model_as_it_was():
    model = small_model("bert", "ForMaskedLM", kernels="fast")
    before = model(IDS, MASK).logits
    bare = model.base_model
    assert bare.base_model is bare and bare.encoder is model.encoder and bare.tensors.keys() < model.tensors.keys()
    assert np.array_equal(
        bare(IDS, MASK)[0],
        minibert.BertModel(small_config("bert")).with_tensors(
            {**minibert.BertModel(small_config("bert"), seed=0).tensors, **bare.tensors}
        )(IDS, MASK)[0],
    )
    assert np.array_equal(model(IDS, MASK).logits, before)
    assert np.array_equal(pickle.loads(pickle.dumps(bare))(IDS, MASK)[0], bare(IDS, MASK)[0])


def test_an_attribute_that_is_not_there_has_a_hint():
    model = small_model()
    for name, hint in (("load_state_dict", "with_tensors"), ("zero_grad", "minibert.Trainer"), ("nonsense", "README")):
        assert not hasattr(model, name)
        with pytest.raises(AttributeError, match=f"a DistilBertForSequenceClassification has no '{name}'. .*{hint}"):
            getattr(model, name)


def test_where_a_model_came_from_is_known_and_written_nowhere(tmp_path):
    folder = make_checkpoint(tmp_path / "model")
    model = minibert.AutoModelForSequenceClassification.from_pretrained(folder)
    assert model.name_or_path == model.config.name_or_path == model.config._name_or_path == str(folder)
    assert minibert.AutoConfig.from_pretrained(folder).name_or_path == str(folder)
    model.save_pretrained(tmp_path / "saved")
    assert "name_or_path" not in (tmp_path / "saved/config.json").read_text()
    assert minibert.AutoConfig.from_pretrained(tmp_path / "saved") == model.config
    old = json.loads((folder / "config.json").read_text()) | {"_name_or_path": "distilbert-base-uncased"}
    (folder / "config.json").write_text(json.dumps(old))
    assert minibert.AutoConfig.from_pretrained(folder).name_or_path == str(folder)
    assert small_model().name_or_path == small_model().config._name_or_path == ""


def test_the_base_class_points_to_those_that_describe_an_encoder():
    for call in (minibert.PreTrainedModel, minibert.PreTrainedModel.from_pretrained):
        with pytest.raises(InputTypeError, match="a PreTrainedModel describes no encoder; use AutoModel"):
            call(small_config())
    assert isinstance(small_model(), minibert.PreTrainedModel) and minibert.PretrainedConfig is minibert.PreTrainedConfig


def test_outputs_are_constructed_read_and_set_by_their_fields():
    output = minibert.SequenceClassifierOutput(logits=np.ones((1, 2)))
    assert isinstance(output, minibert.ModelOutput) and output.loss is None and list(output) == ["logits"]
    output.loss = np.float32(0.5)
    assert output["loss"] == 0.5 and len(output[:2]) == 2 and output.to_tuple()[-1] == 0.5
    with pytest.raises(InputTypeError, match="unexpected keyword argument 'logit'. It takes loss, logits"):
        minibert.SequenceClassifierOutput(logit=1)
    with pytest.raises(AttributeError, match="has no 'logit'"):
        output.logit = 1
    with pytest.raises(InputTypeError, match="its name or its index; got 1.5"):
        output[1.5]


def test_without_torch_devices_and_dtypes_are_numpys():
    code = (
        "import sys, numpy as np, minibert\n"
        "model = minibert.AutoModelForSequenceClassification.from_pretrained('minibert-sst2', kernels='reference')\n"
        "output = model([[2, 5, 3]], labels=[1])\n"
        "assert type(output.logits) is np.ndarray and output.loss.item() > 0\n"
        "assert model.device == next(model.parameters()).device == 'cpu' and model.dtype == np.float32\n"
        "model.to(model.device).to(model.dtype).eval(), model.state_dict(), model.base_model([[2, 5, 3]])\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_softmax_and_sigmoid_give_tensors_for_tensors():
    torch = pytest.importorskip("torch")
    logits = torch.tensor([[1.0, 2.0], [0.0, -3.0]], requires_grad=True)
    assert torch.allclose(minibert.softmax(logits), logits.softmax(-1)) and torch.allclose(
        minibert.sigmoid(logits), logits.sigmoid()
    )
    assert torch.allclose(minibert.softmax(logits, axis=0), logits.softmax(0))
    assert type(minibert.softmax(logits.detach().numpy())) is type(minibert.sigmoid([1.0])) is np.ndarray
