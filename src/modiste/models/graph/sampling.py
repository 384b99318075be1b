"""Neighbourhoods in the graph of purchases, as they were before a day.

A node of a subgraph is a customer or an article together with a day: the same article as of two
days is two nodes. Its neighbours are taken from the edges strictly before its day, and are nodes of
that same day. So all that can be reached from a seed was known before the seed's day, at any hop:
an edge that is to be predicted, seeds being its two ends as of its day, is not in their own
neighbourhoods, and neither is any other of that day.

Nodes are numbered by the hop at which they are first met. Layer l of L then needs the states of
nodes met by hop L - l, which are the first so many, and their neighbours are all met one hop later.

All nodes of a hop are worked on at once, in NumPy. What a step of training needs takes milliseconds
and no compiled extension.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from modiste.data.days import day_number
from modiste.models.flat_arrays import ranges
from modiste.models.graph.purchase_graph import Adjacency, PurchaseGraph

Strategy = Literal["recent", "uniform"]

# Of an int64 that sorts as a whole number: what a node's key and a place can share.
_BITS = 63


class FanOut(NamedTuple):
    """How many edges of a node are looked at.

    Attributes
    ----------
    articles_of_customer, customers_of_article
        At most so many, by the kind of the node; at least 1.
    """

    articles_of_customer: int
    customers_of_article: int


class Edges(NamedTuple):
    """Edges of some nodes to nodes of the other kind, oldest first.

    Node ``n`` has the edges ``offsets[n]`` to ``offsets[n + 1]``.

    Attributes
    ----------
    offsets
        int64, shape (n_nodes + 1,).
    columns
        int64, shape (n_edges,): numbers of the other ends.
    gaps
        int32, shape (n_edges,): days from the edge's day to the node's own; at least 1.
    counts
        uint8, shape (n_edges,): pieces bought on the edge's day, 255: so many or more.
    """

    offsets: Tensor
    columns: Tensor
    gaps: Tensor
    counts: Tensor

    def first(self, nodes: int) -> Edges:
        """Those of the first nodes; nothing is copied."""
        end = int(self.offsets[nodes])
        return Edges(
            self.offsets[: nodes + 1], self.columns[:end], self.gaps[:end], self.counts[:end]
        )

    def to(self, device: torch.device) -> Edges:
        """The same on another device."""
        return Edges(*(part.to(device) for part in self))


class Subgraph(NamedTuple):
    """Seeds and their neighbourhoods.

    Attributes
    ----------
    customers, articles
        int64, shape (n_nodes of the kind,): codes, by the hop at which the nodes are first met:
        seeds first, in the order in which they were given. Those of later hops are sorted by code
        and day.
    customer_days, article_days
        int32, shape (n_nodes of the kind,): each node's day, since ``EPOCH``.
    customers_by_hop, articles_by_hop
        How many nodes of the kind are met by hop 0 (seeds), 1, … L: L + 1 numbers, never falling.
    customer_edges
        Of the customers met by hop L - 1, to articles.
    article_edges
        Of the articles met by hop L - 1, to customers.
    seed_customers, seed_articles
        int64: the node of each seed as given: a seed that is given twice is one node.
    """

    customers: Tensor
    articles: Tensor
    customer_days: Tensor
    article_days: Tensor
    customers_by_hop: tuple[int, ...]
    articles_by_hop: tuple[int, ...]
    customer_edges: Edges
    article_edges: Edges
    seed_customers: Tensor
    seed_articles: Tensor

    def to(self, device: torch.device) -> Subgraph:
        """The same on another device."""
        return Subgraph(
            self.customers.to(device),
            self.articles.to(device),
            self.customer_days.to(device),
            self.article_days.to(device),
            self.customers_by_hop,
            self.articles_by_hop,
            self.customer_edges.to(device),
            self.article_edges.to(device),
            self.seed_customers.to(device),
            self.seed_articles.to(device),
        )


class Neighbours(NamedTuple):
    """Edges of some nodes in an adjacency, oldest first, one node after the other.

    Attributes
    ----------
    lengths
        int64, shape (n_nodes,): edges of each node.
    places
        int64, shape (n_edges,): where the edges are in the adjacency.
    """

    lengths: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]


def neighbours_before(
    adjacency: Adjacency,
    nodes: npt.NDArray[np.integer[Any]],
    days: npt.NDArray[np.integer[Any]],
    fan_out: int,
    rng: np.random.Generator | None = None,
) -> Neighbours:
    """Some of each node's edges strictly before its day.

    Parameters
    ----------
    adjacency
        Where the edges are.
    nodes
        Shape (n,): codes.
    days
        Shape (n,): for each its day, since ``EPOCH``.
    fan_out
        How many edges at most.
    rng
        Draws them, any being as likely as any other and none twice; None: the latest. Of the day on
        which that cuts, those that lie last in the row are taken.
    """
    starts, ends = adjacency.offsets[nodes], adjacency.ends_before(nodes, days)
    if rng is None:
        lengths = np.minimum(ends - starts, fan_out)
        return Neighbours(lengths, ranges(ends - lengths, lengths))
    places, lengths = some_of_rows(starts, ends - starts, fan_out, rng)
    return Neighbours(lengths, places)


def some_of_rows(
    starts: npt.NDArray[np.int64],
    known: npt.NDArray[np.int64],
    fan_out: int,
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Draw places of rows, any being as likely as any other and none twice.

    Parameters
    ----------
    starts, known
        int64, shape (n,): where each row begins, and how long it is.
    fan_out
        How many of each at most.

    Returns
    -------
    The places, int64, row after row and rising in each, and how many are of each, shape (n,).
    """
    lengths = np.minimum(known, fan_out)
    places = ranges(starts, lengths)
    (chosen,) = np.nonzero(known > fan_out)
    drawn = _subsets(known[chosen], fan_out, rng) + starts[chosen, None]
    first = (np.cumsum(lengths) - lengths)[chosen, None]
    places[first + np.arange(fan_out)] = drawn
    return places, lengths


