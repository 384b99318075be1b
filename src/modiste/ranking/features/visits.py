"""Features of a customer's last visit, and of the last time that a candidate was bought.

Who comes back within days mostly comes for what was just bought: another size of what was ordered
online, another colour, a second piece. How it was bought says which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modiste.data.dataset import CustomerBatch, History
from modiste.data.days import day_number, day_numbers
from modiste.data.pairs import codes_of, find, groups_of_sorted, pairs_of, values_at
from modiste.ranking.features.group import ATTRIBUTE_WORDS, with_features
from modiste.ranking.features.matches import (
    UNKNOWN,
    ArticleCodes,
    Matches,
    on_last_day,
    rows_of_customers,
)
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

_ONLINE = 2

# Of what was not bought.
_NEVER = np.float32(np.nan)

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


@cache  # a live request would put them into words anew
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
        bought = _purchases(batch, codes)
        of_article = candidates["article"].to_numpy()
        of_customer = rows_of_customers(batch, candidates["customer"])
        n = batch.customers.height
        visit_price, of_visit = _of_customers(bought, n)
        found: dict[str, NDArray[Any]] = {
            name: values[of_customer] for name, values in of_visit.items()
        }
        found |= _of_last_purchase(bought, of_customer, of_article)
        found |= _of_last_product(bought, of_customer, codes[_PRODUCT][of_article])
        # NaN for who never bought: of who bought, nothing of this kind is known to be none.
        visited = found["visit_articles"]
        article, customer = bought.article[bought.last], bought.customer[bought.last]
        for column, of_all in codes.items():
            shared = Matches(customer, of_all[article], of_customer, of_all[of_article]).count()
            found[_share_of(column)] = shared / visited
        price = candidates["price"].to_numpy()
        with np.errstate(divide="ignore", invalid="ignore"):  # what was given away cost 0
            found["price_to_visit"] = price / visit_price[of_customer]
            found["price_to_paid"] = price / found["price_to_paid"]
        return with_features(candidates, found)

    def save(self, folder: Path) -> None:
        """Write the numbered attributes."""
        self._values.table.write_parquet(folder / "values.parquet")

    def load(self, folder: Path) -> Self:
        """Read them back."""
        self._values = ArticleCodes(pl.read_parquet(folder / "values.parquet"))
        return self


@dataclass(frozen=True)
class _Purchases:
    """Purchases, a row for each (customer, article, day), in that order.

    Attributes
    ----------
    customer, article, product
        The row of the customer in its batch, and codes.
    days
        Before the batch's date: 1 for the last day.
    pieces, online, paid
        Number of pieces, whether any was bought online, and the price of the dearest, NaN where
        it is not known: none depends on the order of the rows.
    articles, colours, of_type
        In the basket of the day: articles, and those of the row's product and type.
    last
        Whether it is of the customer's last visit.
    """

    customer: NDArray[np.int64]
    article: NDArray[np.int32]
    product: NDArray[np.int32]
    days: NDArray[np.int32]
    pieces: NDArray[np.int64]
    online: NDArray[np.bool_]
    paid: NDArray[np.float32]
    articles: NDArray[np.int64]
    colours: NDArray[np.int64]
    of_type: NDArray[np.int64]
    last: NDArray[np.bool_]


def _purchases(batch: CustomerBatch, codes: Mapping[str, NDArray[np.int32]]) -> _Purchases:
    rows = batch.transactions
    of_row, day_of_row = rows["article"].to_numpy(), day_numbers(rows["t_dat"])
    customer_of_row = rows_of_customers(batch, rows["customer"])
    order = np.lexsort((day_of_row, of_row, customer_of_row))
    starts, pieces = groups_of_sorted(customer_of_row[order], of_row[order], day_of_row[order])
    first = order[starts]
    customer, article = customer_of_row[first], of_row[first]
    day = day_of_row[first]
    days = day_number(batch.as_of) - day
    if len(starts):
        channel = rows["sales_channel_id"].cast(pl.Float32).to_numpy()
        online = np.logical_or.reduceat((channel == _ONLINE)[order], starts)
        # Of prices that are known, if any is.
        price = rows["price"].cast(pl.Float32).to_numpy()
        paid = np.fmax.reduceat(price[order], starts)
    else:
        online, paid = np.empty(0, np.bool_), np.empty(0, np.float32)
    visit, articles = _numbered(pairs_of(customer, days))
    _, colours = _numbered(pairs_of(visit, codes[_PRODUCT][article] - UNKNOWN))
    _, of_type = _numbered(pairs_of(visit, codes[_TYPE][article] - UNKNOWN))
    return _Purchases(
        customer=customer,
        article=article,
        product=codes[_PRODUCT][article],
        days=days,
        pieces=pieces,
        online=online,
        paid=paid,
        articles=articles,
        colours=colours,
        of_type=of_type,
        last=on_last_day(customer, day, batch.customers.height),
    )


def _numbered(keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A number for each distinct key, ascending as they do, and how many rows have it."""
    _, number, count = np.unique(keys, return_inverse=True, return_counts=True)
    return number, count[number]


