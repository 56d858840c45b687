"""The processor that kernels are compiled for: this machine's, or the one that NUMBA_CPU_NAME names."""

from __future__ import annotations

import os
import platform

from .toolchain import missing_compiler

try:
    import llvmlite.binding as llvm
except Exception as error:  # ImportError if it is absent, OSError if its library cannot be loaded
    raise missing_compiler(error) from error


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


ARCH = {"AMD64": "x86_64", "aarch64": "arm", "arm64": "arm"}.get(platform.machine(), platform.machine())
FUTEX = {"x86_64": 202, "arm": 98}  # the number of this Linux system call; arm means arm64
CPU = os.environ.get("NUMBA_CPU_NAME") or llvm.get_host_cpu_name()
FEATURES = detect_features()
# Without the instruction, LLVM would call the C library for each fused multiply-add.
HAS_FMA = "fma" in FEATURES or ARCH == "arm"
HAS_FAST_BF16 = has_fast_bf16(FEATURES, CPU)
