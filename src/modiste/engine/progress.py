"""Progress of long work: a bar with remaining time on a terminal, timed lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

# Without a terminal a line at most this often (seconds): a log stays readable over hours.
_SECONDS_BETWEEN_LINES = 10.0


def say(line: str) -> None:
    """Print a line of the log of long work, on stderr."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201  (this is the log)


class Advance(Protocol):
    """Called for every finished item, or for several at once."""

    def __call__(self, items: int = 1, note: str = "") -> None:
        """Count so many more items as done; the note (a loss, a metric) is shown beside them."""


@contextmanager
def progress(label: str, total: int) -> Iterator[Advance]:
    """Show on stderr how many of ``total`` items are done; yields the function to call per item."""
    if sys.stderr.isatty():
        with _bar(label, total) as advance:
            yield advance
    else:
        yield _Lines(label, total)


@contextmanager
def _bar(label: str, total: int) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.speed:,.1f}/s", justify="right"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total)

        def advance(items: int = 1, note: str = "") -> None:
            if note:
                bar.update(task, description=f"{label}, {note}")
            bar.advance(task, items)

        yield advance


class _Lines:
    """Plain timed lines, for logs."""

    def __init__(self, label: str, total: int) -> None:
        self._label, self._total = label, total
        self._done = 0
        self._start = self._last = time.monotonic()

    def __call__(self, items: int = 1, note: str = "") -> None:
        self._done += items
        now = time.monotonic()
        if now - self._last >= _SECONDS_BETWEEN_LINES and self._done < self._total:
            self._last = now
            elapsed = now - self._start
            left = elapsed / self._done * (self._total - self._done)
            say(
                f"{self._label}: {self._done:,}/{self._total:,}, {self._done / elapsed:,.1f}/s, "
                f"{elapsed:.0f} s, {left:.0f} s left" + (f", {note}" if note else "")
            )
