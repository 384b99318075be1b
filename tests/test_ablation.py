"""The hybrid without one of its parts, made of rows that are there."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from modiste.candidates.generator import rank_of, score_of
from modiste.candidates.settings import CandidateSettings
from modiste.data.dataset import Dataset, Window
from modiste.evaluation.metrics import score_customers
from modiste.evaluation.splits import RankerWindows
from modiste.models.blend import Artifacts, BlendSettings
from modiste.ranking.ablation import AblationRows, ScoredHybrid, learn_and_test, without_scorer
from modiste.ranking.examination import examine
from modiste.ranking.features.sources import without_sources
from modiste.ranking.hybrid import HYBRID
from modiste.ranking.learning import WholeLists
from modiste.ranking.lightgbm_settings import LightGBMSettings
from modiste.ranking.rows import LABEL, Feature, RankingRows
from modiste.ranking.rules import Rules
from modiste.ranking.settings import RankingSettings
from modiste.ranking_stages import (
    CHOICE,
    Ranking,
    RankingParts,
    choose_ranking,
    learn_ranking,
    read_rows,
    read_whole_lists,
    write_rows,
)

K = 12

# So few of each that hardly two sources propose the same.
FEW = {
    "repurchase": 2,
    "most_frequent": 2,
    "other_colours": 2,
    "co_visitation": 3,
    "popularity_by_section": 3,
    "popularity": 12,
    "popularity_by_age": 3,
}
PARTS = RankingParts(
    BlendSettings(),
    CandidateSettings(
        limit=15,
        quotas={
            "cold": {"popularity": 15, "popularity_by_age": 10},
            "lately": FEW,
            "earlier": FEW,
        },
    ),
    RankingSettings(
        rankers=("lightgbm", "logistic"), lightgbm=LightGBMSettings(rounds=8, min_rows=5)
    ),
    Rules(),
    Artifacts(),
)
SOURCES = tuple(PARTS.generator().sources)


@pytest.fixture(scope="module")
def windows(small_shop: Dataset) -> RankerWindows:
    test = Window(small_shop.next_day, 7).earlier()
    watched = test.earlier()
    return RankerWindows(watched, (watched.earlier(),), (watched, watched.earlier()))


@pytest.fixture(scope="module")
def written(
    small_shop: Dataset, windows: RankerWindows, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """Folders of the rows learned from, and of the test window's."""
    folders = tmp_path_factory.mktemp("rows"), tmp_path_factory.mktemp("test")
    test = Window(small_shop.next_day, 7).earlier()
    for laid, folder in zip((windows, RankerWindows(test, (), ())), folders, strict=True):
        write_rows(small_shop, laid, PARTS, folder)
    return folders


@pytest.fixture(scope="module")
def rows(written: tuple[Path, Path], windows: RankerWindows) -> AblationRows:
    return AblationRows(
        read_rows(written[0], windows.before),
        read_whole_lists(written[0]).with_purchases(),
        read_rows(written[0], windows.learned),
        read_whole_lists(written[1]).with_purchases(),
        SOURCES,
    )


@pytest.fixture(scope="module")
def whole(rows: AblationRows) -> ScoredHybrid:
    return learn_and_test(rows, PARTS.ranking, PARTS.models.weights, K)


def test_the_whole_is_what_a_run_makes(
    small_shop: Dataset,
    windows: RankerWindows,
    written: tuple[Path, Path],
    whole: ScoredHybrid,
    tmp_path: Path,
) -> None:
    choice, learned = tmp_path / "choice", tmp_path / "learned"
    for folder in (choice, learned):
        folder.mkdir()
    choose_ranking(windows, PARTS, written[0], K, choice, tmp_path / "checkpoints")
    learn_ranking(windows, PARTS, written[0], choice, learned, tmp_path / "checkpoints")
    made = json.loads((choice / CHOICE).read_text(encoding="utf-8"))
    assert whole.weights == made["weights"]
    assert {name: ranker.rounds for name, ranker in whole.rankers.items()} == made["rounds"]
    test = Window(small_shop.next_day, 7).earlier()
    history, labels = small_shop.until(test.as_of), small_shop.purchases(test)
    hybrid = Ranking(windows, lambda: PARTS, (), choice, learned).hybrid().fit(history)
    scored = score_customers(examine(history, hybrid, labels, K, K).orders[HYBRID], labels, K)
    assert_frame_equal(
        whole.precision.drop("segment"), scored.select("customer", "average_precision")
    )
    assert (whole.precision["average_precision"] > 0).any()


