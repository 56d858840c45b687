"""minibert/torch_file.py and what it is made of: files of torch.save become tensors, and nothing in them is executed."""

import ast
import builtins
import importlib
import json
import mmap
import pickle
import re
import struct
import time
import tracemalloc
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from checkpoints import make_checkpoint, stored_tensors
from hostile_torch_files import HOSTILE
from torch_files import (
    call,
    dictionary,
    integer,
    items,
    legacy_form,
    pickled,
    storage,
    tensor,
    text,
    to_bin,
    torch_bytes,
    zip_form,
)

import minibert
from minibert import AutoModel, AutoModelForSequenceClassification, WeightsError, hub, pickle_reader
from minibert.families import FAMILIES
from minibert.torch_file import read_torch_file
from minibert.weights import open_weights

WEIGHTS, PICKLE, INDEX = "model.safetensors", "pytorch_model.bin", "pytorch_model.bin.index.json"
FORMS = ("zip", "legacy")
ROOT = Path(minibert.__file__).parent
READERS = ("pickle_reader.py", "torch_file.py", "zip_directory.py", "stored_tensor.py")


def read(folder, content):
    (folder / PICKLE).write_bytes(content)
    return read_torch_file(folder / PICKLE)


def owner(array):
    while isinstance(array, (np.ndarray, memoryview)):
        array = array.obj if isinstance(array, memoryview) else array.base
    return array


def floats(*values):
    return np.array(values, "<f4").tobytes()


# --- Tensors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("model_type", FAMILIES)
def test_a_checkpoint_of_torch_gives_the_bits_of_its_safetensors(form, model_type, tmp_path):
    folder = make_checkpoint(tmp_path, model_type)
    safe = AutoModelForSequenceClassification.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(to_bin(folder, form))
    assert list(model.tensors) == list(safe.tensors)
    assert all(model.tensors[name].tobytes() == safe.tensors[name].tobytes() for name in safe.tensors)
    assert model([[2, 5, 3]]).logits.tobytes() == safe([[2, 5, 3]]).logits.tobytes()


def test_float32_stays_in_the_file_mapped_and_read_only(tmp_path):
    model = AutoModelForSequenceClassification.from_pretrained(to_bin(make_checkpoint(tmp_path)))
    for name, array in model.tensors.items():
        assert isinstance(owner(array), mmap.mmap), name
        assert not array.flags.writeable and array.dtype == np.float32


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", ["F16", "BF16", "F64"])
def test_other_floats_are_widened(form, dtype, tmp_path):
    values = np.array([0.0, -0.0, -2.5, 2.0**-14, np.inf], np.float32)
    narrow = (values.view("<u4") >> 16).astype("<u2") if dtype == "BF16" else values.astype({"F16": "<f2", "F64": "<f8"}[dtype])
    array = read(tmp_path, torch_bytes({"x": (dtype, (5,), narrow.tobytes())}, form))["x"].array()
    assert array.dtype == np.float32 and array.tobytes() == values.tobytes()


@pytest.mark.parametrize("form", FORMS)
def test_tensors_that_are_parts_of_one_storage_are_read_by_their_strides(form, tmp_path):
    base = np.arange(24, dtype="<f4").reshape(4, 6)
    parts = {
        "base": ((4, 6), (6, 1), 0, base),
        "transposed": ((6, 4), (1, 6), 0, base.T),
        "strided": ((2, 3), (12, 2), 7, base[1::2, 1::2]),
        "row": ((6,), (1,), 12, base[2]),
        "one": ((), (), 23, base[3, 5]),
        "nothing": ((0, 6), (1, 1), 24, base[:0]),
        "repeated": ((3, 2), (0, 1), 5, np.tile(base.ravel()[5:7], (3, 1))),
        "long axis": ((1, 6), (99, 1), 0, base[:1]),
    }
    state = {name: tensor("0", 24, shape, strides, offset) for name, (shape, strides, offset, _) in parts.items()}
    program = pickled(dictionary(**state))
    form = zip_form(program, {"0": base.tobytes()}) if form == "zip" else legacy_form(program, {"0": base.tobytes()}, {"0": 24})
    tensors = read(tmp_path, form)
    for name, (shape, _, _, expected) in parts.items():
        assert tensors[name].shape == shape
        assert np.array_equal(tensors[name].array(), expected), name
        assert tensors[name].array().flags.c_contiguous


