"""Groups of customers by what was known of them as of a date, to see for whom a model is good."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from modiste.data.dataset import History, Partition

# Every kind of segment and its segments, in the order in which they are shown. No name stands
# twice: one Enum holds them all.
SEGMENTS: dict[str, tuple[str, ...]] = {
    "history": ("cold", "with history"),
    "purchases": ("none", "1-4", "5-19", "20-49", "50+"),
    "days since last purchase": (
        "never bought",
        "1-7 d",
        "8-30 d",
        "31-90 d",
        "91-365 d",
        ">365 d",
    ),
    "age": ("<25", "25-34", "35-44", "45-54", "55+", "unknown"),
}

# Last values of the buckets between the first and the last segment of a kind.
_PURCHASES = (0, 4, 19, 49)
_DAYS = (7, 30, 90, 365)
_AGES = (24, 34, 44, 54)

KIND = pl.Enum(list(SEGMENTS))
SEGMENT = pl.Enum([segment for segments in SEGMENTS.values() for segment in segments])


def segment_customers(history: History, customers: pl.Series) -> pl.DataFrame:
    """Assign customers to segments by what was known strictly before ``history.as_of``.

    Parameters
    ----------
    history
        What was known; purchases are counted in pieces.
    customers
        Codes of the customers to assign.

    Returns
    -------
    Columns ``customer`` (int32), ``kind`` and ``segment`` (Enums in the order of ``SEGMENTS``): one
    row for each customer and kind, sorted by both.
    """
    assigned = history.map(_segment_partition, customers.unique(), label="segments of customers")
    return pl.concat(assigned).sort("customer", "kind")


def _segment_partition(partition: Partition, customers: pl.Series) -> pl.DataFrame:
    batch = partition.read().only(customers)
    bought = batch.transactions.group_by("customer").agg(
        pl.len().alias("purchases"), pl.col("t_dat").max().alias("last")
    )
    known = batch.customers.select("customer", "age").join(bought, on="customer", how="left")
    purchases = pl.col("purchases").fill_null(0)
    days = (pl.lit(batch.as_of) - pl.col("last")).dt.total_days()
    cold, warm = SEGMENTS["history"]
    never, *since = SEGMENTS["days since last purchase"]
    *ages, unknown = SEGMENTS["age"]
    segments = {
        "history": pl.when(purchases == 0).then(pl.lit(cold)).otherwise(pl.lit(warm)),
        "purchases": _cut(purchases, _PURCHASES, SEGMENTS["purchases"]),
        "days since last purchase": _cut(days, _DAYS, since).fill_null(never),
        "age": _cut(pl.col("age"), _AGES, ages).fill_null(unknown),
    }
    return (
        known.select("customer", **segments)
        .unpivot(index="customer", variable_name="kind", value_name="segment")
        .with_columns(pl.col("kind").cast(KIND), pl.col("segment").cast(SEGMENT))
    )


def _cut(value: pl.Expr, last: tuple[int, ...], names: Sequence[str]) -> pl.Expr:
    """Name the bucket of a value; ``last`` are the buckets' last values; null stays null."""
    *bounded, open_end = names
    buckets = [
        pl.when(value <= bound).then(pl.lit(name))
        for bound, name in zip(last, bounded, strict=True)
    ]
    return pl.coalesce(*buckets, pl.when(value.is_not_null()).then(pl.lit(open_end)))
