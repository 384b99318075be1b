"""Settings of gradient-boosted trees as a ranker."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class LightGBMSettings(BaseModel):
    """How trees are grown; few leaves and few negatives measured better than many."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    loss: Literal["lambdarank", "binary"] = Field(
        default="lambdarank",
        description="lambdarank: the order within a customer's list; binary: bought or not.",
    )
    leaves: Annotated[int, Field(ge=2)] = Field(default=15, description="Leaves of a tree.")
    learning_rate: Annotated[float, Field(gt=0)] = Field(
        default=0.05, description="Share of a tree's answer that counts."
    )
    min_rows: Annotated[int, Field(ge=1)] = Field(
        default=100, description="Rows that a leaf has at least."
    )
    features: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.8, description="Share of the features that a tree sees."
    )
    l2: Annotated[float, Field(ge=0)] = Field(default=10.0, description="Penalty of the leaves.")
    rounds: Annotated[int, Field(ge=1)] = Field(default=400, description="Trees at most.")
    patience: Annotated[int, Field(ge=1)] = Field(
        default=60, description="Trees without a better MAP on watched rows before it stops."
    )
    categories: bool = Field(
        default=False, description="Whether trees see categories, too, and not only numbers."
    )
    seed: Annotated[int, Field(ge=0)] = Field(default=0, description="Seed of the features drawn.")
