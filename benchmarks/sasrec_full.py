"""SASRec on a shop as large as Kaggle's: sequences, training, vectors, and a live customer.

    modiste synth --scale full --seed 0 --out SHOP
    modiste ingest --data SHOP --out PREPARED
    PYTHONPATH=src python benchmarks/sasrec_full.py PREPARED [--minutes 3] [--parts …]

As of the day after the data ends. Each part runs in a process of its own, whose peak memory is the
part's, mapped files included:

sequences
    All customers' purchase sequences.
training, mission
    SASRec with its default settings, and with 4 blocks, 8 heads and a batch of 32, for some
    minutes: content of 256 random dimensions, as large as real ones, and the popularity prior. What
    an epoch and a whole training take is extrapolated from that.
vectors
    The vectors of all customers.
recommend
    Twelve articles for every customer with purchases, from the prepared tables on.
live
    One customer after the other on one core: from a batch of one to twelve articles, by the wall
    clock and by CPU time. The latter does not tell what else the machine does.
search
    The best twelve by all scores beside Faiss, flat and with lists, on one core. To Faiss what is
    added to an article's score is one more dimension.

What takes longer than ``--limit`` minutes is measured on random customers and extrapolated, and
marked so. Parts after the first need what ``sequences`` and ``training`` left in ``--out``. The
last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from machine import describe_machine
from processes import measure

K = 12
CONTENT_DIMENSIONS = 256
VALIDATION_CUSTOMERS = 10_000


def main() -> None:
    """Run the benchmark, or one of its parts in this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("prepared", type=Path, help="folder of prepared tables")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--minutes", type=float, default=3, help="to train")
    parser.add_argument("--limit", type=float, default=10, help="minutes that are measured in full")
    parser.add_argument("--threads", type=int, default=2, help="of all but live and search")
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
    print(json.dumps({"benchmark": "sasrec_full", **found, "machine": describe_machine()}))


def part(options: argparse.Namespace, name: str) -> dict[str, Any]:
    """One part in a process of its own: its figures, CPU seconds and peak GiB."""
    given = [
        f"--{each}={getattr(options, each)}"
        for each in ("minutes", "limit", "threads", "customers", "out")
    ]
    used = measure([sys.executable, __file__, str(options.prepared), "--run", name, *given])
    found: dict[str, Any] = json.loads((options.out / f"{name}.json").read_text())
    found |= {"cpu_seconds": round(used.cpu_seconds, 1), "peak_gib": round(used.peak_mib / 1024, 2)}
    print(f"\n{name}")
    for what, value in found.items():
        print(f"  {what.replace('_', ' '):40}{value}", flush=True)
    return found


def sequences(options: argparse.Namespace) -> dict[str, Any]:
    """Make all customers' sequences."""
    from modiste.engine import Engine
    from modiste.models.sasrec.sequences import build_sequences

    history = open_history(options, Engine(workers=options.threads))
    seconds, made = timed(lambda: build_sequences(history, options.out / "sequences"))
    return {
        "seconds": round(seconds, 1),
        "customers": len(made),
        "with_several_baskets": len(made.with_several_baskets),
        "interactions": len(made.items),
        "articles": history.n_articles,
    }


def training(options: argparse.Namespace) -> dict[str, Any]:
    """Train with the default settings, and leave a recommender."""
    from modiste.models.sasrec.fitting import TrainedNetwork
    from modiste.models.sasrec.recommender import SASRecRecommender
    from modiste.models.sasrec.settings import SASRecSettings

    history, network, found = train_for_minutes(options, SASRecSettings())
    folders = options.out / "network", options.out / "recommender"
    for folder in folders:
        folder.mkdir(exist_ok=True)
    TrainedNetwork.of(network, history.as_of).save(folders[0])
    SASRecRecommender(trained=folders[0]).fit(history).save(folders[1])
    return found


