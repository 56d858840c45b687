"""Values that nobody means."""

import enum
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


class Color(enum.Enum):
    RED = "red"


def nested(depth):
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


VALUES: dict[str, Callable[[], Any]] = {  # made for each call, because some can be read only once
    "None": lambda: None,
    "True": lambda: True,
    "0": lambda: 0,
    "-1": lambda: -1,
    "10**30": lambda: 10**30,
    "-10**30": lambda: -(10**30),
    "10**5000": lambda: 10**5000,  # which has no repr
    "1.5": lambda: 1.5,
    "nan": lambda: float("nan"),
    "inf": lambda: float("inf"),
    "''": lambda: "",
    "'nonsense'": lambda: "nonsense",
    "'a\\0b'": lambda: "a\0b",
    "'\\ud800'": lambda: "\ud800",
    "b'bytes'": lambda: b"bytes",
    "[]": list,
    "[[]]": lambda: [[]],
    "[None]": lambda: [None],
    "[1, [2, 3]]": lambda: [1, [2, 3]],
    "[[1], [2, 3]]": lambda: [[1], [2, 3]],
    "['a', b'b']": lambda: ["a", b"b"],
    "[[...]] 10,000 deep": lambda: nested(10_000),
    "{}": dict,
    "{'a': 1}": lambda: {"a": 1},
    "{1: None}": lambda: {1: None},
    "()": lambda: (),
    "set()": lambda: set(),
    "object()": lambda: object(),
    "type": lambda: type,
    "lambda": lambda: lambda *arguments, **options: None,
    "range(3)": lambda: range(3),
    "a generator": lambda: (index for index in range(3)),
    "a missing Path": lambda: Path("missing/file"),
    "an Enum member": lambda: Color.RED,
    "np.array([1, 2])": lambda: np.array([1, 2]),
    "np.array(3)": lambda: np.array(3),
    "np.zeros(0)": lambda: np.zeros((0,)),
    "np.array([None])": lambda: np.array([None], object),
    "np.array(['a', 'b'])": lambda: np.array(["a", "b"]),
    "np.ones((2, 2, 2, 2))": lambda: np.ones((2, 2, 2, 2)),
    "np.int64(3)": lambda: np.int64(3),
    "np.float32('nan')": lambda: np.float32("nan"),
    "np.bool_(True)": lambda: np.bool_(True),
}
if importlib.util.find_spec("torch"):

    def torch():
        import torch

        return torch

    VALUES |= {
        "a torch tensor": lambda: torch().tensor([[1, 2], [3, 4]]),
        "a torch scalar": lambda: torch().tensor(1.5, requires_grad=True),
        "a sparse torch tensor": lambda: torch().eye(3).to_sparse(),
    }
