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
        raise SystemExit('--plot needs Matplotlib, which is not installed: pip install -e ".[bench]"') from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def draw(folder: Path, results: Iterable) -> list[Path]:
    """-> the files written."""
    timed = [result for result in results if result.median is not None and result.intensity]
    ceilings: dict[str, float] = {}  # unit -> the best that was measured of it
    for result in results:
        if result.median is not None and not result.intensity:
            ceilings[result.unit] = max(result.rate, ceilings.get(result.unit, 0.0))
    if not timed:
        raise SystemExit("--plot has nothing to draw: every variant failed its check or was skipped.")
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, figure in (("ladder", ladder(timed)), ("roofline", roofline(timed, ceilings))):
        for suffix in ("png", "svg"):
            files.append(folder / f"{name}.{suffix}")
            figure.savefig(files[-1], dpi=130, bbox_inches="tight")
    return files


def ladder(results: list):
    """A chart for each operation: for each size the share of the ceiling of its variants, slowest first."""
    names = list(dict.fromkeys(result.operation for result in results))
    rows = -(-len(names) // COLUMNS)
    figure, axes = pyplot().subplots(rows, COLUMNS, figsize=(5 * COLUMNS, 3.2 * rows), squeeze=False)
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    for axis, name in zip(axes.flat, names):
        bars(axis, [result for result in results if result.operation == name])
        axis.set_title(name, fontsize=10)
    figure.tight_layout()
    return figure


def bars(axis, results: list) -> None:
    variants = list(dict.fromkeys(result.variant for result in results))
    sizes = list(dict.fromkeys(result.size for result in results))
    width = 0.8 / len(variants)
    colors = pyplot().get_cmap("viridis", len(variants))  # one ramp: the ladder's order is visible, and no color repeats
    for index, variant in enumerate(variants):
        selected = [result for result in results if result.variant == variant]
        positions = [sizes.index(result.size) + (index - (len(variants) - 1) / 2) * width for result in selected]
        axis.bar(positions, [100 * result.share for result in selected], width, label=variant, color=colors(index))
    axis.set_xticks(range(len(sizes)), sizes, fontsize=7, rotation=12)
    axis.set_ylabel(f"% of the {'memory rate' if results[0].unit == 'GB/s' else 'arithmetic ceiling'}", fontsize=8)
    axis.legend(fontsize=7)


def roofline(results: list, ceilings: dict[str, float]):
    """Williams et al., 2009: operations a second of each variant and size over operations a byte, below the machine's roof."""
    figure, axis = pyplot().subplots(figsize=(9, 6))
    across = [result.intensity for result in results]
    low, high = min(across) / 2, max(across) * 2
    for unit, style in (("GFLOP/s", "-"), ("GOP/s", "--")):
        if unit in ceilings:
            bends = roof_line(low, high, ceilings[unit], ceilings.get("GB/s"))
            axis.plot(*zip(*bends), color="black", linestyle=style, linewidth=1.2)
            axis.annotate(f"{ceilings[unit] / 1e9:.0f} {unit}", bends[-1], ha="right", va="bottom", fontsize=8)
    for index, name in enumerate(dict.fromkeys(result.operation for result in results)):
        selected = [result for result in results if result.operation == name]
        rates = [result.operations_a_second / 1e9 for result in selected]
        axis.scatter([result.intensity for result in selected], rates, s=22, marker="os^Dv"[index // 10 % 5], label=name)
        best = max(selected, key=lambda result: result.operations_a_second)
        axis.annotate(best.variant, (best.intensity, best.operations_a_second / 1e9), fontsize=6, va="bottom")
    axis.set(xscale="log", yscale="log", xlabel="operations a byte of memory", ylabel="billions of operations a second")
    if "GB/s" in ceilings:
        axis.set_title(f"memory: {ceilings['GB/s'] / 1e9:.0f} GB/s", fontsize=9)
    axis.legend(fontsize=7, loc="lower right")
    figure.tight_layout()
    return figure


def roof_line(low: float, high: float, top: float, memory: float | None) -> list[tuple[float, float]]:
    """Corner points of the roof from `low` to `high` operations a byte, in billions; flat if the memory rate is unknown."""
    if memory is None:
        return [(low, top / 1e9), (high, top / 1e9)]
    corner = min(max(top / memory, low), high)
    return [(at, min(top, at * memory) / 1e9) for at in sorted({low, corner, high})]
