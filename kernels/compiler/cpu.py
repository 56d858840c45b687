"""The processor that kernels are compiled for: this machine's, or a less able one that the environment names.

MINIBERT_ISA is one of `ISAS`: kernels for it have the same bits on every processor that has its instructions.
NUMBA_CPU_NAME and NUMBA_CPU_FEATURES are Numba's own, for any processor.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import warnings
from functools import cache

from minibert.errors import KernelError, MinibertWarning

from .toolchain import missing_compiler

try:
    import llvmlite.binding as llvm
except Exception as error:  # ImportError if it is absent, OSError if its library cannot be loaded
    raise missing_compiler(error) from error

AMX_TILES = {"amx-tile", "amx-bf16", "amx-int8"}
AMX = AMX_TILES | {"avx512f", "avx512vnni"}  # what kernels on tiles need
SSE2 = ("sse2",)
SSE42 = (*SSE2, "cx16", "popcnt", "sahf", "sse3", "sse4.1", "sse4.2", "ssse3")
AVX2 = (*SSE42, "avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "xsave")
AVX512 = (*AVX2, "avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl", "avx512vnni")
ISAS = {  # MINIBERT_ISA -> LLVM's name of the least processor of that kind (x86-64 psABI, "Micro-Architecture Levels"), features
    "amx": ("x86-64-v4", (*AVX512, *sorted(AMX_TILES))),
    "avx512": ("x86-64-v4", AVX512),
    "avx2": ("x86-64-v3", AVX2),
    "sse2": ("x86-64", SSE2),
}


def pin_isa(isa: str) -> None:
    """Have Numba compile for these instructions. KernelError for an unknown name, or if this machine has less."""
    if isa not in ISAS:
        raise KernelError(f"MINIBERT_ISA is one of {', '.join(ISAS)}; got {isa!r}.")
    cpu, features = ISAS[isa]
    host = {feature[1:] for feature in llvm.get_host_cpu_features().flatten().split(",") if feature.startswith("+")}
    if missing := [feature for feature in features if feature not in host]:
        raise KernelError(f"MINIBERT_ISA={isa} needs {', '.join(missing)}, which this processor does not have.")
    if isa == "amx" and not tiles_permitted():
        raise KernelError(f"MINIBERT_ISA=amx needs AMX's tiles: {REFUSED}.")
    os.environ["NUMBA_CPU_NAME"] = cpu
    os.environ["NUMBA_CPU_FEATURES"] = ",".join(f"+{feature}" for feature in features)
    if "numba" in sys.modules:  # it has read its environment already
        sys.modules["numba"].config.reload_config()


def detect_features() -> set[str]:
    """LLVM's names of the features that Numba may use: this machine's, or those that NUMBA_CPU_FEATURES lists."""
    setting = os.environ.get("NUMBA_CPU_FEATURES")
    if setting is None:
        setting = "" if os.environ.get("NUMBA_CPU_NAME") else llvm.get_host_cpu_features().flatten()
    return {feature[1:] for feature in setting.split(",") if feature.startswith("+")}


def has_fast_bf16(features: set[str], cpu: str) -> bool:
    """Whether vdpbf16ps multiplies faster than fma, as measured: twice as fast on Zen 4 (216 and 109 GFLOP/s on one thread),
    half as fast on a Xeon with AMX (113 and 222). Where it was not measured it is not used."""
    return cpu.startswith("znver") and {"avx512bf16", "avx512f"} <= features


def has_amx(features: set[str]) -> bool:
    """Whether kernels may multiply on AMX's tiles: the processor has them, and the system gives them."""
    return features >= AMX and tiles_permitted()


def tiles_permitted() -> bool:
    """Request the tiles' state from Linux, then check that it is granted: to all threads, and to forked processes too. Refused before
    Linux 5.16, by some sandboxes, and if a thread has a small signal stack. (Documentation/arch/x86/xstate.rst of Linux:
    arch_prctl, ARCH_REQ_XCOMP_PERM and ARCH_GET_XCOMP_PERM.)"""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    call, arch_prctl, request, get, tile_data = ctypes.CDLL(None).syscall, 158, 0x1023, 0x1022, 18
    call.restype, granted = ctypes.c_long, ctypes.c_uint64()
    if call(ctypes.c_long(arch_prctl), ctypes.c_long(request), ctypes.c_long(tile_data)) != 0:
        return False
    got = call(ctypes.c_long(arch_prctl), ctypes.c_long(get), ctypes.byref(granted))
    return got == 0 and bool(granted.value >> tile_data & 1)


def describe_amx() -> str:
    """For `minibert kernels`."""
    if HAS_AMX:
        return "used"
    return f"not used: {REFUSED if FEATURES >= AMX else 'kernels are compiled for a processor without it'}"


@cache
def warn_if_refused() -> None:
    """Once a process, for a preset that falls back: why it is several times slower than it could be."""
    if FEATURES >= AMX and not HAS_AMX:
        message = (
            f"this processor has AMX, but {REFUSED}: kernels use AVX-512. MINIBERT_ISA=avx512 asks for that without a warning."
        )
        warnings.warn(message, MinibertWarning, stacklevel=2)


REFUSED = (
    "the operating system does not give its tiles to this process (Linux before 5.16, a sandbox, or a thread with a small signal "
    "stack)"
)
if os.environ.get("MINIBERT_ISA"):
    pin_isa(os.environ["MINIBERT_ISA"])
ARCH = {"AMD64": "x86_64", "aarch64": "arm", "arm64": "arm"}.get(platform.machine(), platform.machine())
FUTEX = {"x86_64": 202, "arm": 98}  # the number of this Linux system call; arm means arm64
CPU = os.environ.get("NUMBA_CPU_NAME") or llvm.get_host_cpu_name()
FEATURES = detect_features()
# Without the instruction, LLVM would call the C library for each fused multiply-add.
HAS_FMA = "fma" in FEATURES or ARCH == "arm"
HAS_FAST_BF16 = has_fast_bf16(FEATURES, CPU)
HAS_AMX = has_amx(FEATURES)
