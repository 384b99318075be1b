"""Explanations: that they add up, say what is so, and say why something is not there."""

from __future__ import annotations

import math
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from hybrids import drawn_hybrid
from modiste.candidates.descriptions import DESCRIPTIONS
from modiste.data.dataset import CustomerBatch, Dataset, History
from modiste.models.blend import RECOMMENDERS
from modiste.ranking.explanation import (
    Article,
    Evidence,
    ExplainedCustomer,
    Explanation,
    Proposal,
    RelatedPurchase,
    Relation,
)
from modiste.ranking.hybrid import Hybrid
from modiste.ranking.reasons import RULES, SEGMENTS, reason, why_not
from modiste.ranking.rules import RULES as EVERY_RULE
from modiste.ranking.rules import Rules
from modiste.ranking.scorers import score_rows
from shops import (
    ALL_RECOMMENDERS,
    SMALL_SHOP_ARTICLES,
    SMALL_SHOP_DAYS,
    SMALL_SHOP_START,
    some_vectors,
    write_prepared,
)

AS_OF = SMALL_SHOP_START + timedelta(days=SMALL_SHOP_DAYS - 10)
VECTORS = some_vectors(SMALL_SHOP_ARTICLES)

# One who never bought, and some who did.
COLD, WARM = 9, (1, 2, 40)


@pytest.fixture(scope="module")
def history(small_shop: Dataset) -> History:
    return small_shop.until(AS_OF)


@pytest.fixture(scope="module")
def hybrid(history: History) -> Hybrid:
    return drawn_hybrid(ALL_RECOMMENDERS, VECTORS).fit(history)


def one(history: History, customer: int) -> CustomerBatch:
    found = history.customer(f"{customer:064d}")
    assert found is not None
    return found


def explained(hybrid: Hybrid, history: History, customer: int, k: int = 12) -> ExplainedCustomer:
    return ExplainedCustomer(hybrid, one(history, customer), history.articles, k)


@pytest.mark.parametrize("customer", [COLD, *WARM])
def test_the_list_is_the_one_that_is_recommended(
    customer: int, hybrid: Hybrid, history: History
) -> None:
    found = explained(hybrid, history, customer)
    recommended = hybrid.recommend(one(history, customer), 12)
    assert found.shown.equals(recommended)
    for rank, article in enumerate(recommended["article"], start=1):
        explanation = found.explain(article)
        assert explanation.shown_at == explanation.place == rank
        assert why_not(explanation) is None


@pytest.mark.parametrize("customer", [COLD, *WARM])
def test_scorers_add_up_to_what_candidates_are_ordered_by(
    customer: int, hybrid: Hybrid, history: History
) -> None:
    found = explained(hybrid, history, customer)
    recommended = hybrid.recommend(one(history, customer), 100)
    assert recommended.height == found.explain(0).candidates
    for article, score in recommended.select("article", "score").iter_rows():
        explanation = found.explain(article)
        parts = [each.comparable * each.weight for each in explanation.scorers]
        assert explanation.score == pytest.approx(sum(parts), abs=1e-12)
        # Single precision, as recommendations have it.
        assert explanation.score == pytest.approx(math.log(score), abs=1e-5)


@pytest.mark.parametrize("customer", [COLD, *WARM])
def test_features_add_up_to_each_ranker_s_score(
    customer: int, hybrid: Hybrid, history: History
) -> None:
    batch = one(history, customer)
    rows = hybrid.rows(batch)
    blend = hybrid.generator.models.weights
    scores = score_rows(rows, hybrid.rankers, blend, hybrid.scorers)
    found = explained(hybrid, history, customer)
    for score in scores.iter_rows(named=True):
        explanation = found.explain(score["article"])
        assert [each.ranker for each in explanation.rankers] == ["lightgbm", "logistic"]
        for parts in explanation.rankers:
            whole = parts.base + sum(each.part for each in parts.features)
            assert whole == pytest.approx(parts.score, abs=1e-9)
            assert whole == pytest.approx(score[parts.ranker], abs=1e-4)
            assert whole == pytest.approx(parts.base + sum(parts.groups.values()), abs=1e-9)
            assert [each.feature for each in parts.features if not each.meaning] == []


