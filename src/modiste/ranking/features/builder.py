"""All groups of features, made of a batch's candidates one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import polars as pl

from modiste.candidates.generator import CandidateGenerator
from modiste.data.dataset import CustomerBatch, History
from modiste.models.learning.network_recommender import NetworkRecommender
from modiste.ranking.features.affinity import AffinityFeatures
from modiste.ranking.features.articles import ArticleFeatures
from modiste.ranking.features.customers import CustomerFeatures
from modiste.ranking.features.group import FeatureGroup
from modiste.ranking.features.similarity import SimilarityFeatures
from modiste.ranking.features.sources import SourceFeatures
from modiste.ranking.rows import Feature
from modiste.vectors.article_vectors import ArticleVectors


class FeatureBuilder:
    def __init__(self, generator: CandidateGenerator, vectors: ArticleVectors | None = None) -> None:
        groups: list[FeatureGroup] = [
            SourceFeatures([n for n in generator.sources if n != "popularity"]),
            ArticleFeatures(generator.models.popularity),
            CustomerFeatures(),
            AffinityFeatures(),
        ]
        if vectors is not None:
            groups.append(SimilarityFeatures("content", vectors.vectors))
        for name, source in generator.sources.items():
            if isinstance(source, NetworkRecommender) and name != "combined":
                groups.append(SimilarityFeatures(name, source.article_vectors))
        self.groups = groups

    @property
    def features(self) -> tuple[Feature, ...]:
        return tuple(f for g in self.groups for f in g.features)

    def fit(self, history: History) -> Self:
        for g in self.groups:
            g.fit(history)
        return self

    def build(self, batch: CustomerBatch, candidates: pl.DataFrame) -> pl.DataFrame:
        for g in self.groups:
            candidates = g.join(batch, candidates)
        return candidates.select("customer", "article", *[f.name for f in self.features])
