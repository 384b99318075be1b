"""Bodies about a customer: who it is, what it bought, who is like it, why an article is shown."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel, Field

from modiste.service.messages import CUSTOMER, ArticleNames


class Purchase(BaseModel):
    """What a customer bought of an article on a day."""

    article: ArticleNames
    day: date
    pieces: int = Field(examples=[1])
    price: float | None = Field(description="Of one piece.", examples=[0.0339])
    online: bool | None = Field(description="Null: not known.", examples=[True])


class Customer(BaseModel):
    """A customer: what the shop knows of it, null where it does not."""

    customer_id: str = Field(examples=[CUSTOMER])
    age: int | None = Field(examples=[32])
    club_member_status: str | None = Field(examples=["ACTIVE"])
    fashion_news_frequency: str | None = Field(examples=["Regularly"])
    fashion_news: bool | None = Field(description="Whether it gets fashion news.")
    active: bool | None = Field(description="Whether it is active for communication.")
    segment: str = Field(
        description="cold: bought nothing; lately: in the last 30 days; earlier: before.",
        examples=["lately"],
    )
    as_of: date = Field(description="The day that its segment and history are seen from.")
    live_events: int | None = Field(
        description=(
            "Events after the bundle's date that were counted; null: they cannot be read now."
        )
    )
    purchases: int = Field(description="Entries of the whole history.", examples=[23])
    offset: int = Field(description="Entries before those of this page.", examples=[0])
    history: list[Purchase] = Field(description="The latest first.")


class SimilarCustomer(BaseModel):
    """A customer who is like another."""

    customer_id: str
    score: float = Field(description="Cosine of both vectors.", examples=[0.93])
    bought: list[ArticleNames] = Field(description="Its latest articles, the last one first.")


class SimilarCustomers(BaseModel):
    """Customers who are like one, the nearest first."""

    customers: list[SimilarCustomer]


class Proposal(BaseModel):
    """A source of candidates that proposed an article."""

    source: str = Field(examples=["co_visitation"])
    proposes: str = Field(
        description="The source in words.",
        examples=["what is often bought together with the customer's own articles"],
    )
    rank: int = Field(description="Its place in the source's list.")
    score: float = Field(description="On the source's own scale.")
    part: float | None = Field(description="What it adds to the blend; null: nothing.")


class RelatedPurchase(BaseModel):
    """A purchase that led to an article."""

    article: ArticleNames
    day: date
    days_ago: int
    times: int = Field(description="On how many days it was bought.")
    relations: list[str] = Field(
        description="The closest first.", examples=[["often bought together"]]
    )


class ScorerPart(BaseModel):
    """What one scorer adds to the score by which candidates are ordered."""

    scorer: str = Field(examples=["lightgbm"])
    raw: float | None = Field(description="On its own scale; null: it has none.")
    comparable: float = Field(description="Among the list's: mean 0, deviation 1.")
    weight: float = Field(description="Its share of all scorers' weights.")
    part: float = Field(description="comparable × weight; the parts add up to the score.")


class FeaturePart(BaseModel):
    """What one feature adds to a ranker's score."""

    feature: str = Field(examples=["days_since_product"])
    meaning: str = Field(
        examples=["days since the customer last bought the product, in any colour"]
    )
    group: str = Field(examples=["the customer's way with the article"])
    value: float | str | None
    part: float


class RankerParts(BaseModel):
    """A ranker's score, feature by feature."""

    ranker: str = Field(examples=["lightgbm"])
    score: float = Field(description="base and all parts, those that are left out, too.")
    base: float = Field(description="What an average candidate has.")
    features: list[FeaturePart] = Field(description="The strongest, either way, first.")


class CustomerExplanation(BaseModel):
    """Why an article stands where it does in a customer's list, or is not in it."""

    article: ArticleNames
    as_of: date
    segment: str
    k: int = Field(description="Articles that are shown.")
    shown_at: int | None = Field(description="Its place among them; null: not shown.")
    place: int | None = Field(description="By the score alone; null: no candidate.")
    candidates: int
    reason: str | None = Field(description="Why it is shown, in words; null: it is not.")
    why_not: str | None = Field(description="Why it is not shown, in words; null: it is.")
    rules: list[str] = Field(description="Rules that keep it away, in words.")
    factor: float = Field(description="By which a rule multiplies its score.")
    score: float | None = Field(description="The sum of the scorers' parts.")
    proposals: list[Proposal] = Field(description="The sources that proposed it.")
    purchases: list[RelatedPurchase] = Field(description="The closest first.")
    scorers: list[ScorerPart]
    rankers: list[RankerParts]
