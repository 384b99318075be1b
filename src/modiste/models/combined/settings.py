"""Settings of the combined vectors, apart from all that imports PyTorch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class GateSettings(BaseModel):
    """How the gate is learned."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: Annotated[int, Field(ge=1)] = Field(
        default=100, description="Steps of gradient descent, each on all purchases that are drawn."
    )
    learning_rate: Annotated[float, Field(gt=0)] = Field(default=0.05, description="Of Adam.")
    days: Annotated[int, Field(ge=1)] = Field(
        default=7, description="Last days of what is known that it is learned from."
    )
    pairs: Annotated[int, Field(ge=1)] = Field(
        default=2000, description="Purchases of these days that are drawn."
    )
    seed: Annotated[int, Field(ge=0)] = Field(default=0, description="Of the sample.")


class CombinedSettings(BaseModel):
    """How the vectors of SASRec and of the graph network are made one; needs both enabled."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    way: Literal["concatenated", "gated", "mean"] = Field(
        default="concatenated",
        description=(
            "concatenated: side by side, each times its weight, so that a score is the weighted "
            "sum of both networks'; gated: the same with weights that are a learned function of "
            "how much and how lately a customer bought; mean: the mean of both vectors."
        ),
    )
    sasrec_weight: Annotated[float, Field(ge=0)] = Field(
        default=0.3, description="Of concatenated: weight of SASRec's vector."
    )
    gnn_weight: Annotated[float, Field(ge=0)] = Field(
        default=0.7, description="Of concatenated: weight of the graph network's vector."
    )
    gate: GateSettings = Field(
        default=GateSettings(), description="Of gated: how the weights are learned."
    )
