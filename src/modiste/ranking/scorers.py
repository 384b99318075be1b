"""All that gives a candidate a score: the blend, the rankers, and networks among the sources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import polars as pl

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
    scores: list[pl.Series | pl.Expr] = []
    for name in scorers:
        if name == BLEND_SCORER:
            scores.append(_blended(rows, blend).alias(name))
        elif name in rankers:
            scores.append(pl.Series(name, rankers[name].score(rows)))
        else:
            scores.append(pl.col(score_of(name)).alias(name))
    return rows.select("customer", "article", *scores)


def blend_parts(rows: pl.DataFrame, blend: Mapping[str, float]) -> dict[str, pl.Expr]:
    """What each source adds to a candidate's score in the blend.

    Parameters
    ----------
    rows, blend
        As for :func:`score_rows`.

    Returns
    -------
    By source with a weight an expression over the rows, float64.
    """
    columns = {
        name: POPULARITY_FEATURE if name == POPULARITY else score_of(name)
        for name, weight in blend.items()
        if weight
    }
    return {
        name: pl.col(column).cast(pl.Float64).fill_null(0.0) * blend[name]
        for name, column in columns.items()
        if column in rows.columns
    }


def _blended(rows: pl.DataFrame, blend: Mapping[str, float]) -> pl.Expr:
    return pl.sum_horizontal(blend_parts(rows, blend).values())
