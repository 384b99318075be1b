"""Features of an article as of a date: how it sells, since when, at which price, and to whom."""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl

from modiste.data.dataset import CustomerBatch, History, Partition
from modiste.data.pairs import find
from modiste.models.popularity import PopularitySettings, article_popularity
from modiste.ranking.features.group import ATTRIBUTE_WORDS, Defined, days_since, in_order
from modiste.ranking.rows import Feature

GROUP = "article"

# Sales of the last days, in so many days.
_SPANS = (1, 3, 7, 28)

# The span that prices, channels and buyers are looked at in.
_LAST = _SPANS[-1]

# Prices are added up in whole units of this: the sum does not depend on the order of the rows.
_PRICE_UNIT = 2.0**-20

# Attributes that rankers see as categories.
ATTRIBUTES = (
    "product_type_name",
    "department_name",
    "section_name",
    "index_group_name",
    "garment_group_name",
    "colour_group_name",
    "graphical_appearance_name",
)

# The feature that every candidate has: what popularity, as a source, scores by.
POPULARITY_FEATURE = "popularity"

# More values than this say no more than the most frequent ones do.
_MOST_VALUES = 255


def _per_thousand(days: int) -> pl.Expr:
    sales = pl.col(f"sales_{days}")
    return 1000 * sales / sales.sum()


def _daily(days: int) -> pl.Expr:
    return pl.col(f"sales_{days}") / days


def _definitions(as_of: date) -> list[Defined]:
    """Every feature of the group, by expressions over one row an article."""
    now = pl.lit(as_of)
    price = pl.col("price_sum") * _PRICE_UNIT / pl.col("prices")
    numbers: dict[str, tuple[str, str | pl.Expr]] = {
        POPULARITY_FEATURE: (
            "how well the article sells lately, compared with the best seller",
            "popularity",
        ),
        **{
            f"sales_{days}d": (
                f"sales {_in_the_last(days)}, of a thousand pieces sold in the shop",
                _per_thousand(days),
            )
            for days in _SPANS
        },
        "sales_rank_1d": ("place among the best sellers of the last day", _place(1)),
        "sales_rank_7d": ("place among the best sellers of the last 7 days", _place(7)),
        "sales_trend_1d": (
            "sales on the last day, compared with a usual day of the last 7",
            _daily(1) / _daily(7),
        ),
        "sales_trend_7d": (
            "sales in the last 7 days, compared with a usual week of the last 28 days",
            _daily(7) / _daily(28),
        ),
        "days_on_sale": ("days since the article was first sold", days_since(pl.col("first"), now)),
        "days_since_sale": (
            "days since the article was last sold",
            days_since(pl.col("last"), now),
        ),
        "price": ("price: what the article cost in the last 28 days, on average", price),
        "discount": (
            "discount: how far the price lies below the highest of the last 28 days",
            1 - price / pl.col("highest"),
        ),
        "online_share": (
            "share of the article's sales that were online, in the last 28 days",
            pl.col("online") / pl.col("channels"),
        ),
        "buyer_age": (
            "mean age of who bought the article in the last 28 days",
            pl.col("age_sum") / pl.col("ages"),
        ),
        "pieces_a_buyer": (
            "pieces that a buyer took in the last 28 days, on average",
            pl.col("sales_28") / pl.col("buyers"),
        ),
        "repeat_share": (
            "share of the buyers in the last 28 days who had bought the article before",
            (pl.col("repeats") + 0.5) / (pl.col("buyers") + 10),
        ),
    }
    return [
        (Feature(name, GROUP, meaning), pl.col(value) if isinstance(value, str) else value)
        for name, (meaning, value) in numbers.items()
    ] + [
        (
            Feature(
                column,
                GROUP,
                f"{ATTRIBUTE_WORDS[column][0]} of the article",
                _MOST_VALUES + 1,
            ),
            pl.col(column),
        )
        for column in ATTRIBUTES
    ]


def _in_the_last(days: int) -> str:
    return "on the last day" if days == 1 else f"in the last {days} days"


def _place(days: int) -> pl.Expr:
    return pl.col(f"sales_{days}").rank("min", descending=True)


@cache  # a live request would put them into words anew
def _features() -> tuple[Feature, ...]:
    return tuple(feature for feature, _ in _definitions(date.max))


