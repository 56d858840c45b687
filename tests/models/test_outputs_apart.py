"""What makes another model of one does not write it over that one, whatever its folder is called.

convert without `to` keeps every bit, and so may: test_convert.py.
"""

import json
import os
import shutil
from functools import partial

import pytest
from checkpoints import make_checkpoint
from sentence_folders import write_sentence_config

from minibert import InputError, hub
from minibert.calibrate import calibrate
from minibert.convert import convert
from minibert.quantize import dequantize, quantize

TEXTS, LABELS = ["a great movie", "a bad film"] * 5, ["LABEL_1", "LABEL_0"] * 5
FUNCTIONS = {
    "quantize": quantize,
    "dequantize": dequantize,
    "convert": partial(convert, to="longformer"),
    "calibrate": lambda name, folder: calibrate(name, folder, TEXTS, LABELS),
}
SPELLINGS = {
    "the same": lambda folder: (folder, folder),
    "a text and a path": lambda folder: (str(folder), folder),
    "a slash at the end": lambda folder: (folder, f"{folder}/"),
    "over its parent": lambda folder: (folder, folder / ".." / folder.name),
    "relative": lambda folder: (folder, os.path.relpath(folder)),
    "a link": lambda folder: (folder, folder.parent / "link"),
    "the input is a link": lambda folder: (folder.parent / "link", folder),
}


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def folder(tmp_path, request):
    """A model, of int8 for dequantize, and a link to its folder."""
    make_checkpoint(tmp_path / "float", "roberta" if "convert" in request.node.callspec.id else "distilbert")
    (tmp_path / "link").symlink_to(tmp_path / "model")
    if "dequantize" in request.node.callspec.id:
        quantize(tmp_path / "float", tmp_path / "model")
    else:
        (tmp_path / "float").rename(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("paths", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_an_output_does_not_overwrite_the_input(function, paths, folder):
    before = contents(folder)
    with pytest.raises(InputError, match="an output must not overwrite the input; both are .*(model|link)"):
        function(*paths(folder))
    assert contents(folder) == before


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_a_folder_in_the_model_s_own_is_another(function, folder):
    before = contents(folder)
    function(folder, folder / "inner")
    assert {path: content for path, content in contents(folder).items() if path.parts[0] != "inner"} == before


@pytest.mark.parametrize("function", [quantize, FUNCTIONS["convert"]])
def test_nor_a_step_of_a_sentence_model(function, tmp_path):
    folder = write_sentence_config(make_checkpoint(tmp_path / "model", "bert", "Model"))
    inner = make_checkpoint(folder / "0_Transformer", "bert", "Model")
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["path"] = inner.name
    (folder / "modules.json").write_text(json.dumps(modules))
    before = contents(folder)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "0_Transformer").symlink_to(folder / "0_Transformer")
    with pytest.raises(InputError, match="both are .*0_Transformer"):
        function(folder, tmp_path / "new")
    assert contents(folder) == before and len(list((tmp_path / "new").iterdir())) == 1


@pytest.mark.parametrize("function", [dequantize, FUNCTIONS["convert"], FUNCTIONS["calibrate"]])
def test_nor_a_bundled_model(function, tmp_path, monkeypatch):
    shutil.copytree(hub.BUNDLED, tmp_path / "bundled")
    monkeypatch.setattr(hub, "BUNDLED", tmp_path / "bundled")
    with pytest.raises(InputError, match="must not overwrite"):
        function("minibert-sst2", tmp_path / "bundled" / "minibert-sst2")
