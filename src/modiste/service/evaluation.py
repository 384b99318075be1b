"""How good lists are under rules and other weights, by what customers bought after the date.

A sample of customers is ranked a few at a time, so that other requests get their turns between:
:meth:`Evaluation.steps` gives one piece of work after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from modiste.evaluation.intervals import mean_interval, paired_difference
from modiste.evaluation.metrics import score_customers
from modiste.ranking.ensemble import comparable
from modiste.ranking.hybrid import Hybrid
from modiste.ranking.rules import ArticleRules
from modiste.service.answering import Answering, NotKnownError
from modiste.service.evaluation_messages import Change, EvaluationRequest, EvaluationState, Mean

# Ranked in one turn: a tenth of a second of work or so, for which others wait.
_AT_ONCE = 4

_METRIC = "average_precision"

# Of the bootstrap: fewer than in a report, for somebody waits.
_RESAMPLES = 500


class Evaluation:
    """MAP@k of a sample of customers, as the run recommends and as somebody would rather have it.

    Parameters
    ----------
    answering
        Whose bundle knows later purchases. Live events are left out: they may be these purchases.
    wanted
        Rules and weights, on how many customers, and how these are drawn.

    Raises
    ------
    NotKnownError
        When the bundle has no later purchases.
    ConfigError
        When a rule names what the shop does not have, or a weight a scorer that is not there.
    """

    def __init__(self, answering: Answering, wanted: EvaluationRequest) -> None:
        bundle = answering.bundle
        if bundle.later is None:
            raise NotKnownError(
                "this bundle does not know what was bought later: export it with --purchases"
            )
        everybody = bundle.later.customers
        n = min(wanted.customers, len(everybody))
        drawn = np.random.default_rng(wanted.seed).choice(everybody, n, replace=False)
        is_erased = answering.live.is_erased
        self._customers = [
            int(code)
            for code in np.sort(drawn)
            if not is_erased(bundle.customers.customer_id(int(code)))
        ]
        self._later = bundle.later
        self._bundle = bundle
        self._k = wanted.k
        self._rules = answering.article_rules(wanted.rules)
        self._hybrid = answering.hybrid(wanted.scorer_weights)
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
        bundle = self._bundle
        batch = bundle.customers.batch(customers)
        rows = bundle.hybrid.rows(batch)
        labels = self._later.labels(customers)
        # Of one hybrid where the weights are the run's.
        combined = {
            hybrid: hybrid.combined(
                comparable(hybrid.scores_in_cascade(batch, rows), hybrid.weighted)
            )
            for hybrid in {bundle.hybrid, self._hybrid}
        }

        def precisions(hybrid: Hybrid, rules: ArticleRules | None) -> list[float]:
            lists = hybrid.first(batch, combined[hybrid], self._k, rules)
            return score_customers(lists, labels, self._k)[_METRIC].to_list()

        before, after = precisions(bundle.hybrid, None), precisions(self._hybrid, self._rules)
        self._scores += zip(before, after, strict=True)
