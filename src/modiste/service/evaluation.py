"""How good lists are under rules, measured on what a bundle's customers bought after its date.

A sample of customers is ranked a few at a time, so that other requests get their turns between:
:meth:`Evaluation.steps` gives one piece of work after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import polars as pl

from modiste.evaluation.intervals import mean_interval, paired_difference
from modiste.evaluation.metrics import score_customers
from modiste.ranking.ensemble import comparable
from modiste.ranking.rules import Rules
from modiste.service.answering import Answering, NotKnownError
from modiste.service.evaluation_messages import Change, EvaluationState, Mean

# Ranked in one turn: a tenth of a second of work or so, for which others wait.
_AT_ONCE = 4

_METRIC = "average_precision"

# Of the bootstrap: fewer than in a report, for somebody waits.
_RESAMPLES = 500


class Evaluation:
    """MAP@k of a sample of customers, with the shop's rules alone and with further ones.

    Parameters
    ----------
    answering
        Whose bundle knows later purchases. Live events are left out: they may be these purchases.
    rules
        Beside the shop's own.
    customers
        At most so many, of those who bought later.
    k
        Articles in a list.
    seed
        Of the draw.

    Raises
    ------
    NotKnownError
        When the bundle has no later purchases.
    ConfigError
        When a rule names what the shop does not have.
    """

    def __init__(
        self, answering: Answering, rules: Rules, customers: int, k: int, seed: int
    ) -> None:
        bundle = answering.bundle
        if bundle.later is None:
            raise NotKnownError(
                "this bundle does not know what was bought later: export it with --purchases"
            )
        everybody = bundle.later.customers
        n = min(customers, len(everybody))
        drawn = np.random.default_rng(seed).choice(everybody, n, replace=False)
        is_erased = answering.live.is_erased
        self._customers = [
            int(code)
            for code in np.sort(drawn)
            if not is_erased(bundle.customers.customer_id(int(code)))
        ]
        self._later = bundle.later
        self._bundle = bundle
        self._k = k
        self._rules = answering.article_rules(rules)
        self._scores: list[tuple[float, float]] = []

    def steps(self) -> Iterator[Callable[[], None]]:
        """Pieces of work, each to be done before the next one is asked for."""
        for start in range(0, len(self._customers), _AT_ONCE):
            some = self._customers[start : start + _AT_ONCE]
            yield lambda some=some: self._score(some)  # type: ignore[misc]

    @property
    def state(self) -> EvaluationState:
        """How far it is, and the figures of the customers so far."""
        scores = np.array(self._scores).reshape(-1, 2)
        before, after = scores[:, 0], scores[:, 1]
        means = differences = None
        if len(scores):
            means = [mean_interval(each, resamples=_RESAMPLES) for each in (before, after)]
            differences = paired_difference(after, before, resamples=_RESAMPLES)
        return EvaluationState(
            customers=len(self._customers),
            done=len(scores),
            k=self._k,
            before=None if means is None else Mean.model_validate(means[0], from_attributes=True),
            after=None if means is None else Mean.model_validate(means[1], from_attributes=True),
            change=None
            if differences is None
            else Change(mean=differences.difference, low=differences.low, high=differences.high),
            changed=int((before != after).sum()),
        )

    def _score(self, customers: list[int]) -> None:
        hybrid = self._bundle.hybrid
        batch = self._bundle.customers.batch(customers)
        scored = comparable(hybrid.scores_in_cascade(batch, hybrid.rows(batch)), hybrid.weighted)
        combined = hybrid.combined(scored)
        labels = self._later.labels(customers)
        lists = (hybrid.first(batch, combined, self._k, rules) for rules in (None, self._rules))
        before, after = (_precisions(each, labels, self._k) for each in lists)
        self._scores += zip(before, after, strict=True)


def _precisions(lists: pl.DataFrame, labels: pl.DataFrame, k: int) -> list[float]:
    return score_customers(lists, labels, k)[_METRIC].to_list()