class ArticleFeatures:
    """One row an article on sale, the same for every customer."""

    def __init__(self, popularity: PopularitySettings | None = None) -> None:
        self.popularity = popularity or PopularitySettings()
        self._articles = pl.DataFrame()
        self._codes = np.empty(0, dtype=np.int32)
        self._values = pl.DataFrame()

    @property
    def features(self) -> tuple[Feature, ...]:
        """The group's features."""
        return _features()

    def fit(self, history: History) -> Self:
        """Count the sales of the last days."""
        popularity = article_popularity(history, self.popularity)
        since = history.as_of - timedelta(days=_LAST)
        counted = (
            history.collect(_count_sales, since, label="sales, prices and buyers of articles")
            .group_by("article")
            .agg(pl.all().exclude("article", "highest").sum(), pl.col("highest").max())
        )
        days = history.article_sales.group_by("article").agg(
            pl.col("t_dat").min().alias("first"), pl.col("t_dat").max().alias("last")
        )
        categories = history.articles.select(
            "article", *[_codes(history.articles[column]) for column in ATTRIBUTES]
        )
        defined = _definitions(history.as_of)
        articles = (
            popularity.join(counted, on="article", how="left", maintain_order="left")
            .join(days, on="article", how="left", maintain_order="left")
            .join(categories, on="article", how="left", maintain_order="left")
            .select("article", *in_order(defined))
            .with_columns(
                pl.col([f.name for f, _ in defined if f.n_categories is None]).fill_nan(None)
            )
        )
        return self._use(articles)

    def _use(self, articles: pl.DataFrame) -> Self:
        self._articles = articles
        self._codes = articles["article"].to_numpy()
        values = articles.drop("article")
        # After the last one a row of what is not known, for whatever is not on sale.
        self._values = pl.concat([values, values.clear(1)])
        return self

    def join(self, batch: CustomerBatch, candidates: pl.DataFrame) -> pl.DataFrame:
        """Add the article's features."""
        del batch
        row = find(candidates["article"].to_numpy(), self._codes)
        return candidates.hstack(self._values[np.where(row < 0, len(self._codes), row)])

    def save(self, folder: Path) -> None:
        """Write the articles' features."""
        self._articles.write_parquet(folder / "articles.parquet")

    def load(self, folder: Path) -> Self:
        """Read them back."""
        return self._use(pl.read_parquet(folder / "articles.parquet"))


def _codes(values: pl.Series) -> pl.Series:
    """Codes of a column's values, by how many articles have them; null: null, or a rare value."""
    counted = (
        values.drop_nulls()
        .value_counts(name="n")
        .sort("n", values.name, descending=[True, False])
        .head(_MOST_VALUES)[values.name]
    )
    codes = values.to_frame().join(
        counted.to_frame().with_row_index("code"),
        on=values.name,
        how="left",
        maintain_order="left",
    )["code"]
    return codes.cast(pl.Int32).alias(values.name)


def _count_sales(partition: Partition, since: date) -> pl.DataFrame:
    """What a partition's customers bought of each article since a day, and what they are like.

    Sums of whole numbers, one row an article.
    """
    ages = partition.read_customers().select("customer", "age")
    rows = partition.read_transactions()
    earlier = (
        rows.select("customer", "article", "t_dat")
        .group_by("customer", "article")
        .agg(pl.col("t_dat").min().alias("first_bought"))
    )
    recent = (
        rows.filter(pl.col("t_dat") >= since)
        .join(ages, on="customer", how="left")
        .join(earlier, on=["customer", "article"], how="left")
        .with_columns(
            days=(pl.lit(partition.as_of) - pl.col("t_dat")).dt.total_days(),
            repeated=pl.col("first_bought") < pl.col("t_dat"),
        )
    )
    return recent.group_by("article").agg(
        *[(pl.col("days") <= days).sum().cast(pl.Int64).alias(f"sales_{days}") for days in _SPANS],
        (pl.col("price").cast(pl.Float64) / _PRICE_UNIT)
        .round()
        .cast(pl.Int64)
        .sum()
        .alias("price_sum"),
        pl.col("price").count().cast(pl.Int64).alias("prices"),
        pl.col("price").max().cast(pl.Float64).alias("highest"),
        (pl.col("sales_channel_id") == 2).sum().cast(pl.Int64).alias("online"),
        pl.col("sales_channel_id").count().cast(pl.Int64).alias("channels"),
        pl.col("age").cast(pl.Int64).sum().alias("age_sum"),
        pl.col("age").count().cast(pl.Int64).alias("ages"),
        pl.col("customer").n_unique().cast(pl.Int64).alias("buyers"),
        pl.col("customer").filter("repeated").n_unique().cast(pl.Int64).alias("repeats"),
    )
