"""The endpoint of the catalogue's map: all articles' places, in a form that a browser draws."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import polars as pl
from fastapi import APIRouter, Request
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from modiste.report.catalogue_map import COLOURED_BY
from modiste.service.answering import Answering, NotKnownError
from modiste.service.endpoints import ASKED_FOR_ONE, answer

# Places are sent as whole numbers up to this one.
_FINEST = 2**16 - 1


class Grouping(BaseModel):
    """A column that points are coloured by."""

    column: str = Field(examples=["section_name"])
    values: list[str | None] = Field(description="Those of the most articles first; null: none.")
    codes: str = Field(description="By article the number of its value: base64, uint16, little.")


class CatalogueMap(BaseModel):
    """Articles that are alike lie near each other; those without a place are left out."""

    article_ids: list[str]
    names: list[str | None]
    places: str = Field(
        description="x and y of each article, one after the other: base64, uint16, little endian."
    )
    groupings: list[Grouping]


def map_router() -> APIRouter:
    """The endpoint."""
    router = APIRouter(tags=["articles"])

    @router.get("/map", summary="The catalogue as a map", responses=ASKED_FOR_ONE)
    async def catalogue_map(request: Request) -> CatalogueMap:
        """Where each article lies, and what it can be coloured by."""
        return await answer(request, _map)

    return router


def _map(answering: Answering) -> CatalogueMap:
    bundle = answering.bundle
    if bundle.places is None:
        raise NotKnownError("this bundle has no map: export a run with article vectors")
    placed = np.isfinite(bundle.places).all(axis=1)
    articles = bundle.articles.filter(pl.Series(placed))
    return CatalogueMap(
        article_ids=articles["article_id"].to_list(),
        names=articles["prod_name"].to_list(),
        places=_base64(_whole(bundle.places[placed])),
        groupings=[
            _grouping(articles, column)
            for column in COLOURED_BY
            if articles[column].null_count() < articles.height
        ],
    )


def _grouping(articles: pl.DataFrame, column: str) -> Grouping:
    values = articles.group_by(column).len().sort("len", column, descending=[True, False])[column]
    codes = articles.select(
        pl.col(column).replace_strict(values, np.arange(len(values)), return_dtype=pl.UInt16)
    )
    return Grouping(
        column=column, values=values.to_list(), codes=_base64(codes.to_series().to_numpy())
    )


def _whole(places: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Places as whole numbers, both axes on one scale, the second one downwards."""
    exact = places.astype(np.float64) * (1, -1)
    low = exact.min(axis=0, initial=np.inf)
    span = float((exact - low).max(initial=0.0))
    whole: NDArray[np.float64] = np.rint((exact - low) * (_FINEST / span if span else 0.0))
    return whole.astype(np.uint16)


def _base64(numbers: NDArray[Any]) -> str:
    return base64.b64encode(numbers.astype("<u2").tobytes()).decode("ascii")
