"""GraphSAGE on the graph of customers and articles, as of a day.

Hamilton, Ying & Leskovec, "Inductive Representation Learning on Large Graphs" (NeurIPS 2017): a
node is what is known of it, and what is known of its neighbours. Nothing is learned for a single
customer, so that a new one, or a new purchase, needs no training.

    customer:   c_0 = attributes
    article:    a_0 = id + attributes + W content                              dropout
    layer l:    c_l = c_(l-1) + f(c_(l-1), neighbours' a_(l-1))     articles that it bought
                a_l = a_(l-1) + f(a_(l-1), neighbours' c_(l-1))     customers that bought it
    score:      s(c, a) = norm(c_L) · a_L

What neighbours say is a weighted mean. The weights are those of graph attention (Veličković et al.,
"Graph Attention Networks", ICLR 2018) with the days that have passed since the purchase in the
place of the asking node: each head learns how fast it forgets, and what it looks for.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from modiste.models.graph.sage_settings import GraphSAGESettings
from modiste.models.graph.sampling import Edges, Subgraph
from modiste.models.learning.dropout import Dropout

# Gaps of 2 ** 11 days and more are one bucket.
_GAP_BUCKETS = 12

_INITIAL_DEVIATION = 0.02

# How much of what neighbours say is added as it is: a customer begins as the mean of the articles
# that it bought, as in LightGCN, and scores are of the size of a logarithm.
_DIRECT = 0.1

# Of two factors, gathered at once: what fits a core's cache.
_EDGES_IN_A_BLOCK = 4096


class States(NamedTuple):
    """Vectors of nodes of both kinds.

    Attributes
    ----------
    customers, articles
        float32, shape (nodes, dimensions).
    """

    customers: Tensor
    articles: Tensor


class Told(NamedTuple):
    """What nodes have to say to their neighbours.

    Attributes
    ----------
    states
        float32, shape (nodes, dimensions).
    attention
        float32, shape (nodes, heads): how much each is listened to.
    """

    states: Tensor
    attention: Tensor


class ArticleInputs(nn.Module):
    """What is known of articles by themselves: ids, attributes, content.

    Parameters
    ----------
    settings
        Shape of the network.
    values
        int64, shape (n_articles, any): numbers of the articles' attribute values, from 0; an
        article's row is its code.
    content
        float32, shape (n_articles, any): vectors of the articles' content, which are not trained
        but whose projection is; None: articles are known by code and attributes alone.
    """

    values: Tensor
    content: Tensor | None

    def __init__(
        self, settings: GraphSAGESettings, values: Tensor, content: Tensor | None = None
    ) -> None:
        super().__init__()
        width = settings.dimensions
        self.without_id = settings.without_id
        n_values = int(values.max()) + 1 if values.numel() else 1
        self.ids = nn.Embedding(len(values), width)
        self.attributes = nn.EmbeddingBag(n_values, width, mode="sum")
        # Not part of the weights: they are stored where they were made.
        self.register_buffer("values", values, persistent=False)
        self.register_buffer("content", content, persistent=False)
        self.project = (
            nn.Linear(content.shape[1], width, bias=False) if content is not None else None
        )
        self.dropout = Dropout(settings.dropout)
        _initialise(self)

    def forward(self, articles: Tensor) -> Tensor:
        """Vectors, float32, shape (n, dimensions), of articles by their codes, int64."""
        vectors: Tensor = self.ids(articles)
        if self.training and self.without_id:
            kept = torch.rand(len(vectors), 1, device=vectors.device) >= self.without_id
            vectors = vectors * kept
        if self.values.shape[1]:
            vectors = vectors + self.attributes(self.values[articles])
        if self.project is not None and self.content is not None:
            vectors = vectors + self.project(functional.embedding(articles, self.content))
        dropped: Tensor = self.dropout(vectors)
        return dropped


class GraphSAGE(nn.Module):
    """Vectors of customers and articles from their neighbourhoods.

    Parameters
    ----------
    settings
        Shape of the network.
    customer_values
        How many values the customers' attributes have.
    articles
        What is known of articles by themselves; None: :meth:`forward` is given it. A trained
        network needs their vectors only.
    """

    def __init__(
        self,
        settings: GraphSAGESettings,
        customer_values: int,
        articles: ArticleInputs | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings
        width = settings.dimensions
        self.articles = articles
        self.attributes = nn.EmbeddingBag(max(customer_values, 1), width, mode="sum")
        self.dropout = Dropout(settings.dropout)
        self._layers = nn.ModuleList(Layer(settings) for _ in range(settings.layers))
        self.norm = nn.LayerNorm(width)
        _initialise(self.attributes)

    @property
    def layers(self) -> list[Layer]:
        """The layers, the first one first."""
        return cast(list[Layer], list(self._layers))

    def customer_inputs(self, values: Tensor) -> Tensor:
        """What is known of customers by themselves.

        Parameters
        ----------
        values
            int64, shape (n, any): numbers of their attributes' values.

        Returns
        -------
        float32, shape (n, dimensions).
        """
        if not values.shape[1]:
            return torch.zeros(len(values), self.settings.dimensions, device=values.device)
        dropped: Tensor = self.dropout(self.attributes(values))
        return dropped

    def forward(self, subgraph: Subgraph, customer_values: Tensor) -> States:
        """Final vectors of the nodes that a subgraph was sampled for.

        Parameters
        ----------
        subgraph
            Sampled for as many hops as there are layers.
        customer_values
            int64, shape (customers of the subgraph, any): numbers of their attributes' values.

        Returns
        -------
        Vectors of the seeds; the inner product of a customer's and an article's is a score.
        """
        assert self.articles is not None  # a trained network is asked layer by layer
        states = States(self.customer_inputs(customer_values), self.articles(subgraph.articles))
        for layer, hop in zip(self.layers, reversed(range(len(self.layers))), strict=True):
            n_customers, n_articles = subgraph.customers_by_hop[hop], subgraph.articles_by_hop[hop]
            states = States(
                layer.customers(
                    states.customers,
                    layer.customers.told(states.articles),
                    subgraph.customer_edges.first(n_customers),
                ),
                layer.articles(
                    states.articles,
                    layer.articles.told(states.customers),
                    subgraph.article_edges.first(n_articles),
                ),
            )
        return States(self.norm(states.customers), states.articles)


def _initialise(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, nn.Embedding | nn.EmbeddingBag):
            nn.init.normal_(part.weight, std=_INITIAL_DEVIATION)


class Layer(nn.Module):
    """One step of both kinds' nodes towards what their neighbours are."""

    def __init__(self, settings: GraphSAGESettings) -> None:
        super().__init__()
        self.customers, self.articles = Convolution(settings), Convolution(settings)


