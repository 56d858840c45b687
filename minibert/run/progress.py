"""How far a run is, on a terminal: one line of stderr that is written over.

Silent if stderr is no terminal. For example:

    40,960 rows  35%  3,120 rows/s  0:00:24 left
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

EVERY = 0.1  # seconds


class Progress:
    """`advance(rows)` after each batch. `share` gives how much of the input has been read, where that is known."""

    def __init__(self, shown: bool | None = None):
        """`shown` None: where stderr is a terminal."""
        self.shown = sys.stderr is not None and (sys.stderr.isatty() if shown is None else shown)
        self.rows = self.before = self.read = 0
        self.share: Callable[[], float | None] = lambda: None
        self.limit: int | None = None

    def __enter__(self) -> Progress:
        return self

    def begin(self, before: int, share: Callable[[], float | None], limit: int | None = None) -> None:
        """Of the rows, `before` were done by an earlier run, and do not count for the rate; `limit` are wanted."""
        self.rows = self.before = before
        self.share, self.limit = share, limit
        self.start = self.drawn = time.monotonic()

    def advance(self, rows: int, read: int) -> None:
        """So many rows more are done, of so many that have been read altogether."""
        self.rows += rows
        self.read = read
        now = time.monotonic()
        if self.shown and now - self.drawn >= EVERY:
            self.drawn = now
            line = described(self.rows, self.rows - self.before, now - self.start, self.done())
            print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)

    def done(self) -> float | None:
        """The share that is done: of the limit; of the input, as much of what has been read as there are rows done."""
        share = self.share()
        of_input = share * self.rows / self.read if share and self.read else 0.0
        return max(of_input, self.rows / self.limit if self.limit else 0.0) or None

    def __exit__(self, *fault) -> None:
        """Leave the terminal's line empty, whatever has happened."""
        if self.shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def described(rows: int, own: int, seconds: float, share: float | None) -> str:
    """Rows altogether, rows of this run and its seconds, the share of the input that is done -> the line."""
    rate = own / seconds if seconds else 0.0
    parts = [f"{rows:,} rows", f"{rate:,.0f} rows/s" if rate >= 10 else f"{rate:.1f} rows/s"]
    if share:
        left = (rows / share - rows) / rate if rate else 0
        parts.insert(1, f"{share:.0%}")
        parts.append(f"{clock(left)} left")
    return "  ".join(parts)


def clock(seconds: float) -> str:
    """3700 -> 1:01:40"""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