def mission(options: argparse.Namespace) -> dict[str, Any]:
    """Train with the mission's shape."""
    from modiste.models.sasrec.settings import SASRecSettings

    default = SASRecSettings()
    settings = default.model_copy(
        update={
            "network": default.network.model_copy(update={"blocks": 4, "heads": 8}),
            "training": default.training.model_copy(update={"batch": 32}),
        }
    )
    return train_for_minutes(options, settings)[2]


def train_for_minutes(
    options: argparse.Namespace, settings: Any
) -> tuple[Any, Any, dict[str, Any]]:
    """The history, the network and the figures."""
    import torch

    from modiste.models.learning.popularity_prior import article_offsets, popularity_prior
    from modiste.models.popularity import PopularitySettings
    from modiste.models.sasrec.network import SASRec
    from modiste.models.sasrec.next_item import NextItems, ranks_of_next
    from modiste.models.sasrec.sequences import Sequences
    from modiste.models.sasrec.training import train

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    history, known = open_history(options), Sequences.load(options.out / "sequences")
    popularity = PopularitySettings()
    prior_seconds, prior = timed(lambda: popularity_prior(history, popularity, settings.prior_days))
    content = torch.nn.functional.normalize(torch.randn(history.n_articles, CONTENT_DIMENSIONS))
    network = SASRec(history.n_articles, settings.network, content)
    with tempfile.TemporaryDirectory(dir=options.out) as folder:
        deadline = time.monotonic() + 60 * options.minutes
        seconds, _ = timed(
            lambda: train(
                network, known, settings.training, None, Path(folder), None, deadline, prior
            )
        )
        done = json.loads((Path(folder) / "checkpoint" / "state.json").read_text())["at"]["step"]
    chosen = np.random.default_rng(0).choice(len(known), VALIDATION_CUSTOMERS, replace=False)
    offsets = article_offsets(history, popularity, settings.popularity_prior)
    asked = NextItems(
        known.only(np.sort(chosen)),
        np.full(len(chosen), offsets.argmax()),
        as_of_days(history.as_of, len(chosen)),
        offsets,
        leave_out_seen=False,
    )
    validation_seconds, _ = timed(lambda: ranks_of_next(network, asked))
    trained_on = known.with_several_baskets
    steps = math.ceil(len(trained_on) / settings.training.batch)
    a_step = seconds / done
    read = np.minimum(known.lengths[trained_on], settings.network.max_length + 1).sum()
    hours = settings.training.epochs * (steps * a_step + validation_seconds) / 3600
    return (
        history,
        network,
        {
            "steps_measured": done,
            "seconds_measured": round(seconds, 1),
            "steps_per_second": round(1 / a_step, 2),
            "interactions_per_second": round(read / steps / a_step),
            "steps_an_epoch": steps,
            "minutes_an_epoch_extrapolated": round(steps * a_step / 60, 1),
            "validation_seconds": round(validation_seconds, 1),
            "prior_seconds": round(prior_seconds, 1),
            "epochs_at_most": settings.training.epochs,
            "hours_of_those_epochs_extrapolated": round(hours, 1),
            "hours_with_training_anew_on_all_days_at_most": round(2 * hours, 1),
        },
    )


def vectors(options: argparse.Namespace) -> dict[str, Any]:
    """The vectors of all customers, or of a sample."""
    import torch

    from modiste.models.sasrec.fitting import TrainedNetwork
    from modiste.models.sasrec.next_item import customer_vectors
    from modiste.models.sasrec.sequences import Sequences

    torch.set_num_threads(options.threads)
    trained = TrainedNetwork.load(options.out / "recommender")
    known = Sequences.load(options.out / "sequences")

    def seconds_for(asked: Sequences) -> float:
        days = as_of_days(trained.as_of, len(asked))
        articles = torch.from_numpy(trained.articles)
        return timed(lambda: customer_vectors(trained.network, asked, days, articles))[0]

    rng = np.random.default_rng(0)
    chosen = np.sort(rng.choice(len(known), min(20_000, len(known)), replace=False))
    seconds = seconds_for(known.only(chosen)) * len(known) / len(chosen)
    in_full = seconds <= 60 * options.limit
    if in_full:
        seconds = seconds_for(known)
    return {
        "customers": len(known),
        "minutes": round(seconds / 60, 2),
        "extrapolated_from_customers": None if in_full else len(chosen),
        "customers_per_second": round(len(known) / seconds),
    }


