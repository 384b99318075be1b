"""SASRec as a recommender: a trained network, asked as of a date."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from modiste.data.dataset import CustomerBatch, History
from modiste.data.days import day_number
from modiste.models.learning.network_recommender import (
    NetworkRecommender,
    require_of_the_past,
)
from modiste.models.learning.popularity_prior import article_offsets
from modiste.models.popularity import PopularitySettings
from modiste.models.sasrec.fitting import TrainedNetwork, fit_network
from modiste.models.sasrec.next_item import customer_vectors
from modiste.models.sasrec.sequences import Sequences, sequences_of
from modiste.models.sasrec.settings import SASRecSettings
from modiste.vectors.article_vectors import ArticleVectors

_OFFSETS = "offsets.npy"


class SASRecRecommender(NetworkRecommender):
    """What comes next in the order of a customer's purchases.

    Parameters
    ----------
    settings
        Of the network and its training.
    popularity
        How popularity is counted, and so what is on sale.
    vectors
        Of the shop's articles; None: the network knows articles by their codes alone.
    trained
        Folder of a :class:`TrainedNetwork` that was learned from earlier days of this shop: it is
        then not trained, but asked as of the history's date. None: :meth:`fit` trains one.
    """

    def __init__(
        self,
        settings: SASRecSettings | None = None,
        popularity: PopularitySettings | None = None,
        vectors: ArticleVectors | None = None,
        trained: Path | None = None,
    ) -> None:
        self.settings = settings or SASRecSettings()
        self.popularity = popularity or PopularitySettings()
        self.vectors = vectors
        self.trained = trained
        self._ask(None, np.empty(0, dtype=np.float32))

    def fit(self, history: History) -> Self:
        """Train, unless a trained network is given; note what is on sale, and how popular it is.

        Where nobody bought on two days there is no order to learn, and nothing is recommended.

        Raises
        ------
        DataError
            When the network given has learned from days that are not over yet, or of another shop.
        TrainingError
            See :func:`~modiste.models.sasrec.training.train`.
        """
        if self.trained is None:
            network = fit_network(history, self.settings, self.popularity, self.vectors)
        else:
            network = TrainedNetwork.load(self.trained)
            require_of_the_past(self.trained, len(network.articles), history)
        with_prior = self.settings.popularity_prior
        return self._ask(network, article_offsets(history, self.popularity, with_prior))

    def _ask(self, network: TrainedNetwork | None, offsets: NDArray[np.float32]) -> Self:
        self._network = network
        return self._put_on_sale(offsets)

    @property
    def article_vectors(self) -> NDArray[np.float32]:
        """The network's vectors of the articles, shape (n_articles, dimensions)."""
        return np.empty((0, 0), np.float32) if self._network is None else self._network.articles

    def customer_vectors(
        self, batch: CustomerBatch
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Of those who bought anything that the network knows; see the base class."""
        known = pl.col("article") < len(self.article_vectors)
        sequences = sequences_of(batch.transactions.filter(known))
        customers = sequences.customers
        if self._network is None or customers is None or not len(sequences):
            return np.empty(0, np.int32), np.empty((0, 0), np.float32)
        return customers, self._encode(self._network, sequences, batch)

    def _encode(
        self, trained: TrainedNetwork, sequences: Sequences, batch: CustomerBatch
    ) -> NDArray[np.float32]:
        days = np.full(len(sequences), day_number(batch.as_of), dtype=np.int32)
        return customer_vectors(
            trained.network, sequences, days, torch.from_numpy(trained.articles)
        )

    def save(self, folder: Path) -> None:
        """Write the network, if there was an order to learn, and what is on sale."""
        np.save(folder / _OFFSETS, self.article_offsets)
        if self._network is not None:
            self._network.save(folder)

    def load(self, folder: Path) -> Self:
        """Read it back; vectors and a trained network are not needed."""
        trained = len(list(folder.iterdir())) > 1
        network = TrainedNetwork.load(folder) if trained else None
        return self._ask(network, np.load(folder / _OFFSETS))
