"""What bodies of requests and responses have in common, and what the service says of itself."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

# Of anybody's shop; longer ones are no ids.
Id = Annotated[str, Field(min_length=1, max_length=200)]

# Articles in a list at most: as many as there are candidates.
MOST_ARTICLES = 200

K = Annotated[int, Field(ge=1, le=MOST_ARTICLES)]

# Ids in the examples of the API's own page.
CUSTOMER = "00000dbacae5abe5e23885899a1fa44253a17956c6d1c3d25f88aa139fdfc657"
ARTICLE = "0706016001"


class Request(BaseModel):
    """What a body may hold, and nothing else."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ArticleNames(BaseModel):
    """An article, as people call it; null is what the shop does not know."""

    article_id: str = Field(examples=[ARTICLE])
    product_code: str | None = Field(
        description="The product that this is a colour of.", examples=["0706016"]
    )
    name: str | None = Field(examples=["Jade HW Skinny Denim TRS"])
    colour: str | None = Field(examples=["Black"])
    product_type: str | None = Field(examples=["Trousers"])
    section: str | None = Field(examples=["Divided Collection"])
    price: float | None = Field(
        description="The last day's mean price, in the shop's unit.", examples=[0.0339]
    )


# What a bundle may hold besides, for people to look at.
Part = Literal["later purchases", "map", "results"]


class Version(BaseModel):
    """What is served."""

    modiste: str = Field(description="Version of the program.", examples=["0.1.0"])
    bundle: str = Field(description="Version of the bundle.", examples=["3f0c1a9be204"])
    as_of: date = Field(description="The day that is recommended for.", examples=["2020-09-23"])
    articles: int = Field(examples=[105_542])
    customers: int = Field(examples=[1_371_980])
    parts: list[Part] = Field(
        description="What the bundle holds besides, as its run and export had it."
    )


class Health(BaseModel):
    """Whether the process is well."""

    status: str = Field(examples=["ok"])
