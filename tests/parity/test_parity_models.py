"""Hidden states and logits against transformers, in process; support/parity.py has the yardstick."""

import numpy as np
import pytest
from parity import BERT, DISTILBERT, batch, compare, torch, transformers

import minibert

pytestmark = pytest.mark.parity

SEQUENCE_CLASSES = ("BertForSequenceClassification", "DistilBertForSequenceClassification")


@pytest.mark.parametrize("kernels", ["reference", "naive", "fast"])
@pytest.mark.parametrize("name", ["BertModel", "DistilBertModel", *SEQUENCE_CLASSES])
def test_a_random_model_gives_the_same_numbers(pair, name, kernels):
    theirs, ours = pair(name, kernels)
    for seed in range(3):
        compare(theirs, ours, batch(seed=seed))


@pytest.mark.parametrize("act", ["gelu", "gelu_new", "gelu_pytorch_tanh", "gelu_python", "relu", "silu", "swish"])
@pytest.mark.parametrize("name", ["BertModel", "DistilBertModel"])
def test_every_activation(pair, name, act):
    key = "hidden_act" if name == "BertModel" else "activation"
    compare(*pair(name, **{key: act}), batch())


@pytest.mark.parametrize("types", [1, 2, 5])
def test_token_types(pair, types):
    compare(*pair("BertModel", type_vocab_size=types), batch(types=types))


def test_distilbert_ignores_token_types(pair):
    _, ours = pair("DistilBertModel")
    inputs = batch()
    assert np.array_equal(ours(**inputs)[0], ours(**inputs, token_type_ids=np.ones((13, 7), int))[0])


def test_the_pooler(pair):
    compare(*pair("BertModel"), batch(), field=1)


def test_a_bert_without_a_pooler_has_none(pair, tmp_path):
    theirs = transformers.BertModel(transformers.BertConfig(**BERT), add_pooling_layer=False).eval()
    theirs.save_pretrained(tmp_path / "bare")
    ours = minibert.BertModel.from_pretrained(tmp_path / "bare")
    compare(theirs, ours, batch())
    assert ours(**batch()).pooler_output is None


def test_another_eps(pair):
    compare(*pair("BertModel", layer_norm_eps=1e-3), batch())


def test_sinusoidal_positions(pair):
    compare(*pair("DistilBertModel", sinusoidal_pos_embds=True), batch())
    config = minibert.DistilBertConfig(**DISTILBERT, sinusoidal_pos_embds=True)
    positions = minibert.DistilBertModel(config).tensors["embeddings.position_embeddings.weight"]
    theirs = transformers.DistilBertModel(transformers.DistilBertConfig(**DISTILBERT, sinusoidal_pos_embds=True))
    assert np.abs(positions - theirs.embeddings.position_embeddings.weight.numpy(force=True)).max() < 1e-6


@pytest.mark.parametrize("labels", [1, 2, 7])
@pytest.mark.parametrize("name", SEQUENCE_CLASSES)
def test_label_counts(pair, name, labels):
    compare(*pair(name, num_labels=labels), batch())


@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (1, 512), (2, 300)])
@pytest.mark.parametrize("name", ["BertModel", "DistilBertModel"])
def test_lengths_from_1_to_512(pair, name, shape):
    compare(*pair(name), batch(*shape))


