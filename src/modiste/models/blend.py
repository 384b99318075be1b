"""The blend of the recommenders: each source's score times its weight, added up.

A source's score is on a scale of its own and means the same for every customer (a fresh purchase of
a best seller scores high, an old one of a slow seller low), so that one weight a source is enough
and a customer's strong evidence outbids weak evidence from elsewhere. Dividing by the customer's
total, or taking ranks, would throw just that away, and measured worse. Weights are measured: see
:mod:`modiste.models.selection`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Self

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from modiste.data.dataset import CustomerBatch, History
from modiste.errors import ConfigError
from modiste.evaluation.protocol import Recommender, rank_by_score
from modiste.models.co_visitation import CoVisitation, CoVisitationSettings
from modiste.models.combined.settings import CombinedSettings
from modiste.models.content import Content, ContentSettings
from modiste.models.graph.graph_filter_settings import GraphFilterSettings
from modiste.models.graph.sage_settings import GraphSettings
from modiste.models.other_colours import OtherColours, OtherColoursSettings
from modiste.models.popularity import Popularity, PopularitySettings
from modiste.models.popularity_by_age import PopularityByAge, PopularityByAgeSettings
from modiste.models.popularity_by_section import (
    PopularityBySection,
    PopularityBySectionSettings,
)
from modiste.models.repurchase import Repurchase, RepurchaseSettings
from modiste.models.sasrec.settings import SASRecSettings
from modiste.vectors.article_vectors import ArticleVectors

# The source that scores every article on sale, for everybody; it is part of every blend.
POPULARITY = "popularity"


class BlendSettings(BaseModel):
    """Settings of the recommenders and of their blend."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    popularity: PopularitySettings = Field(
        default=PopularitySettings(),
        description="Best sellers for everybody, and what is on sale; for all the others, too.",
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
        description="A customer's own articles on sale: latest, most popular, most repeated first.",
    )
    most_frequent: RepurchaseSettings = Field(
        default=RepurchaseSettings(purchase_decay=0.0, popularity_power=0.0, repeat_group=None),
        description="A customer's own articles on sale, most often bought first.",
    )
    other_colours: OtherColoursSettings = Field(
        default=OtherColoursSettings(),
        description="Other colours of the products that a customer bought.",
    )
    co_visitation: CoVisitationSettings = Field(
        default=CoVisitationSettings(),
        description="Articles bought together with what a customer bought.",
    )
    graph_filter: GraphFilterSettings = Field(
        default=GraphFilterSettings(),
        description="What the graph of purchases, smoothed, says of what a customer bought.",
    )
    content: ContentSettings = Field(
        default=ContentSettings(),
        description="Articles described like those that a customer bought; needs article vectors.",
    )
    sasrec: SASRecSettings = Field(
        default=SASRecSettings(),
        description="What comes next in the order of a customer's purchases: a neural network.",
    )
    gnn: GraphSettings = Field(
        default=GraphSettings(),
        description="What customers of a like neighbourhood bought next: a graph neural network.",
    )
    combined: CombinedSettings = Field(
        default=CombinedSettings(),
        description="SASRec's and the graph network's vectors as one, where both are enabled.",
    )
    candidates: Annotated[int, Field(ge=1)] = Field(
        default=50,
        description="Articles that each recommender proposes to the blend for a customer.",
    )
    weights: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default={
            "popularity": 1.0,
            "repurchase": 700.0,
            "other_colours": 200.0,
            "co_visitation": 100.0,
        },
        description=(
            "Weight of each recommender's score in the blend, where the measured choice starts; "
            "one without a weight, or with 0, has no part in it. null leaves a preset's out."
        ),
    )

    @field_validator("weights", mode="before")
    @classmethod
    def _null_leaves_out(cls, weights: Any) -> Any:
        # A setting is laid over a preset's: a weight that is there cannot be left unsaid.
        if not isinstance(weights, Mapping):
            return weights
        return {name: weight for name, weight in weights.items() if weight is not None}

    @field_validator("weights")
    @classmethod
    def _weights_name_recommenders(cls, weights: dict[str, float]) -> dict[str, float]:
        unknown = weights.keys() - RECOMMENDERS.keys()
        if unknown:
            raise ValueError(
                f"no recommender {', '.join(sorted(unknown))}: {', '.join(RECOMMENDERS)}"
            )
        if not weights.get(POPULARITY):
            raise ValueError(f"the blend needs a weight of {POPULARITY}: it scores for everybody")
        # The search moves them one after the other: their order must not depend on who wrote them.
        return {name: weights[name] for name in RECOMMENDERS if name in weights}

    @model_validator(mode="after")
    def _networks_are_enabled(self) -> Self:
        for name in self.weights:
            for network in _networks_of(name):
                if network not in self.enabled_networks:
                    raise ValueError(
                        f"models.weights names {name}, and {network} is not enabled: set "
                        f"models.{network}.enabled to true, or leave the weight out "
                        f"(models.weights.{name} to null)"
                    )
        return self

    @property
    def enabled_networks(self) -> list[str]:
        """Names of the recommenders that have to be trained, and are."""
        return [name for name in NETWORKS if getattr(self, name).enabled]


