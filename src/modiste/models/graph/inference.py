"""States of all nodes as of a day, layer by layer: each is computed once, however many ask for it.

A node's neighbours are the latest, those that training looks at; all of them, where training draws
some at random. So a state is what the network gives for a subgraph sampled for that node alone, but
a layer costs one pass over the edges, where subgraphs would be computed anew for every node that
they are part of.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from modiste.data.days import day_number
from modiste.models.graph.purchase_graph import Adjacency, PurchaseGraph
from modiste.models.graph.sage import Convolution, GraphSAGE, Told
from modiste.models.graph.sampling import edges_before
from modiste.models.learning.evaluating import evaluating

# Nodes whose states are computed at once: of 128 dimensions and 20 neighbours, some 100 MiB.
_NODES_IN_A_BLOCK = 1 << 14


def article_states(
    network: GraphSAGE,
    inputs: NDArray[np.float32],
    graph: PurchaseGraph,
    customer_values: NDArray[np.int32],
) -> list[NDArray[np.float32]]:
    """States of all articles after each layer, as of the graph's date.

    Parameters
    ----------
    network
        Trained.
    inputs
        float32, shape (n_articles, dimensions): what is known of articles by themselves.
    graph
        What was bought.
    customer_values
        Shape (n_customers, any): numbers of the customers' attribute values.

    Returns
    -------
    As many as there are layers and one more, the inputs first; float32, shape (n_articles,
    dimensions).
    """
    day, shape = day_number(graph.as_of), network.settings
    articles = [inputs]
    some = shape.neighbours == "recent"
    of_articles = _Hop(
        graph.customers_of,
        np.arange(graph.n_articles),
        day,
        shape.customers_of_article if some else None,
    )
    of_customers = _Hop(
        graph.articles_of,
        np.arange(graph.n_customers),
        day,
        shape.articles_of_customer if some else None,
    )
    with evaluating(network):
        customers = _customer_inputs(network, customer_values)
        for number, layer in enumerate(network.layers, 1):
            before = articles[-1]
            articles.append(
                of_articles.states(layer.articles, before, _told(layer.articles, customers))
            )
            if number < shape.layers:
                customers = of_customers.states(
                    layer.customers, customers, _told(layer.customers, before)
                )
    return articles


class CustomerEncoder:
    """Vectors of any customers, from what they bought and the articles' states, in milliseconds.

    Parameters
    ----------
    network
        Trained.
    articles
        The articles' states, as :func:`article_states` gives them.
    """

    def __init__(self, network: GraphSAGE, articles: list[NDArray[np.float32]]) -> None:
        self._network = network
        with evaluating(network):
            self._told = [
                _told(layer.customers, states)
                for layer, states in zip(network.layers, articles, strict=False)
            ]

    def vectors(
        self,
        purchases: Adjacency,
        rows: NDArray[np.int64],
        day: int,
        values: NDArray[np.int32],
    ) -> NDArray[np.float32]:
        """Final vectors as of a day.

        Parameters
        ----------
        purchases
            Articles of customers.
        rows
            int64, shape (n,): whose vectors are wanted, by their rows in it.
        day
            Nothing of this day or later is looked at.
        values
            Shape (n, any): numbers of their attribute values.

        Returns
        -------
        float32, shape (n, dimensions).
        """
        network, shape = self._network, self._network.settings
        some = shape.neighbours == "recent"
        hop = _Hop(purchases, rows, day, shape.articles_of_customer if some else None)
        with evaluating(network):
            customers = _customer_inputs(network, values)
            for layer, told in zip(network.layers, self._told, strict=True):
                customers = hop.states(layer.customers, customers, told)
            states = torch.from_numpy(customers).to(network.norm.weight.device)
            vectors: NDArray[np.float32] = network.norm(states).cpu().numpy()
        return vectors


class _Hop:
    """The neighbours of some nodes of one kind that are looked at; without a fan-out, all."""

    def __init__(
        self, adjacency: Adjacency, nodes: NDArray[np.int64], day: int, fan_out: int | None
    ) -> None:
        self._adjacency, self._nodes, self._day = adjacency, nodes, day
        self._fan_out = np.iinfo(np.int64).max if fan_out is None else fan_out

    def states(
        self, convolution: Convolution, own: NDArray[np.float32], told: Told
    ) -> NDArray[np.float32]:
        """The nodes' next states, block by block."""
        after, device = np.empty_like(own), told.states.device
        for first in range(0, len(own), _NODES_IN_A_BLOCK):
            block = slice(first, first + _NODES_IN_A_BLOCK)
            nodes = self._nodes[block]
            days = np.full(len(nodes), self._day)
            edges = edges_before(self._adjacency, nodes, days, self._fan_out)
            states = torch.from_numpy(own[block]).to(device)
            after[block] = convolution(states, told, edges.to(device)).cpu().numpy()
        return after


def _told(convolution: Convolution, states: NDArray[np.float32]) -> Told:
    device = convolution.forget.device
    told: Told = convolution.told(torch.from_numpy(states).to(device))
    return told


def _customer_inputs(network: GraphSAGE, values: NDArray[np.int32]) -> NDArray[np.float32]:
    inputs = np.empty((len(values), network.settings.dimensions), dtype=np.float32)
    for first in range(0, len(values), _NODES_IN_A_BLOCK):
        block = slice(first, first + _NODES_IN_A_BLOCK)
        of_block = torch.from_numpy(values[block].astype(np.int64)).to(network.norm.weight.device)
        inputs[block] = network.customer_inputs(of_block).cpu().numpy()
    return inputs
