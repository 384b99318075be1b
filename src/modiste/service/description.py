"""The API's own description (OpenAPI), with what a key has to be for at each endpoint."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from modiste.service.access import SCHEME, required_role

_NAME = "key"


def describe_keys(app: FastAPI) -> None:
    """Say in an application's description which endpoints need a key, and of which role."""

    def description() -> dict[str, Any]:
        if app.openapi_schema is None:
            found = get_openapi(
                title=app.title, version=app.version, summary=app.summary, routes=app.routes
            )
            found.setdefault("components", {})["securitySchemes"] = {
                _NAME: {"type": "http", "scheme": SCHEME.lower()}
            }
            for path, methods in found["paths"].items():
                for method, operation in methods.items():
                    role = required_role(method.upper(), path)
                    if role is not None:
                        operation["security"] = [{_NAME: [str(role)]}]
            app.openapi_schema = found
        return app.openapi_schema

    app.openapi = description  # type: ignore[method-assign]
