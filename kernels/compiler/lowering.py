"""From a kernel to an object file: Numba types it and writes LLVM IR, LLVM optimizes all of it as one module.

    attention_tasks ── calls ──► attention_tile, transpose, ...    each lowered by Numba to IR of its own
    trampoline                                                     calls `attention_tasks` with unpacked arguments (`trampoline.py`)
    all linked ── optimized once ──► object file

Numba alone would optimize and emit every function that a kernel calls, link it, and optimize again. For the kernels of a
first label that took 9.9 s of one core, and this takes 5.4 s (medians of three in turn; Zen 4, 2026-11-28). The kernels
are as fast.
"""

from __future__ import annotations

import ctypes
import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

import llvmlite.binding as llvm

from .jit import COMPILE_LOCK, Kernel
from .toolchain import import_numba
from .trampoline import ENTRY, build_trampoline, numba_types

# No reference counts, boxing or machine code of Numba's: a kernel here neither allocates nor sees a Python object.
FLAGS = {"nrt": False, "no_compile": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def compile_object(kernel: Kernel, signature: tuple) -> bytes | None:
    """A kernel and a signature -> an object file whose entry is `trampoline.ENTRY`. None if that is impossible, because the
    kernel allocates, or calls what only Numba can provide."""
    numba = import_numba()
    from numba.core.compiler_lock import global_compiler_lock

    with COMPILE_LOCK, global_compiler_lock:
        lowering = Lowering()
        try:
            result = lowering.lower(kernel, numba_types(signature))
        except numba.core.errors.NumbaError:
            return None  # if the kernel is wrong, a call through Numba will say so
        module = link([str(build_trampoline(result, signature)), *lowering.modules()])
        optimize(module)
        declared = [function.name for function in module.functions if function.is_declaration]
        process = ctypes.CDLL(None)
        if not all(name.startswith("llvm.") or hasattr(process, name) for name in declared):
            return None
        return target_machine().emit_object(module)


class Lowering:
    """Lowers one kernel, with the functions that it calls, to LLVM IR."""

    def __init__(self):
        self.results: dict[tuple[Kernel, tuple], Any] = {}  # (kernel, argument types) -> Numba's result
        self.libraries: list[Any] = []  # of the results, in the order in which lowering started
        self.callees: dict[Kernel, Callable] = {}

    def lower(self, kernel: Kernel, types: tuple) -> Any:
        """Have Numba write the IR of a kernel -> Numba's result, with the function's name and types."""
        result = self.results.get((kernel, types))
        if result is None:
            from numba.core import compiler
            from numba.core.registry import cpu_target

            flags = compiler.Flags()
            cpu_target.options.parse_as_flags(flags, {"nopython": True, **llvm_options(kernel.options)})
            for name, value in FLAGS.items():
                setattr(flags, name, value)
            context = cpu_target.target_context
            library = context.codegen().create_library(kernel.__name__)
            library.add_llvm_module = library._final_module.link_in  # without optimizing: that is done once, for all
            self.libraries.append(library)
            result = compiler.compile_extra(
                cpu_target.typing_context, context, kernel.resolve_globals(self.callee), types, None, flags, {}, library=library
            )
            self.results[kernel, types] = result
        return result

    def callee(self, kernel: Kernel) -> Callable:
        """What Numba sees instead of a kernel that another one calls."""
        if kernel not in self.callees:
            self.callees[kernel] = self.intrinsic(kernel)
        return self.callees[kernel]

    def intrinsic(self, kernel: Kernel) -> Callable:
        """An intrinsic that lowers the kernel as soon as its arguments' types are known, and emits a call of it."""
        from numba.extending import intrinsic

        def typed(typing, *types):
            result = self.lower(kernel, types)

            def emit(context, builder, signature, arguments):
                return context.call_internal(builder, result.fndesc, result.signature, arguments)

            return result.signature, emit

        typing = inspect.Parameter("typing", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        typed.__signature__ = inspect.Signature([typing, *inspect.signature(kernel.function).parameters.values()])
        typed.__name__ = kernel.__name__
        return intrinsic(typed)

    def modules(self) -> list[str]:
        """The IR of all lowered functions, and of Numba's own functions that they call (`min`, a cast)."""
        others = {id(other): other for library in self.libraries for other in library._linking_libraries}
        return [library.get_llvm_str() for library in self.libraries] + [
            str(other._get_module_for_linking()) for other in others.values()
        ]


def llvm_options(options: dict) -> dict:
    """Let LLVM inline, not Numba, which would type and lower an inlined function again for each call."""
    inlined = options.get("inline") == "always" or options.get("forceinline", False)
    return {**options, "inline": "never", "forceinline": inlined}


def link(modules: list[str]) -> llvm.ModuleRef:
    """Modules of IR -> one, in which only the entry can be called from outside."""
    linked, *others = (llvm.parse_assembly(text) for text in modules)
    for other in others:
        linked.link_in(other)
    for function in linked.functions:
        if not function.is_declaration and function.name != ENTRY:
            function.linkage = "internal"
    return linked


def optimize(module: llvm.ModuleRef) -> None:
    """Run LLVM's passes without unrolling: kernels that gain from it are unrolled by hand, and attention compiles twice as
    fast."""
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization, options.slp_vectorization, options.loop_unrolling = True, False, False
    builder = llvm.create_pass_builder(target_machine(), options)
    builder.getModulePassManager().run(module, builder)


def initialize() -> None:
    """Initialize LLVM for this processor. Idempotent."""
    for prepare in (llvm.initialize, llvm.initialize_native_target, llvm.initialize_native_asmprinter):
        try:
            prepare()
        except RuntimeError:  # newer versions of llvmlite have done it already
            pass


@cache
def target_machine() -> llvm.TargetMachine:
    """LLVM's description of the processor that kernels are compiled for."""
    from .cpu import CPU, FEATURES

    initialize()
    features = ",".join(f"+{name}" for name in sorted(FEATURES))
    target = llvm.Target.from_triple(llvm.get_process_triple())
    return target.create_target_machine(cpu=CPU, features=features, opt=3, reloc="pic", codemodel="jitdefault", jit=True)
