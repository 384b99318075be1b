"""Settings of the ranking: what rankers learn from, which there are, and how they are weighed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self, cast, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from modiste.candidates.settings import SEGMENTS
from modiste.models.blend import COMBINED, NETWORKS
from modiste.ranking.lightgbm_settings import LightGBMSettings
from modiste.ranking.logistic_settings import LogisticSettings
from modiste.ranking.tabnet.settings import TabNetSettings

RankerName = Literal["lightgbm", "lightgbm_known", "tabnet", "logistic"]

# The blend of the recommenders, as one scorer of candidates among others.
BLEND_SCORER = "blend"

# Networks score every candidate, and so can have a weight of their own beside the rankers.
NETWORK_SCORERS = (*NETWORKS, COMBINED)

Weight = Annotated[float, Field(ge=0)]

Segment = Literal["cold", "lately", "earlier"]


class RankingSettings(BaseModel):
    """How candidates are put into an order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(
        default=True,
        description="Whether candidates are ranked; if not, the blend alone recommends.",
    )
    windows: Annotated[int, Field(ge=1)] = Field(
        default=4, description="Past windows that rankers learn from, at most."
    )
    older_windows: Annotated[int, Field(ge=0)] = Field(
        default=16,
        description=(
            "Windows before a gap in the data that rankers learn from beside those, at most: a "
            "sample of some whole days has too few of them in a row. None where a network is "
            "enabled, which has to be older than all of them."
        ),
    )
    segments: dict[RankerName, Annotated[tuple[Segment, ...], Field(min_length=1)]] = Field(
        default={
            "lightgbm": ("lately",),
            "lightgbm_known": ("lately", "earlier"),
            "tabnet": ("lately",),
            "logistic": ("lately",),
        },
        description=(
            "Customers that each ranker learns from: cold, lately, earlier; all, where it is not "
            "named. Those who bought lately have most of the score, and trees that have to order "
            "the others' lists, too, order theirs worse. Where none of these bought anything, all "
            "others are learned from."
        ),
    )
    customers: Annotated[int, Field(ge=1)] = Field(
        default=100_000, description="Customers of a window whose lists are learned from, at most."
    )
    negatives: Annotated[int, Field(ge=1)] = Field(
        default=30,
        description="Candidates of a list that were not bought, drawn to be learned from.",
    )
    watched: Annotated[int, Field(ge=1)] = Field(
        default=20_000,
        description="Customers of the validation window whose whole lists are looked at, at most.",
    )
    rankers: tuple[RankerName, ...] = Field(
        default=("lightgbm", "lightgbm_known", "logistic"),
        min_length=1,
        description=(
            "Which rankers learn: lightgbm, lightgbm_known (the same trees, of all who bought "
            "before), tabnet, logistic."
        ),
    )
    lightgbm: LightGBMSettings = Field(
        default=LightGBMSettings(), description="Gradient-boosted trees."
    )
    tabnet: TabNetSettings = Field(
        default=TabNetSettings(), description="A neural network that chooses features in steps."
    )
    logistic: LogisticSettings = Field(
        default=LogisticSettings(), description="Logistic regression, the floor."
    )
    cascade: Annotated[int, Field(ge=1)] = Field(
        default=50,
        description=(
            "Of a customer's candidates the first so many, by what the others say, are scored by "
            "TabNet, too, when recommending to everybody: it is the slowest."
        ),
    )
    weights: dict[str, dict[str, Weight]] = Field(
        default={
            "cold": {BLEND_SCORER: 1.0},
            # In the blend, one's own articles are so far above all others that a greater weight
            # would leave no other order of them than its own.
            "lately": {BLEND_SCORER: 0.05, "lightgbm": 1.0},
            "earlier": {BLEND_SCORER: 0.5, "lightgbm_known": 1.0},
        },
        description=(
            "Weights of the scorers by segment of customers, where the measured choice starts: "
            "blend, the rankers, and networks that are sources. One that is not there is passed "
            "over, one that is not named starts at 0."
        ),
    )
    z: Annotated[float, Field(ge=0)] = Field(
        default=2.0,
        description=(
            "Standard errors by which a gain must be clear for a weight to move: some dozens of "
            "weights are tried, and at 1 several of them move by luck."
        ),
    )
    seed: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Seed of the draws of customers and negatives."
    )

    @property
    def segments_learned_from(self) -> set[str]:
        """Segments whose customers some ranker learns from."""
        return {segment for name in self.rankers for segment in self.segments_of(name)}

    def segments_of(self, ranker: str) -> tuple[str, ...]:
        """Segments whose customers a ranker learns from."""
        return self.segments.get(cast(RankerName, ranker), SEGMENTS)

    def first_weights(self, scorers: Sequence[str]) -> dict[str, dict[str, float]]:
        """By segment, the weights that the choice starts with, of those scorers that there are.

        Where none of them has a weight in a segment, they all count alike: 0 is no order.
        """
        first = {
            segment: {name: of_segment.get(name, 0.0) for name in scorers}
            for segment, of_segment in self.weights.items()
        }
        return {
            segment: of_segment if any(of_segment.values()) else dict.fromkeys(scorers, 1.0)
            for segment, of_segment in first.items()
        }

    @model_validator(mode="after")
    def _weights_name_segments_and_scorers(self) -> Self:
        if set(self.weights) != set(SEGMENTS):
            raise ValueError(f"weights are of the segments {', '.join(SEGMENTS)}")
        known = (BLEND_SCORER, *get_args(RankerName), *NETWORK_SCORERS)
        for segment, of_segment in self.weights.items():
            unknown = of_segment.keys() - set(known)
            if unknown:
                raise ValueError(
                    f"no scorer {', '.join(sorted(unknown))} (weights.{segment}): there are "
                    f"{', '.join(known)}"
                )
            if not any(of_segment.get(name) for name in (BLEND_SCORER, *self.rankers)):
                raise ValueError(
                    f"weights.{segment}: all scorers that there always are have the weight 0, "
                    "which is no order"
                )
        return self
