"""Settings of the graph filter on a shop's history, apart from SciPy, which it computes with."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class GraphFilterSettings(BaseModel):
    """Settings of the graph filter."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    edge_days: Annotated[int, Field(ge=1, le=36_500)] = Field(
        default=30, description="Purchases of this many last days are edges of the graph."
    )
    edge_decay: Annotated[float, Field(ge=0)] = Field(
        default=0.0,
        description=(
            "An edge last bought n days ago weighs n ** -edge_decay; 0: all edges weigh alike."
        ),
    )
    purchase_decay: Annotated[float, Field(ge=0)] = Field(
        default=1.0,
        description="Of the customer who is asked about, a purchase of n days ago counts "
        "n ** -purchase_decay.",
    )
    popularity_power: Annotated[float, Field(ge=0)] = Field(
        default=0.5, description="Power of the recommended article's popularity."
    )
    frequencies: Annotated[int, Field(ge=1)] = Field(
        default=256, description="How many frequencies the ideal low-pass lets through."
    )
    ideal_weight: Annotated[float, Field(ge=0)] = Field(
        default=0.3, description="Weight of the ideal low-pass beside the linear one."
    )
    neighbours: Annotated[int, Field(ge=1)] = Field(
        default=500, description="Most similar articles kept for each article."
    )
    max_customers: Annotated[int, Field(ge=1)] = Field(
        default=300_000,
        description=(
            "About so many customers make the graph, drawn by their codes; of a smaller shop all. "
            "It bounds the memory of the fit, and everybody is scored all the same."
        ),
    )
    seed: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Of that draw, and of the decomposition."
    )
