"""The processor that kernels are compiled for: this machine's, or the lesser one that NUMBA_CPU_NAME describes."""

from __future__ import annotations

import os
import platform

from .toolchain import missing_compiler

try:
    import llvmlite.binding as llvm
except Exception as error:  # absent; or a library of it cannot be loaded, which is an OSError
    raise missing_compiler(error) from error


def detect_features() -> set[str]:
    """LLVM's names of what Numba may compile for: this machine, or what NUMBA_CPU_FEATURES lists."""
    listed = os.environ.get("NUMBA_CPU_FEATURES")
    if listed is None:
        listed = "" if os.environ.get("NUMBA_CPU_NAME") else llvm.get_host_cpu_features().flatten()
    return {word[1:] for word in listed.split(",") if word.startswith("+")}


ARCH = {"AMD64": "x86_64", "aarch64": "arm", "arm64": "arm"}.get(platform.machine(), platform.machine())
FUTEX = {"x86_64": 202, "arm": 98}  # Linux's number of that system call; arm is its 64-bit form
CPU = os.environ.get("NUMBA_CPU_NAME") or llvm.get_host_cpu_name()
FEATURES = detect_features()
# Without the instruction, LLVM would call the C library for each fused multiply-add.
HAS_FMA = "fma" in FEATURES or ARCH == "arm"
HAS_AVX512_BF16 = {"avx512bf16", "avx512f"} <= FEATURES