MASKS = {
    "one real token": [1, 0, 0, 0, 0, 0, 0],
    "padding on the left": [0, 0, 0, 1, 1, 1, 1],
    "a hole": [1, 1, 0, 1, 0, 1, 1],
    "the first token masked": [0, 1, 1, 1, 1, 1, 1],
    "only the last": [0, 0, 0, 0, 0, 0, 1],
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("name", ["BertModel", "DistilBertForSequenceClassification"])
def test_masks_of_every_shape(pair, name, mask):
    inputs = batch(padded=False)
    inputs["attention_mask"][::2] = MASKS[mask]
    compare(*pair(name), inputs)


def test_a_wholly_masked_row_is_finite_and_leaves_the_others_alone(pair):
    theirs, ours = pair("BertModel")
    inputs = batch(padded=False)
    inputs["attention_mask"][3] = 0
    assert np.isfinite(ours(**inputs).pooler_output).all()
    compare(theirs, ours, inputs)


def test_position_ids(pair):
    inputs = batch()
    inputs["position_ids"] = np.tile(np.arange(7)[::-1] + 11, (13, 1))
    compare(*pair("DistilBertModel"), inputs)


@pytest.mark.parametrize("name", ["BertModel", "DistilBertModel"])
def test_hidden_states_and_attentions_are_theirs(pair, name):
    theirs, ours = pair(name)
    theirs.set_attn_implementation("eager")  # their default one returns no attentions
    inputs = batch()
    kept = inputs["attention_mask"].astype(bool)
    with torch.no_grad():
        want = theirs(
            **{key: torch.tensor(value) for key, value in inputs.items()}, output_hidden_states=True, output_attentions=True
        )
    got = ours(**inputs, output_hidden_states=True, output_attentions=True)
    assert len(got.hidden_states) == 3 and len(got.attentions) == 2
    for ours_one, theirs_one in zip(got.hidden_states, want.hidden_states, strict=True):
        assert np.abs(ours_one - theirs_one.numpy())[kept].max() < 1e-5
    for ours_one, theirs_one in zip(got.attentions, want.attentions, strict=True):
        assert np.abs(ours_one - theirs_one.numpy()).transpose(0, 2, 1, 3)[kept].max() < 1e-6


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_checkpoints_are_widened(pair, dtype, tmp_path):
    theirs, _ = pair("DistilBertModel")
    theirs.to(getattr(torch, dtype)).save_pretrained(tmp_path / "half")
    compare(theirs, minibert.DistilBertModel.from_pretrained(tmp_path / "half"), batch())


def test_a_checkpoint_in_shards(pair, tmp_path):
    theirs, _ = pair("BertModel")
    theirs.save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    compare(theirs, minibert.AutoModel.from_pretrained(tmp_path / "shards"), batch())


@pytest.mark.parametrize("name", ["BertModel", "DistilBertModel", *SEQUENCE_CLASSES])
def test_transformers_loads_back_what_is_saved_here(pair, name, tmp_path):
    _, ours = pair(name)
    ours.save_pretrained(tmp_path / "saved")
    theirs, report = getattr(transformers, name).from_pretrained(tmp_path / "saved", output_loading_info=True)
    assert not any(report.values())
    compare(theirs.eval(), ours, batch())


@pytest.mark.parametrize("kernels", ["reference", "fast"])
def test_a_random_distilbert_of_full_size(pair, kernels):
    theirs, ours = pair("DistilBertModel", kernels, noise=0, vocab_size=30522, dim=768, n_layers=6, n_heads=12, hidden_dim=3072)
    compare(theirs, ours, batch(4, 64, 30522), floor=0)


def sentences(rows, length, seed):
    return batch(rows, length, vocabulary=30522, types=2, seed=seed)


@pytest.mark.parametrize("kernels", ["reference", "fast"])
def test_trained_bert_weights(minilm, kernels):
    theirs = transformers.BertModel.from_pretrained(minilm, dtype=torch.float32).eval()
    ours = minibert.BertModel.from_pretrained(minilm, kernels=kernels)
    for seed, shape in enumerate([(1, 16), (4, 64), (2, 300)]):
        compare(theirs, ours, sentences(*shape, seed), floor=0)


@pytest.fixture
def folded(minilm, tmp_path):
    """The trained BERT as a DistilBERT: its token type 0 added to its positions, its eps left behind."""
    bert = transformers.BertModel.from_pretrained(minilm, dtype=torch.float32)
    with torch.no_grad():
        bert.embeddings.position_embeddings.weight += bert.embeddings.token_type_embeddings.weight[0]
        bert.embeddings.token_type_embeddings.weight.zero_()
    config = bert.config
    distilbert = transformers.DistilBertModel(
        transformers.DistilBertConfig(
            dim=config.hidden_size,
            n_layers=config.num_hidden_layers,
            n_heads=config.num_attention_heads,
            hidden_dim=config.intermediate_size,
        )
    ).eval()
    renames = {
        "encoder.layer": "transformer.layer",
        "attention.self.query": "attention.q_lin",
        "attention.self.key": "attention.k_lin",
        "attention.self.value": "attention.v_lin",
        "attention.output.dense": "attention.out_lin",
        "attention.output.LayerNorm": "sa_layer_norm",
        "intermediate.dense": "ffn.lin1",
        "output.dense": "ffn.lin2",
        "output.LayerNorm": "output_layer_norm",
    }
    state = {}
    for name, tensor in bert.state_dict().items():
        for old, new in renames.items():
            name = name.replace(old, new)
        if not name.startswith(("pooler", "embeddings.token_type")):
            state[name] = tensor
    distilbert.load_state_dict(state)
    distilbert.save_pretrained(tmp_path / "distilbert")
    return distilbert, tmp_path / "distilbert"


def test_trained_weights_go_through_distilbert_too(minilm, folded):
    theirs, folder = folded
    inputs = batch(4, 48, 30522)
    ours = minibert.DistilBertModel.from_pretrained(folder)
    compare(theirs, ours, inputs, floor=0)
    as_bert = minibert.BertModel.from_pretrained(minilm)(**inputs).last_hidden_state
    assert np.abs(ours(**inputs).last_hidden_state - as_bert).max() < 1e-5 * np.abs(as_bert).max()
