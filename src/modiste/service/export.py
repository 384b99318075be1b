"""From a finished run to a bundle: one folder with all that answering needs."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from modiste.customer_lookup import STAGE as NETWORK_INDEX
from modiste.customer_lookup import copy_customers, holds_customers
from modiste.engine import atomic_folder
from modiste.errors import BundleError
from modiste.fitted_run import FittedRun
from modiste.lookup import CATALOGUE, copy_lookup, holds_lookup, write_catalogue
from modiste.ranking.hybrid import latest_sales
from modiste.service.article_facts import write_article_facts
from modiste.service.bundle import (
    ARTICLES,
    CUSTOMER_LOOKUP,
    CUSTOMERS,
    HYBRID,
    LATEST_SALES,
    LOOKUP,
)
from modiste.service.catalogue_places import copy_places
from modiste.service.customer_store import CustomerStore, write_customer_store
from modiste.service.later_purchases import write_later_purchases
from modiste.service.manifest import FILE_NAME, BundleManifest, write_manifest
from modiste.service.run_results import copy_results
from modiste.service.word_index import write_word_index


def export_bundle(
    run: Path | str,
    out: Path | str,
    data: Path | str | None = None,
    purchases: Path | str | None = None,
) -> BundleManifest:
    """Write a run's bundle; an earlier one of that name is replaced when the new one is whole.

    Parameters
    ----------
    run
        Folder of a finished run.
    out
        The bundle's folder.
    data
        The folder of prepared tables, where the run was made from one that was moved since.
    purchases
        CSV of what was bought after the run's date, to measure by; None: not known.

    Raises
    ------
    DataError
        When there is no run, one without a ranking, or its tables are not there; when the later
        purchases are not of these customers, or not later.
    BundleError
        When ``out`` is there and is no bundle.
    """
    target = Path(out)
    if target.exists() and not (target / FILE_NAME).is_file():
        raise BundleError(f"{target} is there and is no bundle: choose another name (--out)")
    fitted = FittedRun.open(run, data)
    history, hybrid = fitted.history, fitted.hybrid
    with atomic_folder(target) as partial:
        for name in (HYBRID, CUSTOMERS, ARTICLES):
            (partial / name).mkdir()
        hybrid.save(partial / HYBRID)
        write_customer_store(history, partial / CUSTOMERS)
        write_catalogue(history, hybrid.generator.models.popularity.days, partial)
        latest_sales(history).write_parquet(partial / LATEST_SALES)
        write_article_facts(history, partial / ARTICLES)
        write_word_index(pl.read_parquet(partial / CATALOGUE), partial / ARTICLES)
        if holds_lookup(fitted.stages):
            (partial / LOOKUP).mkdir()
            copy_lookup(fitted.stages, partial / LOOKUP)
        if holds_customers(fitted.stages / NETWORK_INDEX):
            (partial / CUSTOMER_LOOKUP).mkdir()
            copy_customers(fitted.stages / NETWORK_INDEX, partial / CUSTOMER_LOOKUP)
        copy_places(fitted.stages, partial)
        copy_results(fitted.stages.parent, partial)
        if purchases is not None:
            write_later_purchases(
                Path(purchases),
                history.as_of,
                CustomerStore.open(partial / CUSTOMERS, history.as_of),
                history.articles["article_id"],
                partial,
            )
        return write_manifest(partial, history.as_of, history.n_articles, history.n_customers)
