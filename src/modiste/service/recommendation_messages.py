"""Bodies of what asks for lists of articles, and of the lists."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import BaseModel, Field

from modiste.ranking.rules import Rules
from modiste.service.messages import ARTICLE, CUSTOMER, ArticleNames, Id, K, Request

# Customers in one request at most.
MOST_CUSTOMERS = 100

# Articles that an anonymous visitor may have looked at, the last ones.
MOST_SEEN = 200


# Weights of scorers by name; how much each counts beside the others.
ScorerWeights = dict[
    Annotated[str, Field(max_length=40)],
    Annotated[float, Field(ge=0, le=1_000, allow_inf_nan=False)],
]


class ListRequest(Request):
    """What a list of articles should be like."""

    k: K = Field(default=12, description="Articles in the list.")
    rules: Rules = Field(
        default=Rules(),
        description=(
            "What may be shown: filters, exclusions, boosts and quotas, named as ranking.rules of "
            "the config. They go beside the shop's own, which no request lifts."
        ),
        examples=[
            {
                "only": {"section_name": ["Divided Collection"]},
                "exclude_articles": [ARTICLE],
                "price_ceiling": 0.05,
                "at_most": {"product_code": 1},
            }
        ],
    )

    scorer_weights: ScorerWeights | None = Field(
        default=None,
        description=(
            "Weights of the scorers instead of the run's, whoever the customer is; GET /v1/scorers "
            "names them."
        ),
        examples=[{"blend": 0.5, "lightgbm": 1.0}],
    )


class RecommendationRequest(ListRequest):
    """Wishes for a customer's list."""

    reasons: bool = Field(
        default=False, description="Whether each article says in words why it is shown."
    )


class SeenArticle(Request):
    """An article that a visitor looked at, put into the cart or bought."""

    article_id: Id = Field(examples=[ARTICLE])
    days_ago: Annotated[int, Field(ge=0, le=3_650)] = Field(
        default=0, description="0: today.", examples=[0]
    )


class SessionRequest(RecommendationRequest):
    """A visitor of whom nothing is known but the articles looked at, in any order."""

    articles: Annotated[list[SeenArticle], Field(max_length=MOST_SEEN)] = Field(
        description="Each counts like a purchase of that day; none: a new visitor."
    )
    age: Annotated[int, Field(ge=0, le=120)] | None = Field(
        default=None, description="In years, where the visitor told it."
    )


class BatchRequest(ListRequest):
    """Several customers at once."""

    customer_ids: Annotated[list[Id], Field(min_length=1, max_length=MOST_CUSTOMERS)] = Field(
        examples=[[CUSTOMER]]
    )


class RecommendedArticle(ArticleNames):
    """One article of a list."""

    rank: int = Field(description="Its place, from 1 on.", examples=[1])
    score: float = Field(
        description="By which the list is ordered; 0 for what fills it up.", examples=[17.25]
    )
    reason: str | None = Field(
        default=None,
        description="Why it is shown, where reasons were asked for.",
        examples=["bought the same product in another colour 3 days ago"],
    )


class ListsOfBundle(BaseModel):
    """What lists are made from."""

    as_of: date = Field(
        description=(
            "The day that they are for: the bundle's, or the one after a later event that counts."
        ),
        examples=["2020-09-23"],
    )
    bundle: str = Field(description="Version of the bundle.", examples=["3f0c1a9be204"])


class Recommendations(ListsOfBundle):
    """Articles for a customer or a visitor, the best first."""

    live_events: int | None = Field(
        description=(
            "Events after the bundle's date that were counted; null: they cannot be read now."
        ),
        examples=[0],
    )
    recommendations: list[RecommendedArticle]


class CustomerRecommendations(BaseModel):
    """One of several customers' lists."""

    customer_id: str = Field(examples=[CUSTOMER])
    recommendations: list[RecommendedArticle]


class BatchRecommendations(ListsOfBundle):
    """Lists of several customers, in the order in which they were asked for."""

    customers: list[CustomerRecommendations]
    unknown: list[str] = Field(description="Ids that nobody has.")
