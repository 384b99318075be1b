from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression

from modiste.ranking.encoding import FeatureEncoding
from modiste.ranking.logistic import LogisticRanker
from modiste.ranking.logistic_settings import LogisticSettings
from modiste.ranking.rows import RankingRows
from ranking_lists import FEATURES, make_rows


def test_as_scikit_learn() -> None:
    """The same scores from the same encoded columns, a column for each code, weighted."""
    rows = make_rows(100)
    weights = np.random.default_rng(0).uniform(0.5, 2, rows.frame.height)
    frame = rows.frame.with_columns(pl.Series("weight", weights, dtype=pl.Float32))
    l2 = 0.01
    ranker = LogisticRanker(LogisticSettings(l2=l2)).fit(RankingRows(FEATURES, frame))
    encoded = FeatureEncoding().fit(rows).transform(rows.frame)
    design = np.concatenate([encoded.numbers, np.eye(7)[encoded.categories[:, 0]]], 1)
    kept = frame["weight"].to_numpy()
    theirs = LogisticRegression(C=1 / l2, tol=1e-8, max_iter=10_000)
    theirs.fit(design, frame["bought"].to_numpy(), sample_weight=kept / kept.sum())
    wanted = theirs.decision_function(design)
    assert ranker.score(frame) == pytest.approx(wanted, abs=0.01)


def test_watching_keeps_the_best_iteration() -> None:
    """Of an order that is the opposite of what was learned from, the first is the best."""
    rows = make_rows(100)
    opposite = rows.frame.with_columns(
        pl.col("sales").rank("ordinal", descending=False).over("customer").le(2).alias("bought")
    )
    ranker = LogisticRanker().fit(rows, RankingRows(FEATURES, opposite))
    assert ranker.rounds < LogisticRanker().fit(rows).rounds
