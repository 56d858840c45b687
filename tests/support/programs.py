"""Programs written for another library: what one leaves behind there and here must be the same."""

import numpy as np

TOLERANCE = 1e-5


def run_program(program: str, **names):
    """A program's text, and what its names in capitals are -> what it leaves in `result`."""
    variables = {**names, "__name__": "program"}
    exec(compile(program, "<program>", "exec"), variables)
    return variables["result"]


def assert_same(ours, theirs, path="result"):
    """Numbers to TOLERANCE, of the same shape and type; anything else exactly."""
    if isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs), path
        for index, pair in enumerate(zip(ours, theirs)):
            assert_same(*pair, f"{path}[{index}]")
    elif isinstance(theirs, dict):
        assert list(ours) == list(theirs), path
        for key in theirs:
            assert_same(ours[key], theirs[key], f"{path}[{key!r}]")
    elif isinstance(theirs, (str, type(None))):
        assert ours == theirs, path
    else:
        ours, theirs = np.asarray(ours), np.asarray(theirs)
        assert ours.shape == theirs.shape and ours.dtype == theirs.dtype, path
        if ours.dtype in (np.int8, np.uint8):  # a component that lies between two levels
            assert np.mean(ours != theirs) < 1e-3, path
        else:
            assert np.allclose(ours, theirs, rtol=0, atol=TOLERANCE), path
