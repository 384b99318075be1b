"""The API's own description (OpenAPI), with what stands in front of all endpoints in it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from modiste.service.access import SCHEME, required_role
from modiste.service.problems import MEDIA_TYPE, Problem

_KEY = "key"

# How a body is refused before any endpoint has seen it.
_OF_BODIES = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
)

# How a key is.
_OF_KEYS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS)

_PROBLEM = {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}


def complete_description(app: FastAPI, *, keys: bool) -> None:
    """Say in an application's description how requests are refused before an endpoint sees them.

    Parameters
    ----------
    app
        With problems among its responses.
    keys
        Whether keys are needed: then it says of which role, too.
    """

    def description() -> dict[str, Any]:
        if app.openapi_schema is None:
            found = get_openapi(
                title=app.title, version=app.version, summary=app.summary, routes=app.routes
            )
            if keys:
                schemes = {_KEY: {"type": "http", "scheme": SCHEME.lower()}}
                found.setdefault("components", {})["securitySchemes"] = schemes
            for path, methods in found["paths"].items():
                for method, operation in methods.items():
                    if "requestBody" in operation:
                        _add_problems(operation, _OF_BODIES)
                    role = required_role(method.upper(), path)
                    if keys and role is not None:
                        operation["security"] = [{_KEY: [str(role)]}]
                        _add_problems(operation, _OF_KEYS)
            app.openapi_schema = found
        return app.openapi_schema

    app.openapi = description  # type: ignore[method-assign]


def _add_problems(operation: dict[str, Any], statuses: tuple[HTTPStatus, ...]) -> None:
    for status in statuses:
        operation["responses"].setdefault(
            str(int(status)),
            {"description": status.phrase, "content": {MEDIA_TYPE: _PROBLEM}},
        )
