"""Every head against transformers, in process, on tiny random models; test_parity_models.py has encoder and yardstick."""

import numpy as np
import pytest
from parity import batch, compare, torch, transformers
from safetensors.numpy import save_file

import minibert

pytestmark = pytest.mark.parity

FIELDS = {  # class -> how many of its outputs are logits
    "BertForTokenClassification": 1,
    "DistilBertForTokenClassification": 1,
    "BertForQuestionAnswering": 2,
    "DistilBertForQuestionAnswering": 2,
    "BertForMaskedLM": 1,
    "DistilBertForMaskedLM": 1,
    "BertForPreTraining": 2,
    "BertForNextSentencePrediction": 1,
}
CHOICES = ("BertForMultipleChoice", "DistilBertForMultipleChoice")


def compare_all(theirs, ours, inputs, field_count):
    spans = True if "QuestionAnswering" in type(ours).__name__ else None
    for field in range(field_count):
        compare(theirs, ours, inputs, field=field, a_token_each=spans)


@pytest.mark.parametrize("name", FIELDS)
def test_a_head_gives_the_same_numbers_under_the_same_names(pair, name):
    theirs, ours = pair(name)
    for seed in range(3):
        compare_all(theirs, ours, batch(seed=seed), FIELDS[name])
    inputs = batch()
    with torch.no_grad():
        names = list(theirs(**{key: torch.tensor(value) for key, value in inputs.items()}))
    assert list(ours(**inputs)) == names


@pytest.mark.parametrize("name", CHOICES)
def test_choices_are_told_apart_as_theirs_are(pair, name):
    theirs, ours = pair(name)
    inputs = {key: value.reshape(5, 3, 7) for key, value in batch(15).items()}
    compare(theirs, ours, inputs)
    assert ours(**inputs).logits.shape == (5, 3)


@pytest.mark.parametrize("act", ["gelu", "gelu_new", "relu", "silu"])
@pytest.mark.parametrize("name", ["BertForMaskedLM", "DistilBertForMaskedLM"])
def test_the_word_head_has_the_configured_activation(pair, name, act):
    key = "hidden_act" if name == "BertForMaskedLM" else "activation"
    compare(*pair(name, **{key: act}), batch())


def test_the_word_head_has_the_configured_eps(pair):
    compare(*pair("BertForMaskedLM", layer_norm_eps=1e-3), batch())


@pytest.mark.parametrize("labels", [1, 2, 7])
def test_tokens_have_as_many_labels_as_the_configuration(pair, labels):
    compare(*pair("BertForTokenClassification", num_labels=labels), batch())


@pytest.mark.parametrize("name", [*FIELDS, *CHOICES])
def test_transformers_loads_back_every_head_saved_here(pair, name, tmp_path):
    _, ours = pair(name)
    ours.save_pretrained(tmp_path / "saved")
    theirs, report = getattr(transformers, name).from_pretrained(tmp_path / "saved", output_loading_info=True)
    assert not any(report.values())
    inputs = batch(15)
    if name in CHOICES:
        inputs = {key: value.reshape(5, 3, 7) for key, value in inputs.items()}
    compare_all(theirs.eval(), ours, inputs, FIELDS.get(name, 1))


@pytest.mark.parametrize("name", ["BertForMaskedLM", "DistilBertForMaskedLM", "BertForPreTraining"])
def test_words_that_are_not_tied_have_a_decoder_of_their_own(pair, name, tmp_path):
    theirs, ours = pair(name, tie_word_embeddings=False)
    words = theirs.get_input_embeddings().weight
    assert not torch.equal(words, theirs.get_output_embeddings().weight)
    compare_all(theirs, ours, batch(), FIELDS[name])
    ours.save_pretrained(tmp_path / "saved")
    again, report = getattr(transformers, name).from_pretrained(tmp_path / "saved", output_loading_info=True)
    assert not any(report.values())
    compare_all(again.eval(), getattr(minibert, name).from_pretrained(tmp_path / "saved"), batch(), FIELDS[name])


def test_the_words_are_tied_there_and_here_whichever_copies_the_file_has(pair, tmp_path):
    theirs, ours = pair("BertForMaskedLM")
    state = {name: tensor.clone() for name, tensor in theirs.state_dict().items()}
    assert "cls.predictions.decoder.weight" in state and "cls.predictions.decoder.bias" in state
    minibert_logits = ours(**batch()).logits
    for left_out in ((), ("cls.predictions.bias",), ("cls.predictions.decoder.weight", "cls.predictions.decoder.bias")):
        kept = {name: tensor.numpy() for name, tensor in state.items() if name not in left_out}
        theirs.config.save_pretrained(tmp_path / "copy")
        save_file(kept, tmp_path / "copy" / "model.safetensors")
        again = minibert.BertForMaskedLM.from_pretrained(tmp_path / "copy")
        assert np.array_equal(again(**batch()).logits, minibert_logits)