class Convolution(nn.Module):
    """One kind's nodes, told of by the other kind's."""

    def __init__(self, settings: GraphSAGESettings) -> None:
        super().__init__()
        width, self.heads = settings.dimensions, settings.heads
        self.own_norm, self.their_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attend = nn.Linear(width, self.heads, bias=False)
        self.forget = nn.Parameter(torch.zeros(_GAP_BUCKETS, self.heads))
        self.direct = nn.Parameter(torch.full((width,), _DIRECT))
        self.own = nn.Linear(width, width)
        self.theirs = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.dropout = Dropout(settings.dropout)
        nn.init.zeros_(self.attend.weight)
        # At first a node is what is known of it by itself: scores begin small.
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def told(self, others: Tensor) -> Told:
        """What the other kind's nodes have to say, float32, shape (others, dimensions)."""
        states = self.their_norm(others)
        return Told(states, self.attend(states))

    def forward(self, own: Tensor, told: Told, edges: Edges) -> Tensor:
        """New states of those nodes that edges are given for, the first of ``own``.

        Parameters
        ----------
        own
            float32, shape (nodes, dimensions): this kind's nodes.
        told
            By the other kind's nodes.
        edges
            From nodes to others.
        """
        own = own[: len(edges.offsets) - 1]
        weights = self._weights(told.attention, edges)
        said: Tensor = _WeightedSum.apply(  # type: ignore[no-untyped-call]
            told.states, weights, edges.columns, edges.offsets
        )
        hidden = functional.gelu(self.own(self.own_norm(own)) + self.theirs(said))
        moved: Tensor = own + self.direct * said + self.dropout(self.out(hidden))
        return moved

    def _weights(self, attention: Tensor, edges: Edges) -> Tensor:
        """Weights of the edges: shape (edges, heads), adding up to 1 for each node."""
        bucket = edges.gaps.clamp(min=1).log2().to(torch.int64).clamp(max=_GAP_BUCKETS - 1)
        scores = functional.embedding(bucket, self.forget)
        scores = scores + functional.embedding(edges.columns, attention)
        scores = (scores - scores.detach().amax(0, keepdim=True)) if len(scores) else scores
        weights = scores.exp() * edges.counts.to(scores.dtype)[:, None]
        rows = _rows(edges.offsets, len(edges.columns))
        total = weights.new_full((len(edges.offsets) - 1, self.heads), 1e-20)
        total = total.index_add(0, rows, weights)
        return weights / functional.embedding(rows, total)


