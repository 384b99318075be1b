"""What rankers learn from and score: candidates with their features, and what became of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modiste.errors import DataError

# Columns beside the features. ``window`` numbers the as-of dates; a list is one customer's
# candidates as of one of them.
LIST_KEYS = ("window", "customer")
KEYS: dict[str, pl.DataType] = {
    "window": pl.Int16(),
    "customer": pl.Int32(),
    "article": pl.Int32(),
}
SEGMENT = "segment"
LABEL = "bought"
WEIGHT = "weight"


@dataclass(frozen=True)
class Feature:
    """One column that rankers see.

    Attributes
    ----------
    name
        Of the column: Float32 for a number, where null is "not known"; Int32 for a category.
    group
        Features of a group can be left out together.
    meaning
        One line, in words that a merchandiser reads.
    n_categories
        None for a number. Else the codes go from 0 to this, exclusively; null: none.
    """

    name: str
    group: str
    meaning: str
    n_categories: int | None = None


@dataclass(frozen=True)
class RankingRows:
    """Candidates of lists of customers, with features and, where it is known, what was bought.

    Attributes
    ----------
    features
        In the order of a ranker's input.
    frame
        Sorted by (window, customer, article). The columns of ``KEYS`` and the features'; only
        where rankers learn from it ``bought`` (Boolean) and ``weight`` (Float32: of how many rows
        this one stands for, where some were left out), and ``segment`` where that is asked for.
    """

    features: tuple[Feature, ...]
    frame: pl.DataFrame

    @property
    def names(self) -> list[str]:
        """The features' names."""
        return [feature.name for feature in self.features]

    @property
    def names_by_group(self) -> dict[str, list[str]]:
        """The features' names, by their group."""
        groups: dict[str, list[str]] = {}
        for feature in self.features:
            groups.setdefault(feature.group, []).append(feature.name)
        return groups

    def list_sizes(self) -> NDArray[np.int64]:
        """Number of rows of each list, in the order of the rows."""
        sizes = self.frame.select(pl.struct(LIST_KEYS).rle().struct.field("len")).to_series()
        return sizes.to_numpy().astype(np.int64)

    def of_segments(self, segments: Collection[str]) -> RankingRows:
        """The lists of customers of some segments; all, where nothing of those was bought."""
        frame = self.frame.filter(pl.col(SEGMENT).cast(pl.String).is_in(list(segments)))
        return RankingRows(self.features, frame) if frame[LABEL].any() else self

    def without_groups(self, groups: Sequence[str]) -> RankingRows:
        """The same rows without the features of some groups."""
        left = tuple(feature for feature in self.features if feature.group not in groups)
        return RankingRows(left, self.frame)


def require_features(names: Sequence[str], frame: pl.DataFrame) -> None:
    """Refuse rows without some of the features that a ranker learned from.

    Raises
    ------
    DataError
        Naming those that are lacking.
    """
    there = set(frame.columns)
    lacking = [name for name in names if name not in there]
    if lacking:
        raise DataError(
            f"the rows lack the features {', '.join(lacking)}: give those that the ranker "
            "learned from"
        )