def test_sources_are_left_out_with_their_columns_and_what_they_alone_proposed(
    rows: AblationRows,
) -> None:
    frame = rows.before.frame
    names = ("popularity", "repurchase")
    left = without_sources(rows.before, names)
    others = [rank_of(source) for source in SOURCES if source not in names]
    stays = frame.filter(pl.any_horizontal(pl.col(others).is_not_null()))
    assert 0 < left.frame.height < frame.height
    pair = ["window", "customer", "article"]
    assert_frame_equal(left.frame.select(pair), stays.select(pair))
    counted = left.frame.select(pl.sum_horizontal(pl.col(others).is_not_null()).cast(pl.Float32))
    assert counted.to_series().equals(left.frame["number_of_sources"])
    gone = {name for source in names for name in (rank_of(source), score_of(source))}
    assert set(rows.before.names) - set(left.names) == gone
    assert not gone & set(left.frame.columns)
    # Popularity as a feature of the article is another thing, and the rest is as it was.
    assert "popularity" in left.names
    assert_frame_equal(
        left.frame.drop("number_of_sources"),
        stays.drop("number_of_sources", *gone),
    )


def test_without_a_source_every_buyer_still_counts(rows: AblationRows, whole: ScoredHybrid) -> None:
    left = rows.without_sources(["popularity", "popularity_by_section", "popularity_by_age"])
    assert not set(left.sources) & {"popularity", "popularity_by_section", "popularity_by_age"}
    assert 0 < left.found < rows.found
    lists = left.before.frame.group_by("window", "customer").agg(pl.col(LABEL).any())
    assert lists[LABEL].all()
    tested = learn_and_test(left, PARTS.ranking, PARTS.models.weights, K)
    assert tested.precision["customer"].equals(whole.precision["customer"])
    assert tested.precision["segment"].null_count() == 0
    # Who is left without a list counts as one that nothing good was shown to.
    lost = tested.precision.join(left.test.rows.frame, on="customer", how="anti")
    assert lost.height
    assert (lost["average_precision"] == 0).all()


def test_rankers_do_not_see_a_group_that_is_left_out(
    rows: AblationRows, whole: ScoredHybrid
) -> None:
    left = rows.without_groups(["source", "visit"])
    whole_groups, groups = (each.before.names_by_group for each in (rows, left))
    assert set(whole_groups) - set(groups) == {"source", "visit"}
    tested = learn_and_test(left, PARTS.ranking, PARTS.models.weights, K)
    seen = tested.rankers["logistic"].importance()["feature"].to_list()
    assert seen == left.before.names
    # The blend still sees the scores of the sources.
    assert tested.scorers[0] == "blend"
    assert tested.test["blend"].equals(whole.test["blend"])


def test_without_a_scorer_the_others_share_its_weight(
    rows: AblationRows, whole: ScoredHybrid
) -> None:
    for scorer in ("blend", "lightgbm", "logistic"):
        left = without_scorer(whole, scorer, rows, PARTS.ranking, K)
        assert set(left.scorers) == {"blend", "lightgbm", "logistic"} - {scorer}
        for of_segment in left.weights.values():
            assert scorer not in of_segment
            assert any(of_segment.values())
    used = {name for of_it in whole.weights.values() for name, weight in of_it.items() if weight}
    # One that has no weight anywhere is not missed.
    without = without_scorer(
        ScoredHybrid(
            whole.rankers,
            {},
            whole.watched.with_columns(unused=0.0),
            whole.test.with_columns(unused=0.0),
            (*whole.scorers, "unused"),
            pl.DataFrame(),
        ),
        "unused",
        rows,
        PARTS.ranking,
        K,
    )
    assert used
    assert without.weights == whole.weights
    assert_frame_equal(without.precision, whole.precision)


def test_scorers_without_a_first_weight_start_alike() -> None:
    settings = RankingSettings(rankers=("lightgbm", "logistic"))
    first = settings.first_weights(["lightgbm", "logistic"])
    assert first["cold"] == {"lightgbm": 1.0, "logistic": 1.0}
    assert first["lately"] == {"lightgbm": 1.0, "logistic": 0.0}
    assert settings.first_weights(["blend"])["cold"] == {"blend": 1.0}


def test_lists_without_a_purchase_go_and_their_customers_stay() -> None:
    frame = pl.DataFrame(
        {
            "window": [0, 0, 0, 0],
            "customer": [1, 1, 2, 2],
            "article": [5, 6, 5, 6],
            LABEL: [True, False, False, False],
            "sales": [1.0, 2.0, 3.0, 4.0],
        }
    )
    labels = pl.DataFrame({"customer": [1, 2], "article": [5, 9]})
    segments = pl.DataFrame({"customer": [1, 2], "segment": ["cold", "lately"]})
    lists = WholeLists(
        RankingRows((Feature("sales", "article", "sold"),), frame), labels, segments
    ).with_purchases()
    assert lists.rows.frame["customer"].to_list() == [1, 1]
    assert lists.labels.equals(labels)
    assert lists.segments.equals(segments)
