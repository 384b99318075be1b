"""The graph of customers and the articles that they bought, in the order of time, on disk.

An edge is a customer, an article and a day: bought twice on one day it is one edge, on two days it
is two. Each edge is stored from both ends, with its day, so that what a node was next to before any
day is a piece of one row: rows are sorted by day.

Both directions lie in flat arrays that are memory-mapped, 9 bytes an edge each. The customers' side
is made partition by partition. The articles' side is merged from pieces, a range of articles at a
time. Nothing holds all edges in memory, and the same bytes come out for any number of workers or
partitions.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from modiste.data.dataset import History, Partition
from modiste.engine import atomic_folder
from modiste.engine.progress import progress
from modiste.errors import DataError
from modiste.models.flat_arrays import array_file, array_path, join_rows, map_array

# More pieces than this of one article on one day are counted as so many.
_MOST_PIECES = 255


@dataclass(frozen=True, eq=False)
class Adjacency:
    """The graph seen from one kind of nodes: each node's edges, oldest first.

    Node ``n`` has the edges ``offsets[n]`` to ``offsets[n + 1]``. Edges of one day are sorted by
    the other end's code, so that equal data gives equal bytes; that order means nothing.

    Attributes
    ----------
    offsets
        int64, shape (n_nodes + 1,): where each node's edges begin, and the end. Nodes without
        edges have a row, too.
    neighbours
        int32, shape (n_edges,): codes of the other ends.
    days
        int32, shape (n_edges,): days since ``EPOCH`` (``data/days.py``); never falls inside a row.
    counts
        uint8, shape (n_edges,): pieces bought on that day, 255: so many or more.
    """

    offsets: npt.NDArray[np.int64]
    neighbours: npt.NDArray[np.int32]
    days: npt.NDArray[np.int32]
    counts: npt.NDArray[np.uint8]

    def __post_init__(self) -> None:
        n_edges = len(self.neighbours)
        if len(self.days) != n_edges or len(self.counts) != n_edges:
            raise DataError(
                f"an adjacency has {n_edges:,} neighbours, {len(self.days):,} days and "
                f"{len(self.counts):,} counts: all three must tell of the same edges"
            )
        offsets = self.offsets
        if not len(offsets) or offsets[0] != 0 or offsets[-1] != n_edges or _falls(offsets):
            raise DataError(f"offsets of an adjacency must rise from 0 to the {n_edges:,} edges")

    @property
    def n_nodes(self) -> int:
        """Number of nodes; their codes are 0 to n_nodes - 1."""
        return len(self.offsets) - 1

    @property
    def n_edges(self) -> int:
        """Number of edges."""
        return len(self.neighbours)

    def ends_before(
        self, nodes: npt.NDArray[np.integer[Any]], days: npt.NDArray[np.integer[Any]]
    ) -> npt.NDArray[np.int64]:
        """Where each node's edges before a day end.

        Parameters
        ----------
        nodes
            Shape (n,): codes.
        days
            Shape (n,): for each its day, since ``EPOCH``.

        Returns
        -------
        int64, shape (n,): the edges ``offsets[nodes[i]]`` to ``ends[i]`` are strictly before
        ``days[i]``.
        """
        ends: npt.NDArray[np.int64] = self.offsets[nodes]
        limits = self.offsets[np.asarray(nodes) + 1]
        # A binary search in all rows at once, which leaves rows alone as soon as they are through:
        # most are short, and few reach the last steps.
        (asked,) = np.nonzero(ends < limits)
        low, high, day = ends[asked], limits[asked], np.asarray(days)[asked]
        while len(asked):
            middle = (low + high) >> 1
            before = self.days[middle] < day
            low, high = np.where(before, middle + 1, low), np.where(before, high, middle)
            open_ = low < high
            if not open_.all():
                through = ~open_
                ends[asked[through]] = low[through]
                asked, low, high, day = asked[open_], low[open_], high[open_], day[open_]
        return ends

    def save(self, folder: Path) -> None:
        """Write the arrays into a folder that is there, one ``.npy`` file each."""
        for name in _DTYPES:
            np.save(array_path(folder, name), getattr(self, name), allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> Adjacency:
        """Map the arrays of a folder into memory, read-only.

        Raises
        ------
        DataError
            When an array is missing or damaged, or they do not belong together.
        """
        return cls(**{name: map_array(folder, name, _DTYPES[name], _WHAT) for name in _DTYPES})


@dataclass(frozen=True, eq=False)
class PurchaseGraph:
    """Which customers bought which articles, and when, strictly before a date.

    Attributes
    ----------
    articles_of
        From the customers: a row for each, of articles.
    customers_of
        From the articles: a row for each, of customers. The same edges.
    as_of
        No edge of this day or a later one is looked at. There are none, unless :meth:`before` gave
        this graph; whoever reads the adjacencies themselves must mind it then.
    """

    articles_of: Adjacency
    customers_of: Adjacency
    as_of: date

    def __post_init__(self) -> None:
        if self.articles_of.n_edges != self.customers_of.n_edges:
            raise DataError(
                f"customers have {self.articles_of.n_edges:,} edges and articles "
                f"{self.customers_of.n_edges:,}: both must tell of the same purchases"
            )

    @property
    def n_customers(self) -> int:
        """Number of customers, with purchases or without."""
        return self.articles_of.n_nodes

    @property
    def n_articles(self) -> int:
        """Number of articles, sold or not."""
        return self.customers_of.n_nodes

    def before(self, day: date) -> PurchaseGraph:
        """The graph as of an earlier date, on the same arrays.

        Raises
        ------
        ValueError
            When the date is later.
        """
        if day > self.as_of:
            raise ValueError(f"a graph of what was before {self.as_of} says nothing of {day}")
        return replace(self, as_of=day)

    def save(self, folder: Path) -> None:
        """Write the graph into a folder that is there: a folder for each side, and its date."""
        for name in _SIDES:
            (folder / name).mkdir(exist_ok=True)
            getattr(self, name).save(folder / name)
        _write_date(folder, self.as_of)

    @classmethod
    def load(cls, folder: Path) -> PurchaseGraph:
        """Map a graph into memory, read-only.

        Raises
        ------
        DataError
            When a file is missing or damaged, or they do not belong together.
        """
        sides = {name: Adjacency.load(folder / name) for name in _SIDES}
        return cls(**sides, as_of=_read_date(folder))


_DTYPES: dict[str, np.dtype[Any]] = {
    "offsets": np.dtype("<i8"),
    "neighbours": np.dtype("<i4"),
    "days": np.dtype("<i4"),
    "counts": np.dtype("u1"),
}
_OF_EDGES = ("neighbours", "days", "counts")
_SIDES = ("articles_of", "customers_of")
_WHAT = "purchase graph"

# Edges that are sorted at once, some 40 bytes each. An article that has more is sorted alone.
_BUCKET_EDGES = 1 << 22


def build_graph(history: History, folder: Path) -> PurchaseGraph:
    """Make the graph of all that was bought before ``history.as_of``.

    Parameters
    ----------
    history
        Nothing at or after its date is in the graph.
    folder
        Gets its name when it is whole; an earlier one is replaced.

    Returns
    -------
    The graph, memory-mapped from ``folder``.
    """
    with atomic_folder(folder) as partial:
        pieces = partial / "pieces"
        pieces.mkdir()
        written = history.map(_write_piece, pieces, history.n_articles, label="purchase graph")
        for name in _SIDES:
            (partial / name).mkdir()
        # No two partitions share a customer, but many share an article.
        join_rows([piece / "articles_of" for piece in written], partial / "articles_of", _DTYPES)
        _merge(
            [piece / "customers_of" for piece in written],
            partial / "customers_of",
            history.n_articles,
        )
        _write_date(partial, history.as_of)
        shutil.rmtree(pieces)
    return PurchaseGraph.load(folder)


def graph_of(
    transactions: pl.DataFrame, n_customers: int, n_articles: int, as_of: date
) -> PurchaseGraph:
    """Make the graph of some transactions in memory.

    Parameters
    ----------
    transactions
        Columns of ``schema.PREPARED_TRANSACTIONS``, in any order.
    n_customers, n_articles
        Their codes are below these.
    as_of
        Transactions of this day or later are left out.
    """
    edges = _edges(transactions, as_of)
    return PurchaseGraph(
        _adjacency(edges, "customer", "article", n_customers),
        _adjacency(edges, "article", "customer", n_articles),
        as_of,
    )


def articles_of_customers(
    transactions: pl.DataFrame, as_of: date
) -> tuple[npt.NDArray[np.int32], Adjacency]:
    """Make the customers' side of the graph, in memory, of those alone who bought anything.

    Parameters
    ----------
    transactions, as_of
        As of :func:`graph_of`.

    Returns
    -------
    The customers' codes, int32, shape (n,), rising, and a row for each.
    """
    edges = _edges(transactions, as_of)
    customers, rows = np.unique(edges["customer"].to_numpy(), return_inverse=True)
    numbered = edges.with_columns(customer=pl.Series(rows, dtype=pl.Int32))
    return customers, _adjacency(numbered, "customer", "article", len(customers))


def _edges(transactions: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """Columns ``customer``, ``article``, ``t_dat`` and ``counts``, each edge once."""
    return (
        transactions.lazy()
        .filter(pl.col("t_dat") < as_of)
        .group_by("customer", "article", "t_dat")
        .agg(pl.len().clip(upper_bound=_MOST_PIECES).cast(pl.UInt8).alias("counts"))
        .collect()
    )


def _adjacency(edges: pl.DataFrame, node: str, other: str, n_nodes: int) -> Adjacency:
    rows = edges.sort(node, "t_dat", other)
    of_nodes = np.bincount(rows[node].to_numpy(), minlength=n_nodes)
    return Adjacency(
        offsets=np.append(0, np.cumsum(of_nodes)),
        neighbours=rows[other].to_numpy(),
        days=rows["t_dat"].to_physical().to_numpy(),
        counts=rows["counts"].to_numpy(),
    )


def _write_piece(partition: Partition, folder: Path, n_articles: int) -> Path:
    """Write the graph of a partition's purchases; give the folder that it lies in."""
    codes = partition.read_customers()["customer"].to_numpy()
    first, end = (int(codes[0]), int(codes[-1]) + 1) if len(codes) else (0, 0)
    rows = partition.read_transactions(["customer", "article", "t_dat"])
    graph = graph_of(rows, end, n_articles, partition.as_of)
    # Rows of the partition's own customers, one for each.
    own = replace(graph.articles_of, offsets=graph.articles_of.offsets[first:])
    piece = folder / f"{partition.index:05d}"
    piece.mkdir(exist_ok=True)
    replace(graph, articles_of=own).save(piece)
    return piece