def test_compressed_entries_are_read_too(tmp_path):
    tensors = {"x": ("F32", (1000,), floats(*range(1000))), "y": ("F32", (2,), floats(1, 2))}
    names = {"archive/data.pkl", "archive/data/0"}
    stored = read(tmp_path, torch_bytes(tensors, compressed=names))
    assert stored["x"].array().tolist() == list(range(1000)) and stored["y"].array().tolist() == [1, 2]


def test_a_directory_of_64_bits_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 10)
    content = torch_bytes({"x": ("F32", (8,), floats(*range(8)))})
    assert b"PK\x06\x06" in content
    assert read(tmp_path, content)["x"].array().tolist() == list(range(8))


def test_what_other_versions_write_is_read(tmp_path):
    """Python 2's OrderedDict of pairs and its strings, parameters, the rebuilder of torch before 0.4, protocol 4."""
    old = call("torch._utils", "_rebuild_tensor", storage("0", 2), integer(0), items(integer(2)), items(integer(1)))
    parameter = call("torch._utils", "_rebuild_parameter", tensor("0", 2, (2,)), b"\x88", dictionary())
    key = b"U\x01x"
    pairs = call("collections", "OrderedDict", b"]](" + key + old + b"ea")
    metadata = b"}" + text("_metadata") + dictionary() + b"sb"
    for state, name in ((pairs + metadata, "x"), (dictionary(y=parameter) + metadata, "y")):
        assert read(tmp_path, zip_form(pickled(state), {"0": floats(1, 2)}))[name].array().tolist() == [1, 2]
    look_up = b"\x8c\x0bcollections\x94\x8c\x0bOrderedDict\x94\x93\x94"
    framed = b"\x80\x04\x95" + bytes(8) + look_up + b")R\x94\x8c\x01z\x94" + tensor("0", 2, (2,)) + b"s."
    assert read(tmp_path, zip_form(framed, {"0": floats(1, 2)}))["z"].array().tolist() == [1, 2]


def test_old_names_of_layer_norm_and_a_prefix_are_the_models(tmp_path):
    folder = make_checkpoint(tmp_path, "bert", "Model")
    expected = AutoModel.from_pretrained(folder)([[2, 5, 3]]).last_hidden_state
    tensors = {
        "bert." + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in stored_tensors(folder).items()
    }
    tensors["bert.embeddings.position_ids"] = ("I64", (1, 16), np.arange(16).tobytes())
    (folder / WEIGHTS).unlink()
    (folder / PICKLE).write_bytes(torch_bytes(tensors))
    assert AutoModel.from_pretrained(folder)([[2, 5, 3]]).last_hidden_state.tobytes() == expected.tobytes()


