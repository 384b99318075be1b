"""Bodies about articles: what one is, how it sells and to whom, what is like it."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import BaseModel, Field

from modiste.service.messages import ArticleNames

# How similar articles are found, and how words find articles.
Likeness = Literal["vectors", "bought together"]
WordSearch = Literal["vectors", "words"]


class WeekOfSales(BaseModel):
    """Seven days of an article's sales."""

    first_day: date
    pieces: int


class AgeBand(BaseModel):
    """Who of an age bought an article."""

    ages: str = Field(description="Years; 'unknown' where not told.", examples=["25-34"])
    buyers: int = Field(description="Customers who ever bought it.")
    share: float = Field(description="Of all its buyers, 0 to 1.")


class Article(ArticleNames):
    """All that is known of an article."""

    description: str | None
    attributes: dict[str, str] = Field(
        description="By column of the articles' table; what is not known is left out.",
        examples=[{"garment_group_name": "Trousers", "department_name": "Trousers"}],
    )
    on_sale: bool = Field(description="Whether it can be bought, as past sales tell.")
    sales: list[WeekOfSales] = Field(
        description="Every week from its first sale on; the last one ends before the bundle's date."
    )
    buyers: list[AgeBand]
    colours: list[ArticleNames] = Field(description="The product's other colours.")


class FoundArticle(ArticleNames):
    """An article that was looked for."""

    score: float = Field(description="The higher, the nearer; its scale is the method's.")
    on_sale: bool


class SimilarArticles(BaseModel):
    """Articles like one, the nearest first."""

    by: Likeness = Field(
        description=(
            "vectors: of the articles' texts (and pictures), score is the cosine; bought together: "
            "the bundle has no vectors, score says how often the same customers buy both."
        )
    )
    articles: list[FoundArticle]


class SearchResults(BaseModel):
    """Articles that words find, the nearest first."""

    by: WordSearch = Field(
        description=(
            "vectors: by the sense of the words, score is the cosine; words: the bundle has no "
            "vectors of texts, or this machine not their sentence model, and articles are found by "
            "the words themselves, score is BM25."
        )
    )
    articles: list[FoundArticle]


class AttributeValue(BaseModel):
    """A value that articles have."""

    value: str
    articles: int = Field(description="Articles that have it.")
    on_sale: int = Field(description="Those of them that are on sale.")


class Attribute(BaseModel):
    """A column of the articles' table, and its values: what rules can name."""

    column: str = Field(examples=["section_name"])
    values: list[AttributeValue] = Field(description="Those of the most articles first.")
