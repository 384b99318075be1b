"""What the epochs of a training came to, told without PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Epoch:
    """What an epoch came to.

    Attributes
    ----------
    epoch
        Its number, from 1.
    loss
        Mean over its steps.
    ndcg
        NDCG on the validation, as :attr:`~modiste.models.learning.loop.Task.metric` says at how
        many articles; None where none was due.
    """

    epoch: int
    loss: float
    ndcg: float | None


def best_epoch(epochs: Sequence[Epoch], otherwise: int) -> int:
    """The first of the best on the validation; ``otherwise`` where none was validated."""
    validated = [epoch for epoch in epochs if epoch.ndcg is not None]
    best = max(validated, key=lambda epoch: epoch.ndcg or 0.0, default=None)
    return otherwise if best is None else best.epoch
