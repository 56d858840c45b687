"""Tokenizer classes that are WordPiece under another name: which class a checkpoint's tokenizer_class becomes."""

import json
import warnings

import pytest
from checkpoints import make_checkpoint

import minibert
from minibert import AutoConfig, AutoTokenizer, MinibertWarning, SentenceEncoder, VocabularyError, pipeline
from minibert.auto import SAME_AS_BERT
from minibert.cli import main
from minibert.tokenization import BertTokenizer, FunnelTokenizer, PreTrainedTokenizerFast

TEXTS = ["A good Movie", "naïve film, waiting!", "", "[MASK] 日本 very dully"]
UNKNOWN = ["RetriBertTokenizer", "RetriBertTokenizerFast", "RealmTokenizer", "SomebodysTokenizer"]


def name_class(folder, name, with_json=True, **settings):
    """A checkpoint whose tokenizer_config.json names this class; with a tokenizer.json or vocab.txt alone."""
    make_checkpoint(folder, "bert")
    if with_json:
        AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name, **settings}))
    return folder


def encoded(tokenizer):
    return [dict(tokenizer(text, "not bad")) for text in TEXTS]


@pytest.mark.parametrize("with_json", [True, False])
@pytest.mark.parametrize("name", [f"{prefix}Tokenizer{end}" for prefix in (*SAME_AS_BERT, "Electra") for end in ("", "Fast")])
def test_berts_tokenizer_under_another_name_is_berts(name, with_json, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tokenizer = AutoTokenizer.from_pretrained(name_class(tmp_path / "m", name, with_json, do_lower_case=False))
    assert type(tokenizer) is BertTokenizer
    expected = AutoTokenizer.from_pretrained(name_class(tmp_path / "bert", "BertTokenizer", with_json, do_lower_case=False))
    assert encoded(tokenizer) == encoded(expected)


@pytest.mark.parity
@pytest.mark.parametrize("with_json", [True, False])
@pytest.mark.parametrize("name", [f"{prefix}Tokenizer" for prefix in (*SAME_AS_BERT, "Electra")])
def test_such_a_tokenizer_is_transformers_own(name, with_json, tmp_path):
    transformers = pytest.importorskip("transformers")
    folder = name_class(tmp_path / "m", name, with_json, do_lower_case=True)
    assert encoded(AutoTokenizer.from_pretrained(folder)) == encoded(transformers.AutoTokenizer.from_pretrained(folder))


@pytest.mark.parity
@pytest.mark.parametrize("settings", [{}, {"do_lower_case": False}, {"strip_accents": False, "cls_token": "[CLS]"}], ids=str)
def test_funnels_tokenizer_is_transformers_own(settings, tmp_path):
    transformers = pytest.importorskip("transformers")
    tokens = [
        "<pad>",
        "<unk>",
        "<cls>",
        "<sep>",
        "<mask>",
        "<s>",
        "</s>",
        "[CLS]",
        "a",
        "good",
        "movie",
        "na",
        "##ive",
        "naïve",
        "A",
    ]
    (tmp_path / "vocab.txt").write_text("\n".join(tokens), encoding="utf-8")
    theirs = transformers.FunnelTokenizer(dict(zip(tokens, range(len(tokens)))), **settings)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "FunnelTokenizerFast", **settings}))
    ours = AutoTokenizer.from_pretrained(tmp_path)
    assert type(ours) is FunnelTokenizer and FunnelTokenizer().get_vocab() == transformers.FunnelTokenizer().get_vocab()
    assert encoded(ours) == encoded(theirs)
    types = [each("a", "good movie", return_token_type_ids=True)["token_type_ids"] for each in (ours, theirs)]
    assert types[0] == types[1] and types[0][0] == 2
    ours.save_pretrained(tmp_path / "saved")
    assert encoded(transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")) == encoded(ours)
    assert encoded(AutoTokenizer.from_pretrained(tmp_path / "saved")) == encoded(ours)


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_class_is_its_wordpiece_with_one_warning(name, tmp_path):
    folder = name_class(tmp_path / "m", name)
    with pytest.warns(MinibertWarning, match=f"says tokenizer_class '{name}', which is not known here") as caught:
        tokenizer = AutoTokenizer.from_pretrained(folder)
    assert len(caught) == 1 and type(tokenizer) is PreTrainedTokenizerFast
    assert encoded(tokenizer) == encoded(PreTrainedTokenizerFast.from_pretrained(folder))


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore::minibert.MinibertWarning")
@pytest.mark.parametrize("name", ["RetriBertTokenizer", "RealmTokenizer", "SomebodysTokenizer"])
def test_an_unknown_class_has_transformers_ids(name, tmp_path):
    transformers = pytest.importorskip("transformers")
    folder = name_class(tmp_path / "m", name)
    theirs = encoded(transformers.AutoTokenizer.from_pretrained(folder))
    assert [each["input_ids"] for each in encoded(AutoTokenizer.from_pretrained(folder))] == [
        each["input_ids"] for each in theirs
    ]


def test_an_unknown_class_is_accepted_by_every_loader(tmp_path, capsys):
    folder = name_class(tmp_path / "m", "SomebodysTokenizer")
    for load in (lambda: pipeline("text-classification", folder), lambda: SentenceEncoder.from_pretrained(folder)):
        with pytest.warns(MinibertWarning, match="SomebodysTokenizer"):
            load()
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main(["tokenize", "--model", str(folder), "good"]) == 0
    output = capsys.readouterr()
    assert "good\t11" in output.out and output.err.count("SomebodysTokenizer") == 1


@pytest.mark.parametrize("model", [None, {"type": "WordLevel", "vocab": {}}, {"type": ["WordPiece"]}, [], "WordPiece"])
def test_an_unknown_class_of_another_model_is_an_error(model, tmp_path):
    folder = name_class(tmp_path / "m", "SomebodysTokenizer", with_json=False)
    if model is not None:
        (folder / "tokenizer.json").write_text(json.dumps({"model": model}))
    with pytest.raises(
        VocabularyError, match="if its model is WordPiece or BPE; the checkpoint .* says tokenizer_class 'SomebodysTokenizer'"
    ):
        AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize(
    "name, model",
    [("CamembertTokenizer", None), ("XLMRobertaTokenizerFast", None), ("SomebodysTokenizer", {"type": "Unigram", "vocab": []})],
)
def test_a_sentencepiece_tokenizer_is_one_clear_error(name, model, tmp_path):
    folder = name_class(tmp_path / "m", name, with_json=False)
    if model is not None:
        (folder / "tokenizer.json").write_text(json.dumps({"model": model}))
    with pytest.raises(VocabularyError, match=f"says tokenizer_class '{name}', which is sentencepiece's Unigram model"):
        AutoTokenizer.from_pretrained(folder)


def test_a_configuration_stands_in_place_of_the_folder_s_own(tmp_path):
    folder = make_checkpoint(tmp_path / "m", "distilbert")
    config, settings = minibert.BertConfig(), json.loads((folder / "tokenizer_config.json").read_text())
    settings.pop("tokenizer_class", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    assert type(AutoTokenizer.from_pretrained(folder)) is minibert.DistilBertTokenizer
    assert (
        type(AutoTokenizer.from_pretrained(folder, config=AutoConfig.from_pretrained(folder))) is minibert.DistilBertTokenizer
    )
    assert type(AutoTokenizer.from_pretrained(folder, config=config)) is minibert.BertTokenizer
    (folder / "config.json").unlink()
    assert type(AutoTokenizer.from_pretrained(folder, config=config)) is minibert.BertTokenizer
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "tokenizer_class": "DistilBertTokenizer"}))
    assert (
        type(AutoTokenizer.from_pretrained(folder, config=config)) is minibert.DistilBertTokenizer
    )  # its own word comes first
    for wrong in ("bert", {}, minibert.BertConfig):
        with pytest.raises(minibert.InputTypeError, match="config must be a configuration; got"):
            AutoTokenizer.from_pretrained(folder, config=wrong)
