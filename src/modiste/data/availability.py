"""Which articles are on sale as of a date, estimated from past sales alone.

The Kaggle data does not say when an article is in the shop. Who could be bought tomorrow was most
likely bought in the last days; the estimate counts an article as on sale when it was sold in the
last ``days`` days before the date. How many days serve best differs between shops (a fast-fashion
range turns over in weeks, a grocer's hardly at all), hence a setting.
"""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from modiste.data.dataset import History


def on_sale(history: History, days: int) -> npt.NDArray[np.bool_]:
    """Whether each article was sold in the last ``days`` days before ``history.as_of``.

    Returns
    -------
    Array of shape (n_articles,), bool.
    """
    since = history.as_of - timedelta(days=days)
    sold = history.article_sales.filter(pl.col("t_dat") >= since)["article"].unique()
    mask = np.zeros(history.n_articles, dtype=np.bool_)
    mask[sold.to_numpy()] = True
    return mask
