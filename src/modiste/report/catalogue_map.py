"""The catalogue as a map: every article a point, near to those that are like it.

One file that stands alone. What repeats (names, groups, outlines, descriptions) is sent once and
named by number; numbers travel as bytes in base64, so that a catalogue of 100,000 articles opens
at once.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from markupsafe import Markup

from modiste import __version__
from modiste.errors import DataError
from modiste.report.pages import page_environment, source
from modiste.report.pictures import PictureFolder, drawing_of

# What points can be coloured by, and how the page calls it.
COLOURED_BY = {
    "section_name": "Section",
    "index_group_name": "Index group",
    "product_group_name": "Product group",
    "product_type_name": "Product type",
}

# What else is said of an article.
_DETAILS = {
    "colour_group_name": "Colour",
    "graphical_appearance_name": "Appearance",
    "department_name": "Department",
    "index_name": "Index",
    "garment_group_name": "Garment group",
}

# A drawing is made of these (pictures.drawing_of).
_DRAWN_BY = (
    "product_type_name",
    "product_group_name",
    "colour_group_name",
    "perceived_colour_master_name",
)

# Places are sent as whole numbers up to this one.
_FINEST = 2**16 - 1

PHOTOGRAPH_BYTES = 12_000_000


def catalogue_map_html(
    articles: pl.DataFrame,
    places: npt.NDArray[np.float32],
    pictures: PictureFolder,
    *,
    title: str = "The catalogue as a map",
    explanation: str = "Articles that are alike lie near each other.",
    colour_by: str = "section_name",
    priority: Sequence[int] | None = None,
    photograph_bytes: int = PHOTOGRAPH_BYTES,
) -> str:
    """Give the page as a text.

    Parameters
    ----------
    articles
        Rows of ``schema.PREPARED_ARTICLES``.
    places
        Where each of them lies: shape (articles, 2). An article with a coordinate that is not
        finite has no place: it is found by the search alone.
    pictures
        Where the photographs lie.
    title
        The page's title.
    explanation
        A sentence or two on how the places were made.
    colour_by
        The column that points are coloured by at first, one of ``COLOURED_BY``.
    priority
        Row numbers, most wanted first: whose photographs the page carries. Those that are not
        named come last, as the rows stand.
    photograph_bytes
        How much of the page photographs may fill. Other articles are drawn.

    Raises
    ------
    DataError
        When there are not as many places as articles, or ``colour_by`` cannot be coloured by.
    """
    if places.shape != (articles.height, 2):
        raise DataError(
            f"a map of {articles.height} articles needs places of the shape ({articles.height}, 2),"
            f" and got {places.shape}: make the places anew from the same articles"
        )
    if colour_by not in COLOURED_BY:
        raise DataError(
            f"points cannot be coloured by {colour_by!r}: choose one of {', '.join(COLOURED_BY)}"
        )
    # Those without a place come last, so that a point's number is its article's.
    placed = np.isfinite(places).all(axis=1)
    order = np.concatenate([np.flatnonzero(placed), np.flatnonzero(~placed)])
    wanted = dict.fromkeys([*(priority or ()), *range(articles.height)])
    position = np.empty(articles.height, dtype=np.int64)
    position[order] = np.arange(articles.height)
    photographs = _photographs(articles, wanted, pictures, photograph_bytes)
    shown = articles[order]
    catalogue = {
        "placed": int(placed.sum()),
        "places": _bytes(_whole(places[placed])),
        "ids": shown["article_id"].to_list(),
        "names": _dictionary(shown, "prod_name"),
        "groups": {
            column: {"title": heading, **_dictionary(shown, column)}
            for column, heading in COLOURED_BY.items()
        },
        "details": {
            column: {"title": heading, **_dictionary(shown, column)}
            for column, heading in _DETAILS.items()
            if shown[column].null_count() < shown.height
        },
        "drawings": _drawings(shown),
        "colouredBy": colour_by,
    }
    return (
        page_environment()
        .get_template("catalogue_map.html")
        .render(
            title=title.strip() or "The catalogue as a map",
            explanation=explanation,
            articles=articles.height,
            placed=int(placed.sum()),
            groups=COLOURED_BY,
            colour_by=colour_by,
            catalogue=_json(catalogue),
            descriptions=_json(_dictionary(shown, "detail_desc")),
            photographs=_json(
                {
                    "files": photographs.files,
                    "of": {str(position[row]): n for row, n in photographs.of.items()},
                }
            ),
            photographs_shown=len(photographs.of),
            version=__version__,
            style=source("report.css", "catalogue_map.css"),
            script=source("catalogue_map.js"),
        )
    )


@dataclass(frozen=True)
class _Photographs:
    """Files (base64), and which of them shows the article of a row."""

    files: list[str]
    of: dict[int, int]


def _photographs(
    articles: pl.DataFrame,
    wanted: Iterable[int],
    pictures: PictureFolder,
    most_bytes: int,
) -> _Photographs:
    files: list[str] = []
    of: dict[int, int] = {}
    # None: this one is not in the page.
    numbers: dict[Path, int | None] = {}
    left = most_bytes
    ids, products = articles["article_id"].to_list(), articles["product_code"].to_list()
    for row in wanted if most_bytes > 0 else ():
        path = pictures.photograph(ids[row], products[row])
        if path is None:
            continue
        if path not in numbers:
            photo = pictures.embedded(path) if left > 0 else None
            numbers[path] = None
            if photo is not None:
                left -= len(photo)
                if left >= 0:  # the first that does not fit is the last to be looked at
                    numbers[path] = len(files)
                    # The page puts the beginning back: it is the same for all.
                    files.append(photo.partition(",")[2])
        number = numbers[path]
        if number is not None:
            of[row] = number
    return _Photographs(files, of)


def _whole(places: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """Places as whole numbers, both axes on one scale, the second downwards as on a screen."""
    if not len(places):
        return np.empty((0, 2), dtype=np.uint16)
    exact = places.astype(np.float64) * (1, -1)
    low = exact.min(axis=0)
    span = float((exact.max(axis=0) - low).max())
    whole: npt.NDArray[np.uint16] = np.rint((exact - low) * (_FINEST / span if span else 0)).astype(
        np.uint16
    )
    return whole


def _dictionary(frame: pl.DataFrame, column: str) -> dict[str, Any]:
    """Values once, most frequent first, and by row the number of its value."""
    values = frame.select(column).group_by(column).len()
    values = values.sort("len", column, descending=[True, False], nulls_last=True)
    values = values.with_row_index("code").drop("len")
    codes = frame.select(column).join(
        values, on=column, how="left", nulls_equal=True, maintain_order="left"
    )["code"]
    return {"values": values[column].to_list(), **_codes(codes.to_numpy(), values.height)}


def _drawings(articles: pl.DataFrame) -> dict[str, Any]:
    """Outlines once, drawings (outline, colour, letter) once, and by row the number of its own."""
    # Names matter where nothing else is known: then they give the letter.
    looks = articles.select(
        *_DRAWN_BY,
        prod_name=pl.when(
            pl.coalesce("product_type_name", "product_group_name").fill_null("") == ""
        ).then("prod_name"),
    )
    outlines: dict[str, int] = {}
    drawings: dict[tuple[int, str, str], int] = {}
    distinct = looks.unique(maintain_order=True)
    codes = []
    for look in distinct.to_dicts():
        drawn = drawing_of(look)
        outline = -1 if drawn.outline is None else outlines.setdefault(drawn.outline, len(outlines))
        # A letter is drawn only where there is no outline.
        key = (outline, drawn.colour, drawn.letter if outline < 0 else "")
        codes.append(drawings.setdefault(key, len(drawings)))
    by_row = looks.join(
        distinct.with_columns(drawing=pl.Series(codes, dtype=pl.UInt32)),
        on=looks.columns,
        how="left",
        nulls_equal=True,
        maintain_order="left",
    )["drawing"]
    return {
        "outlines": list(outlines),
        "kinds": list(drawings),
        **_codes(by_row.to_numpy(), len(drawings)),
    }


def _codes(codes: npt.NDArray[Any], n_values: int) -> dict[str, Any]:
    """Numbers below ``n_values`` as bytes, and how many bits each has."""
    bits = next(bits for bits in (8, 16, 32) if n_values <= 2**bits)
    return {"bits": bits, "codes": _bytes(codes.astype(f"uint{bits}"))}


def _bytes(numbers: npt.NDArray[Any]) -> str:
    little = numbers.astype(numbers.dtype.newbyteorder("<"))
    return base64.b64encode(little.tobytes()).decode("ascii")


def _json(content: Mapping[str, Any]) -> Markup:
    """JSON that no text within it can end: there is no ``<`` in it."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))
