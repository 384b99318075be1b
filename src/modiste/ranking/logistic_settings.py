"""Settings of logistic regression as a ranker."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class LogisticSettings(BaseModel):
    """Settings of the logistic regression."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    l2: Annotated[float, Field(ge=0)] = Field(
        default=1e-5,
        description="Half of it, times the squared coefficients, is added to the mean loss.",
    )
    iterations: Annotated[int, Field(ge=1)] = Field(
        default=200, description="Of L-BFGS, at most; it stops where nothing is gained."
    )
