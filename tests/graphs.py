"""Graphs for the tests of the graph network: drawn, and made without the code under test."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
from hypothesis import strategies as st

from modiste.data.days import day_number
from modiste.models.graph.purchase_graph import PurchaseGraph, graph_of

START = date(2020, 1, 1)
FIRST = day_number(START)
DAYS = 12
AS_OF = START + timedelta(days=DAYS)

# Customer, article, day since START; repeated: bought several times on the day.
Purchase = tuple[int, int, int]


def frame_of(purchases: list[Purchase]) -> pl.DataFrame:
    return pl.DataFrame(
        [(customer, article, START + timedelta(days=day)) for customer, article, day in purchases],
        schema={"customer": pl.Int32, "article": pl.Int32, "t_dat": pl.Date},
        orient="row",
    )


def make_graph(
    purchases: list[Purchase], n_customers: int = 6, n_articles: int = 5, as_of: date = AS_OF
) -> PurchaseGraph:
    return graph_of(frame_of(purchases), n_customers, n_articles, as_of)


def many_purchases(most: int = 60) -> st.SearchStrategy[list[Purchase]]:
    """Of six customers and five articles; the last of both buys nothing and is not sold."""
    return st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(0, DAYS - 1)), max_size=most
    )


def random_purchases(
    rng: np.random.Generator, n: int, n_customers: int, n_articles: int, days: int = DAYS
) -> list[Purchase]:
    """Some articles sell better than others."""
    popular = (n_articles * rng.random(n) ** 2).astype(int)
    return list(
        zip(
            rng.integers(0, n_customers, n).tolist(),
            popular.tolist(),
            rng.integers(0, days, n).tolist(),
            strict=True,
        )
    )
