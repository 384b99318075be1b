"""Article vectors block by block: a memory-mapped file is never whole in memory, and is checked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modiste.errors import ConfigError, DataError

# 4,096 rows of 768 dimensions are 25 MB in float64: large enough for BLAS, small beside the file.
ROWS_PER_BLOCK = 4096


def checked_blocks(
    vectors: NDArray[np.floating[Any]], rows: int = ROWS_PER_BLOCK
) -> Iterator[tuple[slice, NDArray[np.floating[Any]]]]:
    """The vectors in blocks of rows, each with its place.

    Raises
    ------
    DataError
        When the vectors are not a table of numbers, or one of them is not finite; says which.
    """
    if vectors.ndim != 2:
        raise DataError(
            f"vectors of shape {vectors.shape} are not a table of one row an article: "
            "give an array of shape (articles, dimensions)"
        )
    for start in range(0, len(vectors), rows):
        place = slice(start, min(start + rows, len(vectors)))
        block = np.asarray(vectors[place])
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            row = start + int(np.flatnonzero(~finite)[0])
            raise DataError(
                f"row {row} of the vectors has a value that is not a finite number: make the "
                "vectors again (an article without a text has a row of zeros, not NaN)"
            )
        yield place, block


def check_dimensions(vectors: NDArray[np.floating[Any]], dimensions: int) -> None:
    """Refuse vectors of other dimensions than those that a reduction was fitted on.

    Raises
    ------
    DataError
        When they differ, or the vectors are not a table.
    """
    if vectors.ndim != 2 or vectors.shape[1] != dimensions:
        raise DataError(
            f"the reduction was fitted on vectors of {dimensions} dimensions and cannot place "
            f"an array of shape {vectors.shape}: encode the texts with the same sentence model, "
            "or fit the reduction again"
        )


def check_components(n_components: int | None, dimensions: int) -> None:
    """Refuse more components than the vectors have dimensions.

    Raises
    ------
    ConfigError
        When more are asked for.
    """
    if n_components is not None and n_components > dimensions:
        raise ConfigError(
            f"n_components is {n_components}, but the vectors have only {dimensions} "
            f"dimensions: ask for {dimensions} at most"
        )
