"""minibert/families/electra.py against transformers, in process, and the tasks that its classes are for.

tests/support/checkpoints.py has a small ELECTRA, so test_models.py, test_heads.py, test_config.py and others run it too.
"""

import json

import numpy as np
import pytest
from checkpoints import make_checkpoint, rewrite_config, small_config, small_model
from parity import as_choices, batch, check_loads_back, check_names, compare_all, torch, transformers

import minibert
from minibert import ConfigError, InputError, MinibertWarning
from minibert.families import FAMILIES

CLASSES = [f"Electra{head}" for head in FAMILIES["electra"].heads]
WIDTHS = [{"embedding_size": 16}, {"embedding_size": 32}, {"embedding_size": 48}]  # hidden_size is 32


def inputs_for(name, rows=12, types=2, seed=0):
    return as_choices(batch(rows, types=types, seed=seed), name)


@pytest.mark.parity
@pytest.mark.parametrize("kernels", ["reference", "fast"])
@pytest.mark.parametrize("widths", WIDTHS, ids=str)
@pytest.mark.parametrize("name", CLASSES)
def test_every_class_gives_the_same_numbers_under_the_same_names(pair, name, widths, kernels):
    theirs, ours = pair(name, kernels, **widths)
    projection = "embeddings_project.weight"
    assert (projection in ours.tensors) == (widths["embedding_size"] != 32)
    for seed in range(2):
        compare_all(theirs, ours, inputs_for(name, seed=seed))
    check_names(theirs, ours, inputs_for(name))


@pytest.mark.parity
@pytest.mark.parametrize("widths", WIDTHS[:2], ids=str)
@pytest.mark.parametrize("name", CLASSES)
def test_transformers_loads_back_every_class_saved_here(pair, name, widths, tmp_path):
    _, ours = pair(name, **widths)
    check_loads_back(ours, tmp_path / "saved", inputs_for(name))


@pytest.mark.parity
@pytest.mark.parametrize("act", ["gelu_new", "relu", "silu"])
@pytest.mark.parametrize("name", ["ElectraForPreTraining", "ElectraForMaskedLM", "ElectraForSequenceClassification"])
def test_each_head_has_its_activation_when_the_encoder_has_another(pair, name, act):
    theirs, ours = pair(name, hidden_act=act)
    compare_all(theirs, ours, inputs_for(name))


@pytest.mark.parity
@pytest.mark.parametrize(
    "summary",
    [{"summary_activation": "tanh"}, {"summary_activation": ""}, {"summary_activation": "relu"}, {"summary_use_proj": False}],
    ids=str,
)
def test_the_summary_of_multiple_choice_is_as_the_configuration_says(pair, summary):
    theirs, ours = pair("ElectraForMultipleChoice", **summary)
    compare_all(theirs, ours, inputs_for("ElectraForMultipleChoice"))


@pytest.mark.parity
def test_words_that_are_not_tied_have_a_decoder_of_their_own(pair, tmp_path):
    theirs, ours = pair("ElectraForMaskedLM", tie_word_embeddings=False)
    assert not torch.equal(theirs.get_input_embeddings().weight, theirs.get_output_embeddings().weight)
    compare_all(theirs, ours, inputs_for("ElectraForMaskedLM"))
    ours.save_pretrained(tmp_path / "saved")
    again, report = transformers.ElectraForMaskedLM.from_pretrained(tmp_path / "saved", output_loading_info=True)
    assert not any(report.values())
    ours = minibert.AutoModelForMaskedLM.from_pretrained(tmp_path / "saved")
    compare_all(again.eval(), ours, inputs_for("ElectraForMaskedLM"))


@pytest.mark.parity
def test_hidden_states_begin_after_the_projection(pair):
    theirs, ours = pair("ElectraModel")
    inputs = inputs_for("ElectraModel")
    kept = inputs["attention_mask"].astype(bool)
    tensors = {key: torch.tensor(value) for key, value in inputs.items()}
    with torch.no_grad():
        expected = theirs(**tensors, output_hidden_states=True).hidden_states
    states = ours(**inputs, output_hidden_states=True).hidden_states
    for state, their_state in zip(states, expected, strict=True):
        assert np.abs(state - their_state.numpy())[kept].max() < 1e-5


