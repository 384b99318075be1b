"""What the graph network learns: to score what a customer bought next above what was on sale."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from modiste.models.graph.loader import Batch, Further, training_batches
from modiste.models.graph.purchase_graph import PurchaseGraph
from modiste.models.graph.purchases import Purchases
from modiste.models.graph.sage import GraphSAGE, States
from modiste.models.graph.sage_settings import GraphTrainingSettings
from modiste.models.graph.sampling import FanOut, NeighbourSampler, neighbours_before
from modiste.models.learning.loop import some_of
from modiste.models.learning.losses import (
    SharedArticles,
    bayesian_personalised_ranking,
    columns_of,
    softmax_cross_entropy,
)
from modiste.models.learning.negatives import Popularity
from modiste.models.learning.popularity_prior import PopularityPrior

# Of a customer's articles, none is left out.
_ALL = np.iinfo(np.int64).max

# Of a day that has few of a batch's purchases.
_LEAST_NEGATIVES = 50


class NextPurchasesTask:
    """Each purchase is told from other articles on sale then, by what was before its day.

    All purchases of a batch that are of one day share the articles that they are told from, and
    what is known of these articles as of then.

    Parameters
    ----------
    network
        Freshly made.
    graph
        That holds what was before each purchase.
    customer_values
        int32, shape (n_customers, any): numbers of the customers' attribute values.
    purchases
        What is learned from, at least one; see
        :func:`~modiste.models.graph.purchases.predictable`.
    settings
        Of the training.
    prior
        Popularity at the time.
    use_prior
        Whether it is added to the scores.
    validate
        Measures the network; None: there is nothing to validate on.
    """

    name, metric = "GraphSAGE", "NDCG@10"

    def __init__(
        self,
        network: GraphSAGE,
        graph: PurchaseGraph,
        customer_values: NDArray[np.int32],
        purchases: Purchases,
        settings: GraphTrainingSettings,
        prior: PopularityPrior,
        use_prior: bool = True,
        validate: Callable[[GraphSAGE], float] | None = None,
    ) -> None:
        self.network: GraphSAGE = network
        self.graph, self.customer_values, self.settings = graph, customer_values, settings
        self.purchases, self.prior, self.use_prior = purchases, prior, use_prior
        self.steps_an_epoch = math.ceil(len(purchases) / settings.batch)
        self._validate = validate
        shape = network.settings
        fan_out = FanOut(shape.articles_of_customer, shape.customers_of_article)
        self.sampler = NeighbourSampler(graph, [fan_out] * shape.layers, shape.neighbours)

    def batches(self, epoch: int, start: int) -> Iterator[Batch]:
        """Purchases of few days each, with neighbourhoods and negatives."""
        settings = self.settings
        return training_batches(
            self.sampler,
            self.purchases,
            settings.batch,
            settings.seed,
            epoch,
            start,
            self._draw,
            settings.workers,
        )

    def _draw(self, purchases: Purchases, rng: np.random.Generator) -> Further:
        """Articles on sale: of each day's a part that is like that of the batch's purchases."""
        settings, drawn = self.settings, []
        for day in np.unique(purchases.days):
            customers = np.unique(purchases.customers[purchases.days == day])
            share = np.count_nonzero(purchases.days == day) / len(purchases)
            log_share = self._log_share(day)
            bought = neighbours_before(
                self.graph.articles_of, customers, np.full(len(customers), day), _ALL
            )
            own = np.unique(self.graph.articles_of.neighbours[bought.places]).astype(np.int64)
            of_day = Popularity(np.exp(log_share), settings.sampler_power).draw_and_some_of(
                max(round(settings.negatives * share), _LEAST_NEGATIVES),
                own[np.isfinite(log_share[own])],
                round(settings.own_negatives * share),
                rng,
            )
            items = of_day.items.numpy()
            drawn.append(
                Further(items, np.full(len(items), day, np.int32), of_day.log_expected.numpy())
            )
        return Further(*(np.concatenate(parts) for parts in zip(*drawn, strict=True)))

    def _log_share(self, day: int) -> NDArray[np.float32]:
        """How popular each article was by a day; minus infinity where one was not on sale."""
        (period,) = self.prior.periods_of(np.array([day]))
        row: NDArray[np.float32] = self.prior.log_share[period]
        return row

    def loss(
        self, batch: Batch, rng: np.random.Generator, forward: Callable[..., States]
    ) -> Tensor:
        """Mean over the purchases."""
        device = self.network.norm.weight.device
        subgraph = batch.subgraph
        values = torch.from_numpy(self.customer_values[subgraph.customers.numpy()].astype(np.int64))
        states = forward(subgraph.to(device), values.to(device))
        days = self.purchases.days[batch.purchases.numpy()]
        further_days = subgraph.article_days[batch.further].numpy()
        losses = []
        for day in np.unique(days):
            (here,) = torch.from_numpy(days == day).nonzero(as_tuple=True)
            (drawn,) = torch.from_numpy(further_days == day).nonzero(as_tuple=True)
            loss = self._of_day(day, batch, here, drawn, states, rng)
            losses.append(loss * (len(here) / len(days)))
        return torch.stack(losses).sum()

    def _of_day(
        self,
        day: int,
        batch: Batch,
        here: Tensor,
        drawn: Tensor,
        states: States,
        rng: np.random.Generator,
    ) -> Tensor:
        """Loss of a day's purchases ``here``, told from the further articles ``drawn``."""
        device = states.articles.device
        subgraph, further, articles = batch.subgraph, batch.further[drawn], batch.articles[here]
        customers = functional.embedding(batch.customers[here].to(device), states.customers)
        positives = functional.embedding(articles.to(device), states.articles)
        if self.settings.loss == "bpr":
            others = further[torch.from_numpy(rng.integers(0, len(further), len(here)))]
            negatives = functional.embedding(others.to(device), states.articles)
            return bayesian_personalised_ranking(customers, positives, negatives)
        log_share = torch.from_numpy(self._log_share(day))
        if not self.use_prior:
            log_share = torch.where(log_share.isfinite(), 0.0, log_share)
        offsets = log_share[subgraph.articles[further]] - batch.log_expected[drawn]
        return softmax_cross_entropy(
            customers,
            positives,
            SharedArticles(
                functional.embedding(further.to(device), states.articles),
                offsets.to(device)[None],
                columns_of(further, len(states.articles))[articles].to(device),
                positive_offsets=log_share[subgraph.articles[articles]].to(device),
            ),
        )

    def validate(self) -> float | None:
        """NDCG@10 of what was bought next."""
        return None if self._validate is None else self._validate(self.network)

    def fingerprint(self) -> Iterator[NDArray[Any]]:
        """The graph, what is predicted from it, the prior, and the customers' attributes."""
        for side in (self.graph.articles_of, self.graph.customers_of):
            yield from (side.offsets, side.neighbours, side.days, side.counts)
        yield from (self.purchases.customers, self.purchases.days, self.purchases.articles)
        yield from (self.prior.days, self.prior.log_share, self.customer_values)

    def shape(self) -> dict[str, Any]:
        """Of the network, and the number of articles."""
        network = self.network.settings.model_dump(mode="json")
        return {"articles": self.graph.n_articles, "network": network}

    def in_words(self, batch: Batch) -> str:
        """The customers' codes."""
        customers = self.purchases.customers[batch.purchases.numpy()]
        return some_of("purchases of the customers", customers.astype(np.int64))
