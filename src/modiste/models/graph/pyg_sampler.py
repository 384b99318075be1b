"""The neighbour sampler as PyTorch Geometric's loaders want one.

PyG's own temporal sampling needs compiled extensions. This one works under its ``NodeLoader`` and
``LinkLoader`` in their place, with any HeteroData that has the two kinds of nodes.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.sampler import (
    BaseSampler,
    EdgeSamplerInput,
    HeteroSamplerOutput,
    NegativeSampling,
    NodeSamplerInput,
)

from modiste.data.days import day_number
from modiste.models.graph.purchase_graph import PurchaseGraph
from modiste.models.graph.sampling import Edges, NeighbourSampler

CUSTOMER, ARTICLE = "customer", "article"

# In PyG an edge leads from the node that tells to the one that is told: what a customer looks at is
# the articles' edges to it.
BOUGHT = (CUSTOMER, "bought", ARTICLE)
BOUGHT_BY = (ARTICLE, "bought_by", CUSTOMER)


def hetero_data(graph: PurchaseGraph) -> HeteroData:
    """The kinds of a graph's nodes and edges, for PyG's loaders; the edges stay in the graph.

    Nodes get features, indexed by code, from whoever has them. Of the edges of a batch, ``e_id`` is
    the place in the graph: those of ``BOUGHT_BY`` in ``articles_of``, of ``BOUGHT`` in
    ``customers_of``.
    """
    data = HeteroData()
    data[CUSTOMER].num_nodes, data[ARTICLE].num_nodes = graph.n_customers, graph.n_articles
    for kind in (BOUGHT, BOUGHT_BY):
        data[kind].edge_index = torch.empty((2, 0), dtype=torch.int64)
    return data


class PurchaseSampler(BaseSampler):  # type: ignore[misc]
    """Neighbourhoods strictly before each seed's time, for PyG's loaders.

    Seeds' times are days since ``EPOCH``. Seeds without a time are sampled as of the graph's date.
    A node of a batch is an article or customer as of a day, so that one code can have several; what
    is drawn depends on the seed and on which seeds a batch has, and not on the worker.

    Parameters
    ----------
    sampler
        Does the work.
    seed
        Of what is drawn: neighbours of the strategy ``uniform``, and negatives.
    """

    def __init__(self, sampler: NeighbourSampler, seed: int = 0) -> None:
        self.sampler, self.seed = sampler, seed

    def sample_from_nodes(self, index: NodeSamplerInput, **_: Any) -> HeteroSamplerOutput:
        """Neighbourhoods of customers or articles.

        Raises
        ------
        ValueError
            When the seeds are of no kind of the graph.
        """
        if index.input_type not in (CUSTOMER, ARTICLE):
            raise ValueError(f"nodes are of the kinds customer and article, not {index.input_type}")
        days = self._days(index.time, len(index.node))
        seeds = {index.input_type: (index.node.numpy(), days)}
        output, at = self._sample(seeds, self._rng(index.input_id))
        nodes = len(torch.unique(at[index.input_type]))
        if nodes < len(days):
            raise ValueError(
                f"{len(days):,} seeds of a batch are only {nodes:,} different ones, and PyG takes "
                "the first nodes of a batch for its seeds: give each node and time once"
            )
        output.metadata = (index.input_id, index.time)
        return output

    def sample_from_edges(
        self, index: EdgeSamplerInput, neg_sampling: NegativeSampling | None = None
    ) -> HeteroSamplerOutput:
        """Neighbourhoods of both ends of edges, and of negatives as of the same days.

        Negatives are drawn by their weights from all of a kind, whether on sale on the day or not.

        Raises
        ------
        ValueError
            When the edges do not lead from customers to articles or back.
        """
        source, _, target = index.input_type or ("", "", "")
        if {source, target} != {CUSTOMER, ARTICLE}:
            raise ValueError(
                f"edges lead from customers to articles or back, not as {index.input_type}"
            )
        rng = self._rng(index.input_id)
        positives, days = len(index.row), self._days(index.time, len(index.row))
        seeds = {source: (index.row.numpy(), days), target: (index.col.numpy(), days)}
        label, time = index.label, index.time
        if neg_sampling is not None:
            negatives = math.ceil(positives * neg_sampling.amount)
            of_kinds = {target: neg_sampling.dst_weight}
            if neg_sampling.is_binary():
                of_kinds[source] = neg_sampling.src_weight
                label = torch.ones(positives) if label is None else label
                label = torch.cat([label, label.new_zeros(negatives, *label.shape[1:])])
                time = None if time is None else torch.cat([time, _repeated(time, negatives)])
            for kind, weight in of_kinds.items():
                codes, _ = seeds[kind]
                drawn = self._negatives(kind, negatives, weight, rng)
                seeds[kind] = np.append(codes, drawn), np.append(days, np.resize(days, negatives))
        output, at = self._sample(seeds, rng)
        if neg_sampling is None or neg_sampling.is_binary():
            at_ends = torch.stack([at[source], at[target]])
            output.metadata = (index.input_id, at_ends, label, time)
        else:
            at_positives, at_negatives = at[target][:positives], at[target][positives:]
            # A row for each edge, or a number where it has one negative: as PyG gives them.
            at_negatives = at_negatives.view(-1, positives).t().squeeze(-1)
            output.metadata = (index.input_id, at[source], at_positives, at_negatives, time)
        return output

    def _sample(
        self, seeds: dict[str, tuple[NDArray[Any], NDArray[np.int64]]], rng: np.random.Generator
    ) -> tuple[HeteroSamplerOutput, dict[str, Tensor]]:
        """Sample for codes and days of each kind; give also the node of each seed, by kind."""
        nothing = np.empty(0, np.int64), np.empty(0, np.int64)
        subgraph, customer_places, article_places = self.sampler.sample_with_places(
            *seeds.get(CUSTOMER, nothing), *seeds.get(ARTICLE, nothing), rng
        )
        to_customers, to_articles = subgraph.customer_edges, subgraph.article_edges
        customers_by_hop, articles_by_hop = subgraph.customers_by_hop, subgraph.articles_by_hop
        output = HeteroSamplerOutput(
            node={CUSTOMER: subgraph.customers, ARTICLE: subgraph.articles},
            row={BOUGHT_BY: to_customers.columns, BOUGHT: to_articles.columns},
            col={BOUGHT_BY: _own_ends(to_customers), BOUGHT: _own_ends(to_articles)},
            edge={
                BOUGHT_BY: torch.from_numpy(customer_places),
                BOUGHT: torch.from_numpy(article_places),
            },
            num_sampled_nodes={
                CUSTOMER: np.diff(customers_by_hop, prepend=0).tolist(),
                ARTICLE: np.diff(articles_by_hop, prepend=0).tolist(),
            },
            num_sampled_edges={
                BOUGHT_BY: _edges_by_hop(to_customers, customers_by_hop),
                BOUGHT: _edges_by_hop(to_articles, articles_by_hop),
            },
        )
        return output, {CUSTOMER: subgraph.seed_customers, ARTICLE: subgraph.seed_articles}

    def _days(self, time: Tensor | None, seeds: int) -> NDArray[np.int64]:
        if time is None:
            return np.full(seeds, day_number(self.sampler.graph.as_of), np.int64)
        days: NDArray[np.int64] = time.numpy().astype(np.int64)
        return days

    def _rng(self, input_id: Tensor) -> np.random.Generator:
        """Draws for a batch, which is known by what it is made of: PyG does not say its number."""
        ids = hashlib.blake2b(input_id.to(torch.int64).numpy().tobytes(), digest_size=16)
        return np.random.default_rng([self.seed, int.from_bytes(ids.digest(), "little")])

    def _negatives(
        self, kind: str, n: int, weight: Tensor | None, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Codes of a kind, drawn by weights if there are any."""
        graph = self.sampler.graph
        nodes = graph.n_customers if kind == CUSTOMER else graph.n_articles
        if weight is None:
            return rng.integers(0, nodes, n)
        if len(weight) != nodes:
            raise ValueError(f"{len(weight):,} weights of negatives for {nodes:,} {kind}s")
        ends = np.cumsum(weight.numpy().astype(np.float64))
        codes: NDArray[np.int64] = np.searchsorted(ends, rng.random(n) * ends[-1], side="right")
        return codes


def _repeated(values: Tensor, n: int) -> Tensor:
    """The values, again and again, until they are so many."""
    return values.repeat(-(-n // max(len(values), 1)))[:n]


def _own_ends(edges: Edges) -> Tensor:
    """The node that each edge is of."""
    return torch.repeat_interleave(edges.offsets.diff())


def _edges_by_hop(edges: Edges, nodes_by_hop: tuple[int, ...]) -> list[int]:
    """How many edges each hop added."""
    ends = edges.offsets[list(nodes_by_hop[:-1])].numpy()
    added: list[int] = np.diff(ends, prepend=0).tolist()
    return added