@pytest.mark.parity
def test_the_configuration_has_the_defaults_of_transformers(tmp_path):
    theirs, ours = transformers.ElectraConfig().to_dict(), minibert.ElectraConfig().to_dict()
    assert {name: theirs[name] for name in ours if name in theirs} == {name: ours[name] for name in ours if name in theirs}
    minibert.ElectraConfig(embedding_size=64).save_pretrained(tmp_path)
    assert transformers.AutoConfig.from_pretrained(tmp_path).embedding_size == 64


@pytest.mark.parity
def test_the_tokenizer_is_berts_under_either_name(tmp_path):
    assert minibert.ElectraTokenizer is minibert.ElectraTokenizerFast is minibert.BertTokenizer
    assert transformers.ElectraTokenizer is transformers.BertTokenizer
    folder = make_checkpoint(tmp_path, "electra")
    text = "I love this movie, it is not bad!"
    for settings in ({"tokenizer_class": "ElectraTokenizer"}, {"tokenizer_class": "ElectraTokenizerFast"}, {}):
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
        ours = minibert.AutoTokenizer.from_pretrained(folder)
        assert type(ours) is minibert.BertTokenizer
        assert dict(ours(text)) == dict(transformers.AutoTokenizer.from_pretrained(folder)(text))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"summary_type": "mean"}, "summary_type must be 'first', .*; got 'mean'"),
        ({"summary_use_proj": "yes"}, "summary_use_proj must be True or False; got 'yes'"),
        ({"summary_proj_to_labels": True}, "summary_proj_to_labels must be False"),
        ({"summary_activation": "mish"}, "the activation is one of gelu"),
        ({"summary_activation": ["gelu"]}, "the activation is one of gelu"),
    ],
)
def test_a_summary_that_is_not_computed_here_is_refused(change, message, tmp_path):
    make_checkpoint(tmp_path, "electra", "ForMultipleChoice")
    rewrite_config(tmp_path, **change)
    for load in (minibert.ElectraForMultipleChoice.from_pretrained, minibert.AutoModelForMultipleChoice.from_pretrained):
        with pytest.raises(ConfigError, match=message):
            load(tmp_path)
    assert minibert.ElectraModel.from_pretrained(tmp_path)([[2, 5, 3]])  # which has no summary


# --- Tasks -----------------------------------------------------------------------------------------------------------


def test_the_discriminator_is_no_model_for_fill_mask_but_one_that_other_tasks_begin_from(tmp_path):
    folder = make_checkpoint(tmp_path, "electra", "ForPreTraining")
    with pytest.raises(InputError, match="the task follows from a model's class"):
        minibert.pipeline(model=folder)
    with pytest.raises(InputError, match="trained for replaced token detection, .* ElectraForPreTraining. Pass a model for"):
        minibert.pipeline("fill-mask", folder)
    with pytest.warns(MinibertWarning, match="classifier.dense.weight, .* are new, at random"):
        minibert.pipeline("text-classification", folder)
    assert type(minibert.AutoModelForPreTraining.from_pretrained(folder)) is minibert.ElectraForPreTraining


def test_the_generator_fills_masks(tmp_path):
    folder = make_checkpoint(tmp_path, "electra", "ForMaskedLM")
    pipe = minibert.pipeline(model=folder)
    assert type(pipe.model) is minibert.ElectraForMaskedLM
    assert len(pipe("the [MASK] is good")) == 5


def test_heads_of_the_other_tasks_stay_in_the_file(tmp_path):
    for head in ("ForPreTraining", "ForMaskedLM", "ForMultipleChoice"):
        make_checkpoint(tmp_path / head, "electra", head)
        assert minibert.AutoModel.from_pretrained(tmp_path / head)([[2, 5, 3]])


def test_an_int8_checkpoint_keeps_the_projection(tmp_path):
    sizes = dict(embedding_size=32, hidden_size=64, intermediate_size=128)
    small_model("electra", kernels="int8", **sizes).save_pretrained(tmp_path)
    again = minibert.ElectraForSequenceClassification.from_pretrained(tmp_path)
    expected = small_model("electra", kernels="int8", **sizes)([[2, 5, 3]]).logits
    assert np.abs(again([[2, 5, 3]]).logits - expected).max() < 0.05 * np.abs(expected).max()  # the file rounds embeddings too


@pytest.mark.parametrize("size", [0, -1, True, "128", None])
def test_the_width_of_the_embeddings_is_a_size(size):
    with pytest.raises(ConfigError, match="embedding_size must be a whole number"):
        small_config("electra", embedding_size=size)
