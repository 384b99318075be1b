"""What an ingest found wrong, row by row: the frames that ``rejects/`` and ``repairs/`` hold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

# ``line`` is counted from 0 at the start of a block until the account puts the blocks together.
FINDINGS: dict[str, pl.DataType] = {
    "line": pl.Int64(),
    "column": pl.String(),
    "value": pl.String(),
    "reason": pl.String(),
}

# A longer value is cut: a whole broken line may be its own value.
_MAX_VALUE = 200


def findings_frame(
    line: npt.NDArray[np.int64] | pl.Series | Sequence[int] = (),
    column: str = "",
    value: Sequence[str] | pl.Series = (),
    reason: str | Sequence[str] = (),
) -> pl.DataFrame:
    """One row for each finding; ``column`` is empty where the whole row is at fault."""
    lines = pl.Series("line", line, dtype=pl.Int64)
    values = pl.Series("value", value, dtype=pl.String).str.slice(0, _MAX_VALUE)
    reasons = [reason] * len(lines) if isinstance(reason, str) else list(reason)
    return pl.DataFrame(
        {
            "line": lines,
            "column": pl.Series([column] * len(lines), dtype=pl.String),
            "value": values,
            "reason": pl.Series(reasons, dtype=pl.String),
        },
        schema=FINDINGS,
    )


def count_findings(findings: pl.DataFrame) -> dict[str, int]:
    """Number of findings by 'column: reason' (the reason alone for whole rows)."""
    label = (
        pl.when(pl.col("column") == "")
        .then("reason")
        .otherwise(pl.concat_str("column", "reason", separator=": "))
    )
    counted = findings.group_by(label.alias("what")).len().sort("what")
    return dict(counted.iter_rows())