def test_the_limits_leave_room_for_a_thousand_tensors(tmp_path, monkeypatch):
    tensors = {
        f"bert.encoder.layer.{index}.attention.output.LayerNorm.weight": ("F32", (1,), bytes(4)) for index in range(1000)
    }
    monkeypatch.setattr(pickle_reader, "MOST_STEPS", pickle_reader.MOST_STEPS // 4)
    monkeypatch.setattr(pickle_reader, "LARGEST_PICKLE", pickle_reader.LARGEST_PICKLE // 2)
    assert len(read(tmp_path, torch_bytes(tensors))) == 1000


# --- Which file ------------------------------------------------------------------------------------------------------


def shard(folder, form="zip", weight_map=None):
    """Divide a checkpoint's tensors by turns into two files of torch."""
    tensors = stored_tensors(folder)
    files = {f"pytorch_model-0000{part + 1}-of-00002.bin": list(tensors)[part::2] for part in range(2)}
    for name, held in files.items():
        (folder / name).write_bytes(torch_bytes({tensor: tensors[tensor] for tensor in held}, form))
    true = {tensor: name for name, held in files.items() for tensor in held}
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": true if weight_map is None else weight_map}))
    (folder / WEIGHTS).unlink()
    return folder


@pytest.mark.parametrize("form", FORMS)
def test_shards_give_the_same_model_as_one_file(form, tmp_path):
    one = AutoModelForSequenceClassification.from_pretrained(make_checkpoint(tmp_path))
    many = AutoModelForSequenceClassification.from_pretrained(shard(tmp_path, form))
    assert many([[2, 5, 3]]).logits.tobytes() == one([[2, 5, 3]]).logits.tobytes()


@pytest.mark.parametrize("name", ["../x.bin", "/x.bin", "a/x.bin", "x\0.bin", "x.safetensors", ".bin", "..", 5], ids=ascii)
def test_a_shard_that_is_no_plain_name_is_refused_before_anything_is_opened(name, tmp_path):
    with pytest.raises(WeightsError, match="a shard is a plain file name ending in .bin; .* names "):
        AutoModel.from_pretrained(shard(make_checkpoint(tmp_path / "m"), weight_map={"x": name}))


def test_safetensors_go_before_a_pickle(tmp_path):
    folder = make_checkpoint(tmp_path)
    (folder / PICKLE).write_bytes(b"never opened")
    AutoModel.from_pretrained(folder)


def test_a_saved_model_is_safetensors_only(tmp_path):
    model = AutoModelForSequenceClassification.from_pretrained(to_bin(make_checkpoint(tmp_path / "m")))
    model.save_pretrained(tmp_path / "saved")
    assert {path.name for path in (tmp_path / "saved").iterdir()} == {"config.json", WEIGHTS}


# --- Nothing is executed ---------------------------------------------------------------------------------------------


@contextmanager
def nothing_imported():
    """Within it, whatever could import or unpickle fails."""

    def refuse(*arguments, **options):
        raise AssertionError(f"reached with {arguments[:1]!r}")

    with pytest.MonkeyPatch.context() as monkeypatch:
        for owner, name in [
            (pickle, "Unpickler"),
            (pickle, "_Unpickler"),
            (pickle, "load"),
            (pickle, "loads"),
            (importlib, "import_module"),
            (builtins, "eval"),
            (builtins, "exec"),
            (builtins, "__import__"),
        ]:
            monkeypatch.setattr(owner, name, refuse)
        yield


@pytest.mark.parametrize("form", FORMS)
def test_tensors_are_read_without_importing_or_unpickling(form, tmp_path):
    (tmp_path / PICKLE).write_bytes(torch_bytes({"x": ("F32", (2, 2), floats(1, 2, 3, 4))}, form))
    with nothing_imported():
        array = read_torch_file(tmp_path / PICKLE)["x"].array()
    assert array.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_file_is_one_error_at_once_and_nothing_in_it_runs(what, tmp_path):
    content, message = HOSTILE[what]
    (tmp_path / PICKLE).write_bytes(content)
    began, raised = time.perf_counter(), None
    with nothing_imported():
        try:
            read_torch_file(tmp_path / PICKLE)
        except WeightsError as error:
            raised = str(error)
    assert raised and re.search(message, raised), raised
    assert time.perf_counter() - began < 5
    assert len(raised) < 1500 and raised.startswith(str(tmp_path / PICKLE)) and raised.isprintable()


def test_the_largest_pickles_take_little_memory(tmp_path):
    programs = [b"\x80\x04" + piece * (1 << 19) for piece in (b"]\x94", b"]]", b"}}", b"((", b"M\xff\xff", b"\x85")]
    for program in programs:
        (tmp_path / PICKLE).write_bytes(zip_form(program[: 1 << 20]))
        tracemalloc.start()
        with pytest.raises(WeightsError):
            read_torch_file(tmp_path / PICKLE)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 50 << 20, program[:4]


@pytest.mark.parametrize("filename", READERS)
def test_the_readers_have_no_way_to_execute_anything(filename):
    """By their sources: which modules they import, and which names they use."""
    tree = ast.parse((ROOT / filename).read_text(encoding="utf-8"))
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    used |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not used & {"eval", "exec", "compile", "getattr", "setattr", "globals", "locals", "vars", "__import__", "__dict__"}
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    ours = {"errors", "pickle_reader", "stored_tensor", "zip_directory", "dataclasses", "functools"}
    assert modules <= ours | {"__future__", "collections.abc", "math", "mmap", "numpy", "pathlib", "struct", "typing", "zlib"}


def test_no_byte_of_a_file_can_be_changed_into_anything_but_one_error_or_tensors(tmp_path):
    random = np.random.default_rng(0)
    for form in FORMS:
        intact = torch_bytes({"x": ("F32", (2, 2), floats(1, 2, 3, 4)), "y": ("F16", (2,), bytes(4))}, form)
        for _ in range(1500):
            content = bytearray(intact)
            content[random.integers(len(intact))] = random.integers(256)
            try:
                tensors = read(tmp_path, content)
            except WeightsError:
                continue
            assert all(
                tensor.array().size <= 16 for tensor in tensors.values() if tensor.dtype in ("F32", "F16", "BF16", "F64")
            )


# --- torch -----------------------------------------------------------------------------------------------------------


def save_with_torch(state, path, form, protocol=2):
    torch = pytest.importorskip("torch")
    torch.save(state, path, _use_new_zipfile_serialization=form == "zip", pickle_protocol=protocol)


@pytest.mark.parity
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("form", FORMS)
def test_every_tensor_that_torch_writes_has_its_values(form, protocol, tmp_path):
    torch = pytest.importorskip("torch")
    base = torch.arange(48.0).reshape(6, 8)
    state = torch.nn.Linear(3, 2).state_dict()  # an OrderedDict with _metadata
    floats = {"a": base, "t": base.T, "s": base[1:5:2, ::3], "part": base.view(-1)[5:9], "scalar": torch.tensor(2.5)}
    narrow = {str(dtype): base.to(dtype) for dtype in (torch.float16, torch.bfloat16, torch.float64)}
    other = {"parameter": torch.nn.Parameter(base[0].clone()), "none": torch.zeros(0, 3), "once": torch.ones(3).expand(1, 3)}
    state.update({**floats, **narrow, **other})
    integers = {"i64": torch.arange(4), "i32": torch.arange(4).int(), "i16": torch.arange(4).short()}
    integers |= {"i8": torch.arange(4).char(), "u8": torch.arange(4).byte(), "bool": torch.arange(4) > 1}
    save_with_torch({**state, **integers}, tmp_path / PICKLE, form, protocol)
    stored = read_torch_file(tmp_path / PICKLE)
    assert list(stored) == [*state, *integers]
    for name, expected in state.items():
        assert stored[name].shape == tuple(expected.shape)
        assert np.array_equal(stored[name].array(), expected.detach().float().numpy()), name
    for name, expected in integers.items():
        assert np.array_equal(stored[name].stored_array(), expected.numpy()), name


@pytest.mark.parity
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "model_type, head", [(model_type, head) for model_type in FAMILIES for head in FAMILIES[model_type].heads]
)
def test_every_class_has_the_bits_of_its_safetensors(model_type, head, form, tmp_path):
    pytest.importorskip("torch")
    from safetensors.torch import load_file

    folder = make_checkpoint(tmp_path, model_type, head)
    load = FAMILIES[model_type].load(head).from_pretrained
    safe = load(folder)
    save_with_torch(load_file(folder / WEIGHTS), folder / PICKLE, form)
    (folder / WEIGHTS).unlink()
    model = load(folder)
    assert list(model.tensors) == list(safe.tensors)
    assert all(model.tensors[name].tobytes() == safe.tensors[name].tobytes() for name in safe.tensors)


@pytest.mark.parity
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("model_type", [model_type for model_type in FAMILIES if "ForMaskedLM" in FAMILIES[model_type].heads])
def test_a_state_dict_of_transformers_whose_words_are_tied_is_read(model_type, form, tmp_path):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    folder = make_checkpoint(tmp_path, model_type, "ForMaskedLM")
    their_class = getattr(transformers, f"{FAMILIES[model_type].prefix}ForMaskedLM")
    theirs = their_class.from_pretrained(folder, dtype=torch.float32).eval()
    safe = minibert.AutoModelForMaskedLM.from_pretrained(folder)
    (folder / WEIGHTS).unlink()
    save_with_torch(theirs.state_dict(), folder / PICKLE, form)
    ours = minibert.AutoModelForMaskedLM.from_pretrained(folder)
    assert ours([[2, 5, 3]]).logits.tobytes() == safe([[2, 5, 3]]).logits.tobytes()
    stored = open_weights(hub.locate(folder))
    assert len({(stored[name].content, stored[name].offset) for name in stored}) < len(stored)  # words and decoder
    again = their_class.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        logits = again(torch.tensor([[2, 5, 3]])).logits.numpy()
    assert np.abs(ours([[2, 5, 3]]).logits - logits).max() < 1e-5


@pytest.mark.parity
@pytest.mark.parametrize("form", FORMS)
def test_the_files_that_tests_write_are_those_of_torch(form, tmp_path):
    torch = pytest.importorskip("torch")
    tensors = {"x": ("F32", (2, 2), floats(1, 2, 3, 4)), "y": ("BF16", (1,), struct.pack("<H", 0x3FC0))}
    (tmp_path / PICKLE).write_bytes(torch_bytes(tensors, form))
    state = torch.load(tmp_path / PICKLE, weights_only=True)
    assert state["x"].tolist() == [[1, 2], [3, 4]] and state["y"].tolist() == [1.5] and state["y"].dtype == torch.bfloat16
