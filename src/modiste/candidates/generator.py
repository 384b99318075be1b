"""Candidates: what the sources propose, merged, at most so many a customer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modiste.candidates.settings import SEGMENTS, CandidateSettings, segment_numbers
from modiste.data.dataset import CustomerBatch, History
from modiste.data.pairs import codes_of, find, groups_of_sorted, pairs_of
from modiste.evaluation.protocol import RECOMMENDATIONS, Recommender
from modiste.models.blend import RECOMMENDERS, Artifacts, BlendSettings, make_recommenders


def score_of(source: str) -> str:
    """Name of the column with a source's score."""
    return f"{source}_score"


def rank_of(source: str) -> str:
    """Name of the column with a source's rank."""
    return f"{source}_rank"


@runtime_checkable
class ScoresCandidates(Protocol):
    """A source that has a score for any article on sale, not only for those that it proposes."""

    def score(self, batch: CustomerBatch, candidates: pl.DataFrame) -> pl.DataFrame:
        """Candidates (``customer``, ``article``) in their order, with a column ``score``."""


class CandidateGenerator:
    """The sources of candidates, and their merge.

    Parameters
    ----------
    settings
        Quotas and limit.
    models
        Of the recommenders that are the sources.
    artifacts
        What some sources are made of.
    """

    def __init__(
        self,
        settings: CandidateSettings | None = None,
        models: BlendSettings | None = None,
        artifacts: Artifacts | None = None,
    ) -> None:
        self.settings = settings or CandidateSettings()
        self.models = models or BlendSettings()
        made = make_recommenders(self.models, artifacts)
        self.sources: dict[str, Recommender] = {
            name: made[name] for name in self.settings.sources if name in made
        }

    def fit(self, history: History) -> Self:
        """Fit every source."""
        for source in self.sources.values():
            source.fit(history)
        return self

    def propose(self, batch: CustomerBatch) -> dict[str, pl.DataFrame]:
        """What each source proposes within its quota: columns of ``RECOMMENDATIONS``."""
        customers = batch.customers["customer"]
        segments = segment_numbers(batch)
        # Sources that ask about the same customers share a batch, and what it has worked out.
        batches: dict[tuple[bool, ...], CustomerBatch] = {}
        proposals = {}
        for name, source in self.sources.items():
            quotas = np.array([self.settings.quotas[each].get(name, 0) for each in SEGMENTS])
            quota = quotas[segments]
            asked = np.flatnonzero(quota)
            if not len(asked):
                proposals[name] = pl.DataFrame(schema=RECOMMENDATIONS)
                continue
            key = tuple((quotas > 0).tolist())
            if key not in batches:
                everybody = len(asked) == len(customers)
                batches[key] = batch if everybody else batch.only(customers.gather(asked))
            found = source.recommend(batches[key], int(quota.max()))
            if quota[asked].min() < quota.max():
                row = np.searchsorted(customers.to_numpy(), found["customer"].to_numpy())
                found = found.filter(pl.Series(found["rank"].to_numpy() <= quota[row]))
            proposals[name] = found
        return proposals

    def candidates(self, batch: CustomerBatch) -> pl.DataFrame:
        """At most ``limit`` candidates of each customer of a batch.

        Returns
        -------
        As :func:`merge`; a network scores every candidate, whoever proposed it.
        """
        merged = merge(self.propose(batch), self.settings.limit)
        for name, source in self.sources.items():
            if isinstance(source, ScoresCandidates):
                scored = source.score(batch, merged.select("customer", "article"))
                merged = merged.with_columns(scored["score"].alias(score_of(name)))
        return merged

    def save(self, folder: Path) -> None:
        """Write the settings and every source, each into a folder of its own."""
        (folder / "candidates.json").write_text(
            self.settings.model_dump_json(indent=2) + "\n", encoding="utf-8"
        )
        (folder / "models.json").write_text(
            self.models.model_dump_json(indent=2) + "\n", encoding="utf-8"
        )
        for name, source in self.sources.items():
            (folder / name).mkdir()
            source.save(folder / name)

    def load(self, folder: Path) -> Self:
        """Read back what :meth:`save` wrote, with its settings."""
        self.settings = CandidateSettings.model_validate_json(
            (folder / "candidates.json").read_text(encoding="utf-8")
        )
        self.models = BlendSettings.model_validate_json(
            (folder / "models.json").read_text(encoding="utf-8")
        )
        self.sources = {
            name: RECOMMENDERS[name](self.models, Artifacts()).load(folder / name)
            for name in self.settings.sources
            if (folder / name).is_dir()
        }
        return self


def merge(proposals: Mapping[str, pl.DataFrame], limit: int) -> pl.DataFrame:
    """The union of what sources propose, the best ranked by any of them where it is too much.

    Parameters
    ----------
    proposals
        By source, columns of ``RECOMMENDATIONS``.
    limit
        Candidates that a customer has at most. Kept are those with the best rank anywhere; among
        equals those of more sources, then of the earlier source, then of the lower code.

    Returns
    -------
    Columns ``customer``, ``article`` and, for each source, its score (Float32) and rank (UInt16),
    null where it does not propose; sorted by customer and article.
    """
    proposed = {
        name: pairs_of(frame["customer"].to_numpy(), frame["article"].to_numpy())
        for name, frame in proposals.items()
    }
    pairs = _best_ranked(
        np.concatenate(list(proposed.values())),
        np.concatenate([frame["rank"].to_numpy() for frame in proposals.values()]),
        np.repeat(np.arange(len(proposals)), [len(own) for own in proposed.values()]),
        limit,
    )
    columns = [
        pl.Series(name, codes.astype(np.int32))
        for name, codes in zip(("customer", "article"), codes_of(pairs), strict=True)
    ]
    for name, frame in proposals.items():
        row = find(proposed[name], pairs)
        kept = row >= 0
        scores, ranks = np.full((2, len(pairs)), np.nan, dtype=np.float32)
        scores[row[kept]] = frame["score"].to_numpy()[kept]
        ranks[row[kept]] = frame["rank"].to_numpy()[kept]
        columns += [
            pl.Series(score_of(name), scores, nan_to_null=True),
            pl.Series(rank_of(name), ranks, nan_to_null=True).cast(pl.UInt16),
        ]
    return pl.DataFrame(columns)


def _best_ranked(
    pairs: NDArray[np.int64], ranks: NDArray[np.uint16], source: NDArray[np.int64], limit: int
) -> NDArray[np.int64]:
    """The pairs that :func:`merge` keeps, ascending, of all that sources propose."""
    order = np.lexsort((ranks, pairs))
    starts, sources = groups_of_sorted(pairs[order])
    distinct, best = pairs[order][starts], ranks[order][starts]
    first = np.minimum.reduceat(source[order], starts) if len(starts) else source
    customer, article = codes_of(distinct)
    order = np.lexsort((article, first, -sources, best, customer))
    starts, sizes = groups_of_sorted(customer[order])
    place = np.arange(len(order)) - np.repeat(starts, sizes)
    return np.sort(distinct[order[place < limit]])
