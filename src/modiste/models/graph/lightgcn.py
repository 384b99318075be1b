"""LightGCN: vectors of customers and articles, smoothed along the graph's edges.

He et al., "LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation", SIGIR
2020. All that is learned is a vector for each node. A layer replaces each vector by the sum of its
neighbours', each divided by the root of both degrees; what is scored are means over the layers,
the vectors themselves included. That is a product with one sparse symmetric matrix, so its gradient
is the same product, and both are a sum over rows of an embedding table, which PyTorch has a fast
kernel for on CPUs.

Beside the paper's BPR there is softmax over sampled articles (Wu et al., "On the Effectiveness of
Sampled Softmax Loss for Item Recommendation", TOIS 2024), of cosines with a temperature, and a
start from the singular vectors of the normalised matrix. A step can hide its own edges from the
network, which otherwise sees what it is to predict.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack
from torch import Tensor, nn
from torch.nn import functional

from modiste.errors import DataError
from modiste.models.graph.lightgcn_settings import LightGCNSettings, LightGCNTraining
from modiste.models.graph.sampling import some_of_rows
from modiste.models.graph.spectral import normalised, singular_vectors
from modiste.models.learning.epochs import Epoch
from modiste.models.learning.loop import shuffled, slices, some_of, train_task
from modiste.models.learning.losses import (
    SharedArticles,
    bayesian_personalised_ranking,
    columns_of,
    softmax_cross_entropy,
)
from modiste.models.learning.negatives import Uniform


class Edges(NamedTuple):
    """A sparse matrix of nodes by nodes, row by row.

    Attributes
    ----------
    offsets
        int64, shape (n_rows + 1,): row ``r`` has the edges ``offsets[r]`` to ``offsets[r + 1]``.
    columns
        int64, shape (n_edges,).
    weights
        float32, shape (n_edges,).
    """

    offsets: Tensor
    columns: Tensor
    weights: Tensor

    @classmethod
    def of(cls, matrix: csr_matrix) -> Edges:
        """Those of a matrix."""
        return cls(
            torch.from_numpy(matrix.indptr.astype(np.int64)),
            torch.from_numpy(matrix.indices.astype(np.int64)),
            torch.from_numpy(matrix.data.astype(np.float32)),
        )

    def to(self, device: torch.device) -> Edges:
        """The same on a device."""
        return Edges(*(part.to(device) for part in self))

    def times(self, vectors: Tensor) -> Tensor:
        """The matrix's product with vectors, without a gradient: shape (n_rows, d)."""
        product: Tensor = functional.embedding_bag(
            self.columns,
            vectors,
            self.offsets,
            mode="sum",
            per_sample_weights=self.weights,
            include_last_offset=True,
        )
        return product


class Along(NamedTuple):
    """What vectors are passed along.

    Attributes
    ----------
    edges, transposed
        A matrix of nodes by nodes, and its transposed: the same, where it is symmetric.
    """

    edges: Edges
    transposed: Edges


