"""The whole: candidates, their features, rankers, the ensemble of all scores, and the shop's rules.

Rankers and weights are learned on past windows (see ``modiste.ranking_stages``); a hybrid is what
asks them as of a date. It is a recommender like any other, so one backtest compares it with all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modiste.candidates.generator import CandidateGenerator
from modiste.candidates.settings import SEGMENTS, with_segments
from modiste.data.dataset import CustomerBatch, History, Partition
from modiste.data.pairs import groups_of_sorted
from modiste.errors import ConfigError, damaged
from modiste.evaluation.protocol import RECOMMENDATIONS, rank_by_score
from modiste.models.blend import POPULARITY
from modiste.models.popularity import Popularity
from modiste.ranking.ensemble import Weights, combine, combined, comparable
from modiste.ranking.features.builder import FeatureBuilder
from modiste.ranking.labelled_rows import blocks
from modiste.ranking.protocol import Ranker
from modiste.ranking.rankers import SLOW, load_rankers, save_rankers
from modiste.ranking.rules import (
    NO_CHANGES,
    ArticleRules,
    Rules,
    apply_rules,
    article_rules,
    fill_up,
    rule_changes,
)
from modiste.ranking.scorers import score_rows, scorers_of, scores_of
from modiste.ranking.settings import BLEND_SCORER, RankingSettings

# Names of the orders that :meth:`Hybrid.orders` gives beside those of the rankers.
HYBRID = "hybrid"
BY_BLEND = "blend_of_candidates"
WITHOUT_CASCADE = "hybrid_without_cascade"
WITHOUT_RULES = "hybrid_without_rules"

_SETTINGS, _WEIGHTS, _RULES = "ranking.json", "weights.json", "rules.json"
_ARTICLE_RULES = "article_rules.parquet"


class Hybrid:
    """A recommender that orders candidates by the weighted scores of several rankers.

    Parameters
    ----------
    generator
        Of the candidates.
    builder
        Of their features; made with the generator.
    settings
        Of the ranking: which rankers there are, and how far the slow ones go.
    rankers
        By name, as the settings name them; fitted.
    weights
        Of the scorers, by segment of customers.
    rules
        The shop's own, applied last.
    """

    def __init__(
        self,
        generator: CandidateGenerator,
        builder: FeatureBuilder,
        settings: RankingSettings,
        rankers: Mapping[str, Ranker],
        weights: Weights,
        rules: Rules | None = None,
    ) -> None:
        self.generator = generator
        self.builder = builder
        self.settings = settings
        self.rankers = dict(rankers)
        self.weights = {segment: dict(of_it) for segment, of_it in weights.items()}
        self.rules = rules or Rules()
        self._article_rules: ArticleRules | None = None

    @property
    def scorers(self) -> list[str]:
        """Names of all that scores candidates: the blend, the rankers, and networks."""
        return scorers_of(self.rankers, self.generator.sources)

    @property
    def article_rules(self) -> ArticleRules | None:
        """The rules, worked out when it was fitted; None where none is in force."""
        return self._article_rules

    @property
    def weighted(self) -> list[str]:
        """The scorers with a weight for any customer."""
        used = {name for of_it in self.weights.values() for name, weight in of_it.items() if weight}
        return [name for name in self.scorers if name in used]

    def with_weights(self, weights: Mapping[str, float]) -> Hybrid:
        """The same, all parts shared, but for the scorers' weights: these, in every segment.

        Raises
        ------
        ConfigError
            When there is no such scorer, or none has a weight.
        """
        unknown = sorted(weights.keys() - set(self.scorers))
        if unknown:
            raise ConfigError(
                f"there is no scorer {', '.join(unknown)} in this run: it has "
                f"{', '.join(self.scorers)}"
            )
        if not any(weights.values()):
            raise ConfigError("no scorer has a weight: give one of them more than 0")
        other = Hybrid(
            self.generator,
            self.builder,
            self.settings,
            self.rankers,
            dict.fromkeys(self.weights, weights),
            self.rules,
        )
        other._article_rules = self._article_rules
        return other

    def fit(self, history: History) -> Self:
        """Fit the sources and the features; the rankers stay what they are.

        Raises
        ------
        ConfigError
            When a rule names what the shop does not have.
        """
        self.generator.fit(history)
        self.builder.fit(history)
        self._article_rules = (
            article_rules(self.rules, history.articles, latest_sales(history), history.as_of)
            if self.rules.in_force
            else None
        )
        return self

    def recommend(
        self,
        batch: CustomerBatch,
        k: int,
        rules: ArticleRules | None = None,
        bought: pl.DataFrame | None = None,
    ) -> pl.DataFrame:
        """The ``k`` candidates with the highest weighted sum of scores that rules allow.

        Parameters
        ----------
        batch
            Any customers.
        k
            Recommendations a customer.
        rules
            Instead of the hybrid's own; None: those.
        bought
            What counts as bought for the rules: ``customer`` and ``article``, a pair once. None:
            all that the batch holds.
        """
        found = []
        for block in blocks(batch):
            scored = comparable(self.scores_in_cascade(block, self.rows(block)), self.weighted)
            first = self.first(block, self.combined(scored), k, rules, bought)
            found.append(first[list(RECOMMENDATIONS)])

        return pl.concat(found)

    def orders(self, batch: CustomerBatch, scores: pl.DataFrame, k: int) -> dict[str, pl.DataFrame]:
        """What each scorer alone, and all together, would recommend of the same candidates.

        Parameters
        ----------
        batch
            Some customers, no more than their candidates fit into memory.
        scores
            As :meth:`scores` gives them for all of the batch's candidates.
        k
            Recommendations a customer.

        Returns
        -------
        By name columns of ``RECOMMENDATIONS``: ``hybrid``, as :meth:`recommend`;
        ``blend_of_candidates``; each ranker; and, where it makes a difference, the hybrid with slow
        rankers' scores of all candidates, and the hybrid without rules.
        """
        scored = comparable(scores, self.scorers)
        in_cascade = self._in_cascade(scores)
        orders = {
            HYBRID: self.first(batch, in_cascade, k),
            BY_BLEND: rank_by_score(_alone(scored, BLEND_SCORER), k),
            **{name: rank_by_score(_alone(scored, name), k) for name in self.rankers},
        }
        if any(name in SLOW for name in self.weighted):
            orders[WITHOUT_CASCADE] = self.first(batch, self.combined(scored), k)
        if self._article_rules is not None:
            orders[WITHOUT_RULES] = rank_by_score(in_cascade, k)
        return orders

    def rule_changes(self, batch: CustomerBatch, scores: pl.DataFrame, k: int) -> pl.DataFrame:
        """What each rule in force changes in the first ``k`` of each customer.

        Parameters are those of :meth:`orders`; what comes back is that of
        :func:`modiste.ranking.rules.rule_changes`, empty where no rule is in force.
        """
        if self._article_rules is None:
            return NO_CHANGES
        return rule_changes(self._in_cascade(scores), self._article_rules, k, bought_pairs(batch))

    def _in_cascade(self, scores: pl.DataFrame) -> pl.DataFrame:
        """As :meth:`combined`, of all scorers' scores: without those that were not asked for."""
        slow = [name for name in self.weighted if name in SLOW]
        seen = self._first_of_cascade(scores) if slow else pl.lit(value=True)
        asked = scores.with_columns(pl.when(seen).then(pl.col(name)).alias(name) for name in slow)
        return self.combined(comparable(asked, self.weighted))

    def rows(self, batch: CustomerBatch) -> pl.DataFrame:
        """The candidates of a batch with their features: ``customer``, ``article``, every one."""
        return self.builder.build(batch, self.generator.candidates(batch))

    def save(self, folder: Path) -> None:
        """Write all parts, each into a folder of its own."""
        for name in ("candidates", "features", "rankers"):
            (folder / name).mkdir()
        self.generator.save(folder / "candidates")
        self.builder.save(folder / "features")
        save_rankers(self.rankers, folder / "rankers")
        (folder / _SETTINGS).write_text(self.settings.model_dump_json(indent=2) + "\n", "utf-8")
        (folder / _RULES).write_text(self.rules.model_dump_json(indent=2) + "\n", "utf-8")
        (folder / _WEIGHTS).write_text(json.dumps(self.weights, indent=2) + "\n", "utf-8")
        if self._article_rules is not None:
            self._article_rules.articles.write_parquet(folder / _ARTICLE_RULES)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read back what :meth:`save` wrote.

        Raises
        ------
        DataError
            When the folder holds none, or a damaged one.
        """
        try:
            settings = RankingSettings.model_validate_json((folder / _SETTINGS).read_text("utf-8"))
            rules = Rules.model_validate_json((folder / _RULES).read_text("utf-8"))
            weights = json.loads((folder / _WEIGHTS).read_text("utf-8"))
            generator = CandidateGenerator().load(folder / "candidates")
            builder = FeatureBuilder(generator).load(folder / "features")
            rankers = load_rankers(settings, folder / "rankers")
            hybrid = cls(generator, builder, settings, rankers, weights, rules)
            if rules.in_force:
                articles = pl.read_parquet(folder / _ARTICLE_RULES)
                hybrid._article_rules = ArticleRules(rules, articles)
        except (OSError, ValueError, KeyError, pl.exceptions.PolarsError) as error:
            raise damaged(folder, "hybrid", error, "fit it anew") from error
        return hybrid

    def scores(self, batch: CustomerBatch, rows: pl.DataFrame) -> pl.DataFrame:
        """What every scorer says of every candidate of a batch.

        Returns
        -------
        ``customer``, ``article``, ``segment`` and a column for each of :attr:`scorers`, on its own
        scale; the rows keep their order.
        """
        blend = self.generator.models.weights
        return with_segments(score_rows(rows, self.rankers, blend, self.scorers), batch)

    def scores_in_cascade(self, batch: CustomerBatch, rows: pl.DataFrame) -> pl.DataFrame:
        """What each scorer with a weight says of candidates, as :meth:`recommend` asks them.

        Parameters
        ----------
        batch
            The customers.
        rows
            As :meth:`rows` gives them for the batch.

        Returns
        -------
        ``customer``, ``article``, ``segment`` and, in the order of the rows, a column for each of
        :attr:`weighted`, on its own scale: null where it has not scored the candidate. A scorer is
        asked about the customers in whose segment it has a weight, a slow one about the first of
        their candidates alone.
        """
        scored = with_segments(rows[["customer", "article"]], batch)
        segments = scored["segment"].to_physical().to_numpy()
        slow = [name for name in self.weighted if name in SLOW]
        before = self._weights_before_cascade() if slow else self.weights
        for name in self.scorers:
            if name not in slow and any(of_it.get(name) for of_it in before.values()):
                asked = _has_weight(segments, before, name)
                scored = self._scored_by(name, scored, rows, asked)
        if slow:
            first = scored.select(self._first_of_cascade(scored)).to_series().to_numpy()
            for name in slow:
                asked = first & _has_weight(segments, self.weights, name)
                scored = self._scored_by(name, scored, rows, asked)
        return scored

    def _weights_before_cascade(self) -> dict[str, dict[str, float]]:
        """The weights of all but the slow rankers; the blend's where a segment has no other."""
        fast = {
            segment: {name: weight for name, weight in of_it.items() if name not in SLOW}
            for segment, of_it in self.weights.items()
        }
        return {
            segment: of_it if any(of_it.values()) else {BLEND_SCORER: 1.0}
            for segment, of_it in fast.items()
        }

    def _scored_by(
        self, scorer: str, scored: pl.DataFrame, rows: pl.DataFrame, asked: NDArray[np.bool_]
    ) -> pl.DataFrame:
        """Add the column of a scorer: its scores of the rows asked about, null elsewhere."""
        scores = np.full(len(asked), np.nan)
        if asked.any():
            some = rows if asked.all() else rows.filter(asked)
            scores[asked] = scores_of(scorer, some, self.rankers, self.generator.models.weights)
        return scored.hstack([pl.Series(scorer, scores, nan_to_null=True)])

    def _first_of_cascade(self, scored: pl.DataFrame) -> pl.Expr:
        """Whether a row is among the first of its list, by all but the slow rankers."""
        weights = self._weights_before_cascade()
        used = {name for of_it in weights.values() for name, weight in of_it.items() if weight}
        fast = [name for name in self.scorers if name in used]
        score = pl.Series("score", combine(comparable(scored, fast), weights))
        places = scored.select("customer", score).select(
            pl.col(score.name).rank("ordinal", descending=True).over("customer")
        )
        return pl.lit(places.to_series()) <= self.settings.cascade

    def combined(self, scored: pl.DataFrame) -> pl.DataFrame:
        """``customer``, ``article`` and ``score``, by the weights of the scorers that there are.

        ``scored`` has comparable scores (:func:`~modiste.ranking.ensemble.comparable`) and
        ``segment``.
        """
        weights = {
            segment: {name: weight for name, weight in of_it.items() if name in scored.columns}
            for segment, of_it in self.weights.items()
        }
        return combined(scored, weights)

    def first(
        self,
        batch: CustomerBatch,
        scored: pl.DataFrame,
        k: int,
        rules: ArticleRules | None = None,
        bought: pl.DataFrame | None = None,
    ) -> pl.DataFrame:
        """The first ``k`` of each customer by :meth:`combined` scores, by the rules if any.

        ``rules`` and ``bought`` are those of :meth:`recommend`.
        """
        rules = rules or self._article_rules
        if rules is None:
            return rank_by_score(scored, k)
        bought = bought_pairs(batch) if bought is None else bought
        kept = apply_rules(scored, rules, k, bought)
        popularity = self.generator.sources[POPULARITY]
        assert isinstance(popularity, Popularity)
        return fill_up(
            kept,
            popularity.article_scores,
            batch.customers["customer"],
            rules,
            k,
            bought,
        )


