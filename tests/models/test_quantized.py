"""int8 checkpoints: written, mapped, read by every preset, and written back as floats."""

import json

import numpy as np
import pytest
from checkpoints import NAMES, make_checkpoint, rewrite_config, rewrite_weights
from safetensors.numpy import load_file

import minibert
from minibert.cli import main
from minibert.errors import ConfigError, InputError, InputTypeError, MinibertWarning, WeightsError
from minibert.kernels.ops.quantization import dequantize_table, dequantize_weight, quantize_table, quantize_weight
from minibert.models.quantized import computes_in_int8
from minibert.quantize import dequantize, quantize

IDS = np.arange(12).reshape(2, 6)
HEADS = [
    ("distilbert", "ForSequenceClassification"),
    ("bert", "ForTokenClassification"),
    ("bert", "Model"),
    ("distilbert", "ForMaskedLM"),
]


def round_tables(tensors):
    """Embeddings as they come out of 8 bits."""
    for name in tensors:
        if name.endswith(("word_embeddings.weight", "position_embeddings.weight")):
            tensors[name] = dequantize_table(quantize_table(tensors[name]))


@pytest.fixture
def folder(tmp_path):
    """An int8 checkpoint of a classifier."""
    quantize(make_checkpoint(tmp_path / "float"), tmp_path / "int8")
    return tmp_path / "int8"


def load(folder, kernels="int8"):
    return minibert.AutoModelForSequenceClassification.from_pretrained(folder, kernels=kernels)


@pytest.mark.parametrize(("model_type", "head"), HEADS)
def test_a_quantized_checkpoint_answers_as_the_model_it_was_made_from(model_type, head, tmp_path):
    make_checkpoint(tmp_path / "float", model_type, head)
    rewrite_weights(tmp_path / "float", round_tables)
    quantize(tmp_path / "float", tmp_path / "int8")
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
    assert panels.ctypes.data % 64 == 0


def test_weights_that_begin_between_two_cache_lines_are_copied(folder):
    """As in files of other writers: there a vector would take two reads."""
    expected = load(folder)(IDS)[0]
    path = folder / "model.safetensors"
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    path.write_bytes(end.to_bytes(8, "little") + content[8:end] + b" " * 8 + content[end:])
    model = load(folder)
    panels, *_ = model.encoder.layers[0].query_key_value
    assert panels.ctypes.data % 64 == 0 and panels.flags.writeable
    assert np.array_equal(model(IDS)[0], expected)


def test_the_products_take_a_quarter_of_the_bytes(tmp_path):
    quantize(make_checkpoint(tmp_path / "float", dim=256, n_heads=8, hidden_dim=288, n_layers=4), tmp_path / "int8")
    tensors = load_file(tmp_path / "int8" / "model.safetensors")
    packed = sum(
        array.nbytes for name, array in tensors.items() if ".layer." in name and name.endswith((".qweight", ".scales"))
    )
    exact = 4 * 4 * (4 * 256 * 256 + 2 * 256 * 288)
    assert packed < 0.27 * exact
    config = json.loads((tmp_path / "int8" / "config.json").read_text())
    assert config["quantization_config"] == {"quant_method": "minibert-int8", "version": 5}


def test_tables_take_a_quarter_of_the_bytes_and_a_scale_for_each_row(folder):
    tensors = load_file(folder / "model.safetensors")
    for table in ("word", "position"):
        name = f"distilbert.embeddings.{table}_embeddings"
        assert tensors[f"{name}.qweight"].dtype == np.int8 and tensors[f"{name}.scales"].dtype == np.float32
        assert tensors[f"{name}.scales"].shape == tensors[f"{name}.qweight"].shape[:1]
    original = load_file(folder.parent / "float" / "model.safetensors")["distilbert.embeddings.word_embeddings.weight"]
    table = load(folder, "reference").tensors["embeddings.word_embeddings.weight"]
    steps = np.abs(original).max(axis=1, keepdims=True) / 127
    assert np.abs(table - original).max() > 0 and (np.abs(table - original) <= 0.51 * steps).all()


