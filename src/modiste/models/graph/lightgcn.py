"""LightGCN: vectors of customers and articles, smoothed along the graph's edges.

He et al., "LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation", SIGIR
2020. All that is learned is a vector for each node. A layer replaces each vector by the sum of its
neighbours', each divided by the root of both degrees; what is scored are means over the layers,
the vectors themselves included. That is a product with one sparse symmetric matrix, so its gradient
is the same product, and both are a sum over rows of an embedding table, which PyTorch has a fast
kernel for on CPUs.

Beside the paper's BPR there is softmax over sampled articles (Wu et al., "On the Effectiveness of
Sampled Softmax Loss for Item Recommendation", TOIS 2024), of cosines with a temperature, and a
start from the singular vectors of the normalised matrix.
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

    def __init__(self, interactions: csr_matrix, settings: LightGCNSettings, seed: int = 0) -> None:
        super().__init__()
        if not interactions.nnz:
            raise DataError("the graph has no edges, so there is nothing to learn from")
        self.settings = settings
        self.n_customers, self.n_articles = interactions.shape
        matrix = normalised(interactions)
        self.edges = Edges.of(_symmetric(matrix))
        self.vectors = nn.Parameter(_start(matrix, settings, seed))

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

    def log_popularity(self) -> Tensor:
        """Logarithm of one more than each article's customers: float32, shape (n_articles,)."""
        return self.edges.offsets.diff()[self.n_customers :].float().log1p()

    def around(self, nodes: Tensor, fan_out: int, rng: np.random.Generator) -> Along:
        """Edges of a sampled neighbourhood: enough of the graph for the vectors of some nodes.

        Of each node nearer than the number of layers at most ``fan_out`` neighbours are drawn, all
        alike, and scaled up to stand for all (Hamilton et al., "Inductive Representation Learning
        on Large Graphs", NeurIPS 2017). Other nodes' smoothed vectors mean nothing.

        Parameters
        ----------
        nodes
            int64, shape (n,): whose smoothed vectors are wanted, each once.
        """
        offsets, columns = self.edges.offsets.numpy(), self.edges.columns.numpy()
        n_nodes = len(offsets) - 1
        kept = np.empty(0, dtype=np.int64)
        scale = np.empty(0, dtype=np.float32)
        met, frontier = np.zeros(n_nodes, dtype=np.bool_), nodes.numpy()
        for _ in range(self.settings.layers):
            met[frontier] = True
            known = np.diff(offsets)[frontier]
            places, lengths = some_of_rows(offsets[frontier], known, fan_out, rng)
            kept = np.append(kept, places)
            scale = np.append(scale, np.repeat(known / np.maximum(lengths, 1), lengths))
            frontier = np.unique(columns[places])
            frontier = frontier[~met[frontier]]
        row = np.searchsorted(offsets, kept, side="right") - 1
        weights = self.edges.weights.numpy()[kept] * scale
        matrix = csr_matrix((weights, (row, columns[kept])), shape=(n_nodes, n_nodes))
        return Along(Edges.of(matrix), Edges.of(csr_matrix(matrix.T)))

    def without_some(self, share: float) -> Along:
        """The edges but for a share of them, drawn by PyTorch's generator, the others scaled up.

        An edge is left out of both its rows at once: the matrix stays symmetric.
        """
        edges = self.edges
        half = len(edges.columns) // 2
        kept = torch.rand(half) >= share
        both = torch.cat([kept, kept[self._twins]]) / (1 - share)
        thinned = edges._replace(weights=edges.weights * both)
        return Along(thinned, thinned)

    @property
    def _twins(self) -> Tensor:
        """For each edge of the articles' rows, its place among the customers' rows."""
        if not hasattr(self, "_twins_made"):
            columns = self.edges.columns[: len(self.edges.columns) // 2]
            # Stable: an article's customers are in the order of their rows, as in its own row.
            self._twins_made = torch.argsort(columns, stable=True)
        return self._twins_made


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
    interactions: csr_matrix,
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
        Freshly made of the same interactions.
    interactions
        Shape (n_customers, n_articles): its edges are the examples.
    settings
        Of training.
    validate
        Given what :func:`vectors_to_score` makes, how good they are, more is better; None: the
        last weights are kept.
    folder, device, deadline
        As of :func:`~modiste.models.learning.loop.train_task`; of devices, the CPU alone.

    Returns
    -------
    What each epoch came to.
    """
    task = EdgeTask(network, interactions, settings, validate)
    return train_task(task, settings, folder, device or torch.device("cpu"), deadline)


def vectors_to_score(network: LightGCN, settings: LightGCNTraining) -> Tensor:
    """Vectors whose inner products are scores: shape (n_customers + n_articles, d).

    With softmax's ``popularity_power`` they have a dimension more, in which customers are 1 and
    articles what popularity adds to their scores: all of it goes into one index of vectors.
    """
    with torch.no_grad():
        vectors = _comparable(network(), settings)
        if settings.loss != "softmax" or not settings.popularity_power:
            return vectors
        added = settings.temperature * settings.popularity_power * network.log_popularity()
        customers = added.new_ones(network.n_customers)
        return torch.cat([vectors, torch.cat([customers, added])[:, None]], dim=1)


class EdgeTask:
    """Each edge's article is to be scored above others; parameters as of :func:`train`."""

    name = "LightGCN"

    def __init__(
        self,
        network: LightGCN,
        interactions: csr_matrix,
        settings: LightGCNTraining,
        validate: Callable[[Tensor], float] | None = None,
        metric: str = "recall@20",
    ) -> None:
        self.network: LightGCN = network
        self.settings, self._validate, self.metric = settings, validate, metric
        self.steps_an_epoch = math.ceil(interactions.nnz / settings.batch)
        lengths = np.diff(interactions.indptr)
        self._customers = torch.from_numpy(np.repeat(np.arange(len(lengths)), lengths))
        self._articles = torch.from_numpy(interactions.indices.astype(np.int64))
        self._sampler = Uniform(np.arange(network.n_articles))
        self._prior: Tensor | None = None
        if settings.popularity_power:
            self._prior = settings.popularity_power * network.log_popularity()

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
        chosen = torch.from_numpy(batch)
        customers, articles = self._customers[chosen], self._articles[chosen]
        if settings.loss == "bpr":
            drawn = self._sampler.draw_each(len(batch), 1, rng)[:, 0]
        else:
            drawn = self._sampler.draw(settings.negatives, rng).items
            if settings.in_batch_negatives:
                drawn = torch.unique(torch.cat([drawn, articles]))
        touched = [customers, network.n_customers + articles, network.n_customers + drawn]
        along = None
        if settings.fan_out is not None:
            along = network.around(torch.unique(torch.cat(touched)), settings.fan_out, rng)
        elif settings.edge_dropout:
            along = network.without_some(settings.edge_dropout)
        smoothed = forward(along)
        # An embedding's backward pass adds up rows several times as fast as an index's.
        states, positives, others = (functional.embedding(nodes, smoothed) for nodes in touched)
        if settings.loss == "bpr":
            loss = bayesian_personalised_ranking(states, positives, others)
        else:
            prior = self._prior
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
