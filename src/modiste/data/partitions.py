"""The prepared files: each partition gathered from the blocks, sorted and written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from modiste.data.schema import CODE, PREPARED_CUSTOMERS, PREPARED_TRANSACTIONS
from modiste.data.slices import Slice

# Small enough that a filter on the customer skips most of a partition.
_ROW_GROUP = 1 << 18


@dataclass(frozen=True)
class PartitionParts:
    """Where the rows of one partition lie.

    Attributes
    ----------
    index
        Number of the partition.
    first_customer
        Code of its first customer.
    customers, transactions
        The slices that hold its rows; those of customers in the order of the codes.
    """

    index: int
    first_customer: int
    customers: list[Slice]
    transactions: list[Slice]


def write_partition(parts: PartitionParts, folder: Path) -> None:
    """Write one partition of the customers and of the transactions."""
    name = f"part-{parts.index:05d}.parquet"
    customers = pl.concat([piece.scan().select(_attributes()) for piece in parts.customers])
    write_parquet(
        numbered(customers.collect(), "customer", parts.first_customer), folder / "customers" / name
    )
    pieces = [piece.scan() for piece in parts.transactions]
    rows = pl.concat([pl.LazyFrame(schema=PREPARED_TRANSACTIONS), *pieces]).collect()
    # By all columns: the order of rows does not depend on the blocks that they came in.
    rows = rows.sort("customer", "t_dat", "article", "price", "sales_channel_id")
    write_parquet(rows, folder / "transactions" / name)


def numbered(rows: pl.DataFrame, code: str, first: int) -> pl.DataFrame:
    """Put the codes in front of the rows."""
    codes = pl.int_range(first, first + rows.height, dtype=CODE, eager=True).alias(code)
    return rows.insert_column(0, codes)


def write_parquet(rows: pl.DataFrame, path: Path) -> None:
    """Write rows so that equal rows give equal bytes."""
    rows.rechunk().write_parquet(path, compression="zstd", row_group_size=_ROW_GROUP)


def _attributes() -> list[str]:
    return [name for name in PREPARED_CUSTOMERS if name != "customer"]
