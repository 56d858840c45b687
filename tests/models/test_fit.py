"""How a checkpoint's tensors must fit its configuration: names, shapes, heads, and one error for all that does not."""

import time
import warnings

import numpy as np
import pytest
from checkpoints import make_checkpoint, rewrite_config, rewrite_weights, safetensors_bytes, small_config, stored_tensors

from minibert import (
    AutoModel,
    AutoModelForSequenceClassification,
    BertForSequenceClassification,
    BertModel,
    ConfigError,
    DistilBertForSequenceClassification,
    DistilBertModel,
    InputError,
    InputTypeError,
    MinibertError,
    MinibertWarning,
    WeightsError,
    set_seed,
)

IDS = [[2, 5, 6, 3], [2, 9, 9, 3]]
MODEL_TYPES = ["bert", "distilbert"]
WEIGHTS = "model.safetensors"


def logits(folder):
    return AutoModelForSequenceClassification.from_pretrained(folder)(IDS).logits.tobytes()


def rename(tensors, change):
    """Give every tensor the name that `change` makes of its own."""
    for name in list(tensors):
        tensors[change(name)] = tensors.pop(name)


def test_everything_that_does_not_fit_is_listed_in_one_error(tmp_path):
    def damage(tensors):
        del tensors["distilbert.transformer.layer.1.ffn.lin1.bias"], tensors["classifier.bias"]
        tensors["distilbert.transformer.layer.9.ffn.lin1.bias"] = tensors["stray"] = np.zeros(3, np.float32)
        tensors["pre_classifier.weight"] = np.zeros((8, 9), np.float32)
        tensors["distilbert.embeddings.LayerNorm.bias"] = np.zeros(8, np.int64)

    rewrite_weights(make_checkpoint(tmp_path), damage)
    with pytest.raises(WeightsError) as caught:
        AutoModelForSequenceClassification.from_pretrained(tmp_path)
    first, *lines, hint = str(caught.value).splitlines()
    assert hint == "from_pretrained(..., strict=False) leaves surplus tensors in the file."
    assert first == f"the tensors of {tmp_path} must be those that its config.json describes:"
    problems = dict(line.strip().split(": ", 1) for line in lines)
    assert problems["missing"] == "transformer.layer.1.ffn.lin1.bias, classifier.bias"
    assert sorted(problems["surplus"].split(", ")) == ["stray", "transformer.layer.9.ffn.lin1.bias"]
    assert problems["wrong shape"] == "pre_classifier.weight (8, 9) for (8, 8)"
    assert problems["not its type"] == "embeddings.LayerNorm.bias I64"


def test_a_long_list_is_cut_and_counted(tmp_path):
    rewrite_weights(make_checkpoint(tmp_path), lambda tensors: rename(tensors, lambda name: f"x.{name}"))
    with pytest.raises(WeightsError, match=r"missing: embeddings.*, and \d+ more\n  surplus: x\."):
        AutoModel.from_pretrained(tmp_path)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_the_encoder_may_have_its_prefix_or_none(model_type, tmp_path):
    before = logits(make_checkpoint(tmp_path, model_type))
    assert {name.split(".")[0] for name in stored_tensors(tmp_path)} <= {model_type, "classifier", "pre_classifier"}
    rewrite_weights(tmp_path, lambda tensors: rename(tensors, lambda name: name.removeprefix(f"{model_type}.")))
    assert not any(name.startswith(model_type) for name in stored_tensors(tmp_path))
    assert logits(tmp_path) == before


def test_the_old_names_of_a_norm_are_read(tmp_path):
    before = logits(make_checkpoint(tmp_path, "bert"))
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}

    def make_old(name):
        end = ".".join(name.split(".")[-2:])
        return name.removesuffix(end) + old.get(end, end)

    rewrite_weights(tmp_path, lambda tensors: rename(tensors, make_old))
    assert any(name.endswith("LayerNorm.gamma") for name in stored_tensors(tmp_path))
    assert logits(tmp_path) == before


@pytest.mark.parametrize("other", ["embeddings.LayerNorm.weight", "bert.embeddings.LayerNorm.gamma"])
def test_one_tensor_under_two_names_is_refused(other, tmp_path):
    rewrite_weights(make_checkpoint(tmp_path, "bert"), lambda tensors: tensors.update({other: np.ones(8, np.float32)}))
    with pytest.raises(WeightsError, match="may hold a tensor once; 'embeddings.LayerNorm.weight' is there twice"):
        AutoModel.from_pretrained(tmp_path)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_stored_position_numbers_and_other_heads_are_left_alone(model_type, tmp_path):
    make_checkpoint(tmp_path, model_type)
    bare = AutoModel.from_pretrained(tmp_path)(IDS).last_hidden_state.tobytes()
    tensors = stored_tensors(tmp_path)
    for name in ("cls.predictions.bias", "vocab_projector.bias", "qa_outputs.weight", "cls.seq_relationship.bias"):
        tensors[name] = ("F32", (3,), bytes(12))
    tensors[f"{model_type}.embeddings.position_ids"] = ("I64", (1, 16), np.arange(16, dtype="<i8").tobytes())
    (tmp_path / WEIGHTS).write_bytes(safetensors_bytes(tensors))
    assert AutoModel.from_pretrained(tmp_path)(IDS).last_hidden_state.tobytes() == bare


