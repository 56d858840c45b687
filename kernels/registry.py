"""The one list of operations and their variants; presets, tests, benchmarks, command line and README all read it.

    @reference                                        in reference.py: defines an operation
    @composition("linear", "gelu")                    in composed.py: defines one made of others
    @variant("linear", tolerance=1e-6, tolerance_reason="...")     in ops/linear_naive.py: another way to do it

The operations that only training needs, gradients, dropout and the optimizer's step, are registered in the same way, in a list
of their own. Next: `catalog.py`, the table of one function for each operation that a model is loaded with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable)


@dataclass(frozen=True)
class Variant:
    """One way to do one operation. `tolerance` bounds |error| / largest |value|, against the reference in float64.

    A capturable variant only calls `run` on its arrays, so its kernels may be recorded and executed later
    (`runtime/capture.py`); one that reads an array in NumPy is not capturable."""

    operation: str
    name: str
    function: Callable
    tolerance: float
    tolerance_reason: str
    pack_weights: Callable | None = None  # (weight, bias, ...) -> the tuple of parameters that `function` takes instead
    capturable: bool = False
    repack_weights: Callable | None = None  # as pack_weights, but fast: for weights that change in every step of training
    # As pack_weights, of an activation's product whose result only a `linear_add` of the same name reads, in a form of its own.
    pack_for_product: Callable | None = None
    packs_by_kernels: bool = False  # whether pack_weights runs kernels
    # Whether an attention takes queries, keys and values in bf16, as uint16, and gives the bits that it gives of float32.
    takes_rounded: Callable = lambda head_size: False


@dataclass(frozen=True)
class Composition:
    """An operation made of other operations of the same `Ops`. Capturable if its parts are, and it does nothing else."""

    operation: str
    parts: tuple[str, ...]
    function: Callable  # (ops, x, ..., *parameters)
    pack_weights: Callable | None = None  # (ops, weight, bias, ...) -> parameters; None: those of the first part
    capturable: bool = False


@dataclass
class Registry:
    variants: dict[str, dict[str, Variant]] = field(default_factory=dict)  # operation -> name -> variant, slowest first
    compositions: dict[str, Composition] = field(default_factory=dict)


REGISTRY = Registry()
TRAINING = Registry()  # gradients, dropout and the optimizer's step, which no model is loaded with
TRAINING_SUFFIXES = ("_grad", "dropout", "squared_sums", "_step", "_replay")


def registry_of(operation: str) -> Registry:
    """The list that an operation belongs to, by its name: `linear_grad`, `dropout` and `adamw_step` are of TRAINING."""
    return TRAINING if operation.endswith(TRAINING_SUFFIXES) else REGISTRY


def reference(function: F) -> F:
    """Define an operation by its NumPy formula."""
    tolerance_reason = "float32 rounding: sums of up to 3,072 products"
    register(Variant(function.__name__, "reference", function, 2e-6, tolerance_reason))
    return function


def composition(*parts: str, pack_weights: Callable | None = None, capturable: bool = False) -> Callable[[F], F]:
    """Define an operation by the operations it is made of."""

    def add(function: F) -> F:
        operation = function.__name__
        registry = registry_of(operation)
        registry.compositions[operation] = Composition(operation, parts, function, pack_weights, capturable)
        registry.variants.setdefault(operation, {})
        return function

    return add


def variant(operation: str, **fields: Any) -> Callable[[F], F]:
    """Register `function` as a variant of `operation`, with these fields of `Variant`. Its name is the function's without the
    operation's: `linear_naive`."""

    def add(function: F) -> F:
        name = function.__name__.removeprefix(f"{operation}_")
        register(Variant(operation, name, function, **fields))
        return function

    return add


def register(entry: Variant) -> None:
    registry_of(entry.operation).variants.setdefault(entry.operation, {})[entry.name] = entry
