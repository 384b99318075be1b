"""The blend of the baselines: each source's score times its weight, added up.

A source's score is on a scale of its own and means the same for every customer (a fresh purchase of
a best seller scores high, an old one of a slow seller low), so that one weight a source is enough
and a customer's strong evidence outbids weak evidence from elsewhere. Weights are measured: see
:mod:`modiste.models.weight_search`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Self

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from modiste.data.dataset import CustomerBatch, History
from modiste.evaluation.protocol import Recommender, rank_by_score
from modiste.models.co_visitation import CoVisitation, CoVisitationSettings
from modiste.models.other_colours import OtherColours
from modiste.models.popularity import Popularity, PopularitySettings
from modiste.models.popularity_by_age import PopularityByAge, PopularityByAgeSettings
from modiste.models.popularity_by_section import (
    PopularityBySection,
    PopularityBySectionSettings,
)
from modiste.models.repurchase import Repurchase, RepurchaseSettings


class BaselineSettings(BaseModel):
    """Settings of each baseline."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    popularity: PopularitySettings = Field(
        default=PopularitySettings(), description="Best sellers for everybody."
    )
    popularity_by_age: PopularityByAgeSettings = Field(
        default=PopularityByAgeSettings(), description="Best sellers of each age band."
    )
    popularity_by_section: PopularityBySectionSettings = Field(
        default=PopularityBySectionSettings(),
        description="Best sellers of the sections that a customer prefers.",
    )
    repurchase: RepurchaseSettings = Field(
        default=RepurchaseSettings(),
        description="A customer's own articles on sale, latest and most popular first.",
    )
    most_frequent: RepurchaseSettings = Field(
        default=RepurchaseSettings(purchase_decay=0.0, popularity_power=0.0),
        description="A customer's own articles on sale, most often bought first.",
    )
    other_colours: RepurchaseSettings = Field(
        default=RepurchaseSettings(popularity_power=0.75),
        description="Other colours of the products that a customer bought.",
    )
    co_visitation: CoVisitationSettings = Field(
        default=CoVisitationSettings(),
        description="Articles bought together with what a customer bought.",
    )


# Every baseline: its name, and how it is made of its settings. A new one is registered here.
BASELINES: dict[str, Callable[[BaselineSettings], Recommender]] = {
    "popularity": lambda settings: Popularity(settings.popularity),
    "popularity_by_age": lambda settings: PopularityByAge(settings.popularity_by_age),
    "popularity_by_section": lambda settings: PopularityBySection(settings.popularity_by_section),
    "repurchase": lambda settings: Repurchase(settings.repurchase),
    "most_frequent": lambda settings: Repurchase(settings.most_frequent),
    "other_colours": lambda settings: OtherColours(settings.other_colours),
    "co_visitation": lambda settings: CoVisitation(settings.co_visitation),
}


class BlendSettings(BaselineSettings):
    """Settings of the baselines and of their blend."""

    candidates: Annotated[int, Field(ge=12)] = Field(
        default=60, description="Articles that each baseline proposes to the blend for a customer."
    )
    weights: dict[str, float] | None = Field(
        default=None,
        description="Weight of each baseline's score. Left out: measured on validation windows.",
    )


class Blend:
    """The baselines together, by weights.

    Parameters
    ----------
    settings
        Of the baselines, and how many articles each proposes.
    weights
        Of the baselines' scores; one that has none, or 0, is not fitted at all.
    """

    def __init__(
        self, settings: BlendSettings | None = None, weights: Mapping[str, float] | None = None
    ) -> None:
        self.settings = settings or BlendSettings()
        chosen = weights if weights is not None else self.settings.weights
        self.weights = dict(chosen) if chosen is not None else dict.fromkeys(BASELINES, 1.0)
        self.sources = {
            name: make(self.settings) for name, make in BASELINES.items() if self.weights.get(name)
        }

    def fit(self, history: History) -> Self:
        """Fit every baseline that has a weight."""
        for source in self.sources.values():
            source.fit(history)
        return self

    def recommend(self, batch: CustomerBatch, k: int) -> pl.DataFrame:
        """The ``k`` articles with the highest weighted sum of scores."""
        proposals = {
            name: source.recommend(batch, max(k, self.settings.candidates))
            for name, source in self.sources.items()
        }
        return blend_proposals(proposals, self.weights, k)

    def keep(self, weights: Mapping[str, float]) -> Self:
        """Blend by other weights from now on; sources that then have none are dropped."""
        self.weights = dict(weights)
        self.sources = {name: made for name, made in self.sources.items() if weights.get(name)}
        return self

    def save(self, folder: Path) -> None:
        """Write the weights and every baseline, each into a folder of its own."""
        (folder / "weights.json").write_text(json.dumps(self.weights, indent=2), encoding="utf-8")
        for name, source in self.sources.items():
            (folder / name).mkdir()
            source.save(folder / name)

    def load(self, folder: Path) -> Self:
        """Read them back."""
        weights = json.loads((folder / "weights.json").read_text(encoding="utf-8"))
        loaded = type(self)(self.settings, weights)
        for name, source in loaded.sources.items():
            source.load(folder / name)
        self.weights, self.sources = loaded.weights, loaded.sources
        return self


def blend_proposals(
    proposals: Mapping[str, pl.DataFrame], weights: Mapping[str, float], k: int
) -> pl.DataFrame:
    """Add up the sources' weighted scores; return the best ``k`` a customer.

    Parameters
    ----------
    proposals
        Each source's recommendations (columns of ``RECOMMENDATIONS``).
    weights
        By source; sources without one, or with 0, are left out.
    k
        Recommendations a customer.
    """
    weighted = [
        frame.select("customer", "article", score=pl.col("score").cast(pl.Float64) * weights[name])
        for name, frame in proposals.items()
        if weights.get(name)
    ]
    added = pl.concat(weighted).group_by("customer", "article").agg(pl.col("score").sum())
    return rank_by_score(added, k)
