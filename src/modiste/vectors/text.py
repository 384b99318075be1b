"""Articles as sentences: the template of a shop's articles, and its result."""

from __future__ import annotations

import string
from typing import Annotated

import polars as pl
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from modiste.data.schema import ARTICLES

_COLUMNS = tuple(column.name for column in ARTICLES)


def _names_columns(part: str) -> str:
    try:
        columns = _columns_of(part)
    except ValueError as error:
        raise ValueError(f"{error}: write a column as {{prod_name}}") from None
    if not columns:
        raise ValueError("a part names at least one column, as in '{prod_name}'")
    unknown = [name for name in columns if name not in _COLUMNS]
    if unknown:
        raise ValueError(f"no column {unknown[0]!r} of the articles: {', '.join(_COLUMNS)}")
    return part


def _columns_of(part: str) -> list[str]:
    return [name for _, name, _, _ in string.Formatter().parse(part) if name is not None]


class TextSettings(BaseModel):
    """How an article is put into words."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    parts: tuple[Annotated[str, AfterValidator(_names_columns)], ...] = Field(
        default=(
            "{prod_name}",
            "{product_type_name}",
            "{graphical_appearance_name}",
            "{colour_group_name}",
            "{department_name}",
            "{section_name}",
            "{detail_desc}",
        ),
        min_length=1,
        description=(
            "Parts of an article's text, in their order; {column} stands for the article's value. "
            "A part with a missing value is left out as a whole."
        ),
    )
    separator: str = Field(default=". ", description="Stands between two parts.")
    missing: tuple[str, ...] = Field(
        default=("unknown", "undefined", "other", "n/a", "none"),
        description="Values, in lower case, that say nothing: they count as missing.",
    )


def article_texts(articles: pl.DataFrame, settings: TextSettings) -> pl.Series:
    """The text of every article.

    Parameters
    ----------
    articles
        Columns of ``schema.PREPARED_ARTICLES``.
    settings
        The template.

    Returns
    -------
    Strings named ``text``, one an article in the order of ``articles``; empty where nothing is
    known. Runs of white space are one space, and no separator follows a full stop.
    """
    parts = [_part(part, settings.missing) for part in settings.parts]
    text = pl.concat_str(parts, separator=settings.separator, ignore_nulls=True)
    # A description ends with a full stop of its own: "… cotton.. Solid" would be two.
    text = text.str.replace_all(r"\.\s*\.\s", ". ").str.replace_all(r"\s+", " ").str.strip_chars()
    return articles.select(text=text.fill_null(""))["text"]


def _part(part: str, missing: tuple[str, ...]) -> pl.Expr:
    pieces: list[pl.Expr] = []
    for literal, name, _, _ in string.Formatter().parse(part):
        if literal:
            pieces.append(pl.lit(literal))
        if name is not None:
            value = pl.col(name).str.strip_chars()
            says_nothing = value.str.to_lowercase().is_in(missing) | (value == "")
            pieces.append(pl.when(~says_nothing).then(value))
    # Null if one of its pieces is null.
    return pl.concat_str(pieces)
