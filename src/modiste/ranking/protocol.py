"""The protocol that every ranker obeys, so that one comparison takes any of them."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, Self, runtime_checkable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modiste.ranking.rows import RankingRows


@runtime_checkable
class Ranker(Protocol):
    """Learns from candidates and what became of them to order other candidates.

    A ranker treats missing values, categories and scales of the features itself, or with
    :mod:`modiste.ranking.encoding`.
    """

    @property
    def rounds(self) -> int:
        """How long it learned: trees, epochs or iterations, whatever its own measure is."""

    def fit(
        self,
        rows: RankingRows,
        watched: RankingRows | None = None,
        *,
        rounds: int | None = None,
        checkpoints: Path | None = None,
    ) -> Self:
        """Learn from rows; returns itself.

        Parameters
        ----------
        rows
            With what was bought and weights.
        watched
            Rows of other windows, whole lists: learning stops where MAP@12 on them is best.
        rounds
            Learn for just as long; None: as long as the settings and ``watched`` say.
        checkpoints
            Folder in which a long training leaves what it needs to go on after a kill.
        """

    def score(self, frame: pl.DataFrame) -> NDArray[np.float32]:
        """A score for each row, shape (n_rows,); the higher, the more likely bought.

        ``frame`` has the features' columns, as the ``frame`` of :class:`RankingRows`.
        """

    def importance(self) -> pl.DataFrame:
        """How much each feature counts: ``feature`` and ``importance`` (float64, sum 1)."""

    def save(self, folder: Path) -> None:
        """Write what was learned into an existing, empty folder (no pickle)."""

    def load(self, folder: Path) -> Self:
        """Read back what :meth:`save` wrote; returns itself."""


@runtime_checkable
class ExplainsScores(Protocol):
    """A ranker that can say exactly what each feature adds to a score."""

    def contributions(self, frame: pl.DataFrame) -> pl.DataFrame:
        """One column (float64) a feature, and ``expected``: each row adds up to its score."""


@runtime_checkable
class SharesAttention(Protocol):
    """A ranker that looks at few features in each of some steps."""

    def step_masks(self, frame: pl.DataFrame) -> NDArray[np.float32]:
        """Shape (n_steps, n_rows, n_features): adds up to 1 over features, as in ``importance``."""
