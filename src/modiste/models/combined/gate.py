"""A gate is learned on days that neither network has seen."""

from __future__ import annotations

from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from modiste.data.dataset import History, Partition
from modiste.errors import DataError
from modiste.models.combined.joining import FACTS, Gated, facts_of
from modiste.models.combined.settings import GateSettings
from modiste.models.graph.recommender import GraphRecommender
from modiste.models.sasrec.recommender import SASRecRecommender


def learn_gate(
    history: History,
    settings: GateSettings,
    sasrec: SASRecRecommender,
    gnn: GraphRecommender,
) -> Gated:
    """Learn how much each network counts for a customer, from what was bought in the last days.

    Both networks are fitted as of the first of these days; a trained one must be of before.

    Parameters
    ----------
    history
        Its last ``settings.days`` are what is predicted.
    settings
        Of the learning.
    sasrec, gnn
        The networks; fit them anew before they are asked about today.

    Raises
    ------
    DataError
        When a trained network has seen the days, or when nobody bought in them who was known.
    """
    earlier = history.before(history.as_of - timedelta(days=settings.days))
    sasrec.fit(earlier)
    gnn.fit(earlier)
    if not len(sasrec.article_vectors) or not len(gnn.article_vectors):
        return Gated(np.zeros((len(FACTS), 2), np.float32))  # there is nothing to be weighed
    offsets = gnn.article_offsets
    (on_sale,) = np.isfinite(offsets).nonzero()
    parts = [
        _part(partition, history.as_of, sasrec, gnn, on_sale) for partition in earlier.partitions
    ]
    found = _Asked(*(torch.cat(each) for each in zip(*parts, strict=True)))
    rng = np.random.default_rng(settings.seed)
    some = min(settings.pairs, len(found.targets))
    chosen = torch.from_numpy(np.sort(rng.choice(len(found.targets), some, replace=False)))
    if not len(chosen):
        raise DataError(
            f"nobody known before {earlier.as_of} bought what was on sale in the {settings.days} "
            "days from then on, so that no gate can be learned: give more days "
            "(models.combined.gate.days), or set models.combined.way to concatenated"
        )
    asked = _Asked(*(each[chosen] for each in found))
    by_sequence = asked.sequence @ torch.from_numpy(sasrec.article_vectors[on_sale]).t()
    by_graph = asked.graph @ torch.from_numpy(gnn.article_vectors[on_sale]).t()
    log_share = torch.from_numpy(offsets[on_sale])
    coefficients = torch.zeros(len(FACTS), 2, requires_grad=True)
    optimizer = torch.optim.Adam([coefficients], lr=settings.learning_rate)
    for _ in range(settings.steps):
        weights = functional.softplus(asked.facts @ coefficients)
        scores = weights[:, :1] * by_sequence + weights[:, 1:] * by_graph + log_share
        loss = functional.cross_entropy(scores, asked.targets)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return Gated(coefficients.detach().numpy())


class _Asked(NamedTuple):
    """Pairs of a customer and an article that was bought.

    Attributes
    ----------
    sequence, graph
        float32, shapes (n, dimensions): the customers' vectors by both networks.
    facts
        float32, shape (n, facts).
    targets
        int64, shape (n,): the article's place among those on sale.
    """

    sequence: Tensor
    graph: Tensor
    facts: Tensor
    targets: Tensor


def _part(
    partition: Partition,
    end: date,
    sasrec: SASRecRecommender,
    gnn: GraphRecommender,
    on_sale: NDArray[np.int64],
) -> _Asked:
    """A partition's pairs, of what was bought from its date on and before ``end``."""
    later = Partition(partition.folder, partition.index, end)
    bought = (
        later.read_transactions(["customer", "article"], since=partition.as_of)
        .unique()
        .filter(pl.col("article").is_in(on_sale))
        .sort("customer", "article")
    )
    batch = partition.read().only(bought["customer"].unique())
    customers, sequence = sasrec.customer_vectors(batch)
    known, graph = gnn.customer_vectors(batch)
    both = np.intersect1d(customers, known)
    bought = bought.filter(pl.col("customer").is_in(both))
    row = bought["customer"].to_numpy()
    # A partition of which nobody is known gives vectors without a width.
    sequence = sequence.reshape(-1, sasrec.article_vectors.shape[1])
    graph = graph.reshape(-1, gnn.article_vectors.shape[1])
    return _Asked(
        torch.from_numpy(sequence[np.searchsorted(customers, row)]),
        torch.from_numpy(graph[np.searchsorted(known, row)]),
        torch.from_numpy(facts_of(batch, both)[np.searchsorted(both, row)]),
        torch.from_numpy(np.searchsorted(on_sale, bought["article"].to_numpy())),
    )
