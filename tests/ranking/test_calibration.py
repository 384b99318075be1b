from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.metrics import log_loss

from modiste.errors import DataError
from modiste.ranking.calibration import Calibration


def drawn(n: int, shift: float, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Scores that are no probabilities, and the true ones."""
    score = np.random.default_rng(seed).standard_normal(n).astype(np.float32)
    return score, expit(shift + 1.5 * score + 0.5 * np.sin(2 * score))


def bought_with(probability: NDArray[np.float64], seed: int = 1) -> NDArray[np.bool_]:
    return np.random.default_rng(seed).random(len(probability)) < probability


@pytest.mark.parametrize("shift", [0.0, -4.0, -7.5])
def test_close_to_the_truth(shift: float) -> None:
    score, truth = drawn(200_000, shift)
    learned = Calibration().fit(score, bought_with(truth))
    other, true = drawn(100_000, shift, seed=5)
    found = learned.probability(other)
    # Where most are bought, in tenths by score: within a fifth of the true share, or the noise.
    for part in np.array_split(np.argsort(other), 10)[5:]:
        noise = 4 / np.sqrt(2 * len(part) * true[part].mean())
        assert found[part].mean() == pytest.approx(true[part].mean(), rel=max(0.1, float(noise)))
    labels = bought_with(true, seed=6)
    constant = np.full(len(true), labels.mean())
    best, naive = log_loss(labels, true), log_loss(labels, constant)
    assert log_loss(labels, found) < best + 0.15 * (naive - best)


def test_never_falls_and_is_never_certain() -> None:
    score, truth = drawn(5_000, -3)
    learned = Calibration().fit(score, bought_with(truth))
    found = learned.probability(np.linspace(-50, 50, 1000))
    assert (np.diff(found) >= 0).all()
    assert 0 < found.min() < found.max() < 1
    everything = Calibration().fit(score, np.ones(len(score), dtype=bool))
    assert 0.99 < everything.probability(score).min() < 1


def test_weights_are_rows() -> None:
    score, truth = drawn(20_000, -3)
    bought = bought_with(truth)
    kept = bought | (np.random.default_rng(3).random(len(score)) < 0.25)
    weights = np.where(bought, 1.0, 4.0)[kept]
    whole = Calibration().fit(score, bought).probability(score)
    sampled = Calibration().fit(score[kept], bought[kept], weights).probability(score)
    assert sampled.mean() == pytest.approx(whole.mean(), rel=0.05)
    assert sampled == pytest.approx(whole, rel=0.6, abs=0.01)
    twice = Calibration().fit(score, bought, np.full(len(score), 2.0)).probability(score)
    assert twice == pytest.approx(whole)


def test_few_purchases_and_ties() -> None:
    bought = np.zeros(1000, dtype=bool)
    bought[[3, 500, 900]] = True
    one = Calibration().fit(np.arange(1000.0), bought)
    assert one.probability(np.array([-1, 2, 5000])) == pytest.approx(np.full(3, 0.003))
    same = Calibration().fit(np.zeros(1000), np.arange(1000) % 4 == 0)
    assert same.probability(np.array([0.0])) == pytest.approx(0.25)
    # Equal scores have equal probabilities, whichever bin they would be cut into.
    tied = Calibration().fit(np.repeat([0.0, 1.0], 500), np.arange(1000) % 500 < 100)
    assert tied.probability(np.array([0.0, 1.0])) == pytest.approx([0.2, 0.2])


def test_saved_and_loaded(tmp_path: Path) -> None:
    score, truth = drawn(5_000, -3)
    learned = Calibration().fit(score, bought_with(truth))
    learned.save(tmp_path)
    loaded = Calibration().load(tmp_path)
    assert np.array_equal(loaded.probability(score), learned.probability(score))
    (tmp_path / "calibration.json").write_text("{")
    with pytest.raises(DataError, match="damaged"):
        Calibration().load(tmp_path)


def test_what_cannot_be_calibrated() -> None:
    with pytest.raises(DataError, match="none of the 3 rows was bought"):
        Calibration().fit(np.arange(3.0), np.zeros(3, dtype=bool))
    with pytest.raises(DataError, match="not finite"):
        Calibration().fit(np.array([0, np.nan]), np.array([True, False]))
    with pytest.raises(DataError, match="learned nothing yet"):
        Calibration().probability(np.zeros(1))
