"""The kinds of vector index side by side: python benchmarks/faiss_indices.py --vectors FOLDER.

The folder holds article vectors (``modiste embed``). Each kind is built with its default settings,
saved, opened again memory-mapped, and searched: in batches with one thread and with two, and one
query at a time with one thread. Queries are some of the vectors, slightly moved. Recall is that
on these queries, with scores counted exactly. The last line is one JSON object.

Keep batches at 128,000 / dimensions queries or more: below that, Faiss 1.15 compares one query at a
time, which made flat five times slower on two cores.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

import faiss
import numpy as np
from numpy.typing import NDArray

from machine import describe_machine
from modiste.vectors.article_vectors import ArticleVectors, unit_rows
from modiste.vectors.index import VectorIndex
from modiste.vectors.index_settings import IndexKind, IndexSettings
from modiste.vectors.neighbours import Neighbours, rerank
from modiste.vectors.tuning import kth_best_scores, recall

Search = Callable[[NDArray[np.float32], int], Neighbours]

KINDS: tuple[IndexKind, ...] = get_args(IndexKind)
THREADS = (1, 2)

# How much a query is moved away from its article, as a share of its length.
MOVED = 0.2


@dataclass(frozen=True)
class Measured:
    """What was measured of one way to search."""

    build_seconds: float
    mib: float
    load_seconds: float
    parameter: str
    recall: float
    queries_per_second: dict[int, float]
    p50_ms: float
    p99_ms: float


def moved(vectors: NDArray[np.float32], n: int, seed: int) -> NDArray[np.float32]:
    """Some known vectors, moved in a random direction: queries that are in no index."""
    rng = np.random.default_rng(seed)
    known = np.flatnonzero(vectors.any(axis=1))
    chosen = vectors[rng.choice(known, min(n, len(known)), replace=False)]
    return unit_rows(chosen + MOVED * unit_rows(rng.normal(size=chosen.shape)))


def reranked(index: VectorIndex, vectors: NDArray[np.float32]) -> Search:
    """Twice as many as are wanted, of which exact scores choose."""
    return lambda queries, k: rerank(index.search(queries, 2 * k), queries, vectors, k)


def batches(search: Search, queries: NDArray[np.float32], k: int, rounds: int) -> dict[int, float]:
    """Queries a second by number of threads; the best of some rounds."""
    rates = {}
    for threads in THREADS:
        faiss.omp_set_num_threads(threads)
        seconds = []
        for _ in range(rounds):
            start = time.perf_counter()
            search(queries, k)
            seconds.append(time.perf_counter() - start)
        rates[threads] = len(queries) / min(seconds)
    return rates


def singles(search: Search, queries: NDArray[np.float32], k: int) -> tuple[float, float]:
    """Median and 99th percentile of the milliseconds of one query, with one thread."""
    faiss.omp_set_num_threads(1)
    times = []
    for i in range(len(queries)):
        start = time.perf_counter()
        search(queries[i : i + 1], k)
        times.append(1000 * (time.perf_counter() - start))
    p50, p99 = np.percentile(times, (50, 99))
    return float(p50), float(p99)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors", type=Path, required=True, help="Folder of article vectors.")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--k", type=int, default=200)
    parser.add_argument("--queries", type=int, default=1000, help="Of a batch.")
    parser.add_argument("--singles", type=int, default=500, help="Queries one at a time.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    article_vectors = ArticleVectors.load(options.vectors)
    vectors = article_vectors.vectors
    queries = moved(vectors, options.queries, options.seed)
    one_by_one = moved(vectors, options.singles, options.seed + 1)
    kth_best = kth_best_scores(queries, vectors, np.flatnonzero(article_vectors.known), options.k)
    measured: dict[str, Measured] = {}
    print(f"{len(vectors)} vectors, {vectors.shape[1]} dimensions, k = {options.k}")
    print(
        "| | build s | MiB | load s | tuned | recall | "
        f"{' | '.join(f'queries/s, threads: {n}' for n in THREADS)} | "
        "p50 ms | p99 ms |"
    )
    print(f"| --- |{' ---: |' * (7 + len(THREADS))}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        for kind in options.kinds:
            start = time.perf_counter()
            built = VectorIndex.build(vectors, article_vectors.origin, IndexSettings(kind=kind))
            build_seconds = time.perf_counter() - start
            built.save(Path(scratch), kind)
            del built
            start = time.perf_counter()
            index = VectorIndex.load(Path(scratch), kind)
            load_seconds = time.perf_counter() - start
            searches: dict[str, Search] = {kind: index.search}
            if kind == "ivf_pq":
                searches["ivf_pq, 2 k re-ranked"] = reranked(index, vectors)
            for name, search in searches.items():
                found = search(queries, options.k)
                p50, p99 = singles(search, one_by_one, options.k)
                tuning = index.description.tuning
                measured[name] = Measured(
                    build_seconds,
                    (Path(scratch) / f"{kind}.bin").stat().st_size / 2**20,
                    load_seconds,
                    "" if kind == "flat" else f"{tuning.parameter} {tuning.value}",
                    float(recall(queries, found.ids, vectors, kth_best).mean()),
                    batches(search, queries, options.k, options.rounds),
                    p50,
                    p99,
                )
                print(_row(name, measured[name]), flush=True)
    print(
        json.dumps(
            {
                "benchmark": "faiss_indices",
                **describe_machine(),
                "faiss": faiss.__version__,
                "origin": article_vectors.origin,
                "vectors": len(vectors),
                "dimensions": vectors.shape[1],
                "k": options.k,
                "queries": len(queries),
                "kinds": {name: asdict(of) for name, of in measured.items()},
            }
        )
    )


def _row(name: str, of: Measured) -> str:
    rates = " | ".join(f"{rate:.0f}" for rate in of.queries_per_second.values())
    return (
        f"| {name} | {of.build_seconds:.1f} | {of.mib:.0f} | {of.load_seconds:.2f} | "
        f"{of.parameter} | {of.recall:.3f} | {rates} | {of.p50_ms:.2f} | {of.p99_ms:.2f} |"
    )


if __name__ == "__main__":
    main()
