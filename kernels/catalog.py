"""The table of operations that a model is loaded with, and presets: `make_ops("fast")`, `make_ops({"linear": "naive"})`.

Compiled variants are imported only when one is chosen, so the reference runs without Numba. Every file of `ops/` is imported
and registers its variants, so a new file needs no other change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

from minibert.errors import KernelError, short_repr

from . import composed, reference, sparse_attention
from .registry import REGISTRY, TRAINING, Composition, Variant, registry_of

NEVER_CAPTURED = ("window_attention", "global_attention")  # a model that calls them is never captured, another never calls them


class Ops:
    """One function for each operation: what the encoder calls. `print(ops)` shows the variant of each.

    Each operation is listed with the formula that it must agree with; an instance has the chosen variants in their place.
    `parameters` are what `pack_weights` returned: for the reference, weight and bias as they are."""

    linear = staticmethod(reference.linear)
    take = staticmethod(reference.take)
    softmax = staticmethod(reference.softmax)
    layer_norm = staticmethod(reference.layer_norm)
    gelu = staticmethod(reference.gelu)
    gelu_tanh = staticmethod(reference.gelu_tanh)
    relu = staticmethod(reference.relu)
    silu = staticmethod(reference.silu)
    tanh = staticmethod(reference.tanh)
    embed = composed.embed
    query_key_value = composed.query_key_value
    attention = composed.attention
    linear_gelu = composed.linear_gelu
    linear_gelu_tanh = composed.linear_gelu_tanh
    linear_relu = composed.linear_relu
    linear_silu = composed.linear_silu
    linear_add = composed.linear_add
    window_attention = sparse_attention.window_attention
    global_attention = sparse_attention.global_attention

    def __init__(self, chosen: Mapping[str, Variant | Composition], preset: str = ""):
        self.chosen = dict(chosen)
        self.preset = preset
        self.compiled = False  # whether object files of all its kernels are known to exist: `models/precompile.py`
        self.capturable = all(map(self.is_capturable, self.chosen))
        for operation, choice in self.chosen.items():
            function = choice.function if isinstance(choice, Variant) else partial(choice.function, self)
            setattr(self, operation, function)

    @property
    def packs_by_kernels(self) -> bool:
        """Whether kernels run when a layer's arrays are packed."""
        return any(isinstance(choice, Variant) and choice.packs_by_kernels for choice in self.chosen.values())

    def is_capturable(self, operation: str) -> bool:
        """Whether an operation only calls kernels. One that is not disables capture for the whole model."""
        if operation in NEVER_CAPTURED:
            return True
        choice = self.chosen[operation]
        parts = choice.parts if isinstance(choice, Composition) else ()
        return choice.capturable and all(map(self.is_capturable, parts))

    def pack_weights(self, operation: str, *arrays: Any, reader: str = "") -> tuple:
        """A layer's arrays as in the checkpoint -> what the chosen variant takes after its inputs. Once, at load.

        With a `reader`, an operation that alone reads the result, two variants of one name may agree on its form."""
        choice = self.chosen[operation]
        if reader and isinstance(choice, Variant) and choice.pack_for_product and choice.name == self.names[reader]:
            return choice.pack_for_product(*arrays)
        if isinstance(choice, Variant):
            return choice.pack_weights(*arrays) if choice.pack_weights else arrays
        if choice.pack_weights:
            return choice.pack_weights(self, *arrays)
        return self.pack_weights(choice.parts[0], *arrays)

    def attention_takes_rounded(self, head_size: int) -> bool:
        """Whether `query_key_value` may round to bf16 what `attention` would round: the same bits, and half the bytes to move."""
        attention = self.chosen["attention"]
        return isinstance(attention, Variant) and attention.takes_rounded(head_size)

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


class TrainingOps(Ops):
    """And what only training needs: gradients, dropout and the optimizer's step."""

    linear_grad = staticmethod(reference.linear_grad)
    take_grad = staticmethod(reference.take_grad)
    softmax_grad = staticmethod(reference.softmax_grad)
    layer_norm_grad = staticmethod(reference.layer_norm_grad)
    dropout = staticmethod(reference.dropout)
    gelu_grad = staticmethod(reference.gelu_grad)
    gelu_tanh_grad = staticmethod(reference.gelu_tanh_grad)
    relu_grad = staticmethod(reference.relu_grad)
    silu_grad = staticmethod(reference.silu_grad)
    tanh_grad = staticmethod(reference.tanh_grad)
    squared_sums = staticmethod(reference.squared_sums)
    adamw_step = staticmethod(reference.adamw_step)
    adamw_replay = staticmethod(reference.adamw_replay)
    embed_grad = composed.embed_grad
    query_key_value_grad = composed.query_key_value_grad
    attention_dropout = composed.attention_dropout
    attention_grad = composed.attention_grad


# A preset lists variant names, best first: of any operation, or as operation_variant of that one. An operation that has none
# of them is composed.
PRESETS = {
    "reference": ("reference",),
    "naive": ("naive", "reference"),
    "fast": ("amx", "register", "vector"),
    "bf16": ("amx_bf16", "bf16", "register", "vector"),
    "int8": ("amx_int8", "int8", "attention_amx_bf16", "attention_bf16", "amx", "register", "vector"),
}
AUTO = "fast"  # what "auto" picks
BF16_PRODUCTS = tuple(
    f"{operation}_{name}"
    for name in ("amx_bf16", "bf16")
    for operation in ("linear", "query_key_value", "linear_grad", "query_key_value_grad")
)
# With bf16, the weights, their gradients and all else stay float32. None takes `amx`: splitting takes as long as its products save,
# or longer (kernels/README.md).
TRAINING_PRESETS = {
    "reference": PRESETS["reference"],
    "naive": PRESETS["naive"],
    "fast": ("register", "vector"),
    "bf16": (*BF16_PRODUCTS, "register", "vector"),
}
OLD_NAMES = {("attention", "turned"): "transposed", ("attention", "paired"): "bf16"}  # still accepted


