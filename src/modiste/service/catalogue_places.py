"""Where articles lie on the map of the catalogue: two numbers each."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modiste.errors import DataError

FILE_NAME = "places.npy"

# The run's stage that leaves it.
_STAGE = "map"


def copy_places(stages: Path, folder: Path) -> None:
    """Copy a run's map into a bundle's folder, where the run has one."""
    source = stages / _STAGE / FILE_NAME
    if source.is_file():
        shutil.copyfile(source, folder / FILE_NAME)


def open_places(folder: Path, n_articles: int) -> NDArray[np.float32] | None:
    """The places, shape (n_articles, 2), not finite where an article has none; None without a map.

    Raises
    ------
    DataError
        When the file is damaged or of another number of articles.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return None
    try:
        places: NDArray[np.float32] = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DataError(f"{path} is damaged ({error}): make the bundle again") from error
    if places.shape != (n_articles, 2) or places.dtype != np.float32:
        raise DataError(f"{path} does not hold 32-bit places of {n_articles:,} articles")
    return places
