"""The hybrid: what its parts say adds up, the cascade and the rules change what they should."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from polars.testing import assert_frame_equal

from futures import TwoFutures, assert_blind_to_the_future, two_futures
from hybrids import ALL_RANKERS, drawn_hybrid
from modiste.data.dataset import Dataset, History
from modiste.errors import ConfigError, DataError
from modiste.evaluation.protocol import RECOMMENDATIONS
from modiste.ranking.examination import examine, recall_by_source
from modiste.ranking.hybrid import BY_BLEND, HYBRID, WITHOUT_CASCADE, WITHOUT_RULES, Hybrid
from modiste.ranking.rules import Rules
from shops import ALL_RECOMMENDERS, some_vectors, write_prepared


def history_of(dataset: Dataset) -> History:
    return dataset.until(dataset.next_day)


def everything_ranked(history: History) -> dict[str, pl.DataFrame]:
    hybrid = drawn_hybrid(vectors=some_vectors(history.n_articles)).fit(history)
    return {
        str(partition.index): hybrid.recommend(partition.read(), 12)
        for partition in history.partitions
    }


@given(case=two_futures())
@settings(max_examples=15, deadline=None)
def test_the_whole_is_blind_to_the_future(case: TwoFutures) -> None:
    assert_blind_to_the_future(case, everything_ranked)


def test_networks_that_have_learned_nothing_say_nothing(tmp_path: Path) -> None:
    """One customer with one article: there is no order to learn."""
    day = date(2020, 9, 1)
    folder = write_prepared(
        tmp_path,
        pl.DataFrame({"article": range(2)}),
        pl.DataFrame({"customer": [0]}),
        pl.DataFrame({"customer": [0], "article": [0], "t_dat": [day]}),
    )
    history = history_of(Dataset.open(folder))
    hybrid = drawn_hybrid(ALL_RECOMMENDERS, some_vectors(2)).fit(history)
    rows = hybrid.rows(history.partitions[0].read())
    assert rows["article"].to_list() == [0]
    assert rows["sasrec_score"].null_count() == rows["gnn_score"].null_count() == 1
    assert hybrid.recommend(history.partitions[0].read(), 12)["article"].to_list() == [0]


def test_without_cascade_all_candidates_are_scored_by_all(small_shop: Dataset) -> None:
    history = history_of(small_shop)
    batch = history.partitions[0].read()
    orders = {}
    for cascade in (3, 1_000):
        settings_ = ALL_RANKERS.model_copy(update={"cascade": cascade})
        hybrid = drawn_hybrid(settings=settings_).fit(history)
        orders[cascade] = hybrid.orders(batch, hybrid.scores(batch, hybrid.rows(batch)), 12)
    assert_frame_equal(orders[1_000][HYBRID], orders[1_000][WITHOUT_CASCADE])
    assert_frame_equal(orders[3][WITHOUT_CASCADE], orders[1_000][WITHOUT_CASCADE])
    assert not orders[3][HYBRID].equals(orders[1_000][HYBRID])


def test_the_orders_are_of_the_same_candidates(small_shop: Dataset) -> None:
    history = history_of(small_shop)
    batch = history.partitions[0].read()
    hybrid = drawn_hybrid().fit(history)
    rows = hybrid.rows(batch)
    orders = hybrid.orders(batch, hybrid.scores(batch, rows), 1_000)
    assert orders.keys() == {HYBRID, BY_BLEND, *hybrid.rankers, WITHOUT_CASCADE}
    pairs = rows.select("customer", "article").sort("customer", "article")
    for name, frame in orders.items():
        assert dict(frame.schema) == RECOMMENDATIONS, name
        found = frame.select("customer", "article").sort("customer", "article")
        assert_frame_equal(found, pairs)
    # TabNet on a GPU: a row's score hangs on its batch's length by some of its last bits.
    assert_frame_equal(orders[HYBRID], hybrid.recommend(batch, 1_000), rel_tol=1e-4)


def test_rules_are_the_last_word(small_shop: Dataset) -> None:
    history = history_of(small_shop)
    batch = history.partitions[0].read()
    first = drawn_hybrid().fit(history).recommend(batch, 1)["article"][0]
    unwanted = history.articles["article_id"][first]
    rules = Rules(exclude_articles=(unwanted,), at_most={"section_name": 2})
    hybrid = drawn_hybrid(rules=rules).fit(history)
    shown = hybrid.recommend(batch, 8)
    assert first not in shown["article"]
    assert shown.group_by("customer").len()["len"].min() == 8
    sections = shown.join(history.articles.select("article", "section_name"), on="article")
    assert sections.group_by("customer", "section_name").len()["len"].max() == 2
    orders = hybrid.orders(batch, hybrid.scores(batch, hybrid.rows(batch)), 8)
    assert_frame_equal(orders[HYBRID], shown, rel_tol=1e-4)
    assert first in orders[WITHOUT_RULES]["article"]


def test_a_rule_of_what_the_shop_does_not_have_is_refused(small_shop: Dataset) -> None:
    with pytest.raises(ConfigError, match="no article of the shop"):
        drawn_hybrid(rules=Rules(exclude_articles=("nothing",))).fit(history_of(small_shop))


def test_price_ceiling_goes_by_the_latest_price(tmp_path: Path) -> None:
    day = date(2020, 9, 1)
    folder = write_prepared(
        tmp_path,
        pl.DataFrame({"article": [0, 1]}),
        pl.DataFrame({"customer": [0, 1]}),
        pl.DataFrame(
            {
                "customer": [0, 0, 1, 1],
                "article": [0, 0, 1, 1],
                "t_dat": [day, day.replace(day=5), day, day.replace(day=6)],
                "price": [1.0, 0.2, 0.2, 1.0],
            }
        ),
    )
    history = history_of(Dataset.open(folder))
    shown = drawn_hybrid(rules=Rules(price_ceiling=0.5)).fit(history)
    lists = shown.recommend(history.partitions[0].read(), 12)
    assert lists["article"].unique().to_list() == [0]


def test_a_customer_with_5000_purchases(tmp_path: Path) -> None:
    rows = 5_000
    folder = write_prepared(
        tmp_path,
        pl.DataFrame({"article": range(300)}),
        pl.DataFrame({"customer": [0, 1]}),
        pl.DataFrame(
            {
                "customer": [0] * rows + [1],
                "article": [row * 7 % 300 for row in range(rows)] + [4],
                "t_dat": [date(2020, 9, 1 + row // 250) for row in range(rows)]
                + [date(2020, 9, 3)],
            }
        ),
    )
    history = history_of(Dataset.open(folder))
    lists = drawn_hybrid().fit(history).recommend(history.partitions[0].read(), 12)
    assert lists.group_by("customer").len().sort("customer")["len"].to_list() == [12, 12]


def test_a_damaged_folder_is_refused(small_shop: Dataset, tmp_path: Path) -> None:
    drawn_hybrid().fit(history_of(small_shop)).save(tmp_path)
    (tmp_path / "weights.json").write_text("{")
    with pytest.raises(DataError, match="hybrid"):
        Hybrid.load(tmp_path)
    with pytest.raises(DataError, match="hybrid"):
        Hybrid.load(tmp_path / "nowhere")


def test_recall_of_sources_adds_up(small_shop: Dataset) -> None:
    as_of = small_shop.last_day.replace(day=20)
    history = small_shop.until(as_of)
    bought = pl.concat(
        [part.read_transactions() for part in history_of(small_shop).partitions]
    ).filter(pl.col("t_dat") >= as_of)
    labels = bought.select("customer", "article").unique().sort("customer", "article")
    hybrid = drawn_hybrid().fit(history)
    examined = examine(history, hybrid, labels, 12, 12)
    assert examined.found.height == labels.height
    assert examined.bought.sum() == examined.found["candidate"].sum()
    sources = recall_by_source(examined.found, 12)
    whole = sources.filter(segment="all")
    union = whole.filter(source="union")
    assert union["customers"].item() == labels["customer"].n_unique()
    alone = whole.filter(pl.col("source") != "union")
    assert alone["recall"].max() <= union["recall"].item()
    assert alone["adds"].sum() <= union["recall"].item() + 1e-12
    # By hand, from the candidates themselves.
    rows = pl.concat([hybrid.rows(part.read()) for part in history.partitions])
    found = labels.join(rows, on=["customer", "article"], how="left")
    by_hand = found.group_by("customer").agg(
        popularity=pl.col("popularity_rank").is_not_null().mean(),
        union=pl.col("number_of_sources").is_not_null().mean(),
    )
    assert alone.filter(source="popularity")["recall"].item() == pytest.approx(
        by_hand["popularity"].mean()
    )
    assert union["recall"].item() == pytest.approx(by_hand["union"].mean())
