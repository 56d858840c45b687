"""minibert/weights.py: what is read of a safetensors file, and how, and every file that is refused.

How the tensors must fit the configuration is in test_fit.py.
"""

import json
import math
import mmap
import re
import struct
import time
from pathlib import Path

import numpy as np
import pytest
from checkpoints import make_checkpoint, rewrite_weights, safetensors_bytes, stored_tensors
from damaged_files import DAMAGED, HEADERS, NOT_SHARDS, ONE, WHOLE
from safetensors.numpy import load_file, save_file

from minibert import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    MinibertError,
    ModelNotFoundError,
    SentenceEncoder,
    WeightsError,
    hub,
    pipeline,
)
from minibert.weights import drop_pages, open_weights, read_tensors, save_stored, save_tensors

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


def write_one(folder, content):
    (folder / WEIGHTS).write_bytes(content)
    return open_weights(hub.locate(folder))


def with_blanks(content, count):
    """A safetensors file with so many blanks more in its header: its data begins so many bytes later."""
    length = struct.unpack("<Q", content[:8])[0]
    return struct.pack("<Q", length + count) + content[8 : 8 + length] + b" " * count + content[8 + length :]


def owner(array):
    """What an array's memory belongs to in the end."""
    while isinstance(array, (np.ndarray, memoryview)):
        array = array.obj if isinstance(array, memoryview) else array.base
    return array


def test_what_is_written_begins_at_a_cache_line_if_it_is_whole_lines(tmp_path):
    """Kernels read int8 weights where the file is mapped."""
    random = np.random.default_rng(0)
    shapes = {"bias": (3,), "odd": (5, 7), "int8": (4, 64), "floats": (2, 16), "none": (0, 4), "more": (128,), "one": (1,)}
    tensors = {
        name: random.integers(-9, 9, shape).astype(np.int8 if name in ("int8", "odd") else np.float32)
        for name, shape in shapes.items()
    }
    save_tensors(tmp_path / "arrays", tensors)
    save_stored(tmp_path / "stored", read_tensors(tmp_path / "arrays"))
    for path in (tmp_path / "arrays", tmp_path / "stored"):
        read, by_the_library = read_tensors(path), load_file(path)
        assert read.keys() == by_the_library.keys() == tensors.keys()
        for name, tensor in tensors.items():
            assert np.array_equal(by_the_library[name], tensor) and by_the_library[name].dtype == tensor.dtype
            assert read[name].offset % 64 == 0 or tensor.nbytes % 64, name


def test_float32_stays_in_the_file_mapped_and_read_only(tmp_path):
    model = AutoModelForSequenceClassification.from_pretrained(make_checkpoint(tmp_path))
    for name, tensor in model.tensors.items():
        assert isinstance(owner(tensor), mmap.mmap), name
        assert not tensor.flags.writeable and tensor.dtype == np.float32


DTYPES = {"F32": "<f4", "F16": "<f2", "F64": "<f8", "BF16": "<u2"}


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_float_type_is_read_to_the_values_it_stands_for(dtype, tmp_path):
    values = np.array([[0.0, -0.0, 1.0], [-2.5, 65504.0, 2.0**-14]], np.float32)
    if dtype == "BF16":
        values[1, 1] = 65280.0  # eight bits of significand
        data = (values.view("<u4") >> 16).astype("<u2").tobytes()
    else:
        data = values.astype(DTYPES[dtype]).tobytes()
    read = write_one(tmp_path, safetensors_bytes({"x": (dtype, values.shape, data)}))["x"].array()
    assert read.dtype == np.float32 and read.tobytes() == values.tobytes()


def test_half_precision_keeps_its_smallest_its_largest_and_what_is_no_number(tmp_path):
    bits = np.array([0x0001, 0x7F7F, 0x7F80, 0xFF80, 0x8000], "<u2")
    stored = {"bf": ("BF16", (5,), bits.tobytes()), "f": ("F16", (2,), np.array([6e-8, np.inf], "<f2").tobytes())}
    tensors = write_one(tmp_path, safetensors_bytes(stored))
    expected = np.array([2.0**-133, (2 - 2**-7) * 2.0**127, math.inf, -math.inf, -0.0], np.float32)
    assert tensors["bf"].array().tobytes() == expected.tobytes()
    assert tensors["f"].array().tolist() == [2.0**-24, math.inf]


