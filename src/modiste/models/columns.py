"""Settings that name a column of a table: a typing error is told before any work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Annotated

from pydantic import AfterValidator

from modiste.data.schema import ARTICLES, CUSTOMERS, Column


def _known(columns: Sequence[Column], of: str) -> Callable[[str], str]:
    names = [column.name for column in columns]

    def check(name: str) -> str:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"they are {', '.join(names)}"
            raise ValueError(f"no such column of the {of}: {hint}")
        return name

    return check


ArticleColumn = Annotated[str, AfterValidator(_known(ARTICLES, "articles"))]
CustomerColumn = Annotated[str, AfterValidator(_known(CUSTOMERS, "customers"))]
