"""Principal components: the directions in which article vectors differ most, found exactly.

The moments of all articles are summed in float64, block by block, so that a memory-mapped file of
any length needs the memory of one block and of one square of its dimensions, and the directions
are that square's eigenvectors. Three kinds:

========= ====================================================================================
kind      what the directions explain
========= ====================================================================================
plain     the second moments, ``mean(x xᵀ)``. The origin stays where it is, and with it the
          cosines that the sentence model was trained for: what is searched keeps its neighbours
centred   the covariance. What all articles share is taken away, and angles are measured from
          the average article
whitened  as centred, each direction divided by its standard deviation: a rare difference
          counts as much as a common one
========= ====================================================================================
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from modiste.errors import DataError
from modiste.vectors.article_vectors import unit_rows
from modiste.vectors.blocks import check_components, check_dimensions, checked_blocks

Kind = Literal["plain", "centred", "whitened"]

_STATE = "principal_components.json"


class PrincipalComponents:
    """A linear reduction that keeps a share of the variance.

    Rows of zeros (articles without a text) take no part in fitting and stay zero. A direction in
    which nothing varies gets no weight: if fewer directions vary than were asked for, the last
    coordinates are zero. With ``centred`` and ``whitened`` an article that is exactly the average
    one becomes a row of zeros too; where all articles are equal that is each of them.

    Parameters
    ----------
    kind
        ``plain``, ``centred`` or ``whitened``.
    variance
        Share of the variance to keep, with as few components as do.
    n_components
        So many instead.

    Attributes
    ----------
    variances
        float64, of all directions, largest first: how much each explains.
    basis
        float32, shape (dimensions, components): what a vector is multiplied by.
    mean
        float32, shape (dimensions,): what is subtracted before; zeros when ``plain``.
    """

    def __init__(
        self, kind: Kind = "plain", *, variance: float = 0.98, n_components: int | None = None
    ) -> None:
        self.kind = kind
        self.variance = variance
        self.n_components = n_components
        self.variances: NDArray[np.float64] = np.zeros(0)
        self.basis: NDArray[np.float32] = np.zeros((0, 0), dtype=np.float32)
        self.mean: NDArray[np.float32] = np.zeros(0, dtype=np.float32)

    @property
    def components(self) -> int:
        """Dimensions of what :meth:`transform` gives."""
        return int(self.basis.shape[1])

    @property
    def kept(self) -> float:
        """Share of the variance that the components keep."""
        total = self.variances.sum()
        return float(self.variances[: self.components].sum() / total) if total > 0 else 1.0

    def fit(self, vectors: NDArray[np.floating[Any]]) -> Self:
        """Find the directions and how many of them are needed.

        Raises
        ------
        ConfigError
            When more components are asked for than the vectors have dimensions.
        DataError
            When no row is other than zero, or one has a value that is not finite.
        """
        check_components(self.n_components, vectors.shape[-1])
        # On one thread: how several share the sums differs from one process to the next, in the
        # last bits, and two runs would not be the same.
        with threadpool_limits(limits=1, user_api="blas"):
            return self._fit(vectors)

    def _fit(self, vectors: NDArray[np.floating[Any]]) -> Self:
        dimensions = vectors.shape[-1]
        known, mean = _mean(vectors)
        if self.kind == "plain":
            mean = np.zeros(dimensions)
        moments = np.zeros((dimensions, dimensions))
        for _, block in checked_blocks(vectors):
            rows = block[block.any(axis=1)].astype(np.float64) - mean
            moments += rows.T @ rows
        # An estimated mean costs one degree of freedom.
        moments /= known if self.kind == "plain" else max(known - 1, 1)
        values, directions = np.linalg.eigh(moments)
        values, directions = values[::-1], _with_signs(directions[:, ::-1])
        # What is below the precision of the sums is no variance: float64 rounds each of them.
        noise = max(values[0], np.square(mean).sum()) * dimensions * np.finfo(np.float64).eps
        varies = values > noise
        self.variances = np.where(varies, values, 0.0)
        count = self.n_components or self._needed()
        scale = varies.astype(np.float64)
        if self.kind == "whitened":
            scale[varies] /= np.sqrt(values[varies])
        self.basis = (directions * scale)[:, :count].astype(np.float32)
        self.mean = mean.astype(np.float32)
        return self

    def transform(self, vectors: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """The vectors' coordinates, as rows of length 1; rows of zeros stay so.

        Raises
        ------
        DataError
            When the vectors have other dimensions than those fitted on, or are not finite.
        """
        check_dimensions(vectors, len(self.mean))
        reduced = np.zeros((len(vectors), self.components), dtype=np.float32)
        for place, block in checked_blocks(vectors):
            known = block.any(axis=1)
            rows = block[known].astype(np.float32) - self.mean
            coordinates = rows @ self.basis
            # The average article itself, but for rounding, has no direction.
            lengths = np.linalg.norm(rows, axis=1)
            coordinates[lengths <= 1e-6 * np.linalg.norm(self.mean)] = 0
            reduced[np.flatnonzero(known) + place.start] = unit_rows(coordinates)
        return reduced

    def save(self, folder: Path) -> None:
        """Write the directions into an existing folder."""
        np.save(folder / "basis.npy", self.basis)
        np.save(folder / "mean.npy", self.mean)
        np.save(folder / "variances.npy", self.variances)
        state = {
            "kind": self.kind,
            "variance": self.variance,
            "n_components": self.n_components,
            "components": self.components,
            "kept": self.kept,
        }
        (folder / _STATE).write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read back what :meth:`save` wrote.

        Raises
        ------
        DataError
            When the files are not there or not whole.
        """
        try:
            state = json.loads((folder / _STATE).read_text(encoding="utf-8"))
            loaded = cls(
                state["kind"], variance=state["variance"], n_components=state["n_components"]
            )
            loaded.basis = np.load(folder / "basis.npy")
            loaded.mean = np.load(folder / "mean.npy")
            loaded.variances = np.load(folder / "variances.npy")
        except (OSError, ValueError, KeyError) as error:
            raise DataError(
                f"no principal components in {folder} ({error}): fit the reduction again"
            ) from error
        return loaded

    def _needed(self) -> int:
        """The smallest number of components that keeps enough variance; at least one."""
        shares = np.cumsum(self.variances) / max(self.variances.sum(), np.finfo(np.float64).tiny)
        # All of it (1.0) is reached by the last one only up to rounding.
        reached = np.flatnonzero(shares >= self.variance - 1e-12)
        return int(reached[0]) + 1 if len(reached) else 1


def _mean(vectors: NDArray[np.floating[Any]]) -> tuple[int, NDArray[np.float64]]:
    """How many rows are not zero, and their mean."""
    known, total = 0, np.zeros(vectors.shape[-1])
    for _, block in checked_blocks(vectors):
        known += int(block.any(axis=1).sum())
        total += block.sum(axis=0, dtype=np.float64)
    if known == 0:
        raise DataError(
            f"none of the {len(vectors):,} articles has a vector (all rows are zero): there is "
            "nothing to reduce; check that the articles have texts, or set the reduction to none"
        )
    return known, total / known


def _with_signs(directions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Directions of which the largest loading is positive: an eigenvector's sign is arbitrary."""
    largest = np.abs(directions).argmax(axis=0)
    signs = np.sign(directions[largest, np.arange(directions.shape[1])])
    return np.asarray(directions * signs)
