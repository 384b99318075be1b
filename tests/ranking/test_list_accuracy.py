from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modiste.evaluation.metrics import score_customers
from modiste.ranking.list_accuracy import mean_average_precision, with_purchases
from ranking_lists import LIST, make_rows


def test_by_hand() -> None:
    sizes = np.array([3, 1, 4])
    bought = np.array([0, 1, 0, 0, 1, 0, 0, 1], dtype=bool)
    scores = np.array([3, 2, 1, 9, 1, 1, 2, 1])
    # First list: rank 2. Second: nothing bought, not counted. Third: 2, 1 (tied), 1, 1.
    third = (1 / 2 + 2 / 4) / 2
    assert mean_average_precision(sizes, bought, scores) == pytest.approx((1 / 2 + third) / 2)
    assert mean_average_precision(sizes, bought, scores, k=2) == pytest.approx((1 / 2 + 1 / 4) / 2)
    assert mean_average_precision(sizes, bought, scores, k=1) == 0
    assert mean_average_precision(sizes, np.zeros(8, dtype=bool), scores) == 0
    assert mean_average_precision(sizes, bought, bought.astype(np.float32)) == 1


@given(st.integers(0, 2**32 - 1))
def test_as_the_metrics_of_recommendations(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 30, rng.integers(1, 8))
    n = int(sizes.sum())
    bought, scores = rng.random(n) < 0.3, rng.integers(0, 5, n).astype(np.float32)
    customer = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    article = np.arange(n, dtype=np.int32)
    frame = pl.DataFrame({"customer": customer, "article": article, "score": scores})
    ranked = frame.with_columns(
        pl.struct(-pl.col("score"), "article").rank("ordinal").over("customer").alias("rank")
    ).cast({"rank": pl.UInt16})
    found = score_customers(
        ranked.filter(pl.col("rank") <= 12).sort("customer", "rank"),
        pl.DataFrame({"customer": customer[bought], "article": article[bought]}),
        12,
    )
    wanted = found["average_precision"].mean() if bought.any() else 0
    assert mean_average_precision(sizes, bought, scores) == pytest.approx(wanted)


def test_only_lists_with_purchases() -> None:
    rows = make_rows(40, seed=2)
    empty = rows.frame.with_columns(pl.col("bought") & (pl.col("customer") % 2 == 1))
    left = with_purchases(type(rows)(rows.features, empty))
    some = left.frame.group_by("customer").agg(pl.col("bought").any(), pl.len())
    assert some["bought"].all()
    assert (some["len"] == LIST).all()
    assert (left.frame["customer"] % 2 == 1).all()
    assert left.frame.filter("bought").equals(empty.filter("bought"))