class _Product(torch.autograd.Function):
    """A matrix times vectors, whose gradient is the product with the transposed matrix."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, matrix: Edges, transposed: Edges) -> Tensor:
        ctx.transposed = transposed
        return matrix.times(vectors)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return ctx.transposed.times(gradient), None, None


def product(vectors: Tensor, matrix: Edges, transposed: Edges) -> Tensor:
    """A sparse matrix times vectors: float32, shape (n_rows, d); ``matrix`` has no gradient."""
    result: Tensor = _Product.apply(vectors, matrix, transposed)  # type: ignore[no-untyped-call]
    return result


class LightGCN(nn.Module):
    """The network.

    Parameters
    ----------
    interactions
        Shape (n_customers, n_articles): who bought what, no entry below 0.
    settings
        Its shape and start.
    seed
        Of the start.

    Attributes
    ----------
    vectors
        float32, shape (n_customers + n_articles, d): customers first.

    Raises
    ------
    DataError
        When there are no edges, or negative ones.
    """

    _offsets: Tensor
    _columns: Tensor
    _weights: Tensor
    _twins: Tensor

    def __init__(self, interactions: csr_matrix, settings: LightGCNSettings, seed: int = 0) -> None:
        super().__init__()
        if not interactions.nnz:
            raise DataError("the graph has no edges, so there is nothing to learn from")
        self.settings = settings
        self.n_customers, self.n_articles = interactions.shape
        matrix = normalised(interactions)
        edges = Edges.of(_symmetric(matrix))
        # Buffers go where the network goes; they are no weights, and are not kept with them.
        for name, values in edges._asdict().items():
            self.register_buffer(f"_{name}", values, persistent=False)
        # Stable: an article's customers are in the order of their rows, as in its own row.
        twins = torch.argsort(edges.columns[: matrix.nnz], stable=True)
        self.register_buffer("_twins", twins, persistent=False)
        self.vectors = nn.Parameter(_start(matrix, settings, seed))

    @property
    def edges(self) -> Edges:
        """The normalised adjacency: the customers' rows, then the articles', each edge in both."""
        return Edges(self._offsets, self._columns, self._weights)

    @property
    def interactions(self) -> tuple[Tensor, Tensor]:
        """Customer and article of each edge, numbered in this order: int64, shape (n,) each."""
        lengths = self._offsets.diff()[: self.n_customers]
        customers = torch.repeat_interleave(lengths)
        return customers, self._columns[: len(customers)] - self.n_customers

    def forward(self, along: Along | None = None) -> Tensor:
        """Smoothed vectors of all nodes: float32, shape (n_customers + n_articles, d).

        Parameters
        ----------
        along
            What vectors are passed along; None: all of the graph's edges.
        """
        along = Along(self.edges, self.edges) if along is None else along
        passed: Tensor = self.vectors
        total = passed
        for _ in range(self.settings.layers):
            passed = product(passed, along.edges, along.transposed)
            total = total + passed
        return total / (self.settings.layers + 1)

    def popularity(self) -> Tensor:
        """Each article's number of customers: float32, shape (n_articles,)."""
        return self._offsets.diff()[self.n_customers :].float()

    def around(
        self, nodes: Tensor, fan_out: int, rng: np.random.Generator, edges: Edges | None = None
    ) -> Along:
        """Edges of a sampled neighbourhood: enough of the graph for the vectors of some nodes.

        Of each node nearer than the number of layers at most ``fan_out`` neighbours are drawn, all
        alike, and scaled up to stand for all (Hamilton et al., "Inductive Representation Learning
        on Large Graphs", NeurIPS 2017). Other nodes' smoothed vectors mean nothing.

        Parameters
        ----------
        nodes
            int64, shape (n,): whose smoothed vectors are wanted, each once.
        edges
            All of the graph, perhaps with other weights (:meth:`thinned`); None: its own.
        """
        offsets, columns, weights = (part.cpu().numpy() for part in edges or self.edges)
        n_nodes = len(offsets) - 1
        kept = np.empty(0, dtype=np.int64)
        scale = np.empty(0, dtype=np.float32)
        met, frontier = np.zeros(n_nodes, dtype=np.bool_), nodes.cpu().numpy()
        for _ in range(self.settings.layers):
            met[frontier] = True
            known = np.diff(offsets)[frontier]
            places, lengths = some_of_rows(offsets[frontier], known, fan_out, rng)
            kept = np.append(kept, places)
            scale = np.append(scale, np.repeat(known / np.maximum(lengths, 1), lengths))
            frontier = np.unique(columns[places])
            frontier = frontier[~met[frontier]]
        row = np.searchsorted(offsets, kept, side="right") - 1
        matrix = csr_matrix((weights[kept] * scale, (row, columns[kept])), shape=(n_nodes, n_nodes))
        drawn, transposed = Edges.of(matrix), Edges.of(csr_matrix(matrix.T))
        device = self.vectors.device
        return Along(drawn.to(device), transposed.to(device))

    def thinned(self, dropout: float = 0.0, hidden: Tensor | None = None) -> Edges:
        """The edges but for some, which pass nothing: each is left out of both its rows at once.

        Parameters
        ----------
        dropout
            A share that is drawn by PyTorch's generator; what is not is scaled up to stand for all.
        hidden
            int64: numbers of edges, as in :attr:`interactions`; None: no others.
        """
        kept = torch.ones(len(self._twins))
        if dropout:
            kept = (torch.rand(len(self._twins)) >= dropout) / (1 - dropout)
        if hidden is not None:
            kept[hidden] = 0
        kept = kept.to(self._twins.device)
        both = torch.cat([kept, kept[self._twins]])
        return self.edges._replace(weights=self._weights * both)