def edges_before(
    adjacency: Adjacency,
    nodes: npt.NDArray[np.integer[Any]],
    days: npt.NDArray[np.integer[Any]],
    fan_out: int,
    rng: np.random.Generator | None = None,
) -> Edges:
    """As :func:`neighbours_before`, as edges of ``nodes`` whose columns are codes.

    For what is computed of all nodes as of a day, layer by layer, and needs no subgraph.
    """
    found = neighbours_before(adjacency, nodes, days, fan_out, rng)
    columns = adjacency.neighbours[found.places].astype(np.int64)
    return _edges(adjacency, found, np.asarray(days), columns)


class NeighbourSampler:
    """Samples neighbourhoods.

    Parameters
    ----------
    graph
        Nothing at or after its date is looked at.
    fan_out
        For each hop, how many edges of a node that was first met one hop earlier are looked at.
    strategy
        Which edges where a node has more: ``recent`` takes the latest before the node's day, and
        draws nothing; ``uniform`` draws from all before, none twice.
    """

    def __init__(
        self, graph: PurchaseGraph, fan_out: Sequence[FanOut], strategy: Strategy = "recent"
    ) -> None:
        if not fan_out or min(min(each) for each in fan_out) < 1:
            raise ValueError(f"a fan-out is at least 1, for at least one hop, not {list(fan_out)}")
        self.graph, self.fan_out, self.strategy = graph, tuple(fan_out), strategy

    def sample(
        self,
        customers: npt.NDArray[np.integer[Any]],
        customer_days: npt.NDArray[np.integer[Any]],
        articles: npt.NDArray[np.integer[Any]],
        article_days: npt.NDArray[np.integer[Any]],
        rng: np.random.Generator,
    ) -> Subgraph:
        """The neighbourhoods of some seeds.

        Parameters
        ----------
        customers, articles
            Any shape (n,) each: codes; repeated pairs of a code and a day are one node.
        customer_days, article_days
            Of the same shapes: nothing of this day or later is looked at, days since ``EPOCH``.
        rng
            Draws the neighbours where the strategy is ``uniform``.

        Raises
        ------
        ValueError
            When a code is not one of the graph's, or a seed has no day.
        """
        return self.sample_with_places(customers, customer_days, articles, article_days, rng)[0]

    def sample_with_places(
        self,
        customers: npt.NDArray[np.integer[Any]],
        customer_days: npt.NDArray[np.integer[Any]],
        articles: npt.NDArray[np.integer[Any]],
        article_days: npt.NDArray[np.integer[Any]],
        rng: np.random.Generator,
    ) -> tuple[Subgraph, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """As :meth:`sample`, and where the edges are in the graph.

        Returns
        -------
        The subgraph; for each of its customers' and of its articles' edges its place in the graph's
        ``articles_of`` and ``customers_of``, int64.
        """
        met_days = np.unique(np.concatenate([customer_days, article_days])).astype(np.int32)
        as_of = day_number(self.graph.as_of)
        of_customers = _Kind("customer", self.graph.articles_of, met_days, as_of)
        of_articles = _Kind("article", self.graph.customers_of, met_days, as_of)
        seed_customers = of_customers.meet_seeds(customers, customer_days)
        seed_articles = of_articles.meet_seeds(articles, article_days)
        drawn_by = rng if self.strategy == "uniform" else None
        for fan_out in self.fan_out:
            # Both before either of them meets the other's neighbours.
            articles_met = of_customers.expand(fan_out.articles_of_customer, drawn_by)
            customers_met = of_articles.expand(fan_out.customers_of_article, drawn_by)
            of_customers.columns.append(of_articles.meet(*articles_met))
            of_articles.columns.append(of_customers.meet(*customers_met))
        subgraph = Subgraph(
            torch.from_numpy(of_customers.codes),
            torch.from_numpy(of_articles.codes),
            torch.from_numpy(of_customers.days),
            torch.from_numpy(of_articles.days),
            tuple(of_customers.by_hop),
            tuple(of_articles.by_hop),
            of_customers.edges(),
            of_articles.edges(),
            torch.from_numpy(seed_customers),
            torch.from_numpy(seed_articles),
        )
        return subgraph, of_customers.places, of_articles.places


class _Kind:
    """Nodes of one kind: those that have been met, by number, and the edges of those expanded.

    A node is known by its key: its code, and in the last bits the number of its day. A subgraph
    has few days, those of its seeds.

    Attributes
    ----------
    by_hop
        How many nodes were met by each hop so far.
    columns
        For each hop, the numbers of the other ends of the edges: whoever numbers them adds them.
    """

    def __init__(
        self, name: str, adjacency: Adjacency, met_days: npt.NDArray[np.int32], as_of: int
    ) -> None:
        self._name, self._adjacency, self._met_days, self._as_of = name, adjacency, met_days, as_of
        self._day_bits = len(met_days).bit_length()
        self._keys = np.empty(0, np.int64)
        self._found: list[Neighbours] = []
        self.by_hop: list[int] = []
        self.columns: list[npt.NDArray[np.int64]] = []

    @property
    def codes(self) -> npt.NDArray[np.int64]:
        """Of all nodes, by number."""
        return self._keys >> self._day_bits

    @property
    def days(self) -> npt.NDArray[np.int32]:
        """Of all nodes, by number."""
        return self._met_days[self._day_numbers]

    @property
    def _day_numbers(self) -> npt.NDArray[np.int64]:
        return self._keys & ((1 << self._day_bits) - 1)

    @property
    def places(self) -> npt.NDArray[np.int64]:
        """Where the edges of the expanded nodes are in the adjacency."""
        return np.concatenate([found.places for found in self._found])

    def meet_seeds(
        self, codes: npt.NDArray[np.integer[Any]], days: npt.NDArray[np.integer[Any]]
    ) -> npt.NDArray[np.int64]:
        """Numbers of seeds, by their days."""
        if len(codes) != len(days):
            raise ValueError(
                f"{len(codes):,} seeds of the kind {self._name} have {len(days):,} days"
            )
        if len(codes) and not 0 <= codes.min() <= codes.max() < self._adjacency.n_nodes:
            raise ValueError(
                f"{self._name}s of this graph have the codes 0 to {self._adjacency.n_nodes - 1:,}, "
                f"and seeds {codes.min():,} to {codes.max():,}"
            )
        keys = self._keys_of(codes, np.searchsorted(self._met_days, days))
        _, first, group = np.unique(keys, return_index=True, return_inverse=True)
        self._keys = keys[np.sort(first)]
        self.by_hop.append(len(self._keys))
        return np.argsort(np.argsort(first))[group]

    def meet(
        self, codes: npt.NDArray[np.integer[Any]], day_numbers: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """Numbers of neighbours, by the numbers of their days; new nodes get the next ones.

        Keys are sorted together with their places in one int64 each: a plain sort of numbers is
        many times as fast as one that tells the order. Of equal keys the first is one that has a
        number, if any: its place is the number.
        """
        n_known = len(self._keys)
        keys = np.concatenate([self._keys, self._keys_of(codes, day_numbers)])
        place_bits = len(keys).bit_length()
        if self._adjacency.n_nodes.bit_length() + self._day_bits + place_bits > _BITS:
            raise ValueError(
                f"{len(keys):,} nodes of the kind {self._name} on {len(self._met_days):,} days are "
                "more than one subgraph can hold: sample fewer seeds at once"
            )
        packed = (keys << place_bits) | np.arange(len(keys))
        packed.sort()
        places, keys = packed & ((1 << place_bits) - 1), packed >> place_bits
        is_first = np.ones(len(keys), np.bool_)
        is_first[1:] = keys[1:] != keys[:-1]
        first = places[is_first]
        is_new = first >= n_known
        first[is_new] = n_known + np.arange(np.count_nonzero(is_new))
        numbers = np.empty(len(keys), np.int64)
        numbers[places] = first[np.cumsum(is_first) - 1]
        self._keys = np.concatenate([self._keys, keys[is_first][is_new]])
        self.by_hop.append(len(self._keys))
        return numbers[n_known:]

    def _keys_of(
        self, codes: npt.NDArray[np.integer[Any]], day_numbers: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        return (codes.astype(np.int64) << self._day_bits) | day_numbers

    def expand(
        self, fan_out: int, rng: np.random.Generator | None
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        """Find the edges of the nodes met last: codes of the other ends, and the days' numbers."""
        first = self.by_hop[-2] if len(self.by_hop) > 1 else 0
        codes, day_numbers = self.codes[first:], self._day_numbers[first:]
        days = np.minimum(self._met_days[day_numbers], self._as_of)
        found = neighbours_before(self._adjacency, codes, days, fan_out, rng)
        self._found.append(found)
        return self._adjacency.neighbours[found.places], np.repeat(day_numbers, found.lengths)

    def edges(self) -> Edges:
        """Those of the expanded nodes."""
        found = Neighbours(np.concatenate([found.lengths for found in self._found]), self.places)
        days = self.days[: len(found.lengths)]
        return _edges(self._adjacency, found, days, np.concatenate(self.columns))


def _edges(
    adjacency: Adjacency,
    found: Neighbours,
    days: npt.NDArray[np.integer[Any]],
    columns: npt.NDArray[np.int64],
) -> Edges:
    """Of nodes as of their days."""
    own_days = np.repeat(days.astype(np.int32), found.lengths)
    return Edges(
        torch.from_numpy(np.append(0, np.cumsum(found.lengths))),
        torch.from_numpy(columns),
        torch.from_numpy(own_days - adjacency.days[found.places]),
        torch.from_numpy(adjacency.counts[found.places]),
    )


def _subsets(
    sizes: npt.NDArray[np.int64], k: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Of each of the ranges 0 to size, k different numbers, rising; every set is as likely.

    Floyd's algorithm (Bentley & Floyd, "A Sample of Brilliance", CACM 1987), for all ranges at
    once: the i-th draw is from one number more than the draw before, and where it hits what has
    been drawn, it is that additional number.

    Returns
    -------
    int64, shape (n, k).
    """
    drawn = np.empty((k, len(sizes)), np.int64)
    for number in range(k):
        last = sizes - k + number
        draw = (rng.random(len(sizes)) * (last + 1)).astype(np.int64)
        again = (drawn[:number] == draw).any(axis=0)
        drawn[number] = np.where(again, last, draw)
    drawn.sort(axis=0)
    return drawn.T
