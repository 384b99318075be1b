"""Bodies about measuring: what is to be measured, how far it is, what came out."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from modiste.ranking.rules import Rules
from modiste.service.messages import ArticleNames, K, Request
from modiste.service.recommendation_messages import ScorerWeights

# A few minutes of one core at most.
MOST_EVALUATED = 2_000


class EvaluationRequest(Request):
    """Which rules and weights to measure, and on how many customers."""

    rules: Rules = Field(default=Rules(), description="Beside the shop's own.")
    scorer_weights: ScorerWeights | None = Field(
        default=None, description="Instead of the run's, as where lists are asked for."
    )
    customers: Annotated[int, Field(ge=1, le=MOST_EVALUATED)] = Field(
        default=200, description="Of those who bought after the bundle's date, at most."
    )
    k: K = Field(default=12, description="Articles of each list that count.")
    seed: Annotated[int, Field(ge=0, le=2**31)] = Field(
        default=0, description="Of the draw of customers: the same ones of the same seed."
    )


class Mean(BaseModel):
    """A mean over customers and its bootstrap interval (95 %)."""

    mean: float
    low: float
    high: float


class Change(Mean):
    """A mean of differences on the same customers, and its interval."""


class EvaluationState(BaseModel):
    """An evaluation under way, or done: figures are those of the customers so far."""

    customers: int = Field(description="To be measured.")
    done: int = Field(description="Measured so far; it is finished when these are all.")
    k: int
    before: Mean | None = Field(
        description="MAP@k under the shop's own rules, by the run's weights."
    )
    after: Mean | None = Field(description="MAP@k with the further rules and other weights.")
    change: Change | None = Field(description="What these change.")
    changed: int = Field(description="Customers whose average precision is another.")


class LaterPurchasesOfCustomer(BaseModel):
    """What a customer bought after the bundle's date; nothing of it was used to recommend."""

    articles: list[ArticleNames]
