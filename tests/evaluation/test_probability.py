"""Predicted probabilities: scikit-learn's figures, hand-worked ones, and what weights mean."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as oracle

from modiste.evaluation.probability import (
    ProbabilityScores,
    auc,
    calibration,
    expected_calibration_error,
)

Floats = NDArray[np.float64]


def drawn(n: int, seed: int = 0) -> tuple[Floats, NDArray[np.bool_], Floats]:
    """Predictions near 0 and with ties, what was bought by them, and weights."""
    rng = np.random.default_rng(seed)
    p = np.round(rng.beta(0.5, 6, n), 3)
    return p, rng.random(n) < p, rng.integers(1, 30, n).astype(np.float64)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_same_as_another_library(weighted: bool) -> None:
    p, y, weights = drawn(5000)
    w = weights if weighted else None
    found = ProbabilityScores.of(p, y, w)
    assert found.mse == pytest.approx(oracle.mean_squared_error(y, p, sample_weight=w))
    assert found.mse == pytest.approx(oracle.brier_score_loss(y, p, sample_weight=w))
    assert found.rmse == pytest.approx(oracle.root_mean_squared_error(y, p, sample_weight=w))
    assert found.mae == pytest.approx(oracle.mean_absolute_error(y, p, sample_weight=w))
    assert found.r2 == pytest.approx(oracle.r2_score(y, p, sample_weight=w))
    assert found.log_loss == pytest.approx(oracle.log_loss(y, p, sample_weight=w))
    assert found.auc == pytest.approx(oracle.roc_auc_score(y, p, sample_weight=w))
    assert found.observed == pytest.approx(np.average(y, weights=w))
    assert found.predicted == pytest.approx(np.average(p, weights=w))
    assert found.weight == (len(p) if w is None else w.sum())


def test_by_hand() -> None:
    found = ProbabilityScores.of([0.8, 0.4, 0.2], [1, 0, 0], bins=1)
    assert found.mse == pytest.approx((0.04 + 0.16 + 0.04) / 3)
    assert found.mae == pytest.approx(0.8 / 3)
    assert found.log_loss == pytest.approx(-(math.log(0.8) + math.log(0.6) + math.log(0.8)) / 3)
    assert found.r2 == pytest.approx(1 - 0.24 / (2 / 3))
    assert found.auc == 1
    assert found.calibration_error == pytest.approx(1.4 / 3 - 1 / 3)


def test_a_certain_prediction_that_is_wrong_costs_much_but_not_all() -> None:
    found = ProbabilityScores.of([0.0, 1.0], [1, 0])
    assert 30 < found.log_loss < 40
    assert found.mse == 1
    assert ProbabilityScores.of([0.0, 1.0], [0, 1]).log_loss == 0


@pytest.mark.parametrize("bought", [0, 1])
def test_what_is_not_defined_where_all_or_none_was_bought(bought: int) -> None:
    found = ProbabilityScores.of([0.2, 0.3], [bought] * 2)
    assert {name for name, value in asdict(found).items() if math.isnan(value)} == {"auc", "r2"}
    # A row that stands for none does not count.
    assert math.isnan(auc([0.2, 0.3, 0.4], [bought, bought, 1 - bought], [1, 1, 0]))


def test_one_row() -> None:
    found = ProbabilityScores.of([0.25], [True])
    assert (found.rows, found.mse, found.mae, found.calibration_error) == (1, 0.5625, 0.75, 0.75)


def naive_auc(p: Floats, y: Floats, w: Floats) -> float:
    """Every pair of a bought row and one that was not."""
    bought, other = y == 1, y == 0
    above = (p[bought][:, None] > p[other]) + 0.5 * (p[bought][:, None] == p[other])
    pairs = w[bought][:, None] * w[other]
    return float((above * pairs).sum() / pairs.sum())


rows_drawn = st.lists(
    st.tuples(st.integers(0, 6).map(lambda n: n / 6), st.integers(0, 1), st.integers(1, 5)),
    min_size=1,
    max_size=30,
)


@given(rows_drawn)
def test_auc_is_the_share_of_pairs_in_order(rows: list[tuple[float, int, int]]) -> None:
    p, y, w = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    if y.min() == y.max():
        assert math.isnan(auc(p, y, w))
    else:
        assert auc(p, y, w) == pytest.approx(naive_auc(p, y, w))


@given(rows_drawn, st.integers(1, 12))
def test_a_weight_is_so_many_rows(rows: list[tuple[float, int, int]], bins: int) -> None:
    p, y, w = (np.array(column) for column in zip(*rows, strict=True))
    weighted = asdict(ProbabilityScores.of(p, y, w, bins))
    repeated = asdict(ProbabilityScores.of(np.repeat(p, w), np.repeat(y, w), bins=bins))
    assert weighted.pop("rows") == len(p)
    assert repeated.pop("rows") == w.sum()
    assert weighted == pytest.approx(repeated, nan_ok=True)


@given(rows_drawn, st.integers(1, 12))
def test_bins_hold_every_row_once_in_order(rows: list[tuple[float, int, int]], bins: int) -> None:
    p, y, w = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    table = calibration(p, y, w, bins)
    assert 1 <= table.height <= bins
    assert table["n"].sum() == len(p)
    assert table["weight"].sum() == pytest.approx(w.sum())
    assert (table["predicted"] * table["weight"]).sum() == pytest.approx((p * w).sum())
    assert (table["observed"] * table["weight"]).sum() == pytest.approx((y * w).sum())
    previous = -1.0
    for row in table.iter_rows(named=True):
        # Equal predictions are never parted.
        assert previous < row["low"] <= row["high"]
        within = (p >= row["low"]) & (p <= row["high"])
        assert row["n"] == within.sum()
        assert row["observed"] == pytest.approx(np.average(y[within], weights=w[within]))
        assert row["low"] - 1e-12 <= row["predicted"] <= row["high"] + 1e-12
        previous = row["high"]


def test_bins_are_quantiles_of_the_weight() -> None:
    p = np.arange(1000) / 1000
    table = calibration(p, p > 0.5, bins=10)
    assert table["n"].to_list() == [100] * 10
    assert table["low"].to_list() == pytest.approx([0.1 * n for n in range(10)])
    # The upper half stands for nine times as many: it has nine of ten bins.
    heavy = calibration(p, p > 0.5, np.where(p < 0.5, 1, 9), bins=10)
    assert heavy["weight"].to_list() == pytest.approx([500] * 10, abs=9)
    assert heavy["n"][0] == 500


def test_calibration_error_of_what_is_right_on_average_is_small() -> None:
    p, y, _ = drawn(200_000)
    right = expected_calibration_error(calibration(p, y))
    assert right < 0.003
    assert expected_calibration_error(calibration(p / 2, y)) == pytest.approx(
        p.mean() / 2, rel=0.02
    )


def test_the_order_of_the_rows_is_of_no_matter() -> None:
    p, y, w = drawn(3000)
    order = np.random.default_rng(1).permutation(len(p))
    one, other = ProbabilityScores.of(p, y, w), ProbabilityScores.of(p[order], y[order], w[order])
    assert asdict(one) == pytest.approx(asdict(other), rel=1e-12)


def test_single_precision_is_taken_as_it_is() -> None:
    p, y, w = drawn(1000)
    one = ProbabilityScores.of(p, y, w)
    assert asdict(ProbabilityScores.of(p.astype(np.float32), y, w.astype(np.float32))) == (
        pytest.approx(asdict(one), rel=1e-4)
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], []), "no rows"),
        (([0.1, 0.2], [1]), r"\(2,\), \(1,\)"),
        (([[0.1]], [[1]]), "a prediction"),
        (([0.1], [1], [1, 2]), "a weight"),
        (([1.1], [1]), "between 0 and 1"),
        (([float("nan")], [1]), "between 0 and 1"),
        (([0.1], [2]), "bought"),
        (([0.1], [1], [-1]), "weights"),
        (([0.1], [1], [0]), "weights"),
        (([0.1], [1], [float("inf")]), "weights"),
        (([0.1], [1], None, 0), "one bin at least"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ProbabilityScores.of(*arguments)


def test_bins_that_hold_as_many_predicted_purchases() -> None:
    predicted = np.array([0.01] * 100 + [0.25] * 4 + [1.0])
    bought = np.array([0.0] * 99 + [1] + [1, 0, 0, 0] + [1])
    table = calibration(predicted, bought, bins=3, alike="predicted")
    assert table["n"].to_list() == [100, 4, 1]
    assert table["predicted"].to_list() == pytest.approx([0.01, 0.25, 1])
    assert table["observed"].to_list() == pytest.approx([0.01, 0.25, 1])
    # By rows all of this is one bin of hundred, and one of the rest.
    assert calibration(predicted, bought, bins=2)["n"].to_list() == [100, 5]
    # Where nothing is predicted, bins are of rows.
    none = calibration([0.0, 0.0], [0, 1], alike="predicted")
    assert none["n"].to_list() == [2]
