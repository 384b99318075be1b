"""Settings of TabNet: the network and its training.

Apart from all that imports PyTorch: every command reads settings, and few train.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from modiste.models.learning.settings import LoopSettings


class TabNetNetworkSettings(BaseModel):
    """Shape of the network; the names in brackets are the paper's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    decision_width: Annotated[int, Field(ge=1)] = Field(
        default=128, description="Width of what a step adds to the decision (n_d)."
    )
    attention_width: Annotated[int, Field(ge=1)] = Field(
        default=128, description="Width of what a step hands to the next one's attention (n_a)."
    )
    steps: Annotated[int, Field(ge=1)] = Field(
        default=5, description="How many times features are chosen (n_steps)."
    )
    relaxation: Annotated[float, Field(ge=1)] = Field(
        default=1.3,
        description="How often a feature may be chosen; 1: in one step only (gamma).",
    )
    shared_layers: Annotated[int, Field(ge=0)] = Field(
        default=2, description="Layers of a step whose products are shared by all steps."
    )
    own_layers: Annotated[int, Field(ge=1)] = Field(
        default=2, description="Layers of a step that are its own."
    )
    mask: Literal["sparsemax", "entmax"] = Field(
        default="sparsemax",
        description="How features are chosen: sparsemax few, entmax (alpha 1.5) some more.",
    )
    virtual_batch: Annotated[int, Field(ge=2)] = Field(
        default=128,
        description="Rows that are normalised together in training (ghost batch normalisation).",
    )
    momentum: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.02,
        description="Share of the running means and variances that a virtual batch replaces.",
    )
    embedding: Annotated[int, Field(ge=1)] = Field(
        default=4, description="Dimensions of a category, at most as many as it has codes."
    )


class TabNetTrainingSettings(LoopSettings):
    """How the network is trained: an example is a row."""

    batch: Annotated[int, Field(ge=2)] = Field(default=512, description="Rows a step.")
    learning_rate: Annotated[float, Field(gt=0)] = Field(
        default=0.02, description="Of AdamW, after the warm-up."
    )
    weight_average: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.99,
        description=(
            "The weights that are validated and kept, and with them the running means and "
            "variances, are a running mean, of which each step replaces 1 - weight_average; "
            "0: the last weights themselves."
        ),
    )
    epochs: Annotated[int, Field(ge=1)] = Field(default=30, description="Epochs, at most.")
    patience: Annotated[int, Field(ge=1)] = Field(
        default=5, description="Validations in a row without a better one, then training stops."
    )
    rows_per_epoch: Annotated[int, Field(ge=2)] | None = Field(
        default=None,
        description="Rows drawn for each epoch, none of them twice; null: all rows.",
    )
    least_steps_per_epoch: Annotated[int, Field(ge=1)] = Field(
        default=100,
        description=(
            "Where the rows are fewer than so many steps need, an epoch goes through them several "
            "times: patience counts epochs, and after some dozen steps nothing is learned yet."
        ),
    )
    sparsity: Annotated[float, Field(ge=0)] = Field(
        default=1e-3,
        description="Weight of the masks' entropy in the loss (lambda_sparse).",
    )


class TabNetSettings(BaseModel):
    """Settings of TabNet as a ranker."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: TabNetNetworkSettings = Field(
        default=TabNetNetworkSettings(), description="Shape of the network."
    )
    training: TabNetTrainingSettings = Field(
        default=TabNetTrainingSettings(), description="How it is trained."
    )
