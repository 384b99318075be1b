"""A block's rows, read and typed: what the tasks of all three tables begin with."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl

from modiste.data.findings import findings_frame
from modiste.data.mapping import TableFile
from modiste.data.parsing import TextBlock, parse_csv
from modiste.data.schema import COLUMNS
from modiste.data.splitting import Block
from modiste.data.values import Verdict, to_text, typed_column
from modiste.errors import DataError


def read_typed(block: Block, today: date) -> tuple[TextBlock, dict[str, pl.Series], Verdict]:
    """Read a block and give its columns their types.

    Returns
    -------
    The block as it was read, modiste's columns of its table (rejected rows included), and the
    verdict on its rows.
    """
    text = _read(block)
    file = block.file
    verdict = Verdict(text.line_of(np.arange(text.frame.height)))
    columns = {
        column.name: typed_column(
            column,
            _source(text.frame, file, column.name),
            file.formats,
            today,
            verdict,
            strict=column.required or file.table == "transactions",
        )
        for column in COLUMNS[file.table]
    }
    return text, columns, verdict


def _read(block: Block) -> TextBlock:
    file = block.file
    if not file.is_parquet:
        return parse_csv(block.read_bytes(), file.fields, file.separator, file.encoding)
    needed = sorted({name for names in file.sources.values() for name in names})
    rows = block.stop - block.start
    try:
        frame = pl.scan_parquet(file.path).select(needed).slice(block.start, rows).collect()
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{file.name} is damaged ({error}): fetch or write it again") from error
    texts = pl.col(pl.String)
    return TextBlock(
        frame.with_columns(pl.when(texts != "").then(texts)), None, rows, findings_frame()
    )


def _source(frame: pl.DataFrame, file: TableFile, name: str) -> pl.Series:
    """What a column is made of; several columns are joined to a text, empty ones left out."""
    sources = [frame[source] for source in file.sources[name]]
    for source in sources:
        if source.dtype.is_nested() or source.dtype == pl.Binary:
            raise DataError(
                f"{file.name} has the type {source.dtype} in the column {source.name!r}, which "
                f"cannot be read as {name!r}: write it as text or number, or map another column"
            )
    if not sources:
        return pl.repeat(None, frame.height, dtype=pl.String, eager=True)
    if len(sources) == 1:
        return sources[0]
    texts = pl.DataFrame([to_text(source).alias(str(i)) for i, source in enumerate(sources)])
    joined = texts.select(pl.concat_str(pl.all(), separator=" ", ignore_nulls=True)).to_series()
    return joined.set(joined == "", None)