def test_bert_without_a_pooler_has_no_pooled_output_and_keeps_it_so(tmp_path):
    make_checkpoint(tmp_path, "bert", "Model")
    pooled = AutoModel.from_pretrained(tmp_path)(IDS).pooler_output
    rewrite_weights(tmp_path, lambda tensors: [tensors.pop(f"pooler.dense.{part}") for part in ("weight", "bias")])
    model = AutoModel.from_pretrained(tmp_path)
    assert pooled.shape == (2, 8) and model(IDS).pooler_output is None and "pooler_output" not in model(IDS)
    model.save_pretrained(tmp_path / "again")
    assert BertModel.from_pretrained(tmp_path / "again")(IDS).pooler_output is None


def test_half_a_pooler_is_an_error(tmp_path):
    make_checkpoint(tmp_path, "bert", "Model")
    rewrite_weights(tmp_path, lambda tensors: tensors.pop("pooler.dense.bias"))
    with pytest.raises(WeightsError, match="missing: pooler.dense.bias"):
        AutoModel.from_pretrained(tmp_path)


@pytest.mark.parametrize("model_type, new", [("bert", "classifier.weight, classifier.bias"), ("distilbert", "pre_classifier.")])
def test_a_head_the_checkpoint_never_had_is_new_with_a_warning(model_type, new, tmp_path):
    make_checkpoint(tmp_path, model_type, "Model")
    with pytest.warns(MinibertWarning, match=f"was not trained to classify: {new}.* load it with AutoModel"):
        model = AutoModelForSequenceClassification.from_pretrained(tmp_path, num_labels=5)
    assert model(IDS).logits.shape == (2, 5)


@pytest.mark.parity
@pytest.mark.parametrize("model_type", ["bert", "distilbert", "electra", "roberta"])
def test_a_head_of_another_shape_is_new_if_asked_for(model_type, tmp_path):
    transformers = pytest.importorskip("transformers", reason="parity needs transformers: pip install -e '.[test]'")
    make_checkpoint(tmp_path, model_type, "ForSequenceClassification", num_labels=3)
    trained = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    with pytest.raises(WeightsError, match=r"wrong shape: .*\(3,\) for \(2,\)\n.*ignore_mismatched_sizes=True\) makes new"):
        AutoModelForSequenceClassification.from_pretrained(tmp_path, num_labels=2)
    options = {"num_labels": 2, "ignore_mismatched_sizes": True}
    set_seed(3)
    with pytest.warns(
        MinibertWarning, match=r"has tensors of the head in another shape: .*weight \(3, 8\) for \(2, 8\)"
    ) as caught:
        model, info = AutoModelForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True, **options)
    assert len(caught) == 1 and str(caught[0].message).count(" for (2") == 2
    _, expected = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True, **options)
    assert info["mismatched_keys"] == set(expected["mismatched_keys"]) and info["missing_keys"] == expected["missing_keys"]
    assert info["unexpected_keys"] == set(expected["unexpected_keys"])
    assert model(IDS).logits.shape == (2, 2)
    same = [name for name in model.tensors if np.array_equal(model.tensors[name], trained.tensors.get(name))]
    assert len(same) == len(model.tensors) - 2
    set_seed(3)
    with pytest.warns(MinibertWarning):
        again = AutoModelForSequenceClassification.from_pretrained(tmp_path, **options)
    assert all(np.array_equal(model.tensors[name], again.tensors[name]) for name in model.tensors)
    unchanged = AutoModelForSequenceClassification.from_pretrained(tmp_path, ignore_mismatched_sizes=True)
    assert np.array_equal(unchanged(IDS).logits, trained(IDS).logits)


def test_an_encoder_of_another_shape_is_an_error_all_the_same(tmp_path):
    make_checkpoint(tmp_path, "bert", "ForSequenceClassification", num_labels=3)
    for options in ({"intermediate_size": 20}, {"intermediate_size": 20, "ignore_mismatched_sizes": True}):
        with pytest.raises(WeightsError, match="wrong shape: encoder.layer.0.intermediate") as caught:
            AutoModelForSequenceClassification.from_pretrained(tmp_path, **options)
        assert "ignore_mismatched_sizes" not in str(caught.value)
    with pytest.raises(InputError, match="ignore_mismatched_sizes must be True or False; got 'yes'"):
        AutoModelForSequenceClassification.from_pretrained(tmp_path, ignore_mismatched_sizes="yes")


