"""Settings of SASRec: the network, its training, and what of a shop's history it is given.

Apart from all that imports PyTorch: every command reads settings, and few train.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from modiste.models.learning.settings import LoopSettings, ShopNetworkSettings


class NetworkSettings(BaseModel):
    """Shape of the network."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dimensions: Annotated[int, Field(ge=1)] = Field(
        default=128, description="Length of the vectors of articles and customers."
    )
    blocks: Annotated[int, Field(ge=1)] = Field(
        default=4, description="Blocks of attention and feed-forward, one upon the other."
    )
    heads: Annotated[int, Field(ge=1)] = Field(
        default=8, description="Heads of attention; they share the dimensions evenly."
    )
    feed_forward: Annotated[int, Field(ge=1)] = Field(
        default=1,
        description="Width of the feed-forward layer, in multiples of the dimensions.",
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.2, description="Share of values dropped from the input and after each layer."
    )
    attention_dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0,
        description=(
            "Share of attention weights dropped. On a CPU anything but 0 rules out the fast kernel."
        ),
    )
    content_only: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.1,
        description=(
            "Share of articles whose id is left out in a training step, so that content alone "
            "learns to stand for an article, as it must for those that are new."
        ),
    )
    max_length: Annotated[int, Field(ge=1)] = Field(
        default=200, description="The latest articles of a history that are looked at."
    )
    time_gaps: bool = Field(
        default=False,
        description="Whether the days between baskets, and from them to the as-of date, are read.",
    )
    see_own_basket: bool = Field(
        default=False,
        description=(
            "Whether an item also attends to the others of its basket. They still never predict "
            "one another."
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


class TrainingSettings(LoopSettings):
    """How the network is trained: an example is a history."""

    loss: Literal["softmax", "gbce", "bce"] = Field(
        default="softmax",
        description=(
            "softmax: cross-entropy among the positive and shared negatives; gbce: binary "
            "cross-entropy against shared negatives, calibrated; bce: against own negatives, as "
            "in the SASRec paper (there with negatives: 1)."
        ),
    )
    negatives: Annotated[int, Field(ge=1)] = Field(
        default=3000,
        description=(
            "Negatives drawn for a batch, or for each position with bce. As many as there are "
            "articles, or more, makes softmax the full cross-entropy."
        ),
    )
    sampler: Literal["uniform", "popularity"] = Field(
        default="uniform", description="How negatives are drawn."
    )
    sampler_power: Annotated[float, Field(ge=0)] = Field(
        default=0.75, description="Power of the purchases of an article in the popularity sampler."
    )
    leave_out_seen: bool = Field(
        default=True,
        description=(
            "Whether the articles of a history are no negatives to it. Right where bought articles "
            "are not recommended again, or are by another model."
        ),
    )
    calibration: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.75, description="t of gbce: 0 is plain bce, 1 estimates probabilities."
    )
    random_windows: bool = Field(
        default=True,
        description=(
            "Whether a history longer than the network's max_length gives, each epoch, a window "
            "at random, or always its end."
        ),
    )


class SASRecSettings(ShopNetworkSettings):
    """Settings of SASRec on a shop's history."""

    network: NetworkSettings = Field(
        default=NetworkSettings(
            blocks=2, heads=2, dropout=0.3, max_length=50, time_gaps=True, see_own_basket=True
        ),
        description="Shape of the network.",
    )
    training: TrainingSettings = Field(
        default=TrainingSettings(
            negatives=1000,
            sampler="popularity",
            leave_out_seen=False,
            batch=256,
            learning_rate=3e-3,
            weight_decay=0.01,
            epochs=20,
            patience=2,
        ),
        description="How it is trained.",
    )

    @model_validator(mode="after")
    def _prior_needs_softmax(self) -> Self:
        return self._require_softmax(self.training.loss)
