"""Reduction: article vectors in fewer dimensions, by a method chosen by name.

What is searched later is the inner product of unit vectors, so every reduction gives rows of
length 1, and a row of zeros for an article of which nothing is known.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, Self, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from modiste.errors import DataError
from modiste.vectors.article_vectors import ArticleVectors, unit_rows
from modiste.vectors.blocks import check_dimensions, checked_blocks
from modiste.vectors.landmark_umap import LandmarkUmap
from modiste.vectors.principal_components import PrincipalComponents

Method = Literal["none", "pca", "pca_centred", "pca_whitened", "umap"]

_STATE = "reduction.json"


class ReductionSettings(BaseModel):
    """Settings of the reduction of article vectors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Method = Field(
        default="pca",
        description=(
            "none; pca: principal components about the origin, which keep cosines; pca_centred: "
            "about the average article; pca_whitened: these, each divided by its standard "
            "deviation; umap: a layout by neighbourhoods, for maps more than for search."
        ),
    )
    variance: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.98,
        description="Share of the variance to keep, with as few components as do; umap too lays "
        "out in that many.",
    )
    n_components: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="So many components instead of a share of the variance."
    )
    landmarks: Annotated[int, Field(ge=3)] = Field(
        default=10_000,
        description="umap: articles, drawn at random, that are laid out; the others are placed "
        "beside their nearest ones.",
    )
    n_neighbors: Annotated[int, Field(ge=2)] = Field(
        default=15, description="umap: articles in a neighbourhood, its own included."
    )
    min_dist: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.1, description="umap: how near two articles may lie, in units of the layout."
    )
    n_epochs: Annotated[int, Field(ge=1)] = Field(
        default=200, description="umap: passes over the neighbourhoods."
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(
        default=0, description="umap: of the sample and of the layout."
    )


class Reduction(Protocol):
    """What makes vectors shorter."""

    @property
    def components(self) -> int:
        """Dimensions of what :meth:`transform` gives."""

    def fit(self, vectors: NDArray[np.floating[Any]]) -> Self:
        """Learn from article vectors, which may be memory-mapped."""

    def transform(self, vectors: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Reduced vectors of articles or queries: rows of length 1, or zeros where they were."""

    def save(self, folder: Path) -> None:
        """Write what was learned into an existing folder."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read back what :meth:`save` wrote."""


class NoReduction:
    """The vectors as they are, of length 1."""

    def __init__(self, dimensions: int = 0) -> None:
        self._dimensions = dimensions

    @property
    def components(self) -> int:
        """Dimensions of the vectors."""
        return self._dimensions

    def fit(self, vectors: NDArray[np.floating[Any]]) -> Self:
        """Take note of the dimensions."""
        self._dimensions = vectors.shape[-1]
        return self

    def transform(self, vectors: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """The vectors, of length 1; rows of zeros stay so."""
        check_dimensions(vectors, self._dimensions)
        same = np.zeros(vectors.shape, dtype=np.float32)
        for place, block in checked_blocks(vectors):
            same[place] = unit_rows(block)
        return same

    def save(self, folder: Path) -> None:
        """Write the dimensions."""
        state = json.dumps({"dimensions": self._dimensions})
        (folder / "no_reduction.json").write_text(state + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read them back.

        Raises
        ------
        DataError
            When the file is not there or not whole.
        """
        try:
            state = json.loads((folder / "no_reduction.json").read_text(encoding="utf-8"))
            return cls(state["dimensions"])
        except (OSError, ValueError, KeyError) as error:
            raise DataError(
                f"no dimensions in {folder} ({error}): fit the reduction again"
            ) from error


def _umap(settings: ReductionSettings) -> LandmarkUmap:
    return LandmarkUmap(
        variance=settings.variance,
        n_components=settings.n_components,
        landmarks=settings.landmarks,
        n_neighbors=settings.n_neighbors,
        min_dist=settings.min_dist,
        n_epochs=settings.n_epochs,
        seed=settings.seed,
    )


def _principal(
    kind: Literal["plain", "centred", "whitened"],
) -> Callable[[ReductionSettings], Reduction]:
    return lambda settings: PrincipalComponents(
        kind, variance=settings.variance, n_components=settings.n_components
    )


# A new reduction is one line in each.
_MAKE: dict[Method, Callable[[ReductionSettings], Reduction]] = {
    "none": lambda _: NoReduction(),
    "pca": _principal("plain"),
    "pca_centred": _principal("centred"),
    "pca_whitened": _principal("whitened"),
    "umap": _umap,
}
_CLASSES: dict[Method, type[Reduction]] = {
    "none": NoReduction,
    "pca": PrincipalComponents,
    "pca_centred": PrincipalComponents,
    "pca_whitened": PrincipalComponents,
    "umap": LandmarkUmap,
}
METHODS: tuple[Method, ...] = get_args(Method)


def make_reduction(settings: ReductionSettings) -> Reduction:
    """The reduction that the settings name, not fitted."""
    return _MAKE[settings.method](settings)


def reduce_articles(
    articles: ArticleVectors, settings: ReductionSettings
) -> tuple[Reduction, ArticleVectors]:
    """Fit a reduction on all articles and reduce them.

    Returns
    -------
    The reduction, for queries, and the reduced vectors; their origin names both.
    """
    reduction = make_reduction(settings).fit(articles.vectors)
    origin = {**articles.origin, "reduction": settings.model_dump(mode="json")}
    return reduction, ArticleVectors(reduction.transform(articles.vectors), origin)


def save_reduction(reduction: Reduction, settings: ReductionSettings, folder: Path) -> None:
    """Write a reduction and its settings into an existing folder."""
    (folder / _STATE).write_text(settings.model_dump_json(indent=2) + "\n", encoding="utf-8")
    reduction.save(folder)


def load_reduction(folder: Path) -> Reduction:
    """Read back what :func:`save_reduction` wrote.

    Raises
    ------
    DataError
        When the files are not there or not whole.
    """
    try:
        settings = ReductionSettings.model_validate_json((folder / _STATE).read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(
            f"no reduction in {folder} ({error}): fit it again from the article vectors"
        ) from error
    return _CLASSES[settings.method].load(folder)
