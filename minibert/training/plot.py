"""A picture of the losses: loss.png, drawn with matplotlib, which the extra `plot` brings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import atomic_write


def check_matplotlib() -> None:
    """InputError if matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401 - only whether it is there
    except ImportError:
        raise InputError("--plot draws with matplotlib, which is not installed: pip install 'minibert-cpu[plot]'") from None


def plot_losses(log_history: list[dict[str, Any]], path: Path) -> None:
    """Losses of steps as a line, those of evaluations as points -> a picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot(xlabel="step", ylabel="loss")
    for name, label, style in (("loss", "training", "-"), ("eval_loss", "evaluation", "o-")):
        points = [(entry["step"], entry[name]) for entry in log_history if name in entry]
        if points:
            axes.plot(*zip(*points), style, label=label)
    axes.legend()
    canvas = FigureCanvasAgg(figure)
    atomic_write(path, lambda tmp_path: canvas.print_figure(tmp_path, format="png", metadata={"Software": None}))
