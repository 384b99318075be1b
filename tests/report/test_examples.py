"""Sample customers: who is drawn, and that what is shown is what the models said."""

from __future__ import annotations

from collections import Counter
from typing import Any

import polars as pl
import pytest

from modiste.data.dataset import Window
from modiste.evaluation.backtest import recommend_to
from modiste.report.examples import Example, make_examples
from modiste.report.pictures import PictureFolder
from modiste.report.results import RunMetrics


def _examples(run: Any, window: Window, n: int, seed: int = 1) -> list[Example]:
    return make_examples(
        run.dataset,
        window,
        run.blend,
        run.blend,
        k=12,
        n=n,
        seed=seed,
        pictures=PictureFolder(None),
    )


@pytest.fixture(scope="module")
def window(run: Any) -> Window:
    return RunMetrics.of(run.metrics).test.window


def test_draws_from_every_kind(run: Any, window: Window) -> None:
    kinds = Counter(example.kind for example in _examples(run, window, 6))
    assert kinds["no history"] >= 2
    assert kinds["long history"] >= 2
    assert kinds.total() == 6


def test_the_seed_decides_who(run: Any, window: Window) -> None:
    first, again, other = (_examples(run, window, 8, seed) for seed in (1, 1, 2))
    assert first == again
    assert [e.customer_id for e in first] != [e.customer_id for e in other]


def test_more_than_there_are_gives_all(run: Any, window: Window) -> None:
    buyers = run.dataset.purchases(window)["customer"].n_unique()
    shown = _examples(run, window, 10_000)
    assert len(shown) == len({example.customer_id for example in shown}) == buyers
    assert _examples(run, window, 0) == []


def test_shows_what_was_recommended_and_bought(run: Any, window: Window) -> None:
    labels = run.dataset.purchases(window)
    history = run.dataset.until(window.as_of)
    made = recommend_to(history, {"blend": run.blend}, labels["customer"].unique(), 12)["blend"]
    codes = {
        row["customer_id"]: row["customer"]
        for batch in history.batches()
        for row in batch.customers.iter_rows(named=True)
    }
    for example in _examples(run, window, 8):
        customer = pl.col("customer") == codes[example.customer_id]
        expected = made.filter(customer)
        bought = set(labels.filter(customer)["article"])
        assert [place.tile.article["article"] for place in example.recommended] == expected[
            "article"
        ].to_list()
        assert {purchase.tile.article["article"] for purchase in example.bought} == bought
        for place in example.recommended:
            assert place.bought == (place.tile.article["article"] in bought)
            assert sum(share for _, share in place.sources) == pytest.approx(1)
            assert {name for name, _ in place.sources} <= set(run.blend.weights)
        assert example.hits == sum(purchase.rank is not None for purchase in example.bought)


def test_shows_nothing_of_the_window_as_bought_before(run: Any, window: Window) -> None:
    for example in _examples(run, window, 8):
        days = [purchase.day for purchase in example.before]
        assert days == sorted(days, reverse=True)
        assert all(day < window.as_of for day in days)
        assert len(days) <= 12
        assert bool(days) == (example.pieces > 0)
        assert example.last_day == (days[0] if days else None)