def test_words_stay_in_the_file_and_give_the_same_bits_as_floats_of_them(folder):
    model = load(folder)
    words = model.encoder.tables[0]
    assert words.values.dtype == np.int8 and not words.values.flags.owndata and not words.values.flags.writeable
    floats = model.with_tensors(dict(model.tensors))
    floats.encoder = floats.encoder._replace(tables=(dequantize_table(words), *floats.encoder.tables[1:]))
    for ids in (IDS, IDS[:1, :3], np.arange(15)[None].repeat(9, axis=0)):
        assert np.array_equal(model(ids).logits, floats(ids).logits)
    table = model.get_input_embeddings()
    assert np.array_equal(table.weight, dequantize_table(words)) and table.num_embeddings == len(words.values)
    by_embeddings = model(inputs_embeds=table(IDS)).logits
    assert np.array_equal(by_embeddings, model(IDS).logits)


def test_a_head_that_multiplies_by_the_words_has_floats_of_them(tmp_path):
    quantize(make_checkpoint(tmp_path / "float", "bert", "ForMaskedLM"), tmp_path / "int8")
    model = minibert.BertForMaskedLM.from_pretrained(tmp_path / "int8")
    assert model.encoder.tables[0].dtype == np.float32
    assert np.array_equal(model.get_output_embeddings().weight, model.get_input_embeddings().weight)


@pytest.mark.parametrize("embed", ["naive", "vector"])
def test_int8_products_beside_any_variant_of_the_embeddings(folder, embed):
    kernels = {**load(folder).kernels.names, "embed": embed}
    mapping = {name: variant for name, variant in kernels.items() if " + " not in variant}
    model = load(folder, mapping)
    assert computes_in_int8(model.kernels, model.architecture) and isinstance(model.encoder.tables[0], tuple) == (
        embed == "vector"
    )
    expected = load(folder)(IDS).logits
    assert np.abs(model(IDS).logits - expected).max() < 0.05 * np.abs(expected).max()


def test_a_table_that_was_rounded_is_rounded_to_itself():
    table = (
        np.random.default_rng(0).normal(size=(500, 24)).astype(np.float32)
        * np.logspace(-30, 30, 500, dtype=np.float32)[:, None]
    )
    table[7] = 0
    rounded = dequantize_table(quantize_table(table))
    assert rounded.dtype == np.float32 and not np.array_equal(rounded, table)
    for again, once in zip(quantize_table(rounded), quantize_table(table)):
        assert np.array_equal(again, once)


@pytest.mark.parametrize("shape", [(5, 16), (3, 40), (33, 200), (40, 768), (2, 1100)], ids=str)
def test_a_weight_comes_back_near_what_it_was(shape):
    weight = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    weight[:, 3] *= 20
    back = dequantize_weight(*quantize_weight(weight), shape[1])
    assert back.shape == shape and back.dtype == np.float32
    assert 0 < np.abs(back - weight).max() < 0.02 * np.abs(weight).max()


@pytest.mark.parametrize("kernels", ["reference", "naive", "fast", "bf16", {"linear": "register"}], ids=str)
@pytest.mark.parametrize(("model_type", "head"), [*HEADS, ("mpnet", "ForSequenceClassification"), ("electra", "Model")])
def test_every_preset_computes_with_the_same_weights(model_type, head, kernels, tmp_path):
    quantize(make_checkpoint(tmp_path / "float", model_type, head), tmp_path / "int8")
    model_class = getattr(minibert, NAMES[model_type] + head)
    exact = model_class.from_pretrained(tmp_path / "int8", kernels="reference")
    model = model_class.from_pretrained(tmp_path / "int8", kernels=kernels)
    assert not computes_in_int8(model.kernels, model.architecture) and not hasattr(model.config, "quantization_config")
    for name, tensor in exact.tensors.items():
        assert np.array_equal(model.tensors[name], tensor)
    expected, computed = (np.asarray(one(IDS)[0]) for one in (exact, model))
    assert np.abs(computed - expected).max() < (0.05 if kernels == "bf16" else 1e-5) * np.abs(expected).max()
    int8 = np.asarray(model_class.from_pretrained(tmp_path / "int8")(IDS)[0])
    assert 0 < np.abs(int8 - expected).max() < 0.1 * np.abs(expected).max()


