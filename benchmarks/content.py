"""What content recommends alone, what it adds to the blend, and what newcomers cost.

    python benchmarks/content.py SHOP VECTORS [--as-of 2020-09-20 --horizon 3] [--max-customers N]

SHOP is a folder of prepared tables, VECTORS one with ``vectors.npy`` and ``origin.json`` of its
articles. Printed are MAP@12 and recall of content and of popularity; how many of the articles that
customers with history bought before anybody else are among their 200; and the gain in MAP@12 over
the default blend for several weights, each with the standard errors that it is large (choose one on
an earlier window than you report on). The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from modiste.data.dataset import Dataset, Partition, Window
from modiste.engine import Engine
from modiste.evaluation.backtest import recommend_to
from modiste.evaluation.metrics import score_customers
from modiste.models.blend import (
    POPULARITY,
    Artifacts,
    BlendSettings,
    gather_candidates,
    make_recommenders,
)
from modiste.models.content import Content
from modiste.models.popularity import Popularity
from modiste.models.weight_search import ScoredCandidates
from modiste.vectors.article_vectors import ArticleVectors

_DEPTH = 200
_WEIGHTS = (2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0)
_NEWCOMERS = "content with never sold"


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shop", type=Path)
    parser.add_argument("vectors", type=Path)
    parser.add_argument("--as-of", type=date.fromisoformat, default=date(2020, 9, 20))
    parser.add_argument("--horizon", type=int, default=3)
    parser.add_argument("--max-customers", type=int, default=30_000)
    options = parser.parse_args()
    vectors = ArticleVectors.load(options.vectors)
    settings = BlendSettings()
    with Engine() as engine:
        dataset = Dataset.open(options.shop, engine)
        window = Window(options.as_of, options.horizon)
        labels = dataset.purchases(window)
        customers = labels["customer"].unique().sort()
        if len(customers) > options.max_customers:
            customers = customers.sample(options.max_customers, seed=0).sort()
            labels = labels.join(customers.to_frame(), on="customer", how="semi")
        history = dataset.until(window.as_of)
        made = {
            **make_recommenders(settings, Artifacts(vectors)),
            _NEWCOMERS: Content(vectors, settings.content.model_copy(update={"never_sold": True})),
        }
        fitted, seconds = {}, {}
        for name in (*settings.weights, "content", _NEWCOMERS):
            started = time.process_time()
            fitted[name] = made[name].fit(history)
            seconds[name] = round(time.process_time() - started, 1)
        found = recommend_to(history, fitted, customers, _DEPTH)
        known = pl.concat(
            history.map(_with_history, customers, label="customers with history")
        ).to_series()
    sold = history.article_sales.select("article").unique()
    newcomers = labels.filter(pl.col("customer").is_in(known.implode())).join(
        sold, on="article", how="anti"
    )
    result: dict[str, Any] = {
        "benchmark": "content",
        "window": str(window),
        "model": vectors.origin.get("model"),
        "customers": len(customers),
        "with_history": len(known),
        "newcomers_bought": newcomers.height,
        "fit_cpu_seconds": {name: seconds[name] for name in ("content", _NEWCOMERS)},
    }
    for name in (POPULARITY, "content", _NEWCOMERS):
        scores = score_customers(found[name], labels, 12, (100, _DEPTH))
        warm = scores.filter(pl.col("customer").is_in(known.implode()))
        figures = {
            f"{metric}, {who}": round(float(np.mean(frame[metric].to_numpy())), 5)
            for metric in ("average_precision", "recall@100", f"recall@{_DEPTH}")
            for who, frame in (("all", scores), ("with history", warm))
        }
        figures["newcomers found"] = found[name].join(newcomers, on=["customer", "article"]).height
        result[name] = figures
        print(name, figures)
    article_scores = Popularity(settings.popularity).fit(history).article_scores
    for name in ("content", _NEWCOMERS):
        gains = _gains_in_the_blend(found, name, article_scores, labels, settings)
        result[f"gain of {name} in the blend"] = gains
        print(f"gain of {name} in the blend", gains)
    print(json.dumps(result))


def _gains_in_the_blend(
    found: dict[str, pl.DataFrame],
    name: str,
    article_scores: pl.DataFrame,
    labels: pl.DataFrame,
    settings: BlendSettings,
) -> dict[str, list[float]]:
    """By weight, the gain in MAP@12 over the blend without it, and in standard errors."""
    sources = [*settings.weights, name]
    proposals = {
        source: found[source].filter(
            pl.col("rank") <= (12 if source == POPULARITY else settings.candidates)
        )
        for source in sources
    }
    candidates = ScoredCandidates.of(gather_candidates(proposals, article_scores), labels, sources)
    before = candidates.average_precision(settings.weights, sources, 12)
    gains = {}
    for weight in _WEIGHTS:
        gain = candidates.average_precision({**settings.weights, name: weight}, sources, 12)
        gain -= before
        error = float(np.sqrt((gain * gain).sum())) or 1.0
        gains[f"{weight:g}"] = [round(float(gain.mean()), 6), round(float(gain.sum()) / error, 1)]
    return gains


def _with_history(partition: Partition, customers: pl.Series) -> pl.DataFrame:
    return partition.read().only(customers).transactions.select("customer").unique()


if __name__ == "__main__":
    main()
