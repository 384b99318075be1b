"""What recommenders by a trained network have in common: how they are asked, and of which days."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modiste.data.dataset import CustomerBatch, History
from modiste.errors import DataError
from modiste.models.learning.description import NetworkDescription
from modiste.models.learning.on_sale import OnSale


class NetworkRecommender(ABC):
    """A recommender whose score is an inner product of a customer's and an article's vectors.

    Attributes
    ----------
    article_offsets
        float32, shape (n_articles,): what is added to an article's score, minus infinity where it
        is not on sale.
    """

    article_offsets: NDArray[np.float32]

    @abstractmethod
    def fit(self, history: History) -> Self:
        """Learn from a history, or ask a trained network as of its date."""

    @property
    @abstractmethod
    def article_vectors(self) -> NDArray[np.float32]:
        """The articles' vectors, shape (n_articles, dimensions); empty where nothing is known."""

    @abstractmethod
    def customer_vectors(
        self, batch: CustomerBatch
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Vectors of those customers of a batch who bought anything that the network knows.

        Returns
        -------
        Their codes, int32, shape (n,), rising; and float32, shape (n, dimensions). The inner
        product with an article's vector is its score without popularity.
        """

    def recommend(self, batch: CustomerBatch, k: int) -> pl.DataFrame:
        """Up to ``k`` articles, bought ones included, for each customer with purchases."""
        return self._on_sale.recommend(*self.customer_vectors(batch), k)

    def score(self, batch: CustomerBatch, candidates: pl.DataFrame) -> pl.DataFrame:
        """Score given articles alone: see :meth:`~modiste.models.learning.on_sale.OnSale.score`.

        Those of a customer who bought nothing that the network knows are null.
        """
        return self._on_sale.score(*self.customer_vectors(batch), candidates)

    def _put_on_sale(self, offsets: NDArray[np.float32]) -> Self:
        """Lay the vectors of what is on sale side by side; once the articles have theirs."""
        self.article_offsets = offsets
        self._on_sale = OnSale(self.article_vectors, offsets[: len(self.article_vectors)])
        return self


def require_of_the_past(folder: Path, n_articles: int, history: History) -> None:
    """Refuse a trained network that would know the future, or that is of another shop.

    Parameters
    ----------
    folder
        Of the network.
    n_articles
        That it knows.
    history
        As of whose date it is asked.

    Raises
    ------
    DataError
        When it has learned from days that are not over yet, or knows other articles.
    """
    as_of = NetworkDescription.load(folder).as_of
    if as_of > history.as_of:
        raise DataError(
            f"{folder} has learned from days before {as_of}, and is asked as of "
            f"{history.as_of}: it would know what is still to come. Train one as of then"
        )
    if n_articles != history.n_articles:
        raise DataError(
            f"{folder} knows {n_articles:,} articles, but the shop has {history.n_articles:,}: "
            "train it anew"
        )
