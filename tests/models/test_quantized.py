"""int8 checkpoints: written, mapped, and refused where they cannot be used."""

import json

import numpy as np
import pytest
from checkpoints import make_checkpoint, rewrite_config, rewrite_weights
from safetensors.numpy import load_file

import minibert
from minibert.cli import main
from minibert.errors import ConfigError, InputError, InputTypeError, KernelError, MinibertWarning, WeightsError
from minibert.quantize import quantize

IDS = np.arange(12).reshape(2, 6)
HEADS = [
    ("distilbert", "ForSequenceClassification"),
    ("bert", "ForTokenClassification"),
    ("bert", "Model"),
    ("distilbert", "ForMaskedLM"),
]


@pytest.fixture
def folder(tmp_path):
    """An int8 checkpoint of a classifier."""
    quantize(make_checkpoint(tmp_path / "float"), tmp_path / "int8")
    return tmp_path / "int8"


def load(folder, kernels="int8"):
    return minibert.AutoModelForSequenceClassification.from_pretrained(folder, kernels=kernels)


@pytest.mark.parametrize(("model_type", "head"), HEADS)
def test_a_quantized_checkpoint_answers_as_the_model_it_was_made_from(model_type, head, tmp_path):
    quantize(make_checkpoint(tmp_path / "float", model_type, head), tmp_path / "int8")
    model_class = getattr(minibert, {"bert": "Bert", "distilbert": "DistilBert"}[model_type] + head)
    models = [model_class.from_pretrained(tmp_path / name, kernels="int8") for name in ("float", "int8")]
    expected, quantized = (model(IDS)[0] for model in models)
    assert np.array_equal(quantized, expected)
    models[1].save_pretrained(tmp_path / "again")
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "int8" / name).read_bytes()


def test_the_tokenizer_comes_along(folder):
    answer = minibert.pipeline("text-classification", str(folder))("a great movie")
    assert set(answer[0]) == {"label", "score"}


def test_auto_means_int8_here(folder):
    assert load(folder, "auto").kernels.preset == "int8"


def test_the_weights_stay_in_the_file(folder):
    panels, *_ = load(folder).encoder.layers[0].query_key_value
    assert panels.dtype == np.int8 and not panels.flags.owndata and not panels.flags.writeable


def test_the_products_take_a_quarter_of_the_bytes(tmp_path):
    quantize("minibert-sst2", tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    packed = sum(array.nbytes for name, array in tensors.items() if ".panels" in name or ".scales" in name)
    exact = 4 * 4 * (4 * 256 * 256 + 2 * 256 * 288)
    assert packed < 0.27 * exact
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["quantization_config"] == {"quant_method": "minibert-int8", "version": 3}


@pytest.mark.parametrize("kernels", ["reference", "fast", "bf16", {"linear": "register"}])
def test_other_kernels_are_refused(folder, kernels):
    with pytest.raises(KernelError, match="holds weights of 8 bits, which kernels='int8' computes with; got"):
        load(folder, kernels)


@pytest.mark.parametrize("said", [{"quant_method": "gptq"}, {}, "int8", [1]])
def test_what_others_quantized_is_refused(folder, said):
    rewrite_config(folder, quantization_config=said)
    with pytest.raises(ConfigError, match=r"reads float weights, and those that it quantized itself \(minibert-int8\)"):
        load(folder)


@pytest.mark.parametrize("version", [{}, {"version": 2}, {"version": "3"}])
def test_what_another_version_quantized_is_refused(folder, version):
    rewrite_config(folder, quantization_config={"quant_method": "minibert-int8", **version})
    with pytest.raises(ConfigError, match="of the form that this minibert writes, version 3; .* minibert quantize"):
        load(folder)


def test_what_is_quantized_is_not_quantized_again(folder, tmp_path):
    with pytest.raises(InputError, match="is quantized already"):
        quantize(folder, tmp_path / "again")


def test_a_file_that_is_not_what_config_json_says_is_refused(folder):
    rewrite_config(folder, quantization_config=None)
    with pytest.raises(WeightsError, match="missing: .*q_lin.weight"):
        load(folder)


def test_panels_of_floats_are_refused(folder):
    def widen(tensors):
        tensors["distilbert.transformer.layer.0.attention_out.panels"] = np.zeros((2, 2, 64), np.float32)

    rewrite_weights(folder, widen)
    with pytest.raises(WeightsError, match="not its type: transformer.layer.0.attention_out.panels F32"):
        load(folder)


def test_arguments_that_mean_nothing_are_refused(tmp_path):
    source = make_checkpoint(tmp_path / "float")
    for wrong in (None, 5, b"folder", [str(tmp_path)], {}, np.arange(2)):
        with pytest.raises(InputTypeError, match="a folder is named by a string or a path"):
            quantize(source, wrong)
        with pytest.raises(InputTypeError, match="a model is named by a string or a path"):
            quantize(wrong, tmp_path / "int8")
    for name in ("", "a\0b", "\ud800"):
        with pytest.raises(InputError, match="a folder's name must"):
            quantize(source, name)
    with pytest.raises(InputTypeError, match="unexpected keyword argument 'kernels'. It takes name, folder, revision"):
        quantize(source, tmp_path / "int8", kernels="int8")
    rewrite_weights(source, lambda tensors: tensors.update({"loss_fct.weight": np.zeros(2, np.float32)}))
    with pytest.raises(WeightsError, match="surplus: loss_fct.weight"):
        quantize(source, tmp_path / "int8")
    with pytest.warns(MinibertWarning, match="not used: loss_fct.weight"):
        quantize(source, tmp_path / "int8", strict=False)
    assert load(tmp_path / "int8")(IDS).logits.shape == (2, 2)


def test_the_command(tmp_path, capsys):
    assert main(["quantize", str(make_checkpoint(tmp_path / "float")), str(tmp_path / "int8")]) == 0
    assert load(tmp_path / "int8")(IDS).logits.shape == (2, 2)
    assert main(["quantize", str(tmp_path / "int8"), str(tmp_path / "again")]) == 1
    assert "is quantized already" in capsys.readouterr().err
