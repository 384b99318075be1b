"""The shop in figures: how much is sold when, to whom and of what.

Everything is counted partition by partition and added up; no process sees all transactions. A
column that the shop does not have gives an empty frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from modiste.data.dataset import History, Partition

# Price bins are powers of 10 ** (1 / this), so that every partition counts in the same bins,
# whatever the shop's unit.
_BINS_PER_DECADE = 16

# Share of the pieces at either end whose prices are not shown: a rebate that left a price of
# 1e-17 would stretch the axis over twenty decades.
_ODD_PRICES = 0.0005

_LORENZ_POINTS = 200


@dataclass(frozen=True)
class ShopStatistics:
    """What the purchases before a date look like.

    Attributes
    ----------
    as_of
        Everything counted was bought before this day.
    customers, buyers
        Number of customers, and of those who ever bought.
    articles, sold_articles
        Number of articles, and of those that ever sold.
    transactions
        Number of pieces sold.
    sales_by_day
        ``day``, ``sales``; every day from the first to the last one with a sale.
    sales_by_weekday
        ``weekday`` (1: Monday), ``sales``: mean pieces of such a day.
    purchases
        ``value`` (pieces), ``count`` (customers), those with none included.
    gaps
        ``value`` (days from one purchase day of a customer to the next), ``count``.
    baskets
        ``value`` (pieces that a customer bought on a day), ``count``.
    ages
        ``value`` (years), ``count`` (customers).
    lives
        ``value`` (days from an article's first sale to its last, both included), ``count``.
    prices
        ``low``, ``high`` and ``count`` (pieces) of logarithmic bins.
    sections
        ``section``, ``sales``, best first.
    lorenz
        ``articles``, ``sales``: the share of sales that the least selling share of the articles
        that sold has.
    gini
        Gini coefficient of the same; NaN when nothing was sold.
    """

    as_of: date
    customers: int
    buyers: int
    articles: int
    sold_articles: int
    transactions: int
    sales_by_day: pl.DataFrame
    sales_by_weekday: pl.DataFrame
    purchases: pl.DataFrame
    gaps: pl.DataFrame
    baskets: pl.DataFrame
    ages: pl.DataFrame
    lives: pl.DataFrame
    prices: pl.DataFrame
    sections: pl.DataFrame
    lorenz: pl.DataFrame
    gini: float


@dataclass(frozen=True)
class _Counts:
    """What one partition says: by the name of a statistic ``value`` and ``count``; its articles."""

    by_value: dict[str, pl.DataFrame]
    articles: pl.DataFrame


def shop_statistics(history: History) -> ShopStatistics:
    """Count what was sold before ``history.as_of``."""
    parts = history.map(_count_partition, label="statistics of the shop")
    counts = {name: _add_up([part.by_value[name] for part in parts]) for name in parts[0].by_value}
    articles = (
        pl.concat(part.articles for part in parts)
        .group_by("article")
        .agg(pl.col("sales").sum(), pl.col("first").min(), pl.col("last").max())
        .sort("article")
    )
    purchases, days = counts["purchases"], counts["days"]
    lorenz, gini = _concentration(articles["sales"])
    return ShopStatistics(
        as_of=history.as_of,
        customers=history.n_customers,
        buyers=int(purchases.filter(pl.col("value") > 0)["count"].sum()),
        articles=history.n_articles,
        sold_articles=articles.height,
        transactions=int(articles["sales"].sum()),
        sales_by_day=_every_day(days),
        sales_by_weekday=_by_weekday(_every_day(days)),
        purchases=purchases,
        gaps=counts["gaps"],
        baskets=counts["baskets"],
        ages=counts["ages"],
        lives=_add_up(
            [
                articles.select(
                    value=(pl.col("last") - pl.col("first")).dt.total_days() + 1,
                    count=pl.lit(1, pl.Int64),
                )
            ]
        ),
        prices=_price_bins(counts["prices"]),
        sections=_by_section(history.articles, articles),
        lorenz=lorenz,
        gini=gini,
    )


def _count_partition(partition: Partition) -> _Counts:
    batch = partition.read()
    rows = batch.transactions
    pieces = rows.group_by("customer").agg(pl.len().alias("pieces"))
    everybody = batch.customers.select("customer", "age").join(pieces, on="customer", how="left")
    baskets = rows.group_by("customer", "t_dat").agg(pl.len().alias("pieces"))
    gap = pl.col("t_dat").diff().over("customer").dt.total_days()
    price_bin = (pl.col("price").cast(pl.Float64).log(10) * _BINS_PER_DECADE).floor()
    return _Counts(
        {
            "purchases": _count_values(everybody["pieces"].fill_null(0)),
            "ages": _count_values(everybody["age"]),
            "days": _count_values(rows["t_dat"].cast(pl.Int32)),
            "baskets": _count_values(baskets["pieces"]),
            "gaps": _count_values(baskets.sort("customer", "t_dat").select(gap).to_series()),
            "prices": _count_values(rows.filter(pl.col("price") > 0).select(price_bin).to_series()),
        },
        rows.group_by("article").agg(
            pl.len().alias("sales"),
            pl.col("t_dat").min().alias("first"),
            pl.col("t_dat").max().alias("last"),
        ),
    )


def _count_values(values: pl.Series) -> pl.DataFrame:
    """Count each value; nulls do not count."""
    values = values.drop_nulls().cast(pl.Int64).alias("value")
    return values.to_frame().group_by("value").agg(pl.len().cast(pl.Int64).alias("count"))


def _add_up(counts: list[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(counts).group_by("value").agg(pl.col("count").sum()).sort("value")


def _every_day(days: pl.DataFrame) -> pl.DataFrame:
    """Sales of every day between the first and the last, days without a sale as 0."""
    sold = days.select(day=pl.col("value").cast(pl.Int32).cast(pl.Date), sales="count")
    if sold.is_empty():
        return sold
    return sold.upsample("day", every="1d").with_columns(pl.col("sales").fill_null(0))


def _by_weekday(by_day: pl.DataFrame) -> pl.DataFrame:
    return (
        by_day.group_by(weekday=pl.col("day").dt.weekday())
        .agg(pl.col("sales").mean())
        .sort("weekday")
    )


def _price_bins(counts: pl.DataFrame) -> pl.DataFrame:
    """Bins from a low price to a high one, empty ones included; single oddities left out."""
    up_to = pl.col("count").cum_sum() / pl.col("count").sum()
    from_ = 1 - up_to + pl.col("count") / pl.col("count").sum()
    counts = counts.filter((up_to >= _ODD_PRICES) & (from_ >= _ODD_PRICES))
    if counts.is_empty():
        return pl.DataFrame(schema={"low": pl.Float64, "high": pl.Float64, "count": pl.Int64})
    first, last = counts["value"][0], counts["value"][-1]
    bins = pl.DataFrame({"value": np.arange(first, last + 1, dtype=np.int64)})
    return bins.join(counts, on="value", how="left", maintain_order="left").select(
        low=10.0 ** (pl.col("value") / _BINS_PER_DECADE),
        high=10.0 ** ((pl.col("value") + 1) / _BINS_PER_DECADE),
        count=pl.col("count").fill_null(0),
    )


def _by_section(articles: pl.DataFrame, sold: pl.DataFrame) -> pl.DataFrame:
    return (
        sold.join(articles.select("article", section="section_name"), on="article")
        .drop_nulls("section")
        .group_by("section")
        .agg(pl.col("sales").sum().cast(pl.Int64))
        .sort("sales", "section", descending=[True, False])
    )


def _concentration(sales: pl.Series) -> tuple[pl.DataFrame, float]:
    """The Lorenz curve of the articles' sales, thinned for drawing, and its Gini coefficient."""
    ascending = np.sort(sales.to_numpy()).astype(np.float64)
    n = len(ascending)
    if n == 0:
        return pl.DataFrame(schema={"articles": pl.Float64, "sales": pl.Float64}), float("nan")
    cumulated = np.concatenate([[0.0], np.cumsum(ascending)]) / ascending.sum()
    points = np.unique(np.linspace(0, n, min(n, _LORENZ_POINTS) + 1).round().astype(np.int64))
    curve = pl.DataFrame({"articles": points / n, "sales": cumulated[points]})
    gini = 1 - (cumulated[1:] + cumulated[:-1]).sum() / n
    return curve, float(gini)
