"""Co-visitation against a naive version: dense, in one piece, straight from the formula."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modiste.data.dataset import Dataset, History
from modiste.models import co_visitation
from modiste.models.co_visitation import CoVisitation, CoVisitationSettings
from shops import write_prepared

AS_OF = date(2020, 6, 1)
CUSTOMERS, ARTICLES = 60, 25


def history_of(folder: Path, customer: object, article: object, age: object) -> History:
    days = [AS_OF - timedelta(days=int(days)) for days in np.asarray(age)]
    rows = pl.DataFrame({"customer": customer, "article": article, "t_dat": days})
    return Dataset.open(
        write_prepared(
            folder,
            pl.DataFrame({"article": range(int(np.max(np.asarray(article))) + 1)}),
            pl.DataFrame({"customer": range(int(np.max(np.asarray(customer))) + 1)}),
            rows,
            partition_customers=17,
        )
    ).until(AS_OF)


@pytest.mark.parametrize("pairs_in_a_block", [1, 40, 10_000])
def test_neighbours_are_exact_in_any_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pairs_in_a_block: int
) -> None:
    monkeypatch.setattr(co_visitation, "_PAIRS_IN_A_BLOCK", pairs_in_a_block)
    rng = np.random.default_rng(5)
    customer = np.append(rng.integers(0, CUSTOMERS, 400), CUSTOMERS - 1)
    article = np.append(rng.integers(0, ARTICLES, 400), ARTICLES - 1)
    age = np.append(rng.integers(1, 40, 400), 1)
    history = history_of(tmp_path, customer, article, age)
    settings = CoVisitationSettings(neighbours=4, popularity_power=0.0)
    found = CoVisitation(settings).fit(history).neighbours

    bought = np.zeros((CUSTOMERS, ARTICLES))
    lately = age <= settings.pair_days
    bought[customer[lately], article[lately]] = 1
    weight = np.maximum(bought.sum(axis=1), 1) ** -settings.basket_power
    norm = 1 / np.sqrt(bought.sum(axis=0) + settings.shrinkage)
    cosine = (bought.T * weight) @ bought * norm[:, None] * norm
    np.fill_diagonal(cosine, 0)
    on_sale = np.isin(np.arange(ARTICLES), article[age <= 28])
    cosine[:, ~on_sale] = 0
    for source in range(ARTICLES):
        mine = found.filter(pl.col("source") == source)
        best = np.sort(cosine[source])[::-1][:4]
        best = best[best > 0]
        assert mine["units"].to_numpy() * 2.0**-20 == pytest.approx(best, abs=1e-5)
        assert cosine[source, mine["target"].to_numpy()] == pytest.approx(best, abs=1e-5)


def test_who_buys_everything_makes_no_pairs(tmp_path: Path) -> None:
    reseller = [(0, article) for article in range(12)]
    rows = [*reseller, (1, 0), (1, 1), (2, 2), (2, 3)]
    customer, article = zip(*rows, strict=True)
    history = history_of(tmp_path, customer, article, np.ones(len(rows)))
    found = CoVisitation(CoVisitationSettings(max_articles=10)).fit(history).neighbours
    pairs = set(found.select("source", "target").iter_rows())
    assert pairs == {(0, 1), (1, 0), (2, 3), (3, 2)}
