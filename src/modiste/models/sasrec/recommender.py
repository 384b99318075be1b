"""SASRec as a recommender: a trained network, asked as of a date.

A score is the probability that the network gives an article among all that are on sale, so that it
means the same for every customer and adds up with other sources'.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from modiste.data.dataset import CustomerBatch, History
from modiste.data.days import day_number
from modiste.errors import DataError
from modiste.evaluation.protocol import RECOMMENDATIONS, rank_by_score
from modiste.models.popularity import PopularitySettings
from modiste.models.sasrec.fitting import TrainedNetwork, article_offsets, fit_network
from modiste.models.sasrec.next_item import customer_vectors
from modiste.models.sasrec.sequences import Sequences, sequences_of
from modiste.models.sasrec.settings import SASRecSettings
from modiste.vectors.article_vectors import ArticleVectors

# Scores of a block of customers by all articles on sale, at once in memory: 64 MiB of float32.
_SCORES_IN_A_BLOCK = 1 << 24

_OFFSETS = "offsets.npy"


class SASRecRecommender:
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
            self._check(network, history)
        return self._ask(network, article_offsets(history, self.popularity, self.settings))

    def _ask(self, network: TrainedNetwork | None, offsets: NDArray[np.float32]) -> Self:
        """Ask this network; what is on sale is laid side by side once, and not at each call."""
        self._network, self._offsets = network, offsets
        (on_sale,) = np.isfinite(offsets).nonzero()
        self._on_sale = on_sale if network is not None else on_sale[:0]
        articles = np.empty((0, 0), np.float32) if network is None else network.articles[on_sale]
        self._on_sale_vectors = torch.from_numpy(articles)
        self._on_sale_offsets = torch.from_numpy(offsets[self._on_sale])
        return self

    def _check(self, trained: TrainedNetwork, history: History) -> None:
        if trained.as_of > history.as_of:
            raise DataError(
                f"{self.trained} has learned from days before {trained.as_of}, and is asked as of "
                f"{history.as_of}: it would know what is still to come. Train one as of then"
            )
        if len(trained.articles) != history.n_articles:
            raise DataError(
                f"{self.trained} knows {len(trained.articles):,} articles, but the shop has "
                f"{history.n_articles:,}: train it anew"
            )

    @property
    def article_vectors(self) -> NDArray[np.float32]:
        """The network's vectors of the articles, shape (n_articles, dimensions)."""
        return np.empty((0, 0), np.float32) if self._network is None else self._network.articles

    def customer_vectors(
        self, batch: CustomerBatch
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Vectors of those customers of a batch who bought anything that the network knows.

        Returns
        -------
        Their codes, int32, shape (n,), rising; and float32, shape (n, dimensions). The inner
        product with an article's vector is its score without popularity.
        """
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

    def recommend(self, batch: CustomerBatch, k: int) -> pl.DataFrame:
        """Up to ``k`` articles, bought ones included, for each customer with purchases."""
        customers, vectors = self.customer_vectors(batch)
        found = [pl.DataFrame(schema=RECOMMENDATIONS)]
        for first, log_probability in self._log_probabilities(vectors):
            best, place = log_probability.topk(min(k, len(self._on_sale)), sorted=False)
            rows = len(best)
            found.append(
                rank_by_score(
                    pl.DataFrame(
                        {
                            "customer": np.repeat(customers[first : first + rows], best.shape[1]),
                            "article": self._on_sale[place.numpy().ravel()],
                            "score": best.exp().numpy().ravel(),
                        }
                    ),
                    k,
                )
            )
        return pl.concat(found)

    def score(self, batch: CustomerBatch, candidates: pl.DataFrame) -> pl.DataFrame:
        """Score given articles alone.

        Parameters
        ----------
        batch
            The customers.
        candidates
            Columns ``customer`` and ``article``, and any others.

        Returns
        -------
        The candidates in their order, with a column ``score`` (float32) as :meth:`recommend` gives
        it: 0 for an article that is not on sale, null for a customer of whom nothing is known.
        """
        customers, vectors = self.customer_vectors(batch)
        place = pl.DataFrame({"customer": customers}).with_row_index("row")
        rows = (
            candidates.select("customer")
            .join(place, on="customer", how="left", maintain_order="left")["row"]
            .cast(pl.Int64)
            .fill_null(-1)
            .to_numpy()
        )
        column = np.full(len(self._offsets), -1)
        column[self._on_sale] = np.arange(len(self._on_sale))
        columns = column[candidates["article"].to_numpy()]
        scores = np.where(rows < 0, np.float32(np.nan), np.float32(0))
        for first, log_probability in self._log_probabilities(vectors):
            here = (rows >= first) & (rows < first + len(log_probability)) & (columns >= 0)
            scores[here] = log_probability[rows[here] - first, columns[here]].exp().numpy()
        return candidates.with_columns(score=pl.Series(scores).fill_nan(None))

    def _log_probabilities(
        self, vectors: NDArray[np.float32]
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Blocks of customers: number of the first, and scores of the articles on sale."""
        if not len(self._on_sale):
            return
        step = max(_SCORES_IN_A_BLOCK // len(self._on_sale), 1)
        for first in range(0, len(vectors), step):
            block = torch.from_numpy(vectors[first : first + step])
            scores = torch.addmm(self._on_sale_offsets, block, self._on_sale_vectors.t())
            yield first, scores.log_softmax(1)

    def save(self, folder: Path) -> None:
        """Write the network, if there was an order to learn, and what is on sale."""
        np.save(folder / _OFFSETS, self._offsets)
        if self._network is not None:
            self._network.save(folder)

    def load(self, folder: Path) -> Self:
        """Read it back; vectors and a trained network are not needed."""
        trained = len(list(folder.iterdir())) > 1
        network = TrainedNetwork.load(folder) if trained else None
        return self._ask(network, np.load(folder / _OFFSETS))
