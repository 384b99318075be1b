"""Neighbourhoods against a naive version: only what was before, the latest, or any of it."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from graphs import AS_OF, DAYS, FIRST, START, Purchase, make_graph, many_purchases, random_purchases
from modiste.models.graph.purchase_graph import Adjacency, PurchaseGraph
from modiste.models.graph.sampling import (
    Edges,
    FanOut,
    NeighbourSampler,
    Strategy,
    Subgraph,
    edges_before,
    neighbours_before,
)

# Code and day of a node.
Node = tuple[int, int]
Seeds = list[Node]

STRATEGIES: tuple[Strategy, ...] = ("recent", "uniform")
Kind = Literal["customer", "article"]


def sample(
    graph: PurchaseGraph,
    customers: Seeds,
    articles: Seeds,
    fan_out: list[FanOut],
    strategy: Strategy = "recent",
    seed: int = 0,
) -> Subgraph:
    def split(seeds: Seeds) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        both = np.array(seeds, np.int64).reshape(-1, 2)
        return both[:, 0], both[:, 1]

    rng = np.random.default_rng(seed)
    sampler = NeighbourSampler(graph, fan_out, strategy)
    return sampler.sample(*split(customers), *split(articles), rng)


def nodes_of(subgraph: Subgraph, kind: Kind) -> list[Node]:
    codes, days = (
        (subgraph.customers, subgraph.customer_days)
        if kind == "customer"
        else (subgraph.articles, subgraph.article_days)
    )
    assert codes.dtype == torch.int64
    assert days.dtype == torch.int32
    return list(zip(codes.tolist(), days.tolist(), strict=True))


def rows_of(edges: Edges) -> list[list[tuple[int, int, int]]]:
    """Column, gap and count of the edges of each node."""
    assert edges.offsets.dtype == edges.columns.dtype == torch.int64
    assert edges.gaps.dtype == torch.int32
    flat = list(
        zip(edges.columns.tolist(), edges.gaps.tolist(), edges.counts.tolist(), strict=True)
    )
    ends = edges.offsets.tolist()
    assert ends[0] == 0
    assert ends[-1] == len(flat)
    return [flat[start:end] for start, end in pairwise(ends)]


def known(side: Adjacency, node: Node) -> list[tuple[int, int, int]]:
    """Day, other end and pieces of all edges before the node's day, oldest first."""
    code, day = node
    row = slice(int(side.offsets[code]), int(side.offsets[code + 1]))
    edges = zip(
        side.days[row].tolist(),
        side.neighbours[row].tolist(),
        side.counts[row].tolist(),
        strict=True,
    )
    return [edge for edge in edges if edge[0] < day]


