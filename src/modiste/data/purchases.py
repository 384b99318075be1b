"""The table of transactions: read by blocks, encoded, grouped by the customers' partitions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from modiste.data.account import BlockAccount
from modiste.data.encoding import AMBIGUOUS, UNKNOWN, Codes, Vocabulary
from modiste.data.entities import CODES, IDS
from modiste.data.reading import read_typed
from modiste.data.schema import CODE, PREPARED_TRANSACTIONS, TableName
from modiste.data.slices import Slice
from modiste.data.splitting import Block
from modiste.data.values import Mask, Verdict

_KINDS: tuple[TableName, ...] = ("customers", "articles")


@dataclass(frozen=True)
class Encoding:
    """How ids become codes.

    Attributes
    ----------
    vocabularies
        Arrow files with the ids of a table.
    add
        Tables to which unknown ids are added.
    partition_customers
        Number of customers in a partition.
    """

    vocabularies: dict[TableName, Path]
    add: frozenset[TableName]
    partition_customers: int


@dataclass(frozen=True)
class PurchaseBlock:
    """What one block gave.

    Attributes
    ----------
    rows
        Arrow file with the columns of ``schema.PREPARED_TRANSACTIONS``.
    slices
        Partition -> its rows in that file.
    new
        Table -> Arrow file of ids that the table has not. As long as there is any, the rows are
        not grouped, and the code ``-1 - i`` stands for the id in row i of that file.
    days
        First and last day; None without rows.
    account
        What became of the block's rows.
    """

    rows: Path
    slices: dict[int, Slice]
    new: dict[TableName, Path]
    days: tuple[date, date] | None
    account: BlockAccount


def read_purchase_block(item: tuple[Block, Path], encoding: Encoding, today: date) -> PurchaseBlock:
    """Read and encode a block of transactions.

    Parameters
    ----------
    item
        The block, and the path, without suffix, of the files to write.
    """
    block, stem = item
    text, columns, verdict = read_typed(block, today)
    codes: dict[TableName, Codes] = {}
    repaired: dict[TableName, Mask] = {}
    for table in _KINDS:
        codes[table], repaired[table] = _encode(columns[IDS[table]], table, encoding, verdict)
    kept = ~verdict.rejected
    new: dict[TableName, Path] = {}
    for table in _KINDS:
        unknown = kept & (codes[table] == UNKNOWN)
        if unknown.any():
            new[table] = stem.with_suffix(f".new-{table}")
            of_new = pl.Series(unknown)
            ids, days = columns[IDS[table]].filter(of_new), columns["t_dat"].filter(of_new)
            codes[table][unknown] = _number_new(ids, days, new[table])
    rows = pl.DataFrame(
        {
            **{CODES[table]: codes[table] for table in _KINDS},
            **{name: columns[name] for name in PREPARED_TRANSACTIONS if name in columns},
        },
        schema=PREPARED_TRANSACTIONS,
    )
    if not kept.all():
        rows = rows.filter(pl.Series(kept))
    path = stem.with_suffix(".arrow")
    slices: dict[int, Slice] = {}
    if new:
        rows.write_ipc(path)
    else:
        slices = _write_grouped(rows, path, encoding.partition_customers)
    zeros = {
        f"{IDS[table]}: lost leading zeros": int((repaired[table] & kept).sum())
        for table in _KINDS
        if (repaired[table] & kept).any()
    }
    account = BlockAccount.of(
        text.lines, text.rows_in, verdict.rejects(text.rejects), verdict.repairs(), stem, zeros
    )
    days_of_rows = rows["t_dat"]
    first, last = days_of_rows.min(), days_of_rows.max()
    span = (first, last) if isinstance(first, date) and isinstance(last, date) else None
    return PurchaseBlock(path, slices, new, span, account)


def collect_new(blocks: Iterable[PurchaseBlock], table: TableName) -> pl.Series:
    """The ids that no table has, by (first day, id): later rows never change an earlier code."""
    found = pl.DataFrame(schema={"id": pl.String, "day": pl.Date})
    for block in blocks:
        if table in block.new:
            more = pl.read_ipc(block.new[table])
            found = pl.concat([found, more]).group_by("id").agg(pl.col("day").min())
    return found.sort("day", "id")["id"]


def settle_purchase_block(block: PurchaseBlock, encoding: Encoding) -> PurchaseBlock:
    """Give the rows of a block their final codes, now that the new ids have theirs.

    Parameters
    ----------
    encoding
        With vocabularies that have the new ids too.
    """
    rows = pl.read_ipc(block.rows)
    for table, path in block.new.items():
        ids = pl.read_ipc(path)["id"]
        final = Vocabulary.read(encoding.vocabularies[table]).codes(ids)
        code = rows[CODES[table]].to_numpy().copy()
        unsettled = code < 0
        code[unsettled] = final[-1 - code[unsettled]]
        rows = rows.with_columns(pl.Series(CODES[table], code, dtype=CODE))
    # A new file: Polars may still have the old one mapped.
    path = block.rows.with_suffix(".settled")
    slices = _write_grouped(rows, path, encoding.partition_customers)
    return replace(block, rows=path, slices=slices, new={})


def _encode(
    ids: pl.Series, table: TableName, encoding: Encoding, verdict: Verdict
) -> tuple[Codes, Mask]:
    """Codes of the ids, and which ids were found only with zeros put in front of them."""
    vocabulary = Vocabulary.read(encoding.vocabularies[table])
    codes = vocabulary.codes(ids)
    repaired = np.zeros(codes.size, np.bool_)
    unknown = (codes == UNKNOWN) & ~verdict.rejected
    if not unknown.any():
        return codes, repaired
    lost = ids.filter(pl.Series(unknown))
    distinct = lost.unique()
    codes[unknown] = vocabulary.without_zeros(distinct)[Vocabulary(distinct).codes(lost)]
    repaired = unknown & (codes >= 0)
    name = CODES[table]
    verdict.reject(
        unknown & (codes == AMBIGUOUS), IDS[table], f"ambiguous {name} without leading zeros", ids
    )
    if table not in encoding.add:
        verdict.reject(unknown & (codes == UNKNOWN), IDS[table], f"unknown {name}", ids)
    return codes, repaired


def _number_new(ids: pl.Series, days: pl.Series, path: Path) -> Codes:
    """Write the distinct ids with their first day; -1 - i for the id in row i."""
    distinct = (
        pl.DataFrame({"id": ids, "day": days}).group_by("id").agg(pl.col("day").min()).sort("id")
    )
    distinct.write_ipc(path)
    return -1 - Vocabulary(distinct["id"]).codes(ids)


def _write_grouped(rows: pl.DataFrame, path: Path, partition_customers: int) -> dict[int, Slice]:
    """Write the rows, those of a partition together; say where each partition's are."""
    partition = rows["customer"].to_numpy() // partition_customers
    small = partition.astype(np.uint16) if partition.max(initial=0) < 1 << 16 else partition
    # Radix sort, for 16 bits.
    order = np.argsort(small, kind="stable")
    rows[order].write_ipc(path)
    found, start, length = np.unique(partition[order], return_index=True, return_counts=True)
    return {
        int(index): Slice(path, int(first), int(count))
        for index, first, count in zip(found, start, length, strict=True)
    }