def holds_hybrid(folder: Path) -> bool:
    """Whether a folder is one that :meth:`Hybrid.save` wrote."""
    return (folder / _SETTINGS).is_file()


def bought_pairs(batch: CustomerBatch) -> pl.DataFrame:
    """What counts as bought for rules: ``customer`` and ``article``, a pair once."""
    bought = batch.interactions
    starts, _ = groups_of_sorted(bought["customer"].to_numpy(), bought["article"].to_numpy())
    return bought[["customer", "article"]][starts]


def _has_weight(segments: NDArray[np.uint8], weights: Weights, scorer: str) -> NDArray[np.bool_]:
    """Whether a scorer has a weight in each of some segments, given by places in ``SEGMENTS``."""
    weighted = [bool(weights.get(segment, {}).get(scorer)) for segment in SEGMENTS]
    return np.array(weighted, dtype=np.bool_)[segments]


def _alone(scored: pl.DataFrame, scorer: str) -> pl.DataFrame:
    return scored.select("customer", "article", score=scorer)


def latest_sales(history: History) -> pl.DataFrame:
    """What rules ask of sales: of every article sold its last day and that day's mean price.

    Returns
    -------
    Columns ``article``, ``last_sale`` (date) and ``price`` (float64, null where not known).
    """
    return (
        history.collect(_prices_of_last_day, label="latest prices of articles")
        .filter(pl.col("last_sale") == pl.col("last_sale").max().over("article"))
        .group_by("article", "last_sale")
        .agg(price=pl.col("paid").sum() / pl.col("priced").sum())
        # Prices are kept in single precision: 0.2 is to be no more than a ceiling of 0.2.
        .with_columns(pl.col("price").fill_nan(None).round(6))
        .sort("article")
    )


def _prices_of_last_day(partition: Partition) -> pl.DataFrame:
    """Of a partition's purchases on the last day that each article was bought on."""
    rows = partition.read_transactions(["article", "t_dat", "price"])
    return (
        rows.filter(pl.col("t_dat") == pl.col("t_dat").max().over("article"))
        .group_by("article", pl.col("t_dat").alias("last_sale"))
        .agg(
            paid=pl.col("price").cast(pl.Float64).sum(),
            priced=pl.col("price").count().cast(pl.Int64),
        )
        .sort("article")
    )
