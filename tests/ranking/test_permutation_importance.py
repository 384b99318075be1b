"""What permuted features cost, where the answer is known."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from modiste.errors import DataError
from modiste.ranking.lightgbm_ranker import LightGBMRanker
from modiste.ranking.lightgbm_settings import LightGBMSettings
from modiste.ranking.permutation_importance import permutation_importance
from modiste.ranking.protocol import Ranker
from modiste.ranking.rows import LABEL, RankingRows
from ranking_lists import FEATURES, LIST, make_rows


class ByOneFeature(LightGBMRanker):
    """A ranker whose score is the value of one feature."""

    def __init__(self, feature: str) -> None:
        super().__init__()
        self.feature = feature

    def score(self, frame: pl.DataFrame) -> NDArray[np.float32]:
        return frame[self.feature].to_numpy().astype(np.float32)


def one_bought_of_each(lists: int) -> RankingRows:
    """In each list the article with the highest ``sales`` was bought, and no other."""
    rows = make_rows(lists)
    best = pl.col("sales") == pl.col("sales").max().over("customer")
    return RankingRows(rows.features, rows.frame.with_columns(best.alias(LABEL)))


PERMUTED = {
    "only": ["sales"],
    "unused": ["noise"],
    "unused and unknown": ["days", "colour"],
    "only and unused": ["sales", "noise"],
}


def test_what_is_not_used_costs_nothing_and_the_only_feature_costs_all() -> None:
    rows = one_bought_of_each(3_000)
    ranker: Ranker = ByOneFeature("sales")
    found = permutation_importance(ranker, rows, PERMUTED, k=5)
    assert found["name"].to_list() == list(PERMUTED)
    assert (found["map"] == 1).all()
    drop = dict(zip(found["name"], found["drop"], strict=True))
    spread = dict(zip(found["name"], found["spread"], strict=True))
    assert (drop["unused"], spread["unused"]) == (0, 0)
    assert (drop["unused and unknown"], spread["unused and unknown"]) == (0, 0)
    # Any order is as likely as any other: the one that was bought is at each place equally often.
    by_chance = sum(1 / rank for rank in range(1, 6)) / LIST
    assert drop["only"] == pytest.approx(1 - by_chance, abs=0.01)
    assert 0 < spread["only"] < 0.01
    # All names are permuted in the same ways.
    assert drop["only and unused"] == drop["only"]


def test_trees_that_see_one_feature_lose_by_no_other() -> None:
    rows = make_rows(300, seed=1)
    seen = RankingRows(FEATURES[:1], rows.frame)
    ranker = LightGBMRanker(LightGBMSettings(rounds=20, min_rows=20, features=1.0)).fit(seen)
    watched = make_rows(300, seed=2)
    found = permutation_importance(
        ranker, watched, {feature.name: [feature.name] for feature in FEATURES}
    )
    drop = dict(zip(found["name"], found["drop"], strict=True))
    assert drop["sales"] > 0.1
    assert {name for name, value in drop.items() if value == 0} == {"days", "noise", "colour"}


def test_lists_without_a_purchase_are_permuted_with_the_others() -> None:
    rows = one_bought_of_each(200)
    # What these lists hold is far below everything else, and comes into the lists that count.
    second = pl.col("customer") % 2 == 1
    frame = rows.frame.with_columns(
        pl.col(LABEL) & ~second, sales=pl.when(second).then(-1.0).otherwise("sales")
    )
    ranker = ByOneFeature("sales")
    every = permutation_importance(ranker, RankingRows(rows.features, frame), PERMUTED)
    some = permutation_importance(
        ranker, RankingRows(rows.features, frame.filter(~second)), PERMUTED
    )
    assert (every["map"] == 1).all()
    assert every["drop"][0] != some["drop"][0]
    assert every["drop"][1] == some["drop"][1] == 0


def test_one_seed_has_no_spread_and_the_same_seeds_say_the_same() -> None:
    rows, ranker = one_bought_of_each(50), ByOneFeature("sales")
    once = permutation_importance(ranker, rows, PERMUTED, seeds=(4,))
    assert once["spread"].null_count() == len(PERMUTED)
    assert once.equals(permutation_importance(ranker, rows, PERMUTED, seeds=(4,)))
    assert not once.equals(permutation_importance(ranker, rows, PERMUTED, seeds=(5,)))


def test_what_is_lacking_is_said() -> None:
    rows, ranker = one_bought_of_each(5), ByOneFeature("sales")
    with pytest.raises(DataError, match="lack the features nothing"):
        permutation_importance(ranker, rows, {"some": ["nothing"]})
    unbought = RankingRows(rows.features, rows.frame.with_columns(pl.lit(False).alias(LABEL)))
    with pytest.raises(DataError, match="none of the watched rows was bought"):
        permutation_importance(ranker, unbought, PERMUTED)


def test_names_are_put_into_their_groups() -> None:
    assert RankingRows(FEATURES, pl.DataFrame()).names_by_group == {
        "article": ["sales", "colour"],
        "pair": ["days", "noise"],
    }
