"""Rows for rankers, with a planted signal."""

from __future__ import annotations

import numpy as np
import polars as pl

from modiste.ranking.rows import Feature, RankingRows

FEATURES = (
    Feature("sales", "article", "how often the article was sold lately"),
    Feature("days", "pair", "days since the customer bought it"),
    Feature("noise", "pair", "nothing"),
    Feature("colour", "article", "colour of the article", 6),
)
LIST = 20


def make_rows(n_lists: int, seed: int = 0, window: int = 0) -> RankingRows:
    """Lists of ``LIST`` candidates; what sells, was bought lately or has a colour is bought.

    ``sales`` has a heavy tail, ``days`` is mostly missing; about one row in twelve is bought.
    """
    rng = np.random.default_rng([seed, window])
    n = n_lists * LIST
    sales = np.exp(2 * rng.standard_normal(n)).astype(np.float32)
    days = np.where(rng.random(n) < 0.7, np.nan, rng.exponential(50, n)).astype(np.float32)
    colour = rng.integers(-1, 6, n)
    lately = np.where(np.isnan(days), 0, 2 * np.exp(-np.nan_to_num(days) / 30))
    logit = -5 + np.log(sales) + 2 * lately + np.where(colour == 2, 2.0, 0.0)
    frame = pl.DataFrame(
        {
            "window": np.full(n, window, dtype=np.int16),
            "customer": np.repeat(np.arange(n_lists, dtype=np.int32), LIST),
            "article": np.tile(np.arange(LIST, dtype=np.int32), n_lists),
            "bought": rng.random(n) < 1 / (1 + np.exp(-logit)),
            "weight": np.ones(n, dtype=np.float32),
            "sales": sales,
            "days": days,
            "noise": rng.standard_normal(n).astype(np.float32),
            "colour": colour.astype(np.int32),
        }
    ).with_columns(
        pl.col("days").fill_nan(None),
        pl.when(pl.col("colour") >= 0).then("colour").cast(pl.Int32).alias("colour"),
    )
    return RankingRows(FEATURES, frame)
