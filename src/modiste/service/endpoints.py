"""What the endpoints of every theme share: how they are answered, what their paths hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

from fastapi import Path, Query, Request

from modiste.errors import ConfigError
from modiste.service.answering import Answering, NotKnownError
from modiste.service.encoded_slashes import WithSlashes
from modiste.service.live_events import LiveEventsUnavailableError
from modiste.service.messages import MOST_ARTICLES, ArticleNames
from modiste.service.problems import MEDIA_TYPE, Problem, ProblemError
from modiste.service.turns import Turns

Answer = TypeVar("Answer")

CustomerId = Annotated[
    str, WithSlashes, Path(min_length=1, max_length=200, description="The customer's whole id.")
]
ArticleId = Annotated[
    str,
    WithSlashes,
    Path(min_length=1, max_length=200, description="The article's id, leading zeros included."),
]
Length = Annotated[int, Query(ge=1, le=MOST_ARTICLES, description="Entries in the list.")]


def problems(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """Responses of an endpoint that are problems, for the API's own page."""
    return {
        int(status): {
            "model": Problem,
            "description": status.phrase,
            "content": {MEDIA_TYPE: {}},
        }
        for status in statuses
    }


ASKED = problems(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE)
ASKED_FOR_ONE = ASKED | problems(HTTPStatus.NOT_FOUND)


async def answer(request: Request, work: Callable[[Answering], Answer]) -> Answer:
    """Let the ranking thread answer, in turn.

    Raises
    ------
    ProblemError
        With status 404 for what is not known, 422 for rules that name what the shop does not have,
        503 for whoever only live events may know, when these cannot be read.
    """
    answering: Answering = request.app.state.answering
    turns: Turns = request.app.state.turns
    try:
        return await turns.take(lambda: work(answering))
    except NotKnownError as error:
        raise ProblemError(HTTPStatus.NOT_FOUND, str(error)) from error
    except LiveEventsUnavailableError as error:
        raise ProblemError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "the bundle does not know this customer, and live events cannot be read now: come back",
            {"Retry-After": "2"},
        ) from error
    except ConfigError as error:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error


def names_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of :class:`ArticleNames`, of a row of the articles' table."""
    return {field: row[column] for field, column in _COLUMNS.items()}


def article_names(row: Mapping[str, Any]) -> ArticleNames:
    """An article's names, of a row of the articles' table."""
    return ArticleNames(**names_of(row))


_COLUMNS = {
    "article_id": "article_id",
    "product_code": "product_code",
    "name": "prod_name",
    "colour": "colour_group_name",
    "product_type": "product_type_name",
    "section": "section_name",
    "price": "price",
}
