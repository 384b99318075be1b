"""The graph against a naive version, and the promises: no future, the same bytes, any size."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from futures import TwoFutures, assert_blind_to_the_future, two_futures
from graphs import AS_OF, DAYS, FIRST, START, Purchase, frame_of, make_graph, many_purchases
from modiste.data.dataset import Dataset, History
from modiste.data.days import day_number
from modiste.engine import Engine
from modiste.errors import DataError
from modiste.models.graph import purchase_graph
from modiste.models.graph.purchase_graph import Adjacency, PurchaseGraph, build_graph, graph_of
from purchase_histories import write_history
from shops import SMALL_SHOP_START

# For each node its (day, other end, pieces).
Rows = list[list[tuple[int, int, int]]]


def shown(side: Adjacency) -> Rows:
    edges = list(
        zip(side.days.tolist(), side.neighbours.tolist(), side.counts.tolist(), strict=True)
    )
    ends = side.offsets.tolist()
    return [edges[start:end] for start, end in pairwise(ends)]


def naive(rows: pl.DataFrame, node: str, other: str, n_nodes: int) -> Rows:
    pieces = Counter(rows.select(node, "t_dat", other).iter_rows())
    found: Rows = [[] for _ in range(n_nodes)]
    for (own, day, end), count in sorted(pieces.items()):
        found[own].append((day_number(day), end, count))
    return found


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@given(case=two_futures())
@settings(max_examples=40, deadline=None)
def test_as_a_naive_version(case: TwoFutures) -> None:
    with TemporaryDirectory() as name:
        folder = case.write(Path(name, "shop"), case.future)
        history = Dataset.open(folder, Engine(workers=2)).until(case.as_of)
        built = build_graph(history, Path(name, "graph"))
        customers, articles = history.n_customers, history.n_articles
        assert shown(built.articles_of) == naive(case.past, "customer", "article", customers)
        assert shown(built.customers_of) == naive(case.past, "article", "customer", articles)
        assert built.as_of == case.as_of
        everything = pl.concat([case.future, case.past])
        in_memory = graph_of(everything, customers, articles, case.as_of)
        assert shown(in_memory.articles_of) == shown(built.articles_of)
        assert shown(in_memory.customers_of) == shown(built.customers_of)
        for side in (built.articles_of, built.customers_of, in_memory.articles_of):
            assert side.offsets.dtype == np.int64
            assert side.neighbours.dtype == side.days.dtype == np.int32
            assert side.counts.dtype == np.uint8


@given(case=two_futures())
@settings(max_examples=30, deadline=None)
def test_blind_to_the_future(case: TwoFutures) -> None:
    def files(history: History) -> dict[str, pl.DataFrame]:
        with TemporaryDirectory() as name:
            build_graph(history, Path(name, "graph"))
            found = files_of(Path(name, "graph"))
        return {name: pl.DataFrame({"bytes": [content]}) for name, content in found.items()}

    assert_blind_to_the_future(case, files)


@pytest.mark.parametrize(("partition_customers", "workers"), [(1000, 1), (30, 1), (7, 3), (1, 2)])
@pytest.mark.parametrize("bucket", [1, 100, 1 << 22])
def test_partitions_workers_and_buckets_do_not_matter(
    small_shop: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    partition_customers: int,
    workers: int,
    bucket: int,
) -> None:
    history = small_shop.until(SMALL_SHOP_START + timedelta(days=40))
    rows = pl.concat([batch.transactions for batch in history.batches()])
    one = graph_of(rows, history.n_customers, 10_000, history.as_of)
    (tmp_path / "one").mkdir()
    one.save(tmp_path / "one")
    other = write_history(
        tmp_path / "shop", rows, history.as_of, history.n_customers, partition_customers, workers
    )
    monkeypatch.setattr(purchase_graph, "_BUCKET_EDGES", bucket)
    build_graph(other, tmp_path / "other")
    # The very bytes that NumPy would write, too.
    assert files_of(tmp_path / "one") == files_of(tmp_path / "other")


def test_round_trip(tmp_path: Path) -> None:
    graph = make_graph([(0, 1, 3), (0, 1, 3), (4, 1, 2), (2, 0, 11)])
    graph.save(tmp_path)
    loaded = PurchaseGraph.load(tmp_path)
    assert shown(loaded.articles_of) == shown(graph.articles_of)
    assert shown(loaded.customers_of) == shown(graph.customers_of)
    assert (loaded.as_of, loaded.n_customers, loaded.n_articles) == (AS_OF, 6, 5)
    assert isinstance(loaded.articles_of.neighbours.base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        loaded.customers_of.days[0] = 1


def test_pieces_are_counted_up_to_255() -> None:
    graph = make_graph([(0, 1, 3)] * 2 + [(0, 2, 3)] * 255 + [(0, 3, 3)] * 300)
    assert shown(graph.articles_of)[0] == [
        (FIRST + 3, 1, 2),
        (FIRST + 3, 2, 255),
        (FIRST + 3, 3, 255),
    ]


@pytest.mark.parametrize("customers", [0, 3])
def test_no_purchases(customers: int, tmp_path: Path) -> None:
    built = build_graph(
        write_history(tmp_path / "shop", frame_of([]), AS_OF, customers), tmp_path / "g"
    )
    assert shown(built.articles_of) == [[]] * customers
    assert built.n_articles == 10_000
    assert built.customers_of.n_edges == 0
    nodes = np.array([0, 9_999])
    assert built.customers_of.ends_before(nodes, np.array([FIRST, FIRST])).tolist() == [0, 0]


@given(purchases=many_purchases(), day=st.integers(0, DAYS), node=st.integers(0, 4))
def test_ends_before_a_day(purchases: list[Purchase], day: int, node: int) -> None:
    graph = make_graph(purchases)
    for side in (graph.articles_of, graph.customers_of):
        # The node again and again among others: each row is searched for itself.
        nodes, days = np.array([node, 0, node, node]), FIRST + np.array([day, 5, 0, DAYS])
        ends = side.ends_before(nodes, days)
        for own, when, end in zip(nodes, days, ends, strict=True):
            row = shown(side)[own]
            assert end - side.offsets[own] == sum(each < when for each, _, _ in row)


@given(purchases=many_purchases(), day=st.integers(0, DAYS))
def test_before_is_a_graph_of_less(purchases: list[Purchase], day: int) -> None:
    graph, cut = make_graph(purchases), START + timedelta(days=day)
    view = graph.before(cut)
    assert view.articles_of is graph.articles_of
    assert view.as_of == cut
    less = make_graph(purchases, as_of=cut)
    for side, expected in (
        (view.articles_of, less.articles_of),
        (view.customers_of, less.customers_of),
    ):
        ends = side.ends_before(np.arange(side.n_nodes), np.full(side.n_nodes, FIRST + day))
        kept = [
            row[: end - start]
            for row, start, end in zip(shown(side), side.offsets, ends, strict=False)
        ]
        assert kept == shown(expected)


def test_nothing_is_known_of_a_later_day() -> None:
    with pytest.raises(ValueError, match="says nothing of"):
        make_graph([]).before(AS_OF + timedelta(days=1))


def test_a_damaged_folder_is_told(small_shop: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "g"
    with pytest.raises(DataError, match=r"offsets\.npy is missing"):
        PurchaseGraph.load(folder)
    build_graph(small_shop.until(small_shop.next_day), folder)
    days = folder / "customers_of" / "days.npy"
    whole = days.read_bytes()
    days.write_bytes(whole[:200])
    with pytest.raises(DataError, match=r"days\.npy is damaged"):
        PurchaseGraph.load(folder)
    np.save(days, np.zeros(3, np.int32))
    with pytest.raises(DataError, match="neighbours, 3 days"):
        PurchaseGraph.load(folder)
    np.save(days, np.zeros(3))
    with pytest.raises(DataError, match="holds float64"):
        PurchaseGraph.load(folder)
    days.write_bytes(whole)
    PurchaseGraph.load(folder)
    for content in ("{", "{}", "[]", json.dumps({"as_of": "yesterday"}), json.dumps({"as_of": 1})):
        (folder / "graph.json").write_text(content)
        with pytest.raises(DataError, match=r"graph\.json is damaged"):
            PurchaseGraph.load(folder)
    (folder / "graph.json").unlink()
    with pytest.raises(DataError, match=r"graph\.json is missing"):
        PurchaseGraph.load(folder)


def test_arrays_that_do_not_belong_together() -> None:
    two, counts = np.zeros(2, np.int32), np.ones(2, np.uint8)
    for offsets in ([0, 1], [1, 2], [0, 3, 2], []):
        with pytest.raises(DataError, match="must rise from 0 to the 2 edges"):
            Adjacency(np.array(offsets, np.int64), two, two, counts)
    one = make_graph([(0, 1, 2)])
    with pytest.raises(DataError, match="customers have 1 edges and articles 0"):
        PurchaseGraph(one.articles_of, make_graph([]).customers_of, AS_OF)


def test_a_failed_build_leaves_the_earlier_one(
    small_shop: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_graph(small_shop.until(small_shop.next_day), tmp_path / "g")
    before = files_of(tmp_path)

    def fail(*_: object) -> None:
        raise RuntimeError("killed")

    monkeypatch.setattr(purchase_graph, "_merge", fail)
    with pytest.raises(RuntimeError, match="killed"):
        build_graph(small_shop.until(SMALL_SHOP_START), tmp_path / "g")
    assert files_of(tmp_path) == before