def recommend(options: argparse.Namespace) -> dict[str, Any]:
    """Twelve articles for every customer, partition by partition in an order drawn."""
    import torch

    from modiste.models.sasrec.recommender import SASRecRecommender

    torch.set_num_threads(options.threads)
    recommender = SASRecRecommender().load(options.out / "recommender")
    history = open_history(options)
    asked, started = 0, time.monotonic()
    for number in np.random.default_rng(0).permutation(len(history.partitions)):
        batch = history.partitions[number].read()
        recommender.recommend(batch, K)
        asked += batch.customers.height
        seconds = time.monotonic() - started
        if seconds > 60 * options.limit:
            break
    share = asked / history.n_customers
    return {
        "customers": history.n_customers,
        "minutes": round(seconds / share / 60, 2),
        "extrapolated_from_customers": None if share == 1 else asked,
        "customers_per_second": round(asked / seconds),
    }


def live(options: argparse.Namespace) -> dict[str, Any]:
    """One customer after the other."""
    on_one_core()
    from modiste.models.sasrec.recommender import SASRecRecommender
    from modiste.models.sasrec.sequences import Sequences

    recommender = SASRecRecommender().load(options.out / "recommender")
    known, history = Sequences.load(options.out / "sequences"), open_history(options)
    found: dict[str, Any] = {"customers": options.customers}
    for name, least, latest in (("any_length", 1, None), ("of_50_items", 50, 50)):
        for batch in batches_of_one(history, known, 50, least, latest, seed=1):
            recommender.recommend(batch, K)
        took = []
        for batch in batches_of_one(history, known, options.customers, least, latest):
            wall, cpu = time.perf_counter(), time.process_time()
            recommender.recommend(batch, K)
            took.append((time.perf_counter() - wall, time.process_time() - cpu))
        for clock, of_clock in zip(("wall", "cpu"), np.array(took).T, strict=True):
            found[f"{name}_{clock}_ms"] = {
                **{
                    f"p{each}": milliseconds(np.percentile(of_clock, each)) for each in (50, 95, 99)
                },
                "max": milliseconds(of_clock.max()),
            }
    return found


def batches_of_one(
    history: Any, known: Any, number: int, least: int, latest: int | None, seed: int = 0
) -> Iterator[Any]:
    """Batches of one customer each, of random ones with a history of some length, or its end."""
    import polars as pl

    from modiste.data.dataset import CustomerBatch

    rng = np.random.default_rng(seed)
    long = known.customers[known.lengths >= least]
    chosen = pl.Series(rng.choice(long, min(number, len(long)), replace=False))
    for partition in history.partitions:
        batch = partition.read().only(chosen)
        rows = batch.transactions
        if latest is not None:
            key = ["customer", "t_dat", "article"]
            rows = rows.unique(key).sort(key).group_by("customer", maintain_order=True).tail(latest)
        bought = rows.partition_by("customer", as_dict=True)
        for customer in batch.customers.partition_by("customer"):
            yield CustomerBatch(history.as_of, customer, bought[customer["customer"][0],])


