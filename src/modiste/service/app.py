"""The HTTP application over an opened bundle."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from modiste import __version__
from modiste.service.answering import Answering
from modiste.service.bundle import Bundle
from modiste.service.latency import Latencies, LatencyMiddleware
from modiste.service.live_events import LiveEvents
from modiste.service.page_routes import page_router
from modiste.service.pictures import picture_router
from modiste.service.problems import add_problem_handlers
from modiste.service.routes import make_router
from modiste.service.settings import ServiceSettings
from modiste.service.turns import Turns


def make_app(bundle: Bundle, settings: ServiceSettings, live: LiveEvents | None = None) -> FastAPI:
    """The application that answers from a bundle.

    Parameters
    ----------
    bundle
        Opened.
    settings
        Of the service; host, port and workers are the server's.
    live
        Where events after the bundle's date come from; None: there are none.
    """
    turns = Turns(settings.limits)

    @asynccontextmanager
    async def until_closed(_: FastAPI) -> AsyncIterator[None]:
        yield
        turns.close()

    app = FastAPI(
        title="modiste",
        version=__version__,
        summary="Recommendations for fashion retail.",
        lifespan=until_closed,
        # An address is one or it is none; no answer sends anybody elsewhere.
        redirect_slashes=False,
        # Its pages would load scripts from foreign addresses.
        docs_url=None,
        redoc_url=None,
    )
    app.state.answering = Answering(bundle, live, settings.live)
    app.state.turns = turns
    app.state.latencies = Latencies()
    app.add_middleware(LatencyMiddleware, latencies=app.state.latencies)
    add_problem_handlers(app)
    app.include_router(make_router())
    app.include_router(picture_router(settings.images))
    app.include_router(page_router())
    return app
