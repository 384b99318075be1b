"""UMAP of a sample of the articles, and the rest placed beside their nearest landmarks.

UMAP (McInnes, Healy & Melville, 2018) lays points out so that each lies near its nearest
neighbours. It costs time for every point, moves them one by one, and what umap-learn keeps for
placing new points cannot be stored without pickle. So only a seeded sample, the landmarks, is laid
out; every other vector, an article's or a query's, is placed at the mean of its nearest landmarks'
places, each weighted by the inverse of its cosine distance (Shepard, 1968). UMAP too places a new
point at a weighted mean before it moves it; this needs no more than two arrays, is the same in
every process, and a vector equal to a landmark's lies where that one does.

Measured on H&M's articles (MiniLM, 10,000 landmarks and 4,000 others, 213 components), how many of
the ten nearest are kept: by this rule 0.40 from three landmarks, 0.39 from five, 0.32 from fifteen;
by UMAP's own mean of fifteen 0.31, and after it has moved the points 0.35. Angles from the layout's
middle keep 0.40, those from its corner, and distances, 0.39 (three landmarks, one seed).

The vectors are reduced to their principal components first: fewer numbers for each distance, and
the number of components that keep enough variance is what UMAP lays out in, if no other is given.
"""

from __future__ import annotations

import json
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from modiste.engine.progress import progress
from modiste.errors import DataError
from modiste.vectors.article_vectors import unit_rows
from modiste.vectors.blocks import check_components, check_dimensions, checked_blocks
from modiste.vectors.principal_components import PrincipalComponents

_STATE = "landmark_umap.json"
_COMPONENTS = "principal_components"

# Vectors nearer than this are the same text: float32 gives equal unit vectors no smaller distance.
_SAME = 1e-6

# Rows whose similarities to all landmarks are in memory at once: 1,024 x 20,000 are 80 MB.
_ROWS = 1024

# Landmarks in a layout; fewer have no neighbourhoods to keep.
_FEWEST = 3


