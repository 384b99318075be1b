"""What the service says: a bundle's answers, as plain values, with nothing of HTTP in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from modiste.data.dataset import CustomerBatch
from modiste.errors import ModisteError
from modiste.service.bundle import Bundle


class NotKnownError(ModisteError):
    """Something that was asked about is not in the bundle."""


@dataclass(frozen=True)
class Recommended:
    """One recommended article.

    Attributes
    ----------
    article
        Its code.
    rank
        Its place, from 1 on.
    score
        By which the list is ordered; 0 for what filled it up.
    """

    article: int
    rank: int
    score: float


class Answering:
    """Answers from one bundle.

    Parameters
    ----------
    bundle
        Opened.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    @property
    def as_of(self) -> date:
        """The day that is recommended for."""
        return self.bundle.manifest.as_of

    def customer(self, customer_id: str) -> int:
        """The code of a customer.

        Raises
        ------
        NotKnownError
            When nobody has the id.
        """
        code = self.bundle.customers.code(customer_id)
        if code is None:
            # No near ids, and not this one: they are other people's.
            raise NotKnownError("nobody has this customer id: give the whole one")
        return code

    def article(self, article_id: str) -> int:
        """The code of an article.

        Raises
        ------
        NotKnownError
            When no article has the id.
        """
        code = self.bundle.code_of_article.get(article_id)
        if code is None:
            raise NotKnownError("no article has this id: leading zeros are part of it")
        return code

    def for_customers(self, codes: Iterable[int], k: int) -> dict[int, list[Recommended]]:
        """The first ``k`` articles of each of some customers, by code."""
        return self.for_batch(self.bundle.customers.batch(codes), k)

    def for_batch(self, batch: CustomerBatch, k: int) -> dict[int, list[Recommended]]:
        """The first ``k`` articles of each customer of a batch, by code."""
        lists: dict[int, list[Recommended]] = {code: [] for code in batch.customers["customer"]}
        for customer, article, score, rank in self.bundle.hybrid.recommend(batch, k).iter_rows():
            lists[customer].append(Recommended(article, rank, score))
        return lists

    def names(self, articles: Sequence[int]) -> list[dict[str, object]]:
        """What is shown of articles beside their place, in the order that was asked for."""
        columns = ["article_id", "product_code", "prod_name", "colour_group_name", "price"]
        rows: pl.DataFrame = self.bundle.articles.select(columns)[list(articles)]
        return rows.to_dicts()
