"""Some of tests/support/fuzzing.py in every run, in a process of its own; and by name, the faults that it found when run for long.

A fault is told with its seed: `python tests/support/fuzzing.py --cases 1 --seed SEED` shows it again.
"""

import json
import os
import random
import re
import struct
import subprocess
import sys

import pytest
from checkpoints import make_checkpoint, rewrite_config, rewrite_weights, safetensors_bytes, stored_tensors
from mutations import dump, mutate
from paths import ROOT, SUPPORT
from torch_files import torch_bytes

from minibert import AutoTokenizer, ConfigError, SentenceEncoder, VocabularyError, WeightsError, pipeline
from minibert.tokenization import PreTrainedTokenizerFast

CASES = 300

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the alarm and the limits of Unix")


def test_damaged_files_give_an_answer_or_one_of_miniberts_errors():
    folders = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, str(SUPPORT / "fuzzing.py"), "--cases", str(CASES), "--seed", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env={**os.environ, "PYTHONPATH": folders})
    assert done.returncode == 0, done.stdout + done.stderr
    answers, errors, faults = map(int, re.findall(r"\d+", done.stdout))
    assert faults == 0 and answers + errors == CASES and min(answers, errors) > CASES / 5


@pytest.mark.parametrize(
    "filename, content",
    [
        ("a.json", b'{"a": [1, {"b": "c"}], "d": 2.5}'),
        ("a.txt", b"[PAD]\n[UNK]\na\n"),
        ("a.safetensors", safetensors_bytes({"x": ("F32", (4,), bytes(16))})),
        ("zip.bin", torch_bytes({"x": ("F32", (4,), bytes(16))})),
        ("old.bin", torch_bytes({"x": ("F32", (4,), bytes(16))}, "legacy")),
    ],
)
def test_a_seed_brings_its_damage_back_and_others_bring_others(filename, content):
    mutations = [mutate(random.Random(seed), filename, content) for seed in range(200)]
    assert mutations == [mutate(random.Random(seed), filename, content) for seed in range(200)]
    damaged = {after for _, after in mutations}
    assert len(damaged) > 100 and sum(after == content for _, after in mutations) < 20


def test_what_json_does_not_write_is_written_all_the_same():
    document = json.loads('{"a": [1, 2]}')
    assert json.loads(dump(document)) == document and dump([]) == "[]"


# --- Found by fuzzing ------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    return make_checkpoint(tmp_path / "m")


def tokenizer_file(folder, **changes):
    """A tokenizer.json for the checkpoint, with these of its parts exchanged."""
    AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
    content = {**json.loads((folder / "tokenizer.json").read_text()), **changes}
    (folder / "tokenizer.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("side", [5, {"direction": 5}, {"direction": {}}, ["direction"]])
def test_a_side_that_is_no_word(side, folder):
    """AttributeError and TypeError; what is no object says nothing of a side."""
    load = PreTrainedTokenizerFast.from_pretrained
    if isinstance(side, dict):
        with pytest.raises(VocabularyError, match="direction in tokenizer.json must be a string"):
            load(tokenizer_file(folder, padding=side))
    else:
        assert load(tokenizer_file(folder, padding=side)).padding_side == "right"


def test_a_part_of_a_tokenizer_that_is_the_name_of_its_kind(folder):
    """AttributeError: the name alone was taken for the part."""
    for changes in ({"post_processor": "TemplateProcessing"}, {"normalizer": "BertNormalizer"}, {"normalizer": {}}):
        with pytest.raises(VocabularyError, match="of a tokenizer.json must be"):
            PreTrainedTokenizerFast.from_pretrained(tokenizer_file(folder, **changes))


def test_a_prefix_that_is_no_text(folder):
    """TypeError, and only when tokens were joined."""
    with pytest.raises(VocabularyError, match="prefix in tokenizer.json must be a string; got True"):
        PreTrainedTokenizerFast.from_pretrained(
            tokenizer_file(folder, decoder={"type": "WordPiece", "prefix": True, "cleanup": True})
        )


@pytest.mark.parametrize("names", [["input_ids", "token_type_ids", -0.5], ["input_ids"], "input_ids", 5])
def test_inputs_that_no_model_has(names, folder):
    """KeyError; and without its mask, padding would have been read."""
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_input_names": names}))
    with pytest.raises(VocabularyError, match="model_input_names must be"):
        pipeline("text-classification", folder)


def test_an_unknown_token_that_is_itself_unknown(folder):
    """RecursionError: its id was looked for under its own name."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.unk_token = "<none>"
    assert tokenizer.convert_tokens_to_ids("zzz") is None and tokenizer.unk_token_id is None
    assert tokenizer.convert_tokens_to_ids("good") == 11


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3e38])
def test_weights_that_are_no_numbers(value, folder):
    """IndexError in the reference's GELU, of which NaN was an index; elsewhere NaN for a score."""
    rewrite_weights(folder, lambda tensors: tensors["distilbert.transformer.layer.0.ffn.lin1.bias"].fill(value))
    with pytest.raises(WeightsError, match="the weights of a model must give numbers; these give NaN or infinity"):
        pipeline("text-classification", folder, kernels="reference")("good")


@pytest.mark.parametrize(
    "entry",
    ['["F32", [4], [0, 16]]', '{"dtype": "F32", "shape": [4], "data_offsets": [0, 16], "x": ' + "9" * 5000 + "}"],
    ids=["list", "digits"],
)
def test_headers_that_the_library_lets_through(entry, folder):
    """TypeError and ValueError: safetensors takes a list for an object, and a number of any length where it does not look."""
    text = f'{{"x": {entry}}}'.encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(16))
    with pytest.raises(WeightsError, match="is damaged"):
        pipeline("text-classification", folder)


@pytest.mark.parametrize("name", [[], {}, ["query"]])
def test_a_prompts_name_that_is_none(name, tmp_path):
    """TypeError: unhashable."""
    folder = make_checkpoint(tmp_path, "bert", "Model")
    (folder / "modules.json").write_text('[{"path": "", "type": "x.Transformer"}]')
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"default_prompt_name": name}))
    with pytest.raises(ConfigError, match="default_prompt_name must be one of the prompts"):
        SentenceEncoder.from_pretrained(folder)


def test_a_message_shows_no_more_of_a_value_than_can_be_read(folder):
    """Messages of 100,000 characters, of names and values that long."""
    long = "x" * 100_000
    tensors = {**stored_tensors(folder), long: ("F32", (1,), bytes(4))}
    (folder / "model.safetensors").write_bytes(safetensors_bytes(tensors))
    with pytest.raises(WeightsError) as of_weights:
        pipeline("text-classification", folder)
    (folder / "tokenizer_config.json").write_text(json.dumps({"padding_side": long, "unk_token": long}))
    with pytest.raises(VocabularyError) as of_tokenizer:
        AutoTokenizer.from_pretrained(folder)
    rewrite_config(folder, model_type=long)
    with pytest.raises(ConfigError) as of_config:
        pipeline("text-classification", folder)
    assert all(len(str(caught.value)) < 1000 for caught in (of_weights, of_tokenizer, of_config))
