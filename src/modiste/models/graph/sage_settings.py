"""Settings of the graph network: its shape, its training, and what of a shop it is given.

Apart from all that imports PyTorch: every command reads settings, and few train.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from modiste.models.columns import ArticleColumn, CustomerColumn
from modiste.models.learning.settings import LoopSettings, ShopNetworkSettings


class GraphSAGESettings(BaseModel):
    """Shape of the network."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dimensions: Annotated[int, Field(ge=1)] = Field(
        default=128, description="Length of the vectors of articles and customers."
    )
    heads: Annotated[int, Field(ge=1)] = Field(
        default=4,
        description="Weighted means of the neighbours, side by side; they share the dimensions.",
    )
    layers: Annotated[int, Field(ge=1)] = Field(
        default=2, description="Layers, and so how many hops away from a node is looked at."
    )
    articles_of_customer: Annotated[int, Field(ge=1)] = Field(
        default=20, description="Of the articles that a customer bought, how many are looked at."
    )
    customers_of_article: Annotated[int, Field(ge=1)] = Field(
        default=10, description="Of the customers who bought an article, how many are looked at."
    )
    neighbours: Literal["recent", "uniform"] = Field(
        default="recent",
        description="Which neighbours are looked at where there are more: the latest, or any.",
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.2, description="Share of values dropped from the inputs and after each layer."
    )
    without_id: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.1,
        description=(
            "Share of articles whose id is left out in a training step, so that content, "
            "attributes and neighbours learn to stand for one, as they must where it is new."
        ),
    )

    @model_validator(mode="after")
    def _heads_share_evenly(self) -> Self:
        if self.dimensions % self.heads:
            raise ValueError(
                f"{self.dimensions} dimensions cannot be shared evenly by {self.heads} heads: "
                "choose a number of heads that divides them"
            )
        return self


class GraphTrainingSettings(LoopSettings):
    """How the network is trained: an example is a purchase."""

    loss: Literal["softmax", "bpr"] = Field(
        default="softmax",
        description=(
            "softmax: cross-entropy among the positive and shared negatives; bpr: each positive "
            "against one negative, Bayesian personalised ranking."
        ),
    )
    negatives: Annotated[int, Field(ge=1)] = Field(
        default=500,
        description="Articles on sale that are drawn for a batch, by their popularity at the time.",
    )
    sampler_power: Annotated[float, Field(ge=0)] = Field(
        default=0.75, description="Power of the popularity in the draw; 0: all on sale alike."
    )
    own_negatives: Annotated[int, Field(ge=0)] = Field(
        default=200,
        description=(
            "Negatives that are drawn among the articles that the batch's customers bought before: "
            "the hardest ones, for a customer's vector is made of them."
        ),
    )
    workers: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Processes that sample ahead; 0: sampling waits for its turn."
    )
    period_days: Annotated[int, Field(ge=1)] = Field(
        default=1,
        description=(
            "Days whose purchases are predicted together, from what was before the first of them."
        ),
    )
    days: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="The latest days whose purchases are predicted; null: all.",
    )


class GraphSettings(ShopNetworkSettings):
    """Settings of the graph network on a shop's history."""

    network: GraphSAGESettings = Field(
        default=GraphSAGESettings(), description="Shape of the network."
    )
    training: GraphTrainingSettings = Field(
        default=GraphTrainingSettings(
            batch=512, learning_rate=2e-3, weight_decay=0.01, epochs=20, patience=2
        ),
        description="How it is trained.",
    )
    article_attributes: tuple[ArticleColumn, ...] = Field(
        default=(
            "product_code",
            "product_type_no",
            "graphical_appearance_no",
            "colour_group_code",
            "perceived_colour_value_id",
            "perceived_colour_master_id",
            "department_no",
            "index_code",
            "section_no",
            "garment_group_no",
        ),
        description="Columns of the articles whose values are read.",
    )
    customer_attributes: tuple[CustomerColumn, ...] = Field(
        default=("age", "FN", "Active", "club_member_status", "fashion_news_frequency"),
        description="Columns of the customers whose values are read.",
    )

    @model_validator(mode="after")
    def _prior_needs_softmax(self) -> Self:
        return self._require_softmax(self.training.loss)
