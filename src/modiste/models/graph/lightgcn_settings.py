"""Settings of LightGCN: the network and its training.

Apart from all that imports PyTorch: every command reads settings, and few train.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from modiste.models.learning.settings import LoopSettings


class LightGCNSettings(BaseModel):
    """Shape of the network, and what its vectors begin as."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dimensions: Annotated[int, Field(ge=1)] = Field(
        default=64, description="Length of the vectors of customers and articles."
    )
    layers: Annotated[int, Field(ge=0)] = Field(
        default=3, description="How far vectors are passed along the edges; 0: plain factors."
    )
    start: Literal["spectral", "normal"] = Field(
        default="spectral",
        description=(
            "What the vectors begin as. spectral: leading singular vectors of the normalised "
            "matrix; normal: drawn from a normal distribution, as in the paper."
        ),
    )
    start_deviation: Annotated[float, Field(gt=0)] = Field(
        default=0.1, description="Standard deviation of the first vectors' values."
    )


class LightGCNTraining(LoopSettings):
    """How the network is trained: an example is an edge."""

    loss: Literal["softmax", "bpr"] = Field(
        default="softmax",
        description=(
            "softmax: cross-entropy of the article among negatives that the batch shares; bpr: "
            "the article against one other, as in the paper."
        ),
    )
    similarity: Literal["cosine", "dot"] = Field(
        default="cosine",
        description="Of softmax, and of the scores that follow: of unit vectors, or of vectors.",
    )
    temperature: Annotated[float, Field(gt=0)] = Field(
        default=0.1, description="What similarities are divided by, of softmax."
    )
    popularity_power: Annotated[float, Field(ge=0)] = Field(
        default=0.0,
        description=(
            "Of softmax, and of the scores that follow: the power of an article's number of "
            "customers, plus one, that its share is multiplied by. Unit vectors have no length to "
            "learn popularity by, and recommend best sellers too seldom."
        ),
    )
    score_popularity_power: Annotated[float, Field(ge=0)] = Field(
        default=0.0,
        description=(
            "Of the scores alone: the power of an article's number of customers that its vector "
            "is multiplied by, as if popularity had been learned by its length. 0: not at all."
        ),
    )
    negatives: Annotated[int, Field(ge=0)] = Field(
        default=2048, description="Of softmax: articles that are drawn for a batch, all alike."
    )
    in_batch_negatives: bool = Field(
        default=False,
        description="Of softmax: whether the other edges' articles are negatives, too.",
    )
    vector_penalty: Annotated[float, Field(ge=0)] = Field(
        default=0.0,
        description=(
            "Weight of the squared length of the vectors, before they are passed along, of a "
            "batch's customers and articles, halved, a mean over the edges; the paper has 1e-4."
        ),
    )
    fan_out: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description=(
            "Neighbours that are drawn of each node around a batch, for graphs too large to pass "
            "vectors along all edges at each step; null: all edges, as in the paper."
        ),
    )
    edge_dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="Share of the edges that a step passes nothing along."
    )
    hide_batch: bool = Field(
        default=False,
        description=(
            "Whether a step passes nothing along its own edges: otherwise each of them brings the "
            "two vectors together that are to predict it, as no edge to be predicted later will."
        ),
    )
    batch: Annotated[int, Field(ge=1)] = Field(default=8192, description="Edges a step.")
    learning_rate: Annotated[float, Field(gt=0)] = Field(
        default=1e-2, description="Of AdamW, after the warm-up."
    )
    warm_up_steps: Annotated[int, Field(ge=0)] = Field(
        default=20, description="Steps over which the learning rate rises from 0."
    )
