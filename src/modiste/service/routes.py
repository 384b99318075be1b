"""The endpoints under ``/v1``: what each takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Annotated, TypeVar

from fastapi import APIRouter, Path, Query, Request

from modiste import __version__
from modiste.service.answering import Answering, NotKnownError, Recommended
from modiste.service.messages import (
    MOST_ARTICLES,
    Health,
    Recommendations,
    RecommendedArticle,
    Version,
)
from modiste.service.problems import ProblemError, problem_responses
from modiste.service.turns import Turns

Answer = TypeVar("Answer")

CustomerId = Annotated[
    str, Path(min_length=1, max_length=200, description="The customer's whole id.")
]
Length = Annotated[int, Query(ge=1, le=MOST_ARTICLES, description="Articles in the list.")]


_ASKED = problem_responses(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE)
_ASKED_FOR_ONE = _ASKED | problem_responses(HTTPStatus.NOT_FOUND)


async def _answer(request: Request, work: Callable[[Answering], Answer]) -> Answer:
    """Let the ranking thread answer, in turn."""
    answering: Answering = request.app.state.answering
    turns: Turns = request.app.state.turns
    try:
        return await turns.take(lambda: work(answering))
    except NotKnownError as error:
        raise ProblemError(HTTPStatus.NOT_FOUND, str(error)) from error


def _recommendations(answering: Answering, found: Sequence[Recommended]) -> Recommendations:
    names = answering.names([each.article for each in found])
    return Recommendations(
        as_of=answering.as_of,
        bundle=answering.bundle.manifest.version,
        recommendations=[
            RecommendedArticle(
                article_id=row["article_id"],
                product_code=row["product_code"],
                name=row["prod_name"],
                colour=row["colour_group_name"],
                price=row["price"],
                rank=each.rank,
                score=each.score,
            )
            for each, row in zip(found, names, strict=True)
        ],
    )


def make_router() -> APIRouter:
    """All endpoints under ``/v1``."""
    router = APIRouter(prefix="/v1")

    @router.get(
        "/customers/{customer_id}/recommendations",
        tags=["recommendations"],
        summary="Articles for a customer",
        responses=_ASKED_FOR_ONE,
    )
    async def recommend(
        request: Request, customer_id: CustomerId, k: Length = 12
    ) -> Recommendations:
        """The articles that a customer most likely buys next, by all bought before the date."""

        def work(answering: Answering) -> Recommendations:
            code = answering.customer(customer_id)
            return _recommendations(answering, answering.for_customers([code], k)[code])

        return await _answer(request, work)

    @router.get("/version", tags=["service"], summary="What is served")
    async def version(request: Request) -> Version:
        """Versions of the program and of the bundle, and the bundle's sizes."""
        manifest = request.app.state.answering.bundle.manifest
        return Version(
            modiste=__version__,
            bundle=manifest.version,
            as_of=manifest.as_of,
            articles=manifest.articles,
            customers=manifest.customers,
        )

    @router.get("/health/live", tags=["service"], summary="Whether the process runs")
    async def live() -> Health:
        """Always well while the process takes requests: restart it where this does not answer."""
        return Health(status="ok")

    @router.get(
        "/health/ready",
        tags=["service"],
        summary="Whether it can answer now",
        responses=problem_responses(HTTPStatus.SERVICE_UNAVAILABLE),
    )
    async def ready(request: Request) -> Health:
        """Well while there is room for another request: send none where there is not."""
        if request.app.state.turns.full:
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "too many requests are waiting")
        return Health(status="ok")

    return router
