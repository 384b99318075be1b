"""Vectors of all articles, in one file that can be memory-mapped."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from modiste.errors import DataError

_VECTORS = "vectors.npy"
_ORIGIN = "origin.json"


@dataclass(frozen=True)
class ArticleVectors:
    """One vector an article.

    Attributes
    ----------
    vectors
        float32, shape (n_articles, dimensions); row number = ``article``. Each row has length 1, or
        is all zero where nothing is known of the article (it has no text, and no picture that is
        used).
    origin
        What made them, for people and to refuse vectors of another kind: model, revision, texts,
        pictures.
        JSON-able; two sets of vectors can be compared with one another only if it is equal.
    """

    vectors: NDArray[np.float32]
    origin: dict[str, Any]

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which articles have a vector: shape (n_articles,)."""
        return np.asarray(self.vectors.any(axis=1))

    def of_all(self, n_articles: int) -> NDArray[np.float32]:
        """The vectors, where they are those of a shop with so many articles.

        Raises
        ------
        DataError
            When there are more or fewer.
        """
        if len(self.vectors) != n_articles:
            raise DataError(
                f"there are vectors of {len(self.vectors):,} articles, but the shop has "
                f"{n_articles:,}: make them anew with 'modiste embed'"
            )
        return self.vectors

    def save(self, folder: Path) -> None:
        """Write ``vectors.npy`` and ``origin.json`` into an existing folder."""
        np.save(folder / _VECTORS, self.vectors)
        (folder / _ORIGIN).write_text(json.dumps(self.origin, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Open what :meth:`save` wrote, memory-mapped.

        Raises
        ------
        DataError
            When the files are not there or not whole.
        """
        try:
            vectors = np.load(folder / _VECTORS, mmap_mode="r")
            origin = json.loads((folder / _ORIGIN).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(
                f"no article vectors in {folder} ({error}): make them with 'modiste embed'"
            ) from error
        return cls(vectors, origin)


def unit_rows(vectors: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """The rows divided by their lengths; a row of zeros stays one."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.zeros(vectors.shape, dtype=np.float32)
    np.divide(vectors, lengths, out=unit, where=lengths > 0)
    return unit
