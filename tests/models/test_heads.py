"""The heads: what they take and refuse, and which checkpoints they can be loaded from. Numbers: test_parity_heads.py."""

from functools import partial

import numpy as np
import pytest
from checkpoints import IDS, MASK, make_checkpoint, rewrite_weights, small_config, small_model, write_tokenizer
from safetensors.numpy import load_file

import minibert
from minibert import ConfigError, InputError, MinibertWarning, WeightsError
from minibert.families import FAMILIES

NOT_HERE = ("Model", "ForSequenceClassification", "ForMultipleChoice")  # in test_models.py, and below
HEADS = [(model_type, head) for model_type, family in FAMILIES.items() for head in family.heads if head not in NOT_HERE]
CHOICES = [(model_type, "ForMultipleChoice") for model_type in FAMILIES]


@pytest.mark.parametrize("model_type, head", HEADS)
def test_a_head_gives_its_fields_and_a_short_row_what_it_gives_alone(model_type, head):
    model = small_model(model_type, head)
    output, alone = model(IDS, MASK), model(IDS[1:, :3])
    for name in output:
        assert np.allclose(output[name][1:, :3][: len(alone[name])], alone[name], atol=1e-5)
        assert getattr(output, name) is output[name]
    assert [field.shape for field in model(IDS, MASK, return_dict=False)] == [output[name].shape for name in output]


@pytest.mark.parametrize("model_type, head", HEADS)
def test_a_head_gives_a_row_the_same_bits_alone_and_in_a_batch(model_type, head):
    model, random = small_model(model_type, head, kernels="fast"), np.random.default_rng(0)
    for _ in range(20):
        lengths = random.integers(1, 17, random.integers(1, 12))
        ids, mask = random.integers(0, 20, (len(lengths), 16)), (np.arange(16) < lengths[:, None]).astype(int)
        together = model(ids, mask)
        for row, length in enumerate(lengths):
            alone = model(ids[row : row + 1, :length])
            for name in alone:
                batched = (
                    together[name][row] if together[name][row].shape == alone[name][0].shape else together[name][row, :length]
                )
                assert np.array_equal(batched, alone[name][0])


@pytest.mark.parametrize("model_type, head", CHOICES)
def test_choices_are_rows_of_one_question(model_type, head):
    model = small_model(model_type, head)
    both = model(IDS[None], attention_mask=MASK[None], output_hidden_states=True)
    assert both.logits.shape == (1, 2) and both.hidden_states[0].shape == (2, 5, 8)
    assert np.allclose(both.logits[0, 1], model(IDS[None, 1:, :3]).logits[0, 0], atol=1e-5)
    assert model(np.stack([IDS] * 3), return_dict=False)[0].shape == (3, 2)
    assert model(np.zeros((0, 2, 5), int)).logits.shape == (0, 2)


@pytest.mark.parametrize("model_type, head", CHOICES)
def test_choices_of_another_shape_are_refused(model_type, head):
    model = small_model(model_type, head)
    with pytest.raises(InputError, match=r"of shape \(B, C, T\), .*; got \(2, 5\). .*add the batch axis"):
        model(IDS)
    with pytest.raises(InputError, match=r"attention_mask must have the shape of input_ids, \(1, 2, 5\); got \(2, 5\)"):
        model(IDS[None], attention_mask=MASK)
    with pytest.raises(InputError, match="rows of different lengths"):
        model([[[2, 5, 3], [2, 3]]])


@pytest.mark.parametrize("model_type, head", HEADS + CHOICES)
def test_what_is_saved_is_loaded_back_and_a_part_of_a_head_is_an_error(model_type, head, tmp_path):
    model = small_model(model_type, head)
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    assert {name: tensor.tobytes() for name, tensor in again.tensors.items()} == {
        name: tensor.tobytes() for name, tensor in model.tensors.items()
    }
    bias = next(name for name in model.head_shapes(model.config) if name.endswith(".bias") and "pooler" not in name)
    rewrite_weights(tmp_path, lambda tensors: tensors.pop(bias))
    with pytest.raises(WeightsError, match=f"missing: {bias}"):
        type(model).from_pretrained(tmp_path)


