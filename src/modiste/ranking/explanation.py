"""Why an article stands where it does in a customer's list: what proposed it, scored it, led to it.

Nothing is learned or fitted for it: :class:`ExplainedCustomer` scores one customer's candidates as
:meth:`~modiste.ranking.hybrid.Hybrid.recommend` does, once, and tells of any article what went in.
What adds up adds up exactly, but for rounding: the scorers' parts to the score by which candidates
are ordered, the features' parts to a ranker's score, the sources' parts to the blend's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import groupby
from typing import Literal

import numpy as np
import polars as pl

from modiste.candidates.generator import rank_of, score_of
from modiste.candidates.settings import segment_of_customers
from modiste.data.dataset import CustomerBatch
from modiste.evaluation.protocol import rank_by_score
from modiste.models.blend import POPULARITY
from modiste.models.co_visitation import CoVisitation
from modiste.models.popularity import Popularity
from modiste.models.popularity_by_section import PopularityBySection
from modiste.ranking.ensemble import comparable, weight_shares
from modiste.ranking.features.articles import ATTRIBUTES
from modiste.ranking.features.similarity import SimilarityFeatures
from modiste.ranking.hybrid import Hybrid, bought_pairs
from modiste.ranking.protocol import ExplainsScores, Ranker, SharesAttention
from modiste.ranking.rows import Feature
from modiste.ranking.rules import ArticleRules, RuleName, rules_against
from modiste.ranking.scorers import blend_parts

# From the closest relation of a purchase to an article to the loosest.
RelationKind = Literal["same article", "same product", "bought together", "alike"]
_KINDS: tuple[RelationKind, ...] = ("same article", "same product", "bought together", "alike")

AbsenceKind = Literal["not on sale", "not proposed", "cut by the limit"]

# Purchases that are named: the closest of all, and in each space of vectors.
_PURCHASES, _ALIKE = 12, 3


@dataclass(frozen=True)
class Article:
    """An article, as people call it.

    Attributes
    ----------
    code
        Its row.
    article_id
        Its id.
    name, colour
        As the shop has them; None where it has none.
    """

    code: int
    article_id: str
    name: str | None
    colour: str | None

    @property
    def words(self) -> str:
        """Name and colour; the id where it has no name."""
        named = [self.name or self.article_id, *([self.colour] if self.colour else [])]
        return ", ".join(named)


@dataclass(frozen=True)
class Proposal:
    """A source that proposed an article.

    Attributes
    ----------
    source
        Its name.
    rank
        Place in its list for the customer.
    score
        On the source's own scale.
    part
        What it adds to the blend's score; None where the blend does without it.
    """

    source: str
    rank: int
    score: float
    part: float | None


@dataclass(frozen=True)
class Relation:
    """How a purchase is related to an article.

    Attributes
    ----------
    kind
        Which way.
    space
        Of vectors, where it is alike.
    strength
        The cosine where it is alike; where both are often bought together, what the purchase adds
        to co-visitation's score.
    """

    kind: RelationKind
    space: str | None = None
    strength: float | None = None


@dataclass(frozen=True)
class RelatedPurchase:
    """What a customer bought that led to an article.

    Attributes
    ----------
    article
        What was bought.
    day, days_ago
        The last time.
    times
        On how many days.
    relations
        The closest first, one at least.
    """

    article: Article
    day: date
    days_ago: int
    times: int
    relations: tuple[Relation, ...]

    def relation(self, kind: RelationKind, *spaces: str) -> Relation | None:
        """Its relation of a kind, in one of some spaces where any are named."""
        found = (each for each in self.relations if each.kind == kind)
        return next((each for each in found if not spaces or each.space in spaces), None)


@dataclass(frozen=True)
class Evidence:
    """What speaks for an article, in facts that anybody can look up.

    Attributes
    ----------
    article
        The article.
    proposals
        The sources that proposed it: first those that add most to the blend, then by rank.
    purchases
        The customer's own that are related to it, the closest first.
    sales_rank
        Place among the best sellers of the last day; None where it did not sell then.
    section
        The part of the shop in which it is a best seller for those who buy there; None where the
        customer never bought there.
    age_known
        Whether the customer's age is known.
    """

    article: Article
    proposals: tuple[Proposal, ...]
    purchases: tuple[RelatedPurchase, ...]
    sales_rank: int | None
    section: str | None
    age_known: bool


@dataclass(frozen=True)
class ScorerPart:
    """What one scorer adds to the score by which candidates are ordered.

    Attributes
    ----------
    scorer
        Its name.
    raw
        Its score on its own scale; None where it has none: a network that knows nothing of the
        customer, or a slow ranker that looks at the first candidates alone.
    comparable
        The score among those of the list: mean 0, deviation 1.
    weight
        Of the scorer, for customers of the segment: its share of all weights.
    """

    scorer: str
    raw: float | None
    comparable: float
    weight: float

    @property
    def part(self) -> float:
        """The comparable score times the weight: the parts of all scorers are the score."""
        return self.comparable * self.weight


@dataclass(frozen=True)
class FeaturePart:
    """What one feature adds to a ranker's score.

    Attributes
    ----------
    feature, group, meaning
        Of the feature.
    value
        Of the article and customer; in words where it is a category, None where it is not known.
    part
        What it adds.
    """

    feature: str
    group: str
    meaning: str
    value: float | str | None
    part: float


@dataclass(frozen=True)
class ScoreParts:
    """A ranker's score, feature by feature.

    Attributes
    ----------
    ranker
        Its name.
    score
        What the ranker gives: ``base`` and all parts.
    base
        What an average candidate has before anything is known of it.
    features
        The largest part, either way, first.
    """

    ranker: str
    score: float
    base: float
    features: tuple[FeaturePart, ...]

    @property
    def groups(self) -> dict[str, float]:
        """What the features of each group add together, the largest, either way, first."""
        by_group = sorted(self.features, key=lambda each: each.group)
        totals = {
            group: sum(each.part for each in features)
            for group, features in groupby(by_group, key=lambda each: each.group)
        }
        return dict(sorted(totals.items(), key=lambda each: -abs(each[1])))


@dataclass(frozen=True)
class Attention:
    """At which features a ranker looked, step by step.

    Attributes
    ----------
    ranker
        Its name.
    steps
        Of each step the share of every feature that it looked at, the largest first.
    meanings
        Of these features, by their names.
    """

    ranker: str
    steps: tuple[dict[str, float], ...]
    meanings: dict[str, str]


@dataclass(frozen=True)
class Missed:
    """A source that was asked and did not propose an article within its quota.

    Attributes
    ----------
    source
        Its name.
    rank
        Place in its list, were it longer; None where it says nothing of the article.
    quota
        Places of its list that are candidates.
    """

    source: str
    rank: int | None
    quota: int


@dataclass(frozen=True)
class Absence:
    """Why an article is no candidate.

    Attributes
    ----------
    kind
        "not on sale": no source may propose it; "not proposed": none has it within its quota;
        "cut by the limit": some have, but other articles had better places.
    days
        Without a sale, after which an article counts as off sale.
    limit
        Candidates that a customer has at most.
    missed
        The sources that were asked, and where they have it: the nearest to its quota first.
    """

    kind: AbsenceKind
    days: int
    limit: int
    missed: tuple[Missed, ...]


@dataclass(frozen=True)
class Explanation:
    """All there is to say of one article in one customer's list.

    Attributes
    ----------
    evidence
        What speaks for it; without proposals where it is no candidate.
    as_of
        The day that is recommended for.
    segment
        Of the customer: cold, lately or earlier.
    k
        Articles that are shown.
    shown_at
        Its place among them; None where it is not.
    place, candidates
        Its place by the score alone, without rules, and how many candidates there are; None where
        it is none of them.
    rules
        Those that keep it away.
    factor
        By which a rule multiplies its score; 1 where none does.
    absence
        Why it is no candidate; None where it is one.
    score
        By which candidates are ordered; None where it is no candidate.
    scorers
        Whose parts add up to the score, the largest, either way, first.
    rankers
        The scores of those rankers that tell exactly what each feature adds.
    attention
        Of those that tell where they looked.
    """

    evidence: Evidence
    as_of: date
    segment: str
    k: int
    shown_at: int | None
    place: int | None
    candidates: int
    rules: tuple[RuleName, ...]
    factor: float
    absence: Absence | None
    score: float | None
    scorers: tuple[ScorerPart, ...]
    rankers: tuple[ScoreParts, ...]
    attention: tuple[Attention, ...]


class ExplainedCustomer:
    """One customer's candidates, scored, and why each of them stands where it does.

    Parameters
    ----------
    hybrid
        Fitted, or loaded.
    batch
        The customer, with all purchases before the date that the hybrid was fitted as of.
    articles
        ``schema.PREPARED_ARTICLES``; row number = code.
    k
        Articles that are shown.
    rules, bought
        As for :meth:`~modiste.ranking.hybrid.Hybrid.recommend`.

    Attributes
    ----------
    shown
        The articles that are shown: columns of ``RECOMMENDATIONS``, as the hybrid recommends them.
    """

    def __init__(
        self,
        hybrid: Hybrid,
        batch: CustomerBatch,
        articles: pl.DataFrame,
        k: int = 12,
        rules: ArticleRules | None = None,
        bought: pl.DataFrame | None = None,
    ) -> None:
        if batch.customers.height != 1:
            raise ValueError(f"one customer is explained at a time, not {batch.customers.height}")
        self._hybrid, self._batch, self._articles, self.k = hybrid, batch, articles, k
        self._rows = hybrid.rows(batch)
        self._raw = hybrid.scores_in_cascade(batch, self._rows)
        self._comparable = comparable(self._raw, hybrid.weighted)
        self._combined = hybrid.combined(self._comparable)
        self._order = rank_by_score(self._combined, max(self._rows.height, 1))
        self._article_rules = rules or hybrid.article_rules
        self._bought = bought_pairs(batch) if bought is None else bought
        self.shown = hybrid.first(batch, self._combined, k, rules, self._bought)

    @property
    def as_of(self) -> date:
        """The day that is recommended for."""
        return self._batch.as_of

    @cached_property
    def segment(self) -> str:
        """Of the customer: cold, lately or earlier."""
        return str(segment_of_customers(self._batch)["segment"].item())

    def listed(self) -> list[Evidence]:
        """What speaks for each article that is shown, in order."""
        return [self.evidence(article) for article in self.shown["article"]]

    def evidence(self, article: int) -> Evidence:
        """What speaks for an article, by its code, shown or not."""
        row = self._row(article)
        value = {} if row is None else row.row(0, named=True)
        sold = value.get("sales_1d") or 0
        return Evidence(
            self._article(article),
            () if row is None else self._proposals(row),
            self._purchases(article),
            int(value["sales_rank_1d"]) if sold > 0 else None,
            self._section(article),
            self._batch.customers["age"][0] is not None,
        )

    def explain(self, article: int) -> Explanation:
        """All there is to say of an article, by its code, candidate or not."""
        row = self._row(article)
        at = self._place(article, self._order)
        rules, factor = self._rules(article)
        scorers = () if row is None else self._scorers(article)
        rankers = {} if row is None else self._hybrid.rankers
        return Explanation(
            self.evidence(article),
            self.as_of,
            self.segment,
            self.k,
            self._place(article, self.shown),
            at,
            self._rows.height,
            rules,
            factor,
            self._absence(article) if row is None else None,
            None if row is None else sum(each.part for each in scorers),
            scorers,
            tuple(
                self._score_parts(name, ranker, row, article)
                for name, ranker in rankers.items()
                if isinstance(ranker, ExplainsScores) and row is not None
            ),
            tuple(
                _attention(name, ranker, row, self._hybrid.builder.features)
                for name, ranker in rankers.items()
                if isinstance(ranker, SharesAttention) and row is not None
            ),
        )

    def _row(self, article: int) -> pl.DataFrame | None:
        """The article's row of features; None where it is no candidate."""
        place = _row_of(article, self._rows)
        return None if place is None else self._rows[place : place + 1]

    def _place(self, article: int, ranked: pl.DataFrame) -> int | None:
        place = _row_of(article, ranked)
        return None if place is None else int(ranked["rank"][place])

    def _article(self, code: int) -> Article:
        row = self._articles.row(code, named=True)
        return Article(code, row["article_id"], row["prod_name"], row["colour_group_name"])

    def _proposals(self, row: pl.DataFrame) -> tuple[Proposal, ...]:
        parts = blend_parts(row, self._hybrid.generator.models.weights)
        added = {source: float(part[0]) for source, part in parts.items()}
        value = row.row(0, named=True)
        found = [
            Proposal(
                source, int(value[rank_of(source)]), value[score_of(source)], added.get(source)
            )
            for source in self._hybrid.generator.sources
            if value[rank_of(source)] is not None
        ]
        return tuple(sorted(found, key=lambda each: (-(each.part or 0), each.rank)))

    def _section(self, article: int) -> str | None:
        """The article's part of the shop, where the customer has bought there."""
        source = self._hybrid.generator.sources.get("popularity_by_section")
        if not isinstance(source, PopularityBySection):
            return None
        sections = self._articles[source.settings.column]
        own: str | None = sections[article]
        bought = sections.gather(self._batch.interactions["article"])
        return own if own is not None and own in bought else None

    def _purchases(self, article: int) -> tuple[RelatedPurchase, ...]:
        """The customer's own purchases that are related to an article, the closest first."""
        bought = (
            self._batch.interactions.group_by("article")
            .agg(day=pl.col("t_dat").max(), times=pl.len())
            .sort("article")
        )
        related: dict[int, list[Relation]] = {}
        codes = bought["article"]
        product = self._articles["product_code"][article]
        products = self._articles["product_code"].gather(codes)
        for code, other in zip(codes, products, strict=True):
            if code == article:
                related[code] = [Relation("same article")]
            elif product is not None and other == product:
                related[code] = [Relation("same product")]
        for code, strength in self._bought_together(article):
            related.setdefault(code, []).append(Relation("bought together", None, strength))
        for space, group in self._hybrid.builder.groups.items():
            if isinstance(group, SimilarityFeatures):
                for code, cosine in _nearest(group, article, codes):
                    related.setdefault(code, []).append(Relation("alike", space, cosine))
        found = [
            RelatedPurchase(
                self._article(code), day, (self.as_of - day).days, times, tuple(related[code])
            )
            for code, day, times in bought.iter_rows()
            if code in related
        ]
        return tuple(sorted(found, key=_closeness)[:_PURCHASES])

    def _bought_together(self, article: int) -> list[tuple[int, float]]:
        source = self._hybrid.generator.sources.get("co_visitation")
        if not isinstance(source, CoVisitation):
            return []
        parts = source.parts(self._batch, article)
        return list(parts.select("source", "score").iter_rows())

    def _rules(self, article: int) -> tuple[tuple[RuleName, ...], float]:
        """The rules that keep an article away, and its factor."""
        worked_out = self._article_rules
        if worked_out is None:
            return (), 1.0
        shown = article in self.shown["article"]
        against = (
            []
            if shown
            else rules_against(self._combined, worked_out, self.k, article, self._bought)
        )
        return tuple(against), worked_out.factor_of(article)

    def _scorers(self, article: int) -> tuple[ScorerPart, ...]:
        one = pl.col("article") == article
        raw = self._raw.filter(one).row(0, named=True)
        compared = self._comparable.filter(one).row(0, named=True)
        weights = weight_shares(self._hybrid.weights[self.segment])
        parts = [
            ScorerPart(name, raw[name], compared[name], weights.get(name, 0.0))
            for name in self._hybrid.weighted
        ]
        return tuple(sorted(parts, key=lambda each: -abs(each.part)))

    def _score_parts(
        self, name: str, ranker: ExplainsScores, row: pl.DataFrame, article: int
    ) -> ScoreParts:
        added = ranker.contributions(row).row(0, named=True)
        value = row.row(0, named=True)
        # What rankers see of a category is a code; people read the article's own word.
        words = self._articles.select(ATTRIBUTES).row(article, named=True)
        features = [
            FeaturePart(
                feature.name,
                feature.group,
                feature.meaning,
                words.get(feature.name, value[feature.name]),
                added[feature.name],
            )
            for feature in self._hybrid.builder.features
            if feature.name in added
        ]
        return ScoreParts(
            name,
            sum(added.values()),
            added["expected"],
            tuple(sorted(features, key=lambda each: -abs(each.part))),
        )

    def _absence(self, article: int) -> Absence:
        generator = self._hybrid.generator
        days, limit = generator.models.popularity.days, generator.settings.limit
        quotas = generator.settings.quotas[self.segment]
        popularity = generator.sources.get(POPULARITY)
        sold = popularity.article_scores if isinstance(popularity, Popularity) else None
        # Whoever asks wants to know how far off it was: lists as long as the catalogue tell.
        whole = {
            name: source.recommend(self._batch, self._articles.height)
            for name, source in generator.sources.items()
            if quotas.get(name)
        }
        missed = tuple(
            sorted(
                (
                    Missed(name, self._place(article, found), quotas[name])
                    for name, found in whole.items()
                ),
                key=lambda each: float("inf") if each.rank is None else each.rank / each.quota,
            )
        )
        proposed = any(each.rank is not None and each.rank <= each.quota for each in missed)
        on_sale = sold is None or article in sold["article"]
        kind: AbsenceKind = "not proposed" if on_sale else "not on sale"
        return Absence("cut by the limit" if proposed else kind, days, limit, missed)


