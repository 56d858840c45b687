"""The one list of operations and their variants; presets, tests, benchmarks, command line and README all walk it.

    @reference                                        in reference.py: defines an operation
    @composition("linear", "gelu")                    in composed.py: defines one made of others
    @variant("linear", tolerance=1e-6, why="...")     in linear.py: another way to do it

A model is loaded with an `Ops`: one ready function an operation (`ops.linear(x, *parameters)`), and
`ops.prepare("linear", weight, bias)`, which makes the parameters that the chosen variant takes. Next: `catalog.py`, which
makes it from a preset's name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial


@dataclass(frozen=True)
class Variant:
    """One way to do one operation. `tolerance` bounds |error| / largest |value|, against the reference in float64."""

    operation: str
    name: str
    function: Callable
    tolerance: float
    tolerance_reason: str  # the reason for the tolerance
    pack_weights: Callable | None = None  # (weight, bias, ...) -> the tuple of parameters `function` takes in their place
    capturable: bool = False  # whether all it does with its arrays is to `run` kernels on them, which may then wait (`noting.py`)


@dataclass
class Composition:
    """An operation spelt with the plain ones, of whatever table it stands in."""

    operation: str
    parts: tuple[str, ...]
    function: Callable  # (ops, x, ..., *parameters)
    preparation: Callable | None = None

    def prepare(self, function: Callable) -> Callable:
        """Decorate (ops, weight, bias, ...) -> parameters, where they are not those of the first part."""
        self.preparation = function
        return function


@dataclass
class Registry:
    variants: dict[str, dict[str, Variant]] = field(default_factory=dict)  # operation -> name -> variant, rising
    compositions: dict[str, Composition] = field(default_factory=dict)


REGISTRY = Registry()


def reference(function: Callable) -> Callable:
    """Define an operation by its NumPy formula."""
    tolerance_reason = "float32 rounding: sums of up to 3,072 products"
    register(Variant(function.__name__, "reference", function, 2e-6, tolerance_reason))
    return function


def composition(*parts: str) -> Callable:
    """Define an operation by the plain ones it is made of."""

    def define(function: Callable) -> Composition:
        made = Composition(function.__name__, parts, function)
        REGISTRY.compositions[made.operation] = made
        REGISTRY.variants.setdefault(made.operation, {})
        return made

    return define


def variant(operation: str, *, tolerance: float, tolerance_reason: str, pack_weights: Callable | None = None, capturable=False) -> Callable:
    """Register `function` as a variant of `operation`, under its own name less the operation's: `linear_naive`."""

    def add(function: Callable) -> Callable:
        name = function.__name__.removeprefix(f"{operation}_")
        register(Variant(operation, name, function, tolerance, tolerance_reason, pack_weights, capturable))
        return function

    return add


def register(made: Variant) -> None:
    REGISTRY.variants.setdefault(made.operation, {})[made.name] = made


class Ops:
    """One ready function an operation: what the encoder calls. `print(table)` shows which variant each one is."""

    def __init__(self, chosen: Mapping[str, Variant | Composition], preset: str = ""):
        self.chosen = dict(chosen)
        self.preset = preset
        self.compiled = False  # whether object files of all its kernels are known to be there: `models/precompile.py`
        self.capturable = all(isinstance(made, Variant) and made.capturable for made in self.chosen.values())
        for operation, made in self.chosen.items():
            ready = made.function if isinstance(made, Variant) else partial(made.function, self)
            setattr(self, operation, ready)

    def prepare(self, operation: str, *arrays) -> tuple:
        """A layer's arrays as the checkpoint has them -> what the chosen variant takes after its inputs. Once, at load."""
        made = self.chosen[operation]
        if isinstance(made, Variant):
            return made.pack_weights(*arrays) if made.pack_weights else arrays
        return made.preparation(self, *arrays) if made.preparation else self.prepare(made.parts[0], *arrays)

    @property
    def names(self) -> dict[str, str]:
        """operation -> its variant's name; a composed operation names its parts."""
        return {
            operation: made.name if isinstance(made, Variant) else " + ".join(made.parts)
            for operation, made in self.chosen.items()
        }

    @property
    def wanted(self) -> str | dict[str, str]:
        """What `make_ops` makes this one of."""
        return self.preset or {name: made.name for name, made in self.chosen.items() if isinstance(made, Variant)}

    def __repr__(self) -> str:
        width = max(map(len, self.chosen))
        first = [f"preset: {self.preset}"] if self.preset else []
        return "\n".join(first + [f"{operation:{width}}  {name}" for operation, name in self.names.items()])
