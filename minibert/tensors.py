"""Arrays come back as what they went in; and what means nothing on a CPU is accepted.

    array = as_array(values, "vectors")   a caller's array, list or torch tensor -> NumPy, without a copy if it can be shared
    return like(values, result)           a torch tensor if the caller's values were tensors, else NumPy

Only `to_torch` imports torch: without it in sys.modules no value can be a tensor. At import this module needs the standard
library alone, so every room may use it.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from typing import Any

from .errors import InputError, InputTypeError, MinibertWarning, as_int, read_flag, short_repr

FLOAT32 = ("float32", "float", "auto")  # dtypes of arguments that ask for what is computed anyway
BFLOAT16 = ("bfloat16",)
FLOAT16 = ("float16", "half")
DTYPES = ("float32", *BFLOAT16, *FLOAT16, "float64", "double")  # that no device is called

# --- Arrays and tensors ----------------------------------------------------------------------------------------------


def is_torch_tensor(value: object) -> bool:
    """Whether a value is a torch tensor. Never imports torch."""
    tensor_class = getattr(sys.modules.get("torch"), "Tensor", None)
    return tensor_class is not None and isinstance(value, tensor_class)


def holds_tensors(values: object) -> bool:
    """Whether values are a tensor, or a list or tuple whose first element is one."""
    return is_torch_tensor(values) or (isinstance(values, (list, tuple)) and bool(values) and is_torch_tensor(values[0]))


def takes_tensors(function: object) -> bool:
    """Whether a callable is a torch module or one of torch's own functions. Never imports torch."""
    function = getattr(function, "func", function)  # of a functools.partial
    module_class = getattr(sys.modules.get("torch.nn"), "Module", None)
    is_module = module_class is not None and isinstance(function, module_class)
    return is_module or str(getattr(function, "__module__", "")).partition(".")[0] == "torch"


def as_array(values: Any, name: str) -> Any:
    """A caller's array, nested list, tensor or list of tensors -> a NumPy array of any dtype.

    Shares memory with a dense CPU tensor, leaves its gradient out, and widens bfloat16, which NumPy has not, to float32.
    InputTypeError for rows of several lengths and for a sparse tensor.
    """
    import numpy as np

    try:
        if is_torch_tensor(values):
            return tensor_to_numpy(values)
        if holds_tensors(values):
            return np.stack([tensor_to_numpy(value) if is_torch_tensor(value) else np.asarray(value) for value in values])
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError, OverflowError, RecursionError) as error:
        raise InputTypeError(f"{name} must be an array of numbers; got {type(values).__name__}: {error!s:.200}") from None


def tensor_to_numpy(tensor: Any) -> Any:
    tensor = tensor.detach().cpu()
    return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()


def like(values: Any, result: Any) -> Any:
    """A result -> a torch tensor if the caller's values were tensors, else as it is."""
    return to_torch(result) if holds_tensors(values) else result


def to_torch(array: Any) -> Any:
    """A NumPy array or scalar -> a torch tensor, which shares its memory if it may be written. Imports torch.

    InputError if torch is not installed, InputTypeError for an array of no numbers.
    """
    import numpy as np

    try:
        import torch
    except ImportError as error:
        raise InputError(
            f"tensors need torch, which cannot be imported ({error}). Install it (pip install torch), or take NumPy arrays: "
            "leave out return_tensors='pt' or convert_to_tensor=True."
        ) from None
    array = np.asarray(array)
    try:
        return torch.from_numpy(array if array.flags.writeable and min(array.strides, default=0) >= 0 else array.copy())
    except TypeError as error:
        raise InputTypeError(f"a tensor must be of numbers; got an array of dtype {array.dtype}: {error!s:.200}") from None


# --- Devices and dtypes ----------------------------------------------------------------------------------------------


