"""A setting that names a column of the articles: a typing error is told before any work."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated

from pydantic import AfterValidator

from modiste.data.schema import ARTICLES


def _known(name: str) -> str:
    names = [column.name for column in ARTICLES]
    if name not in names:
        near = get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"they are {', '.join(names)}"
        raise ValueError(f"no such column of the articles: {hint}")
    return name


ArticleColumn = Annotated[str, AfterValidator(_known)]