@pytest.mark.parametrize("model_type, head", HEADS + CHOICES)
def test_a_head_that_the_checkpoint_has_not_is_new_with_a_warning(model_type, head, tmp_path):
    make_checkpoint(tmp_path, model_type, "Model")
    rewrite_weights(tmp_path, lambda tensors: [tensors.pop(name) for name in list(tensors) if "pooler" in name])
    cls = getattr(minibert, FAMILIES[model_type].prefix + head)
    with pytest.warns(MinibertWarning, match=f"was not trained to {cls.purpose}: .* are new, at random") as caught:
        model = cls.from_pretrained(tmp_path)
    assert all(name in str(caught[0].message) for name in cls.head_shapes(model.config))


def test_either_head_of_pretraining_may_be_new_by_itself(tmp_path):
    make_checkpoint(tmp_path, "bert", "ForMaskedLM")
    with pytest.warns(MinibertWarning) as caught:
        minibert.BertForPreTraining.from_pretrained(tmp_path)
    assert "cls.seq_relationship" in str(caught[0].message) and "cls.predictions" not in str(caught[0].message)


def test_heads_of_other_tasks_are_left_in_the_file(tmp_path):
    small_model("bert", "ForPreTraining").save_pretrained(tmp_path)
    for name in ("AutoModel", "AutoModelForMaskedLM", "AutoModelForNextSentencePrediction", "AutoModelForPreTraining"):
        assert getattr(minibert, name).from_pretrained(tmp_path)(IDS, MASK)


# --- Tied weights ----------------------------------------------------------------------------------------------------

DECODERS = {"bert": "cls.predictions.decoder", "distilbert": "vocab_projector", "electra": "generator_lm_head"}


@pytest.mark.parametrize("model_type, copy", [(model_type, f"{decoder}.weight") for model_type, decoder in DECODERS.items()])
def test_the_word_table_is_written_once_and_a_second_copy_must_be_equal(model_type, copy, tmp_path):
    model = small_model(model_type, "ForMaskedLM")
    model.save_pretrained(tmp_path)
    words = f"{model_type}.embeddings.word_embeddings.weight"
    stored = load_file(tmp_path / "model.safetensors")
    assert copy not in stored and words in stored
    rewrite_weights(tmp_path, lambda tensors: tensors.update({copy: tensors[words]}))
    assert np.array_equal(type(model).from_pretrained(tmp_path)(IDS).logits, model(IDS).logits)
    rewrite_weights(tmp_path, lambda tensors: tensors.update({copy: tensors[words] + 1}))
    with pytest.raises(WeightsError, match=f"{copy} must be equal to embeddings.word_embeddings.weight"):
        type(model).from_pretrained(tmp_path)
    rewrite_weights(tmp_path, lambda tensors: tensors.update({copy: tensors[words][1:]}))
    with pytest.raises(WeightsError, match=f"wrong shape: {copy}"):
        type(model).from_pretrained(tmp_path)


@pytest.mark.parametrize("model_type, decoder", DECODERS.items())
def test_weights_that_are_not_tied_are_saved_and_must_be_there(model_type, decoder, tmp_path):
    model = small_model(model_type, "ForMaskedLM", tie_word_embeddings=False)
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    assert np.array_equal(again(IDS).logits, model(IDS).logits)
    tied = type(model).from_pretrained(
        tmp_path / ".." / tmp_path.name, config=small_config(model_type, tie_word_embeddings=False)
    )
    assert np.array_equal(tied(IDS).logits, model(IDS).logits)
    with pytest.raises(WeightsError, match="must be equal to .* For weights of its own, pass tie_word_embeddings=False"):
        type(model).from_pretrained(tmp_path, tie_word_embeddings=True)
    rewrite_weights(tmp_path, lambda tensors: tensors.pop(f"{decoder}.weight"))
    with pytest.raises(WeightsError, match=f"missing: {decoder}.weight"):
        type(model).from_pretrained(tmp_path)