@pytest.mark.parametrize(("model_type", "head"), HEADS)
def test_what_is_dequantized_answers_as_the_int8_checkpoint_under_the_same_kernels(model_type, head, tmp_path):
    source = make_checkpoint(tmp_path / "float", model_type, head)
    quantize(source, tmp_path / "int8")
    dequantize(tmp_path / "int8", tmp_path / "back")
    original, back = (load_file(path / "model.safetensors") for path in (source, tmp_path / "back"))
    assert {name: array.shape for name, array in back.items()} == {name: array.shape for name, array in original.items()}
    model_class = getattr(minibert, NAMES[model_type] + head)
    answers = [model_class.from_pretrained(tmp_path / name, kernels="fast")(IDS)[0] for name in ("int8", "back")]
    assert np.array_equal(*answers)
    minibert.AutoTokenizer.from_pretrained(tmp_path / "back")
    with pytest.raises(InputError, match="is not quantized"):
        dequantize(tmp_path / "back", tmp_path / "again")


@pytest.mark.parity
def test_transformers_reads_what_is_dequantized(folder, tmp_path):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    dequantize(folder, tmp_path / "back")
    theirs = transformers.DistilBertForSequenceClassification.from_pretrained(tmp_path / "back").eval()
    with torch.no_grad():
        expected = theirs(torch.tensor(IDS)).logits.numpy()
    assert np.abs(load(folder, "fast")(IDS).logits - expected).max() < 1e-5 * np.abs(expected).max()


def test_a_model_of_int8_weights_is_trained_from_floats(folder):
    inputs = {"input_ids": IDS, "labels": np.array([0, 1])}
    with pytest.raises(InputError, match="load the model with kernels='fast'"):
        minibert.loss_and_gradients(load(folder), **inputs)
    _, gradients = minibert.loss_and_gradients(load(folder, "fast"), **inputs)
    assert "transformer.layer.0.attention.q_lin.weight" in gradients


@pytest.mark.parametrize("said", [{"quant_method": "gptq"}, {}, "int8", [1]])
def test_what_others_quantized_is_refused(folder, said):
    rewrite_config(folder, quantization_config=said)
    with pytest.raises(ConfigError, match=r"reads float weights, and those that it quantized itself \(minibert-int8\)"):
        load(folder)


@pytest.mark.parametrize("version", [{}, {"version": 4}, {"version": "5"}])
def test_what_another_version_quantized_is_refused(folder, version):
    rewrite_config(folder, quantization_config={"quant_method": "minibert-int8", **version})
    with pytest.raises(ConfigError, match="of the form that this minibert writes, version 5; .* minibert quantize"):
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
        tensors["distilbert.transformer.layer.0.attention_out.qweight"] = np.zeros((2, 2, 64), np.float32)

    rewrite_weights(folder, widen)
    with pytest.raises(WeightsError, match="not its type: transformer.layer.0.attention_out.qweight F32"):
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
    assert main(["dequantize", str(tmp_path / "int8"), str(tmp_path / "back")]) == 0
    assert np.array_equal(load(tmp_path / "back", "fast")(IDS).logits, load(tmp_path / "int8", "fast")(IDS).logits)
    assert main(["dequantize", str(tmp_path / "back"), str(tmp_path / "again")]) == 1
    assert "is not quantized" in capsys.readouterr().err
