"""The tables of articles and of customers: read by blocks, made distinct, numbered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from modiste.data.account import BlockAccount
from modiste.data.findings import findings_frame
from modiste.data.reading import read_typed
from modiste.data.schema import COLUMNS, TableName
from modiste.data.slices import Slice
from modiste.data.splitting import Block

# Names of the id column and of the code, by table.
IDS: dict[TableName, str] = {"articles": "article_id", "customers": "customer_id"}
CODES: dict[TableName, str] = {"articles": "article", "customers": "customer"}


@dataclass(frozen=True)
class EntityBlock:
    """What one block gave.

    Attributes
    ----------
    rows
        Arrow file with the columns of the table and the ``line`` of each row.
    height
        Number of rows in it.
    account
        What became of the block's rows.
    """

    rows: Path
    height: int
    account: BlockAccount


def read_entity_block(item: tuple[Block, Path], today: date) -> EntityBlock:
    """Read a block of articles or customers.

    Parameters
    ----------
    item
        The block, and the path, without suffix, of the files to write.
    """
    block, stem = item
    text, columns, verdict = read_typed(block, today)
    rows = pl.DataFrame(
        [*columns.values(), pl.Series("line", verdict.line, dtype=pl.Int64)]
    ).filter(~pl.Series(verdict.rejected))
    path = stem.with_suffix(".arrow")
    rows.write_ipc(path)
    account = BlockAccount.of(
        text.lines, text.rows_in, verdict.rejects(text.rejects), verdict.repairs(), stem
    )
    return EntityBlock(path, rows.height, account)


def make_distinct(
    blocks: list[EntityBlock], table: TableName
) -> tuple[list[EntityBlock], pl.Series]:
    """Reject every row whose id an earlier row has.

    Returns
    -------
    The blocks without such rows, and all ids in order: the position is the code.
    """
    name = IDS[table]
    empty = pl.Series("id", [], dtype=pl.String)
    of_blocks = [pl.read_ipc(block.rows, columns=[name])[name].alias("id") for block in blocks]
    ids = pl.concat([empty, *of_blocks])
    first = ids.is_first_distinct()
    if first.all():
        return blocks, ids
    distinct: list[EntityBlock] = []
    start = 0
    for block in blocks:
        kept = first[start : start + block.height]
        start += block.height
        distinct.append(block if kept.all() else _without(block, kept, table))
    return distinct, ids.filter(first)


def _without(block: EntityBlock, kept: pl.Series, table: TableName) -> EntityBlock:
    """The block without the rows that are duplicates."""
    name = IDS[table]
    rows = pl.read_ipc(block.rows)
    extra = rows.filter(~kept)
    found = findings_frame(extra["line"], name, extra[name], f"duplicate {CODES[table]}")
    rows = rows.filter(kept)
    # A new file: Polars may still have the old one mapped.
    path = block.rows.with_suffix(".distinct")
    rows.write_ipc(path)
    account = block.account
    rejects = pl.concat([account.findings("rejects"), found]).sort("line")
    repairs = account.findings("repairs").filter(~pl.col("line").is_in(extra["line"].implode()))
    account = BlockAccount.of(account.lines, account.rows_in, rejects, repairs, path)
    return EntityBlock(path, rows.height, account)


def added_rows(ids: pl.Series, table: TableName, path: Path) -> Slice:
    """Write rows for ids that no table has: every attribute is null."""
    nothing = [
        pl.lit(None, dtype=column.dtype).alias(column.name)
        for column in COLUMNS[table]
        if column.name != IDS[table]
    ]
    rows = pl.DataFrame({IDS[table]: ids}).with_columns(nothing)
    rows.select(column.name for column in COLUMNS[table]).write_ipc(path)
    return Slice(path, 0, rows.height)
