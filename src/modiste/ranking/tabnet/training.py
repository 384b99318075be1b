"""What TabNet learns: how likely a candidate is bought."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from modiste.models.learning.loop import shuffled, slices, some_of
from modiste.ranking.encoding import Encoded
from modiste.ranking.list_accuracy import mean_average_precision
from modiste.ranking.purchases import Labels
from modiste.ranking.tabnet.inference import FusedTabNet
from modiste.ranking.tabnet.network import TabNet
from modiste.ranking.tabnet.settings import TabNetTrainingSettings

# Of which the bytes are copied at once, for the fingerprint.
_ROWS_IN_A_BLOCK = 1 << 16


class WatchedLists:
    """Lists that a training is watched on.

    Parameters
    ----------
    rows
        Encoded, one list behind the other.
    sizes
        int64, shape (n_lists,): number of rows of each list.
    bought
        bool, shape (n_rows,).
    """

    def __init__(self, rows: Encoded, sizes: NDArray[np.int64], bought: NDArray[np.bool_]) -> None:
        self.rows, self.sizes, self.bought = rows, sizes, bought

    def accuracy(self, network: TabNet) -> float:
        """MAP@12 of a network's scores."""
        scores = FusedTabNet(network).logits(self.rows)
        return mean_average_precision(self.sizes, self.bought, scores)


class PurchaseTask:
    """Each row is bought or not: weighted cross-entropy, and the entropy of the masks.

    What is left over at an epoch's end and does not fill a batch is left out: a batch of few rows
    would be normalised by their statistics.

    Parameters
    ----------
    network
        Freshly made.
    rows, labels
        What is learned from.
    settings
        Of the training.
    watched
        None: there is nothing to validate on.
    """

    name, metric = "TabNet", "MAP@12"

    def __init__(
        self,
        network: TabNet,
        rows: Encoded,
        labels: Labels,
        settings: TabNetTrainingSettings,
        watched: WatchedLists | None = None,
    ) -> None:
        self.network: TabNet = network
        self.rows, self.labels, self.settings, self.watched = rows, labels, settings, watched
        self.rows_an_epoch = min(settings.rows_per_epoch or len(rows), len(rows))
        self.steps_an_epoch = max(
            self.rows_an_epoch // settings.batch, settings.least_steps_per_epoch
        )
        self._mean_weight = float(labels.weights.mean(dtype=np.float64))

    def batches(self, epoch: int, start: int) -> Iterator[NDArray[np.int64]]:
        """Numbers of rows, each once before any is there again."""
        settings = self.settings
        rows = np.arange(len(self.rows))
        passes = math.ceil(self.steps_an_epoch * settings.batch / self.rows_an_epoch)
        order = np.concatenate(
            [
                shuffled(rows, settings.seed, epoch * passes + number)[: self.rows_an_epoch]
                for number in range(passes)
            ]
        )
        return slices(order, settings.batch, start)

    def loss(
        self,
        batch: NDArray[np.int64],
        rng: np.random.Generator,  # noqa: ARG002  (which rows a batch has is all that is random)
        forward: Callable[..., tuple[Tensor, Tensor]],
    ) -> Tensor:
        """Mean over the rows."""
        device = self.network.base.device
        rows = self.rows[batch]
        logits, entropy = forward(
            torch.from_numpy(rows.numbers).to(device), torch.from_numpy(rows.categories).to(device)
        )
        bought = torch.from_numpy(self.labels.bought[batch]).to(device, torch.float32)
        weights = torch.from_numpy(self.labels.weights[batch] / self._mean_weight).to(device)
        error = functional.binary_cross_entropy_with_logits(
            logits.float(), bought, weights.to(torch.float32)
        )
        return error + self.settings.sparsity * entropy

    def validate(self) -> float | None:
        """MAP@12 of the watched lists."""
        return None if self.watched is None else self.watched.accuracy(self.network)

    def fingerprint(self) -> Iterator[NDArray[Any]]:
        """The rows with what was bought and the weights, and those of the watched lists."""
        yield from _blocks(self.rows)
        yield from (self.labels.bought, self.labels.weights)
        if self.watched is not None:
            yield from _blocks(self.watched.rows)
            yield from (self.watched.sizes, self.watched.bought)

    def shape(self) -> dict[str, Any]:
        """Of the network."""
        return {"network": self.network.settings.model_dump(mode="json")}

    def in_words(self, batch: NDArray[np.int64]) -> str:
        """The rows' numbers."""
        return some_of("the rows", batch)


def _blocks(rows: Encoded) -> Iterator[NDArray[Any]]:
    for _, block in rows.blocks(_ROWS_IN_A_BLOCK):
        yield from (block.numbers, block.categories)