class LandmarkUmap:
    """A seeded UMAP of landmarks, with a rule that places any other vector in a millisecond.

    Rows of zeros (articles without a text) take no part in fitting and stay zero.

    Parameters
    ----------
    variance
        Lay out in as many components as keep this share of the vectors' variance.
    n_components
        Lay out in so many instead; 2 for a map to look at.
    landmarks
        Largest number of articles that UMAP itself lays out.
    n_neighbors
        Neighbours that a landmark's neighbourhood has, itself included.
    min_dist
        How near two points may lie, in units of the layout.
    n_epochs
        Passes over the neighbourhoods.
    placed_by
        Nearest landmarks that place a vector.
    seed
        Of the sample and of the layout.

    Attributes
    ----------
    landmark_vectors
        float32, unit rows: the landmarks' principal components.
    landmark_places
        float32: where they lie; row by row with ``landmark_vectors``.
    """

    def __init__(
        self,
        *,
        variance: float = 0.98,
        n_components: int | None = None,
        landmarks: int = 10_000,
        n_neighbors: int = 15,
        min_dist: float = 0.1,
        n_epochs: int = 200,
        placed_by: int = 3,
        seed: int = 0,
    ) -> None:
        self.variance = variance
        self.n_components = n_components
        self.landmarks = landmarks
        self.n_neighbors = n_neighbors
        self.min_dist = min_dist
        self.n_epochs = n_epochs
        self.placed_by = placed_by
        self.seed = seed
        self.principal = PrincipalComponents("plain", variance=variance)
        self.landmark_vectors: NDArray[np.float32] = np.zeros((0, 0), dtype=np.float32)
        self.landmark_places: NDArray[np.float32] = np.zeros((0, 0), dtype=np.float32)

    @property
    def components(self) -> int:
        """Dimensions of what :meth:`transform` gives."""
        return int(self.landmark_places.shape[1])

    def fit(self, vectors: NDArray[np.floating[Any]]) -> Self:
        """Draw the landmarks and lay them out.

        Raises
        ------
        ConfigError
            When more components are asked for than the vectors have dimensions.
        DataError
            When no row is other than zero, or one has a value that is not finite.
        """
        check_components(self.n_components, vectors.shape[-1])
        self.principal = PrincipalComponents("plain", variance=self.variance).fit(vectors)
        known = np.flatnonzero(
            np.concatenate([block.any(axis=1) for _, block in checked_blocks(vectors)])
        )
        random = np.random.default_rng(self.seed)
        if len(known) > self.landmarks:
            known = np.sort(random.choice(known, self.landmarks, replace=False))
        self.landmark_vectors = self.principal.transform(vectors[known])
        self.landmark_places = self._layout(random)
        return self

    def transform(self, vectors: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Directions of the vectors' places from the landmarks' middle, as rows of length 1.

        The layout has no origin of its own. For placed vectors, which most are, angles from its
        middle keep more neighbours than those from its corner; among landmarks slightly fewer.
        Rows of zeros stay so.

        Raises
        ------
        DataError
            When the vectors have other dimensions than those fitted on, or are not finite.
        """
        places = self.places(vectors)
        middle = self.landmark_places.mean(axis=0, dtype=np.float64).astype(np.float32)
        return unit_rows(np.nan_to_num(places - middle))

    def places(self, vectors: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Where the vectors lie in the layout itself: for a map of the catalogue.

        Returns
        -------
        float32, shape (rows, components); NaN for a row of zeros, which has no place.

        Raises
        ------
        DataError
            When the vectors have other dimensions than those fitted on, or are not finite.
        """
        check_dimensions(vectors, len(self.principal.mean))
        places = np.full((len(vectors), self.components), np.nan, dtype=np.float32)
        # A query is placed while a customer waits: no bar for a single block.
        shown = progress("vectors placed", len(vectors)) if len(vectors) > _ROWS else nullcontext()
        with shown as advance:
            for place, block in checked_blocks(vectors, _ROWS):
                known = np.flatnonzero(block.any(axis=1))
                rows = self.principal.transform(block[known])
                places[place.start + known] = self._place(rows)
                if advance is not None:
                    advance(len(block))
        return places

    def save(self, folder: Path) -> None:
        """Write the landmarks and their places into an existing folder."""
        np.save(folder / "landmark_vectors.npy", self.landmark_vectors)
        np.save(folder / "landmark_places.npy", self.landmark_places)
        (folder / _COMPONENTS).mkdir(exist_ok=True)
        self.principal.save(folder / _COMPONENTS)
        (folder / _STATE).write_text(
            json.dumps(self._arguments(), indent=2) + "\n", encoding="utf-8"
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read back what :meth:`save` wrote; neither UMAP nor its compiler is needed.

        Raises
        ------
        DataError
            When the files are not there or not whole.
        """
        try:
            loaded = cls(**json.loads((folder / _STATE).read_text(encoding="utf-8")))
            loaded.landmark_vectors = np.load(folder / "landmark_vectors.npy")
            loaded.landmark_places = np.load(folder / "landmark_places.npy")
        except (OSError, ValueError, TypeError) as error:
            raise DataError(f"no UMAP in {folder} ({error}): fit the reduction again") from error
        loaded.principal = PrincipalComponents.load(folder / _COMPONENTS)
        return loaded

    def _arguments(self) -> dict[str, float | int | None]:
        return {
            "variance": self.variance,
            "n_components": self.n_components,
            "landmarks": self.landmarks,
            "n_neighbors": self.n_neighbors,
            "min_dist": self.min_dist,
            "n_epochs": self.n_epochs,
            "placed_by": self.placed_by,
            "seed": self.seed,
        }

    def _place(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        nearest, distances = _nearest(rows, self.landmark_vectors, self.placed_by)
        weights = 1 / np.maximum(distances, _SAME)
        # Where a landmark has the same vector, its place is the vector's, unmixed; the first one's,
        # if there are several, so that equal vectors always lie together.
        same = distances[:, 0] <= _SAME
        weights[same] = 0
        weights[same, 0] = 1
        weights /= weights.sum(axis=1, keepdims=True)
        places = np.einsum("rn,rnc->rc", weights, self.landmark_places[nearest])
        return np.asarray(places, dtype=np.float32)

    def _layout(self, random: np.random.Generator) -> NDArray[np.float32]:
        start = self._start(random)
        count = len(start)
        if count < _FEWEST:
            return start
        neighbours = min(self.n_neighbors, count - 1)
        # Exact neighbours: umap-learn's own search is approximate and compiles for longer than this
        # takes.
        graph = _nearest(self.landmark_vectors, self.landmark_vectors, neighbours)
        with warnings.catch_warnings():
            # It warns that without its search index it cannot place new points: we do.
            warnings.simplefilter("ignore")
            # Not at the top: importing it takes ten seconds, and what was loaded does without.
            from umap import UMAP

            places = UMAP(
                n_components=start.shape[1],
                n_neighbors=neighbours,
                min_dist=self.min_dist,
                n_epochs=self.n_epochs,
                metric="cosine",
                init=start,
                random_state=self.seed,
                n_jobs=1,
                precomputed_knn=graph,
                force_approximation_algorithm=True,  # else it ignores the graph of a small sample
            ).fit_transform(self.landmark_vectors)
        # A landmark whose neighbourhood is no part of the graph has no place of UMAP's.
        return np.asarray(np.where(np.isfinite(places), places, start), dtype=np.float32)

    def _start(self, random: np.random.Generator) -> NDArray[np.float32]:
        """The landmarks' principal components, as places to start from.

        From these the layout needs fewer passes than from random places, and keeps the large
        distances (Kobak & Linderman, 2021).
        """
        count = self.n_components or self.principal.components
        centred = PrincipalComponents(
            "centred", n_components=min(count, self.landmark_vectors.shape[1])
        ).fit(self.landmark_vectors)
        coordinates = (self.landmark_vectors - centred.mean) @ centred.basis
        start = np.zeros((len(coordinates), count), dtype=np.float32)
        start[:, : coordinates.shape[1]] = coordinates
        largest = np.abs(start).max(initial=0)
        if largest > 0:
            start *= 10 / largest
        # A little noise, as in umap-learn: equal points cannot be moved apart, and a coordinate
        # that is the same for all cannot be scaled.
        noise = random.normal(scale=1e-4, size=start.shape)
        return np.asarray(start + noise, dtype=np.float32)


def _nearest(
    rows: NDArray[np.float32], others: NDArray[np.float32], count: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The ``count`` nearest others of unit rows by cosine, nearest first, and their distances."""
    count = min(count, len(others))
    nearest = np.zeros((len(rows), count), dtype=np.int32)
    distances = np.zeros((len(rows), count), dtype=np.float32)
    for start in range(0, len(rows), _ROWS):
        place = slice(start, start + _ROWS)
        far = 1 - rows[place] @ others.T
        far[far <= _SAME] = 0
        best = np.sort(np.argpartition(far, count - 1, axis=1)[:, :count], axis=1)
        best_far = np.take_along_axis(far, best, axis=1)
        order = np.argsort(best_far, axis=1, kind="stable")
        nearest[place] = np.take_along_axis(best, order, axis=1)
        distances[place] = np.take_along_axis(best_far, order, axis=1)
    return nearest, distances
