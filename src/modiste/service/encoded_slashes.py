"""Ids that hold a slash: one that an address gives as ``%2F`` is part of an id and parts nothing.

ASGI's ``path`` is decoded before it is taken apart, so that both look alike there.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

from pydantic import BeforeValidator
from starlette.types import ASGIApp, Receive, Scope, Send

# One of Unicode's noncharacters, which no text has.
_STAND_IN = "\ufdd0"

_ENCODED_SLASH = re.compile("%2f", re.IGNORECASE)

# Of every parameter of a path that is an id.
WithSlashes = BeforeValidator(lambda part: part.replace(_STAND_IN, "/"))


class EncodedSlashMiddleware:
    """Has a stand-in for encoded slashes in the path, for ``WithSlashes`` to take back.

    Parameters
    ----------
    app
        What answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer."""
        raw = scope.get("raw_path", b"").decode("latin-1")
        if scope["type"] == "http" and _ENCODED_SLASH.search(raw):
            scope["path"] = unquote(_ENCODED_SLASH.sub(quote(_STAND_IN), raw))
        await self._app(scope, receive, send)
