"""Candidates: what the sources propose, merged, at most so many a customer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

import polars as pl

from modiste.candidates.settings import SEGMENTS, CandidateSettings, segment_of_customers
from modiste.data.dataset import CustomerBatch, History
from modiste.evaluation.protocol import Recommender
from modiste.models.blend import RECOMMENDERS, Artifacts, BlendSettings, make_recommenders


def score_of(source: str) -> str:
    """Name of the column with a source's score."""
    return f"{source}_score"


def rank_of(source: str) -> str:
    """Name of the column with a source's rank."""
    return f"{source}_rank"


@runtime_checkable
class ScoresCandidates(Protocol):
    """A source that has a score for any article on sale, not only for those that it proposes."""

    def score(self, batch: CustomerBatch, candidates: pl.DataFrame) -> pl.DataFrame:
        """Candidates (``customer``, ``article``) in their order, with a column ``score``."""


class CandidateGenerator:
    """The sources of candidates, and their merge.

    Parameters
    ----------
    settings
        Quotas and limit.
    models
        Of the recommenders that are the sources.
    artifacts
        What some sources are made of.
    """

    def __init__(
        self,
        settings: CandidateSettings | None = None,
        models: BlendSettings | None = None,
        artifacts: Artifacts | None = None,
    ) -> None:
        self.settings = settings or CandidateSettings()
        self.models = models or BlendSettings()
        made = make_recommenders(self.models, artifacts)
        self.sources: dict[str, Recommender] = {
            name: made[name] for name in self.settings.sources if name in made
        }

    def fit(self, history: History) -> Self:
        """Fit every source."""
        for source in self.sources.values():
            source.fit(history)
        return self

    def propose(self, batch: CustomerBatch) -> dict[str, pl.DataFrame]:
        """What each source proposes within its quota: columns of ``RECOMMENDATIONS``."""
        segments = segment_of_customers(batch)
        proposals = {}
        for name, source in self.sources.items():
            quotas = {segment: self.settings.quotas[segment].get(name, 0) for segment in SEGMENTS}
            asked = segments.with_columns(
                quota=pl.col("segment")
                .cast(pl.String)
                .replace_strict(quotas, return_dtype=pl.Int64)
            ).filter(pl.col("quota") > 0)
            some = batch.only(asked["customer"])
            proposals[name] = (
                source.recommend(some, max(quotas.values()))
                .join(asked.select("customer", "quota"), on="customer", maintain_order="left")
                .filter(pl.col("rank") <= pl.col("quota"))
                .drop("quota")
            )
        return proposals

    def candidates(self, batch: CustomerBatch) -> pl.DataFrame:
        """At most ``limit`` candidates of each customer of a batch.

        Returns
        -------
        As :func:`merge`; a network scores every candidate, whoever proposed it.
        """
        merged = merge(self.propose(batch), self.settings.limit)
        for name, source in self.sources.items():
            if isinstance(source, ScoresCandidates):
                scored = source.score(batch, merged.select("customer", "article"))
                merged = merged.with_columns(scored["score"].alias(score_of(name)))
        return merged

    def save(self, folder: Path) -> None:
        """Write the settings and every source, each into a folder of its own."""
        (folder / "candidates.json").write_text(
            self.settings.model_dump_json(indent=2) + "\n", encoding="utf-8"
        )
        (folder / "models.json").write_text(
            self.models.model_dump_json(indent=2) + "\n", encoding="utf-8"
        )
        for name, source in self.sources.items():
            (folder / name).mkdir()
            source.save(folder / name)

    def load(self, folder: Path) -> Self:
        """Read back what :meth:`save` wrote, with its settings."""
        self.settings = CandidateSettings.model_validate_json(
            (folder / "candidates.json").read_text(encoding="utf-8")
        )
        self.models = BlendSettings.model_validate_json(
            (folder / "models.json").read_text(encoding="utf-8")
        )
        self.sources = {
            name: RECOMMENDERS[name](self.models, Artifacts()).load(folder / name)
            for name in self.settings.sources
            if (folder / name).is_dir()
        }
        return self


def merge(proposals: Mapping[str, pl.DataFrame], limit: int) -> pl.DataFrame:
    """The union of what sources propose, the best ranked by any of them where it is too much.

    Parameters
    ----------
    proposals
        By source, columns of ``RECOMMENDATIONS``.
    limit
        Candidates that a customer has at most. Kept are those with the best rank anywhere; among
        equals those of more sources, then of the earlier source, then of the lower code.

    Returns
    -------
    Columns ``customer``, ``article`` and, for each source, its score (Float32) and rank (UInt16),
    null where it does not propose; sorted by customer and article.
    """
    keyed = [
        frame.select("customer", "article", "rank", source=pl.lit(place, pl.UInt8))
        for place, frame in enumerate(proposals.values())
    ]
    places = (
        pl.concat(keyed)
        .group_by("customer", "article")
        .agg(pl.col("rank").min(), sources=pl.len(), source=pl.col("source").min())
    )
    order = ["customer", "rank", "sources", "source", "article"]
    kept = (
        places.sort(order, descending=[False, False, True, False, False])
        .filter(pl.int_range(pl.len()).over("customer") < limit)
        .select("customer", "article")
        .sort("customer", "article")
    )
    for name, frame in proposals.items():
        own = frame.select(
            "customer",
            "article",
            pl.col("score").alias(score_of(name)),
            pl.col("rank").alias(rank_of(name)),
        )
        kept = kept.join(own, on=["customer", "article"], how="left", maintain_order="left")
    return kept
