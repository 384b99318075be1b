"""The backtest, end to end on a small shop, with recommenders simple enough to check by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
import pytest
from distributed import LocalCluster
from polars.testing import assert_frame_equal

from modiste.data.dataset import CustomerBatch, Dataset, History, Window
from modiste.engine import Engine
from modiste.errors import ConfigError, DataError
from modiste.evaluation.backtest import (
    ALL,
    BacktestResult,
    Catalogue,
    backtest,
    evaluate,
    recommend_to,
)
from modiste.evaluation.intervals import mean_interval, paired_difference
from modiste.evaluation.metrics import metric_names
from modiste.evaluation.protocol import RECOMMENDATIONS, Recommender
from modiste.evaluation.segments import SEGMENTS
from modiste.evaluation.settings import EvaluationSettings
from shops import write_prepared

SETTINGS = EvaluationSettings(k=5, recall_at=(20,), resamples=200, seed=3)


def ranked(candidates: pl.DataFrame, k: int) -> pl.DataFrame:
    """Recommendations from columns ``customer``, ``article``, ``score``."""
    return (
        candidates.sort("customer", "score", "article", descending=[False, True, False])
        .with_columns((pl.int_range(pl.len()).over("customer") + 1).alias("rank"))
        .filter(pl.col("rank") <= k)
        .select(pl.col(name).cast(dtype) for name, dtype in RECOMMENDATIONS.items())
    )


def recommendations_of(rows: list[tuple[int, int, int]]) -> pl.DataFrame:
    """Recommendations from (customer, article, rank)."""
    frame = pl.DataFrame(rows, schema=["customer", "article", "rank"], orient="row")
    return frame.select(
        pl.col(name).cast(dtype) if name in frame.columns else pl.lit(0.5, dtype).alias(name)
        for name, dtype in RECOMMENDATIONS.items()
    )


@dataclass
class Bestsellers:
    """The same articles for everybody."""

    sales: pl.DataFrame = field(default_factory=pl.DataFrame)

    def fit(self, history: History) -> Self:
        self.sales = history.article_sales.group_by("article").agg(
            pl.col("sales").sum().alias("score")
        )
        return self

    def recommend(self, batch: CustomerBatch, k: int) -> pl.DataFrame:
        assert batch.transactions.filter(pl.col("t_dat") >= batch.as_of).is_empty()
        return ranked(batch.customers.select("customer").join(self.sales, how="cross"), k)

    def save(self, folder: Path) -> None:
        raise NotImplementedError

    def load(self, folder: Path) -> Self:
        raise NotImplementedError


class Repurchase(Bestsellers):
    """What a customer bought most often."""

    def recommend(self, batch: CustomerBatch, k: int) -> pl.DataFrame:
        own = batch.transactions.group_by("customer", "article").agg(pl.len().alias("score"))
        return ranked(own, k)


class Silent(Bestsellers):
    """Has nothing to say."""

    def recommend(self, batch: CustomerBatch, k: int) -> pl.DataFrame:
        return super().recommend(batch, k).clear()


RECOMMENDERS: dict[str, Callable[[], Recommender]] = {
    "repurchase": Repurchase,
    "bestsellers": Bestsellers,
    "silent": Silent,
}


def last_windows(shop: Dataset) -> list[Window]:
    test = Window(shop.next_day - timedelta(days=7), 7)
    return [test.earlier(), test]


@pytest.fixture(scope="module")
def result(small_shop: Dataset) -> BacktestResult:
    return backtest(
        small_shop,
        RECOMMENDERS,
        last_windows(small_shop),
        reference="bestsellers",
        settings=SETTINGS,
    )


def scores_of(result: BacktestResult, window: Window, model: str) -> pl.DataFrame:
    customers = result.evaluations[window].customers
    return customers.filter(pl.col("model") == model)


def test_every_model_is_scored_on_all_customers_of_the_labels(
    result: BacktestResult, small_shop: Dataset
) -> None:
    for window in last_windows(small_shop):
        labels = small_shop.purchases(window)
        for model in RECOMMENDERS:
            customers = scores_of(result, window, model)["customer"].to_list()
            assert customers == labels["customer"].unique().sort().to_list()
        assert scores_of(result, window, "silent")["average_precision"].sum() == 0
        assert scores_of(result, window, "repurchase")["average_precision"].sum() > 0


def test_bestsellers_score_what_a_naive_count_gives(
    result: BacktestResult, small_shop: Dataset
) -> None:
    window = last_windows(small_shop)[-1]
    sold: dict[int, int] = {}
    for batch in small_shop.until(window.as_of).batches():
        for article in batch.transactions["article"]:
            sold[article] = sold.get(article, 0) + 1
    best = sorted(sold, key=lambda article: (-sold[article], article))[:5]
    for row in scores_of(result, window, "bestsellers").iter_rows(named=True):
        bought = small_shop.purchases(window).filter(pl.col("customer") == row["customer"])
        hits = [article in bought["article"].to_list() for article in best]
        precision = [sum(hits[: i + 1]) / (i + 1) for i, hit in enumerate(hits) if hit]
        expected = sum(precision) / min(5, bought.height)
        assert row["average_precision"] == pytest.approx(expected)


def test_summary_holds_means_intervals_and_paired_differences(
    result: BacktestResult, small_shop: Dataset
) -> None:
    window = last_windows(small_shop)[0]
    values = scores_of(result, window, "repurchase")["ndcg"]
    reference = scores_of(result, window, "bestsellers")["ndcg"]
    row = result.summary().row(
        by_predicate=(pl.col("window") == str(window))
        & (pl.col("model") == "repurchase")
        & (pl.col("kind") == ALL)
        & (pl.col("metric") == "ndcg"),
        named=True,
    )
    interval = mean_interval(values, resamples=200, seed=3)
    paired = paired_difference(values, reference, resamples=200, seed=3)
    assert (row["mean"], row["low"], row["high"]) == pytest.approx(
        (interval.mean, interval.low, interval.high)
    )
    assert (
        row["difference"],
        row["difference_low"],
        row["difference_high"],
        row["share_positive"],
    ) == pytest.approx((paired.difference, paired.low, paired.high, paired.share_positive))
    against_itself = result.summary().filter(pl.col("model") == "bestsellers")
    assert against_itself["difference"].null_count() == against_itself.height


def test_segments_of_a_kind_hold_every_customer_once(
    result: BacktestResult, small_shop: Dataset
) -> None:
    window = last_windows(small_shop)[0]
    summary = result.evaluations[window].summary.filter(
        pl.col("model") == "repurchase", pl.col("metric") == "average_precision"
    )
    assert summary["kind"].unique(maintain_order=True).to_list() == [ALL, *SEGMENTS]
    kinds = summary.group_by("kind").agg(
        pl.col("n_customers").sum(),
        (pl.col("mean") * pl.col("n_customers")).sum() / pl.col("n_customers").sum(),
    )
    assert kinds["n_customers"].n_unique() == 1
    assert kinds["mean"].to_numpy() == pytest.approx(np.full(kinds.height, kinds["mean"][0]))
    ages = summary.filter(pl.col("kind") == "age")["segment"].to_list()
    assert ages == [segment for segment in SEGMENTS["age"] if segment in ages]


def test_catalogue_metrics(result: BacktestResult) -> None:
    catalogue = result.catalogue()
    assert catalogue.filter(pl.col("model") == "silent").select("coverage", "novelty", "gini").row(
        0
    ) == (0.0, None, None)
    own, best = (
        catalogue.filter(pl.col("model") == model).row(0, named=True)
        for model in ("repurchase", "bestsellers")
    )
    assert own["coverage"] > best["coverage"]
    assert own["novelty"] > best["novelty"]
    assert own["gini"] < best["gini"]


def test_frames_and_json_are_the_same_bytes_again(
    result: BacktestResult, small_shop: Dataset
) -> None:
    again = backtest(
        Dataset.open(small_shop.folder, Engine(workers=1)),
        RECOMMENDERS,
        last_windows(small_shop),
        reference="bestsellers",
        settings=SETTINGS,
    )
    assert_frame_equal(again.customers(), result.customers(), check_exact=True)
    assert_frame_equal(again.summary(), result.summary(), check_exact=True)
    assert json.dumps(again.to_dict()) == json.dumps(result.to_dict(), allow_nan=False)


def test_a_cluster_gives_the_same_bytes(result: BacktestResult, small_shop: Dataset) -> None:
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Engine(cluster=cluster.scheduler_address) as engine,
    ):
        again = backtest(
            Dataset.open(small_shop.folder, engine),
            RECOMMENDERS,
            last_windows(small_shop),
            reference="bestsellers",
            settings=SETTINGS,
        )
    assert_frame_equal(again.customers(), result.customers(), check_exact=True)
    assert_frame_equal(again.summary(), result.summary(), check_exact=True)


def test_json_holds_models_segments_and_differences(result: BacktestResult) -> None:
    found = result.to_dict()
    assert found["settings"]["k"] == 5
    first = found["windows"][0]
    assert first["reference"] == "bestsellers"
    assert list(first["models"]) == list(RECOMMENDERS)
    model = first["models"]["repurchase"]
    assert list(model["metrics"]) == metric_names((20,))
    assert list(model["metrics"]["ndcg"]["difference"]) == ["mean", "low", "high", "share_positive"]
    assert "difference" not in first["models"]["bestsellers"]["metrics"]["ndcg"]
    assert model["segments"]["age"]["unknown"]["customers"] > 0
    assert set(model["catalogue"]) == {"coverage", "novelty", "gini"}


def test_evaluate_alone_needs_no_more_than_frames(small_shop: Dataset) -> None:
    labels = small_shop.purchases(last_windows(small_shop)[0])
    buyer = labels["customer"][0]
    stranger = next(c for c in range(90) if c not in labels["customer"].to_list())
    frame = recommendations_of([(buyer, 0, 1), (buyer, 2, SETTINGS.k + 1), (stranger, 1, 1)])
    found = evaluate({"one": frame}, labels, settings=SETTINGS)
    assert found.customers.height == labels["customer"].n_unique()
    assert found.summary["kind"].unique().to_list() == [ALL]
    assert found.summary["difference"].null_count() == found.summary.height
    assert found.catalogue["coverage"].to_list() == [None]
    catalogue = Catalogue(np.arange(4), np.ones(40, dtype=np.int64))
    found = evaluate({"one": frame}, labels, catalogue=catalogue, settings=SETTINGS)
    # Neither the customer without labels nor the place after the k-th counts here.
    assert found.catalogue["coverage"].to_list() == [0.25]


def test_a_model_like_the_reference_is_above_it_in_no_resample(small_shop: Dataset) -> None:
    labels = small_shop.purchases(last_windows(small_shop)[0])
    frame = recommendations_of([(customer, article, 1) for customer, article in labels.rows()])
    found = evaluate({"one": frame, "same": frame}, labels, reference="one", settings=SETTINGS)
    same = found.summary.filter(pl.col("model") == "same")
    assert same["share_positive"].unique().to_list() == [0.0]


def test_only_the_customers_asked_about_are_recommended_to(small_shop: Dataset) -> None:
    history = small_shop.until(small_shop.next_day)
    asked = pl.Series([61, 3], dtype=pl.Int32)
    found = recommend_to(history, {"best": Bestsellers().fit(history)}, asked, k=4)["best"]
    assert found["customer"].unique(maintain_order=True).to_list() == [3, 61]
    assert found["rank"].to_list() == [1, 2, 3, 4] * 2
    assert dict(found.schema) == RECOMMENDATIONS


def test_on_sale_is_what_sold_lately_unless_told(tmp_path: Path) -> None:
    as_of = date(2020, 9, 16)
    days_before = {0: [40, 40, 29], 1: [28]}
    sold = [
        (0, article, as_of - timedelta(days=days))
        for article, each in days_before.items()
        for days in each
    ]
    shop = write_prepared(
        tmp_path,
        pl.DataFrame({"article": [0, 1]}),
        pl.DataFrame({"customer": [0]}),
        pl.DataFrame([*sold, (0, 0, as_of)], schema=["customer", "article", "t_dat"], orient="row"),
    )
    run = partial(
        backtest,
        Dataset.open(shop),
        {"bestsellers": Bestsellers},
        [Window(as_of, 1)],
        settings=EvaluationSettings(k=1, recall_at=()),
    )
    # The one place goes to article 0, which sold more but not lately.
    assert run().catalogue()["coverage"].to_list() == [0.0]
    everything = run(on_sale=lambda history: history.articles["article"])
    assert everything.catalogue()["coverage"].to_list() == [0.5]


def test_a_model_more_changes_nothing_for_the_others(small_shop: Dataset) -> None:
    window = last_windows(small_shop)[0]
    alone, both = (
        backtest(
            small_shop, {name: RECOMMENDERS[name] for name in names}, [window], settings=SETTINGS
        )
        .summary()
        .filter(pl.col("model") == "repurchase")
        for names in (["repurchase"], ["silent", "repurchase"])
    )
    assert_frame_equal(alone, both, check_exact=True)


def test_what_cannot_be_evaluated_is_refused(small_shop: Dataset) -> None:
    window = last_windows(small_shop)[0]
    with pytest.raises(ConfigError, match=r"'popular' is none of the models.*repurchase"):
        backtest(small_shop, RECOMMENDERS, [window], reference="popular")
    with pytest.raises(DataError, match="not over when the data ends"):
        backtest(small_shop, RECOMMENDERS, [Window(small_shop.next_day, 7)])
    with pytest.raises(DataError, match="nobody bought anything"):
        backtest(small_shop, RECOMMENDERS, [Window(small_shop.first_day - timedelta(days=9), 7)])
