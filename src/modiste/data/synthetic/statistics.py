"""Statistics that tell how a shop's customers buy: to compare shops, real and synthetic."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping

import numpy as np
import polars as pl

WEEK = 7
Statistics = dict[str, float]


def shop_statistics(
    transactions: pl.LazyFrame | pl.DataFrame,
    articles: pl.LazyFrame | pl.DataFrame,
    customers: pl.LazyFrame | pl.DataFrame,
    next_week: pl.LazyFrame | pl.DataFrame | None = None,
) -> Statistics:
    """Describe a shop by how its customers buy.

    Weeks count back from the last day. A basket is what a customer buys on one day. Quantities
    (rows that repeat another one exactly) count as rows, except where "distinct" is said.

    Parameters
    ----------
    transactions
        ``t_dat`` (Date), ``customer_id``, ``article_id``, ``price``, ``sales_channel_id``; ids of
        any one type each. 32 million rows with integer ids need about 4 GB.
    articles
        ``article_id``, ``product_code``, ``product_type_name``.
    customers
        ``customer_id``, ``age``.
    next_week
        Transactions of the week after, if known. Otherwise the last week takes its part in
        ``next_week_on_sale_before``.

    Returns
    -------
    dict of str to float
        Shares are between 0 and 1; times in days; see the keys' meanings in ``MEANINGS``.
    """
    rows = _with_codes(transactions.lazy(), articles.lazy())
    last_day: dt.date = rows["t_dat"].max()  # type: ignore[assignment]
    rows = rows.with_columns(
        week=((pl.lit(last_day) - pl.col("t_dat")).dt.total_days() // WEEK).cast(pl.Int32)
    )
    result: Statistics = {"rows": rows.height}
    result |= _customer_statistics(rows)
    result |= _age_quartiles(customers.lazy())
    result |= _article_statistics(rows)
    result |= _week_statistics(rows, next_week)
    return result


MEANINGS: Mapping[str, str] = {
    "rows": "rows",
    "buyers": "customers with a purchase",
    "one_row": "share of buyers with exactly one row",
    "one_day": "share of buyers with one purchase day",
    "one_week": "share of buyers active in one week only",
    "rows_a_buyer_median": "rows a buyer, median",
    "gap_q1": "days between purchase days, lower quartile",
    "gap_median": "days between purchase days, median",
    "gap_q3": "days between purchase days, upper quartile",
    "age_q1": "age, lower quartile",
    "age_median": "age, median",
    "age_q3": "age, upper quartile",
    "sold_articles": "articles sold",
    "life_q1": "days from first to last sale, lower quartile",
    "life_median": "days from first to last sale, median",
    "life_q3": "days from first to last sale, upper quartile",
    "gini": "Gini of article sales",
    "top_1": "share of sales of the top 1 % of articles",
    "top_10": "share of sales of the top 10 % of articles",
    "exact_repeats": "share of rows that repeat another exactly",
    "basket_q1": "basket size, lower quartile",
    "basket_median": "basket size, median",
    "basket_q3": "basket size, upper quartile",
    "basket_mean": "basket size, mean",
    "mates": "share of distinct basket articles with another colour beside them",
    "same_article": "share of rows: same article on an earlier day",
    "same_product": "share of rows: same product on an earlier day",
    "same_type": "share of rows: same product type on an earlier day",
    "next_week_on_sale_before": "share of the week's rows whose article sold in the week before",
    "new_buyers": "share of the last week's buyers who are new",
    "new_articles": "share of the last week's articles never sold before",
    "jaccard_12": "best 12 against the week before (Jaccard, mean over weeks)",
    "jaccard_100": "best 100 against the week before (Jaccard, mean over weeks)",
    "busiest_week": "busiest week against the mean week",
    "saturday": "Saturday against the mean of Monday to Friday",
}


def _with_codes(transactions: pl.LazyFrame, articles: pl.LazyFrame) -> pl.DataFrame:
    """Rows with product and type as small numbers, and the whole row's price and channel."""
    codes = articles.select(
        "article_id",
        product=pl.col("product_code").rank("dense").cast(pl.Int32),
        type=pl.col("product_type_name").rank("dense").cast(pl.Int16),
    )
    return (
        transactions.select("t_dat", "customer_id", "article_id", "price", "sales_channel_id")
        .join(codes, on="article_id", how="left", maintain_order="left")
        .rename({"customer_id": "customer", "article_id": "article"})
        .collect()
    )


