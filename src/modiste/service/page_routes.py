"""The page: static files of this package, under a policy that lets it load nothing else."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER = Path(str(files("modiste.service") / "page"))

# Nothing from elsewhere, nothing inline, nothing around it.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    # An address of the page has ids in it.
    "Referrer-Policy": "no-referrer",
    # Asked about each time: the files are those of the program that answers.
    "Cache-Control": "no-cache",
}


class _PageFiles(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(_HEADERS)
        return response


def page_router() -> APIRouter:
    """The page at ``/``, its parts under ``/page/``."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def page(request: Request) -> FileResponse:
        del request
        return FileResponse(FOLDER / "index.html", headers=_HEADERS)

    router.routes.append(Mount("/page", _PageFiles(directory=FOLDER)))
    return router
