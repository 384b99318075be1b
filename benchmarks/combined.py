"""The graph network and SASRec on a shop's customers: each alone, and both as one vector.

    python benchmarks/combined.py SHOP --trained-as-of DATE --as-of DATE --horizon DAYS
                                  [--vectors VECTORS] [--networks FOLDER] [--set …] [--weights …]

SHOP is a folder of prepared tables, VECTORS one with ``vectors.npy`` and ``origin.json`` of its
articles (stage ``reduce`` of a run). Both networks are trained on the days before
``--trained-as-of``, for ``--sasrec-epochs`` and ``--gnn-epochs``, into ``--networks``, where an
interrupted training goes on and a finished one is taken as it is. They are asked as of ``--as-of``
with the popularity of then, as in a run. Printed are MAP@12 and recall@200 of customers who bought
in the window, with bootstrap intervals, and paired differences to the first network. The gate is
learned on the ``--gate-days`` before ``--as-of``, which must not be before ``--trained-as-of``.
Choose weights and epochs on an earlier window than you report on. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import torch

from machine import describe_machine
from modiste.config import load_config
from modiste.data.dataset import Dataset, History, Window
from modiste.engine import Engine
from modiste.evaluation.backtest import Catalogue, evaluate, recommend_to
from modiste.evaluation.protocol import Recommender
from modiste.evaluation.segments import segment_customers
from modiste.evaluation.settings import EvaluationSettings
from modiste.models.blend import RECOMMENDERS, Artifacts, BlendSettings
from modiste.models.combined.settings import CombinedSettings, GateSettings
from modiste.models.graph.fitting import fit_graph
from modiste.models.sasrec.fitting import fit_network
from modiste.vectors.article_vectors import ArticleVectors

_DEPTH = 200


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shop", type=Path)
    parser.add_argument("--trained-as-of", type=date.fromisoformat, required=True)
    parser.add_argument("--as-of", type=date.fromisoformat, required=True)
    parser.add_argument("--horizon", type=int, default=7)
    parser.add_argument("--vectors", type=Path)
    parser.add_argument("--networks", type=Path, required=True, help="where they are kept")
    parser.add_argument("--sasrec-epochs", type=int, default=6)
    parser.add_argument("--gnn-epochs", type=int, default=4)
    parser.add_argument("--gate-days", type=int, help="default: no gate is learned")
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE, as of modiste run")
    parser.add_argument(
        "--weights", nargs="*", default=["0.3,0.7"], help="SASRec's and the graph network's"
    )
    parser.add_argument("--threads", type=int, help="of torch (default: all)")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    enabled = ["models.sasrec.enabled=true", "models.gnn.enabled=true", *options.set]
    models = load_config(overrides=enabled).models
    vectors = None if options.vectors is None else ArticleVectors.load(options.vectors)
    with Engine() as engine:
        dataset = Dataset.open(options.shop, engine)
        earlier = dataset.until(options.trained_as_of)
        trained, seconds = {}, {}
        for name, fit, epochs in (
            ("sasrec", fit_network, options.sasrec_epochs),
            ("gnn", fit_graph, options.gnn_epochs),
        ):
            folder = options.networks / f"{name}-{options.trained_as_of}-{epochs}"
            learn = partial(fit, earlier, getattr(models, name), models.popularity, vectors)
            seconds[name] = train(learn, folder, epochs)
            trained[name] = folder / "network"
        window = Window(options.as_of, options.horizon)
        history, labels = dataset.until(window.as_of), dataset.purchases(window)
        fitted = fit_all(history, models, Artifacts(vectors, trained), options)
        customers = labels["customer"].unique().sort()
        found = recommend_to(history, fitted, customers, _DEPTH)
        segments = segment_customers(history, customers)
        on_sale = found["popularity"]["article"].unique()
        result = evaluate(
            found,
            labels,
            segments,
            Catalogue.of(history, on_sale),
            reference="gnn",
            settings=EvaluationSettings(recall_at=(_DEPTH,)),
        )
    summary = result.summary.filter(
        pl.col("metric").is_in(["average_precision", f"recall@{_DEPTH}"]),
        pl.col("kind").cast(pl.String).is_in(["history", "purchases"]),
        ~pl.col("segment").cast(pl.String).is_in(["cold", "none"]),
    )
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_width_chars=200, float_precision=4):
        print(summary)
    print(
        json.dumps(
            {
                "benchmark": "combined",
                "window": str(window),
                "trained_as_of": str(options.trained_as_of),
                "epochs": {"sasrec": options.sasrec_epochs, "gnn": options.gnn_epochs},
                "training_seconds": seconds,
                "customers": len(customers),
                "figures": figures(summary),
                "machine": describe_machine(),
            }
        )
    )


def train(learn: Any, folder: Path, epochs: int) -> float | None:
    """Train a network into a folder, unless it is there; the seconds of this call."""
    if (folder / "network").is_dir():
        return None
    started = time.monotonic()
    network = learn(epochs=epochs, checkpoints=folder / "checkpoints")
    (folder / "partial").mkdir(parents=True, exist_ok=True)
    network.save(folder / "partial")
    (folder / "partial").rename(folder / "network")
    return round(time.monotonic() - started, 1)


def fit_all(
    history: History, models: BlendSettings, artifacts: Artifacts, options: argparse.Namespace
) -> dict[str, Recommender]:
    """Popularity, the networks, and the ways to combine them."""
    ways = {"mean": CombinedSettings(way="mean")}
    for pair in options.weights:
        sequence, graph = map(float, pair.split(","))
        ways[f"{sequence:g} SASRec, {graph:g} GNN"] = CombinedSettings(
            sasrec_weight=sequence, gnn_weight=graph
        )
    if options.gate_days is not None:
        gate = GateSettings(days=options.gate_days)
        ways["gated"] = CombinedSettings(way="gated", gate=gate)
    made = {name: RECOMMENDERS[name](models, artifacts) for name in ("popularity", "sasrec", "gnn")}
    for name, way in ways.items():
        settings = models.model_copy(update={"combined": way})
        made[name] = RECOMMENDERS["combined"](settings, artifacts)
    return {name: each.fit(history) for name, each in made.items()}


def figures(summary: pl.DataFrame) -> dict[str, Any]:
    """By metric, segment and model: mean, interval, difference and its interval."""
    found: dict[str, Any] = {}
    for row in summary.iter_rows(named=True):
        of_segment = found.setdefault(row["metric"], {}).setdefault(str(row["segment"]), {})
        of_segment[str(row["model"])] = {
            key: round(value, 4) for key, value in row.items() if isinstance(value, float)
        }
    return found


if __name__ == "__main__":
    main()
