"""Features and rows to learn from: of the past alone, whoever the customers are."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from polars.testing import assert_frame_equal

from futures import TwoFutures, assert_blind_to_the_future, two_futures
from modiste.candidates.generator import CandidateGenerator
from modiste.data.dataset import Dataset, History, Window
from modiste.evaluation.samples import purchases_of_some
from modiste.models.blend import Artifacts
from modiste.ranking.features.builder import FeatureBuilder
from modiste.ranking.labelled_rows import rows_of_window
from modiste.ranking.rows import LABEL, WEIGHT
from shops import some_vectors, write_prepared


def fitted(history: History) -> tuple[CandidateGenerator, FeatureBuilder]:
    vectors = some_vectors(history.n_articles)
    generator = CandidateGenerator(artifacts=Artifacts(vectors)).fit(history)
    return generator, FeatureBuilder(generator, vectors).fit(history)


def everything_built(history: History) -> dict[str, pl.DataFrame]:
    generator, builder = fitted(history)
    built = {}
    for partition in history.partitions:
        batch = partition.read()
        built[str(partition.index)] = builder.build(batch, generator.candidates(batch))
    return built


@given(case=two_futures())
@settings(max_examples=30, deadline=None)
def test_features_are_blind_to_the_future(case: TwoFutures) -> None:
    assert_blind_to_the_future(case, everything_built)


def test_features_of_a_customer_with_known_purchases(tmp_path: Path) -> None:
    as_of = date(2020, 9, 10)
    days = [as_of - timedelta(days=n) for n in (1, 3, 3, 10)]
    folder = write_prepared(
        tmp_path,
        pl.DataFrame({"article": range(3), "product_code": ["0000001", "0000001", "0000002"]}),
        pl.DataFrame({"customer": [0, 1], "age": [30, None]}),
        pl.DataFrame(
            {"customer": [0, 0, 0, 1], "article": [0, 0, 2, 2], "t_dat": days, "price": 0.5}
        ),
    )
    history = Dataset.open(folder).until(as_of)
    row = everything_built(history)["0"].filter(customer=0, article=0).row(0, named=True)
    assert row["times_bought"] == 2
    assert row["days_since_bought"] == 1
    assert row["product_times_bought"] == 2
    assert row["purchases"] == 3
    assert row["days_since_purchase"] == 1
    assert row["days_on_sale"] == 3
    assert row["sales_1d"] == 1000
    assert row["sales_7d"] == pytest.approx(2000 / 3)
    assert row["price"] == pytest.approx(0.5)
    assert row["price_to_habit"] == pytest.approx(1)
    other = everything_built(history)["0"].filter(customer=0, article=1)
    assert other.is_empty()  # never sold: not on sale


def test_features_of_the_last_visit(tmp_path: Path) -> None:
    as_of = date(2020, 9, 10)
    bought = [  # article, days before, channel, price
        (0, 2, 2, 0.5),
        (0, 2, 2, 0.5),
        (1, 2, 2, 0.5),
        (2, 2, 2, 1.0),
        (0, 6, 1, 0.8),
        (2, 9, 1, 0.8),
    ]
    folder = write_prepared(
        tmp_path,
        pl.DataFrame(
            {
                "article": range(4),
                "product_code": ["0000001", "0000001", "0000002", "0000003"],
                "product_type_name": ["Tights", "Tights", "Coat", "Coat"],
            }
        ),
        pl.DataFrame({"customer": [0, 1, 2]}),
        pl.DataFrame(
            [
                *((0, article, as_of - timedelta(days=n), *how) for article, n, *how in bought),
                (1, 3, as_of - timedelta(days=1), 1, 0.5),
            ],
            schema=["customer", "article", "t_dat", "sales_channel_id", "price"],
            orient="row",
        ),
    )
    built = everything_built(Dataset.open(folder).until(as_of))["0"]
    own = built.filter(customer=0, article=0).row(0, named=True)
    assert (own["visit_articles"], own["visit_pieces"], own["visit_products"]) == (3, 4, 2)
    assert own["visit_online"] == 1
    assert own["visit_before"] == 6
    assert own["visits_4d"] == 1
    assert own["bought_again"] == 2
    assert own["bought_online"] == 1
    assert own["bought_pieces"] == 2
    assert (own["bought_with"], own["bought_colours"], own["bought_of_type"]) == (3, 2, 2)
    assert own["times_bought_4d"] == 1
    assert own["price_to_paid"] == pytest.approx(own["price"] / 0.5)
    assert own["price_to_visit"] == pytest.approx(own["price"] / (2 / 3))
    assert own["visit_share_of_product_type_name"] == pytest.approx(2 / 3)
    assert (own["product_online"], own["product_colours"]) == (1, 2)
    never = built.filter(customer=0, article=3).row(0, named=True)
    assert never["visit_articles"] == 3
    assert never["visit_share_of_product_code"] == 0
    assert never["visit_share_of_product_type_name"] == pytest.approx(1 / 3)
    assert never["bought_online"] is None
    cold = built.filter(customer=2).row(0, named=True)
    assert cold["visit_articles"] is None
    assert cold["visit_share_of_product_code"] is None


def test_all_cold_and_one_article(tmp_path: Path) -> None:
    day = date(2020, 9, 9)
    folder = write_prepared(
        tmp_path,
        pl.DataFrame({"article": [0]}),
        pl.DataFrame({"customer": range(5)}),
        pl.DataFrame({"customer": [4], "article": [0], "t_dat": [day]}),
    )
    dataset = Dataset.open(folder)
    history = dataset.until(dataset.next_day)
    built = everything_built(history)["0"]
    assert built.filter(pl.col("customer") < 4)["article"].to_list() == [0, 0, 0, 0]
    assert built.filter(pl.col("customer") < 4)["days_since_purchase"].null_count() == 4


def test_a_saved_builder_gives_the_same_features(small_shop: Dataset, tmp_path: Path) -> None:
    history = small_shop.until(small_shop.next_day)
    generator, builder = fitted(history)
    builder.save(tmp_path)
    batch = history.partitions[0].read()
    candidates = generator.candidates(batch)
    loaded = FeatureBuilder(generator).load(tmp_path)
    assert loaded.features == builder.features
    assert_frame_equal(
        loaded.build(batch, candidates), builder.build(batch, candidates), check_exact=True
    )


def test_the_features_are_the_columns_and_each_has_a_meaning(small_shop: Dataset) -> None:
    history = small_shop.until(small_shop.next_day)
    _, builder = fitted(history)
    built = everything_built(history)["0"]
    assert built.columns[2:] == [feature.name for feature in builder.features]
    assert all(feature.meaning for feature in builder.features)
    for feature in builder.features:
        wanted = pl.Float32 if feature.n_categories is None else pl.Int32
        assert built.schema[feature.name] == wanted, feature.name


@pytest.fixture
def rows_by_kind(small_shop: Dataset) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """All rows of a window, the sampled ones, and the labels."""
    window = Window(small_shop.next_day, 7).earlier()
    generator, builder = fitted(small_shop.until(window.as_of))
    labels = purchases_of_some(small_shop, window, 1_000, seed=0)
    whole, sampled = (
        rows_of_window(
            small_shop, window, 3, generator, builder, labels, negatives=negatives, seed=5
        )
        for negatives in (None, 4)
    )
    return whole, sampled, labels


def test_sampled_rows_keep_every_purchase_and_weigh_for_the_rest(
    rows_by_kind: tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame],
) -> None:
    whole, sampled, labels = rows_by_kind
    keys = ["window", "customer", "article"]
    assert whole["customer"].unique().to_list() == labels["customer"].unique().sort().to_list()
    assert whole.select(keys).equals(whole.select(keys).sort(keys))
    assert_frame_equal(sampled.filter(LABEL).drop(WEIGHT), whole.filter(LABEL).drop(WEIGHT))
    assert set(whole.filter(LABEL).select("customer", "article").iter_rows()) <= set(
        labels.iter_rows()
    )
    per_list = sampled.group_by("customer").agg(
        (~pl.col(LABEL)).sum().alias("kept"), pl.col(WEIGHT).sum()
    )
    assert per_list["kept"].max() == 4
    sizes = whole.group_by("customer").len().join(per_list, on="customer")
    np.testing.assert_allclose(sizes[WEIGHT].to_numpy(), sizes["len"].to_numpy(), rtol=1e-5)
    # Whatever is drawn, its features are those of the whole.
    same = whole.drop(WEIGHT).join(sampled.select(keys), on=keys, how="semi")
    assert_frame_equal(same, sampled.drop(WEIGHT))


def test_a_sample_of_customers_keeps_their_purchases_whole(small_shop: Dataset) -> None:
    window = Window(small_shop.next_day, 7).earlier()
    every, some = (purchases_of_some(small_shop, window, n, seed=1) for n in (1_000, 10))
    assert some["customer"].n_unique() == 10
    assert_frame_equal(
        some, every.join(some.select("customer").unique(), on="customer", how="semi")
    )


@pytest.mark.parametrize("negatives", [None, 4])
def test_a_partition_in_which_nobody_bought_adds_nothing(
    small_shop: Dataset, negatives: int | None
) -> None:
    window = Window(small_shop.next_day, 7).earlier()
    generator, builder = fitted(small_shop.until(window.as_of))
    labels = purchases_of_some(small_shop, window, 1_000, seed=0)
    first = small_shop.until(window.as_of).partitions[0].read_customers()
    in_first = labels.join(first, on="customer", how="semi")
    rows = rows_of_window(
        small_shop, window, 0, generator, builder, in_first, negatives=negatives, seed=5
    )
    assert set(rows["customer"]) <= set(first["customer"])
    assert rows.height