class _WeightedSum(torch.autograd.Function):
    """Sum of the neighbours' states times the edges' weights, head by head.

    Of others' states, shape (others, dimensions), and weights, shape (edges, heads), it gives shape
    (nodes, dimensions); zeros where a node has no neighbours. PyTorch's ``embedding_bag`` is the
    fast way forward on a CPU, and slow on the way back: there the edges are sorted by the other
    end, and it is the way forward once more.
    """

    @staticmethod
    def forward(
        ctx: Any, others: Tensor, weights: Tensor, columns: Tensor, offsets: Tensor
    ) -> Tensor:
        ctx.save_for_backward(others, weights, columns, offsets)
        return _sum_by_head(others, weights, columns, offsets)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        others, weights, columns, offsets = ctx.saved_tensors
        rows = _rows(offsets, len(columns))
        order = torch.argsort(columns, stable=True)
        ends = torch.bincount(columns, minlength=len(others)).cumsum(0)
        of_others = _sum_by_head(
            gradient.contiguous(),
            weights[order],
            rows[order],
            torch.cat([ends.new_zeros(1), ends]),
        )
        of_weights = torch.empty_like(weights)
        for first in range(0, len(columns), _EDGES_IN_A_BLOCK):
            block = slice(first, first + _EDGES_IN_A_BLOCK)
            products = gradient[rows[block]] * others[columns[block]]
            of_weights[block] = products.unflatten(1, (weights.shape[1], -1)).sum(-1)
        return of_others, of_weights, None, None


def _sum_by_head(table: Tensor, weights: Tensor, columns: Tensor, offsets: Tensor) -> Tensor:
    """Each head's part of the table's rows, times its weights, added up between the offsets."""
    heads, edges, width = weights.shape[1], len(columns), table.shape[1]
    head = torch.arange(heads, device=columns.device)[:, None]
    sums = functional.embedding_bag(
        (columns * heads + head).flatten(),
        table.reshape(-1, width // heads),
        torch.cat([(offsets[:-1] + head * edges).flatten(), offsets.new_tensor([heads * edges])]),
        mode="sum",
        per_sample_weights=weights.t().flatten(),
        include_last_offset=True,
    )
    return sums.view(heads, -1, width // heads).transpose(0, 1).flatten(1)


def _rows(offsets: Tensor, edges: int) -> Tensor:
    """The node of each edge: int64, shape (edges,)."""
    nodes = torch.arange(len(offsets) - 1, device=offsets.device)
    return torch.repeat_interleave(nodes, offsets.diff(), output_size=edges)
