"""Pictures of articles: a photograph where there is one, else a drawing in the article's colour."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from xml.sax.saxutils import escape

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response

from modiste.data.images import picture_file
from modiste.report.pictures import drawing_of
from modiste.service.answering import Answering
from modiste.service.endpoints import ArticleId

# A shop's pictures change rarely; an hour later a new one is seen.
_CACHED = {"Cache-Control": "public, max-age=3600", "X-Content-Type-Options": "nosniff"}

# An SVG that is opened by itself is a document: it may do nothing.
_DRAWN = {**_CACHED, "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}

# Looks (outline, colour, letter) whose drawings are kept as text.
_KEPT_DRAWINGS = 4_096


def picture_router(images: Path | None) -> APIRouter:
    """The pictures, at ``/pictures/{article_id}``: outside of ``/v1``, for browsers send no key.

    Parameters
    ----------
    images
        Folder of photographs as :mod:`modiste.data.images` says; None: all articles are drawn.
    """
    router = APIRouter(include_in_schema=False)

    @router.get("/pictures/{article_id}")
    async def picture(request: Request, article_id: ArticleId) -> Response:
        """An article's photograph (JPEG), or a drawing of it (SVG)."""
        answering: Answering = request.app.state.answering
        code = answering.bundle.code_of_article.get(article_id)
        if code is None:
            return Response(status_code=404, headers=_CACHED)
        (row,) = answering.bundle.article_rows([code])
        if images is not None:
            photograph = picture_file(images, article_id, row["product_code"])
            if photograph is not None:
                return FileResponse(photograph, headers=_CACHED, media_type="image/jpeg")
        look = drawing_of(row)
        return Response(
            drawing(look.outline, look.colour, "" if look.outline else look.letter),
            headers=_DRAWN,
            media_type="image/svg+xml",
        )

    return router


@lru_cache(_KEPT_DRAWINGS)
def drawing(outline: str | None, colour: str, letter: str) -> str:
    """An outline filled with a colour, or a letter on a disc of it, in a box of 100 x 150."""
    shape = (
        f'<path d="{outline}" fill="{colour}" stroke="#7d756d" stroke-width="1.2" '
        'stroke-linejoin="round"/>'
        if outline
        else f'<circle cx="50" cy="75" r="32" fill="{colour}" stroke="#7d756d" '
        'stroke-width="1.2"/><text x="50" y="87" text-anchor="middle" font-size="34" '
        f'font-family="Georgia, serif" fill="#fff" stroke="#000" stroke-opacity=".5" '
        f'stroke-width=".8">{escape(letter)}</text>'
    )
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 150">{shape}</svg>'
