"""Ranges of rows in the Arrow files of the work folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl


@dataclass(frozen=True)
class Slice:
    """Rows ``start`` to ``start + length`` of an Arrow file."""

    rows: Path
    start: int
    length: int

    def scan(self) -> pl.LazyFrame:
        """The rows; only their bytes are read from the file."""
        return pl.scan_ipc(self.rows).slice(self.start, self.length)
