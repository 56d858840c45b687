"""minibert/models/: what a model returns, and that it is the same model everywhere.

What it takes and refuses is in test_input_rules.py; its numbers are compared with transformers in test_parity_models.py.
"""

import copy
import logging
import os
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from checkpoints import IDS, MASK, MODEL_TYPES, WORDS, close, make_checkpoint, small_config, small_model

from minibert import (
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertModel,
    BertTokenizer,
    ConfigError,
    DistilBertForSequenceClassification,
    DistilBertModel,
    InputError,
    InputTypeError,
    KernelError,
    MinibertWarning,
)
from minibert.kernels.catalog import make_ops
from minibert.kernels.registry import REGISTRY, Variant

# --- What is returned ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model_type", [each for each in MODEL_TYPES if each != "longformer"])  # test_longformer.py has it
def test_hidden_states_and_attentions_are_there_on_request(model_type):
    output = small_model(model_type, "Model")(IDS, MASK, output_hidden_states=True, output_attentions=True)
    assert [state.shape for state in output.hidden_states] == [(2, 5, 8)] * 3
    assert np.array_equal(output.hidden_states[-1], output.last_hidden_state)
    assert not output.last_hidden_state[1, 3:].any()
    assert [attention.shape for attention in output.attentions] == [(2, 2, 5, 5)] * 2
    for attention in output.attentions:
        assert np.allclose(attention[0].sum(-1), 1) and np.allclose(attention[1, :, :3].sum(-1), 1)
        assert not attention[1, :, 3:].any() and not attention[1, :, :, 3:].any()


def test_the_configuration_may_ask_for_them_and_the_call_decides():
    model = small_model(output_hidden_states=True, output_attentions=True)
    assert set(model(IDS)) == {"logits", "hidden_states", "attentions"}
    assert set(model(IDS, output_hidden_states=False, output_attentions=False)) == {"logits"}


def test_an_output_is_read_by_name_by_key_by_number_and_as_a_tuple():
    output = small_model()(IDS, output_hidden_states=True)
    assert output.logits is output["logits"] is output[0] is output.to_tuple()[0] is output[:1][0]
    assert output.hidden_states is output[-1] and output.attentions is None and "attentions" not in output
    with pytest.raises(AttributeError, match="SequenceClassifierOutput has no 'last_hidden_state'; it has logits"):
        output.last_hidden_state
    with pytest.raises(KeyError):
        output["attentions"]
    assert repr(output).startswith("SequenceClassifierOutput(logits=array(")


def test_return_dict_false_gives_a_tuple_and_none_does_not():
    model = small_model("bert", "Model")
    hidden, pooled = model(IDS, return_dict=False)
    assert hidden.shape == (2, 5, 8) and pooled.shape == (2, 8)
    assert type(model(IDS, return_dict=None)) is type(model(IDS)) is not tuple


# --- One model, many times -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", ["Model", "ForSequenceClassification"])
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_saved_model_loads_with_the_same_bits(model_type, head, tmp_path):
    model = small_model(model_type, head, num_labels=3, id2label={0: "a", 1: "b", 2: "c"})
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    assert again.tensors.keys() == model.tensors.keys() and again.num_parameters() == model.num_parameters()
    assert all(again.tensors[name].tobytes() == tensor.tobytes() for name, tensor in model.tensors.items())
    assert [a.tobytes() for a in again(IDS, MASK).to_tuple()] == [a.tobytes() for a in model(IDS, MASK).to_tuple()]
    assert again.config.id2label == {0: "a", 1: "b", 2: "c"} and again.config.architectures == [type(model).__name__]
    auto = AutoModel if head == "Model" else AutoModelForSequenceClassification
    assert type(auto.from_pretrained(tmp_path)) is type(model)


@pytest.mark.parity
@pytest.mark.parametrize("ids", [[[2, 5, 3], [2, 3, 0]], [[0, 5, 3]], [[2, 5, 3]], [[2, 0, 3]]], ids=str)
@pytest.mark.parametrize("mask", [True, False])
def test_padding_without_a_mask_is_one_warning_where_transformers_has_one(ids, mask, tmp_path, monkeypatch):
    transformers, torch = pytest.importorskip("transformers"), pytest.importorskip("torch")
    model = small_model("bert", "Model")
    model.save_pretrained(tmp_path)
    theirs, messages = transformers.AutoModel.from_pretrained(tmp_path), []
    monkeypatch.setattr(logging.Logger, "warning_once", lambda self, message: messages.append(message))
    theirs.warn_if_padding_and_no_attention_mask(torch.tensor(ids), torch.ones(1) if mask else None)
    assert len(messages) == (not mask and ids in ([[2, 5, 3], [2, 3, 0]], [[0, 5, 3]]))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            model(ids, np.ones_like(ids) if mask else None)
    assert len(caught) == len(messages) and all("no attention_mask came" in str(warning.message) for warning in caught)
    assert all(warning.category is MinibertWarning and warning.filename == __file__ for warning in caught)


