"""The graph filter on a shop: what the suite over all recommenders does not look at."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
from polars.testing import assert_frame_equal

from modiste.data.dataset import Dataset, History
from modiste.models.graph.graph_filter_settings import GraphFilterSettings
from modiste.models.graph_filter import GraphFilterRecommender
from shops import write_prepared

AS_OF = date(2020, 3, 1)


def history_of(
    folder: Path, bought: list[tuple[int, int, int]], partition_customers: int = 65_536
) -> History:
    """A shop of (customer, article, days ago)."""
    rows = pl.DataFrame(bought, schema=["customer", "article", "ago"], orient="row").select(
        pl.col("customer", "article").cast(pl.Int32),
        t_dat=pl.lit(AS_OF) - pl.duration(days=pl.col("ago")),
    )
    articles = pl.DataFrame({"article": range(8)}, schema={"article": pl.Int32})
    customers = pl.DataFrame({"customer": range(40)}, schema={"customer": pl.Int32})
    return Dataset.open(
        write_prepared(folder, articles, customers, rows, partition_customers)
    ).until(AS_OF)


def groups() -> list[tuple[int, int, int]]:
    """Even customers buy even articles, odd ones odd; each but one of its kind."""
    return [
        (customer, article, 1 + (customer + article) % 5)
        for customer in range(40)
        for article in range(8)
        if article % 2 == customer % 2 and article // 2 != customer // 2 % 4
    ]


def recommended(fitted: GraphFilterRecommender, history: History) -> pl.DataFrame:
    return pl.concat([fitted.recommend(batch, 4) for batch in history.batches()])


def test_what_those_alike_bought_is_recommended(tmp_path: Path) -> None:
    history = history_of(tmp_path, groups())
    settings = GraphFilterSettings(frequencies=2)
    found = recommended(GraphFilterRecommender(settings).fit(history), history)
    assert found.height == 40 * 4
    assert (found["customer"] % 2 == found["article"] % 2).all()


def test_a_sample_does_not_hang_on_partitions(tmp_path: Path) -> None:
    settings = GraphFilterSettings(frequencies=2, max_customers=20)
    found = []
    for partition_customers in (7, 40):
        history = history_of(tmp_path / str(partition_customers), groups(), partition_customers)
        found.append(recommended(GraphFilterRecommender(settings).fit(history), history))
    assert_frame_equal(found[0], found[1], check_exact=False)
    assert found[0]["customer"].n_unique() == 40


def test_without_recent_purchases_nothing_is_recommended(tmp_path: Path) -> None:
    history = history_of(tmp_path, [(0, 1, 60), (1, 1, 61)])
    assert recommended(GraphFilterRecommender().fit(history), history).is_empty()
    assert recommended(GraphFilterRecommender(), history).is_empty()


def test_edges_before_the_window_do_not_count(tmp_path: Path) -> None:
    """Customer 2 is like 3 by purchases of long ago alone."""
    bought = [(0, 0, 1), (0, 1, 1), (2, 2, 50), (2, 3, 50), (3, 3, 1), (4, 2, 1)]
    history = history_of(tmp_path, bought)
    found = recommended(
        GraphFilterRecommender(GraphFilterSettings(frequencies=1, ideal_weight=0)).fit(history),
        history,
    )
    assert found.filter(pl.col("customer") == 3)["article"].to_list() == [3]
