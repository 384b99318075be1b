"""The purchases of a label window by some of its customers, where all would be more than needed."""

from __future__ import annotations

import polars as pl

from modiste.data.dataset import Dataset, Window


def purchases_of_some(dataset: Dataset, window: Window, customers: int, seed: int) -> pl.DataFrame:
    """What was bought in a window by at most so many customers, drawn by a seed.

    Returns
    -------
    As :meth:`modiste.data.dataset.Dataset.purchases`: of each of these customers, all.
    """
    labels = dataset.purchases(window)
    buyers = labels["customer"].unique().sort()
    if len(buyers) <= customers:
        return labels
    drawn = buyers.sample(customers, seed=seed).to_frame()
    return labels.join(drawn, on="customer", how="semi", maintain_order="left")
