"""Both networks as one recommender: one vector a customer, one inner product a score."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from modiste.data.dataset import CustomerBatch, History
from modiste.models.combined.gate import learn_gate
from modiste.models.combined.joining import Concatenated, Gated, Joining, Mean, facts_of
from modiste.models.combined.settings import CombinedSettings
from modiste.models.graph.recommender import GraphRecommender
from modiste.models.learning.network_recommender import NetworkRecommender
from modiste.models.sasrec.recommender import SASRecRecommender

_SETTINGS = "combined.json"


class CombinedRecommender(NetworkRecommender):
    """What comes next by the order of a customer's purchases and by their neighbourhood.

    Who is known to one network only has zeros in the other's part.

    Parameters
    ----------
    settings
        How both vectors are made one.
    sasrec, gnn
        The networks; fitted with this one.
    gate
        Folder of a gate that was learned on days before the history's date: see
        :func:`~modiste.models.combined.gate.learn_gate`. None: :meth:`fit` learns one where the
        settings want it, and trains both networks on the days before those for it.
    """

    def __init__(
        self,
        settings: CombinedSettings | None = None,
        sasrec: SASRecRecommender | None = None,
        gnn: GraphRecommender | None = None,
        gate: Path | None = None,
    ) -> None:
        self.settings = settings or CombinedSettings()
        self.sasrec, self.gnn = sasrec or SASRecRecommender(), gnn or GraphRecommender()
        self.gate = gate
        self._joining: Joining = _plain(self.settings)
        self._join()

    def fit(self, history: History) -> Self:
        """Fit both networks, and learn the gate where one is wanted and not given.

        Raises
        ------
        ConfigError
            When the mean is wanted of vectors of different lengths.
        """
        self._joining = _plain(self.settings)
        if self.settings.way == "gated":
            self._joining = (
                learn_gate(history, self.settings.gate, self.sasrec, self.gnn)
                if self.gate is None
                else Gated.load(self.gate)
            )
        self.sasrec.fit(history)
        self.gnn.fit(history)
        return self._join()

    def _join(self) -> Self:
        """Lay the articles' joined vectors side by side."""
        sequence, graph = self.sasrec.article_vectors, self.gnn.article_vectors
        n_articles = max(len(sequence), len(graph))
        # Where one network had nothing to learn from, the other is alone.
        sequence, graph = (
            each if len(each) else np.zeros((n_articles, each.shape[1]), np.float32)
            for each in (sequence, graph)
        )
        self._articles = self._joining.of_articles(sequence, graph)
        return self._put_on_sale(self.gnn.article_offsets)

    @property
    def article_vectors(self) -> NDArray[np.float32]:
        """The articles' joined vectors, shape (n_articles, dimensions)."""
        return self._articles

    def customer_vectors(
        self, batch: CustomerBatch
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Joined, of those who bought anything that either network knows; see the base class."""
        by_sasrec, by_gnn = self.sasrec.customer_vectors(batch), self.gnn.customer_vectors(batch)
        customers = np.union1d(by_sasrec[0], by_gnn[0])
        if not len(customers):
            return np.empty(0, np.int32), np.empty((0, self.article_vectors.shape[1]), np.float32)
        sequence, graph = (
            _placed(customers, *found, network.article_vectors.shape[1])
            for found, network in ((by_sasrec, self.sasrec), (by_gnn, self.gnn))
        )
        facts = facts_of(batch, customers)
        return customers, self._joining.of_customers(sequence, graph, facts)

    def save(self, folder: Path) -> None:
        """Write both networks, each into a folder of its own, the settings, and the gate."""
        (folder / _SETTINGS).write_text(self.settings.model_dump_json() + "\n", encoding="utf-8")
        for name, network in (("sasrec", self.sasrec), ("gnn", self.gnn)):
            (folder / name).mkdir()
            network.save(folder / name)
        if isinstance(self._joining, Gated):
            self._joining.save(folder)

    def load(self, folder: Path) -> Self:
        """Read it back; trained networks are not needed."""
        text = (folder / _SETTINGS).read_text(encoding="utf-8")
        self.settings = CombinedSettings.model_validate_json(text)
        self.sasrec.load(folder / "sasrec")
        self.gnn.load(folder / "gnn")
        gated = self.settings.way == "gated"
        self._joining = Gated.load(folder) if gated else _plain(self.settings)
        return self._join()


def _plain(settings: CombinedSettings) -> Joining:
    """The way that the settings say; of a gate, what it begins as."""
    if settings.way == "mean":
        return Mean()
    return Concatenated(settings.sasrec_weight, settings.gnn_weight)


def _placed(
    customers: NDArray[np.int32],
    known: NDArray[np.int32],
    vectors: NDArray[np.float32],
    width: int,
) -> NDArray[np.float32]:
    """Vectors of ``customers``, those of ``known`` and zeros."""
    placed = np.zeros((len(customers), width), dtype=np.float32)
    if len(known):
        placed[np.searchsorted(customers, known)] = vectors
    return placed
