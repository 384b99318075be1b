"""Settings of the evaluation."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

_Count = Annotated[int, Field(ge=1)]


class EvaluationSettings(BaseModel):
    """How recommendations are scored and how sure the figures are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    k: _Count = Field(default=12, description="Recommendations a customer that are scored.")
    recall_at: tuple[_Count, ...] = Field(
        default=(100,),
        description="Further numbers of recommendations a customer to give the recall at.",
    )
    level: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.95, description="Share of the resamples that lie in a bootstrap interval."
    )
    resamples: _Count = Field(
        default=1_000, description="Bootstrap resamples of the customers for an interval."
    )
    seed: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Seed of the bootstrap; the same seed gives the same intervals."
    )

    @field_validator("recall_at")
    @classmethod
    def _each_depth_once(cls, depths: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(dict.fromkeys(depths))

    @property
    def depth(self) -> int:
        """Recommendations a customer that all metrics together look at."""
        return max((self.k, *self.recall_at))
