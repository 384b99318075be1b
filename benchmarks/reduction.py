"""What each reduction of article vectors keeps, and what it costs.

    python benchmarks/reduction.py --vectors FOLDER --articles articles.parquet [--only pca umap]
        [--shop PREPARED]

Columns: components; seconds to fit and to reduce all articles; milliseconds to place one query;
recall@10: share of the ten nearest by the full vectors that are among the ten nearest by the
reduced ones (articles drawn at random against all, exact, the article itself left out); share of
the ten nearest with the same product type; share that is another colour of the same product. With
``--shop``, the prepared tables of the same articles, also what the content recommender finds by
them: MAP@12 and recall@200 of the customers with history. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from machine import describe_machine
from modiste.data.dataset import Dataset, Partition, Window
from modiste.engine import Engine
from modiste.evaluation.backtest import recommend_to
from modiste.evaluation.metrics import score_customers
from modiste.models.content import Content
from modiste.vectors.article_vectors import ArticleVectors
from modiste.vectors.reduction import METHODS, Method, ReductionSettings, make_reduction

# Nearest articles looked at.
_NEAREST = 10

# Articles whose similarities to all others are in memory at once.
_QUERIES = 200


@dataclass(frozen=True)
class Reduced:
    """What a reduction made of all articles, and what that took."""

    vectors: NDArray[np.float32]
    fit_seconds: float
    reduce_seconds: float
    query_milliseconds: float


def main() -> None:
    """Measure the reductions."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vectors", type=Path, required=True, help="folder of article vectors")
    parser.add_argument("--articles", type=Path, required=True, help="the same articles' table")
    parser.add_argument("--queries", type=int, default=2000, help="articles drawn at random")
    parser.add_argument("--only", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--landmarks", type=int, default=10_000)
    parser.add_argument("--shop", type=Path, help="prepared tables, for the recommender")
    parser.add_argument("--as-of", type=date.fromisoformat, default=date(2020, 9, 20))
    parser.add_argument("--horizon", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=ReductionSettings().n_epochs)
    options = parser.parse_args()
    vectors = ArticleVectors.load(options.vectors)
    articles = pl.read_parquet(options.articles).sort("article_id")
    if len(articles) != len(vectors.vectors):
        raise SystemExit(
            f"{len(vectors.vectors):,} vectors but {len(articles):,} articles: "
            "give the table that the vectors were made from"
        )
    settings = ReductionSettings(landmarks=options.landmarks, n_epochs=options.epochs)
    reduced = reduce_all(vectors.vectors, options.only, settings)
    queries = draw_queries(vectors.known, options.queries)
    full = nearest(vectors.vectors, queries)
    rows = {
        name: {
            "components": each.vectors.shape[1],
            "fit seconds": round(each.fit_seconds, 1),
            "reduce seconds": round(each.reduce_seconds, 1),
            "query ms": round(each.query_milliseconds, 2),
            **neighbourhood(nearest(each.vectors, queries), full, queries, articles),
        }
        for name, each in reduced.items()
    }
    if options.shop is not None:
        window = Window(options.as_of, options.horizon)
        for name, each in reduced.items():
            rows[name] |= recommended(ArticleVectors(each.vectors, {}), options.shop, window)
    print(markdown(rows))
    print(
        json.dumps(
            {
                "benchmark": "reduction",
                "vectors": vectors.origin,
                "articles": len(articles),
                "queries": len(queries),
                "landmarks": options.landmarks,
                "epochs": options.epochs,
                "reductions": rows,
                "machine": describe_machine(),
            }
        )
    )


def reduce_all(
    vectors: NDArray[np.float32],
    methods: Sequence[Method] = METHODS,
    settings: ReductionSettings | None = None,
) -> dict[Method, Reduced]:
    """All articles reduced by each method."""
    settings = settings or ReductionSettings()
    results = {}
    for method in methods:
        started = time.perf_counter()
        reduction = make_reduction(settings.model_copy(update={"method": method})).fit(vectors)
        fitted = time.perf_counter()
        reduced = reduction.transform(vectors)
        finished = time.perf_counter()
        query = np.array(vectors[:1])
        placed = []
        for _ in range(20):
            start = time.perf_counter()
            reduction.transform(query)
            placed.append(time.perf_counter() - start)
        results[method] = Reduced(
            reduced, fitted - started, finished - fitted, 1000 * float(np.median(placed))
        )
    return results


def draw_queries(known: NDArray[np.bool_], count: int) -> NDArray[np.int64]:
    """Articles that have a vector, drawn at random with a fixed seed."""
    rows = np.flatnonzero(known)
    return np.sort(np.random.default_rng(0).choice(rows, min(count, len(rows)), replace=False))


def nearest(vectors: NDArray[np.float32], queries: NDArray[np.int64]) -> NDArray[np.int64]:
    """The ten nearest articles to each query by inner product, exact; in no order."""
    found = []
    for start in range(0, len(queries), _QUERIES):
        rows = queries[start : start + _QUERIES]
        scores = vectors[rows] @ vectors.T
        scores[np.arange(len(rows)), rows] = -np.inf
        found.append(np.argpartition(scores, -_NEAREST, axis=1)[:, -_NEAREST:])
    return np.concatenate(found)


def neighbourhood(
    near: NDArray[np.int64],
    full: NDArray[np.int64],
    queries: NDArray[np.int64],
    articles: pl.DataFrame,
) -> dict[str, float]:
    """How many neighbours are those by the full vectors, and what kind of articles they are."""

    def same(column: str) -> float:
        codes = articles[column].cast(pl.String).rank("dense").fill_null(0).to_numpy()
        return float((codes[near] == codes[queries][:, None]).mean())

    kept = [np.isin(ours, theirs).mean() for ours, theirs in zip(near, full, strict=True)]
    return {
        "recall@10": round(float(np.mean(kept)), 4),
        "same type": round(same("product_type_name"), 4),
        "other colour": round(same("product_code"), 4),
    }


def recommended(vectors: ArticleVectors, shop: Path, window: Window) -> dict[str, float]:
    """What the content recommender finds by these vectors, of customers with history."""
    with Engine() as engine:
        dataset = Dataset.open(shop, engine)
        history, labels = dataset.until(window.as_of), dataset.purchases(window)
        bought = history.map(_customers_with_history, label="customers with history")
        labels = labels.join(pl.concat(bought), on="customer", how="semi")
        customers = labels["customer"].unique().sort()
        content = {"content": Content(vectors).fit(history)}
        found = recommend_to(history, content, customers, 200)["content"]
    scores = score_customers(found, labels, 12, (200,))
    return {
        "content MAP@12": round(float(np.mean(scores["average_precision"].to_numpy())), 5),
        "content recall@200": round(float(np.mean(scores["recall@200"].to_numpy())), 4),
    }


def _customers_with_history(partition: Partition) -> pl.DataFrame:
    return partition.read_transactions(["customer"]).unique()


def markdown(rows: dict[Method, dict[str, Any]]) -> str:
    """A table with one line a reduction."""
    columns = list(next(iter(rows.values())))
    lines = [
        ["reduction", *columns],
        ["---", *(["---:"] * len(columns))],
        *([name, *(str(row[column]) for column in columns)] for name, row in rows.items()),
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    main()
