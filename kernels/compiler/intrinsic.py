"""`@intrinsic`: a function for kernels that emits its own LLVM IR, for operations that Python cannot express.

    @intrinsic
    def fma(typing, a, b, c):            called with Numba's types; returns a signature, and a function that emits the IR
        def emit(context, builder, signature, values): ...
        return types.float32(types.float32, types.float32, types.float32), emit

Like Numba's own, but Numba is imported only when a kernel that uses the function is compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, update_wrapper

from .toolchain import PACKAGE, import_numba


class Intrinsic:
    """A function for `numba.extending.intrinsic`."""

    def __init__(self, function: Callable):
        update_wrapper(self, function)
        self.function = function
        self.module = function.__module__.removeprefix(f"{PACKAGE}.")

    @cached_property
    def compiled(self) -> Callable:
        import_numba()
        from numba.extending import intrinsic

        return intrinsic(self.function)


def intrinsic(function: Callable) -> Intrinsic:
    """Decorate (typing context, Numba's types) -> (signature, emit)."""
    return Intrinsic(function)