def check(
    graph: PurchaseGraph,
    subgraph: Subgraph,
    customers: Seeds,
    articles: Seeds,
    fan_out: list[FanOut],
    strategy: Strategy,
) -> None:
    """Everything that a subgraph promises, by plain Python."""
    limit = FIRST + (graph.as_of - START).days
    hops = len(fan_out)
    kinds: dict[Kind, list[Node]] = {
        "customer": nodes_of(subgraph, "customer"),
        "article": nodes_of(subgraph, "article"),
    }
    by_hop = {"customer": subgraph.customers_by_hop, "article": subgraph.articles_by_hop}
    for kind, seeds, places in (
        ("customer", customers, subgraph.seed_customers),
        ("article", articles, subgraph.seed_articles),
    ):
        nodes = kinds[kind]  # type: ignore[index]
        assert len(set(nodes)) == len(nodes)
        # Seeds first, each once, as they were given.
        assert nodes[: by_hop[kind][0]] == list(dict.fromkeys(seeds))
        assert [nodes[place] for place in places.tolist()] == seeds
        assert len(by_hop[kind]) == hops + 1
        assert by_hop[kind][-1] == len(nodes)
        assert list(by_hop[kind]) == sorted(by_hop[kind])
        for start, end in pairwise(by_hop[kind]):
            assert nodes[start:end] == sorted(nodes[start:end])
    met: dict[Kind, set[int]] = {
        kind: set(range(ends[0]))  # type: ignore[misc]
        for kind, ends in by_hop.items()
    }
    for hop in range(hops):
        first_met: dict[Kind, set[int]] = {"customer": set(), "article": set()}
        expansions: list[tuple[Kind, Kind, Adjacency, Edges, int]] = [
            (
                "customer",
                "article",
                graph.articles_of,
                subgraph.customer_edges,
                fan_out[hop].articles_of_customer,
            ),
            (
                "article",
                "customer",
                graph.customers_of,
                subgraph.article_edges,
                fan_out[hop].customers_of_article,
            ),
        ]
        for own, other, side, edges, most in expansions:
            rows = rows_of(edges)
            assert len(rows) == by_hop[own][hops - 1]
            start = by_hop[own][hop - 1] if hop else 0
            for number in range(start, by_hop[own][hop]):
                code, day = kinds[own][number]
                everything = known(side, (code, min(day, limit)))
                found = []
                for column, gap, count in rows[number]:
                    end_code, end_day = kinds[other][column]
                    assert end_day == day  # neighbours inherit the day
                    assert gap >= 1
                    found.append((day - gap, end_code, count))
                    first_met[other].add(column)
                if strategy == "recent":
                    assert found == everything[-most:]
                else:
                    assert len(found) == min(most, len(everything))
                    assert found == sorted(set(found))
                    assert set(found) <= set(everything)
        for kind, new in first_met.items():
            met[kind] |= new
            # A layer's nodes are a prefix, and so are those that they are told by.
            assert met[kind] == set(range(by_hop[kind][hop + 1]))


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Purchase], Seeds, Seeds, list[FanOut], int]:
    day = st.integers(0, DAYS + 1).map(lambda number: FIRST + number)
    customers = st.lists(st.tuples(st.integers(0, 5), day), max_size=6)
    articles = st.lists(st.tuples(st.integers(0, 4), day), max_size=6)
    fan_out = st.lists(
        st.builds(FanOut, st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=3
    )
    return draw(st.tuples(many_purchases(), customers, articles, fan_out, st.integers(0, DAYS)))


@pytest.mark.parametrize("strategy", STRATEGIES)
@given(case=cases())
@settings(max_examples=150, deadline=None)
def test_as_a_naive_version(
    strategy: Strategy, case: tuple[list[Purchase], Seeds, Seeds, list[FanOut], int]
) -> None:
    purchases, customers, articles, fan_out, cut = case
    graph = make_graph(purchases).before(START + timedelta(days=cut))
    subgraph = sample(graph, customers, articles, fan_out, strategy)
    check(graph, subgraph, customers, articles, fan_out, strategy)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_thousand_graphs(strategy: Strategy) -> None:
    """The edge that is predicted is never there, nor what is of its day or later, at any hop."""
    rng = np.random.default_rng(3)
    for seed in range(1000):
        n = int(rng.integers(1, 80))
        purchases = random_purchases(rng, n, 6, 5, days=int(rng.integers(1, DAYS + 1)))
        graph = make_graph(purchases)
        predicted = [purchases[number] for number in rng.integers(0, n, 3)]
        customers = [(customer, FIRST + day) for customer, _, day in predicted]
        articles = [(article, FIRST + day) for _, article, day in predicted]
        fan_out = [FanOut(*rng.integers(1, 6, 2).tolist()) for _ in range(int(rng.integers(1, 4)))]
        subgraph = sample(graph, customers, articles, fan_out, strategy, seed)
        check(graph, subgraph, customers, articles, fan_out, strategy)
        # By what each node was reached with, not by its own day: from seeds one by one.
        for place, (customer, article, day) in enumerate(predicted):
            alone = sample(graph, [customers[place]], [articles[place]], fan_out, strategy, seed)
            bought = {
                (kind, code, alone_day - gap, other)
                for kind, code, alone_day, gap, other in edges_in(alone)
            }
            assert all(when < FIRST + day for _, _, when, _ in bought)
            assert ("customer", customer, FIRST + day, article) not in bought
            assert ("article", article, FIRST + day, customer) not in bought


def edges_in(subgraph: Subgraph) -> list[tuple[str, int, int, int, int]]:
    """Kind, code and day of a node, gap and code of the other end."""
    customers, articles = nodes_of(subgraph, "customer"), nodes_of(subgraph, "article")
    return [
        (kind, *own[number], gap, other[column][0])
        for kind, own, other, edges in (
            ("customer", customers, articles, subgraph.customer_edges),
            ("article", articles, customers, subgraph.article_edges),
        )
        for number, row in enumerate(rows_of(edges))
        for column, gap, _ in row
    ]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_future_changes_nothing(strategy: Strategy) -> None:
    rng = np.random.default_rng(5)
    past = random_purchases(rng, 60, 6, 5, days=6)
    fan_out = [FanOut(3, 3), FanOut(2, 2)]
    seeds = [(code, FIRST + 6) for code in range(5)]
    expected = sample(make_graph(past), seeds, seeds, fan_out, strategy)
    for _ in range(20):
        future = [
            (customer, article, 6 + day % 6)
            for customer, article, day in random_purchases(rng, 30, 6, 5)
        ]
        found = sample(make_graph(past + future), seeds, seeds, fan_out, strategy)
        assert_same(found, expected)


def assert_same(found: Subgraph, expected: Subgraph) -> None:
    for name in Subgraph._fields:
        ours, theirs = getattr(found, name), getattr(expected, name)
        if isinstance(theirs, Edges):
            assert all(torch.equal(*parts) for parts in zip(ours, theirs, strict=True)), name
        elif isinstance(theirs, torch.Tensor):
            assert torch.equal(ours, theirs), name
        else:
            assert ours == theirs, name


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_same_seed_draws_the_same(strategy: Strategy) -> None:
    graph = make_graph(random_purchases(np.random.default_rng(1), 200, 6, 5))
    seeds = [(code, FIRST + DAYS) for code in range(5)]
    first, again, other = (
        sample(graph, seeds, seeds, [FanOut(3, 4)] * 2, strategy, seed) for seed in (1, 1, 2)
    )
    assert_same(first, again)
    assert (strategy == "recent") == torch.equal(
        first.customer_edges.gaps, other.customer_edges.gaps
    )


def test_uniform_covers_all_sets_alike() -> None:
    # A customer with six edges, of which two are drawn: fifteen pairs, some on one day.
    purchases = [
        (0, article, day) for article, day in [(0, 1), (1, 1), (2, 1), (0, 4), (3, 5), (0, 7)]
    ]
    graph = make_graph([*purchases, (0, 1, 8), (0, 2, 9)])
    rng = np.random.default_rng(2)
    draws = 30_000
    found = neighbours_before(
        graph.articles_of, np.zeros(draws, np.int64), np.full(draws, FIRST + 8), 2, rng
    )
    assert (found.lengths == 2).all()
    pairs = found.places.reshape(-1, 2)
    assert (pairs[:, 0] < pairs[:, 1]).all()
    _, times = np.unique(pairs[:, 0] * 6 + pairs[:, 1], return_counts=True)
    assert len(times) == 15
    # Six deviations of a binomial.
    expected = draws / 15
    assert np.abs(times - expected).max() < 6 * np.sqrt(expected)


def test_uniform_takes_all_where_there_are_few() -> None:
    graph = make_graph([(0, article, article) for article in range(4)])
    subgraph = sample(graph, [(0, FIRST + 3)], [], [FanOut(3, 1)], "uniform")
    assert subgraph.articles.tolist() == [0, 1, 2]
    assert subgraph.customer_edges.gaps.tolist() == [3, 2, 1]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("purchases", [[], [(0, 0, 5)]])
def test_nodes_without_neighbours(strategy: Strategy, purchases: list[Purchase]) -> None:
    graph = make_graph(purchases)
    seeds = [(4, FIRST + 5), (0, FIRST + 5)]
    subgraph = sample(graph, seeds, seeds, [FanOut(2, 2)] * 3, strategy)
    assert subgraph.customers_by_hop == subgraph.articles_by_hop == (2, 2, 2, 2)
    assert subgraph.customer_edges.offsets.tolist() == [0, 0, 0]
    assert len(subgraph.article_edges.columns) == 0
    assert_same(subgraph.to(torch.device("cpu")), subgraph)


def test_one_edge() -> None:
    graph = make_graph([(0, 0, 5), (0, 0, 5)])
    subgraph = sample(graph, [(0, FIRST + 6)], [], [FanOut(2, 2)] * 2)
    assert nodes_of(subgraph, "article") == [(0, FIRST + 6)]
    assert rows_of(subgraph.customer_edges) == [[(0, 1, 2)]]
    assert rows_of(subgraph.article_edges) == [[(0, 1, 2)]]
    assert subgraph.articles_by_hop == (0, 1, 1)
    assert subgraph.customers_by_hop == (1, 1, 1)


def test_nothing_is_asked() -> None:
    subgraph = sample(make_graph([(0, 0, 5)]), [], [], [FanOut(2, 2)])
    assert subgraph.customers_by_hop == subgraph.articles_by_hop == (0, 0)
    assert subgraph.customer_edges.offsets.tolist() == [0]


@given(purchases=many_purchases(), day=st.integers(0, DAYS), fan_out=st.integers(1, 4))
def test_edges_of_all_nodes_as_of_a_day(purchases: list[Purchase], day: int, fan_out: int) -> None:
    graph = make_graph(purchases)
    for side in (graph.articles_of, graph.customers_of):
        nodes = np.arange(side.n_nodes)
        rows = rows_of(edges_before(side, nodes, np.full(len(nodes), FIRST + day), fan_out))
        for code, row in enumerate(rows):
            latest = known(side, (code, FIRST + day))[-fan_out:]
            assert row == [(end, FIRST + day - when, count) for when, end, count in latest]


def test_edges_of_the_first_nodes() -> None:
    graph = make_graph(random_purchases(np.random.default_rng(1), 200, 6, 5))
    edges = sample(graph, [(0, FIRST + 9), (1, FIRST + 9)], [], [FanOut(3, 3)] * 2).customer_edges
    assert rows_of(edges.first(1)) == rows_of(edges)[:1]
    assert rows_of(edges.first(0)) == []


def test_days_of_any_time() -> None:
    """Seeds as of long before the shop, and long after its data end."""
    graph = make_graph([(0, 0, 5)])
    subgraph = sample(graph, [(0, -3), (0, 2**31 - 1)], [], [FanOut(1, 1)])
    assert rows_of(subgraph.customer_edges)[0] == []
    assert rows_of(subgraph.customer_edges)[1] == [(0, 2**31 - 1 - FIRST - 5, 1)]


@pytest.mark.parametrize("code", [-1, 6])
def test_unknown_codes_are_told(code: int) -> None:
    with pytest.raises(ValueError, match="customers of this graph have the codes 0 to 5"):
        sample(make_graph([]), [(code, FIRST)], [], [FanOut(1, 1)])


def test_each_seed_has_a_day() -> None:
    sampler = NeighbourSampler(make_graph([]), [FanOut(1, 1)])
    none = np.empty(0, np.int64)
    with pytest.raises(ValueError, match="1 seeds of the kind article have 0 days"):
        sampler.sample(none, none, np.array([0]), none, np.random.default_rng())


@pytest.mark.parametrize("fan_out", [[], [FanOut(1, 0)], [FanOut(2, 2), FanOut(-1, 2)]])
def test_a_fan_out_is_positive(fan_out: list[FanOut]) -> None:
    with pytest.raises(ValueError, match="a fan-out is at least 1"):
        NeighbourSampler(make_graph([]), fan_out)


def test_more_than_a_subgraph_can_hold_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modiste.models.graph.sampling._BITS", 6)
    graph = make_graph(random_purchases(np.random.default_rng(1), 200, 6, 5))
    with pytest.raises(ValueError, match="sample fewer seeds at once"):
        sample(graph, [(0, (AS_OF - START).days + FIRST)], [], [FanOut(5, 5)])
