"""The graph network as a recommender, asked as of a date."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modiste.data.dataset import CustomerBatch, History
from modiste.data.days import day_number
from modiste.models.graph.fitting import TrainedGraph, customer_values, fit_graph
from modiste.models.graph.inference import CustomerEncoder, article_states
from modiste.models.graph.purchase_graph import articles_of_customers, build_graph
from modiste.models.graph.sage_settings import GraphSettings
from modiste.models.learning.network_recommender import (
    NetworkRecommender,
    require_of_the_past,
)
from modiste.models.learning.popularity_prior import article_offsets
from modiste.models.popularity import PopularitySettings
from modiste.vectors.article_vectors import ArticleVectors

_STATES, _OFFSETS = "states.npy", "offsets.npy"


class GraphRecommender(NetworkRecommender):
    """What customers with a neighbourhood like the customer's bought next.

    Parameters
    ----------
    settings
        Of the network and its training.
    popularity
        How popularity is counted, and so what is on sale.
    vectors
        Of the shop's articles; None: the network knows articles by codes and attributes alone.
    trained
        Folder of a :class:`TrainedGraph` that was learned from earlier days of this shop: it is
        then not trained, but asked as of the history's date, what was bought since included. None:
        :meth:`fit` trains one.
    """

    def __init__(
        self,
        settings: GraphSettings | None = None,
        popularity: PopularitySettings | None = None,
        vectors: ArticleVectors | None = None,
        trained: Path | None = None,
    ) -> None:
        self.settings = settings or GraphSettings()
        self.popularity = popularity or PopularitySettings()
        self.vectors = vectors
        self.trained = trained
        self._ask(None, [], np.empty(0, dtype=np.float32))

    def fit(self, history: History) -> Self:
        """Train, unless a trained network is given; see how all articles stand as of the date.

        Where nobody bought on two days nothing can be learned, and nothing is recommended.

        Raises
        ------
        DataError
            When the network given has learned from days that are not over yet, or of another shop.
        TrainingError
            See :func:`~modiste.models.learning.loop.train_task`.
        """
        if self.trained is None:
            network = fit_graph(history, self.settings, self.popularity, self.vectors)
        else:
            network = TrainedGraph.load(self.trained)
            require_of_the_past(self.trained, len(network.articles), history)
        states: list[NDArray[np.float32]] = []
        if network is not None:
            with TemporaryDirectory() as scratch:
                graph = build_graph(history, Path(scratch) / "graph")
                states = article_states(
                    network.network,
                    network.articles,
                    graph,
                    customer_values(history, network.attributes),
                )
        offsets = article_offsets(history, self.popularity, self.settings.popularity_prior)
        return self._ask(network, states, offsets)

    def _ask(
        self,
        network: TrainedGraph | None,
        states: list[NDArray[np.float32]],
        offsets: NDArray[np.float32],
    ) -> Self:
        """Ask this network, of articles that stand so."""
        self._network, self._states = network, states
        self._encoder = None if network is None else CustomerEncoder(network.network, states)
        return self._put_on_sale(offsets)

    @property
    def article_vectors(self) -> NDArray[np.float32]:
        """The articles' vectors, shape (n_articles, dimensions)."""
        return self._states[-1] if self._states else np.empty((0, 0), np.float32)

    def customer_vectors(
        self, batch: CustomerBatch
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Of those who bought anything that the network knows; see the base class."""
        known = pl.col("article") < len(self.article_vectors)
        customers, purchases = articles_of_customers(batch.transactions.filter(known), batch.as_of)
        if self._network is None or self._encoder is None or not len(customers):
            return np.empty(0, np.int32), np.empty((0, 0), np.float32)
        table = batch.customers.filter(pl.col("customer").is_in(customers))
        return customers, self._encoder.vectors(
            purchases,
            np.arange(len(customers)),
            day_number(batch.as_of),
            self._network.attributes.numbers(table),
        )

    def save(self, folder: Path) -> None:
        """Write the network, if anything was learned, how articles stand, and what is on sale."""
        np.save(folder / _OFFSETS, self.article_offsets)
        if self._network is not None:
            self._network.save(folder)
            np.save(folder / _STATES, np.stack(self._states))

    def load(self, folder: Path) -> Self:
        """Read it back; vectors and a trained network are not needed."""
        trained = len(list(folder.iterdir())) > 1
        network = TrainedGraph.load(folder) if trained else None
        states = list(np.load(folder / _STATES)) if trained else []
        return self._ask(network, states, np.load(folder / _OFFSETS))
