"""The whole run, ranking and all, with shops that lack what most have."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from modiste.config import load_config
from modiste.engine import Engine
from modiste.pipeline import run_pipeline
from raw_shops import write_tables

CUSTOMERS, DAYS, LAST = 120, 56, date(2020, 9, 22)

SETTINGS = (
    "ingest.partition_customers=50",
    "evaluation.resamples=20",
    "report.customers=2",
    "ranking.windows=1",
    "ranking.watched=100",
    "ranking.rankers=[lightgbm, logistic, tabnet]",
    "ranking.lightgbm.rounds=5",
    "ranking.tabnet.network.decision_width=4",
    "ranking.tabnet.network.attention_width=4",
    "ranking.tabnet.network.steps=2",
    "ranking.tabnet.training.epochs=1",
    "ranking.tabnet.training.least_steps_per_epoch=10",
)


def run(folder: Path, articles: pl.DataFrame, bought: pl.DataFrame) -> tuple[Any, pl.DataFrame]:
    """What a run measured, and each customer's list."""
    shop = write_tables(
        folder / "shop",
        {
            "articles": articles,
            "customers": pl.DataFrame({"customer_id": [f"c{each}" for each in range(CUSTOMERS)]}),
            "transactions_train": bought,
        },
    )
    out = folder / "run"
    run_pipeline(str(shop), out, load_config(overrides=SETTINGS), Engine(workers=1))
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["recommender"] == "hybrid"
    assert 0 <= metrics["map@12"] <= 1
    lists = pl.read_csv(out / "submission.csv", infer_schema=False).with_columns(
        pl.col("prediction").str.split(" ")
    )
    assert lists["customer_id"].to_list() == [f"c{each}" for each in range(CUSTOMERS)]
    assert lists["prediction"].list.len().min() > 0  # type: ignore[operator]
    assert (lists["prediction"].list.n_unique() == lists["prediction"].list.len()).all()
    assert lists["prediction"].explode().is_in(articles["article_id"].implode()).all()
    return metrics, lists


def articles(n: int, **columns: list[str]) -> pl.DataFrame:
    return pl.DataFrame({"article_id": [f"{each:010d}" for each in range(n)], **columns})


def purchases(
    customers: list[int], article: list[int], days_before_the_end: list[int]
) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "t_dat": [str(LAST - timedelta(days=days)) for days in days_before_the_end],
            "customer_id": [f"c{each}" for each in customers],
            "article_id": [f"{each:010d}" for each in article],
            "price": ["0.05"] * len(customers),
        }
    )


def some_purchases(n_articles: int, rows: int = 1200) -> pl.DataFrame:
    """Of customers with favourites; every tenth customer never buys."""
    rng = np.random.default_rng(2)
    customer = rng.choice([each for each in range(CUSTOMERS) if each % 10], rows)
    article = np.where(
        rng.random(rows) < 0.5,
        (customer * 7 + rng.integers(0, 3, rows)) % n_articles,
        (n_articles * rng.random(rows) ** 2).astype(int),
    )
    return purchases(customer.tolist(), article.tolist(), rng.integers(0, DAYS, rows).tolist())


def recall_of(metrics: Any, source: str) -> float:
    (found,) = [
        row["recall"]
        for row in metrics["ranking"]["candidates"]
        if (row["segment"], row["source"]) == ("all", source)
    ]
    return float(found)


def test_a_source_that_returns_nothing(tmp_path: Path) -> None:
    """No article shares its product with another, so there are no other colours of anything."""
    metrics, lists = run(tmp_path, articles(30), some_purchases(30))
    assert recall_of(metrics, "other_colours") == 0
    assert recall_of(metrics, "repurchase") > 0
    shown = {row["source"]: row for row in metrics["ranking"]["shown"] if row["segment"] == "all"}
    assert shown["other_colours"]["places"] == 0
    assert shown["other_colours"]["bought"] is None
    assert lists["prediction"].list.len().to_list() == [12] * CUSTOMERS


def test_all_customers_cold(tmp_path: Path) -> None:
    """Everybody buys on one day alone: whoever buys in a window has no history there."""
    rng = np.random.default_rng(4)
    day = rng.integers(0, DAYS, CUSTOMERS)
    day[:60] %= 21  # enough of them in the windows
    customer = np.repeat(np.arange(CUSTOMERS), 4)
    article = (30 * rng.random(len(customer)) ** 2).astype(int)
    bought = purchases(customer.tolist(), article.tolist(), np.repeat(day, 4).tolist())
    metrics, lists = run(
        tmp_path, articles(30, section_name=[f"section {each % 3}" for each in range(30)]), bought
    )
    assert {row["segment"] for row in metrics["ranking"]["candidates"]} == {"all", "cold"}
    assert recall_of(metrics, "repurchase") == 0
    assert recall_of(metrics, "popularity") > 0
    assert lists["prediction"].list.len().to_list() == [12] * CUSTOMERS


def test_one_article(tmp_path: Path) -> None:
    metrics, lists = run(tmp_path, articles(1), some_purchases(1))
    assert lists["prediction"].to_list() == [["0000000000"]] * CUSTOMERS
    assert metrics["map@12"] == 1
    assert recall_of(metrics, "union") == 1