def _of_customers(
    bought: _Purchases, n: int
) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
    """The mean price of each customer's last visit, and what else is said of visits."""
    last = bought.last
    customer, paid = bought.customer[last], bought.paid[last].astype(np.float64)
    known = ~np.isnan(paid)
    articles = np.bincount(customer, minlength=n).astype(np.float64)
    anything = articles > 0

    def of_buyers(values: NDArray[Any]) -> NDArray[np.float32]:
        return np.where(anything, values, np.nan).astype(np.float32)

    def distinct(rows: NDArray[np.int64], codes: NDArray[np.int32]) -> NDArray[np.int64]:
        pairs = np.unique(pairs_of(rows, codes - UNKNOWN))
        return np.bincount(codes_of(pairs)[0], minlength=n)

    with np.errstate(divide="ignore", invalid="ignore"):
        online = np.bincount(customer, bought.online[last], minlength=n) / articles
        prices = np.bincount(customer[known], minlength=n)
        price = np.bincount(customer[known], paid[known], minlength=n) / prices
    # Days of visits, of each customer the latest first.
    visitor, ago = codes_of(np.unique(pairs_of(bought.customer, bought.days)))
    starts, sizes = groups_of_sorted(visitor)
    before = np.full(n, np.nan)
    again = starts[sizes > 1]
    before[visitor[again]] = ago[again + 1]
    purchases = np.bincount(bought.customer, minlength=n)
    return price.astype(np.float32), {
        "visit_online": of_buyers(online),
        "visit_articles": of_buyers(articles),
        "visit_pieces": of_buyers(np.bincount(customer, bought.pieces[last], minlength=n)),
        "visit_products": of_buyers(distinct(customer, bought.product[last])),
        "visit_before": of_buyers(before),
        f"visits_{_DAYS}d": of_buyers(np.bincount(visitor[ago <= _DAYS], minlength=n)),
        "bought_again": of_buyers(purchases - distinct(bought.customer, bought.article)),
    }


def _of_last_purchase(
    bought: _Purchases, of_customer: NDArray[np.int64], of_article: NDArray[np.int32]
) -> dict[str, NDArray[np.float32]]:
    """Of the last day on which each candidate's customer bought it; NaN: never."""
    starts, sizes = groups_of_sorted(bought.customer, bought.article)
    # The rows of a pair stand by day.
    last = starts + sizes - 1
    lately = np.append(0, np.cumsum(bought.days <= _DAYS))
    place = find(
        pairs_of(of_customer, of_article), pairs_of(bought.customer[last], bought.article[last])
    )
    values = {
        "bought_online": bought.online[last],
        "bought_pieces": bought.pieces[last],
        "bought_with": bought.articles[last],
        "bought_colours": bought.colours[last],
        "bought_of_type": bought.of_type[last],
        f"times_bought_{_DAYS}d": lately[starts + sizes] - lately[starts],
        "price_to_paid": bought.paid[last],
    }
    return {name: values_at(place, of_pair, _NEVER) for name, of_pair in values.items()}


def _of_last_product(
    bought: _Purchases, of_customer: NDArray[np.int64], of_product: NDArray[np.int32]
) -> dict[str, NDArray[np.float32]]:
    """The same of products: several colours of one on that day count as one purchase."""
    known = np.flatnonzero(bought.product != UNKNOWN)
    order = known[np.lexsort((bought.days[known], bought.product[known], bought.customer[known]))]
    customer, product = bought.customer[order], bought.product[order]
    starts, sizes = groups_of_sorted(customer, product)
    latest = np.repeat(bought.days[order][starts], sizes)
    online = bought.online[order] & (bought.days[order] == latest)
    values = {
        "product_online": np.logical_or.reduceat(online, starts) if len(starts) else online,
        "product_colours": bought.colours[order][starts],
    }
    # What is not known matches nothing.
    wanted = np.where(of_product == UNKNOWN, -1, pairs_of(of_customer, np.maximum(of_product, 0)))
    place = find(wanted, pairs_of(customer[starts], product[starts]))
    return {name: values_at(place, of_pair, _NEVER) for name, of_pair in values.items()}
