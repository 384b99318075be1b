"""Features of a customer's last visit, and of the last time that a candidate was bought.

Who comes back within days mostly comes for what was just bought: another size of what was ordered
online, another colour, a second piece. How it was bought says which.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import polars as pl

from modiste.data.dataset import CustomerBatch, History
from modiste.ranking.features.group import ATTRIBUTE_WORDS, days_since, ratio
from modiste.ranking.features.matches import UNKNOWN, ArticleCodes, Matches, rows_of_customers
from modiste.ranking.rows import Feature

GROUP = "visit"

_PRODUCT, _TYPE = "product_code", "product_type_name"

# Attributes whose share of the last visit's articles is a feature.
_SHARES = (
    _PRODUCT,
    _TYPE,
    "department_name",
    "section_name",
    "index_group_name",
    "garment_group_name",
    "colour_group_name",
)

# Purchases of this many last days are counted of their own: most returns come that soon.
_DAYS = 4

_VISIT = {
    "visit_online": "share of the last visit's articles that were bought online",
    "visit_articles": "articles that the customer bought on the last visit",
    "visit_pieces": "pieces that the customer bought on the last visit",
    "visit_products": "products that the customer bought on the last visit, all colours as one",
    "visit_before": "days since the customer's visit before the last one",
    f"visits_{_DAYS}d": f"days of the last {_DAYS} on which the customer bought something",
    "bought_again": "times that the customer bought an article again",
}

_LAST_BOUGHT = {
    "bought_online": "whether the customer last bought the article online",
    "bought_pieces": "pieces of the article that the customer took the last time",
    "bought_with": "articles in the basket when the customer last bought this one",
    "bought_colours": "colours of the product in the basket when the customer last bought this one",
    "bought_of_type": "articles of this type in the basket when the customer last bought this one",
    "times_bought_4d": f"days of the last {_DAYS} on which the customer bought the article",
    "price_to_paid": "price compared with what the customer last paid for the article",
}

_LAST_PRODUCT = {
    "product_online": "whether the customer last bought the product online, in any colour",
    "product_colours": "number of colours in which the customer last bought the product",
}


def _features() -> tuple[Feature, ...]:
    meanings = {
        **_VISIT,
        "price_to_visit": "price compared with the mean price of the last visit",
        **{
            _share_of(column): f"share of the last visit's articles {ATTRIBUTE_WORDS[column][1]}"
            for column in _SHARES
        },
        **_LAST_BOUGHT,
        **_LAST_PRODUCT,
    }
    return tuple(Feature(name, GROUP, meaning) for name, meaning in meanings.items())


def _share_of(column: str) -> str:
    return f"visit_share_of_{column}"


class VisitFeatures:
    """What a customer's latest purchases, and the way they were made, say of a candidate.

    Joined after the group ``article``, whose price it compares.
    """

    def __init__(self) -> None:
        self._values = ArticleCodes(pl.DataFrame())

    @property
    def features(self) -> tuple[Feature, ...]:
        """The group's features."""
        return _features()

    def fit(self, history: History) -> Self:
        """Number the values of the articles' attributes."""
        self._values = ArticleCodes(
            history.articles.select(
                "article", *[pl.col(column).rank("dense").cast(pl.Int32) for column in _SHARES]
            )
        )
        return self

    def join(self, batch: CustomerBatch, candidates: pl.DataFrame) -> pl.DataFrame:
        """Add the features of the last visits, and of the pairs."""
        codes = self._values.codes
        of_article = candidates["article"].to_numpy()
        bought = self._purchases(batch)
        product = pl.Series(f"_{_PRODUCT}", codes[_PRODUCT][of_article])
        rows = candidates.with_columns(product)
        for keys, values in (
            (["customer"], _of_customer(bought)),
            (["customer", "article"], _of_last_purchase(bought, "article", _LAST_BOUGHT)),
            (["customer", product.name], _of_last_purchase(bought, product.name, _LAST_PRODUCT)),
        ):
            rows = rows.join(values, on=keys, how="left", maintain_order="left")
        last = bought.filter("last")
        article = last["article"].to_numpy()
        customer = rows_of_customers(batch, last["customer"])
        of_customer = rows_of_customers(batch, candidates["customer"])
        # Null for who never bought: of who bought, nothing of this kind is known to be none.
        visited = rows["visit_articles"].to_numpy()
        shares = [
            pl.Series(
                _share_of(column),
                Matches(customer, of_all[article], of_customer, of_all[of_article]).count()
                / visited,
                nan_to_null=True,
            )
            for column, of_all in codes.items()
        ]
        return rows.with_columns(
            *shares,
            price_to_visit=ratio(rows["price"], rows["visit_price"]),
            price_to_paid=ratio(rows["price"], rows["price_to_paid"]),
        ).drop(product.name, "visit_price")

    def _purchases(self, batch: CustomerBatch) -> pl.DataFrame:
        """The customers' purchases, a row for each (customer, article, day), in that order."""
        pieces = (
            batch.transactions.group_by("customer", "article", "t_dat")
            .agg(
                pieces=pl.len(),
                # Of the dearest and of any: neither depends on the order of the rows.
                online=(pl.col("sales_channel_id") == 2).any(),
                paid=pl.col("price").max(),
            )
            .sort("customer", "article", "t_dat")
        )
        article = pieces["article"].to_numpy()
        codes = self._values.codes
        day = ["customer", "t_dat"]
        return pieces.with_columns(
            pl.Series(f"_{_PRODUCT}", codes[_PRODUCT][article]),
            pl.Series(f"_{_TYPE}", codes[_TYPE][article]),
        ).with_columns(
            days=days_since(pl.col("t_dat"), pl.lit(batch.as_of)),
            articles=pl.len().over(day),
            colours=pl.len().over(*day, f"_{_PRODUCT}"),
            of_type=pl.len().over(*day, f"_{_TYPE}"),
            last=pl.col("t_dat") == pl.col("t_dat").max().over("customer"),
        )

    def save(self, folder: Path) -> None:
        """Write the numbered attributes."""
        self._values.table.write_parquet(folder / "values.parquet")

    def load(self, folder: Path) -> Self:
        """Read them back."""
        self._values = ArticleCodes(pl.read_parquet(folder / "values.parquet"))
        return self


