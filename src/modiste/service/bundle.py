"""A bundle, opened: all that answers are made from, memory-mapped where it grows with customers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modiste.customer_lookup import SimilarCustomers, holds_customers
from modiste.errors import BundleError, DataError
from modiste.lookup import CATALOGUE, ArticleLookup, holds_lookup
from modiste.ranking.hybrid import Hybrid
from modiste.report.results import RunMetrics
from modiste.service.article_facts import ArticleFacts
from modiste.service.catalogue_places import open_places
from modiste.service.customer_store import CustomerStore
from modiste.service.later_purchases import LaterPurchases
from modiste.service.manifest import BundleManifest, check_files, read_manifest
from modiste.service.messages import Part
from modiste.service.run_results import open_results
from modiste.service.word_index import WordIndex

# Folders of a bundle, and a table beside the catalogue.
HYBRID, CUSTOMERS, ARTICLES = "hybrid", "customers", "articles"
LOOKUP, CUSTOMER_LOOKUP = "lookup", "customer_lookup"
LATEST_SALES = "latest_sales.parquet"


@dataclass(frozen=True)
class Bundle:
    """What a run has learned, as of its date; open one with :meth:`open`.

    Attributes
    ----------
    manifest
        Its own account.
    hybrid
        As it recommends.
    customers
        With all they bought before the date.
    articles
        Columns of ``schema.PREPARED_ARTICLES``, ``on_sale`` (bool) and ``price`` (float, null where
        it is not known); row number = code.
    latest_sales
        What rules ask of sales: see :func:`modiste.ranking.hybrid.latest_sales`.
    facts
        How articles sell, and to whom.
    words
        Of the articles' texts.
    lookup
        Vectors of articles; None where the run has none.
    similar_customers
        Vectors of customers; None where the run has none.
    places
        Of the articles on the map, shape (n_articles, 2); None where the run has no map.
    results
        What the run measured; None where it was not evaluated.
    later
        What was bought after the date, to measure by; None where the export was not told.
    """

    manifest: BundleManifest
    hybrid: Hybrid
    customers: CustomerStore
    articles: pl.DataFrame
    latest_sales: pl.DataFrame
    facts: ArticleFacts
    words: WordIndex
    lookup: ArticleLookup | None
    similar_customers: SimilarCustomers | None
    places: NDArray[np.float32] | None
    results: RunMetrics | None
    later: LaterPurchases | None

    @classmethod
    def open(cls, folder: Path | str, *, hashes: bool = True) -> Self:
        """Open a bundle that is what was exported.

        Parameters
        ----------
        folder
            The bundle's.
        hashes
            Whether to compare every byte with the manifest; if not, names and sizes alone, as for
            a process beside one that has done it.

        Raises
        ------
        BundleError
            When the folder is no bundle, one of another format, or a damaged one.
        """
        folder = Path(folder)
        manifest = read_manifest(folder)
        check_files(folder, manifest, hashes=hashes)
        try:
            opened = cls._open(folder, manifest)
        except (DataError, OSError, pl.exceptions.PolarsError) as error:
            raise BundleError(
                f"cannot open {folder}, made by modiste {manifest.modiste} ({error}): "
                "make it anew with 'modiste export'"
            ) from error
        if (opened.articles.height, len(opened.customers)) != (
            manifest.articles,
            manifest.customers,
        ):
            raise BundleError(f"the tables in {folder} are not of the sizes that it names")
        return opened

    @classmethod
    def _open(cls, folder: Path, manifest: BundleManifest) -> Self:
        articles = pl.read_parquet(folder / CATALOGUE)
        lookup, customers = folder / LOOKUP, folder / CUSTOMER_LOOKUP
        return cls(
            manifest,
            Hybrid.load(folder / HYBRID),
            CustomerStore.open(folder / CUSTOMERS, manifest.as_of),
            articles,
            pl.read_parquet(folder / LATEST_SALES),
            ArticleFacts.open(folder / ARTICLES, manifest.as_of, articles.height),
            WordIndex.open(folder / ARTICLES),
            ArticleLookup.of_stages(lookup, articles) if holds_lookup(lookup) else None,
            SimilarCustomers.open(customers) if holds_customers(customers) else None,
            open_places(folder, articles.height),
            open_results(folder),
            LaterPurchases.open(folder),
        )

    @property
    def parts(self) -> list[Part]:
        """Which of the parts that are for people to look at it has."""
        there: dict[Part, object] = {
            "later purchases": self.later,
            "map": self.places,
            "results": self.results,
        }
        return [name for name, part in there.items() if part is not None]

    @cached_property
    def code_of_article(self) -> dict[str, int]:
        """The code of each article by its id."""
        return {each: code for code, each in enumerate(self.articles["article_id"])}

    @cached_property
    def codes_of_product(self) -> dict[str, list[int]]:
        """The codes of each product's articles, its colours, by the product's code."""
        products = self.articles.drop_nulls("product_code").group_by("product_code")
        return dict(products.agg(pl.col("article").sort()).iter_rows())

    def article_rows(self, codes: Sequence[int]) -> list[dict[str, Any]]:
        """The rows of some articles, by column, in the order that was asked for."""
        rows: pl.DataFrame = self.articles[list(codes)]
        return rows.to_dicts()
