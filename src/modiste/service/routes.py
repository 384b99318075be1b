"""All endpoints under ``/v1``, and those about the service itself."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Request

from modiste import __version__
from modiste.service.article_routes import article_router
from modiste.service.bundle import Bundle
from modiste.service.customer_routes import customer_router
from modiste.service.customer_samples import customer_sample_router
from modiste.service.endpoints import problems
from modiste.service.evaluation_routes import evaluation_router
from modiste.service.latency import latency_router
from modiste.service.map_routes import map_router
from modiste.service.messages import Health, Version
from modiste.service.problems import ProblemError
from modiste.service.recommendation_routes import recommendation_router
from modiste.service.result_routes import result_router


def make_router() -> APIRouter:
    """All endpoints under ``/v1``."""
    router = APIRouter(prefix="/v1")

    router.include_router(recommendation_router())
    router.include_router(customer_sample_router())
    router.include_router(customer_router())
    router.include_router(article_router())
    router.include_router(evaluation_router())
    router.include_router(map_router())
    router.include_router(result_router())
    router.include_router(latency_router())

    @router.get("/version", tags=["service"], summary="What is served")
    async def version(request: Request) -> Version:
        """Versions of the program and of the bundle, and the bundle's sizes."""
        bundle: Bundle = request.app.state.answering.bundle
        manifest = bundle.manifest
        return Version(
            modiste=__version__,
            bundle=manifest.version,
            as_of=manifest.as_of,
            articles=manifest.articles,
            customers=manifest.customers,
            parts=bundle.parts,
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