@pytest.mark.parametrize("blanks", range(1, 8))
def test_data_that_is_not_aligned_gives_the_same_model(blanks, tmp_path):
    ids = [[2, 5, 6, 3]]
    straight = AutoModelForSequenceClassification.from_pretrained(make_checkpoint(tmp_path))(ids).logits
    (tmp_path / WEIGHTS).write_bytes(with_blanks(safetensors_bytes(stored_tensors(tmp_path)), blanks))
    crooked = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert all(tensor.flags.aligned for tensor in crooked.tensors.values())
    assert crooked(ids).logits.tobytes() == straight.tobytes()


def test_a_header_whose_length_begins_with_a_smaller_than_sign_is_no_web_page(tmp_path):
    content = safetensors_bytes(ONE, pad=1)
    content = with_blanks(content, 256 + ord("<") - content[0])
    assert content[:1] == b"<"
    assert write_one(tmp_path, content)["x"].array().tolist() == [[0, 1], [2, 3]]


@pytest.mark.parametrize("content, message", DAMAGED.values(), ids=DAMAGED.keys())
def test_what_is_no_whole_safetensors_file_is_refused_and_named_for_what_it_is(content, message, tmp_path):
    with pytest.raises(WeightsError, match=message) as caught:
        write_one(tmp_path, content)
    assert str(tmp_path / WEIGHTS) in str(caught.value)


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS.keys())
def test_a_header_that_cannot_be_true_is_refused(header, tmp_path):
    text = json.dumps(header).encode()
    with pytest.raises(WeightsError, match="is damaged"):
        write_one(tmp_path, struct.pack("<Q", len(text)) + text + bytes(8))


def test_no_byte_of_a_header_can_be_changed_into_anything_but_one_error_or_a_tensor(tmp_path):
    random = np.random.default_rng(0)
    for _ in range(300):
        content = bytearray(WHOLE)
        content[random.integers(len(WHOLE) - 16)] = random.integers(256)
        try:
            tensors = write_one(tmp_path, content)
        except MinibertError:
            continue
        for tensor in tensors.values():
            assert math.prod(tensor.shape) <= 16


# --- Shards ----------------------------------------------------------------------------------------------------------


def shard(folder, weight_map=None):
    """Divide a checkpoint's tensors by turns into two files; `weight_map` goes into the index in place of the true one."""
    tensors = stored_tensors(folder)
    files = {f"model-0000{part + 1}-of-00002.safetensors": list(tensors)[part::2] for part in range(2)}
    for name, held in files.items():
        (folder / name).write_bytes(safetensors_bytes({tensor: tensors[tensor] for tensor in held}))
    true = {tensor: name for name, held in files.items() for tensor in held}
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": true if weight_map is None else weight_map}))
    (folder / WEIGHTS).unlink()
    return folder


def test_shards_give_the_same_model_as_one_file(tmp_path):
    one = AutoModelForSequenceClassification.from_pretrained(make_checkpoint(tmp_path))
    many = AutoModelForSequenceClassification.from_pretrained(shard(tmp_path))
    assert many([[2, 5, 3]]).logits.tobytes() == one([[2, 5, 3]]).logits.tobytes()


def test_one_whole_file_goes_before_an_index(tmp_path):
    content = (make_checkpoint(tmp_path) / WEIGHTS).read_bytes()
    shard(tmp_path, {"x": "missing.safetensors"})
    (tmp_path / WEIGHTS).write_bytes(content)
    AutoModel.from_pretrained(tmp_path)


@pytest.mark.parametrize("name", NOT_SHARDS, ids=ascii)
def test_a_shard_that_is_no_plain_name_is_refused_before_anything_is_opened(name, tmp_path):
    with pytest.raises(WeightsError, match="a shard is a plain file name ending in .safetensors; .* names "):
        AutoModel.from_pretrained(shard(make_checkpoint(tmp_path / "m"), {"x": name}))


@pytest.mark.parametrize("weight_map", [{}, [], 5, "x.safetensors"])
def test_an_index_without_a_map_is_refused(weight_map, tmp_path):
    with pytest.raises(WeightsError, match="must hold a weight_map of tensors to files, and has none"):
        AutoModel.from_pretrained(shard(make_checkpoint(tmp_path), weight_map))


def test_a_missing_shard_is_named(tmp_path):
    folder = shard(make_checkpoint(tmp_path))
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(MinibertError, match="model-00002-of-00002.safetensors"):
        AutoModel.from_pretrained(folder)


def test_a_tensor_in_two_shards_is_refused(tmp_path):
    folder = shard(make_checkpoint(tmp_path))
    first, second = (folder / f"model-0000{part}-of-00002.safetensors" for part in (1, 2))
    save_file({**load_file(first), **load_file(second)}, second)
    with pytest.raises(WeightsError, match="a tensor may be in one shard only; '.*' is in model-00002"):
        AutoModel.from_pretrained(folder)