def check_device(device: object, name: str = "device") -> None:
    """InputError unless a device is the CPU: None, -1, "cpu", torch.device("cpu")."""
    type_ = getattr(device, "type", device)  # torch.device has a type and an index
    if type_ is None or as_int(type_) == -1 or (isinstance(type_, str) and type_.partition(":")[0] == "cpu"):
        return
    raise InputError(
        f"minibert computes on the CPU only: {name} must be 'cpu', -1 or None; got {short_repr(device)}. Leave it out."
    )


def check_device_map(device_map: object) -> None:
    """The same of a device_map: "auto" finds the CPU too, and a mapping has a device for each module."""
    devices = device_map.values() if isinstance(device_map, Mapping) else [device_map]
    for device in devices:
        if not (isinstance(device, str) and device == "auto"):
            check_device(device, "device_map")


def cpu_device() -> Any:
    """What `.device` is: torch.device("cpu") if the caller has imported torch, else "cpu"."""
    device_class = getattr(sys.modules.get("torch"), "device", None)
    return "cpu" if device_class is None else device_class("cpu")


def float32_dtype() -> Any:
    """What `.dtype` is: torch.float32 if the caller has imported torch, else NumPy's."""
    import numpy as np

    return getattr(sys.modules.get("torch"), "float32", np.dtype(np.float32))


def check_stays(device: object, dtype: object, fix: str) -> None:
    """InputError unless `model.to(device, dtype)`, or `model.to(dtype)`, leaves a model where it is: on the CPU, in float32."""
    if dtype is None and name_of_dtype(device) in DTYPES:
        device, dtype = None, device
    check_device(device)
    if dtype is not None and name_of_dtype(dtype) not in FLOAT32:
        raise InputError(f"a loaded model stays float32; got {short_repr(dtype)}. {fix}")


def preset_of_dtype(dtype: object, name: str = "dtype") -> str | None:
    """A dtype argument -> the preset of kernels that it selects: "bf16" for bfloat16, None for float32.

    float16 is computed in float32, with a MinibertWarning. InputError for any other.
    """
    text = name_of_dtype(dtype)
    if dtype is None or text in FLOAT32:
        return None
    if text in BFLOAT16:
        return "bf16"
    if text not in FLOAT16:
        raise InputError(f"{name} must be 'float32', 'bfloat16', 'float16' or 'auto'; got {short_repr(dtype)}. Leave it out.")
    warnings.warn(f"{name} is float16; minibert computes in float32, which is more exact.", MinibertWarning, stacklevel=3)
    return None


def name_of_dtype(dtype: object) -> str:
    """torch.float32, numpy.float32, numpy.dtype("float32") or their names -> "float32"; something else for another value."""
    names = (dtype, getattr(dtype, "__name__", None), getattr(dtype, "name", None), short_repr(dtype))
    return next(name for name in names if isinstance(name, str)).removeprefix("torch.")


# --- Arguments without effect ----------------------------------------------------------------------------------------


def check_without_effect(
    name: str,
    value: object,
    harmless: tuple[Any, ...],
    fix: str = "Leave it out.",
    reason: str = "minibert has nothing else to choose from",
) -> None:
    """InputError unless an argument has one of the values that change nothing here."""
    if not any(value is one or (type(value) is type(one) and value == one) for one in harmless):
        allowed = " or ".join(map(repr, harmless))
        raise InputError(f"{name} must be {allowed}: {reason}; got {short_repr(value)}. {fix}")


def check_remote_code(trust_remote_code: object, config: Mapping[str, Any], source: str) -> None:
    """InputError if a checkpoint's own code is to be run: its config.json names some, and the caller trusts it."""
    if read_flag("trust_remote_code", trust_remote_code) and config.get("auto_map"):
        raise InputError(
            f"minibert runs no code of a checkpoint, and {source} has its own ({short_repr(config['auto_map'])}), which may compute "
            "something else. Leave trust_remote_code out to load it as the model_type that its config.json names."
        )
