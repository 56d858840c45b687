"""What decides the bits of an answer besides its input: versions, and the processor that kernels are compiled for."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import version

import numpy as np

from .. import __version__
from ..errors import InputError, KernelError


def describe_environment() -> dict[str, str]:
    environment = {
        "minibert": __version__,
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "NumPy": np.__version__,
        "instructions of NumPy": numpy_instructions(),
        "machine": platform.machine(),
    }
    try:
        from ..kernels.compiler.cpu import AMX_TILES, CPU, FEATURES, HAS_AMX
    except KernelError:  # no compiler, which the reference kernels do not need
        if os.environ.get("MINIBERT_ISA"):
            raise
        return environment
    instructions = " ".join(sorted(FEATURES if HAS_AMX else FEATURES - AMX_TILES))  # tiles may be refused
    return {**environment, "llvmlite": version("llvmlite"), "processor": CPU, "instructions": instructions}


def processor_identity() -> str:
    """What an answer's last bits depend on: the instructions of compiled kernels, which MINIBERT_ISA pins, and the newest that
    NumPy uses."""
    newest = numpy_instructions().split()[-1:]
    try:
        from ..kernels.compiler.cpu import FEATURES, HAS_AMX, HAS_FAST_BF16
    except KernelError:  # no compiler, which the reference kernels do not need
        return f"NumPy: {' '.join(newest)}"
    own = [name for name in ("fma", "avx2", "avx512f", "avx512vnni") if name in FEATURES]
    kernels = os.environ.get("MINIBERT_ISA") or " ".join([*own, *["bf16"] * HAS_FAST_BF16, *["amx"] * HAS_AMX])
    return f"{kernels}; NumPy: {' '.join(newest)}"


def numpy_instructions() -> str:
    """Those that NumPy may use, less what NPY_DISABLE_CPU_FEATURES lists."""
    core = getattr(np, "_core", None) or np.core
    return " ".join(name for name, enabled in core._multiarray_umath.__cpu_features__.items() if enabled)


def check_environment(driver: Mapping[str, str], host: str) -> None:
    """InputError unless this worker, on `host`, has the versions and the processor of the driver."""
    own = describe_environment()
    different = [name for name in {**driver, **own} if driver.get(name) != own.get(name)]
    if not different:
        return
    differences = "; ".join(difference(name, driver, own) for name in different)
    raise InputError(
        f"all workers must have the driver's versions and processor, or answers may differ in their last bits; {host} has "
        f"{differences}. Install the same versions. For processors of several models, set MINIBERT_ISA=avx2, and "
        "NPY_DISABLE_CPU_FEATURES to what NumPy must not use, on all nodes."
    )


def difference(name: str, driver: Mapping[str, str], own: Mapping[str, str]) -> str:
    """One thing that differs; of the instruction sets only those that the other has not."""
    here, there = own.get(name, "none"), driver.get(name, "none")
    if name.startswith("instructions"):
        more = sorted(set(here.split()) ^ set(there.split()))
        return f"other {name} ({', '.join(more[:5])}{', ...' if len(more) > 5 else ''})"
    return f"{name} {here}, not {there}"