@pytest.mark.parametrize("name", ["classifier.bias", "nothing.of.the.model"])
def test_a_tensor_that_the_index_lists_and_its_shard_lacks_is_an_error_even_where_it_is_not_used(name, tmp_path):
    folder = shard(make_checkpoint(tmp_path))
    index = json.loads((folder / INDEX).read_text())
    index["weight_map"][name] = "model-00001-of-00002.safetensors"
    (folder / INDEX).write_text(json.dumps(index))
    tensors = load_file(folder / "model-00001-of-00002.safetensors")
    tensors.pop(name, None)
    save_file(tensors, folder / "model-00001-of-00002.safetensors")
    with pytest.raises(WeightsError, match=f"lists for it; model-00001-of-00002.safetensors of .* lacks {name}. Download"):
        AutoModel.from_pretrained(folder)


ELSEWHERE = {
    "adapter_config.json": "holds an adapter .adapter_config.json., .* Merge the two once",
    "model.onnx": "has neither, only model.onnx, a graph for ONNX Runtime. Load the checkpoint that it was exported from",
    "onnx/model.onnx": "has neither, only onnx/model.onnx, a graph",
    "tf_model.h5": "has neither, only tf_model.h5, weights for TensorFlow",
    "flax_model.msgpack": "has neither, only flax_model.msgpack, weights for Flax",
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_folder_of_something_else_says_what_is_there_and_what_to_do(name, tmp_path):
    make_checkpoint(tmp_path)
    (tmp_path / WEIGHTS).unlink()
    with pytest.raises(ModelNotFoundError, match="must have a file 'model.safetensors'"):
        AutoModel.from_pretrained(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"{}")
    with pytest.raises(ModelNotFoundError, match=ELSEWHERE[name]):
        AutoModel.from_pretrained(tmp_path)
    (tmp_path / "config.json").unlink()
    for load in (AutoModel.from_pretrained, AutoConfig.from_pretrained, pipeline, SentenceEncoder.from_pretrained):
        with pytest.raises(ModelNotFoundError, match=ELSEWHERE[name]):
            load(model=str(tmp_path)) if load is pipeline else load(tmp_path)


def test_a_damaged_index_is_one_error(tmp_path):
    folder = shard(make_checkpoint(tmp_path))
    (folder / INDEX).write_bytes(b"<html>")
    with pytest.raises(WeightsError, match="index.json must hold one JSON object"):
        AutoModel.from_pretrained(folder)


def test_a_folder_without_weights_says_which_file_it_wants(tmp_path):
    (make_checkpoint(tmp_path) / WEIGHTS).unlink()
    with pytest.raises(MinibertError, match="must have a file 'model.safetensors'; there is none in the folder"):
        AutoModel.from_pretrained(tmp_path)


def test_saving_over_the_file_a_model_is_mapped_from_leaves_both_whole(tmp_path):
    model = AutoModelForSequenceClassification.from_pretrained(make_checkpoint(tmp_path))
    before = model([[2, 5, 3]]).logits.tobytes()
    model.save_pretrained(tmp_path)
    rewrite_weights(tmp_path, lambda tensors: None)
    assert set(load_file(tmp_path / WEIGHTS)) == set(stored_tensors(tmp_path))
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert model([[2, 5, 3]]).logits.tobytes() == before == again([[2, 5, 3]]).logits.tobytes()


def test_reading_headers_touches_no_tensor(tmp_path):
    folder = make_checkpoint(tmp_path, vocab_size=200_000)
    began = time.perf_counter()
    assert open_weights(hub.locate(folder))["distilbert.embeddings.word_embeddings.weight"].shape == (200_000, 8)
    assert time.perf_counter() - began < 1


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED") or not Path("/proc/self/status").exists(), reason="as Linux counts")
def test_a_mapped_tensor_can_drop_its_pages_and_be_read_again(tmp_path):
    """So a model whose weights were packed does not need their memory twice."""
    values = np.random.default_rng(0).standard_normal((2048, 1025), dtype=np.float32)  # 8 MiB and a bit
    tensor = write_one(tmp_path, safetensors_bytes({"x": ("F32", values.shape, values.tobytes())}))["x"].array()

    def mapped():
        return int(re.search(r"RssFile:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024

    assert np.array_equal(tensor, values)
    before = mapped()
    drop_pages(tensor)
    assert before - mapped() > 7
    assert np.array_equal(tensor, values)
    drop_pages(values)  # not mapped: nothing to do