def _symmetric(matrix: csr_matrix) -> csr_matrix:
    """The adjacency of all nodes, rows first."""
    rows, columns = matrix.shape
    upper = csr_matrix(
        (matrix.data, matrix.indices + rows, matrix.indptr), shape=(rows, rows + columns)
    )
    of_articles = csr_matrix(matrix.T)
    lower = csr_matrix(
        (of_articles.data, of_articles.indices, of_articles.indptr),
        shape=(columns, rows + columns),
    )
    return csr_matrix(vstack([upper, lower], format="csr"))


def _start(matrix: csr_matrix, settings: LightGCNSettings, seed: int) -> Tensor:
    nodes = sum(matrix.shape)
    if settings.start == "normal":
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randn(nodes, settings.dimensions, generator=generator)
        return drawn * settings.start_deviation
    found = singular_vectors(matrix, settings.dimensions, seed)
    roots = np.sqrt(found.values)
    vectors = np.zeros((nodes, settings.dimensions), dtype=np.float32)
    vectors[:, : len(roots)] = np.concatenate([found.rows * roots, found.columns * roots])
    return torch.from_numpy(vectors * (settings.start_deviation / vectors.std()))


def train(
    network: LightGCN,
    settings: LightGCNTraining,
    validate: Callable[[Tensor], float] | None = None,
    folder: Path | None = None,
    device: torch.device | None = None,
    deadline: float | None = None,
) -> list[Epoch]:
    """Train a network; it then has the weights that were best on the validation.

    Parameters
    ----------
    network
        Freshly made; its edges are the examples.
    settings
        Of training.
    validate
        Given what :func:`vectors_to_score` makes, how good they are, more is better; None: the
        last weights are kept.
    folder, device, deadline
        As of :func:`~modiste.models.learning.loop.train_task`.

    Returns
    -------
    What each epoch came to.
    """
    task = EdgeTask(network, settings, validate)
    return train_task(task, settings, folder, device, deadline)


def vectors_to_score(network: LightGCN, settings: LightGCNTraining) -> Tensor:
    """Vectors whose inner products are scores: shape (n_customers + n_articles, d), on the CPU.

    Articles' are as long as ``score_popularity_power`` says. With softmax's ``popularity_power``
    vectors have a dimension more, in which customers are 1 and articles what popularity adds to
    their scores: all of it goes into one index of vectors.
    """
    with torch.no_grad():
        vectors = _comparable(network(), settings)
        customers, articles = vectors[: network.n_customers], vectors[network.n_customers :]
        if settings.score_popularity_power:
            articles = articles * network.popularity()[:, None] ** settings.score_popularity_power
        if settings.loss == "softmax" and settings.popularity_power:
            added = settings.temperature * _prior(network, settings)
            articles = torch.cat([articles, added[:, None]], dim=1)
            customers = functional.pad(customers, (0, 1), value=1.0)
        return torch.cat([customers, articles]).cpu()


