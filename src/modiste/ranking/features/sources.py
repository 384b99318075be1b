"""Features of the sources: how each of them scored a candidate, and at which place of its list."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl

from modiste.candidates.descriptions import describe
from modiste.candidates.generator import rank_of, score_of
from modiste.data.dataset import CustomerBatch, History
from modiste.ranking.rows import Feature, RankingRows

GROUP = "source"

_SOURCES = "number_of_sources"


class SourceFeatures:
    """The columns that the candidates come with.

    Parameters
    ----------
    sources
        Names of the sources.
    """

    def __init__(self, sources: Sequence[str]) -> None:
        self.sources = tuple(sources)

    @cached_property
    def features(self) -> tuple[Feature, ...]:
        """The group's features."""
        return (
            *(
                feature
                for source in self.sources
                for feature in (
                    Feature(score_of(source), GROUP, describe(source).score),
                    Feature(rank_of(source), GROUP, f"place among {describe(source).proposes}"),
                )
            ),
            Feature(_SOURCES, GROUP, "number of sources that propose the article"),
        )

    def fit(self, history: History) -> Self:
        """Return itself: all comes with the candidates."""
        del history
        return self

    def join(self, batch: CustomerBatch, candidates: pl.DataFrame) -> pl.DataFrame:
        """Count the sources."""
        del batch
        ranks = {rank_of(source) for source in self.sources}
        columns = [
            column.cast(pl.Float32) if column.name in ranks else column
            for column in candidates.iter_columns()
        ]
        proposed = np.zeros(candidates.height, dtype=np.float32)
        for column in columns:
            if column.name in ranks:
                proposed += ~np.isnan(column.to_numpy())
        return pl.DataFrame([*columns, pl.Series(_SOURCES, proposed)])

    def save(self, folder: Path) -> None:
        """There is nothing to write."""

    def load(self, folder: Path) -> Self:
        """Return itself."""
        del folder
        return self


def without_sources(rows: RankingRows, sources: Collection[str]) -> RankingRows:
    """The rows as if some sources had not been asked.

    Their columns are gone, and so are the candidates that no other source proposes. What the
    others proposed stays as it is: in lists that the merge had cut, a candidate of theirs might
    have taken the place of one that is gone.
    """
    columns = [name for source in sources for name in (score_of(source), rank_of(source))]
    theirs = pl.sum_horizontal(pl.col(rank_of(source)).is_not_null() for source in sources)
    left = pl.col(_SOURCES) - theirs
    frame = rows.frame.with_columns(left.cast(pl.Float32)).filter(pl.col(_SOURCES) > 0)
    features = tuple(feature for feature in rows.features if feature.name not in columns)
    return RankingRows(features, frame.drop(columns))
