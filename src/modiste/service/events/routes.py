"""The endpoints that take events and erase them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, TypeVar

from fastapi import APIRouter, Path, Request, Response

from modiste.service.answering import Answering
from modiste.service.encoded_slashes import WithSlashes
from modiste.service.endpoints import problems
from modiste.service.events.errors import EventStoreUnavailableError
from modiste.service.events.event import Event, Id
from modiste.service.events.messages import Erasure, EventResult, EventResults, OneOrSeveral
from modiste.service.events.store import EventStore, Outcome
from modiste.service.events.writer import EventWriter
from modiste.service.metrics import ServiceMetrics
from modiste.service.problems import ProblemError, request_id
from modiste.service.settings import EventSettings

Answer = TypeVar("Answer")

_STATUSES: dict[Outcome, tuple[HTTPStatus, str | None]] = {
    Outcome.STORED: (HTTPStatus.CREATED, None),
    Outcome.DUPLICATE: (HTTPStatus.OK, None),
    Outcome.CONFLICT: (
        HTTPStatus.CONFLICT,
        "another event has this id, and stays: give each event its own",
    ),
    Outcome.ERASED: (
        HTTPStatus.GONE,
        "is of before the customer's data was erased: it is not taken any more",
    ),
}

_UNKNOWN_ARTICLE = "no article has this id: leading zeros are part of it"

_logger = logging.getLogger("modiste.service.events")


def make_event_router(
    store: EventStore, writer: EventWriter, metrics: ServiceMetrics, settings: EventSettings
) -> APIRouter:
    """The endpoints over a store.

    Parameters
    ----------
    store
        Where events are kept.
    writer
        That appends to it.
    metrics
        That count.
    settings
        Of events.
    """
    router = APIRouter(prefix="/v1", tags=["events"])

    async def available(work: Awaitable[Answer], request: Request) -> Answer:
        try:
            return await asyncio.wait_for(work, settings.seconds)
        except (EventStoreUnavailableError, TimeoutError) as error:
            metrics.store_failures.inc()
            cause = str(error) or f"no answer within {settings.seconds:g} seconds"
            _logger.warning(cause, extra={"fields": {"request_id": request_id(request)}})
            raise ProblemError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "the event store cannot be used now: send the same again, which counts once",
                {"Retry-After": str(settings.retry_seconds)},
            ) from error

    @router.post(
        "/events",
        summary="What customers did",
        responses={
            HTTPStatus.OK: {"description": "All were stored before."},
            HTTPStatus.CREATED: {"model": EventResults, "description": "Stored."},
            HTTPStatus.MULTI_STATUS: {
                "model": EventResults,
                "description": "Not all of them: each has a status of its own.",
            },
            **problems(
                HTTPStatus.CONFLICT,
                HTTPStatus.GONE,
                HTTPStatus.UNPROCESSABLE_ENTITY,
                HTTPStatus.SERVICE_UNAVAILABLE,
            ),
        },
    )
    async def post(request: Request, response: Response, body: OneOrSeveral) -> EventResults:
        """Take one event, or a list of them; when this answers, what is taken is on disk.

        An event that is sent again counts once. Of a list each is taken or refused by itself; the
        status is 201 (or 200, where all were there before) unless one was refused (207). An event
        alone that is refused is an error.
        """
        events = body if isinstance(body, list) else [body]
        answering: Answering = request.app.state.answering
        known = answering.bundle.code_of_article
        taken = [each for each in events if each.article_id in known]
        stored = await available(_stored(writer, taken), request)
        outcomes = iter(stored)
        results = [
            _result(each, next(outcomes) if each.article_id in known else None) for each in events
        ]
        for each, result in zip(events, results, strict=True):
            metrics.events.labels(each.kind, result.outcome or "refused").inc()
        if isinstance(body, Event) and results[0].detail is not None:
            raise ProblemError(HTTPStatus(results[0].status), results[0].detail)
        response.status_code = _status_of_all(results)
        return EventResults(results=results)

    @router.delete(
        "/customers/{customer_id}/data",
        summary="Erase a customer's data",
        responses=problems(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
    )
    async def erase(
        request: Request,
        customer_id: Annotated[Id, WithSlashes, Path(description="The customer's whole id.")],
    ) -> Erasure:
        """Delete all events of a customer, and use nothing any more that is known from before.

        Of the customer remains a hash of the id, and the time. What the shop's own tables say, and
        a bundle made of them, is the shop's to erase: the service does not use it from now on.
        """
        now = datetime.now(UTC)
        deleted = await available(asyncio.to_thread(store.erase, customer_id, now), request)
        return Erasure(events=deleted, erased_at=now)

    return router


async def _stored(writer: EventWriter, events: Sequence[Event]) -> list[Outcome]:
    if not events:
        return []
    return await asyncio.wrap_future(writer.submit(events))


def _result(event: Event, outcome: Outcome | None) -> EventResult:
    status, detail = (
        (HTTPStatus.UNPROCESSABLE_ENTITY, _UNKNOWN_ARTICLE)
        if outcome is None
        else _STATUSES[outcome]
    )
    return EventResult(event_id=event.event_id, status=status, outcome=outcome, detail=detail)


def _status_of_all(results: Sequence[EventResult]) -> HTTPStatus:
    if any(each.detail is not None for each in results):
        return HTTPStatus.MULTI_STATUS
    if all(each.status == HTTPStatus.OK for each in results):
        return HTTPStatus.OK
    return HTTPStatus.CREATED