@dataclass(frozen=True)
class Artifacts:
    """What earlier stages have made and some recommenders are made of.

    Attributes
    ----------
    vectors
        Of the shop's articles.
    trained
        By recommender, folders of networks that were trained as of an earlier date; one that has
        none is trained when it is fitted.
    """

    vectors: ArticleVectors | None = None
    trained: Mapping[str, Path] = field(default_factory=dict)


def _graph_filter(settings: BlendSettings, _: Artifacts) -> Recommender:
    from modiste.models.graph_filter import GraphFilterRecommender  # SciPy is not for every command

    return GraphFilterRecommender(settings.graph_filter, settings.popularity)


def _sasrec(settings: BlendSettings, made: Artifacts) -> Recommender:
    from modiste.models.sasrec.recommender import SASRecRecommender  # PyTorch takes seconds

    return SASRecRecommender(
        settings.sasrec, settings.popularity, made.vectors, made.trained.get("sasrec")
    )


def _gnn(settings: BlendSettings, made: Artifacts) -> Recommender:
    from modiste.models.graph.recommender import GraphRecommender  # PyTorch takes seconds

    return GraphRecommender(
        settings.gnn, settings.popularity, made.vectors, made.trained.get("gnn")
    )


def _combined(settings: BlendSettings, made: Artifacts) -> Recommender:
    from modiste.models.combined.recommender import CombinedRecommender
    from modiste.models.graph.recommender import GraphRecommender
    from modiste.models.sasrec.recommender import SASRecRecommender

    return CombinedRecommender(
        settings.combined,
        SASRecRecommender(
            settings.sasrec, settings.popularity, made.vectors, made.trained.get("sasrec")
        ),
        GraphRecommender(settings.gnn, settings.popularity, made.vectors, made.trained.get("gnn")),
        made.trained.get("combined"),
    )


# Every recommender: its name, and how it is made of the settings and of what earlier stages made. A
# new one is registered here.
RECOMMENDERS: dict[str, Callable[[BlendSettings, Artifacts], Recommender]] = {
    POPULARITY: lambda all_, _: Popularity(all_.popularity),
    "popularity_by_age": lambda all_, _: PopularityByAge(all_.popularity_by_age, all_.popularity),
    "popularity_by_section": lambda all_, _: PopularityBySection(
        all_.popularity_by_section, all_.popularity
    ),
    "repurchase": lambda all_, _: Repurchase(all_.repurchase, all_.popularity),
    "most_frequent": lambda all_, _: Repurchase(all_.most_frequent, all_.popularity),
    "other_colours": lambda all_, _: OtherColours(all_.other_colours, all_.popularity),
    "co_visitation": lambda all_, _: CoVisitation(all_.co_visitation, all_.popularity),
    "graph_filter": _graph_filter,
    "content": lambda all_, made: Content(made.vectors, all_.content, all_.popularity),
    "sasrec": _sasrec,
    "gnn": _gnn,
    "combined": _combined,
}

# Those that are trained for long, and so only where they are enabled.
NETWORKS = ("sasrec", "gnn")

# What is made of all of them.
COMBINED = "combined"

# Those that can be fitted only with article vectors.
NEED_VECTORS = frozenset({"content"})


def _networks_of(recommender: str) -> tuple[str, ...]:
    """The networks that it is made of."""
    if recommender == COMBINED:
        return NETWORKS
    return (recommender,) if recommender in NETWORKS else ()


def make_recommenders(
    settings: BlendSettings, artifacts: Artifacts | None = None
) -> dict[str, Recommender]:
    """Every recommender that is enabled and can be fitted, by its name, not fitted yet."""
    artifacts = artifacts or Artifacts()
    enabled = settings.enabled_networks
    left_out = {name for name in RECOMMENDERS if not set(_networks_of(name)) <= set(enabled)}
    if artifacts.vectors is None:
        left_out |= NEED_VECTORS
    return {
        name: make(settings, artifacts)
        for name, make in RECOMMENDERS.items()
        if name not in left_out
    }


