"""Several scores of the same candidates as one: weights by segment of customers, measured.

A score is made comparable within a customer's list (mean 0, deviation 1), for rankers' scores have
no scale in common. The weights move by coordinate ascent on MAP@k, and only on clear evidence, as
those of the blend do (:mod:`modiste.models.weight_search`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modiste.data.pairs import groups_of_sorted
from modiste.models.weight_search import ScoredCandidates, ascend

# By segment of customers, then by scorer.
Weights = Mapping[str, Mapping[str, float]]

# What a weight is tried at beside 0: the others' are of this order, too.
_GRID = (0.125, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)
_ROUNDS = 3

_TRIALS = {
    "segment": pl.String(),
    "scorer": pl.String(),
    "weight": pl.Float64(),
    "map": pl.Float64(),
    "taken": pl.Boolean(),
}


@dataclass(frozen=True)
class EnsembleChoice:
    """The weights that were chosen, and what was tried.

    Attributes
    ----------
    weights
        By segment and scorer.
    trials
        Columns ``segment``, ``scorer``, ``weight``, ``map`` (of the segment's customers) and
        ``taken``.
    """

    weights: dict[str, dict[str, float]]
    trials: pl.DataFrame


def comparable(scored: pl.DataFrame, scorers: Sequence[str]) -> pl.DataFrame:
    """The scores with mean 0 and deviation 1 within each customer's list.

    Parameters
    ----------
    scored
        Columns ``customer``, ``article``, others, and one for each scorer; the rows of a list stand
        together. Null: it has no score for the candidate, which then counts as its lowest one in
        the list, and as 0 where it has none in the whole list.
    scorers
        Names of the columns.

    Returns
    -------
    The same rows; the scorers' columns float64, 0 where all candidates of a list score alike.
    """
    starts, sizes = groups_of_sorted(scored["customer"].to_numpy())
    lists = np.repeat(np.arange(len(starts)), sizes)
    return pl.DataFrame(
        [
            _standardised(column, starts, lists) if column.name in scorers else column
            for column in scored.iter_columns()
        ]
    )


def _standardised(
    column: pl.Series, starts: NDArray[np.int64], lists: NDArray[np.int64]
) -> pl.Series:
    """The scores of a column as :func:`comparable` gives them.

    Parameters
    ----------
    column
        Scores, null where there is none.
    starts
        First row of each list.
    lists
        Number of each row's list.
    """
    values = column.to_numpy().astype(np.float64)
    missing = np.isnan(values)
    if missing.any():
        lowest = np.fmin.reduceat(values, starts)
        values[missing] = np.nan_to_num(lowest)[lists[missing]]
    # bincount adds up in the order of the rows: a list alone gets the bits that it gets among
    # others. Of the values less their first one, so that those of a list that are alike are 0.
    n = np.bincount(lists)
    values -= values[starts][lists]
    values -= (np.bincount(lists, values) / n)[lists]
    deviation = np.sqrt(np.bincount(lists, values**2) / n)[lists]
    even = np.divide(values, deviation, out=np.zeros_like(values), where=deviation > 0)
    return pl.Series(column.name, even)


def combine(scored: pl.DataFrame, weights: Weights) -> NDArray[np.float64]:
    """The weighted sum of comparable scores, by the weights of each customer's segment.

    Parameters
    ----------
    scored
        As :func:`comparable` gives it, with a column ``segment``.
    weights
        For every segment that there is.

    Returns
    -------
    A number for each row.

    Raises
    ------
    ValueError
        When a segment has no weights.
    """
    segments = scored["segment"].cast(pl.String)
    total = np.zeros(len(segments))
    without = np.ones(len(segments), dtype=np.bool_)
    for segment, of_segment in weights.items():
        rows = np.flatnonzero((segments == segment).to_numpy())
        without[rows] = False
        for name, weight in of_segment.items():
            if weight and len(rows):
                total[rows] += scored[name].to_numpy()[rows] * weight
    if without.any():
        missing = ", ".join(segments.filter(pl.Series(without)).unique().sort())
        raise ValueError(f"no weights of the segment {missing}")
    return total


def weight_shares(weights: Mapping[str, float]) -> dict[str, float]:
    """The weights of a segment's scorers as shares of their sum; all 0 where it is 0."""
    total = sum(weights.values())
    return {name: weight / total if total else 0.0 for name, weight in weights.items()}


def combined(scored: pl.DataFrame, weights: Weights) -> pl.DataFrame:
    """Columns ``customer``, ``article`` and ``score``: the order of :func:`combine`, made positive.

    The factors of rules multiply scores, which must not turn the order of what is below 0. So it is
    the exponential, and of the weighted mean: that of a sum by large weights is more than float32
    holds, and a factor would mean the less the larger the weights are.
    """
    shares = {segment: weight_shares(given) for segment, given in weights.items()}
    score = np.exp(combine(scored, shares))
    return scored[["customer", "article"]].hstack([pl.Series("score", score)])


def choose_weights(
    scored: pl.DataFrame,
    labels: pl.DataFrame,
    segments: pl.DataFrame,
    start: Weights,
    k: int,
    z: float,
) -> EnsembleChoice:
    """Choose each segment's weights on a validation window.

    Parameters
    ----------
    scored
        As :func:`comparable` gives it: the candidates of the window's buyers.
    labels
        Distinct pairs ``customer``, ``article``: what they bought.
    segments
        Columns ``customer`` and ``segment``, of every buyer.
    start
        First weights of every segment. The scorers are those named here; one with 0 has no part
        in the sum until it is given one.
    k
        Cut-off of MAP.
    z
        Standard errors by which a gain must be clear to be taken.
    """
    chosen: dict[str, dict[str, float]] = {}
    trials: list[dict[str, object]] = []
    for segment, first in start.items():
        members = segments.filter(pl.col("segment").cast(pl.String) == segment).select("customer")
        bought = labels.join(members, on="customer", how="semi")
        if bought.is_empty():
            chosen[segment] = dict(first)
            continue
        scorers = list(first)
        candidates = ScoredCandidates.of(
            scored.join(members, on="customer", how="semi"), bought, scorers
        )
        found = ascend(
            partial(candidates.average_precision, sources=scorers, k=k),
            first,
            scorers,
            lambda weight: [value for value in (0.0, *_GRID) if value != weight],
            z,
            _ROUNDS,
        )
        chosen[segment] = found.weights
        trials += [
            {"segment": segment, "scorer": trial["source"], **trial} for trial in found.trials
        ]
    return EnsembleChoice(chosen, pl.DataFrame(trials, schema=_TRIALS))


def weight_curve(
    scored: pl.DataFrame,
    labels: pl.DataFrame,
    one: str,
    other: str,
    shares: Iterable[float],
    k: int,
) -> pl.DataFrame:
    """MAP@k of two scorers together, by the share of the one.

    Parameters
    ----------
    scored
        As :func:`comparable` gives it.
    labels
        Distinct pairs ``customer``, ``article``.
    one, other
        Names of the scorers.
    shares
        Of the one, 0 to 1; the other has the rest.
    k
        Cut-off of MAP.

    Returns
    -------
    Columns ``share`` and ``map`` (float64), a row a share.
    """
    candidates = ScoredCandidates.of(scored, labels, [one, other])
    rows = []
    for share in shares:
        weights = {one: share, other: 1 - share}
        precision = candidates.average_precision(weights, [one, other], k)
        rows.append({"share": float(share), "map": float(precision.mean())})
    return pl.DataFrame(rows, schema={"share": pl.Float64(), "map": pl.Float64()})
