"""minibert/convert.py: a checkpoint of any form becomes safetensors, with the same names, types and bits."""

import shutil

import numpy as np
import pytest
from checkpoints import make_checkpoint, rewrite_weights, safetensors_bytes, stored_tensors
from safetensors.numpy import load_file, save_file
from torch_files import dictionary, pickled, tensor, to_bin, torch_bytes, zip_form

import minibert
from minibert import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    ConfigError,
    InputError,
    InputTypeError,
    ModelNotFoundError,
    SentenceEncoder,
    WeightsError,
    hub,
)
from minibert.cli import main
from minibert.convert import convert
from minibert.families import FAMILIES
from minibert.weights import open_weights

WEIGHTS, PICKLE = "model.safetensors", "pytorch_model.bin"


@pytest.mark.parametrize("form", ["zip", "legacy"])
@pytest.mark.parametrize("model_type", FAMILIES)
def test_a_file_of_torch_becomes_safetensors_of_the_same_bits(form, model_type, tmp_path):
    folder = make_checkpoint(tmp_path / "old", model_type)
    expected = load_file(folder / WEIGHTS)
    to_bin(folder, form)
    written = convert(folder, tmp_path / "new")
    stored = load_file(tmp_path / "new" / WEIGHTS)
    assert set(stored) == set(expected)
    assert all(stored[name].tobytes() == expected[name].tobytes() for name in expected)
    for name in ("config.json", "vocab.txt", "tokenizer_config.json"):
        assert (tmp_path / "new" / name).read_bytes() == (folder / name).read_bytes()
    assert {file.path for file in written} == set((tmp_path / "new").iterdir())
    models = [AutoModelForSequenceClassification.from_pretrained(path) for path in (folder, tmp_path / "new")]
    assert models[0]([[2, 5, 3]]).logits.tobytes() == models[1]([[2, 5, 3]]).logits.tobytes()


def test_types_are_kept_and_tensors_that_are_no_models_too(tmp_path):
    folder = make_checkpoint(tmp_path / "old")
    tensors = stored_tensors(folder)
    half = np.frombuffer(tensors["classifier.bias"][2], "<f4").astype("<f2").tobytes()
    other = {
        "classifier.bias": ("F16", (2,), half),
        "x.ids": ("I64", (1, 2), bytes(range(16))),
        "cls.x": ("BF16", (3,), bytes(range(6))),
    }
    (folder / PICKLE).write_bytes(torch_bytes({**tensors, **other}))
    (folder / WEIGHTS).unlink()
    convert(folder, tmp_path / "new")
    assert (tmp_path / "new" / WEIGHTS).read_bytes()[8:9] == b"{"
    before, after = (open_weights(hub.locate(path)) for path in (folder, tmp_path / "new"))
    assert set(before) == set(after)
    for name, stored in before.items():
        assert (stored.shape, stored.dtype) == (after[name].shape, after[name].dtype)
        assert stored.stored_array().tobytes() == after[name].stored_array().tobytes()


def test_a_transposed_tensor_is_written_in_its_own_order(tmp_path):
    folder = make_checkpoint(tmp_path / "old")
    values = np.arange(6, dtype="<f4")
    state = pickled(dictionary(x=tensor("0", 6, (3, 2), (1, 3))))
    (folder / WEIGHTS).unlink()
    (folder / PICKLE).write_bytes(zip_form(state, {"0": values.tobytes()}))
    convert(folder, tmp_path / "new")
    assert load_file(tmp_path / "new" / WEIGHTS)["x"].tolist() == values.reshape(2, 3).T.tolist()


def test_a_folder_can_be_converted_in_place_and_again(tmp_path):
    folder = to_bin(make_checkpoint(tmp_path))
    before = AutoModelForSequenceClassification.from_pretrained(folder)([[2, 5, 3]]).logits.tobytes()
    for source in (PICKLE, WEIGHTS):
        assert convert(folder, folder)[-1].source == source
        assert AutoModelForSequenceClassification.from_pretrained(folder)([[2, 5, 3]]).logits.tobytes() == before


def test_a_sentence_models_steps_are_converted_with_it(tmp_path):
    folder = make_checkpoint(tmp_path / "old", "bert", "Model")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"word_embedding_dimension": 8, "pooling_mode_mean_tokens": true}')
    steps = '[{"path": "", "type": "x.Transformer"}, {"path": "1_Pooling", "type": "x.Pooling"}, {"path": "2_Dense", "type": "x.Dense"}]'
    (folder / "modules.json").write_text(steps)
    (folder / "2_Dense").mkdir(exist_ok=True)
    (folder / "2_Dense" / "config.json").write_text('{"in_features": 8, "out_features": 4}')
    random = np.random.default_rng(0)
    layer = {"linear.weight": random.random((4, 8), np.float32), "linear.bias": random.random(4, np.float32)}
    save_file(layer, folder / "2_Dense" / WEIGHTS)
    expected = SentenceEncoder.from_pretrained(folder).encode(["a good movie"])
    for part in (folder, folder / "2_Dense"):
        to_bin(part)
    assert SentenceEncoder.from_pretrained(folder).encode(["a good movie"]).tobytes() == expected.tobytes()
    convert(folder, tmp_path / "new")
    assert not list((tmp_path / "new").rglob("*.bin"))
    assert SentenceEncoder.from_pretrained(tmp_path / "new").encode(["a good movie"]).tobytes() == expected.tobytes()


