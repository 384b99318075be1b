"""The page of a look-up: what was asked, and the articles found, nearest first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from modiste import __version__
from modiste.report.examples import Tile
from modiste.report.pages import Gallery, page_environment, source
from modiste.report.pictures import PictureFolder


@dataclass(frozen=True)
class _Found:
    """An article found, and the width of its score's bar in percent (None: no bar)."""

    tile: Tile
    score: float
    same_product: bool
    bar: float | None


def similar_html(
    question: str,
    filters: Sequence[str],
    asked: pl.DataFrame,
    found: pl.DataFrame,
    pictures: PictureFolder,
) -> str:
    """Give the page as a text: one file that stands alone.

    Parameters
    ----------
    question
        What was asked, in words: the page's title.
    filters
        What the articles found had to fulfil, each in words.
    asked
        Rows of ``schema.PREPARED_ARTICLES`` that were asked about; none for a question in words.
    found
        Rows of ``schema.PREPARED_ARTICLES`` with ``score`` (higher is nearer) and ``same_product``
        (another colour of an article asked about), best first.
    pictures
        Where the photographs lie.
    """
    places = list(_places(found, pictures))
    return (
        page_environment()
        .get_template("similar.html")
        .render(
            question=question.strip() or "Look-up",
            filters=filters,
            asked=[Tile(article, pictures.picture(article)) for article in asked.to_dicts()],
            found=places,
            photographs=any(place.tile.picture.photo for place in places),
            same_products=int(found["same_product"].fill_null(value=False).sum()),
            gallery=Gallery(),
            version=__version__,
            style=source("report.css", "similar.css"),
        )
    )


def _places(found: pl.DataFrame, pictures: PictureFolder) -> Iterator[_Found]:
    scores = found["score"].fill_null(float("nan"))
    # A bar compares scores by their length, which makes no sense where some are below nought.
    drawable = bool((scores.is_finite() & (scores >= 0)).all()) and bool((scores > 0).any())
    longest = max(scores) if drawable else 1.0
    for article, score in zip(found.to_dicts(), scores, strict=True):
        yield _Found(
            Tile(article, pictures.picture(article)),
            score,
            bool(article["same_product"]),
            100 * score / longest if drawable else None,
        )
