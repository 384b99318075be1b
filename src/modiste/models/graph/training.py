"""What the graph network learns: to score what a customer bought next above what was on sale."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from modiste.models.flat_arrays import ranges
from modiste.models.graph.examples import Examples
from modiste.models.graph.purchase_graph import PurchaseGraph
from modiste.models.graph.sage import GraphSAGE, States
from modiste.models.graph.sage_settings import GraphTrainingSettings
from modiste.models.graph.sampling import FanOut, NeighbourSampler
from modiste.models.learning.loop import some_of
from modiste.models.learning.losses import SharedArticles, columns_of, softmax_cross_entropy
from modiste.models.learning.negatives import Negatives, Popularity
from modiste.models.learning.popularity_prior import PopularityPrior

# Of a day that has few of a batch's examples.
_LEAST_NEGATIVES = 50


class NextPurchasesTask:
    """Each customer's purchases of a period are told from other articles on sale then.

    All examples of a batch share the articles that they are told from, and those of one day share
    what is known of these articles as of then.

    Parameters
    ----------
    network
        Freshly made.
    graph
        That holds what was before each example.
    customer_values
        int64, shape (n_customers, any): numbers of the customers' attribute values.
    examples
        What is learned from, at least one; of articles on sale by then.
    settings
        Of the training.
    prior
        Popularity at the time.
    use_prior
        Whether it is added to the scores.
    """

    name, metric = "GraphSAGE", "NDCG@10"

    def __init__(
        self,
        network: GraphSAGE,
        graph: PurchaseGraph,
        customer_values: NDArray[np.int32],
        examples: Examples,
        settings: GraphTrainingSettings,
        prior: PopularityPrior,
        use_prior: bool = True,
        validate: Callable[[GraphSAGE], float] | None = None,
    ) -> None:
        self.network: GraphSAGE = network
        self.graph, self.customer_values, self.settings = graph, customer_values, settings
        self.data, self.examples = examples, len(examples)
        self.prior, self.use_prior = prior, use_prior
        self._validate = validate
        shape = network.settings
        fan_out = FanOut(shape.articles_of_customer, shape.customers_of_article)
        self.sampler = NeighbourSampler(graph, [fan_out] * shape.layers, shape.neighbours)

    def order(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Days shuffled, and the examples of each day: a batch has few days."""
        days, place = np.unique(self.data.days, return_inverse=True)
        shuffled = rng.permutation(self.examples)
        by_day = rng.permutation(len(days))[place[shuffled]]
        return shuffled[np.argsort(by_day, kind="stable")]

    def loss(
        self,
        which: NDArray[np.int64],
        rng: np.random.Generator,
        forward: Callable[..., States],
    ) -> Tensor:
        """Mean over all pairs of an example and an article bought."""
        data, device = self.data, self.network.norm.weight.device
        days, of_day = np.unique(data.days[which], return_inverse=True)
        parts = [
            self._part(which[of_day == number], day, len(which), rng)
            for number, day in enumerate(days)
        ]
        needed = [np.union1d(part.positives, part.drawn.items.numpy()) for part in parts]
        subgraph = self.sampler.sample(
            data.customers[which],
            data.days[which],
            np.concatenate(needed),
            np.repeat(days, [len(articles) for articles in needed]),
            rng,
        )
        values = torch.from_numpy(self.customer_values[subgraph.customers.numpy()].astype(np.int64))
        states = forward(subgraph.to(device), values.to(device))
        customers = functional.embedding(subgraph.seed_customers.to(device), states.customers)
        articles = functional.embedding(subgraph.seed_articles.to(device), states.articles)
        total = articles.new_zeros(())
        for number, (part, codes) in enumerate(zip(parts, needed, strict=True)):
            (rows,) = (of_day == number).nonzero()
            vectors, articles = articles[: len(codes)], articles[len(codes) :]
            loss = self._loss(part, customers[torch.from_numpy(rows).to(device)], codes, vectors)
            total = total + loss * len(part.positives)
        return total / sum(len(part.positives) for part in parts)

    def _part(
        self, which: NDArray[np.int64], day: int, batch: int, rng: np.random.Generator
    ) -> _Part:
        """Positives and negatives of those of a batch's examples that are of one day."""
        data, settings = self.data, self.settings
        lengths = np.diff(data.offsets)[which]
        positives = data.articles[ranges(data.offsets[which], lengths)].astype(np.int64)
        log_share = self.prior.log_share[int(self.prior.periods_of(np.array([day]))[0])]
        bought = self.graph.articles_of
        customers = data.customers[which].astype(np.int64)
        starts = bought.offsets[customers]
        ends = bought.ends_before(customers, np.full(len(customers), day))
        own = np.unique(bought.neighbours[ranges(starts, ends - starts)]).astype(np.int64)
        drawn = Popularity(np.exp(log_share), settings.sampler_power).draw_and_some_of(
            max(settings.negatives * len(which) // batch, _LEAST_NEGATIVES),
            own[np.isfinite(log_share[own])],
            settings.own_negatives * len(which) // batch,
            rng,
        )
        return _Part(positives, np.repeat(np.arange(len(which)), lengths), drawn, log_share)

    def _loss(
        self, part: _Part, customers: Tensor, codes: NDArray[np.int64], vectors: Tensor
    ) -> Tensor:
        """Of the pairs of one day; ``vectors`` are those of the articles ``codes``, sorted."""
        device = vectors.device
        of_positives = torch.from_numpy(np.searchsorted(codes, part.positives)).to(device)
        of_drawn = torch.from_numpy(np.searchsorted(codes, part.drawn.items.numpy())).to(device)
        states = functional.embedding(torch.from_numpy(part.rows).to(device), customers)
        positives = functional.embedding(of_positives, vectors)
        drawn = functional.embedding(of_drawn, vectors)
        log_share = (
            part.log_share
            if self.use_prior
            else np.where(np.isfinite(part.log_share), np.float32(0), part.log_share)
        )
        own = log_share[part.positives]
        offsets = torch.from_numpy(log_share[part.drawn.items.numpy()]) - part.drawn.log_expected
        return softmax_cross_entropy(
            states,
            positives,
            SharedArticles(
                drawn,
                offsets.to(device)[None],
                columns_of(of_drawn, len(codes))[of_positives],
                positive_offsets=torch.from_numpy(own).to(device),
            ),
        )

    def validate(self) -> float | None:
        """NDCG@10 of what was bought next."""
        return None if self._validate is None else self._validate(self.network)

    def fingerprint(self) -> Iterator[NDArray[Any]]:
        """The graph, what is predicted from it, the prior, and the customers' attributes."""
        for side in (self.graph.articles_of, self.graph.customers_of):
            yield from (side.offsets, side.neighbours, side.days, side.counts)
        yield from (self.data.customers, self.data.days, self.data.articles)
        yield from (self.prior.days, self.prior.log_share, self.customer_values)

    def shape(self) -> dict[str, Any]:
        """Of the network, and the number of articles."""
        network = self.network.settings.model_dump(mode="json")
        return {"articles": self.graph.n_articles, "network": network}

    def in_words(self, which: NDArray[np.int64]) -> str:
        """The customers' codes."""
        return some_of("purchases of the customers", self.data.customers[which].astype(np.int64))


class _Part(NamedTuple):
    """Those pairs of a batch that are of one day.

    Attributes
    ----------
    positives
        int64, shape (pairs,): the articles bought.
    rows
        int64, shape (pairs,): number of the example of each, among those of the day.
    drawn
        What the positives are told from.
    log_share
        float32, shape (n_articles,): how popular each article was, minus infinity: not on sale.
    """

    positives: NDArray[np.int64]
    rows: NDArray[np.int64]
    drawn: Negatives
    log_share: NDArray[np.float32]