def test_sources_add_up_to_the_blend_but_for_what_all_candidates_have(
    hybrid: Hybrid, history: History
) -> None:
    for article in explained(hybrid, history, 1).shown["article"]:
        explanation = explained(hybrid, history, 1).explain(article)
        (blend,) = [each for each in explanation.scorers if each.scorer == "blend"]
        proposed = {each.source: each.part for each in explanation.evidence.proposals}
        # Networks score what others propose, and popularity whatever is on sale.
        assert sum(part or 0 for part in proposed.values()) <= (blend.raw or 0) + 1e-6
        if proposed.keys() >= {"popularity", "sasrec", "gnn", "combined"}:
            assert sum(part or 0 for part in proposed.values()) == pytest.approx(blend.raw)


def test_sources_are_those_that_proposed_it(hybrid: Hybrid, history: History) -> None:
    proposals = hybrid.generator.propose(one(history, 1))
    for evidence in explained(hybrid, history, 1).listed():
        article = evidence.article.code
        for source, frame in proposals.items():
            ranks = frame.filter(pl.col("article") == article)["rank"].to_list()
            assert [each.rank for each in evidence.proposals if each.source == source] == ranks


def test_attention_is_shared_out(hybrid: Hybrid, history: History) -> None:
    found = explained(hybrid, history, 1)
    (looked,) = found.explain(found.shown["article"][0]).attention
    assert looked.ranker == "tabnet"
    names = {feature.name for feature in hybrid.builder.features}
    for step in looked.steps:
        assert sum(step.values()) == pytest.approx(1, abs=1e-5)
        assert set(step) <= names


def test_a_slow_ranker_looks_at_the_first_candidates_alone(
    hybrid: Hybrid, history: History
) -> None:
    found = explained(hybrid, history, 1)
    raw = [
        each.raw
        for article in hybrid.rows(one(history, 1))["article"]
        for each in found.explain(article).scorers
        if each.scorer == "tabnet"
    ]
    assert len([each for each in raw if each is not None]) == hybrid.settings.cascade
    assert len(raw) > hybrid.settings.cascade


def test_saved_and_loaded_explains_the_same(
    hybrid: Hybrid, history: History, tmp_path: Path
) -> None:
    hybrid.save(tmp_path)
    loaded = Hybrid.load(tmp_path)
    for customer in (COLD, WARM[0]):
        before = explained(hybrid, history, customer)
        after = explained(loaded, history, customer)
        for article in range(0, SMALL_SHOP_ARTICLES, 3):
            assert asdict(after.explain(article)) == asdict(before.explain(article))


def test_purchases_are_the_customer_s_own_and_related_as_told(
    hybrid: Hybrid, history: History
) -> None:
    batch = one(history, 1)
    bought = batch.interactions
    neighbours = hybrid.generator.sources["co_visitation"].neighbours  # type: ignore[attr-defined]
    seen = set()
    for evidence in explained(hybrid, history, 1).listed():
        article = evidence.article.code
        for purchase in evidence.purchases:
            code = purchase.article.code
            days = bought.filter(pl.col("article") == code)["t_dat"]
            assert (purchase.day, purchase.times) == (days.max(), len(days))
            assert purchase.days_ago == (AS_OF - purchase.day).days > 0
            for relation in purchase.relations:
                seen.add((relation.kind, relation.space))
                assert (relation.kind == "same article") == (code == article)
                # The small shop's products have two colours each.
                other_colour = code // 2 == article // 2 and code != article
                assert (relation.kind == "same product") <= other_colour
                pair = neighbours.filter(source=code, target=article)
                assert (relation.kind == "bought together") <= (pair.height == 1)
                if relation.space == "content":
                    cosine = float(VECTORS.vectors[code] @ VECTORS.vectors[article])
                    assert relation.strength == pytest.approx(cosine, abs=1e-5)
    assert {kind for kind, _ in seen} == {
        "same article",
        "same product",
        "bought together",
        "alike",
    }
    assert {space for _, space in seen} >= {"content", "sasrec", "gnn"}