class EdgeTask:
    """Each edge's article is to be scored above others; parameters as of :func:`train`."""

    name = "LightGCN"

    def __init__(
        self,
        network: LightGCN,
        settings: LightGCNTraining,
        validate: Callable[[Tensor], float] | None = None,
        metric: str = "validation",
    ) -> None:
        self.network: LightGCN = network
        self.settings, self._validate, self.metric = settings, validate, metric
        # Where the batches are made; the network may go to another device.
        self._customers, self._articles = (each.cpu() for each in network.interactions)
        self.steps_an_epoch = math.ceil(len(self._customers) / settings.batch)
        self._sampler = Uniform(np.arange(network.n_articles))

    def batches(self, epoch: int, start: int) -> Iterator[NDArray[np.int64]]:
        """Numbers of edges, each once."""
        settings = self.settings
        order = shuffled(np.arange(len(self._customers)), settings.seed, epoch)
        return slices(order, settings.batch, start)

    def loss(
        self,
        batch: NDArray[np.int64],
        rng: np.random.Generator,
        forward: Callable[..., Tensor],
    ) -> Tensor:
        """Mean over the edges of a batch."""
        settings, network = self.settings, self.network
        device = network.vectors.device
        chosen = torch.from_numpy(batch)
        customers, articles = self._customers[chosen], self._articles[chosen]
        if settings.loss == "bpr":
            drawn = self._sampler.draw_each(len(batch), 1, rng)[:, 0]
        else:
            drawn = self._sampler.draw(settings.negatives, rng).items
            if settings.in_batch_negatives:
                drawn = torch.unique(torch.cat([drawn, articles]))
        customers, articles, drawn = (each.to(device) for each in (customers, articles, drawn))
        touched = [customers, network.n_customers + articles, network.n_customers + drawn]
        smoothed = forward(self._along(chosen, touched, rng))
        # An embedding's backward pass adds up rows several times as fast as an index's.
        states, positives, others = (functional.embedding(nodes, smoothed) for nodes in touched)
        if settings.loss == "bpr":
            loss = bayesian_personalised_ranking(states, positives, others)
        else:
            prior = _prior(network, settings) if settings.popularity_power else None
            loss = softmax_cross_entropy(
                _comparable(states, settings) / settings.temperature,
                _comparable(positives, settings),
                SharedArticles(
                    _comparable(others, settings),
                    None if prior is None else prior[drawn][None],
                    columns_of(drawn, network.n_articles)[articles],
                    positive_offsets=None if prior is None else prior[articles],
                ),
            )
        if settings.vector_penalty:
            # Of softmax, articles that are drawn for a whole batch are nobody's in particular.
            own = touched if settings.loss == "bpr" else touched[:2]
            squares = sum(
                functional.embedding(nodes, network.vectors).square().sum() for nodes in own
            )
            loss = loss + settings.vector_penalty / 2 / len(batch) * squares
        return loss

    def _along(self, chosen: Tensor, nodes: list[Tensor], rng: np.random.Generator) -> Along | None:
        """What a step passes vectors along, given its edges and its nodes; None: all edges."""
        settings, network = self.settings, self.network
        edges = None
        if settings.hide_batch or settings.edge_dropout:
            hidden = chosen if settings.hide_batch else None
            edges = network.thinned(settings.edge_dropout, hidden)
        if settings.fan_out is not None:
            return network.around(torch.unique(torch.cat(nodes)), settings.fan_out, rng, edges)
        return None if edges is None else Along(edges, edges)

    def validate(self) -> float | None:
        """What the caller measures."""
        if self._validate is None:
            return None
        return self._validate(vectors_to_score(self.network, self.settings))

    def fingerprint(self) -> Iterator[NDArray[Any]]:
        """The edges."""
        yield from (self._customers.numpy(), self._articles.numpy())

    def shape(self) -> dict[str, Any]:
        """Of the network, and the numbers of nodes."""
        network = self.network
        return {
            "customers": network.n_customers,
            "articles": network.n_articles,
            "network": network.settings.model_dump(mode="json"),
        }

    def in_words(self, batch: NDArray[np.int64]) -> str:
        """The edges' numbers."""
        return some_of("the edges", batch)


def _comparable(vectors: Tensor, settings: LightGCNTraining) -> Tensor:
    """Vectors as they are compared: of unit length for cosines."""
    if settings.loss == "softmax" and settings.similarity == "cosine":
        return functional.normalize(vectors, dim=-1)
    return vectors


def _prior(network: LightGCN, settings: LightGCNTraining) -> Tensor:
    """What popularity adds to articles' logits: float32, shape (n_articles,)."""
    return settings.popularity_power * network.popularity().log1p()
