"""`require_object_files()`: from then on it is an error if a kernel of minibert's cannot be an object file."""

from minibert.kernels.compiler import lowering


def require_object_files() -> None:
    """Otherwise such a kernel would be compiled through Numba, in each process again."""
    compile_object = lowering.compile_object

    def checked(kernel, signature):
        code = compile_object(kernel, signature)
        module = kernel.function.__module__
        assert code is not None or not module.startswith("minibert."), f"{module}.{kernel.__name__} cannot be an object file"
        return code

    lowering.compile_object = checked
