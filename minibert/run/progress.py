"""The progress of a run: one line on stderr that is overwritten as the run goes on. Silent if stderr is not a terminal.

40,960 rows  35%  3,120 rows/s  0:00:24 left
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

REDRAW_SECONDS = 0.1


class Progress:
    """Call `begin` once, then `advance` after each batch."""

    def __init__(self, shown: bool | None = None) -> None:
        """`shown`: None if that depends on whether stderr is a terminal."""
        self.shown = sys.stderr is not None and (sys.stderr.isatty() if shown is None else shown)
        self.rows = self.rows_before = self.rows_read = 0
        self.fraction_read: Callable[[], float | None] = lambda: None
        self.limit: int | None = None

    def __enter__(self) -> Progress:
        return self

    def begin(self, rows_before: int, fraction_read: Callable[[], float | None], limit: int | None = None) -> None:
        """`rows_before`: done by an interrupted run, not counted in the rate. `limit`: rows after which the run ends."""
        self.rows = self.rows_before = rows_before
        self.fraction_read, self.limit = fraction_read, limit
        self.start = self.last_drawn = time.monotonic()

    def advance(self, rows: int, rows_read: int) -> None:
        """Count `rows` more as done; `rows_read` have been read since the beginning of the input."""
        self.rows += rows
        self.rows_read = rows_read
        now = time.monotonic()
        if self.shown and now - self.last_drawn >= REDRAW_SECONDS:
            self.last_drawn = now
            line = progress_line(self.rows, self.rows - self.rows_before, now - self.start, self.fraction_done())
            print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)

    def fraction_done(self) -> float | None:
        """Of the limit, or of the input: the fraction that was read, times the part of the rows read that are done."""
        fraction_read = self.fraction_read()
        of_input = fraction_read * self.rows / self.rows_read if fraction_read and self.rows_read else 0.0
        return max(of_input, self.rows / self.limit if self.limit else 0.0) or None

    def __exit__(self, *exception: Any) -> None:
        """Clear the line."""
        if self.shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def progress_line(rows: int, new_rows: int, seconds: float, fraction_done: float | None) -> str:
    """All rows done, those done in the last `seconds`, and the fraction of the input done -> the line."""
    rate = new_rows / seconds if seconds else 0.0
    parts = [f"{rows:,} rows", f"{rate:,.0f} rows/s" if rate >= 10 else f"{rate:.1f} rows/s"]
    if fraction_done:
        seconds_left = (rows / fraction_done - rows) / rate if rate else 0
        parts.insert(1, f"{fraction_done:.0%}")
        parts.append(f"{format_duration(seconds_left)} left")
    return "  ".join(parts)


def format_duration(seconds: float) -> str:
    """3700 -> 1:01:40"""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
