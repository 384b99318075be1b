"""What is known of a trained network without loading it.

Apart from all that imports PyTorch: whoever asks only how it was trained need not wait for it.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from modiste.errors import DataError, damaged
from modiste.models.learning.epochs import Epoch

_FILE = "network.json"


class NetworkDescription(BaseModel):
    """A trained network but for its arrays.

    Attributes
    ----------
    as_of
        Nothing of this day or a later one was learned from.
    network
        Shape of the network: its settings.
    best_epoch
        For how many epochs it was trained on the whole history.
    epochs
        What each epoch on the history without its last days came to; empty where there was none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    as_of: date
    network: dict[str, Any]
    best_epoch: int
    epochs: tuple[Epoch, ...]

    def save(self, folder: Path) -> None:
        """Write it into the network's folder."""
        (folder / _FILE).write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read it back.

        Raises
        ------
        DataError
            When the folder holds no trained network, or a damaged one.
        """
        try:
            return cls.model_validate_json((folder / _FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise no_network(folder, error) from error


def no_network(folder: Path, error: Exception) -> DataError:
    """The error of a folder that a network cannot be read from."""
    return damaged(folder, "trained network", error, "train it anew")