def _quartiles(name: str, values: Counter[int]) -> Statistics:
    """Quartiles (nearest rank) of values that are given as counts."""
    if not values:
        return {f"{name}_{label}": float("nan") for label in ("q1", "median", "q3")}
    ordered = sorted(values)
    upto = np.cumsum([values[v] for v in ordered])
    rank = np.floor((upto[-1] - 1) * np.array([0.25, 0.5, 0.75]) + 0.5)
    q1, median, q3 = (float(ordered[i]) for i in np.searchsorted(upto, rank, side="right"))
    return {f"{name}_q1": q1, f"{name}_median": median, f"{name}_q3": q3}


def _counts(values: pl.Series) -> Counter[int]:
    counted = values.drop_nulls().value_counts()
    return Counter(dict(zip(counted[:, 0].to_list(), counted[:, 1].to_list(), strict=True)))


def _number(value: object) -> float:
    """A float of what an aggregate returns; NaN where there was nothing to aggregate."""
    return float(value) if isinstance(value, int | float) else float("nan")


def _customer_statistics(rows: pl.DataFrame) -> Statistics:
    """What is counted customer by customer: a part of the customers at a time bounds memory."""
    parts = -(-rows.height // _ROWS_A_PART)
    part = pl.col("customer").hash() % parts
    totals: Counter[str] = Counter()
    buyer_rows: Counter[int] = Counter()
    gaps: Counter[int] = Counter()
    baskets: Counter[int] = Counter()
    for number in range(parts):
        some = rows.filter(part == number) if parts > 1 else rows
        totals += _customer_totals(some)
        buyer_rows += _counts(some.group_by("customer").len()["len"])
        gaps += _gaps(some)
        baskets += _counts(some.group_by("customer", "t_dat").len()["len"])
    buyers, all_rows = sum(buyer_rows.values()), rows.height
    return {
        "buyers": float(buyers),
        "one_row": buyer_rows[1] / buyers,
        "one_day": totals["one_day"] / buyers,
        "one_week": totals["one_week"] / buyers,
        "rows_a_buyer_median": _quartiles("rows", buyer_rows)["rows_median"],
        **_quartiles("gap", gaps),
        **_quartiles("basket", baskets),
        "basket_mean": all_rows / sum(baskets.values()),
        "exact_repeats": totals["repeats"] / all_rows,
        "mates": totals["mates"] / totals["distinct"],
        **{f"same_{name}": totals[name] / all_rows for name in _AGAIN},
    }


_ROWS_A_PART = 2_000_000
_AGAIN = ("article", "product", "type")


def _customer_totals(rows: pl.DataFrame) -> Counter[str]:
    """How many customers, rows or distinct basket articles have each property."""
    active = rows.group_by("customer").agg(pl.col("t_dat", "week").n_unique())
    same = rows.group_by("t_dat", "customer", "article", "price", "sales_channel_id").len()["len"]
    basket_articles = rows.select("t_dat", "customer", "product", "article").unique()
    colours = basket_articles.group_by("t_dat", "customer", "product").len()["len"]
    totals = {
        "one_day": (active["t_dat"] == 1).sum(),
        "one_week": (active["week"] == 1).sum(),
        "repeats": same.filter(same > 1).sum(),
        "distinct": basket_articles.height,
        "mates": colours.filter(colours > 1).sum(),
    }
    for name in _AGAIN:
        # A join with the first day is several times as fast as comparing within groups.
        first = rows.group_by("customer", name).agg(pl.col("t_dat").min().alias("first"))
        again = rows.join(first, on=["customer", name]).select(pl.col("t_dat") > pl.col("first"))
        totals[name] = again.to_series().sum()
    return Counter(totals)


def _gaps(rows: pl.DataFrame) -> Counter[int]:
    """Days between successive purchase days of a customer."""
    days = rows.select("customer", "t_dat").unique().sort("customer", "t_dat")
    gap = days.select(
        pl.when(pl.col("customer") == pl.col("customer").shift()).then(
            pl.col("t_dat").diff().dt.total_days()
        )
    )
    return _counts(gap.to_series())


def _age_quartiles(customers: pl.LazyFrame) -> Statistics:
    age = customers.select(pl.col("age").round().cast(pl.Int64)).collect()["age"]
    return _quartiles("age", _counts(age))


def _article_statistics(rows: pl.DataFrame) -> Statistics:
    each = rows.group_by("article").agg(
        sales=pl.len(), life=(pl.col("t_dat").max() - pl.col("t_dat").min()).dt.total_days()
    )
    sales = each["sales"].sort().cast(pl.Float64)
    n, total = len(sales), float(sales.sum())
    rank = pl.Series(range(1, n + 1), dtype=pl.Float64)
    gini = 2 * float((rank * sales).sum()) / (n * total) - (n + 1) / n
    return {
        "sold_articles": float(n),
        **_quartiles("life", _counts(each["life"])),
        "gini": gini,
        "top_1": float(sales.tail(max(n // 100, 1)).sum()) / total,
        "top_10": float(sales.tail(max(n // 10, 1)).sum()) / total,
    }


def _week_statistics(
    rows: pl.DataFrame, next_week: pl.LazyFrame | pl.DataFrame | None
) -> Statistics:
    sales = rows.group_by("week", "article").len()
    volume = rows.group_by("week").len().sort("week")
    # The oldest week may be cut short; a mean over it would be low.
    whole = volume.filter(pl.col("week") < pl.col("week").max()) if volume.height > 1 else volume
    last, before = rows.filter(pl.col("week") == 0), rows.filter(pl.col("week") > 0)
    old_buyers, old_articles = before["customer"].unique(), before["article"].unique()
    buyers, sold = last["customer"].unique(), last["article"].unique()
    if next_week is None:
        bought, on_sale = last["article"], before.filter(pl.col("week") == 1)["article"].unique()
    else:
        bought, on_sale = next_week.lazy().select("article_id").collect()["article_id"], sold
    weekday = (
        rows.group_by("t_dat")
        .len()
        .group_by(pl.col("t_dat").dt.weekday())
        .agg(pl.col("len").mean())
    )
    usual = weekday.filter(pl.col("t_dat") <= 5)["len"].mean()
    saturday = weekday.filter(pl.col("t_dat") == 6)["len"].mean()
    return {
        "next_week_on_sale_before": _number(bought.is_in(on_sale.implode()).mean()),
        "new_buyers": _number((~buyers.is_in(old_buyers.implode())).mean()),
        "new_articles": _number((~sold.is_in(old_articles.implode())).mean()),
        "jaccard_12": _best_seller_jaccard(sales, 12),
        "jaccard_100": _best_seller_jaccard(sales, 100),
        "busiest_week": _number(whole["len"].max()) / _number(whole["len"].mean()),
        "saturday": _number(saturday) / _number(usual),
    }


def _best_seller_jaccard(sales: pl.DataFrame, count: int) -> float:
    """Mean overlap of each week's best sellers with those of the week before."""
    best = (
        sales.sort("week", "len", "article", descending=[False, True, False])
        .group_by("week", maintain_order=True)
        .head(count)
        .select("week", "article")
    )
    earlier = best.with_columns(pl.col("week") - 1)
    both = best.join(earlier, on=["week", "article"]).group_by("week").agg(both=pl.len())
    size = best.group_by("week").agg(size=pl.len())
    pairs = (
        size.join(size.with_columns(pl.col("week") - 1), on="week", suffix="_before")
        .join(both, on="week", how="left")
        .with_columns(pl.col("both").fill_null(0))
    )
    jaccard = pl.col("both") / (pl.col("size") + pl.col("size_before") - pl.col("both"))
    return _number(pairs.select(jaccard.mean()).item()) if pairs.height else float("nan")