def _of_customer(bought: pl.DataFrame) -> pl.DataFrame:
    """Of each customer's last visit, and of all; the order of its rows is that of the articles."""
    days = pl.col("days").unique().sort()
    last = pl.col("last")
    return bought.group_by("customer", maintain_order=True).agg(
        visit_online=pl.col("online").filter(last).mean().cast(pl.Float32),
        visit_articles=last.sum().cast(pl.Float32),
        visit_pieces=pl.col("pieces").filter(last).sum().cast(pl.Float32),
        visit_products=pl.col(f"_{_PRODUCT}").filter(last).n_unique().cast(pl.Float32),
        visit_price=pl.col("paid").cast(pl.Float64).filter(last).mean().cast(pl.Float32),
        visit_before=days.get(1, null_on_oob=True),
        bought_again=(pl.len() - pl.col("article").n_unique()).cast(pl.Float32),
        **{f"visits_{_DAYS}d": (days <= _DAYS).sum().cast(pl.Float32)},
    )


def _of_last_purchase(bought: pl.DataFrame, key: str, wanted: Mapping[str, str]) -> pl.DataFrame:
    """Of the last day on which each customer bought each article, or each product.

    Several colours of a product on that day count as one purchase.
    """
    last = pl.col("days") == pl.col("days").min()
    values = {
        "bought_online": pl.col("online").filter(last).any(),
        "bought_pieces": pl.col("pieces").filter(last).sum(),
        "bought_with": pl.col("articles").filter(last).first(),
        "bought_colours": pl.col("colours").filter(last).first(),
        "bought_of_type": pl.col("of_type").filter(last).first(),
        "times_bought_4d": (pl.col("days") <= _DAYS).sum(),
        "price_to_paid": pl.col("paid").filter(last).max(),
        "product_online": pl.col("online").filter(last).any(),
        "product_colours": pl.col("colours").filter(last).first(),
    }
    return (
        bought.filter(pl.col(key) != UNKNOWN)
        .group_by("customer", key)
        .agg(values[name].cast(pl.Float32).alias(name) for name in wanted)
    )
