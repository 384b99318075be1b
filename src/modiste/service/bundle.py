"""A bundle, opened: all that answers are made from, memory-mapped where it grows with customers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import polars as pl

from modiste.errors import BundleError, DataError
from modiste.lookup import CATALOGUE
from modiste.ranking.hybrid import Hybrid
from modiste.service.customer_store import CustomerStore
from modiste.service.manifest import BundleManifest, check_files, read_manifest

HYBRID, CUSTOMERS = "hybrid", "customers"
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
    """

    manifest: BundleManifest
    hybrid: Hybrid
    customers: CustomerStore
    articles: pl.DataFrame
    latest_sales: pl.DataFrame

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
            opened = cls(
                manifest,
                Hybrid.load(folder / HYBRID),
                CustomerStore.open(folder / CUSTOMERS, manifest.as_of),
                pl.read_parquet(folder / CATALOGUE),
                pl.read_parquet(folder / LATEST_SALES),
            )
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

    @cached_property
    def code_of_article(self) -> dict[str, int]:
        """The code of each article by its id."""
        return {each: code for code, each in enumerate(self.articles["article_id"])}

    def article_rows(self, codes: Sequence[int]) -> list[dict[str, Any]]:
        """The rows of some articles, by column, in the order that was asked for."""
        rows: pl.DataFrame = self.articles[list(codes)]
        return rows.to_dicts()
