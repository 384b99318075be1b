"""Trees as a ranker: what they learn, that it is the same each time, and that it adds up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from modiste.errors import DataError
from modiste.ranking.lightgbm_ranker import LightGBMRanker
from modiste.ranking.lightgbm_settings import LightGBMSettings
from modiste.ranking.protocol import Ranker
from modiste.ranking.rows import KEYS, LABEL, WEIGHT, Feature, RankingRows

FEATURES = (
    Feature("signal", "planted", "says what is bought"),
    Feature("noise", "planted", "says nothing"),
    Feature("kind", "planted", "says nothing, either", n_categories=3),
)
SETTINGS = LightGBMSettings(min_rows=5, rounds=60, patience=20, learning_rate=0.1)


def lists(seed: int, customers: int = 150, size: int = 20) -> RankingRows:
    rng = np.random.default_rng(seed)
    n = customers * size
    signal = rng.normal(size=n)
    bought = rng.random(n) < 1 / (1 + np.exp(3 - 2 * signal))
    frame = pl.DataFrame(
        {
            "window": 0,
            "customer": np.repeat(np.arange(customers), size),
            "article": np.tile(np.arange(size), customers),
            LABEL: bought,
            WEIGHT: np.ones(n, dtype=np.float32),
            "signal": signal.astype(np.float32),
            "noise": rng.normal(size=n).astype(np.float32),
            "kind": rng.integers(0, 3, n).astype(np.int32),
        },
        schema_overrides=KEYS,
    ).with_columns(signal=pl.when(pl.col("article") == 7).then(None).otherwise("signal"))
    return RankingRows(FEATURES, frame)


def share_of_pairs_in_order(rows: RankingRows, scores: NDArray[np.float32]) -> float:
    """Of pairs of a bought and another row, how many have the bought one first (AUC)."""
    bought = rows.frame[LABEL].to_numpy()
    return float((scores[bought][:, None] > scores[~bought][None, :]).mean())


@pytest.fixture(scope="module", params=["lambdarank", "binary"])
def ranker(request: pytest.FixtureRequest) -> LightGBMRanker:
    settings = SETTINGS.model_copy(update={"loss": request.param, "categories": True})
    return LightGBMRanker(settings).fit(lists(1), lists(2))


def test_it_finds_the_planted_signal(ranker: LightGBMRanker) -> None:
    assert isinstance(ranker, Ranker)
    unseen = lists(3)
    assert share_of_pairs_in_order(unseen, ranker.score(unseen.frame)) > 0.8
    importance = ranker.importance()
    assert importance["importance"].sum() == pytest.approx(1)
    assert importance.sort("importance")["feature"][-1] == "signal"
    assert 0 < ranker.rounds <= SETTINGS.rounds


def test_the_same_rows_give_the_same_trees(ranker: LightGBMRanker, tmp_path: Path) -> None:
    again = LightGBMRanker(ranker.settings).fit(lists(1), rounds=ranker.rounds)
    for name, each in (("one", ranker), ("two", again)):
        (tmp_path / name).mkdir()
        each.save(tmp_path / name)
    files = [(tmp_path / name / "trees.txt").read_text() for name in ("one", "two")]
    # The parameters at their end say how many trees were allowed.
    trees = [text.partition("\nparameters:")[0] for text in files]
    assert trees[0] == trees[1]


def test_a_saved_ranker_scores_the_same(ranker: LightGBMRanker, tmp_path: Path) -> None:
    ranker.save(tmp_path)
    frame = lists(3).frame
    np.testing.assert_array_equal(LightGBMRanker().load(tmp_path).score(frame), ranker.score(frame))


def test_contributions_add_up_to_the_score(ranker: LightGBMRanker) -> None:
    frame = lists(3).frame
    parts = ranker.contributions(frame)
    assert parts.columns == ["signal", "noise", "kind", "expected"]
    np.testing.assert_allclose(
        parts.sum_horizontal().to_numpy(), ranker.score(frame), rtol=1e-4, atol=1e-5
    )


def test_rows_without_a_purchase_are_refused() -> None:
    rows = lists(1)
    none = RankingRows(FEATURES, rows.frame.with_columns(pl.lit(False).alias(LABEL)))
    with pytest.raises(DataError, match="none of the 3,000 rows was bought"):
        LightGBMRanker(SETTINGS).fit(none)