def test_what_was_bought_together_adds_up_to_that_source_s_score(
    hybrid: Hybrid, history: History
) -> None:
    scores = 0
    for evidence in explained(hybrid, history, 1).listed():
        (score,) = [
            each.score for each in evidence.proposals if each.source == "co_visitation"
        ] or [0.0]
        together = [each.relation("bought together") for each in evidence.purchases]
        parts = [each.strength for each in together if each is not None and each.strength]
        if len(evidence.purchases) < 12:  # else some are left out
            assert sum(parts) == pytest.approx(score, rel=1e-5)
            scores += score > 0
    assert scores


def test_a_cold_customer_is_told_of_best_sellers(hybrid: Hybrid, history: History) -> None:
    found = explained(hybrid, history, COLD)
    assert found.segment == "cold"
    for evidence in found.listed():
        assert evidence.purchases == ()
        assert {each.source for each in evidence.proposals} <= {"popularity", "popularity_by_age"}
        assert "bought" not in reason(evidence)
    explanation = found.explain(found.shown["article"][0])
    assert explanation.segment == "cold"
    assert explanation.score == pytest.approx(sum(each.part for each in explanation.scorers))


def test_more_than_one_customer_is_refused(hybrid: Hybrid, history: History) -> None:
    batch = next(iter(history.batches()))
    with pytest.raises(ValueError, match="one customer"):
        ExplainedCustomer(hybrid, batch, history.articles)


def _narrow(history: History, limit: int, quota: int) -> Hybrid:
    hybrid = drawn_hybrid()
    quotas = {segment: {"popularity": quota} for segment in SEGMENTS}
    hybrid.generator.settings = hybrid.generator.settings.model_copy(
        update={"limit": limit, "quotas": quotas}
    )
    return hybrid.fit(history)


def _places(hybrid: Hybrid, history: History, customer: int) -> list[int]:
    popularity = hybrid.generator.sources["popularity"]
    return popularity.recommend(one(history, customer), 100)["article"].to_list()


def test_what_no_source_proposed(history: History) -> None:
    hybrid = _narrow(history, limit=200, quota=5)
    sixth = _places(hybrid, history, 1)[5]
    found = explained(hybrid, history, 1).explain(sixth)
    assert found.absence is not None
    assert found.absence.kind == "not proposed"
    assert [(each.source, each.rank, each.quota) for each in found.absence.missed] == [
        ("popularity", 6, 5)
    ]
    assert (found.place, found.shown_at, found.score, found.candidates) == (None, None, None, 5)
    assert (found.scorers, found.rankers, found.attention) == ((), (), ())
    assert "place 6, of which 5 count" in str(why_not(found))


def test_what_the_limit_cut_off(history: History) -> None:
    hybrid = _narrow(history, limit=5, quota=8)
    sixth = _places(hybrid, history, 1)[5]
    found = explained(hybrid, history, 1).explain(sixth)
    assert found.absence is not None
    assert found.absence.kind == "cut by the limit"
    assert "a customer has 5 candidates at most" in str(why_not(found))


