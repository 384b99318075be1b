"""SASRec on a shop's customers: alone beside co-visitation, and in the blend, by segment.

    python benchmarks/sasrec_shop.py SHOP [--vectors VECTORS] [--as-of DATE --horizon DAYS]
                                     [--set models.sasrec.training.seed=1 ...] [--weights 1 3 10]

SHOP is a folder of prepared tables, VECTORS one with ``vectors.npy`` and ``origin.json`` of its
articles (stage ``reduce`` of a run). SASRec is trained on all days before the window, and every
other recommender of the default blend is fitted on the same. Printed is MAP@12 with its bootstrap
interval, and the paired difference to co-visitation, and of the blends to the blend without SASRec.
Choose settings and weight on an earlier window than you report on. The last line is one JSON
object.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from machine import describe_machine
from modiste.config import load_config
from modiste.data.dataset import Dataset, Window
from modiste.engine import Engine
from modiste.evaluation.backtest import Catalogue, evaluate, recommend_to
from modiste.evaluation.segments import segment_customers
from modiste.evaluation.settings import EvaluationSettings
from modiste.models.blend import (
    POPULARITY,
    RECOMMENDERS,
    Artifacts,
    BlendSettings,
    gather_candidates,
    rank_candidates,
)
from modiste.models.popularity import Popularity
from modiste.vectors.article_vectors import ArticleVectors

_DEPTH = 200


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shop", type=Path)
    parser.add_argument("--vectors", type=Path)
    parser.add_argument("--as-of", type=date.fromisoformat)
    parser.add_argument("--horizon", type=int, default=7)
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE, as of modiste run")
    parser.add_argument("--weights", type=float, nargs="*", default=[1.0, 3.0, 10.0, 30.0])
    options = parser.parse_args()
    enabled = ["models.sasrec.enabled=true", *options.set]
    models = load_config(overrides=enabled).models
    vectors = None if options.vectors is None else ArticleVectors.load(options.vectors)
    with Engine() as engine:
        dataset = Dataset.open(options.shop, engine)
        window = Window(options.as_of or dataset.next_day, options.horizon)
        if options.as_of is None:
            window = window.earlier()
        history, labels = dataset.until(window.as_of), dataset.purchases(window)
        customers = labels["customer"].unique().sort()
        names = list(dict.fromkeys([*models.weights, "co_visitation", "sasrec"]))
        started = time.monotonic()
        fitted = {
            name: RECOMMENDERS[name](models, Artifacts(vectors)).fit(history) for name in names
        }
        seconds = time.monotonic() - started
        found = recommend_to(history, fitted, customers, _DEPTH)
        popularity = Popularity(models.popularity).fit(history).article_scores
        segments = segment_customers(history, customers)
        catalogue = Catalogue.of(history, popularity["article"])
    blends = _blends(found, popularity, models, options.weights)
    settings = EvaluationSettings(recall_at=(100, _DEPTH))
    alone = evaluate(
        found, labels, segments, catalogue, reference="co_visitation", settings=settings
    )
    blended = evaluate(blends, labels, segments, catalogue, reference="blend", settings=settings)
    summary = pl.concat(
        [
            frame.with_columns(pl.col("model").cast(pl.String))
            for frame in (alone.summary, blended.summary)
        ]
    ).filter(
        pl.col("metric").is_in(["average_precision", f"recall@{_DEPTH}"]),
        pl.col("kind").cast(pl.String).is_in(["all", "history", "purchases"]),
    )
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_width_chars=200, float_precision=4):
        print(summary)
    print(
        json.dumps(
            {
                "benchmark": "sasrec_shop",
                "window": str(window),
                "customers": len(customers),
                "fit_seconds": round(seconds, 1),
                "map@12": _figures(summary),
                "sasrec": models.sasrec.model_dump(mode="json"),
                "machine": describe_machine(),
            }
        )
    )


def _blends(
    found: dict[str, pl.DataFrame],
    popularity: pl.DataFrame,
    models: BlendSettings,
    weights: list[float],
) -> dict[str, pl.DataFrame]:
    """The default blend, and that with SASRec at some weights."""
    proposals = {
        name: frame if name == POPULARITY else frame.filter(pl.col("rank") <= models.candidates)
        for name, frame in found.items()
    }
    without = {name: weight for name, weight in models.weights.items() if name != "sasrec"}
    candidates = gather_candidates(proposals, popularity)
    fewer = gather_candidates({name: proposals[name] for name in without}, popularity)
    return {"blend": rank_candidates(fewer, without, _DEPTH)} | {
        f"blend, sasrec {weight:g}": rank_candidates(
            candidates, {**without, "sasrec": weight}, _DEPTH
        )
        for weight in weights
    }


def _figures(summary: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """By model and segment: mean, interval, difference and its interval."""
    rows = summary.filter(pl.col("metric") == "average_precision")
    figures: dict[str, dict[str, Any]] = {}
    for row in rows.iter_rows(named=True):
        where = f"{row['kind']}: {row['segment']}"
        figures.setdefault(row["model"], {})[where] = {
            key: None if row[key] is None else round(row[key], 5)
            for key in row
            if isinstance(row[key], float)
        }
    return figures


if __name__ == "__main__":
    main()
