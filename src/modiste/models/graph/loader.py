"""Batches of purchases with their neighbourhoods, sampled beside the training by PyG's loader.

A purchase is a customer, an article and a day; both ends are sampled as of that day. An epoch's
batches are a function of the seed and the epoch, and what is drawn for one, of its number besides:
they are the same for any number of workers, and training that was interrupted goes on at any step.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Sampler
from torch_geometric.loader import LinkLoader

from modiste.models.graph.purchases import Purchases
from modiste.models.graph.pyg_sampler import BOUGHT, PurchaseSampler, hetero_data
from modiste.models.graph.sampling import NeighbourSampler, Subgraph

_CAN_FORK = "fork" in multiprocessing.get_all_start_methods()

# What a stream of random numbers is for.
_ORDER, _DRAW = range(2)


class Further(NamedTuple):
    """Articles that a batch's purchases are told from.

    Attributes
    ----------
    articles
        int64, shape (any,): codes.
    days
        int32, of the same shape: the day that each is sampled as of.
    log_expected
        float32, of the same shape: logarithm of how often each is expected in a draw.
    """

    articles: npt.NDArray[np.int64]
    days: npt.NDArray[np.int32]
    log_expected: npt.NDArray[np.float32]


DrawFurther = Callable[[Purchases, np.random.Generator], Further]


class Batch(NamedTuple):
    """Some purchases, and the neighbourhoods of their ends.

    Attributes
    ----------
    subgraph
        Sampled for both ends, and for the further articles.
    purchases
        int64, shape (n,): numbers of the purchases.
    customers, articles
        int64, shape (n,): the nodes of their ends.
    further
        int64, shape (any,): the nodes of the further articles, as they were drawn.
    log_expected
        float32, of the same shape: see :class:`Further`.
    """

    subgraph: Subgraph
    purchases: Tensor
    customers: Tensor
    articles: Tensor
    further: Tensor
    log_expected: Tensor


def training_order(days: npt.NDArray[np.int32], seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Numbers of purchases in the order of an epoch: days shuffled, and what is of each day.

    So a batch has few days, and its neighbourhoods have much in common.

    Parameters
    ----------
    days
        int32, shape (n,): of the purchases.
    seed, epoch
        The order is a function of them.
    """
    rng = np.random.default_rng([seed, _ORDER, epoch])
    shuffled = rng.permutation(len(days))
    met, number = np.unique(days, return_inverse=True)
    # Small integers are sorted by counting.
    place = rng.permutation(len(met)).astype(np.uint16)[number[shuffled]]
    return shuffled[np.argsort(place, kind="stable")]


def training_batches(
    sampler: NeighbourSampler,
    purchases: Purchases,
    batch: int,
    seed: int,
    epoch: int,
    start: int = 0,
    draw_further: DrawFurther | None = None,
    workers: int = 0,
) -> Iterator[Batch]:
    """An epoch's batches, in order.

    Parameters
    ----------
    sampler
        Of neighbourhoods.
    purchases
        What is predicted: each is in one batch of the epoch.
    batch
        Purchases of a batch; the last one can have fewer.
    seed, epoch
        The batches are a function of them.
    start
        How many batches have been trained on already: they are not made again.
    draw_further
        Draws further articles for a batch's purchases.
    workers
        Processes that sample ahead; 0: sampling is done when a batch is asked for.
    """
    if not len(purchases):
        return iter(())
    order = training_order(purchases.days, seed, epoch)
    return iter(
        _EpochLoader(
            sampler, purchases.only(order), order, batch, start, draw_further, workers, seed, epoch
        )
    )


_NOTHING = Further(np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))


class _EpochLoader(LinkLoader):  # type: ignore[misc]
    """PyG's loader over an epoch's purchases in their order, a slice of them at a time."""

    def __init__(
        self,
        sampler: NeighbourSampler,
        in_order: Purchases,
        order: npt.NDArray[np.int64],
        batch: int,
        start: int,
        draw_further: DrawFurther | None,
        workers: int,
        seed: int,
        epoch: int,
    ) -> None:
        super().__init__(
            hetero_data(sampler.graph),
            PurchaseSampler(sampler, seed),
            edge_label_index=(
                BOUGHT,
                torch.from_numpy(np.stack([in_order.customers, in_order.articles])),
            ),
            edge_label_time=torch.from_numpy(in_order.days),
            input_id=torch.from_numpy(order),
            # The slices are what is asked for, so that their place tells the batch's number.
            batch_size=None,
            sampler=_Slices(len(in_order), batch, start),
            num_workers=workers,
            # A forked process shares the graph's memory; any other would be sent a copy of it.
            multiprocessing_context="fork" if workers and _CAN_FORK else None,
            # Whoever trains draws from PyTorch's own.
            generator=torch.Generator().manual_seed(seed),
        )
        self._batch, self._draw_further = batch, draw_further
        self._seeds = (seed, _DRAW, epoch)

    def collate_fn(self, index: range) -> Batch:
        """Sample for the purchases at some places of the order."""
        given = self.input_data[torch.arange(index.start, index.stop)]
        rng = np.random.default_rng([*self._seeds, index.start // self._batch])
        purchases = Purchases(given.row.numpy(), given.col.numpy(), given.time.numpy())
        further = _NOTHING
        if self._draw_further is not None:
            further = self._draw_further(purchases, rng)
        subgraph = self.link_sampler.sampler.sample(
            purchases.customers,
            purchases.days,
            np.append(purchases.articles, further.articles),
            np.append(purchases.days, further.days),
            rng,
        )
        n = len(purchases)
        return Batch(
            subgraph,
            given.input_id,
            subgraph.seed_customers,
            subgraph.seed_articles[:n],
            subgraph.seed_articles[n:],
            torch.from_numpy(further.log_expected),
        )

    def filter_fn(self, out: Batch) -> Batch:
        """Nothing is to be joined: the network looks its inputs up by the codes."""
        return out


class _Slices(Sampler[slice]):
    """A batch's places after the other's."""

    def __init__(self, n: int, batch: int, start: int) -> None:
        self._n, self._batch, self._start = n, batch, start

    def __iter__(self) -> Iterator[slice]:
        for first in range(self._start * self._batch, self._n, self._batch):
            yield slice(first, min(first + self._batch, self._n))

    def __len__(self) -> int:
        return max(-(-self._n // self._batch) - self._start, 0)