def test_what_is_off_sale(tmp_path: Path) -> None:
    days = [date(2021, 1, 1) + timedelta(days=n) for n in range(60)]
    folder = write_prepared(
        tmp_path,
        pl.DataFrame({"article": range(4)}),
        pl.DataFrame({"customer": range(3)}),
        pl.DataFrame(
            {
                "customer": [n % 3 for n in range(60)],
                # The last but one is sold at first, the last one never.
                "article": [2 if n < 9 else n % 2 for n in range(60)],
                "t_dat": days,
            }
        ),
    )
    history = Dataset.open(folder).until(days[-1] + timedelta(days=1))
    hybrid = drawn_hybrid().fit(history)
    for article in (2, 3):
        found = explained(hybrid, history, 0).explain(article)
        assert found.absence is not None
        assert found.absence.kind == "not on sale"
        assert "nobody bought it in the last 28 days" in str(why_not(found))


def _with_rules(history: History, **rules: Any) -> Hybrid:
    return drawn_hybrid(rules=Rules.model_validate(rules)).fit(history)


def test_a_rule_that_forbids(history: History) -> None:
    first = explained(_with_rules(history), history, 1).shown["article"][0]
    hybrid = _with_rules(history, exclude_articles=[f"{first:010d}"])
    found = explained(hybrid, history, 1).explain(first)
    assert found.rules == ("exclude_articles",)
    assert (found.place, found.shown_at) == (1, None)
    assert "rules.exclude_articles" in str(why_not(found))


def test_a_rule_about_what_was_bought(history: History) -> None:
    hybrid = _with_rules(history, already_bought="drop")
    found = explained(hybrid, history, 1)
    bought = set(one(history, 1).interactions["article"])
    for article in hybrid.rows(one(history, 1))["article"]:
        told = found.explain(article)
        assert (told.rules == ("already_bought",)) == (article in bought)


@pytest.mark.parametrize(
    "rules",
    [
        {"at_most": {"product_code": 1}},
        {"at_most": {"section_name": 2}, "already_bought": "drop"},
        {"boost": {"section_name": {"section 1": 50.0}}},
        {"boost": {"section_name": {"section 1": 9.0}}, "at_most": {"department_name": 2}},
        {"exclude": {"section_name": ["section 0"]}, "price_ceiling": 0.4},
    ],
)
def test_rules_are_named_where_they_and_nothing_else_keep_away(
    rules: dict[str, Any], history: History
) -> None:
    hybrid = _with_rules(history, **rules)
    k = 6
    found = explained(hybrid, history, 1, k)
    # What would be shown but for the rules about the order: those that forbid stay.
    orders = {"at_most": {"at_most"}, "boost": {"at_most", "boost"}, None: {"at_most", "boost"}}
    without = {
        named: explained(
            _with_rules(history, **{name: rules[name] for name in rules.keys() - left_out}),
            history,
            1,
            k,
        ).shown["article"]
        for named, left_out in orders.items()
    }
    forbidding = {"exclude", "price_ceiling", "already_bought"}
    named = set()
    for article in hybrid.rows(one(history, 1))["article"]:
        told = found.explain(article)
        assert told.place is not None
        named |= set(told.rules)
        assert set(told.rules) <= rules.keys()
        if told.shown_at is not None:
            assert told.rules == ()
        elif not set(told.rules) & forbidding:
            rule = told.rules[0] if told.rules else None
            assert (article in without[rule]) == (rule is not None)
            assert told.rules or told.place > k
        sections = rules.get("boost", {}).get("section_name", {})
        assert told.factor == sections.get(f"section {article % 4}", 1.0)
    assert named


def test_what_fills_a_list_that_rules_left_short(history: History) -> None:
    """It is shown and no candidate."""
    quotas = {segment: {"repurchase": 60} for segment in SEGMENTS}
    hybrid = drawn_hybrid(rules=Rules(already_bought="drop"))
    hybrid.generator.settings = hybrid.generator.settings.model_copy(update={"quotas": quotas})
    found = explained(hybrid.fit(history), history, 1)
    assert found.shown.height == 12
    told = found.explain(found.shown["article"][0])
    assert (told.place, told.shown_at, told.rules) == (None, 1, ())
    assert why_not(told) is None
    assert reason(told.evidence)


