"""The one list of operations and their variants; presets, tests, benchmarks, command line and README all read it.

    @reference                                        in reference.py: defines an operation
    @composition("linear", "gelu")                    in composed.py: defines one made of others
    @variant("linear", tolerance=1e-6, tolerance_reason="...")     in ops/linear.py: another way to do it

A model is loaded with an `Ops`: one function for each operation (`ops.linear(x, *parameters)`), and
`ops.pack_weights("linear", weight, bias)`, which returns the parameters that the chosen variant takes. The operations that
only training needs, gradients and dropout, are registered in the same way, in a list of their own. Next: `catalog.py`, which
makes an `Ops` from a preset's name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial


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
TRAINING = Registry()  # gradients and dropout, which no model is loaded with


def registry_of(operation: str) -> Registry:
    """The list that an operation belongs to, by its name: `linear_grad` and `dropout` are of TRAINING."""
    return TRAINING if operation.endswith(("_grad", "dropout")) else REGISTRY


def reference(function: Callable) -> Callable:
    """Define an operation by its NumPy formula."""
    tolerance_reason = "float32 rounding: sums of up to 3,072 products"
    register(Variant(function.__name__, "reference", function, 2e-6, tolerance_reason))
    return function


def composition(*parts: str, pack_weights: Callable | None = None, capturable: bool = False) -> Callable:
    """Define an operation by the operations it is made of."""

    def add(function: Callable) -> Callable:
        operation = function.__name__
        registry = registry_of(operation)
        registry.compositions[operation] = Composition(operation, parts, function, pack_weights, capturable)
        registry.variants.setdefault(operation, {})
        return function

    return add


def variant(
    operation: str, *, tolerance: float, tolerance_reason: str, pack_weights: Callable | None = None, capturable: bool = False
) -> Callable:
    """Register `function` as a variant of `operation`. Its name is the function's without the operation's: `linear_naive`."""

    def add(function: Callable) -> Callable:
        name = function.__name__.removeprefix(f"{operation}_")
        register(Variant(operation, name, function, tolerance, tolerance_reason, pack_weights, capturable))
        return function

    return add


def register(entry: Variant) -> None:
    registry_of(entry.operation).variants.setdefault(entry.operation, {})[entry.name] = entry


class Ops:
    """One function for each operation: what the encoder calls. `print(ops)` shows the variant of each."""

    def __init__(self, chosen: Mapping[str, Variant | Composition], preset: str = ""):
        self.chosen = dict(chosen)
        self.preset = preset
        self.compiled = False  # whether object files of all its kernels are known to exist: `models/precompile.py`
        self.capturable = all(map(self.is_capturable, self.chosen))
        for operation, choice in self.chosen.items():
            function = choice.function if isinstance(choice, Variant) else partial(choice.function, self)
            setattr(self, operation, function)

    def is_capturable(self, operation: str) -> bool:
        """Whether an operation only calls kernels. One that is not disables capture for the whole model."""
        choice = self.chosen[operation]
        parts = choice.parts if isinstance(choice, Composition) else ()
        return choice.capturable and all(map(self.is_capturable, parts))

    def pack_weights(self, operation: str, *arrays) -> tuple:
        """A layer's arrays as in the checkpoint -> what the chosen variant takes after its inputs. Once, at load."""
        choice = self.chosen[operation]
        if isinstance(choice, Variant):
            return choice.pack_weights(*arrays) if choice.pack_weights else arrays
        if choice.pack_weights:
            return choice.pack_weights(self, *arrays)
        return self.pack_weights(choice.parts[0], *arrays)

    @property
    def names(self) -> dict[str, str]:
        """operation -> its variant's name; for a composition, its parts: "linear + gelu"."""
        return {
            operation: choice.name if isinstance(choice, Variant) else " + ".join(choice.parts)
            for operation, choice in self.chosen.items()
        }

    @property
    def spec(self) -> str | dict[str, str]:
        """What `make_ops` takes to make this one again."""
        return self.preset or {name: choice.name for name, choice in self.chosen.items() if isinstance(choice, Variant)}

    def __repr__(self) -> str:
        """A line for each operation. `*` marks those that disable capture and replay, which the first lines explain."""
        width = max(map(len, self.chosen))
        lines = [f"preset: {self.preset}"] if self.preset else []
        if not self.capturable:
            lines.append("capture: off (the operations marked * prevent it)")
        for operation, name in self.names.items():
            mark = "" if self.is_capturable(operation) else " *"
            lines.append(f"{operation:{width}}  {name}{mark}")
        return "\n".join(lines)