def _merge(pieces: list[Path], folder: Path, n_articles: int) -> None:
    """Write the articles' side: of each article the edges of all pieces, sorted by day.

    The pieces follow the customers' codes, and so do edges of one day inside a piece: a stable sort
    by article and day leaves them sorted by customer.
    """
    sides = [Adjacency.load(piece) for piece in pieces]
    offsets = np.sum([np.zeros(n_articles + 1, np.int64), *(side.offsets for side in sides)], 0)
    np.save(array_path(folder, "offsets"), offsets, allow_pickle=False)
    n_edges = int(offsets[-1])
    with ExitStack() as files:
        append = {
            name: files.enter_context(array_file(array_path(folder, name), _DTYPES[name], n_edges))
            for name in _OF_EDGES
        }
        advance = files.enter_context(progress("purchase graph, articles", n_edges))
        for first, end in _buckets(offsets):
            edges = [_edges_of(side, first, end) for side in sides]
            article, *columns = (np.concatenate(parts) for parts in zip(*edges, strict=True))
            order = _by_article_and_day(article, columns[_OF_EDGES.index("days")])
            for name, values in zip(_OF_EDGES, columns, strict=True):
                append[name](values[order])
            advance(len(order))


def _edges_of(side: Adjacency, first: int, end: int) -> list[npt.NDArray[Any]]:
    """Number of the article, from ``first`` on, and the values of each edge of some articles."""
    bounds = side.offsets[first : end + 1]
    article = np.repeat(np.arange(end - first), np.diff(bounds))
    return [article, *(getattr(side, name)[bounds[0] : bounds[-1]] for name in _OF_EDGES)]


