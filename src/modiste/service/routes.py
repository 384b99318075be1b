"""All endpoints under ``/v1``, and those about the service itself."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Request

from modiste import __version__
from modiste.service.article_routes import article_router
from modiste.service.customer_routes import customer_router
from modiste.service.customer_samples import customer_sample_router
from modiste.service.endpoints import problems
from modiste.service.messages import Health, Version
from modiste.service.problems import ProblemError
from modiste.service.recommendation_routes import recommendation_router


def make_router() -> APIRouter:
    """All endpoints under ``/v1``."""
    router = APIRouter(prefix="/v1")

    router.include_router(recommendation_router())
    router.include_router(customer_sample_router())
    router.include_router(customer_router())
    router.include_router(article_router())

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
        responses=problems(HTTPStatus.SERVICE_UNAVAILABLE),
    )
    async def ready(request: Request) -> Health:
        """Well while there is room for another request: send none where there is not."""
        if request.app.state.turns.full:
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "too many requests are waiting")
        return Health(status="ok")

    return router
