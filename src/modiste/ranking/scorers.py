"""All that gives a candidate a score: the blend, the rankers, and networks among the sources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modiste.candidates.generator import score_of
from modiste.models.blend import POPULARITY
from modiste.ranking.features.articles import POPULARITY_FEATURE
from modiste.ranking.protocol import Ranker
from modiste.ranking.settings import BLEND_SCORER, NETWORK_SCORERS


def scorers_of(rankers: Iterable[str], sources: Iterable[str]) -> list[str]:
    """Names of what scores candidates that come from some sources, where there are some rankers."""
    networks = [name for name in NETWORK_SCORERS if name in set(sources)]
    return [BLEND_SCORER, *rankers, *networks]


def score_rows(
    rows: pl.DataFrame,
    rankers: Mapping[str, Ranker],
    blend: Mapping[str, float],
    scorers: Sequence[str],
) -> pl.DataFrame:
    """Score candidates by some of the scorers.

    Parameters
    ----------
    rows
        ``customer``, ``article`` and every feature.
    rankers
        By name, fitted.
    blend
        Weights of the sources in the blend. A source that did not propose a candidate counts as 0;
        popularity counts for every candidate.
    scorers
        Names, of :func:`scorers_of`.

    Returns
    -------
    Columns ``customer``, ``article`` and one for each scorer, each on a scale of its own; null
    where a network knows nothing of the customer. The rows keep their order.
    """
    return rows[["customer", "article"]].hstack(
        [
            pl.Series(name, scores_of(name, rows, rankers, blend), nan_to_null=True)
            for name in scorers
        ]
    )


def scores_of(
    scorer: str, rows: pl.DataFrame, rankers: Mapping[str, Ranker], blend: Mapping[str, float]
) -> NDArray[np.floating[Any]]:
    """The scores of one scorer, a number for each row; NaN where a network knows nothing.

    The parameters are those of :func:`score_rows`.
    """
    if scorer == BLEND_SCORER:
        return sum(blend_parts(rows, blend).values(), start=np.zeros(rows.height))
    if scorer in rankers:
        return rankers[scorer].score(rows)
    return rows[score_of(scorer)].to_numpy()


def blend_parts(rows: pl.DataFrame, blend: Mapping[str, float]) -> dict[str, NDArray[np.float64]]:
    """What each source adds to a candidate's score in the blend.

    Parameters
    ----------
    rows, blend
        As for :func:`score_rows`.

    Returns
    -------
    By source with a weight a number for each row.
    """
    columns = {
        name: POPULARITY_FEATURE if name == POPULARITY else score_of(name)
        for name, weight in blend.items()
        if weight
    }
    return {
        name: np.nan_to_num(rows[column].to_numpy().astype(np.float64)) * blend[name]
        for name, column in columns.items()
        if column in rows.columns
    }
