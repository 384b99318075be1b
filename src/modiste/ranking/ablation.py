"""What the hybrid is worth without one of its parts, everything else learned and chosen anew.

A part is one of the sources of candidates, a group of features, or a scorer of the ensemble. As in
a run, rankers learn from the windows before the watched one, their length and the scorers' weights
are chosen on it, they learn again, just as long, from the windows before the test, and its lists
are put into an order. The rows are made once; without a part they are filtered.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from modiste.evaluation.metrics import score_customers
from modiste.evaluation.protocol import rank_by_score
from modiste.ranking.ensemble import choose_weights, combined
from modiste.ranking.features.sources import without_sources
from modiste.ranking.learning import WholeLists, learn_rankers
from modiste.ranking.list_accuracy import with_purchases
from modiste.ranking.protocol import Ranker
from modiste.ranking.rows import LABEL, RankingRows
from modiste.ranking.scorers import scorers_of
from modiste.ranking.settings import RankingSettings


@dataclass(frozen=True)
class AblationRows:
    """The rows of all windows that a hybrid is made and tested on.

    Attributes
    ----------
    before
        Learned from while the watched window is watched.
    watched
        How long rankers learn, and the weights, are chosen on it.
    learned
        Learned from in the end.
    test
        What the hybrid is scored on.
    sources
        Names of the sources that candidates come from.
    """

    before: RankingRows
    watched: WholeLists
    learned: RankingRows
    test: WholeLists
    sources: tuple[str, ...]

    @property
    def found(self) -> int:
        """How many of the purchases of the test window are among the candidates."""
        return int(self.test.rows.frame[LABEL].sum())

    def without_groups(self, groups: Sequence[str]) -> AblationRows:
        """Rankers do not see some groups of features; the blend and networks do."""
        return self._each(lambda rows: rows.without_groups(groups))

    def without_sources(self, sources: Collection[str]) -> AblationRows:
        """Some sources were not asked, as far as that can be told from the rows.

        Lists that hold no purchase any more are left out, as in making rows to learn from; the
        buyers of the watched window and of the test stay. See
        :func:`modiste.ranking.features.sources.without_sources`.
        """
        left = self._each(lambda rows: with_purchases(without_sources(rows, sources)))
        return replace(left, sources=tuple(name for name in self.sources if name not in sources))

    def _each(self, change: Callable[[RankingRows], RankingRows]) -> AblationRows:
        return AblationRows(
            change(self.before),
            replace(self.watched, rows=change(self.watched.rows)),
            change(self.learned),
            replace(self.test, rows=change(self.test.rows)),
            self.sources,
        )


@dataclass(frozen=True)
class ScoredHybrid:
    """A hybrid that was learned, chosen and tested.

    Attributes
    ----------
    rankers
        As they learned from the windows before the watched one.
    weights
        Of the scorers, by segment of customers.
    watched, test
        Comparable scores of the lists of both windows, a column a scorer.
    scorers
        Names of the scorers.
    precision
        AP@k of every buyer of the test window: ``customer``, ``segment`` and
        ``average_precision``, sorted by customer.
    """

    rankers: dict[str, Ranker]
    weights: dict[str, dict[str, float]]
    watched: pl.DataFrame
    test: pl.DataFrame
    scorers: tuple[str, ...]
    precision: pl.DataFrame


def learn_and_test(
    rows: AblationRows, settings: RankingSettings, blend: Mapping[str, float], k: int
) -> ScoredHybrid:
    """Learn and choose a hybrid on the windows before the test, and score it there.

    Slow rankers score whole lists: there is no cascade here.

    Parameters
    ----------
    rows
        Of all windows.
    settings
        Of the rankers and their weights.
    blend
        Weights of the sources in the blend; those that the rows know nothing of do not count.
    k
        Recommendations a customer that count.

    Raises
    ------
    DataError
        When there is nothing to learn from.
    """
    scorers = scorers_of(settings.rankers, rows.sources)
    early = learn_rankers(settings, rows.before, rows.watched.rows)
    rounds = {name: ranker.rounds for name, ranker in early.items()}
    final = learn_rankers(settings, rows.learned, rounds=rounds)
    watched = rows.watched.scored_by(early, blend, scorers)
    test = rows.test.scored_by(final, blend, scorers)
    made = ScoredHybrid(early, {}, watched, test, tuple(scorers), pl.DataFrame())
    return _chosen(made, rows, settings, k)


def without_scorer(
    made: ScoredHybrid, scorer: str, rows: AblationRows, settings: RankingSettings, k: int
) -> ScoredHybrid:
    """Choose the weights of all other scorers anew, and test those; nothing is learned.

    Parameters
    ----------
    made
        Of the same rows and settings.
    scorer
        The one that is left out.
    rows, settings, k
        As for :func:`learn_and_test`.
    """
    left = tuple(name for name in made.scorers if name != scorer)
    return _chosen(replace(made, scorers=left), rows, settings, k)


def _chosen(
    made: ScoredHybrid, rows: AblationRows, settings: RankingSettings, k: int
) -> ScoredHybrid:
    """The same with weights chosen on the watched window, and what they score on the test."""
    weights = choose_weights(
        made.watched,
        rows.watched.labels,
        rows.watched.segments,
        settings.first_weights(made.scorers),
        k,
        settings.z,
    ).weights
    lists = rank_by_score(combined(made.test, weights), k)
    precision = (
        score_customers(lists, rows.test.labels, k)
        .join(rows.test.segments, on="customer", how="left")
        .select("customer", "segment", "average_precision")
        .sort("customer")
    )
    return replace(made, weights=weights, precision=precision)