def test_everything_has_words() -> None:
    assert DESCRIPTIONS.keys() == RECOMMENDERS.keys()
    assert set(RULES) == set(EVERY_RULE)


DRESS, COAT = (
    Article(0, "0001", "Dress", "Red"),
    Article(1, "0002", None, None),
)


def _bought(*relations: Relation, days_ago: int = 4, times: int = 1) -> RelatedPurchase:
    return RelatedPurchase(COAT, date(2020, 9, 19), days_ago, times, relations)


def _evidence(
    *sources: str,
    purchases: tuple[RelatedPurchase, ...] = (),
    sales_rank: int | None = None,
    section: str | None = None,
    age_known: bool = False,
) -> Evidence:
    proposals = tuple(Proposal(source, 1, 1.0, None) for source in sources)
    return Evidence(DRESS, proposals, purchases, sales_rank, section, age_known)


SAME, COLOUR = Relation("same article"), Relation("same product")
TOGETHER, LIKE = Relation("bought together", None, 2.0), Relation("alike", "content", 0.9)


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        (_evidence("popularity", sales_rank=17), "among the 20 best sellers of the last day"),
        (_evidence("popularity", sales_rank=1), "among the 3 best sellers of the last day"),
        (_evidence("popularity", sales_rank=101), "sells well at present"),
        (_evidence("popularity"), "sells well at present"),
        (
            _evidence("popularity", sales_rank=5, purchases=(_bought(COLOUR),)),
            "among the 5 best sellers of the last day; bought the same product in another colour "
            "4 days ago",
        ),
        (
            _evidence("other_colours", sales_rank=5, purchases=(_bought(COLOUR, days_ago=1),)),
            "bought the same product in another colour 1 day ago; among the 5 best sellers of the "
            "last day",
        ),
        (_evidence("repurchase", purchases=(_bought(SAME),)), "bought it 4 days ago"),
        (
            _evidence("most_frequent", sales_rank=21, purchases=(_bought(SAME, times=3),)),
            "bought it on 3 days, last 4 days ago",
        ),
        (
            _evidence("co_visitation", purchases=(_bought(COLOUR), _bought(TOGETHER, LIKE))),
            "often bought together with 0002, bought 4 days ago",
        ),
        (
            _evidence("content", purchases=(_bought(LIKE),)),
            "described like 0002, bought 4 days ago",
        ),
        (
            _evidence("gnn", purchases=(_bought(LIKE, Relation("alike", "gnn", 0.5)),)),
            "goes with 0002, bought 4 days ago",
        ),
        (_evidence("sasrec"), "goes with the latest purchases"),
        (
            _evidence("popularity_by_section", section="Knitwear"),
            "sells well in Knitwear, where the customer buys",
        ),
        (_evidence("popularity_by_section"), "sells well at present"),
        (
            _evidence("popularity_by_age", age_known=True),
            "sells well with customers of this age",
        ),
        (_evidence("popularity_by_age"), "sells well at present"),
        (_evidence("something_new"), "proposed by: something new"),
        (_evidence(), "sells well at present"),
    ],
)
def test_reasons(evidence: Evidence, words: str) -> None:
    assert reason(evidence) == words


def test_every_reason_is_one_line(hybrid: Hybrid, history: History) -> None:
    for customer in (COLD, *WARM):
        for evidence in explained(hybrid, history, customer).listed():
            words = reason(evidence)
            assert words
            assert "\n" not in words
            assert "None" not in words


def test_low_places_are_said_to_be_low(hybrid: Hybrid, history: History) -> None:
    found = explained(hybrid, history, 1, k=2)
    third = found.explain(hybrid.recommend(one(history, 1), 3)["article"][2])
    assert isinstance(third, Explanation)
    said = why_not(third)
    assert said is not None
    assert f"2 of the {third.candidates} candidates have a higher score, and 2 are shown" in said
