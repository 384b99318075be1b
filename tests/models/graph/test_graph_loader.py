"""Batches through PyG's loaders: the same for any workers, and what PyG promises its users."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.data import HeteroData
from torch_geometric.loader import LinkLoader, NodeLoader
from torch_geometric.sampler import NegativeSampling

from graphs import AS_OF, DAYS, FIRST, START, make_graph, random_purchases
from modiste.models.graph.loader import (
    Batch,
    Further,
    training_batches,
    training_order,
)
from modiste.models.graph.purchase_graph import PurchaseGraph
from modiste.models.graph.purchases import Purchases, predictable, purchases_of
from modiste.models.graph.pyg_sampler import (
    ARTICLE,
    BOUGHT,
    BOUGHT_BY,
    CUSTOMER,
    PurchaseSampler,
    hetero_data,
)
from modiste.models.graph.sampling import Edges, FanOut, NeighbourSampler, Strategy
from modiste.models.learning.popularity_prior import PopularityPrior

CUSTOMERS, ARTICLES = 60, 40
FAN_OUT = [FanOut(4, 3), FanOut(3, 2)]
STRATEGIES: tuple[Strategy, ...] = ("recent", "uniform")


@pytest.fixture(scope="module")
def graph() -> PurchaseGraph:
    purchases = random_purchases(np.random.default_rng(0), 900, CUSTOMERS - 1, ARTICLES - 1)
    return make_graph(purchases, CUSTOMERS, ARTICLES)


def draw_articles(purchases: Purchases, rng: np.random.Generator) -> Further:
    return Further(
        rng.integers(0, ARTICLES, 5),
        rng.choice(purchases.days, 5),
        rng.random(5).astype(np.float32),
    )


def batches(graph: PurchaseGraph, **changed: Any) -> list[Batch]:
    strategy = changed.pop("strategy", "uniform")
    given = {"batch": 64, "seed": 1, "epoch": 0, "draw_further": draw_articles, **changed}
    sampler = NeighbourSampler(graph, FAN_OUT, strategy)
    return list(training_batches(sampler, purchases_of(graph), **given))


def flat(value: Any) -> list[Any]:
    """All that a batch consists of."""
    if isinstance(value, tuple):
        return [each for part in value for each in flat(part)]
    return [value.tolist() if isinstance(value, torch.Tensor) else value]


def test_all_purchases_before_the_date(graph: PurchaseGraph) -> None:
    cut = START + timedelta(days=9)
    for view, last, days in ((graph, None, range(DAYS)), (graph.before(cut), 5, range(4, 9))):
        found = purchases_of(view, last)
        edges = graph.articles_of
        expected = [
            (customer, int(edges.neighbours[place]), int(edges.days[place]))
            for customer in range(CUSTOMERS)
            for place in range(edges.offsets[customer], edges.offsets[customer + 1])
            if edges.days[place] - FIRST in days
        ]
        assert list(zip(found.customers, found.articles, found.days, strict=True)) == expected


@pytest.mark.parametrize("days", [2, 3, 7, 100])
def test_periods_begin_before_what_they_hold(graph: PurchaseGraph, days: int) -> None:
    every, found = purchases_of(graph), purchases_of(graph, period_days=days)
    end = FIRST + DAYS
    starts = [end - -(-(end - day) // days) * days for day in every.days.tolist()]
    expected = sorted(
        set(zip(every.customers.tolist(), starts, every.articles.tolist(), strict=True))
    )
    rows = (found.customers.tolist(), found.days.tolist(), found.articles.tolist())
    assert list(zip(*rows, strict=True)) == expected


def test_what_can_be_predicted(graph: PurchaseGraph) -> None:
    """Whoever bought before, and what had a share in the latest period that began by then."""
    log_share = np.full((2, ARTICLES), -np.inf, dtype=np.float32)
    log_share[0], log_share[1, ::2] = -3, -2
    prior = PopularityPrior(np.array([np.iinfo(np.int64).min, FIRST + 6]), log_share)
    purchases = purchases_of(graph)
    firsts: dict[int, int] = {}
    for customer, day in zip(purchases.customers.tolist(), purchases.days.tolist(), strict=True):
        firsts[customer] = min(firsts.get(customer, day), day)
    expected = [
        firsts[customer] < day and (day < FIRST + 6 or article % 2 == 0)
        for customer, article, day in zip(
            purchases.customers.tolist(),
            purchases.articles.tolist(),
            purchases.days.tolist(),
            strict=True,
        )
    ]
    assert predictable(purchases, graph, prior).tolist() == expected
    assert 0 < sum(expected) < len(expected)


def test_an_order_is_of_all_and_by_day(graph: PurchaseGraph) -> None:
    days = purchases_of(graph).days
    order = training_order(days, seed=1, epoch=0)
    assert sorted(order.tolist()) == list(range(len(days)))
    assert np.count_nonzero(np.diff(days[order])) == DAYS - 1
    assert np.array_equal(order, training_order(days, seed=1, epoch=0))
    for seed, epoch in ((1, 1), (2, 0)):
        assert not np.array_equal(order, training_order(days, seed, epoch))


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_do_not_matter(graph: PurchaseGraph, workers: int, strategy: Strategy) -> None:
    alone = batches(graph, strategy=strategy)
    assert flat(tuple(batches(graph, strategy=strategy, workers=workers))) == flat(tuple(alone))


def test_a_batch_is_a_function_of_seed_epoch_and_number(graph: PurchaseGraph) -> None:
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002  (which must not matter)
    first = flat(tuple(batches(graph)))
    assert flat(tuple(batches(graph))) == first
    assert flat(tuple(batches(graph, epoch=1))) != first
    assert flat(tuple(batches(graph, seed=2))) != first


def test_a_loader_leaves_the_global_generator_alone(graph: PurchaseGraph) -> None:
    torch.manual_seed(3)
    state = torch.get_rng_state()
    batches(graph)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("start", [1, 5, 13, 14, 99])
def test_goes_on_at_any_step(graph: PurchaseGraph, start: int, workers: int) -> None:
    everything = batches(graph)
    assert len(everything) == 14
    rest = batches(graph, start=start, workers=workers)
    assert flat(tuple(rest)) == flat(tuple(everything[start:]))


def test_what_a_batch_holds(graph: PurchaseGraph) -> None:
    purchases = purchases_of(graph)
    seen: list[int] = []
    for batch in batches(graph):
        own = purchases.only(batch.purchases.numpy())
        seen += batch.purchases.tolist()
        subgraph = batch.subgraph
        assert subgraph.customers[batch.customers].tolist() == own.customers.tolist()
        assert subgraph.articles[batch.articles].tolist() == own.articles.tolist()
        assert subgraph.customer_days[batch.customers].tolist() == own.days.tolist()
        assert subgraph.article_days[batch.articles].tolist() == own.days.tolist()
        assert len(batch.further) == 5
        assert set(subgraph.article_days[batch.further].tolist()) <= set(own.days.tolist())
        assert (subgraph.customer_edges.gaps > 0).all()
        assert (subgraph.article_edges.gaps > 0).all()
    assert sorted(seen) == list(range(len(purchases)))


def test_no_further_articles_and_no_purchases(graph: PurchaseGraph) -> None:
    assert all(len(batch.further) == 0 for batch in batches(graph, draw_further=None))
    assert batches(graph.before(START)) == []


def check_pyg_batch(graph: PurchaseGraph, batch: HeteroData) -> None:
    """Edges of a batch by the ids that it gives, in the graph."""
    for kind, own, other, side in (
        (BOUGHT_BY, CUSTOMER, ARTICLE, graph.articles_of),
        (BOUGHT, ARTICLE, CUSTOMER, graph.customers_of),
    ):
        rows, columns = batch[kind].edge_index.numpy()
        places = batch[kind].e_id.numpy()
        assert np.array_equal(batch[other].n_id.numpy()[rows], side.neighbours[places])
        owners = np.searchsorted(side.offsets, places, side="right") - 1
        assert np.array_equal(batch[own].n_id.numpy()[columns], owners)
        assert sum(batch[kind].num_sampled_edges) == len(places)
        assert sum(batch[own].num_sampled_nodes) == len(batch[own].n_id)
        # Features come by code.
        assert torch.equal(batch[own].x[:, 0], batch[own].n_id)


def data_of(graph: PurchaseGraph) -> HeteroData:
    data = hetero_data(graph)
    data[CUSTOMER].x = torch.arange(CUSTOMERS)[:, None]
    data[ARTICLE].x = torch.arange(ARTICLES)[:, None]
    return data


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(("kind", "n"), [(CUSTOMER, CUSTOMERS), (ARTICLE, ARTICLES)])
def test_under_a_node_loader(
    graph: PurchaseGraph, kind: str, n: int, workers: int, strategy: Strategy
) -> None:
    sampler = PurchaseSampler(NeighbourSampler(graph, FAN_OUT, strategy))
    times = torch.from_numpy(np.random.default_rng(0).integers(FIRST, FIRST + DAYS, n))
    codes = torch.arange(n).flip(0)
    loader = NodeLoader(
        data_of(graph),
        sampler,
        input_nodes=(kind, codes),
        input_time=times,
        batch_size=64,
        num_workers=workers,
    )
    (batch,) = loader
    check_pyg_batch(graph, batch)
    assert batch[kind].batch_size == n
    assert torch.equal(batch[kind].n_id[:n], codes)
    assert torch.equal(batch[kind].seed_time, times)
    edges, side = (
        (BOUGHT_BY, graph.articles_of) if kind == CUSTOMER else (BOUGHT, graph.customers_of)
    )
    of_seeds = batch[edges].edge_index[1] < n
    days = torch.from_numpy(side.days[batch[edges].e_id[of_seeds].numpy()])
    assert (days < times[batch[edges].edge_index[1][of_seeds]]).all()


def test_seeds_without_a_time_are_as_of_the_date(graph: PurchaseGraph) -> None:
    sampler = PurchaseSampler(NeighbourSampler(graph, FAN_OUT))
    loader = NodeLoader(data_of(graph), sampler, input_nodes=CUSTOMER, batch_size=64)
    (batch,) = loader
    as_of = np.full(CUSTOMERS, (AS_OF - START).days + FIRST)
    none = np.empty(0, np.int64)
    expected = sampler.sampler.sample(
        np.arange(CUSTOMERS), as_of, none, none, np.random.default_rng()
    )
    assert torch.equal(batch[ARTICLE].n_id, expected.articles)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("turned", [False, True])
def test_under_a_link_loader(graph: PurchaseGraph, turned: bool, strategy: Strategy) -> None:
    purchases = purchases_of(graph)
    ends = torch.from_numpy(np.stack([purchases.customers, purchases.articles]).astype(np.int64))
    times = torch.from_numpy(purchases.days)
    labels = torch.arange(len(purchases))

    def loader(workers: int) -> LinkLoader:
        return LinkLoader(
            data_of(graph),
            PurchaseSampler(NeighbourSampler(graph, FAN_OUT, strategy), seed=4),
            edge_label_index=(BOUGHT_BY, ends.flip(0)) if turned else (BOUGHT, ends),
            edge_label=labels,
            edge_label_time=times,
            batch_size=100,
            num_workers=workers,
        )

    alone = list(loader(0))
    kind = BOUGHT_BY if turned else BOUGHT
    for batch, beside in zip(alone, loader(2), strict=True):
        check_pyg_batch(graph, batch)
        at = batch[kind].edge_label_index
        number = batch[kind].edge_label
        codes = torch.stack([batch[kind[0]].n_id[at[0]], batch[kind[2]].n_id[at[1]]])
        assert torch.equal(codes.flip(0) if turned else codes, ends[:, number])
        assert torch.equal(batch[kind].edge_label_time, times[number])
        for name in (BOUGHT, BOUGHT_BY):
            assert torch.equal(batch[name].edge_index, beside[name].edge_index)
            assert torch.equal(batch[name].e_id, beside[name].e_id)


@pytest.mark.parametrize("amount", [1, 3])
def test_negatives_of_a_link_loader(graph: PurchaseGraph, amount: int) -> None:
    purchases = purchases_of(graph)
    ends = torch.from_numpy(np.stack([purchases.customers, purchases.articles]).astype(np.int64))
    weight = torch.zeros(ARTICLES)
    weight[[3, 5]] = torch.tensor([1.0, 2.0])

    def first_batch(negatives: NegativeSampling) -> HeteroData:
        loader = LinkLoader(
            data_of(graph),
            PurchaseSampler(NeighbourSampler(graph, FAN_OUT)),
            edge_label_index=(BOUGHT, ends),
            edge_label_time=torch.from_numpy(purchases.days),
            neg_sampling=negatives,
            batch_size=64,
        )
        return next(iter(loader))

    batch = first_batch(NegativeSampling("triplet", amount, dst_weight=weight))
    check_pyg_batch(graph, batch)
    assert torch.equal(batch[CUSTOMER].n_id[batch[CUSTOMER].src_index], ends[0, :64])
    assert torch.equal(batch[ARTICLE].n_id[batch[ARTICLE].dst_pos_index], ends[1, :64])
    drawn = batch[ARTICLE].n_id[batch[ARTICLE].dst_neg_index]
    assert drawn.shape == ((64,) if amount == 1 else (64, amount))
    assert set(drawn.flatten().tolist()) == {3, 5}
    batch = first_batch(NegativeSampling("binary", amount))
    check_pyg_batch(graph, batch)
    n = 64 * (1 + amount)
    assert batch[BOUGHT].edge_label.tolist() == [1.0] * 64 + [0.0] * (n - 64)
    assert batch[BOUGHT].edge_label_index.shape == (2, n)
    assert torch.equal(
        batch[BOUGHT].edge_label_time,
        torch.from_numpy(purchases.days[:64]).repeat(1 + amount),
    )


def test_what_pyg_cannot_ask_is_told(graph: PurchaseGraph) -> None:
    sampler = PurchaseSampler(NeighbourSampler(graph, FAN_OUT))
    data = data_of(graph)
    twice = NodeLoader(data, sampler, input_nodes=(CUSTOMER, torch.tensor([1, 1])), batch_size=2)
    with pytest.raises(ValueError, match="give each node and time once"):
        list(twice)
    data["shop"].num_nodes = 3
    with pytest.raises(ValueError, match="customer and article, not shop"):
        list(NodeLoader(data, sampler, input_nodes="shop"))
    links = (CUSTOMER, "knows", CUSTOMER), torch.zeros((2, 1), dtype=torch.int64)
    data[links[0]].edge_index = links[1]
    with pytest.raises(ValueError, match="from customers to articles or back"):
        list(LinkLoader(data, sampler, edge_label_index=links))
    weights = NegativeSampling("triplet", 1, dst_weight=torch.ones(3))
    with pytest.raises(ValueError, match="3 weights of negatives for 40 articles"):
        list(LinkLoader(data, sampler, (BOUGHT, links[1]), neg_sampling=weights))


def test_a_batch_is_told_from_edges(graph: PurchaseGraph) -> None:
    """What PyG's own loader makes of the sampler is the subgraph that training gets."""
    (batch, *_) = batches(graph, strategy="recent", draw_further=None)
    own = purchases_of(graph).only(batch.purchases.numpy())
    loader = LinkLoader(
        data_of(graph),
        PurchaseSampler(NeighbourSampler(graph, FAN_OUT)),
        edge_label_index=(
            BOUGHT,
            torch.from_numpy(np.stack([own.customers, own.articles]).astype(np.int64)),
        ),
        edge_label_time=torch.from_numpy(own.days),
        batch_size=64,
    )
    (other,) = loader
    edges: Edges = batch.subgraph.customer_edges
    assert torch.equal(other[BOUGHT_BY].edge_index[0], edges.columns)
    assert torch.equal(other[CUSTOMER].n_id, batch.subgraph.customers)
    assert torch.equal(
        other[BOUGHT].edge_label_index, torch.stack([batch.customers, batch.articles])
    )
