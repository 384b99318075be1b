"""Settings of the graph filter, apart from all that computes."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class FilterSettings(BaseModel):
    """What the graph filter lets through."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rank: Annotated[int, Field(ge=1)] = Field(
        default=256, description="Smoothest waves over the graph that the low-pass lets through."
    )
    low_pass: Annotated[float, Field(ge=0)] = Field(
        default=0.3, description="Weight of the low-pass beside the neighbours of neighbours."
    )
    iterations: Annotated[int, Field(ge=0)] = Field(
        default=3, description="Turns of the random subspace that the waves are found in."
    )
    seed: Annotated[int, Field(ge=0)] = Field(default=0, description="Of that subspace.")
