"""The graph network on a shop as large as Kaggle's: training, all nodes' vectors, a live customer.

    modiste synth --scale full --seed 0 --out SHOP
    modiste ingest --data SHOP --out PREPARED
    PYTHONPATH=src:benchmarks python benchmarks/gnn_full.py PREPARED [--minutes 3] [--parts …]

As of the day after the data ends. Each part runs in a process of its own, whose peak memory is the
part's, mapped files included:

graph
    The graph of customers and articles, on disk.
training
    The network with its default settings, for some minutes: content of 256 random dimensions, as
    large as real ones. What an epoch takes is extrapolated, for the purchases of the last week and
    for all of two years.
vectors
    All articles' states, layer by layer, then the vectors of all customers with purchases,
    partition by partition from the prepared tables; both written as ``.npy``.
live
    One customer after the other on one core: from a batch of one to its vector, and to twelve
    articles. What a new purchase or a new customer costs.

Parts after the first need what it left in ``--out``. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from machine import describe_machine
from processes import measure
from sasrec_full import CONTENT_DIMENSIONS, K, milliseconds, on_one_core, open_history, timed


def main() -> None:
    """Run the benchmark, or one of its parts in this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("prepared", type=Path, help="folder of prepared tables")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--minutes", type=float, default=3, help="to train")
    parser.add_argument("--threads", type=int, default=2, help="of all but live")
    parser.add_argument("--customers", type=int, default=2000, help="live ones")
    parser.add_argument("--out", type=Path, help="where to work (default: a temporary folder)")
    parser.add_argument("--run", choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        (options.out / f"{options.run}.json").write_text(json.dumps(PARTS[options.run](options)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        options.out = options.out or Path(scratch)
        options.out.mkdir(parents=True, exist_ok=True)
        found = {name: part(options, name) for name in options.parts}
    print(json.dumps({"benchmark": "gnn_full", **found, "machine": describe_machine()}))


def part(options: argparse.Namespace, name: str) -> dict[str, Any]:
    """One part in a process of its own: its figures, CPU seconds and peak GiB."""
    given = [
        f"--{each}={getattr(options, each)}" for each in ("minutes", "threads", "customers", "out")
    ]
    used = measure([sys.executable, __file__, str(options.prepared), "--run", name, *given])
    found: dict[str, Any] = json.loads((options.out / f"{name}.json").read_text())
    found |= {"cpu_seconds": round(used.cpu_seconds, 1), "peak_gib": round(used.peak_mib / 1024, 2)}
    print(f"\n{name}")
    for what, value in found.items():
        print(f"  {what.replace('_', ' '):40}{value}", flush=True)
    return found


def graph(options: argparse.Namespace) -> dict[str, Any]:
    """Make the graph."""
    from modiste.engine import Engine
    from modiste.models.graph.purchase_graph import build_graph

    history = open_history(options, Engine(workers=options.threads))
    folder = options.out / "graph"
    seconds, made = timed(lambda: build_graph(history, folder))
    size = sum(path.stat().st_size for path in folder.rglob("*.npy"))
    return {
        "seconds": round(seconds, 1),
        "edges": made.articles_of.n_edges,
        "gib_on_disk": round(size / 2**30, 2),
    }


def training(options: argparse.Namespace) -> dict[str, Any]:
    """Train with the default settings, and leave a network."""
    import torch

    from modiste.models.graph.attributes import Attributes
    from modiste.models.graph.fitting import TrainedGraph, customer_values
    from modiste.models.graph.purchase_graph import PurchaseGraph
    from modiste.models.graph.purchases import predictable, purchases_of
    from modiste.models.graph.sage import ArticleInputs, GraphSAGE
    from modiste.models.graph.sage_settings import GraphSettings
    from modiste.models.graph.training import NextPurchasesTask
    from modiste.models.learning.loop import train_task
    from modiste.models.learning.popularity_prior import popularity_prior
    from modiste.models.popularity import PopularitySettings

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    settings, history = GraphSettings(), open_history(options)
    made = PurchaseGraph.load(options.out / "graph")
    prior = popularity_prior(history, PopularitySettings(), settings.prior_days)
    everything = purchases_of(made)
    learnable = everything.only(predictable(everything, made, prior))
    last_week = int(np.count_nonzero(learnable.days > learnable.days.max() - 7))
    attributes = Attributes.of_customers(history, settings.customer_attributes)
    of_articles = Attributes.of_articles(history, settings.article_attributes)
    content = torch.nn.functional.normalize(torch.randn(history.n_articles, CONTENT_DIMENSIONS))
    values = torch.from_numpy(of_articles.numbers(history.articles).astype(np.int64))
    network = GraphSAGE(
        settings.network, len(attributes), ArticleInputs(settings.network, values, content)
    )
    task = NextPurchasesTask(
        network, made, customer_values(history, attributes), learnable, settings.training, prior
    )
    with tempfile.TemporaryDirectory(dir=options.out) as folder:
        deadline = time.monotonic() + 60 * options.minutes
        seconds, _ = timed(
            lambda: train_task(task, settings.training, Path(folder), None, deadline)
        )
        done = json.loads((Path(folder) / "checkpoint" / "state.json").read_text())["at"]["step"]
    target = options.out / "network"
    target.mkdir(exist_ok=True)
    TrainedGraph.of(network, made, attributes).save(target)
    rate = done * settings.training.batch / seconds
    return {
        "steps_measured": done,
        "seconds_measured": round(seconds, 1),
        "purchases_per_second": round(rate),
        "purchases_of_all": len(learnable),
        "purchases_of_the_last_week": last_week,
        "minutes_an_epoch_of_the_last_week_extrapolated": round(last_week / rate / 60, 1),
        "hours_an_epoch_of_all_extrapolated": round(len(learnable) / rate / 3600, 2),
    }


def vectors(options: argparse.Namespace) -> dict[str, Any]:
    """The vectors of all nodes."""
    import torch

    from modiste.models.graph.recommender import GraphRecommender

    torch.set_num_threads(options.threads)
    history = open_history(options)
    recommender = GraphRecommender(trained=options.out / "network")
    of_articles, _ = timed(lambda: recommender.fit(history))
    folder = options.out / "recommender"
    folder.mkdir(exist_ok=True)
    recommender.save(folder)
    np.save(options.out / "articles.npy", recommender.article_vectors)
    width = recommender.article_vectors.shape[1]
    started, known = time.perf_counter(), 0
    target = np.lib.format.open_memmap(
        options.out / "customers.npy", "w+", np.float32, (history.n_customers, width)
    )
    for partition in history.partitions:
        codes, found = recommender.customer_vectors(partition.read())
        target[codes] = found
        known += len(codes)
    target.flush()
    of_customers = time.perf_counter() - started
    return {
        "articles": len(recommender.article_vectors),
        "customers": known,
        "minutes_articles_with_the_graph": round(of_articles / 60, 2),
        "minutes_customers": round(of_customers / 60, 2),
    }


def live(options: argparse.Namespace) -> dict[str, Any]:
    """One customer after the other."""
    on_one_core()
    from modiste.data.dataset import CustomerBatch
    from modiste.models.graph.recommender import GraphRecommender

    recommender = GraphRecommender().load(options.out / "recommender")
    history = open_history(options)
    batch = history.partitions[0].read()
    bought = batch.transactions.partition_by("customer", as_dict=True)
    known = batch.customers.filter(batch.customers["customer"].is_in([key[0] for key in bought]))
    took: dict[str, list[float]] = {"vector": [], "twelve_articles": []}
    for customer in known.sample(options.customers + 50, seed=0).partition_by("customer"):
        alone = CustomerBatch(history.as_of, customer, bought[customer["customer"][0],])
        took["vector"].append(timed(partial(recommender.customer_vectors, alone))[0])
        took["twelve_articles"].append(timed(partial(recommender.recommend, alone, K))[0])
    return {
        f"{what}_ms": {
            f"p{each}": milliseconds(np.percentile(seconds[50:], each)) for each in (50, 95, 99)
        }
        for what, seconds in took.items()
    }


PARTS = {"graph": graph, "training": training, "vectors": vectors, "live": live}


if __name__ == "__main__":
    main()
