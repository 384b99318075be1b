"""Scores of trees by bit masks are LightGBM's own, to the last bit."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pytest
from numpy.typing import NDArray

from modiste.ranking.quick_scorer import MOST_LEAVES, QuickScorer

N_FEATURES = 7
RNG = np.random.default_rng(3)


def features(n_rows: int) -> NDArray[np.float32]:
    """Numbers of every kind: missing, none, many the same, very large, endless."""
    values = RNG.normal(scale=10.0, size=(n_rows, N_FEATURES)).astype(np.float32)
    values[:, 1] = np.rint(values[:, 1])
    values[:, 2] *= np.float32(1e37)
    values[RNG.random(values.shape) < 0.2] = np.nan
    values[RNG.random(values.shape) < 0.1] = 0.0
    values[RNG.random(values.shape) < 0.02] = np.inf
    values[RNG.random(values.shape) < 0.02] = -np.inf
    return values


def grown(**parameters: Any) -> lightgbm.Booster:
    """Trees that have learned what depends on all features, missing ones included."""
    values = features(3_000)
    known = np.nan_to_num(values, nan=3.0, posinf=50.0, neginf=-50.0).astype(np.float64)
    target = np.sin(known).sum(axis=1) + RNG.normal(size=len(known))
    settings = {"min_data_in_leaf": 3, "seed": 1, "verbosity": -1, "num_threads": 1}
    return lightgbm.train(settings | parameters, lightgbm.Dataset(values, target), 25)


@pytest.mark.parametrize("leaves", [2, 15, MOST_LEAVES])
@pytest.mark.parametrize("use_missing", [True, False])
def test_scores_are_lightgbms_to_the_last_bit(leaves: int, use_missing: bool) -> None:
    booster = grown(num_leaves=leaves, use_missing=use_missing)
    scorer = QuickScorer.of(booster)
    assert scorer is not None
    # At every threshold itself, and beside it.
    thresholds = booster.trees_to_dataframe()["threshold"].dropna().to_numpy(dtype=np.float32)
    around = np.concatenate([thresholds, np.nextafter(thresholds, np.float32(np.inf))])
    at_thresholds = np.repeat(around[:, None], N_FEATURES, axis=1)
    for rows in (features(1), features(128), features(1_001), features(0), at_thresholds):
        expected = booster.predict(rows, raw_score=True) if len(rows) else np.empty(0)
        found = scorer.score(np.ascontiguousarray(rows.T))
        np.testing.assert_array_equal(found, expected)
    assert len(np.unique(scorer.score(np.ascontiguousarray(features(500).T)))) > leaves


def test_trees_that_are_a_single_leaf_add_what_it_says() -> None:
    booster = grown(min_data_in_leaf=2_999)
    scorer = QuickScorer.of(booster)
    assert scorer is not None
    rows = features(10)
    found = scorer.score(np.ascontiguousarray(rows.T))
    np.testing.assert_array_equal(found, booster.predict(rows, raw_score=True))


def test_trees_that_it_cannot_ask_are_left_to_lightgbm() -> None:
    assert QuickScorer.of(grown(num_leaves=MOST_LEAVES + 1)) is None
    codes = RNG.integers(0, 9, (500, 1)).astype(np.float32)
    learned = lightgbm.Dataset(codes, (codes[:, 0] % 2), categorical_feature=[0])
    settings = {"min_data_per_group": 1, "cat_smooth": 1, "verbosity": -1}
    assert QuickScorer.of(lightgbm.train(settings, learned, 3)) is None
