"""Bootstrap intervals: right on simulated truth, paired where they should be, reproducible."""

from __future__ import annotations

import numpy as np
import pytest

from modiste.evaluation import intervals
from modiste.evaluation.intervals import (
    mean_interval,
    paired_difference,
    paired_differences,
    resample_means,
)


def sparse_scores(rng: np.random.Generator, n: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Mostly zero, like average precision; the mean is 0.1."""
    return np.where(rng.random(n) < 0.2, rng.random(n), 0.0)


def test_interval_covers_the_true_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    draws = 400
    covered = 0
    for seed in range(draws):
        found = mean_interval(sparse_scores(rng, 300), resamples=400, seed=seed)
        covered += found.low <= 0.1 <= found.high
    # Four standard errors of a share of 0.95 over 400 draws, and the percentile interval of a
    # skewed score is a little too narrow.
    assert 0.90 <= covered / draws <= 0.99


def test_resampled_means_have_the_mean_and_spread_of_theory() -> None:
    values = np.random.default_rng(1).random((500, 2))
    means = resample_means(values, resamples=4000, seed=2)
    assert means.mean(axis=0) == pytest.approx(values.mean(axis=0), abs=0.001)
    assert means.std(axis=0) == pytest.approx(values.std(axis=0) / np.sqrt(500), rel=0.05)


def test_paired_interval_of_alike_models_is_narrower() -> None:
    rng = np.random.default_rng(2)
    reference = sparse_scores(rng, 2000)
    model = np.clip(reference + 0.01 * rng.standard_normal(2000) + 0.005, 0, 1)
    paired = paired_difference(model, reference)
    unpaired = resample_means(model[:, None], seed=0) - resample_means(reference[:, None], seed=1)
    low, high = np.quantile(unpaired, [0.025, 0.975])
    assert paired.high - paired.low < 0.2 * (high - low)
    assert paired.difference == pytest.approx((model - reference).mean())
    assert paired.low > 0
    assert paired.share_positive == 1.0


def test_paired_difference_of_a_model_with_itself_is_nothing() -> None:
    values = np.random.default_rng(3).random(50)
    found = paired_difference(values, values)
    assert (found.difference, found.low, found.high, found.share_positive) == (0, 0, 0, 0)


def test_same_seed_same_bytes_and_another_seed_others() -> None:
    values = np.random.default_rng(4).random((200, 3))
    first = resample_means(values, 100, seed=7)
    assert first.tobytes() == resample_means(values, 100, seed=7).tobytes()
    assert not np.array_equal(first, resample_means(values, 100, seed=8))


def test_a_column_does_not_depend_on_the_others() -> None:
    values = np.random.default_rng(5).random((200, 3))
    alone = resample_means(values[:, [1]], 50)[:, 0]
    assert alone.tobytes() == resample_means(values, 50)[:, 1].tobytes()


def test_blocks_are_only_a_matter_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(6).random((101, 2))
    whole = resample_means(values, 33)
    monkeypatch.setattr(intervals, "_BLOCK_CUSTOMERS", 250)
    assert resample_means(values, 33).tobytes() == whole.tobytes()


def test_one_customer_has_no_spread_and_none_is_refused() -> None:
    found = mean_interval([0.25])
    assert (found.mean, found.low, found.high) == (0.25, 0.25, 0.25)
    with pytest.raises(ValueError, match="no customers"):
        mean_interval([])


def test_several_differences_are_those_of_each_alone() -> None:
    rng = np.random.default_rng(3)
    values = rng.random(50)
    others = {"one": rng.random(50), "same": values}
    found = paired_differences(values, others, resamples=100, seed=2)
    assert list(found) == list(others)
    for name, other in others.items():
        assert found[name] == paired_difference(values, other, resamples=100, seed=2)
    assert paired_differences(values, {}) == {}