def test_what_is_packed_has_no_padding_to_warn_of():
    tokenizer = BertTokenizer({word: index for index, word in enumerate(WORDS)})
    packed = tokenizer.encode_packed(["a", "the"], add_special_tokens=False)
    packed.ids[0] = 0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        small_model("bert", "Model")(packed)
    assert not caught


@pytest.mark.parametrize("name", ["output_hidden_states", "output_attentions", "return_dict"])
@pytest.mark.parametrize("value", [np.arange(2), np.zeros(0), "yes", 2, {}], ids=repr)
def test_a_flag_of_a_call_is_true_or_false(name, value):
    with pytest.raises(InputTypeError, match=f"{name} must be True or False; got"):
        small_model()(IDS, **{name: value})
    assert small_model()(IDS, **{name: np.bool_(True)}) and small_model()(IDS, **{name: 1})


@pytest.mark.parity
def test_tensors_that_are_no_array_are_refused():
    torch = pytest.importorskip("torch")
    with pytest.raises(InputTypeError, match="input_ids must be an array of numbers; got Tensor: "):
        small_model()(torch.eye(3).to_sparse())
    with pytest.raises(InputTypeError, match="input_ids must be an array of numbers; got Tensor: "):
        small_model()(torch.ones((1, 3), dtype=int, device="meta"))
    for ids in (torch.eye(3, requires_grad=True), torch.eye(3, dtype=torch.bfloat16)):
        with pytest.raises(InputTypeError, match=r"input_ids must be whole numbers of shape \(B, T\); got float32 of"):
            small_model()(ids)


def test_an_unknown_argument_names_those_there_are(tmp_path):
    small_model().save_pretrained(tmp_path)
    with pytest.raises(InputTypeError, match="unexpected keyword argument 'label'. It takes input_ids, attention_mask"):
        small_model()(IDS, label=[1])
    with pytest.raises(InputTypeError, match="input_ids must be .*; got None, and no inputs_embeds in their place"):
        small_model()()
    with pytest.raises(InputTypeError, match="or a key of the configuration; got revison"):
        AutoModel.from_pretrained(tmp_path, revison="main")


def test_a_seed_makes_the_same_model_again_and_none_another():
    assert np.array_equal(small_model(seed=3)(IDS).logits, small_model(seed=3)(IDS).logits)
    assert not np.array_equal(small_model(seed=None)(IDS).logits, small_model(seed=None)(IDS).logits)


def test_a_new_model_has_the_parameters_and_the_spread_that_its_configuration_says():
    layer = 4 * (8 * 8 + 8) + (12 * 8 + 12) + (8 * 12 + 8) + 2 * (8 + 8)  # four projections, two more, two norms
    tables = (len(WORDS) + 16 + 2) * 8 + (8 + 8)
    assert BertModel(small_config("bert")).num_parameters() == tables + 2 * layer + (8 * 8 + 8)  # and the pooler
    tensors = small_model("bert", vocab_size=5000, initializer_range=0.02).tensors
    words = tensors["embeddings.word_embeddings.weight"]
    assert abs(words[1:].std() - 0.02) < 1e-3 and not words[0].any()
    assert (tensors["embeddings.LayerNorm.weight"] == 1).all() and not tensors["classifier.bias"].any()


def test_positions_are_sines_where_distilbert_asks_for_them():
    positions = small_model("distilbert", "Model", sinusoidal_pos_embds=True).tensors["embeddings.position_embeddings.weight"]
    expected = [np.sin(3), np.cos(3), np.sin(3 / 10), np.cos(3 / 10), np.sin(3 / 100)]
    assert np.allclose(positions[3, :5], expected, atol=1e-6)


@pytest.mark.parametrize("pad", [-1, 10**6, "0", True])
def test_a_padding_id_outside_the_vocabulary_is_refused_where_weights_are_made(pad):
    with pytest.raises(ConfigError, match="pad_token_id must be from 0 to"):
        small_model(pad_token_id=pad)
    assert small_model(pad_token_id=None).tensors["embeddings.word_embeddings.weight"][0].any()


def test_a_model_wants_its_own_configuration_in_a_state_that_fits():
    for wrong in (small_config("bert"), "distilbert-base-uncased", None):
        with pytest.raises(InputTypeError, match="DistilBertModel wants a DistilBertConfig; got .*[.]from_pretrained"):
            DistilBertModel(wrong)
    config = small_config()
    config.num_attention_heads = 3
    with pytest.raises(ConfigError, match="must divide by the heads; got width 8 and 3 heads"):
        DistilBertModel(config)
    with pytest.raises(
        ConfigError,
        match="AutoModel takes a configuration of class BertConfig, DistilBertConfig, ElectraConfig, RobertaConfig, LongformerConfig, MPNetConfig; got dict",
    ):
        AutoModel.from_config({})