def make_ops(kernels: str | Mapping[str, str] = "auto") -> Ops:
    """A preset's name, or {operation: variant} on top of "auto" -> the table. KernelError for an unknown name."""
    if isinstance(kernels, Mapping):
        return ops_from_mapping(kernels)
    if not isinstance(kernels, str) or kernels not in (*PRESETS, "auto"):
        known = ", ".join(repr(name) for name in ("auto", *PRESETS))
        raise KernelError(
            f"kernels is one of {known}, or a mapping of an operation to a variant; got {short_repr(kernels)}. "
            "`minibert kernels` lists the operations and their variants."
        )
    preset = AUTO if kernels == "auto" else kernels
    names = PRESETS[preset]
    warn_of_missing_tiles(names)
    return Ops({operation: resolve_variant(operation, names) for operation in operations(names)}, preset)


def make_training_ops(kernels: str = "reference") -> TrainingOps:
    """The operations of a forward pass, of its backward pass, of dropout and of the optimizer's step, by a preset's name:
    "reference" for float32 and float64, the others for float32. KernelError for an unknown name."""
    if kernels not in TRAINING_PRESETS:
        known = ", ".join(map(repr, TRAINING_PRESETS))
        raise KernelError(f"kernels for training are one of {known}; got {short_repr(kernels)}.")
    names = TRAINING_PRESETS[kernels]
    warn_of_missing_tiles(names)
    chosen = {operation: resolve_variant(operation, names) for operation in (*operations(names), *TRAINING.variants)}
    return TrainingOps({operation: for_new_weights(choice) for operation, choice in chosen.items()}, kernels)


def warn_of_missing_tiles(names: tuple[str, ...]) -> None:
    """Once a process, if these variants of a preset fall back because the system refuses what the processor has."""
    if any("amx" in name for name in names):
        from .compiler.cpu import warn_if_refused

        warn_if_refused()


def for_new_weights(choice: Variant | Composition) -> Variant | Composition:
    """The same variant with the faster way to pack weights, if it has one."""
    if isinstance(choice, Composition) or choice.repack_weights is None:
        return choice
    return replace(choice, pack_weights=choice.repack_weights, packs_by_kernels=True)


def resolve_variant(operation: str, names: tuple[str, ...]) -> Variant | Composition:
    """The first of these variants that there is; else the composition."""
    registry = registry_of(operation)
    for name in names:
        if variant := registry.variants[operation].get(name.removeprefix(f"{operation}_")):
            return variant
    return registry.compositions[operation]


def ops_from_mapping(kernels: Mapping[str, str]) -> Ops:
    """The variants that are named, and "auto" for the rest. To name a variant that "auto" has anyway changes nothing."""
    auto = make_ops("auto").chosen
    named: dict[str, Variant] = {}
    for operation, name in kernels.items():
        known = variants(operation)
        if isinstance(name, str):
            name = OLD_NAMES.get((operation, name), name)
        if not isinstance(name, str) or name not in known:
            choice = ", ".join(known) or "none: it is composed of " + " + ".join(REGISTRY.compositions[operation].parts)
            raise KernelError(f"the variants of {operation!r} are: {choice}; got {short_repr(name)}.{why_no_tiles(name)}")
        named[operation] = known[name]
    changed = {operation: variant for operation, variant in named.items() if variant is not auto[operation]}
    recomposed = {
        operation: fused_variant(operation, parts) or composition
        for operation, composition in REGISTRY.compositions.items()
        if (parts := [changed[part] for part in composition.parts if part in changed])
    }
    return Ops(auto | recomposed | named)


def why_no_tiles(name: Any) -> str:
    """What else to say of a variant that is not there, if it may be one on tiles."""
    if not isinstance(name, str) or not name.startswith("amx"):
        return ""
    from .compiler.cpu import describe_amx

    return f" Variants on AMX are registered where it is used; here it is {describe_amx()}."


def fused_variant(operation: str, parts: list[Variant]) -> Variant | None:
    """The variant that fuses these parts into one kernel: it packs the weights as the part does. None if there is none; then
    the operation must be composed, or the named part would not be used."""
    pack_weights = parts[0].pack_weights
    if len(parts) > 1 or pack_weights is None:
        return None
    return next((known for known in REGISTRY.variants[operation].values() if known.pack_weights is pack_weights), None)


def operations(names: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The names of all operations, plain ones first; imports the compiled files if `names` has more than the
    reference."""
    load(compiled=any(name != "reference" for name in names))
    return tuple(REGISTRY.variants)


def variants(operation: str) -> dict[str, Variant]:
    """name -> variant of one operation, slowest first, the reference before all."""
    load(compiled=True)
    if not isinstance(operation, str) or operation not in REGISTRY.variants:
        raise KernelError(f"the operations are: {', '.join(REGISTRY.variants)}; got {short_repr(operation)}.")
    return REGISTRY.variants[operation]


@cache
def load(compiled: bool) -> None:
    """Import the files of `ops/`, which register the compiled variants: the ladders in their order, then any other file. Those
    whose names end with _amx are for machines with tiles."""
    if compiled:
        from .compiler.cpu import HAS_AMX  # without llvmlite, its error is the clear one
        from .ops import LADDERS

        files = sorted(file.stem for file in Path(__file__).parent.joinpath("ops").glob("[!_]*.py"))
        for name in dict.fromkeys([*LADDERS, *files]):
            if HAS_AMX or not name.endswith("_amx"):
                import_module(f"{__package__}.ops.{name}")
