"""The weights of a blend, measured: coordinate ascent on MAP@k, moved by clear evidence alone.

MAP is a step function of the weights, so nothing is differentiated: each weight in turn is tried at
factors of its value (coordinate ascent as in Metzler & Croft, "Linear feature-based models for
information retrieval", 2007). The best of many trials on one validation set is better there by
luck alone; so a weight moves only when the gain, paired by customer, exceeds ``z`` standard errors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

Floats = npt.NDArray[np.float64]

FACTORS = (0.0, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1 / 1.4, 1.4, 2.0, 4.0, 8.0, 16.0)

_ROUNDS = 4


@dataclass(frozen=True)
class ScoredCandidates:
    """The candidates of one window's label customers, laid out so that MAP takes milliseconds.

    A customer without a single hit among the candidates scores 0 under any weights: only the number
    of such customers is kept.

    Attributes
    ----------
    scores
        float64 (customers with a hit, most candidates, sources); 0 where there is no candidate.
    candidate, hit
        bool (customers with a hit, most candidates): whether there is a candidate, and whether it
        was bought in the window.
    bought
        int64 (customers with a hit,): distinct articles bought in the window.
    rows
        int64 (customers with a hit,): their places among all label customers, sorted by code.
    customers
        Number of all label customers.
    """

    scores: Floats
    candidate: npt.NDArray[np.bool_]
    hit: npt.NDArray[np.bool_]
    bought: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    customers: int

    @classmethod
    def of(
        cls, candidates: pl.DataFrame, labels: pl.DataFrame, sources: Sequence[str]
    ) -> ScoredCandidates:
        """Lay out candidates.

        Parameters
        ----------
        candidates
            Columns ``customer``, ``article`` and one for each source.
        labels
            Distinct pairs ``customer``, ``article``.
        sources
            The order of the sources in ``scores``.
        """
        buyers = (
            labels.group_by("customer")
            .agg(pl.len().cast(pl.Int64).alias("bought"))
            .sort("customer")
            .with_columns(row=pl.int_range(pl.len(), dtype=pl.Int64))
        )
        # In the order of the articles: among the best, ties are broken as in ``rank_by_score``.
        # Which of several equal ones is the last to be among the best is left to NumPy.
        pairs = (
            candidates.join(buyers, on="customer")
            .join(labels.with_columns(hit=pl.lit(True)), on=["customer", "article"], how="left")
            .with_columns(pl.col("hit").fill_null(False))
            .filter(pl.col("hit").any().over("customer"))
            .sort("customer", "article")
        )
        row, counts = np.unique(pairs["row"].to_numpy(), return_counts=True)
        owner = np.repeat(np.arange(len(row)), counts)
        slot = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
        shape = (len(row), int(counts.max(initial=1)))
        scores = np.zeros((*shape, len(sources)))
        scores[owner, slot] = pairs.select(sources).to_numpy()
        candidate, hit = np.zeros(shape, dtype=np.bool_), np.zeros(shape, dtype=np.bool_)
        candidate[owner, slot] = True
        hit[owner, slot] = pairs["hit"].to_numpy()
        bought = buyers["bought"].to_numpy()[row]
        return cls(scores, candidate, hit, bought, row, buyers.height)

    def average_precision(
        self, weights: Mapping[str, float], sources: Sequence[str], k: int
    ) -> Floats:
        """AP@k of every label customer under weights, shape (customers,)."""
        precision = np.zeros(self.customers)
        if not len(self.rows):
            return precision
        vector = np.array([weights.get(name, 0.0) for name in sources])
        blended = np.where(self.candidate, self.scores @ vector, -np.inf)
        kept = min(k, blended.shape[1])
        # The best, in the order of the articles, then in the order of the scores.
        best = np.sort(np.argpartition(-blended, kept - 1, axis=1)[:, :kept], axis=1)
        order = np.argsort(-np.take_along_axis(blended, best, axis=1), axis=1, kind="stable")
        hits = np.take_along_axis(self.hit, np.take_along_axis(best, order, axis=1), axis=1)
        at_rank = np.cumsum(hits, axis=1) / np.arange(1, kept + 1)
        precision[self.rows] = (at_rank * hits).sum(axis=1) / np.minimum(self.bought, k)
        return precision


def clearly_better(new: Floats, old: Floats, z: float) -> bool:
    """Whether scores of the same customers rose by more than ``z`` standard errors of the rise."""
    gain = new - old
    return float(gain.sum()) > z * float(np.sqrt((gain * gain).sum())) + 1e-12


@dataclass(frozen=True)
class WeightSearch:
    """The weights that were found, and the way there.

    Attributes
    ----------
    weights
        By source.
    precision
        AP@k of every label customer of all windows under them.
    trials
        What was tried: ``source``, ``weight``, ``map``, and whether the weight was ``taken``.
    """

    weights: dict[str, float]
    precision: Floats
    trials: list[dict[str, Any]]


def search_weights(
    windows: Sequence[ScoredCandidates],
    start: Mapping[str, float],
    anchor: str,
    k: int,
    z: float,
) -> WeightSearch:
    """Find weights with a higher MAP@k over validation windows than ``start`` has.

    Parameters
    ----------
    windows
        Each window's candidates, with the sources in the order of ``start``. Every customer of
        every window has one vote.
    start
        First weights, by source.
    anchor
        The source whose weight stays: only ratios matter.
    k
        Cut-off of MAP.
    z
        Standard errors that a gain must exceed.
    """
    sources = list(start)
    return ascend(
        lambda weights: np.concatenate(
            [window.average_precision(weights, sources, k) for window in windows]
        ),
        start,
        [name for name in sources if name != anchor],
        lambda weight: [weight * factor for factor in FACTORS],
        z,
        _ROUNDS,
    )


def ascend(
    precision_of: Callable[[Mapping[str, float]], Floats],
    start: Mapping[str, float],
    moving: Sequence[str],
    tried_at: Callable[[float], Sequence[float]],
    z: float,
    rounds: int,
) -> WeightSearch:
    """Move one weight after the other to where scores are best, as long as the gain is clear.

    Parameters
    ----------
    precision_of
        AP of every customer under weights.
    start
        First weights.
    moving
        Names of those that move, in the order in which they do.
    tried_at
        What a weight is tried at, given where it is. Never are all weights 0: that is no order.
    z
        Standard errors that a gain must exceed.
    rounds
        How often all are gone through, at most; once nothing moves it is over.
    """
    weights, current = dict(start), precision_of(start)
    trials: list[dict[str, Any]] = []
    for round_ in range(rounds):
        before = weights
        for name in moving:
            best, best_precision = weights, current
            tried = []
            for weight in tried_at(weights[name]):
                trial = {**weights, name: weight}
                if not any(trial.values()):
                    continue
                precision = precision_of(trial)
                tried.append(
                    {
                        "round": round_,
                        "source": name,
                        "weight": weight,
                        "map": float(precision.mean()),
                    }
                )
                if precision.sum() > best_precision.sum() and clearly_better(precision, current, z):
                    best, best_precision = trial, precision
            trials += [{**trial, "taken": trial["weight"] == best[name]} for trial in tried]
            weights, current = best, best_precision
        if weights == before:
            break
    return WeightSearch(weights, current, trials)