@pytest.mark.parametrize("kernels", ["reference", "fast"])
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_eight_threads_get_the_answers_that_one_gets(model_type, kernels):
    model, random = small_model(model_type, kernels=kernels), np.random.default_rng(0)
    batches = [random.integers(0, 20, (random.integers(1, 5), random.integers(1, 17))) for _ in range(64)]
    alone = [model(batch).logits.tobytes() for batch in batches]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            assert list(pool.map(lambda batch: model(batch).logits.tobytes(), batches)) == alone


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("kernels", ["reference", "fast"])
def test_a_model_that_was_loaded_and_used_answers_in_a_forked_child(kernels, tmp_path):
    model = AutoModel.from_pretrained(make_checkpoint(tmp_path), kernels=kernels)
    before = model(IDS, MASK).last_hidden_state.tobytes()
    child = os.fork()
    if child == 0:
        os._exit(model(IDS, MASK).last_hidden_state.tobytes() != before)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert model(IDS, MASK).last_hidden_state.tobytes() == before


# --- Kernels ---------------------------------------------------------------------------------------------------------


def test_kernels_are_chosen_by_a_preset_or_a_mapping_and_can_be_printed(tmp_path):
    make_checkpoint(tmp_path)
    load = DistilBertForSequenceClassification.from_pretrained
    plain, mixed = load(tmp_path, kernels="reference"), load(tmp_path, kernels={"relu": "naive", "softmax": "naive"})
    assert close(plain(IDS, MASK).logits, mixed(IDS, MASK).logits)
    assert mixed.kernels.names["softmax"] == "naive" and plain.kernels.names["softmax"] == "reference"
    lines = dict(line.removesuffix(" *").split(maxsplit=1) for line in str(mixed.kernels).splitlines()[1:])
    assert lines == mixed.kernels.names and lines["linear_relu"] == "linear + relu"
    assert set(lines) == set(make_ops("auto").names)


@pytest.mark.parametrize("kernels", ["fastest", "", None, 5, {"linear": "fastest"}, {"matmul": "naive"}, {"relu": None}])
def test_an_unknown_kernel_is_refused_before_the_checkpoint_is_looked_for(kernels, tmp_path):
    for load in (AutoModel.from_pretrained, DistilBertModel.from_pretrained):
        with pytest.raises(KernelError, match="kernels is one of 'auto'|the variants of|the operations are"):
            load(tmp_path / "nowhere", kernels=kernels)
    with pytest.raises(KernelError):
        small_model(kernels=kernels)


def test_a_head_prepares_its_weights_for_the_operation_that_uses_them(monkeypatch):
    plain = small_model()(IDS).logits
    turned = Variant(
        "linear_relu",
        "turned",
        lambda x, weight, bias: np.maximum(x @ weight + bias, 0),
        0.0,
        "",
        pack_weights=lambda weight, bias: (np.ascontiguousarray(weight.T), bias),
    )
    monkeypatch.setitem(REGISTRY.variants["linear_relu"], "turned", turned)
    assert close(small_model(kernels={"linear_relu": "turned"})(IDS).logits, plain)


@pytest.mark.parametrize("kernels", ["reference", "fast"])
def test_texts_that_are_packed_go_in_as_they_are(kernels):
    tokenizer = AutoTokenizer.from_pretrained("minibert-sst2")
    model = AutoModelForSequenceClassification.from_pretrained("minibert-sst2", kernels=kernels)
    texts = ["a fine film", "bad", "not [MASK] bad at all , and long"]
    packed = model(tokenizer.encode_packed(texts)).logits
    padded = model(**tokenizer(texts, padding=True, return_tensors="np")).logits
    assert np.array_equal(packed, padded)
    assert model(tokenizer.encode_packed([])).logits.shape == (0, 2)
    with pytest.raises(InputError, match="each text must have a token; got one of none"):
        model(tokenizer.encode_packed(["a", ""], add_special_tokens=False))
    with pytest.raises(InputError, match="texts that are packed have no attention_mask"):
        model(tokenizer.encode_packed(texts), attention_mask=[[1]])
    with pytest.raises(InputError, match="may have 512 tokens"):
        model(tokenizer.encode_packed(["a " * 600]))


@pytest.mark.parametrize("again", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))], ids=["copied", "pickled"])
@pytest.mark.parametrize("kernels", ["auto", "reference", "int8", {"linear": "naive"}, {"softmax": "naive"}], ids=str)
def test_a_model_is_the_same_in_another_process(again, kernels):
    model = AutoModelForSequenceClassification.from_pretrained("minibert-sst2", kernels=kernels)
    other = again(model)
    assert other.kernels.names == model.kernels.names
    assert np.array_equal(other(IDS, MASK).logits, model(IDS, MASK).logits)