def test_what_cannot_be_loaded_is_not_written(tmp_path):
    folder = make_checkpoint(tmp_path / "old")
    (folder / WEIGHTS).write_bytes(safetensors_bytes({})[:5])
    with pytest.raises(WeightsError):
        convert(folder, tmp_path / "new")
    shutil.copy(folder / "vocab.txt", folder / "config.json")
    with pytest.raises(ConfigError):
        convert(folder, tmp_path / "new")
    (folder / "config.json").unlink()
    with pytest.raises(ModelNotFoundError):
        convert(folder, tmp_path / "new")
    with pytest.raises(InputTypeError, match="unexpected keyword argument 'strict'"):
        convert(folder, tmp_path / "new", strict=True)
    with pytest.raises(InputTypeError, match="a folder is named by"):
        convert(folder, 5)
    assert not (tmp_path / "new").exists()


def test_the_command_says_what_it_wrote(tmp_path, capsys):
    folder = to_bin(make_checkpoint(tmp_path / "old"))
    assert main(["convert", str(folder), str(tmp_path / "new")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(list((tmp_path / "new").iterdir()))
    assert f"{tmp_path / 'new' / 'config.json'}\ta copy of config.json" in lines
    count = len(load_file(tmp_path / "new" / WEIGHTS))
    assert lines[-1].startswith(f"{tmp_path / 'new' / WEIGHTS}\t{count} tensors, ") and lines[-1].endswith(f" of {PICKLE}")
    assert main(["convert", str(tmp_path / "nowhere"), str(tmp_path / "new")]) == 1
    assert "there is no folder" in capsys.readouterr().err


@pytest.mark.parametrize("head", ["Model", "ForSequenceClassification", "ForMaskedLM"])
def test_a_roberta_becomes_a_longformer_that_gives_short_texts_the_same(head, tmp_path):
    folder = make_checkpoint(tmp_path / "old", "roberta", head)
    assert main(["convert", str(folder), str(tmp_path / "new"), "--to", "longformer"]) == 0
    name = "AutoModel" + head.removeprefix("Model")
    before, after = (getattr(minibert, name).from_pretrained(path) for path in (folder, tmp_path / "new"))
    assert type(after).__name__ == f"Longformer{head}"
    ids = np.random.default_rng(0).integers(5, 33, (3, 16))
    np.testing.assert_allclose(before(ids)[0], after(ids)[0], atol=1e-5)
    assert np.isfinite(after(np.full((1, 4096), 7))[0]).all()
    table = after.tensors["embeddings.position_embeddings.weight"]
    assert table.shape == (4098, 8) and np.array_equal(table[2:18], table[18:34])
    assert AutoTokenizer.from_pretrained(tmp_path / "new").model_max_length == 4096


@pytest.mark.parity
def test_transformers_runs_the_longformer_of_a_roberta(tmp_path):
    torch = pytest.importorskip("torch", reason="parity needs torch: pip install -e '.[test]'")
    transformers = pytest.importorskip("transformers", reason="parity needs transformers: pip install -e '.[test]'")
    convert(make_checkpoint(tmp_path / "old", "roberta"), tmp_path / "new", to="longformer")
    theirs, report = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "new", output_loading_info=True)
    assert not any(report.values())
    ids = np.random.default_rng(0).integers(5, 33, (1, 3000))
    ours = AutoModelForSequenceClassification.from_pretrained(tmp_path / "new")
    with torch.no_grad():
        np.testing.assert_allclose(ours(ids).logits, theirs(torch.tensor(ids)).logits.numpy(), atol=1e-5)


def test_only_a_roberta_becomes_a_longformer(tmp_path):
    with pytest.raises(ConfigError, match="a Longformer is made of a RoBERTa; .* has the model_type 'bert'"):
        convert(make_checkpoint(tmp_path / "bert", "bert"), tmp_path / "new", to="longformer")
    with pytest.raises(InputError, match="to must be 'longformer', or None for the same model; got 'bert'"):
        convert(tmp_path / "bert", tmp_path / "new", to="bert")
    folder = make_checkpoint(tmp_path / "roberta", "roberta")
    rewrite_weights(folder, lambda tensors: tensors.pop("roberta.encoder.layer.0.attention.self.query.bias"))
    with pytest.raises(WeightsError, match="query.bias"):
        convert(folder, tmp_path / "new", to="longformer")
    assert not (tmp_path / "new").exists()