def _row_of(article: int, frame: pl.DataFrame) -> int | None:
    """The number of the article's row in a frame of one customer's; None where it has none."""
    places = np.flatnonzero(frame["article"].to_numpy() == article)
    return int(places[0]) if len(places) else None


def _closeness(purchase: RelatedPurchase) -> tuple[int, float, int, int]:
    first = purchase.relations[0]
    return (
        _KINDS.index(first.kind),
        -(first.strength or 0.0),
        purchase.days_ago,
        purchase.article.code,
    )


def _nearest(group: SimilarityFeatures, article: int, codes: pl.Series) -> list[tuple[int, float]]:
    """The purchases that are nearest to an article in a space, with their cosines."""
    cosines = group.cosines(article, codes.to_numpy())
    order = np.argsort(-cosines, kind="stable")
    near = [(int(codes[int(place)]), float(cosines[place])) for place in order]
    return [(code, cosine) for code, cosine in near if code != article and cosine > 0][:_ALIKE]


def _attention(
    name: str, ranker: SharesAttention, row: pl.DataFrame, features: Sequence[Feature]
) -> Attention:
    assert isinstance(ranker, Ranker)  # it is one of a hybrid
    names = ranker.importance()["feature"]
    steps = []
    for shares in ranker.step_masks(row)[:, 0]:
        order = np.argsort(-shares, kind="stable")
        steps.append({names[int(each)]: float(shares[each]) for each in order if shares[each] > 0})
    looked_at = {feature for step in steps for feature in step}
    return Attention(
        name,
        tuple(steps),
        {each.name: each.meaning for each in features if each.name in looked_at},
    )
