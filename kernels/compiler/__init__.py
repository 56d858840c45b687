"""From a Python function to a callable address. Reading order:

    toolchain.py      Numba, imported only when something is compiled
    intrinsic.py      `@intrinsic`: functions that emit LLVM IR
    jit.py            `@jit`: a kernel, compiled when it is first called
    source_hash.py    a hash of all files that a kernel is compiled from
    cpu.py            the processor that kernels are compiled for
    lowering.py       Numba types it and writes LLVM IR; LLVM optimizes that as one module
    trampoline.py     the entry of the compiled code: unpacks NumPy arrays
    object_cache.py   object files in the user's cache folder
    call.py           `bind(kernel, *arguments)`: a call without Numba and without the interpreter's lock

Nothing here knows what a kernel computes. Next: `runtime/`, which runs kernels on threads.
"""