def check_vectors(settings: BlendSettings, artifacts: Artifacts) -> None:
    """Refuse weights of recommenders that there are no vectors for.

    Raises
    ------
    ConfigError
        When the weights name one, be it with 0.
    """
    missing = NEED_VECTORS & settings.weights.keys()
    if artifacts.vectors is None and missing:
        raise ConfigError(
            f"models.weights names {', '.join(sorted(missing))}, which needs article vectors, and "
            "there are none: make them with 'modiste embed', or leave the weight out "
            f"({', '.join(f'models.weights.{name}' for name in sorted(missing))} to null)"
        )


class Blend:
    """The recommenders that have a weight, together.

    Parameters
    ----------
    settings
        Of the recommenders, their weights, and how many articles each proposes.
    artifacts
        What some recommenders are made of; a blend that is loaded needs none.

    Raises
    ------
    ConfigError
        When a recommender that needs vectors has a weight, and there are none.
    """

    def __init__(
        self, settings: BlendSettings | None = None, artifacts: Artifacts | None = None
    ) -> None:
        settings, artifacts = settings or BlendSettings(), artifacts or Artifacts()
        check_vectors(settings, artifacts)
        self._make_sources(settings, artifacts)

    def _make_sources(self, settings: BlendSettings, artifacts: Artifacts) -> None:
        self.settings = settings
        self.weights = {name: weight for name, weight in settings.weights.items() if weight}
        self.popularity = Popularity(settings.popularity)
        self.personal = {
            name: RECOMMENDERS[name](settings, artifacts)
            for name in self.weights
            if name != POPULARITY
        }

    def fit(self, history: History) -> Self:
        """Fit the recommenders."""
        for source in (self.popularity, *self.personal.values()):
            source.fit(history)
        return self

    def recommend(self, batch: CustomerBatch, k: int) -> pl.DataFrame:
        """The ``k`` articles with the highest weighted sum of scores."""
        return rank_candidates(self.candidates(batch, k), self.weights, k)

    def candidates(self, batch: CustomerBatch, k: int) -> pl.DataFrame:
        """All that the ``k`` recommendations are taken from, as of :func:`gather_candidates`."""
        proposals = {
            name: source.recommend(batch, self.settings.candidates)
            for name, source in self.personal.items()
        }
        proposals[POPULARITY] = self.popularity.recommend(batch, k)
        return gather_candidates(proposals, self.popularity.article_scores)

    def save(self, folder: Path) -> None:
        """Write every recommender into a folder of its own, and the settings that they obey."""
        (folder / "settings.json").write_text(
            self.settings.model_dump_json(indent=2) + "\n", encoding="utf-8"
        )
        for name, source in ((POPULARITY, self.popularity), *self.personal.items()):
            (folder / name).mkdir()
            source.save(folder / name)

    def load(self, folder: Path) -> Self:
        """Read them back, with the settings that they were saved with."""
        text = (folder / "settings.json").read_text(encoding="utf-8")
        self._make_sources(BlendSettings.model_validate_json(text), Artifacts())
        for name, source in ((POPULARITY, self.popularity), *self.personal.items()):
            source.load(folder / name)
        return self


def gather_candidates(
    proposals: Mapping[str, pl.DataFrame], article_scores: pl.DataFrame
) -> pl.DataFrame:
    """The union of what the sources propose, with every source's score.

    Parameters
    ----------
    proposals
        Each source's recommendations (columns of ``RECOMMENDATIONS``).
    article_scores
        Popularity's scores (``article``, ``score``): it has one for every candidate, also for those
        that it did not propose.

    Returns
    -------
    Columns ``customer``, ``article`` and one for each source (float64; 0 where it does not
    propose), sorted by customer and article.
    """
    proposed = [
        frame.select("customer", "article", pl.col("score").cast(pl.Float64).alias(name))
        for name, frame in proposals.items()
        if name != POPULARITY
    ]
    proposed.append(proposals[POPULARITY].select("customer", "article"))
    personal = [name for name in proposals if name != POPULARITY]
    return (
        pl.concat(proposed, how="diagonal")
        .group_by("customer", "article")
        .agg(pl.col(personal).sum())
        .join(article_scores.rename({"score": POPULARITY}), on="article", how="left")
        .with_columns(pl.col(POPULARITY).fill_null(0.0))
        .sort("customer", "article")
    )


def rank_candidates(candidates: pl.DataFrame, weights: Mapping[str, float], k: int) -> pl.DataFrame:
    """The best ``k`` candidates of each customer by the weighted sum of the sources' scores.

    Parameters
    ----------
    candidates
        As :func:`gather_candidates` gives them.
    weights
        By source; sources without one do not count.
    k
        Recommendations a customer.
    """
    score = pl.sum_horizontal(
        [pl.col(name) * weight for name, weight in weights.items() if name in candidates.columns]
    )
    return rank_by_score(candidates.select("customer", "article", score=score), k)
