"""What the epochs of a training came to, told without PyTorch."""

from __future__ import annotations

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