def search(options: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds a customer for the best twelve, one at a time and 1,000 at a time."""
    on_one_core()
    import faiss
    import torch

    from modiste.models.sasrec.fitting import TrainedNetwork
    from modiste.models.sasrec.next_item import customer_vectors
    from modiste.models.sasrec.sequences import Sequences
    from modiste.vectors.index import VectorIndex
    from modiste.vectors.index_settings import IndexSettings

    trained = TrainedNetwork.load(options.out / "recommender")
    offsets = np.load(options.out / "recommender" / "offsets.npy")
    (on_sale,) = np.isfinite(offsets).nonzero()
    articles, offsets = trained.articles[on_sale], offsets[on_sale]
    known = Sequences.load(options.out / "sequences")
    asked = known.only(np.random.default_rng(0).choice(len(known), 2000, replace=False))
    days = as_of_days(trained.as_of, len(asked))
    states = customer_vectors(trained.network, asked, days, torch.from_numpy(trained.articles))
    states, others = np.hstack([states, np.ones((len(states), 1), np.float32)]).reshape(2, 1000, -1)
    extended = np.hstack([articles, offsets[:, None]])
    of_articles, of_offsets = torch.from_numpy(articles), torch.from_numpy(offsets)

    def exact(queries: NDArray[np.float32]) -> NDArray[np.int64]:
        block = torch.from_numpy(queries[:, :-1])
        return torch.addmm(of_offsets, block, of_articles.t()).topk(K)[1].numpy()

    def exact_with_probabilities(queries: NDArray[np.float32]) -> NDArray[np.int64]:
        block = torch.from_numpy(queries[:, :-1])
        scores = torch.addmm(of_offsets, block, of_articles.t())
        return scores.log_softmax(1).topk(K)[1].numpy()

    flat = faiss.IndexFlatIP(extended.shape[1])
    flat.add(extended)
    # With one more dimension, to which queries are blind, all rows are of one length.
    length = np.linalg.norm(extended, axis=1)
    blind = np.sqrt(np.maximum(length.max() ** 2 - length**2, 0))
    unit = np.hstack([extended, blind[:, None]]) / length.max()
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)

    def widened(queries: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.hstack([queries, np.zeros((len(queries), 1), np.float32)])

    lists = VectorIndex.build(unit, {}, IndexSettings(recall_k=K), widened(others))
    ways: dict[str, Callable[[NDArray[np.float32]], NDArray[Any]]] = {
        "exact": exact,
        "exact_with_probabilities": exact_with_probabilities,
        "faiss_flat": lambda queries: flat.search(queries, K)[1],
        "faiss_lists": lambda queries: lists.search(widened(queries), K).ids,
    }
    best = exact(states)
    found: dict[str, Any] = {"articles_on_sale": len(on_sale)}
    for name, way in ways.items():
        alone = [timed(partial(way, states[row : row + 1]))[0] for row in range(500)]
        together = [timed(partial(way, states))[0] for _ in range(5)]
        rows = zip(way(states), best, strict=True)
        found[name] = {
            "one_ms": milliseconds(statistics.median(alone)),
            "of_1000_ms_each": milliseconds(statistics.median(together) / len(states)),
            "recall": round(sum(len(np.intersect1d(a, b)) for a, b in rows) / best.size, 4),
        }
    return found


def open_history(options: argparse.Namespace, engine: Any = None) -> Any:
    """What was known on the day after the data ends."""
    from modiste.data.dataset import Dataset

    dataset = Dataset.open(options.prepared, engine)
    return dataset.until(dataset.next_day)


def as_of_days(as_of: date, number: int) -> NDArray[np.int32]:
    """The day, as sequences count days, so many times."""
    from modiste.data.days import day_number

    return np.full(number, day_number(as_of), dtype=np.int32)


def on_one_core() -> None:
    """Keep this process on one core; to be called before anything starts threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    import torch

    torch.set_num_threads(1)


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of a call, and what it gave."""
    started = time.perf_counter()
    given = call()
    return time.perf_counter() - started, given


def milliseconds(seconds: float) -> float:
    """Rounded to microseconds."""
    return round(float(seconds) * 1000, 3)


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    each.__name__: each for each in (sequences, training, mission, vectors, recommend, live, search)
}


if __name__ == "__main__":
    main()
