"""The HTTP application over an opened bundle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST

from modiste import __version__
from modiste.service.access import AccessMiddleware
from modiste.service.answering import Answering
from modiste.service.bodies import BodyLimitMiddleware
from modiste.service.bundle import Bundle
from modiste.service.bundle_watch import BundleWatch
from modiste.service.description import complete_description
from modiste.service.encoded_slashes import EncodedSlashMiddleware
from modiste.service.events.live import StoredLiveEvents
from modiste.service.events.routes import make_event_router
from modiste.service.events.store import EventStore
from modiste.service.events.writer import EventWriter
from modiste.service.free_processes import FreeProcessMiddleware
from modiste.service.keys import FindsKeys
from modiste.service.latency import Latencies, LatencyMiddleware
from modiste.service.live_events import LiveEvents
from modiste.service.metrics import ServiceMetrics, forget_dead_processes
from modiste.service.observing import ObservingMiddleware
from modiste.service.page_routes import page_router
from modiste.service.pictures import picture_router
from modiste.service.problems import add_problem_handlers
from modiste.service.routes import make_router
from modiste.service.settings import ServiceSettings
from modiste.service.turns import Turns


def make_app(
    bundle: Bundle,
    settings: ServiceSettings,
    live: LiveEvents | None = None,
    *,
    store: EventStore | None = None,
    keys: FindsKeys | None = None,
    current: Path | None = None,
) -> FastAPI:
    """The application that answers from a bundle.

    Parameters
    ----------
    bundle
        Opened.
    settings
        Of the service; host, port and workers are the server's.
    live
        Where events after the bundle's date come from, if not from a store.
    store
        Of events, which are taken and counted; it is closed at the end. None: no events are taken.
    keys
        That are valid; None: none is needed.
    current
        The link to the bundle that is to be served, which may change; None: always this one.
    """
    turns = Turns(settings.limits)
    metrics = ServiceMetrics()
    metrics.serves(bundle.manifest.as_of)
    stored = None
    if store is not None:
        stored = StoredLiveEvents(store, settings.events.retry_seconds, metrics.store_failures.inc)
        live = stored
    writer = None if store is None else EventWriter(store, settings.events.waiting)

    def opened(a_bundle: Bundle) -> Answering:
        answering = Answering(a_bundle, live, settings.live)
        answering.warm_up()
        return answering

    def take(another: Bundle) -> None:
        app.state.answering = opened(another)
        metrics.serves(another.manifest.as_of)
        metrics.swaps.labels("taken").inc()

    @asynccontextmanager
    async def until_closed(_: FastAPI) -> AsyncIterator[None]:
        forget_dead_processes()
        watching = None
        if current is not None:
            watch = BundleWatch(
                current,
                bundle.manifest.version,
                verify=settings.verify,
                take=take,
                refused=metrics.swaps.labels("refused").inc,
            )
            watching = asyncio.create_task(watch.look_every(settings.swap_seconds))
        yield
        if watching is not None:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
        turns.close()
        if store is not None and stored is not None and writer is not None:
            stored.close()
            writer.close()
            store.close()

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
    app.state.answering = opened(bundle)
    app.state.turns = turns
    app.state.latencies = Latencies()
    app.add_middleware(LatencyMiddleware, latencies=app.state.latencies)
    add_problem_handlers(app)
    app.include_router(make_router())
    app.include_router(picture_router(settings.images))
    app.include_router(page_router())
    if store is not None and writer is not None:
        app.include_router(make_event_router(store, writer, metrics, settings.events))

    @app.get("/metrics", include_in_schema=False)
    def expose() -> Response:
        return Response(metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

    complete_description(app, keys=keys is not None)
    limits = settings.limits
    # The last one stands in front.
    app.add_middleware(
        BodyLimitMiddleware, most_bytes=limits.body_bytes, seconds=limits.body_seconds
    )
    app.add_middleware(
        AccessMiddleware,
        keys=keys,
        per_second=limits.key_requests_per_second / settings.workers,
        burst=limits.key_burst / settings.workers,
    )
    if settings.workers > 1:
        app.add_middleware(FreeProcessMiddleware, turns=turns)
    app.add_middleware(ObservingMiddleware, metrics=metrics)
    app.add_middleware(EncodedSlashMiddleware)
    return app
