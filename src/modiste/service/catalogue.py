"""What the service says of articles: their facts, what is like them, and what words find."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from modiste.data.schema import ARTICLES
from modiste.errors import DataError
from modiste.lookup import Filters
from modiste.models.co_visitation import CoVisitation
from modiste.models.time_decay import UNIT
from modiste.service.article_messages import Likeness, WordSearch
from modiste.service.bundle import Bundle
from modiste.vectors.encoder import EncoderError

# Columns that say what an article is, and are neither its id nor told by name elsewhere.
_TOLD_ELSEWHERE = ("article_id", "product_code", "prod_name", "detail_desc")
ATTRIBUTES = tuple(
    column.name
    for column in ARTICLES
    if column.name not in _TOLD_ELSEWHERE and column.name.endswith("_name")
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """Articles that were looked for.

    Attributes
    ----------
    by
        How they were found.
    articles
        Codes and scores, the nearest first.
    """

    by: Likeness | WordSearch
    articles: Sequence[tuple[int, float]]


class Catalogue:
    """Answers about the articles of one bundle.

    Parameters
    ----------
    bundle
        Opened.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._has_encoder = bundle.lookup is not None

    def colours(self, article: int) -> list[int]:
        """The other colours of an article's product."""
        product = self._bundle.articles["product_code"][article]
        own = self._bundle.codes_of_product.get(product, [])
        return [code for code in own if code != article]

    def similar(self, article: int, k: int, *, on_sale: bool) -> Found:
        """The articles nearest to one by their texts, or without vectors by who buys both.

        Raises
        ------
        DataError
            When the article has neither.
        """
        bundle = self._bundle
        if bundle.lookup is not None:
            own = str(bundle.articles["article_id"][article])
            rows = bundle.lookup.similar(own, filters=Filters(on_sale=on_sale), k=k)
            return Found("vectors", list(rows.select("article", "score").iter_rows()))
        source = bundle.hybrid.generator.sources.get("co_visitation")
        if not isinstance(source, CoVisitation):
            raise DataError(
                "this bundle has neither vectors of articles nor what is bought together: export a "
                "run with vectors.enabled=true"
            )
        # Those that are bought together with something are on sale, all of them.
        near = source.neighbours_of(article).head(k)
        scored = near.select("target", pl.col("units") * UNIT)
        return Found("bought together", list(scored.iter_rows()))

    def search(self, text: str, k: int, *, on_sale: bool) -> Found:
        """The articles nearest to words by their sense, or without vectors by the words."""
        lookup = self._bundle.lookup
        if lookup is not None and self._has_encoder and text.strip():
            try:
                rows = lookup.similar(text=text, filters=Filters(on_sale=on_sale), k=k)
                return Found("vectors", list(rows.select("article", "score").iter_rows()))
            except EncoderError as error:
                # Told with every answer, and once here.
                _log.warning("no search by sense, by words alone: %s", error)
                self._has_encoder = False
        return Found("words", self._bundle.words.search(text, k, on_sale=on_sale))

    @cached_property
    def values(self) -> dict[str, list[dict[str, Any]]]:
        """By column its values, with the number of ``articles`` and of those ``on_sale``."""
        articles = self._bundle.articles
        return {
            column: articles.drop_nulls(column)
            .group_by(value=column)
            .agg(articles=pl.len(), on_sale=pl.col("on_sale").sum())
            .sort("articles", "value", descending=[True, False])
            .to_dicts()
            for column in ATTRIBUTES
        }