def test_a_decoder_that_is_not_tied_takes_the_only_bias_there_is(tmp_path):
    model = small_model("bert", "ForMaskedLM", tie_word_embeddings=False)
    model.tensors["cls.predictions.decoder.bias"] += np.arange(33, dtype=np.float32)
    model.save_pretrained(tmp_path)
    expected = type(model).from_pretrained(tmp_path)(IDS).logits
    names = ("cls.predictions.bias", "cls.predictions.decoder.bias")
    rewrite_weights(tmp_path, lambda tensors: tensors.update({names[0]: tensors.pop(names[1])}))
    assert np.array_equal(type(model).from_pretrained(tmp_path)(IDS).logits, expected)


# --- Tensors that a model has no use for -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["loss_fct.weight", "crf.transitions"])
def test_tensors_without_a_use_are_an_error_that_names_the_way_out_or_a_warning(name, tmp_path):
    model = small_model("bert", "ForTokenClassification")
    model.save_pretrained(tmp_path)
    write_tokenizer(tmp_path, "bert")
    rewrite_weights(tmp_path, lambda tensors: tensors.update({name: np.zeros(2, np.float32)}))
    auto = minibert.AutoModelForTokenClassification
    task = partial(minibert.pipeline, "ner")
    for load in (type(model).from_pretrained, auto.from_pretrained, minibert.SentenceEncoder.from_pretrained, task):
        with pytest.raises(WeightsError, match=rf"surplus: {name}\nfrom_pretrained\(..., strict=False\) leaves surplus"):
            load(tmp_path)
        with pytest.warns(MinibertWarning, match=f"which are not used: {name}"):
            again = load(tmp_path, strict=False)
        if isinstance(again, type(model)):
            assert np.array_equal(again(IDS).logits, model(IDS).logits)
    rewrite_weights(tmp_path, lambda tensors: tensors.pop("classifier.bias"))
    with pytest.warns(MinibertWarning), pytest.raises(WeightsError, match="missing: classifier.bias"):
        auto.from_pretrained(tmp_path, strict=False)


# --- Auto classes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model_type, head", HEADS + CHOICES)
def test_the_auto_class_of_a_head_finds_its_class(model_type, head, tmp_path):
    auto = getattr(minibert, f"AutoModel{head}")
    model = auto.from_config(small_config(model_type))
    assert type(model).__name__ == FAMILIES[model_type].prefix + head
    model.save_pretrained(tmp_path)
    assert type(auto.from_pretrained(tmp_path)) is type(model)


def test_a_task_that_distilbert_has_no_head_for_says_so():
    with pytest.raises(ConfigError, match="takes a configuration of class BertConfig; got DistilBertConfig"):
        minibert.AutoModelForNextSentencePrediction.from_config(small_config())


@pytest.mark.parametrize("kernels", ["reference", "fast"])
@pytest.mark.parametrize("head", ["ForSequenceClassification", "ForNextSentencePrediction", "ForMultipleChoice"])
def test_infinite_hidden_states_are_an_error_though_a_tanh_makes_numbers_of_them(head, kernels):
    tensors = small_model("bert", head).tensors
    norm = next(name for name in reversed(tensors) if name.endswith("output.LayerNorm.bias"))
    tensors[norm] = np.where(np.arange(len(tensors[norm])) == 3, np.float32(np.inf), tensors[norm])
    model = small_model("bert", head)
    model.build(model.config, tensors, kernels)
    with pytest.raises(WeightsError, match="these give NaN or infinity"):
        model(IDS[None] if head == "ForMultipleChoice" else IDS)
