"""From a shop's history to a trained graph network: what is learned from, and what is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from modiste.data.dataset import History, Partition
from modiste.data.days import day_number
from modiste.models.graph.attributes import Attributes
from modiste.models.graph.inference import CustomerEncoder, article_states
from modiste.models.graph.purchase_graph import PurchaseGraph, build_graph
from modiste.models.graph.purchases import predictable, purchases_of
from modiste.models.graph.sage import ArticleInputs, GraphSAGE
from modiste.models.graph.sage_settings import GraphSAGESettings, GraphSettings
from modiste.models.graph.training import NextPurchasesTask
from modiste.models.learning.description import NetworkDescription, no_network
from modiste.models.learning.epochs import Epoch, best_epoch
from modiste.models.learning.evaluating import evaluating
from modiste.models.learning.loop import train_task
from modiste.models.learning.next_articles import next_articles
from modiste.models.learning.popularity_prior import article_offsets, popularity_prior
from modiste.models.learning.ranks import ndcg_at, ranks_of_targets
from modiste.models.popularity import PopularitySettings
from modiste.vectors.article_vectors import ArticleVectors

_NETWORK, _ARTICLES, _ATTRIBUTES = "network.safetensors", "articles.npy", "attributes.json"

# Articles whose inputs are made at once: a bound on memory.
_ARTICLES_IN_A_BLOCK = 1 << 13


@dataclass(frozen=True, eq=False)
class TrainedGraph:
    """A graph network as it is asked, without what only training needs.

    Attributes
    ----------
    network
        Knows no articles of its own: what is known of them by themselves is given to it.
    articles
        float32, shape (n_articles, dimensions): that.
    attributes
        Values of the customers' columns.
    as_of
        Nothing of this day or a later one was learned from.
    epochs
        What each epoch on the history without its last days came to; empty where there was none.
    best_epoch
        For how many epochs it was trained on the whole history.
    """

    network: GraphSAGE
    articles: NDArray[np.float32]
    attributes: Attributes
    as_of: date
    epochs: tuple[Epoch, ...]
    best_epoch: int

    @classmethod
    def of(
        cls,
        network: GraphSAGE,
        graph: PurchaseGraph,
        attributes: Attributes,
        epochs: tuple[Epoch, ...] = (),
        best_epoch: int = 0,
    ) -> Self:
        """Part a network from what it was trained with, on the graph that it was trained on."""
        assert network.articles is not None  # it has been trained with them
        # What was never bought still has the vector that was drawn for its code.
        never = graph.customers_of.ends_before(
            np.arange(graph.n_articles), np.full(graph.n_articles, day_number(graph.as_of))
        )
        with torch.no_grad():
            unknown = torch.from_numpy(never == graph.customers_of.offsets[:-1])
            network.articles.ids.weight[unknown.to(network.norm.weight.device)] = 0
        articles = article_inputs(network)
        network.articles = None
        return cls(network.cpu().eval(), articles, attributes, graph.as_of, epochs, best_epoch)

    def save(self, folder: Path) -> None:
        """Write it into an existing folder."""
        weights = self.network.state_dict()
        save_file({name: weights[name].contiguous() for name in weights}, folder / _NETWORK)
        np.save(folder / _ARTICLES, self.articles)
        text = json.dumps(self.attributes.values, ensure_ascii=False)
        (folder / _ATTRIBUTES).write_text(text + "\n", encoding="utf-8")
        NetworkDescription(
            as_of=self.as_of,
            network=self.network.settings.model_dump(mode="json"),
            best_epoch=self.best_epoch,
            epochs=self.epochs,
        ).save(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read it back.

        Raises
        ------
        DataError
            When the folder holds none, or a damaged one.
        """
        description = NetworkDescription.load(folder)
        try:
            values = json.loads((folder / _ATTRIBUTES).read_text(encoding="utf-8"))
            attributes = Attributes({name: tuple(of_column) for name, of_column in values.items()})
            settings = GraphSAGESettings.model_validate(description.network)
            network = GraphSAGE(settings, len(attributes))
            network.load_state_dict(load_file(folder / _NETWORK))
            articles = np.load(folder / _ARTICLES)
        except (OSError, ValueError, RuntimeError, AttributeError, SafetensorError) as error:
            raise no_network(folder, error) from error
        return cls(
            network.eval(),
            articles,
            attributes,
            description.as_of,
            description.epochs,
            description.best_epoch,
        )


def fit_graph(
    history: History,
    settings: GraphSettings,
    popularity: PopularitySettings | None = None,
    vectors: ArticleVectors | None = None,
    *,
    epochs: int | None = None,
    checkpoints: Path | None = None,
) -> TrainedGraph | None:
    """Train a graph network on a history.

    Parameters
    ----------
    history
        What it learns from.
    settings
        Of the graph network.
    popularity
        How popularity is counted, for the prior, and so what is on sale.
    vectors
        Of the shop's articles.
    epochs
        Train on the whole history for so many. None: find how many are best first, on the last
        days.
    checkpoints
        Folder that an interrupted training goes on from. None: there are none.

    Returns
    -------
    The network; None where nobody bought on two days, so that nothing can be predicted.

    Raises
    ------
    DataError
        When the vectors are not those of this shop's articles.
    TrainingError
        See :func:`~modiste.models.learning.loop.train_task`.
    """
    with TemporaryDirectory() as scratch, torch.random.fork_rng():
        graph = build_graph(history, Path(scratch) / "graph")
        fitting = _Fitting(
            history, settings, popularity or PopularitySettings(), vectors, checkpoints
        )
        measured: list[Epoch] = []
        if epochs is None:
            measured = fitting.try_epochs(graph)
            epochs = best_epoch(measured, otherwise=settings.training.epochs)
        task = fitting.task(history, graph)
        if task is None:
            return None
        fitting.train(task, epochs, "whole")
        # What was never bought still has the vector that was drawn for its code.
        return TrainedGraph.of(task.network, graph, fitting.attributes, tuple(measured), epochs)


