"""The weights of a blend, measured: coordinate ascent on MAP@k over validation windows.

MAP is a step function of the weights, so nothing is differentiated: each weight in turn is tried on
a logarithmic grid that gets finer with every round, and kept where MAP rises (coordinate ascent as
in Metzler & Croft, "Linear feature-based models for information retrieval", 2007). A customer
without a single hit among the candidates scores 0 under any weights and is left out of the search.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

FloatArray = npt.NDArray[np.float32]

# Factors tried on a weight in each round; 0 switches the source off.
_ROUNDS: tuple[tuple[float, ...], ...] = (
    (0.0, *(4.0**power for power in range(-5, 6))),
    (0.0, 0.25, 0.5, 2.0, 4.0),
    (0.0, 0.5, 0.7, 1.4, 2.0),
)


@dataclass(frozen=True)
class ScoredCandidates:
    """The candidates of one window's label customers, with every source's score.

    Attributes
    ----------
    scores
        float32 (customers, most candidates, sources): 0 where a source does not propose.
    candidate
        bool (customers, most candidates): False where a customer has fewer candidates.
    hit
        bool, same shape: whether the candidate was bought in the window.
    bought
        int64 (customers,): distinct articles bought in the window.
    customers
        Number of label customers, those without a hit included.
    """

    scores: FloatArray
    candidate: npt.NDArray[np.bool_]
    hit: npt.NDArray[np.bool_]
    bought: npt.NDArray[np.int64]
    customers: int

    @classmethod
    def of(
        cls, proposals: Mapping[str, pl.DataFrame], labels: pl.DataFrame, sources: Sequence[str]
    ) -> ScoredCandidates:
        """Lay out the sources' proposals for the customers of ``labels``.

        Parameters
        ----------
        proposals
            Each source's recommendations.
        labels
            Distinct pairs ``customer``, ``article``.
        sources
            The order of the sources in ``scores``.
        """
        n_labels = labels.group_by("customer").agg(pl.len().alias("bought"))
        pairs = (
            pl.concat(
                [
                    proposals[name].select(
                        "customer", "article", "score", source=pl.lit(index, pl.Int32)
                    )
                    for index, name in enumerate(sources)
                ]
            )
            .join(n_labels, on="customer")
            .join(labels.with_columns(hit=pl.lit(True)), on=["customer", "article"], how="left")
            .with_columns(pl.col("hit").fill_null(False))
            .filter(pl.col("hit").any().over("customer"))
            # Slots in the order of the articles: ties of the blended score are then broken as in
            # ``rank_by_score``.
            .with_columns(
                row=pl.col("customer").rank("dense").cast(pl.Int64) - 1,
                slot=pl.col("article").rank("dense").over("customer").cast(pl.Int64) - 1,
            )
        )
        shape = (
            pairs["customer"].n_unique(),
            int(pairs["slot"].max() or 0) + 1,  # type: ignore[call-overload, operator]
        )
        row, slot = pairs["row"].to_numpy(), pairs["slot"].to_numpy()
        scores = np.zeros((*shape, len(sources)), dtype=np.float32)
        scores[row, slot, pairs["source"].to_numpy()] = pairs["score"].to_numpy()
        candidate, hit = np.zeros(shape, dtype=np.bool_), np.zeros(shape, dtype=np.bool_)
        candidate[row, slot] = True
        hit[row, slot] = pairs["hit"].to_numpy()
        bought = np.zeros(shape[0], dtype=np.int64)
        bought[row] = pairs["bought"].to_numpy()
        return cls(scores, candidate, hit, bought, n_labels.height)

    def mean_average_precision(self, weights: FloatArray, k: int) -> float:
        """MAP@k of the blend under ``weights`` (one for each source), over all label customers."""
        if not self.customers:
            return 0.0
        blended = np.where(self.candidate, self.scores @ weights, -np.inf)
        k_kept = min(k, blended.shape[1])
        best = np.argpartition(-blended, k_kept - 1, axis=1)[:, :k_kept]
        best.sort(axis=1)
        order = np.argsort(-np.take_along_axis(blended, best, axis=1), axis=1, kind="stable")
        best = np.take_along_axis(best, order, axis=1)
        hits = np.take_along_axis(self.hit, best, axis=1)
        precision = np.cumsum(hits, axis=1) / np.arange(1, k_kept + 1)
        average = (precision * hits).sum(axis=1) / np.minimum(self.bought, k)
        return float(average.sum() / self.customers)


@dataclass(frozen=True)
class WeightSearch:
    """The weights that were found, and the way there.

    Attributes
    ----------
    weights
        By source; relative to ``anchor``'s, which is 1.
    score
        Their mean MAP@k over the windows.
    trials
        Every weight vector tried: one dict a trial, with its ``score``.
    """

    weights: dict[str, float]
    score: float
    trials: list[dict[str, float]]


def search_weights(
    windows: Sequence[ScoredCandidates],
    sources: Sequence[str],
    start: Mapping[str, float],
    anchor: str,
    k: int,
) -> WeightSearch:
    """Find the weights with the highest mean MAP@k over validation windows.

    Parameters
    ----------
    windows
        Each window's candidates; windows count by their number of customers.
    sources
        Names, in the order of the candidates' scores.
    start
        First weights.
    anchor
        The source whose weight stays 1: only ratios matter. It should propose for everybody.
    k
        Cut-off of MAP.
    """
    customers = sum(window.customers for window in windows)
    trials: list[dict[str, float]] = []

    def score_of(weights: dict[str, float]) -> float:
        vector = np.array([weights[name] for name in sources], dtype=np.float32)
        total = sum(
            window.mean_average_precision(vector, k) * window.customers for window in windows
        )
        score = total / max(customers, 1)
        trials.append({**weights, "score": score})
        return score

    weights = {name: 1.0 if name == anchor else float(start.get(name, 0.0)) for name in sources}
    best = score_of(weights)
    for factors in _ROUNDS:
        for name in sources:
            if name == anchor:
                continue
            base = weights[name] or float(start.get(name, 1.0)) or 1.0
            for factor in factors:
                trial = {**weights, name: base * factor}
                score = score_of(trial)
                if score > best:
                    best, weights = score, trial
    return WeightSearch(weights, best, trials)
