"""Errors as ``application/problem+json`` (RFC 9457), and nothing of the request in them."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.types import Scope

MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """What went wrong with a request."""

    type: str = Field(default="about:blank", description="Kind of the problem.")
    title: str = Field(description="The status in words.", examples=["Not Found"])
    status: int = Field(description="The HTTP status.", examples=[404])
    detail: str = Field(
        description="What is wrong, and what to do.",
        examples=["nobody has this customer id: give the whole one"],
    )
    request_id: str | None = Field(
        default=None, description="Names the request in the service's logs."
    )


class ProblemError(Exception):
    """A request that cannot be answered.

    Parameters
    ----------
    status
        Of the response.
    detail
        For people, without any personal data.
    headers
        To be sent beside it.
    """

    def __init__(
        self, status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, dict(headers or {})


def problem_response(
    status: int,
    detail: str,
    request_id: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """A problem as a response."""
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Error"
    problem = Problem(title=title, status=status, detail=detail, request_id=request_id)
    return JSONResponse(
        problem.model_dump(exclude_none=True), status, dict(headers or {}), MEDIA_TYPE
    )


def problem_of(error: ProblemError, scope: Scope) -> JSONResponse:
    """A request's error as a response, for what stands in front of the application."""
    named = scope.get("state", {}).get("request_id")
    return problem_response(error.status, error.detail, named, error.headers)


def add_problem_handlers(app: FastAPI) -> None:
    """Answer every error of an application as a problem."""

    @app.exception_handler(ProblemError)
    async def _problem(request: Request, error: ProblemError) -> JSONResponse:
        return problem_response(error.status, error.detail, request_id(request), error.headers)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        return problem_response(
            error.status_code, str(error.detail), request_id(request), error.headers
        )

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        found = "; ".join(_in_words(each) for each in error.errors()[:_ERRORS])
        return problem_response(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            found or "the request is not valid",
            request_id(request),
        )

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> JSONResponse:
        del error  # the log has it
        return problem_response(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "something is wrong with the service: its log says more under this request's id",
            request_id(request),
        )


def request_id(request: Request) -> str | None:
    """What names the request in the log."""
    found = getattr(request.state, "request_id", None)
    return None if found is None else str(found)


# Of a request that is wrong in many places, the first so many are told.
_ERRORS = 5

# Characters of a place in a request that are told.
_PLACE = 80


def _in_words(error: Mapping[str, Any]) -> str:
    """Where a request is wrong and why; what was sent is not repeated: it may be anything."""
    place = ".".join(str(part) for part in error["loc"])[:_PLACE]
    return f"{_printable(place)}: {_printable(str(error['msg']))}"


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else "\ufffd" for each in text)