def test_bert_with_neither_pooler_nor_classifier_gets_both_new(tmp_path):
    make_checkpoint(tmp_path, "bert", "Model")
    rewrite_weights(tmp_path, lambda tensors: [tensors.pop(f"pooler.dense.{part}") for part in ("weight", "bias")])
    with pytest.warns(MinibertWarning, match="pooler.dense.weight, .*classifier.bias are new"):
        assert BertForSequenceClassification.from_pretrained(tmp_path)(IDS).logits.shape == (2, 2)


@pytest.mark.parametrize("lost", ["pre_classifier.weight", "pre_classifier.bias", "classifier.weight", "classifier.bias"])
def test_a_head_of_which_a_part_is_missing_is_an_error(lost, tmp_path):
    rewrite_weights(make_checkpoint(tmp_path), lambda tensors: tensors.pop(lost))
    with pytest.raises(WeightsError, match=f"missing: {lost}$"):
        DistilBertForSequenceClassification.from_pretrained(tmp_path)


def test_a_trained_classifier_whose_pooler_is_lost_is_an_error(tmp_path):
    make_checkpoint(tmp_path, "bert")
    rewrite_weights(tmp_path, lambda tensors: [tensors.pop(n) for n in list(tensors) if "pooler" in n])
    with pytest.raises(WeightsError, match="missing: pooler.dense.weight, pooler.dense.bias$"):
        BertForSequenceClassification.from_pretrained(tmp_path)


SIZES = {
    "n_layers": [1, 3, 50, 2**31 - 1],
    "dim": [4, 2**31 - 2],
    "hidden_dim": [2**31 - 1],
    "vocab_size": [2**31 - 1],
    "max_position_embeddings": [15, 2**31 - 1],
}


@pytest.mark.parametrize("name, size", [(name, size) for name, sizes in SIZES.items() for size in sizes])
def test_sizes_that_the_file_does_not_have_are_an_error_before_any_memory_is_taken(name, size, tmp_path):
    rewrite_config(make_checkpoint(tmp_path), **{name: size})
    began = time.perf_counter()
    with pytest.raises(WeightsError):
        AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert time.perf_counter() - began < 1


def test_another_number_of_labels_than_the_head_was_trained_for_is_an_error(tmp_path):
    make_checkpoint(tmp_path, num_labels=3)
    assert AutoModelForSequenceClassification.from_pretrained(tmp_path, num_labels=3).config.num_labels == 3
    with pytest.raises(WeightsError, match=r"wrong shape: classifier.weight \(3, 8\) for \(2, 8\)"):
        AutoModelForSequenceClassification.from_pretrained(tmp_path, num_labels=2)


def test_a_type_that_holds_no_floats_is_refused(tmp_path):
    tensors = stored_tensors(make_checkpoint(tmp_path))
    tensors["classifier.bias"] = ("F8_E4M3", (2,), bytes(2))
    (tmp_path / WEIGHTS).write_bytes(safetensors_bytes(tensors))
    with pytest.raises(WeightsError, match="not its type: classifier.bias F8_E4M3"):
        AutoModelForSequenceClassification.from_pretrained(tmp_path)


def test_the_wrong_class_for_a_checkpoint_is_refused(tmp_path):
    make_checkpoint(tmp_path, "bert")
    with pytest.raises(ConfigError, match="is a bert model's; load it with the bert class, or an Auto class"):
        DistilBertModel.from_pretrained(tmp_path)


def test_a_configuration_may_be_given_in_place_of_the_files(tmp_path):
    make_checkpoint(tmp_path)
    config = small_config(id2label={0: "no", 1: "yes"})
    for loads in (AutoModelForSequenceClassification, DistilBertForSequenceClassification):
        assert loads.from_pretrained(tmp_path, config=config).config.id2label == {0: "no", 1: "yes"}


@pytest.mark.parametrize("loads", [DistilBertModel, AutoModel])
def test_what_is_no_configuration_for_the_class_is_refused(loads, tmp_path):
    make_checkpoint(tmp_path)
    for wrong in ({}, "config.json", 5):
        with pytest.raises(InputTypeError, match="config must be a .*Config; got (dict|str|int)"):
            loads.from_pretrained(tmp_path, config=wrong)
    with pytest.raises(InputError, match="set the others on it; got num_labels beside it"):
        loads.from_pretrained(tmp_path, config=small_config(), num_labels=3)
    with pytest.raises(MinibertError, match="config must be a DistilBertConfig; got BertConfig|the tensors of"):
        loads.from_pretrained(tmp_path, config=small_config("bert"))
    broken = small_config()
    broken.n_heads = 3
    with pytest.raises(ConfigError, match="must divide by the heads"):
        loads.from_pretrained(tmp_path, config=broken)


def test_a_whole_checkpoint_loads_without_a_warning(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for model_type in MODEL_TYPES:
            folder = make_checkpoint(tmp_path / model_type, model_type)
            AutoModel.from_pretrained(folder)
            AutoModelForSequenceClassification.from_pretrained(folder)
