"""Results of `benchmarks.ops` -> ladder.png, ladder.svg, roofline.png, roofline.svg."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

COLUMNS = 3  # operations side by side in the ladder


def pyplot():
    """Matplotlib that draws into files; SystemExit with the command that installs it."""
    try:
        import matplotlib
    except ImportError:
        raise SystemExit('--plot wants Matplotlib, which is not installed: pip install -e ".[bench]"') from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def draw(folder: Path, results: Iterable) -> list[Path]:
    """-> the files written."""
    timed = [found for found in results if found.median is not None and found.intensity]
    ceilings: dict[str, float] = {}  # unit -> the best that was measured of it
    for found in results:
        if found.median is not None and not found.intensity:
            ceilings[found.unit] = max(found.rate, ceilings.get(found.unit, 0.0))
    if not timed:
        raise SystemExit("--plot found no time to draw: every variant failed its check or was skipped.")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, figure in (("ladder", ladder(timed)), ("roofline", roofline(timed, ceilings))):
        for suffix in ("png", "svg"):
            written.append(folder / f"{name}.{suffix}")
            figure.savefig(written[-1], dpi=130, bbox_inches="tight")
    return written


def ladder(results: list):
    """A chart an operation: for each size its variants' share of the ceiling, as bars in rising order."""
    names = list(dict.fromkeys(found.operation for found in results))
    lines = -(-len(names) // COLUMNS)
    figure, axes = pyplot().subplots(lines, COLUMNS, figsize=(5 * COLUMNS, 3.2 * lines), squeeze=False)
    for place in axes.flat[len(names) :]:
        place.set_visible(False)
    for place, name in zip(axes.flat, names):
        bars(place, [found for found in results if found.operation == name])
        place.set_title(name, fontsize=10)
    figure.tight_layout()
    return figure


def bars(place, results: list) -> None:
    variants = list(dict.fromkeys(found.variant for found in results))
    sizes = list(dict.fromkeys(found.size for found in results))
    width = 0.8 / len(variants)
    for number, variant in enumerate(variants):
        own = [found for found in results if found.variant == variant]
        across = [sizes.index(found.size) + (number - (len(variants) - 1) / 2) * width for found in own]
        place.bar(across, [100 * found.share for found in own], width, label=variant)
    place.set_xticks(range(len(sizes)), sizes, fontsize=7, rotation=12)
    place.set_ylabel(f"% of the {'memory rate' if results[0].unit == 'GB/s' else 'arithmetic ceiling'}", fontsize=8)
    place.legend(fontsize=7)


def roofline(results: list, ceilings: dict[str, float]):
    """Each variant at each size: operations a byte across, operations a second up, below what the machine allows."""
    figure, place = pyplot().subplots(figsize=(9, 6))
    across = [found.intensity for found in results]
    low, high = min(across) / 2, max(across) * 2
    for unit, style in (("GFLOP/s", "-"), ("GOP/s", "--")):
        if unit in ceilings:
            bends = roof(low, high, ceilings[unit], ceilings.get("GB/s"))
            place.plot(*zip(*bends), color="black", linestyle=style, linewidth=1.2)
            place.annotate(f"{ceilings[unit] / 1e9:.0f} {unit}", bends[-1], ha="right", va="bottom", fontsize=8)
    for number, name in enumerate(dict.fromkeys(found.operation for found in results)):
        own = [found for found in results if found.operation == name]
        rates = [found.operations_a_second / 1e9 for found in own]
        place.scatter([found.intensity for found in own], rates, s=22, marker="os^Dv"[number // 10 % 5], label=name)
        best = max(own, key=lambda found: found.operations_a_second)
        place.annotate(best.variant, (best.intensity, best.operations_a_second / 1e9), fontsize=6, va="bottom")
    place.set(xscale="log", yscale="log", xlabel="operations a byte of memory", ylabel="billions of operations a second")
    if "GB/s" in ceilings:
        place.set_title(f"memory: {ceilings['GB/s'] / 1e9:.0f} GB/s", fontsize=9)
    place.legend(fontsize=7, loc="lower right")
    figure.tight_layout()
    return figure


def roof(low: float, high: float, top: float, memory: float | None) -> list[tuple[float, float]]:
    """The bends of what is allowed from `low` to `high` operations a byte, in billions; flat where memory is unknown."""
    if memory is None:
        return [(low, top / 1e9), (high, top / 1e9)]
    corner = min(max(top / memory, low), high)
    return [(at, min(top, at * memory) / 1e9) for at in sorted({low, corner, high})]
