"""The one list of operations and their variants; presets, tests, benchmarks, command line and README all walk it.

    @reference                                        in reference.py: defines an operation
    @composition("linear", "gelu")                    in composed.py: defines one made of others
    @variant("linear", tolerance=1e-6, why="...")     in linear.py: another way to do it

A model asks `table("reference")`, or `table({"linear": "naive"})`, once, when it is loaded, and gets a `Table`: one
ready function an operation (`ops.linear(x, *parameters)`), and `ops.prepare("linear", weight, bias)`, which makes the
parameters that the chosen variant wants. Compiled variants are imported only when one is asked for, so the reference
runs without Numba.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial

from minibert.errors import KernelError, brief


@dataclass(frozen=True)
class Variant:
    """One way to do one operation. `tolerance` bounds |error| / largest |value|, against the reference in float64."""

    operation: str
    name: str
    function: Callable
    tolerance: float
    why: str  # the reason for the tolerance
    prepare: Callable | None = None  # (weight, bias, ...) -> the tuple of parameters `function` takes in their place
    noted: bool = False  # whether all it does with its arrays is to `run` kernels on them, which may then wait (`noting.py`)


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
# Where the compiled variants stand: importing these registers them.
LADDERS = (
    "linear", "linear_register", "linear_int8", "linear_bf16", "softmax", "attention", "attention_bf16", "layer_norm",
    "activations", "embed",
)  # fmt: skip
# A preset is the names to look for, best first; an operation made of others that has none of them is composed.
PRESETS = {
    "reference": ("reference",),
    "naive": ("naive", "reference"),
    "fast": ("register", "vector"),
    "bf16": ("bf16", "paired", "register", "vector"),
    "int8": ("int8", "paired", "register", "vector"),
}
AUTO = "fast"  # what "auto" picks


def reference(function: Callable) -> Callable:
    """Define an operation by its NumPy formula."""
    why = "float32 rounding: sums of up to 3,072 products"
    register(Variant(function.__name__, "reference", function, 2e-6, why))
    return function


def composition(*parts: str) -> Callable:
    """Define an operation by the plain ones it is made of."""

    def define(function: Callable) -> Composition:
        made = Composition(function.__name__, parts, function)
        REGISTRY.compositions[made.operation] = made
        REGISTRY.variants.setdefault(made.operation, {})
        return made

    return define


def variant(operation: str, *, tolerance: float, why: str, prepare: Callable | None = None, noted=False) -> Callable:
    """Register `function` as a variant of `operation`, under its own name less the operation's: `linear_naive`."""

    def add(function: Callable) -> Callable:
        name = function.__name__.removeprefix(f"{operation}_")
        register(Variant(operation, name, function, tolerance, why, prepare, noted))
        return function

    return add


def register(made: Variant) -> None:
    REGISTRY.variants.setdefault(made.operation, {})[made.name] = made


class Table:
    """One ready function an operation: what the encoder calls. `print(table)` shows which variant each one is."""

    def __init__(self, chosen: Mapping[str, Variant | Composition], preset: str = ""):
        self.chosen = dict(chosen)
        self.preset = preset
        self.noted = all(isinstance(made, Variant) and made.noted for made in self.chosen.values())
        for operation, made in self.chosen.items():
            ready = made.function if isinstance(made, Variant) else partial(made.function, self)
            setattr(self, operation, ready)

    def prepare(self, operation: str, *arrays) -> tuple:
        """A layer's arrays as the checkpoint has them -> what the chosen variant takes after its inputs. Once, at load."""
        made = self.chosen[operation]
        if isinstance(made, Variant):
            return made.prepare(*arrays) if made.prepare else arrays
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
        """What `table` makes this one of."""
        return self.preset or {name: made.name for name, made in self.chosen.items() if isinstance(made, Variant)}

    def __repr__(self) -> str:
        width = max(map(len, self.chosen))
        first = [f"preset: {self.preset}"] if self.preset else []
        return "\n".join(first + [f"{operation:{width}}  {name}" for operation, name in self.names.items()])


def table(kernels: str | Mapping[str, str] = "auto") -> Table:
    """A preset's name, or {operation: variant} over what "auto" picks -> the table. KernelError for an unknown name."""
    if isinstance(kernels, Mapping):
        return mapped(kernels)
    if not isinstance(kernels, str) or kernels not in (*PRESETS, "auto"):
        names = ", ".join(repr(name) for name in ("auto", *PRESETS))
        raise KernelError(
            f"kernels is one of {names}, or a mapping of an operation to a variant; got {brief(kernels)}. "
            "`minibert kernels` lists the operations and their variants."
        )
    preset = AUTO if kernels == "auto" else kernels
    wanted = PRESETS[preset]
    return Table({operation: preferred(operation, wanted) for operation in operations(wanted)}, preset)


def preferred(operation: str, wanted: tuple[str, ...]) -> Variant | Composition:
    known = REGISTRY.variants[operation]
    for name in wanted:
        if name in known:
            return known[name]
    return REGISTRY.compositions[operation]


def mapped(kernels: Mapping[str, str]) -> Table:
    """An operation one of whose parts is named is composed anew, so that the named part is really used."""
    chosen = table("auto").chosen
    for operation, name in kernels.items():
        known = variants(operation)
        if not isinstance(name, str) or name not in known:
            choice = ", ".join(known) or "none: it is composed of " + " + ".join(chosen[operation].parts)
            raise KernelError(f"the variants of {operation!r} are: {choice}; got {brief(name)}.")
        chosen[operation] = known[name]
    for operation, made in REGISTRY.compositions.items():
        if operation not in kernels and any(part in kernels for part in made.parts):
            chosen[operation] = made
    return Table(chosen)


def operations(wanted: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The names of all operations, plain ones first; imports the compiled files where `wanted` names more than the
    reference."""
    load(compiled=any(name != "reference" for name in wanted))
    return tuple(REGISTRY.variants)


def variants(operation: str) -> dict[str, Variant]:
    """name -> variant of one operation, in rising order, the reference first."""
    load(compiled=True)
    if operation not in REGISTRY.variants:
        raise KernelError(f"the operations are: {', '.join(REGISTRY.variants)}; got {brief(operation)}.")
    return REGISTRY.variants[operation]


@cache
def load(compiled: bool) -> None:
    """Import the files that register: this module is the list, they are its lines."""
    importlib.import_module("minibert.kernels.reference")
    importlib.import_module("minibert.kernels.composed")
    for ladder in LADDERS if compiled else ():
        importlib.import_module(f"minibert.kernels.{ladder}")
