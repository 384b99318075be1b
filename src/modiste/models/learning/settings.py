"""Settings of the training loop, for every network.

Apart from all that imports PyTorch: every command reads settings, and few train.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field


class LoopSettings(BaseModel):
    """How a network's weights are learned, whatever the network."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    batch: Annotated[int, Field(ge=1)] = Field(
        default=128, description="Examples a step: histories, purchases."
    )
    learning_rate: Annotated[float, Field(gt=0)] = Field(
        default=1e-3, description="Of AdamW, after the warm-up."
    )
    weight_decay: Annotated[float, Field(ge=0)] = Field(
        default=0.0, description="Of AdamW, on matrices; vectors (biases, norms) are not decayed."
    )
    second_moment_decay: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.98, description="beta 2 of AdamW."
    )
    warm_up_steps: Annotated[int, Field(ge=0)] = Field(
        default=100, description="Steps over which the learning rate rises from 0."
    )
    gradient_norm: Annotated[float, Field(gt=0)] = Field(
        default=5.0, description="Longer gradients are shortened to this norm."
    )
    weight_average: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.99,
        description=(
            "The weights that are validated and kept are a running mean, of which each step "
            "replaces 1 - weight_average; 0: the last weights themselves."
        ),
    )
    epochs: Annotated[int, Field(ge=1)] = Field(
        default=100, description="Times that every example is gone through, at most."
    )
    patience: Annotated[int, Field(ge=1)] = Field(
        default=10,
        description=(
            "Validations in a row without a better one, then training stops; those before the "
            "first that finds anything do not count."
        ),
    )
    validate_epochs: Annotated[int, Field(ge=1)] = Field(
        default=1, description="Epochs between two validations."
    )
    checkpoint_steps: Annotated[int, Field(ge=1)] = Field(
        default=200, description="Steps between two checkpoints, where there is a folder for them."
    )
    seed: Annotated[int, Field(ge=0)] = Field(default=0, description="Of all that is random.")
    precision: Literal["32-true", "bf16-mixed"] = Field(
        default="32-true",
        description=(
            "bf16-mixed: the network's products are of 16-bit numbers, for a GPU; weights, "
            "item vectors and the loss stay of 32 bits."
        ),
    )


class ShopNetworkSettings(BaseModel):
    """Settings of a network that is trained on a shop's history, whatever the network."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(
        default=False,
        description="Whether it is trained and compared; it takes far longer than the simple ones.",
    )
    content: bool = Field(
        default=True,
        description=(
            "Whether the articles' vectors, where there are any, are read beside their codes: what "
            "is known of an article that nobody bought yet."
        ),
    )
    popularity_prior: bool = Field(
        default=True,
        description=(
            "Whether the articles' popularity at the time is added to their scores, so that the "
            "network learns what is to be known beyond it. Of the loss softmax only."
        ),
    )
    prior_days: Annotated[int, Field(ge=1)] = Field(
        default=7,
        description="In training, days between the dates as of which popularity is known.",
    )
    validation_days: Annotated[int, Field(ge=1)] = Field(
        default=7,
        description=(
            "Last days that are kept back to find how many epochs are best; it is then trained "
            "anew, on all days, for as many."
        ),
    )

    def _require_softmax(self, loss: str) -> Self:
        """For the settings' own check, once they have a loss."""
        if self.popularity_prior and loss != "softmax":
            raise ValueError(
                f"popularity_prior goes with the loss softmax, and the loss is {loss}: set "
                "popularity_prior to false"
            )
        return self
