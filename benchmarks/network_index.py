"""The indices of both networks' joined vectors: how much they find of what all scores would.

    python benchmarks/network_index.py SHOP --sasrec NETWORK --gnn NETWORK --as-of DATE
                                       [--vectors VECTORS] [--kinds ivf_flat flat …]

SHOP is a folder of prepared tables, each NETWORK a trained one (``stages/train_…`` of a run, or
what ``benchmarks/combined.py`` keeps), VECTORS the articles' (stage ``reduce``). Vectors of all
articles and customers are made as of a date, and indexed with the default settings, for each kind.
Of articles, customers ask, and recall@k is against the ``k`` best of all scores, popularity
included; the first row is that exact search by one matrix product. Of customers, customers ask, and
find themselves first. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from faiss_indices import THREADS, batches, singles
from machine import describe_machine
from modiste.config import load_config
from modiste.data.dataset import Dataset
from modiste.engine import Engine
from modiste.models.blend import RECOMMENDERS, Artifacts
from modiste.models.combined.recommender import CombinedRecommender
from modiste.models.network_index import asking, equally_long
from modiste.vectors.article_vectors import ArticleVectors, unit_rows
from modiste.vectors.index import VectorIndex
from modiste.vectors.index_settings import IndexKind, IndexSettings
from modiste.vectors.neighbours import Neighbours

KINDS: tuple[IndexKind, ...] = get_args(IndexKind)

Vectors = NDArray[np.float32]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shop", type=Path)
    parser.add_argument("--sasrec", type=Path, required=True)
    parser.add_argument("--gnn", type=Path, required=True)
    parser.add_argument("--as-of", type=date.fromisoformat, required=True)
    parser.add_argument("--vectors", type=Path)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=["ivf_flat", "flat", "hnsw"])
    parser.add_argument("--k", type=int, default=200)
    parser.add_argument("--queries", type=int, default=2000, help="Of a batch.")
    parser.add_argument("--singles", type=int, default=300, help="Queries one at a time.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    articles, offsets, customers, seconds = joined_vectors(options)
    print(f"{len(customers)} customers, {np.isfinite(offsets).sum()} articles on sale, {seconds} s")
    drawn = np.random.default_rng(options.seed).permutation(len(customers))
    some = customers[np.sort(drawn[: options.queries])]
    others = customers[np.sort(drawn[options.queries :][:1000])]  # the search is tuned on these
    print(
        f"| | build s | MiB | tuned | recall@{options.k} | "
        f"{' | '.join(f'queries/s, threads: {n}' for n in THREADS)} | p50 ms | p99 ms |"
    )
    print(f"| --- |{' ---: |' * (6 + len(THREADS))}", flush=True)
    best = best_of_all(articles, offsets, some, options.k)
    measured: dict[str, Any] = {
        "articles": {"all scores": of_all_scores(articles, offsets, some, options)},
        "customers": {},
    }
    unit = unit_rows(customers)
    of_customers = unit[np.sort(drawn[: options.queries])]
    nearest = best_of_all(unit, np.zeros(len(unit), np.float32), of_customers, options.k)
    for kind in options.kinds:
        settings = IndexSettings(kind=kind)
        measured["articles"][kind] = measure(
            f"articles, {kind}",
            lambda settings=settings: VectorIndex.build(  # type: ignore[misc]
                equally_long(articles, offsets), {}, settings, asking(others)
            ),
            asking(some),
            best,
            options,
        )
        measured["customers"][kind] = measure(
            f"customers, {kind}",
            lambda settings=settings: VectorIndex.build(unit, {}, settings),  # type: ignore[misc]
            of_customers,
            nearest,
            options,
        )
    print(
        json.dumps(
            {
                "benchmark": "network_index",
                **describe_machine(),
                "as_of": str(options.as_of),
                "dimensions": articles.shape[1],
                "customers": len(customers),
                "articles_on_sale": int(np.isfinite(offsets).sum()),
                "k": options.k,
                "vectors_seconds": seconds,
                "indices": measured,
            }
        )
    )


def joined_vectors(
    options: argparse.Namespace,
) -> tuple[Vectors, Vectors, Vectors, float]:
    """Vectors of all articles, their offsets, vectors of the customers known, and seconds."""
    settings = load_config(overrides=["models.sasrec.enabled=true", "models.gnn.enabled=true"])
    vectors = None if options.vectors is None else ArticleVectors.load(options.vectors)
    trained = {"sasrec": options.sasrec, "gnn": options.gnn}
    with Engine() as engine:
        history = Dataset.open(options.shop, engine).until(options.as_of)
        made = RECOMMENDERS["combined"](settings.models, Artifacts(vectors, trained)).fit(history)
        assert isinstance(made, CombinedRecommender)
        started = time.monotonic()
        customers = np.concatenate([made.customer_vectors(each)[1] for each in history.batches()])
    seconds = round(time.monotonic() - started, 1)
    return made.article_vectors, made.article_offsets, customers, seconds


def best_of_all(vectors: Vectors, offsets: Vectors, queries: Vectors, k: int) -> NDArray[np.int64]:
    """Rows with the ``k`` highest scores of each query: int64, shape (queries, k)."""
    (rows,) = np.isfinite(offsets).nonzero()
    kept, added = torch.from_numpy(vectors[rows]).t(), torch.from_numpy(offsets[rows])
    found = [
        torch.addmm(added, torch.from_numpy(queries[first : first + 64]), kept).topk(k).indices
        for first in range(0, len(queries), 64)
    ]
    best: NDArray[np.int64] = rows[torch.cat(found).numpy()]
    return best


def of_all_scores(
    articles: Vectors, offsets: Vectors, queries: Vectors, options: argparse.Namespace
) -> dict[str, Any]:
    """Speed of the exact search."""

    def search(asked: Vectors, k: int) -> NDArray[np.int64]:
        return best_of_all(articles, offsets, asked, k)

    # Only what is on sale is laid out beforehand, as a recommender does.
    (rows,) = np.isfinite(offsets).nonzero()
    articles, offsets = articles[rows], offsets[rows]
    rates = {}
    for threads in THREADS:
        torch.set_num_threads(threads)
        rates.update({threads: batches(search, queries, options.k, options.rounds)[threads]})  # type: ignore[arg-type]
    torch.set_num_threads(1)
    p50, p99 = singles(search, queries[: options.singles], options.k)  # type: ignore[arg-type]
    of = {"recall": 1.0, "queries_per_second": rates, "p50_ms": p50, "p99_ms": p99}
    print(row("articles, all scores", of), flush=True)
    return of


def measure(
    name: str,
    build: Callable[[], VectorIndex],
    queries: Vectors,
    best: NDArray[np.int64],
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Build an index, open it again from disk, and ask it."""
    started = time.perf_counter()
    built = build()
    seconds = time.perf_counter() - started
    with TemporaryDirectory() as scratch:
        built.save(Path(scratch), "index")
        del built
        index = VectorIndex.load(Path(scratch), "index")
        mib = (Path(scratch) / "index.bin").stat().st_size / 2**20
        found = index.search(queries, options.k)
        p50, p99 = singles(index.search, queries[: options.singles], options.k)
        tuning = index.description.tuning
        of = {
            "build_seconds": round(seconds, 1),
            "mib": round(mib),
            "tuned": f"{tuning.parameter} {tuning.value}",
            "recall": shared(found, best, options.k),
            "queries_per_second": batches(index.search, queries, options.k, options.rounds),
            "p50_ms": p50,
            "p99_ms": p99,
        }
    print(row(name, of), flush=True)
    return of


def shared(found: Neighbours, best: NDArray[np.int64], k: int) -> float:
    """Mean share of the ``k`` best that were found; one as good as the last of them counts, too."""
    shares = []
    for ids, scores, wanted in zip(found.ids, found.scores, best, strict=True):
        among = np.isin(ids, wanted)
        # Customers with the same purchases have the same vector: which of them is last is chance.
        tied = ~among & (scores >= scores[among].min(initial=np.inf) - 1e-6)
        shares.append((among.sum() + tied.sum()) / k)
    return float(np.mean(shares))


def row(name: str, of: dict[str, Any]) -> str:
    """A line of the table."""
    rates = " | ".join(f"{rate:.0f}" for rate in of["queries_per_second"].values())
    return (
        f"| {name} | {of.get('build_seconds', '')} | {of.get('mib', '')} | {of.get('tuned', '')} | "
        f"{of['recall']:.4f} | {rates} | {of['p50_ms']:.2f} | {of['p99_ms']:.2f} |"
    )


if __name__ == "__main__":
    main()
