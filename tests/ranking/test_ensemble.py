"""Several scores as one: comparable within a list, weighted by what is measured."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from modiste.evaluation.protocol import rank_by_score
from modiste.ranking.ensemble import choose_weights, combine, combined, comparable, weight_curve

SEGMENTS = ("cold", "lately")


def planted(customers: int = 400, size: int = 30) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Scores: "good" says what is bought, "half" half of the time, "noise" nothing; and labels."""
    rng = np.random.default_rng(4)
    n = customers * size
    signal = rng.normal(size=n)
    frame = pl.DataFrame(
        {
            "customer": np.repeat(np.arange(customers, dtype=np.int32), size),
            "article": np.tile(np.arange(size, dtype=np.int32), customers),
            "good": 100 + 5 * (signal + 0.3 * rng.normal(size=n)),
            "half": signal + 2 * rng.normal(size=n),
            "noise": rng.normal(size=n),
        }
    ).with_columns(
        segment=pl.when(pl.col("customer") % 2 == 0)
        .then(pl.lit("cold"))
        .otherwise(pl.lit("lately"))
    )
    bought = frame.with_columns(signal=pl.Series(signal)).filter(
        pl.col("signal").rank("ordinal", descending=True).over("customer") <= 2
    )
    return frame, bought.select("customer", "article")


SCORERS = ["good", "half", "noise"]


def segments_of(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select("customer", "segment").unique().sort("customer")


def test_scores_are_of_one_scale_within_a_list() -> None:
    frame, _ = planted()
    even = comparable(frame, SCORERS)
    means = even.group_by("customer").agg(pl.col(SCORERS).mean())
    deviations = even.group_by("customer").agg(pl.col(SCORERS).std(ddof=0))
    np.testing.assert_allclose(means.select(SCORERS).to_numpy(), 0, atol=1e-9)
    np.testing.assert_allclose(deviations.select(SCORERS).to_numpy(), 1, rtol=1e-9)
    # A line a customer: what is added to or multiplies all of a list's scores says nothing.
    moved = frame.with_columns(pl.col("good") * 7 + pl.col("customer"))
    np.testing.assert_allclose(comparable(moved, SCORERS)["good"], even["good"], atol=1e-9)


def test_what_has_no_score_counts_as_the_lowest() -> None:
    frame = pl.DataFrame(
        {
            "customer": [1, 1, 1, 2, 2],
            "article": [1, 2, 3, 1, 2],
            "some": [3.0, None, 1.0, None, None],
            "alike": [5.0, 5.0, 5.0, 1.0, 2.0],
        }
    )
    even = comparable(frame, ["some", "alike"])
    assert even["some"][1] == even["some"][2] < even["some"][0]
    assert even["some"].to_list()[3:] == [0, 0]
    assert even["alike"].to_list()[:3] == [0, 0, 0]


def test_each_segment_has_its_weights() -> None:
    frame, _ = planted(customers=4)
    even = comparable(frame, SCORERS)
    total = combine(even, {"cold": {"good": 2.0, "noise": 0.0}, "lately": {"half": 1.0}})
    cold = (even["segment"] == "cold").to_numpy()
    np.testing.assert_allclose(total[cold], 2 * even["good"].to_numpy()[cold])
    np.testing.assert_allclose(total[~cold], even["half"].to_numpy()[~cold])
    with pytest.raises(ValueError, match="segment lately"):
        combine(even, {"cold": {"good": 1.0}})


@pytest.mark.parametrize("weight", [0.125, 1.0, 5.0, 1000.0])
def test_those_far_ahead_of_a_long_list_keep_their_order(weight: float) -> None:
    """Their sums are beyond what the exponential of float32 holds: none may be taken for equal."""
    size = 200
    signal = np.zeros(size)
    signal[-2:] = 100, 101
    frame = pl.DataFrame(
        {
            "customer": np.zeros(size, dtype=np.int32),
            "article": np.arange(size, dtype=np.int32),
            "one": signal,
            "other": signal + np.arange(size) / size,
            "segment": ["lately"] * size,
        }
    )
    weights = {"lately": {"one": weight, "other": weight, "none": 0.0}}
    even = comparable(frame, ["one", "other"])
    scores = combined(even, weights)
    assert np.isfinite(scores["score"].to_numpy().astype(np.float32)).all()
    order = np.argsort(-combine(even, weights), kind="stable")
    assert rank_by_score(scores, 12)["article"].to_list() == order[:12].tolist()


def test_weights_move_to_what_is_good_and_stay_without_evidence() -> None:
    frame, labels = planted()
    even = comparable(frame, SCORERS)
    wrong = {segment: {"good": 0.0, "half": 1.0, "noise": 1.0} for segment in SEGMENTS}
    found = choose_weights(even, labels, segments_of(frame), wrong, 12, z=2.0)
    for weights in found.weights.values():
        assert weights["good"] > 2 * weights["noise"]
    assert found.trials["taken"].any()
    right = {segment: {"good": 1.0, "half": 0.0, "noise": 0.0} for segment in SEGMENTS}
    cautious = choose_weights(even, labels, segments_of(frame), right, 12, z=5.0)
    assert cautious.weights == right
    assert not cautious.trials["taken"].any()


def test_a_segment_that_bought_nothing_keeps_its_weights() -> None:
    frame, labels = planted()
    only_cold = labels.filter(pl.col("customer") % 2 == 0)
    start = {segment: {"good": 0.0, "noise": 1.0} for segment in SEGMENTS}
    found = choose_weights(
        comparable(frame, SCORERS), only_cold, segments_of(frame), start, 12, z=2.0
    )
    assert found.weights["lately"] == start["lately"]
    assert found.weights["cold"] != start["cold"]


def test_the_curve_goes_from_one_scorer_to_the_other() -> None:
    frame, labels = planted()
    curve = weight_curve(comparable(frame, SCORERS), labels, "good", "noise", (0, 0.5, 1), 12)
    assert curve["share"].to_list() == [0, 0.5, 1]
    assert curve["map"].is_sorted()
    assert curve["map"][2] > 2 * curve["map"][0]
