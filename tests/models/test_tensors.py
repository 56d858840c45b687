"""minibert/tensors.py: arrays for tensors and back, and arguments that mean nothing on a CPU."""

import subprocess
import sys

import numpy as np
import pytest

from minibert import InputError, InputTypeError, MinibertWarning
from minibert.tensors import (
    as_array,
    check_device,
    check_device_map,
    check_remote_code,
    check_without_effect,
    cpu_device,
    holds_tensors,
    is_torch_tensor,
    like,
    preset_of_dtype,
    to_torch,
)


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


# --- Arrays and tensors ----------------------------------------------------------------------------------------------


def test_nothing_but_to_torch_imports_torch():
    code = (
        "import sys, numpy as np\n"
        "from minibert.tensors import as_array, check_device, cpu_device, is_torch_tensor, like\n"
        "array = as_array([[1.0]], 'x')\n"
        "assert like([1], array) is array and not is_torch_tensor(array) and cpu_device() == 'cpu'\n"
        "check_device('cpu'), check_device(None), check_device(-1)\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_tensor_is_an_array_of_the_same_memory_without_its_gradient(torch):
    tensor = torch.ones(2, 3, requires_grad=True)
    array = as_array(tensor, "x")
    array[0, 0] = 5
    assert type(array) is np.ndarray and tensor[0, 0] == 5
    back = like(tensor, array)
    assert is_torch_tensor(back) and back.data_ptr() == tensor.data_ptr() and not back.requires_grad


def test_arrays_and_lists_come_back_as_arrays(torch):
    for values in (np.ones((2, 3)), [[1.0, 2.0]], ([1], [2]), []):
        array = as_array(values, "x")
        assert type(array) is np.ndarray and like(values, array) is array and not holds_tensors(values)


def test_a_list_of_tensors_is_one_array_and_comes_back_as_a_tensor(torch):
    values = [torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])]
    assert np.array_equal(as_array(values, "x"), [[1, 2], [3, 4]])
    assert torch.equal(like(values, as_array(values, "x")), torch.stack(values))


def test_bfloat16_becomes_float32_and_other_types_stay(torch):
    assert as_array(torch.tensor([1.5], dtype=torch.bfloat16), "x").dtype == np.float32
    for dtype in ("float16", "float64", "int64", "bool"):
        assert as_array(torch.ones(2, dtype=getattr(torch, dtype)), "x").dtype == dtype


def test_what_is_no_array_is_refused_by_its_name(torch):
    for values in ([[1], [2, 3]], torch.eye(2).to_sparse(), [torch.ones(2), torch.ones(3)]):
        with pytest.raises(InputTypeError, match="vectors must be an array of numbers; got"):
            as_array(values, "vectors")


def test_to_torch_shares_memory_unless_it_may_not_be_written(torch):
    array = np.ones((2, 3), np.float32)
    assert to_torch(array).data_ptr() == array.ctypes.data
    array.flags.writeable = False
    tensor = to_torch(array)
    tensor[0] = 5
    assert array[0, 0] == 1 and torch.equal(to_torch(np.arange(3)[::-1]), torch.tensor([2, 1, 0]))
    assert to_torch(np.float32(1.5)).shape == ()


def test_without_torch_a_tensor_is_one_clear_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match="tensors need torch, which cannot be imported .*pip install torch"):
        to_torch(np.ones(2))


# --- Devices and dtypes ----------------------------------------------------------------------------------------------


def test_every_name_of_the_cpu_is_accepted(torch):
    for device in (None, -1, np.int64(-1), "cpu", "cpu:0", torch.device("cpu"), torch.device("cpu:0")):
        check_device(device)
    for device_map in (None, "auto", "cpu", {"": "cpu"}):
        check_device_map(device_map)
    assert cpu_device() == torch.device("cpu")


@pytest.mark.parametrize("device", [0, 1, True, "cuda", "cuda:0", "mps", "auto", "", 1.5, ["cpu"], np.arange(2)], ids=str)
def test_another_device_is_refused(device):
    with pytest.raises(InputError, match=r"computes on the CPU only: device must be 'cpu', -1 or None; got .* Leave it out"):
        check_device(device)
    if not isinstance(device, str) or device != "auto":
        with pytest.raises(InputError, match="device_map must be"):
            check_device_map({"": device})


def test_a_device_of_torch_that_is_not_the_cpu_is_refused(torch):
    for device in (torch.device("cuda"), torch.device("meta")):
        with pytest.raises(InputError, match="CPU only"):
            check_device(device)


def test_a_dtype_selects_kernels(torch):
    for dtype in (None, "auto", "float32", torch.float32, np.float32, np.dtype("float32"), "torch.float32"):
        assert preset_of_dtype(dtype) is None
    for dtype in ("bfloat16", torch.bfloat16, "torch.bfloat16"):
        assert preset_of_dtype(dtype) == "bf16"
    for dtype in ("float16", "half", torch.float16, np.float16):
        with pytest.warns(MinibertWarning, match="torch_dtype is float16; minibert computes in float32"):
            assert preset_of_dtype(dtype, "torch_dtype") is None
    for dtype in ("float64", torch.int8, np.float64, 16, [], ["float32"], "float8"):
        with pytest.raises(InputError, match="dtype must be 'float32', 'bfloat16', 'float16' or 'auto'; got"):
            preset_of_dtype(dtype)


# --- Arguments without effect ----------------------------------------------------------------------------------------


def test_an_argument_without_effect_is_refused_where_it_would_have_one():
    for value in (None, True):
        check_without_effect("use_safetensors", value, (None, True))
    for value in (False, 1, "True", np.arange(2), [True]):
        with pytest.raises(InputError, match="use_safetensors must be None or True: .*; got .* Leave it out"):
            check_without_effect("use_safetensors", value, (None, True))


def test_trust_is_accepted_unless_there_is_code_to_trust():
    code = {"auto_map": {"AutoModel": "modeling.Own"}}
    for trust, config in ((True, {}), (False, code), (0, code)):
        check_remote_code(trust, config, "tiny/model")
    with pytest.raises(InputError, match="runs no code of a checkpoint, and tiny/model has its own .*Leave trust_remote_code"):
        check_remote_code(True, code, "tiny/model")
    with pytest.raises(InputTypeError, match="trust_remote_code must be True or False"):
        check_remote_code("yes", {}, "tiny/model")
