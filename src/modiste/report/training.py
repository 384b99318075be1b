"""How a run's networks were trained, as its training stages have left it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from modiste.data.dataset import Window
from modiste.models.learning.description import NetworkDescription
from modiste.models.learning.epochs import Epoch


@dataclass(frozen=True)
class NetworkTraining:
    """The training of a recommender's two networks.

    Attributes
    ----------
    name
        Of the recommender.
    earlier
        The network that is asked on the windows.
    submit
        That which is asked for the submission.
    validation_days
        Days kept back before the earlier one's date.
    """

    name: str
    earlier: NetworkDescription
    submit: NetworkDescription
    validation_days: int

    @classmethod
    def load(cls, name: str, earlier: Path, submit: Path, validation_days: int) -> Self:
        """Read what the networks' folders tell.

        Raises
        ------
        DataError
            When one holds no trained network, or a damaged one.
        """
        return cls(
            name,
            NetworkDescription.load(earlier),
            NetworkDescription.load(submit),
            validation_days,
        )

    @property
    def validation(self) -> Window:
        """The days that epochs were validated on."""
        return Window(self.earlier.as_of, self.validation_days).earlier()

    @property
    def epochs(self) -> tuple[Epoch, ...]:
        """What was tried to find how many epochs are best; empty where none could be validated."""
        epochs = self.earlier.epochs
        return epochs if any(epoch.ndcg is not None for epoch in epochs) else ()
