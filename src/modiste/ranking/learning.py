"""Rankers learn from rows that are there, and what they say of whole lists becomes comparable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from modiste.engine.progress import say
from modiste.ranking.ensemble import comparable
from modiste.ranking.list_accuracy import with_purchases
from modiste.ranking.protocol import Ranker
from modiste.ranking.rankers import make_rankers
from modiste.ranking.rows import RankingRows
from modiste.ranking.scorers import score_rows
from modiste.ranking.settings import RankingSettings


@dataclass(frozen=True)
class WholeLists:
    """A window's buyers with all their candidates, to choose on or to be scored on.

    Attributes
    ----------
    rows
        Whole lists, of one window.
    labels
        Distinct pairs ``customer``, ``article``: what was bought, be it a candidate or not.
    segments
        ``customer`` and ``segment``, of every buyer.
    """

    rows: RankingRows
    labels: pl.DataFrame
    segments: pl.DataFrame

    def with_purchases(self) -> WholeLists:
        """Without the lists that hold nothing bought: any order of those scores 0.

        ``labels`` and ``segments`` stay, so that their buyers still count.
        """
        return replace(self, rows=with_purchases(self.rows))

    def scored(self, raw: pl.DataFrame, scorers: Sequence[str]) -> pl.DataFrame:
        """Scores of the rows made comparable within each list, with their customers' segments.

        ``raw`` is what :func:`modiste.ranking.scorers.score_rows` gives for the rows.
        """
        return comparable(raw, scorers).join(
            self.segments, on="customer", how="left", maintain_order="left"
        )

    def scored_by(
        self, rankers: Mapping[str, Ranker], blend: Mapping[str, float], scorers: Sequence[str]
    ) -> pl.DataFrame:
        """What scorers say of the rows, made comparable: see :meth:`scored`.

        The parameters are those of :func:`modiste.ranking.scorers.score_rows`.
        """
        return self.scored(score_rows(self.rows.frame, rankers, blend, scorers), scorers)


def learn_rankers(
    settings: RankingSettings,
    rows: RankingRows,
    watched: RankingRows | None = None,
    *,
    rounds: Mapping[str, int] | None = None,
    checkpoints: Path | None = None,
) -> dict[str, Ranker]:
    """Let each ranker learn from the customers of its segments.

    Parameters
    ----------
    settings
        Which rankers there are, and their segments.
    rows
        Of the windows to learn from.
    watched
        Whole lists of a later window: each ranker stops where it orders those of its segments best.
    rounds
        By ranker, learn for just as long.
    checkpoints
        Folder in which each ranker leaves, in one of its name, what it can go on from.

    Raises
    ------
    DataError
        When there is nothing to learn from.
    """
    rankers = make_rankers(settings)
    for name, ranker in rankers.items():
        segments = settings.segments_of(name)
        learned = rows.of_segments(segments)
        folder = None if checkpoints is None else checkpoints / name
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        say(f"modiste: {name} learns from {learned.frame.height:,} rows")
        ranker.fit(
            learned,
            None if watched is None else watched.of_segments(segments),
            rounds=None if rounds is None else rounds[name],
            checkpoints=folder,
        )
    return rankers
