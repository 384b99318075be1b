"""How popular each article was at the time: what a sequence model need not learn.

Fashion turns over within weeks, a network is trained over years. Left alone it learns what sold
best on average of that time. So the logarithm of an article's popularity, as of the week that an
article was bought in, is added to its score in training, and that as of today when it is asked:

    P(j | history, t)  proportional to  popularity_t(j) * exp(h . e_j)

The network learns what a history says beyond popularity, and keeps being right about what is in
fashion after it was trained. Articles that were not on sale at the time are no negatives: to tell
them from a bought one teaches what is on sale, and nothing of taste. This is the correction for a
shifted prior of Saerens et al., "Adjusting the Outputs of a Classifier to New a Priori
Probabilities" (Neural Computation 2002), made a part of training as logit adjustment is (Menon et
al., "Long-tail learning via logit adjustment", ICLR 2021).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from modiste.data.dataset import History
from modiste.data.days import day_number
from modiste.models.popularity import PopularitySettings, popularity_weights

# Of a period before the first: nothing is known, and all articles are alike.
_BEFORE = np.iinfo(np.int64).min


@dataclass(frozen=True, eq=False)
class PopularityPrior:
    """Popularity as of some dates.

    Attributes
    ----------
    days
        int64, shape (periods,): the dates, as sequences count days, rising; the first is before all
        others, and stands for a time of which nothing is known.
    log_share
        float32, shape (periods, n_articles): logarithm of each article's share in what was sold in
        the days before the date; minus infinity: not on sale.
    """

    days: NDArray[np.int64]
    log_share: NDArray[np.float32]

    def periods_of(self, days: NDArray[np.int64]) -> NDArray[np.int64]:
        """The latest period that begins on each day or before it: what was known by then."""
        return np.searchsorted(self.days, days, side="right") - 1

    @property
    def ever_on_sale(self) -> NDArray[np.int64]:
        """int64: codes of the articles that were on sale in any period, sorted."""
        return np.flatnonzero(np.isfinite(self.log_share[1:]).any(axis=0))


def popularity_prior(
    history: History, settings: PopularitySettings, step_days: int
) -> PopularityPrior:
    """Popularity as of the history's date, ``step_days`` before it, and so on to the first sale."""
    first = history.article_sales["t_dat"].min()
    step = timedelta(days=step_days)
    as_of = [history.as_of]
    while isinstance(first, date) and as_of[-1] - step > first:
        as_of.append(as_of[-1] - step)
    as_of.reverse()
    rows = [np.ones(history.n_articles), *popularity_weights(history, as_of, settings)]
    return PopularityPrior(
        np.array([_BEFORE, *(day_number(day) for day in as_of)]),
        np.stack([_log_share(weights) for weights in rows]),
    )


def log_share_now(history: History, settings: PopularitySettings) -> NDArray[np.float32]:
    """As of the history's date alone: the last row of its prior, shape (n_articles,)."""
    (weights,) = popularity_weights(history, [history.as_of], settings)
    return _log_share(weights)


def article_offsets(
    history: History, settings: PopularitySettings, with_prior: bool
) -> NDArray[np.float32]:
    """What is added to the articles' scores as of the history's date.

    Parameters
    ----------
    with_prior
        Whether the logarithm of an article's share is added, or only what is not on sale left out.

    Returns
    -------
    float32, shape (n_articles,): minus infinity where an article is not on sale.
    """
    log_share = log_share_now(history, settings)
    return log_share if with_prior else np.where(np.isfinite(log_share), np.float32(0), log_share)


def _log_share(weights: NDArray[np.float64]) -> NDArray[np.float32]:
    with np.errstate(divide="ignore"):
        log_share: NDArray[np.float32] = np.log(weights / max(weights.sum(), 1e-300)).astype(
            np.float32
        )
    return log_share
