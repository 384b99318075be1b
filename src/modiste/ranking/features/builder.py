"""All groups of features, made of a batch's candidates one after the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modiste.candidates.generator import CandidateGenerator
from modiste.data.dataset import CustomerBatch, History
from modiste.evaluation.protocol import Recommender
from modiste.models.blend import NETWORKS
from modiste.ranking.features.affinity import AffinityFeatures
from modiste.ranking.features.articles import ArticleFeatures
from modiste.ranking.features.customers import CustomerFeatures
from modiste.ranking.features.group import FeatureGroup
from modiste.ranking.features.similarity import SimilarityFeatures
from modiste.ranking.features.sources import SourceFeatures
from modiste.ranking.features.visits import VisitFeatures
from modiste.ranking.rows import Feature
from modiste.vectors.article_vectors import ArticleVectors


class FeatureBuilder:
    """The groups of features, in an order in which each finds what it needs.

    Parameters
    ----------
    generator
        Of the candidates; fitted before the builder is.
    vectors
        Of the articles' texts.
    """

    def __init__(
        self, generator: CandidateGenerator, vectors: ArticleVectors | None = None
    ) -> None:
        self.groups: dict[str, FeatureGroup] = {
            "sources": SourceFeatures(list(generator.sources)),
            "articles": ArticleFeatures(generator.models.popularity),
            "customers": CustomerFeatures(),
            "affinity": AffinityFeatures(),
            "visits": VisitFeatures(),
        }
        if vectors is not None:
            self.groups["content"] = SimilarityFeatures("content", lambda: vectors.vectors)
        for name in NETWORKS:
            if name in generator.sources:
                self.groups[name] = SimilarityFeatures(name, _vectors_of(generator.sources[name]))

    @property
    def features(self) -> tuple[Feature, ...]:
        """Every feature, in the order of the rankers' input."""
        return tuple(feature for group in self.groups.values() for feature in group.features)

    def fit(self, history: History) -> Self:
        """Fit every group."""
        for group in self.groups.values():
            group.fit(history)
        return self

    def build(self, batch: CustomerBatch, candidates: pl.DataFrame) -> pl.DataFrame:
        """Columns ``customer``, ``article`` and every feature, a row a candidate.

        Parameters
        ----------
        batch
            The customers of the candidates, with their purchases.
        candidates
            As of :meth:`modiste.candidates.generator.CandidateGenerator.candidates`.
        """
        for group in self.groups.values():
            candidates = group.join(batch, candidates)
        return candidates[["customer", "article", *(feature.name for feature in self.features)]]

    def save(self, folder: Path) -> None:
        """Write every group into a folder of its own."""
        for name, group in self.groups.items():
            (folder / name).mkdir()
            group.save(folder / name)

    def load(self, folder: Path) -> Self:
        """Read back what :meth:`save` wrote."""
        if (folder / "content").is_dir():
            self.groups.setdefault("content", SimilarityFeatures("content"))
            # The order is part of what was saved: the texts' vectors go before the networks'.
            for network in [name for name in self.groups if name in NETWORKS]:
                self.groups[network] = self.groups.pop(network)
        for name, group in self.groups.items():
            group.load(folder / name)
        return self


def _vectors_of(network: Recommender) -> Callable[[], NDArray[np.float32]]:
    """A network's vectors of articles, when it is fitted."""
    return lambda: network.article_vectors  # type: ignore[attr-defined]
