"""Temporal neighbour sampling: seeds a second beside PyG's own and a plain loop.

    PYTHONPATH=src python benchmarks/neighbour_sampling.py GRAPH [GRAPH …] [--seconds 20]

GRAPH is a folder that ``build_graph`` wrote. Seeds are both ends of purchases that are drawn at
random, each as of the day of the purchase, with two hops of 20 and of 10 neighbours. On one thread,
the same seeds for all:

recent, uniform
    ``NeighbourSampler``: the latest neighbours, and any.
loop
    The latest by plain Python over NumPy's ``searchsorted``, one node after the other: what one
    would write first. Its neighbourhoods must be ours.
pyg
    PyG's ``LinkNeighborLoader`` with ``time_attr``, if it runs here; else what it says.
torch_sparse
    PyG's ``LinkNeighborLoader`` without times over torch-sparse, where that is installed: it sees
    the future and what is to be predicted, so it is a bound of speed and no alternative.
training
    A step's sampling as in training: 512 purchases of one or two days and 1,000 further articles,
    by the loader, with and without a process beside.

The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from machine import describe_machine
from modiste.models.graph.loader import Further, training_batches
from modiste.models.graph.purchase_graph import Adjacency, PurchaseGraph
from modiste.models.graph.purchases import Purchases, purchases_of
from modiste.models.graph.pyg_sampler import ARTICLE, BOUGHT, BOUGHT_BY, CUSTOMER, hetero_data
from modiste.models.graph.sampling import FanOut, NeighbourSampler, Subgraph

FAN_OUT = [FanOut(20, 20), FanOut(10, 10)]
BATCHES = (64, 1024)
TRAINING_BATCH, MORE_ARTICLES, TRAINING_STEPS = 512, 1000, 40

# At least, and at most as long as there is time.
_LEAST_ROUNDS, _MOST_ROUNDS = 3, 60


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("graphs", type=Path, nargs="+", help="folders of graphs")
    parser.add_argument("--seconds", type=float, default=20, help="of each figure, about")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = {}
    for folder in options.graphs:
        graph = PurchaseGraph.load(folder)
        found[folder.name] = of_graph(graph, options.seconds)
        print(folder.name, json.dumps(found[folder.name]), flush=True)
    print(
        json.dumps(
            {"benchmark": "neighbour_sampling", "graphs": found, "machine": describe_machine()}
        )
    )


def of_graph(graph: PurchaseGraph, seconds: float) -> dict[str, Any]:
    """All figures of one graph."""
    purchases = purchases_of(graph)
    found: dict[str, Any] = {"edges": len(purchases)}
    for batch in BATCHES:
        rng = np.random.default_rng(0)
        # Of each purchase both ends are seeds.
        drawn = [
            purchases.only(rng.integers(0, len(purchases), batch // 2)) for _ in range(_MOST_ROUNDS)
        ]
        found[f"batch of {batch}"] = of_batches(graph, drawn, seconds)
    found["training"] = {
        f"{workers} workers": training(graph, purchases, workers) for workers in (0, 1)
    }
    return found


def of_batches(graph: PurchaseGraph, drawn: list[Purchases], seconds: float) -> dict[str, Any]:
    """Seeds a second of all ways, over the same batches."""
    recent, uniform = NeighbourSampler(graph, FAN_OUT), NeighbourSampler(graph, FAN_OUT, "uniform")
    rng = np.random.default_rng(1)
    subgraph = ours(recent, drawn[0], rng)
    same = edges_of(subgraph) == loop(graph, drawn[0])
    found: dict[str, Any] = {
        "nodes": len(subgraph.customers) + len(subgraph.articles),
        "edges": len(subgraph.customer_edges.columns) + len(subgraph.article_edges.columns),
        "recent": rate(lambda each: ours(recent, each, rng), drawn, seconds),
        "uniform": rate(lambda each: ours(uniform, each, rng), drawn, seconds),
        "loop": rate(lambda each: loop(graph, each), drawn, seconds),
        "loop is ours": same,
        "pyg": with_pyg(graph, drawn, seconds, temporal=True),
        "torch_sparse": with_pyg(graph, drawn, seconds, temporal=False),
    }
    found["times the loop"] = round(
        found["recent"]["seeds_a_second"] / found["loop"]["seeds_a_second"], 1
    )
    return found


def rate(
    sample: Callable[[Purchases], object], drawn: list[Purchases], seconds: float
) -> dict[str, float]:
    """Seeds a second and milliseconds a batch, by the median."""
    sample(drawn[-1])
    times: list[float] = []
    for each in drawn:
        started = time.perf_counter()
        sample(each)
        times.append(time.perf_counter() - started)
        if len(times) >= _LEAST_ROUNDS and sum(times) > seconds:
            break
    median = statistics.median(times)
    return {
        "seeds_a_second": round(2 * len(drawn[0]) / median),
        "milliseconds": round(median * 1e3, 2),
        "batches": len(times),
    }


def ours(sampler: NeighbourSampler, drawn: Purchases, rng: np.random.Generator) -> Subgraph:
    """Neighbourhoods of both ends of some purchases."""
    return sampler.sample(drawn.customers, drawn.days, drawn.articles, drawn.days, rng)


# Code and day of a node, by kind, and the code of its neighbour, days passed, pieces.
Found = set[tuple[str, int, int, int, int, int]]


def edges_of(subgraph: Subgraph) -> Found:
    """What is in a subgraph."""
    found: Found = set()
    for kind, codes, days, others, edges in (
        (
            CUSTOMER,
            subgraph.customers,
            subgraph.customer_days,
            subgraph.articles,
            subgraph.customer_edges,
        ),
        (
            ARTICLE,
            subgraph.articles,
            subgraph.article_days,
            subgraph.customers,
            subgraph.article_edges,
        ),
    ):
        own = torch.repeat_interleave(edges.offsets.diff())
        columns = (codes[own], days[own], others[edges.columns], edges.gaps, edges.counts)
        for row in zip(*(column.tolist() for column in columns), strict=True):
            found.add((kind, *row))
    return found


def loop(graph: PurchaseGraph, drawn: Purchases) -> Found:
    """Neighbourhoods node by node."""
    days = drawn.days.tolist()
    met = {
        CUSTOMER: dict.fromkeys(zip(drawn.customers.tolist(), days, strict=True)),
        ARTICLE: dict.fromkeys(zip(drawn.articles.tolist(), days, strict=True)),
    }
    fresh = {kind: list(nodes) for kind, nodes in met.items()}
    found: Found = set()
    for fan_out in FAN_OUT:
        following: dict[str, list[tuple[int, int]]] = {CUSTOMER: [], ARTICLE: []}
        for kind, other, side, most in (
            (CUSTOMER, ARTICLE, graph.articles_of, fan_out.articles_of_customer),
            (ARTICLE, CUSTOMER, graph.customers_of, fan_out.customers_of_article),
        ):
            for code, day in fresh[kind]:
                for end, when, count in latest(side, code, day, most):
                    found.add((kind, code, day, end, day - when, count))
                    if (end, day) not in met[other]:
                        met[other][end, day] = None
                        following[other].append((end, day))
        fresh = following
    return found


def latest(side: Adjacency, code: int, day: int, most: int) -> list[tuple[int, int, int]]:
    """The latest neighbours of one node, the days and pieces."""
    first, last = side.offsets[code], side.offsets[code + 1]
    end = first + int(np.searchsorted(side.days[first:last], day))
    row = slice(max(first, end - most), end)
    return list(
        zip(
            side.neighbours[row].tolist(),
            side.days[row].tolist(),
            side.counts[row].tolist(),
            strict=True,
        )
    )


def with_pyg(
    graph: PurchaseGraph, drawn: list[Purchases], seconds: float, temporal: bool
) -> dict[str, float] | str:
    """PyG's own sampling of the same seeds, or why it does not run."""
    batch = len(drawn[0])
    try:
        # Of a graph of no edges, before one of millions is laid out for it.
        nothing = Adjacency(
            np.zeros(2, np.int64),
            np.empty(0, np.int32),
            np.empty(0, np.int32),
            np.empty(0, np.uint8),
        )
        pyg_loader(PurchaseGraph(nothing, nothing, graph.as_of), drawn, temporal)([0])
    except (ImportError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    loader = pyg_loader(graph, drawn, temporal)
    firsts = {id(each): number * batch for number, each in enumerate(drawn)}
    return rate(
        lambda each: loader(list(range(firsts[id(each)], firsts[id(each)] + batch))),
        drawn,
        seconds,
    )


def pyg_loader(graph: PurchaseGraph, drawn: list[Purchases], temporal: bool) -> Any:
    """PyG's loader of both ends of purchases, its neighbourhoods bound by time or not."""
    from torch_geometric.loader import LinkNeighborLoader

    data = hetero_data(graph)
    for kind, side in ((BOUGHT_BY, graph.articles_of), (BOUGHT, graph.customers_of)):
        own = np.repeat(np.arange(side.n_nodes), np.diff(side.offsets))
        data[kind].edge_index = torch.from_numpy(np.stack([side.neighbours.astype(np.int64), own]))
        if temporal:
            data[kind].time = torch.from_numpy(side.days.astype(np.int64))
    customers, articles, days = (
        np.concatenate([getattr(each, name) for each in drawn]).astype(np.int64)
        for name in ("customers", "articles", "days")
    )
    return LinkNeighborLoader(
        data,
        num_neighbors=[each.articles_of_customer for each in FAN_OUT],
        edge_label_index=(BOUGHT, torch.from_numpy(np.stack([customers, articles]))),
        # PyG takes what is not later, and ours is strictly before.
        edge_label_time=torch.from_numpy(days - 1) if temporal else None,
        time_attr="time" if temporal else None,
        temporal_strategy="last" if temporal else "uniform",
        is_sorted=True,
    )


def training(graph: PurchaseGraph, purchases: Purchases, workers: int) -> dict[str, float]:
    """Milliseconds between batches when nothing else is done, and what they hold."""

    def draw(purchases: Purchases, rng: np.random.Generator) -> Further:
        articles = rng.integers(0, graph.n_articles, MORE_ARTICLES)
        days = rng.choice(purchases.days, MORE_ARTICLES)
        return Further(articles, days, np.zeros(MORE_ARTICLES, np.float32))

    batches = training_batches(
        NeighbourSampler(graph, FAN_OUT),
        purchases,
        TRAINING_BATCH,
        seed=0,
        epoch=0,
        draw_further=draw,
        workers=workers,
    )
    next(batches)
    times, nodes, edges = [], [], []
    started = time.perf_counter()
    for _, batch in zip(range(TRAINING_STEPS), batches, strict=False):
        times.append(time.perf_counter() - started)
        subgraph = batch.subgraph
        nodes.append(len(subgraph.customers) + len(subgraph.articles))
        edges.append(len(subgraph.customer_edges.columns) + len(subgraph.article_edges.columns))
        started = time.perf_counter()
    return {
        "milliseconds": round(statistics.median(times) * 1e3, 1),
        "nodes": round(statistics.median(nodes)),
        "edges": round(statistics.median(edges)),
    }


if __name__ == "__main__":
    main()