def _by_article_and_day(
    article: npt.NDArray[np.int64], days: npt.NDArray[np.int32]
) -> npt.NDArray[np.int64]:
    """The order that sorts edges by article, then day, and leaves others as they are."""
    if not len(days):
        return np.empty(0, np.int64)
    first, last = int(days.min()), int(days.max())
    # Sorted piece by piece already, which NumPy's stable sort, a merging one, makes use of.
    return np.argsort(article * (last - first + 1) + (days - first), kind="stable")


def _buckets(offsets: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Ranges of nodes, first and end, that have few enough edges together."""
    first = 0
    while first < len(offsets) - 1:
        most = np.searchsorted(offsets, offsets[first] + _BUCKET_EDGES, side="right") - 1
        end = max(int(most), first + 1)
        yield first, end
        first = end


def _falls(values: npt.NDArray[np.int64]) -> bool:
    return bool((values[1:] < values[:-1]).any())


def _write_date(folder: Path, as_of: date) -> None:
    content = json.dumps({"as_of": as_of.isoformat()})
    (folder / "graph.json").write_text(content, encoding="utf-8")


def _read_date(folder: Path) -> date:
    path = folder / "graph.json"
    try:
        return date.fromisoformat(json.loads(path.read_text(encoding="utf-8"))["as_of"])
    except FileNotFoundError as error:
        raise DataError(
            f"{folder} holds no {_WHAT} ({path.name} is missing): make it again"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged ({error!r}): make the {_WHAT} again") from error