def article_inputs(network: GraphSAGE) -> NDArray[np.float32]:
    """What a network in training knows of all articles by themselves, on the CPU."""
    inputs = network.articles
    assert inputs is not None  # it is in training
    n_articles = len(inputs.ids.weight)
    vectors = np.empty((n_articles, network.settings.dimensions), dtype=np.float32)
    with evaluating(network):
        for first in range(0, n_articles, _ARTICLES_IN_A_BLOCK):
            last = min(first + _ARTICLES_IN_A_BLOCK, n_articles)
            codes = torch.arange(first, last, device=inputs.ids.weight.device)
            vectors[first:last] = inputs(codes).cpu().numpy()
    return vectors


def customer_values(history: History, attributes: Attributes) -> NDArray[np.int32]:
    """Numbers of all customers' attribute values: int32, shape (n_customers, columns)."""
    parts = history.map(_values_in, attributes, label="customers' attributes")
    return np.concatenate(parts) if parts else np.empty((0, len(attributes.values)), np.int32)


def _values_in(partition: Partition, attributes: Attributes) -> NDArray[np.int32]:
    return attributes.numbers(partition.read_customers())


class _Fitting:
    """Trains networks on one shop's histories."""

    def __init__(
        self,
        history: History,
        settings: GraphSettings,
        popularity: PopularitySettings,
        vectors: ArticleVectors | None,
        checkpoints: Path | None,
    ) -> None:
        self._history, self._settings, self._popularity = history, settings, popularity
        self._validation_days = timedelta(days=settings.validation_days)
        self._checkpoints = checkpoints
        self.attributes = Attributes.of_customers(history, settings.customer_attributes)
        self._customers = customer_values(history, self.attributes)
        of_articles = Attributes.of_articles(history, settings.article_attributes)
        self._articles = torch.from_numpy(of_articles.numbers(history.articles).astype(np.int64))
        self._content = None
        if settings.content and vectors is not None:
            content = np.array(vectors.of_all(history.n_articles), dtype=np.float32)
            self._content = torch.from_numpy(content)

    def try_epochs(self, graph: PurchaseGraph) -> list[Epoch]:
        """Train without the last days and validate on them; nothing where that cannot be done."""
        earlier = self._history.before(self._history.as_of - self._validation_days)
        known = graph.before(earlier.as_of)
        day = day_number(earlier.as_of)
        offsets = article_offsets(earlier, self._popularity, self._settings.popularity_prior)
        purchases = graph.articles_of
        rows, targets = next_articles(
            purchases.offsets,
            purchases.neighbours,
            purchases.days,
            day,
            np.isfinite(offsets),
            np.random.default_rng(self._settings.training.seed),
        )

        def validate(network: GraphSAGE) -> float:
            articles = article_states(network, article_inputs(network), known, self._customers)
            encoder = CustomerEncoder(network, articles)
            vectors = encoder.vectors(purchases, rows, day, self._customers[rows])
            ranks = ranks_of_targets(
                torch.from_numpy(vectors), torch.from_numpy(articles[-1]), targets, offsets
            )
            return ndcg_at(ranks, 10)

        task = self.task(earlier, known, validate) if len(rows) else None
        if task is None:
            return []
        return self.train(task, self._settings.training.epochs, "validated")

    def train(self, task: NextPurchasesTask, epochs: int, folder: str) -> list[Epoch]:
        """Train a task for so many epochs."""
        settings = self._settings.training.model_copy(update={"epochs": epochs})
        checkpoints = None if self._checkpoints is None else self._checkpoints / folder
        return train_task(task, settings, checkpoints)

    def task(
        self,
        history: History,
        graph: PurchaseGraph,
        validate: Callable[[GraphSAGE], float] | None = None,
    ) -> NextPurchasesTask | None:
        """What is to be learned from a history; None where nobody bought on two days."""
        settings = self._settings
        training = settings.training
        prior = popularity_prior(history, self._popularity, settings.prior_days)
        purchases = purchases_of(graph, training.days, training.period_days)
        purchases = purchases.only(predictable(purchases, graph, prior))
        if not len(purchases):
            return None
        torch.manual_seed(training.seed)
        inputs = ArticleInputs(settings.network, self._articles, self._content)
        return NextPurchasesTask(
            GraphSAGE(settings.network, len(self.attributes), inputs),
            graph,
            self._customers,
            purchases,
            training,
            prior,
            settings.popularity_prior,
            validate,
        )
