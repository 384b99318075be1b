"""The shop's rules: each by itself, at most n against a naive version, and what they changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from modiste.errors import ConfigError
from modiste.evaluation.protocol import RECOMMENDATIONS, rank_by_score
from modiste.ranking.rules import (
    RULES,
    ArticleRules,
    Rules,
    apply_rules,
    article_rules,
    fill_up,
    rule_changes,
    summarise_changes,
)
from shops import prepared_articles

AS_OF = date(2020, 9, 23)

# Products of two colours each, sections of four articles, and departments across them.
N = 12
ARTICLES = prepared_articles(
    {
        "product_code": [f"{article // 2}" for article in range(N)],
        "section_name": [("Ladies", "Men", None)[article // 4] for article in range(N)],
        "department_name": [("Knit", "Jersey", "Denim")[article % 3] for article in range(N)],
    }
)
# Article n costs n, was last sold n days before the date, and the last one is not known of.
SALES = pl.DataFrame(
    {
        "article": range(N - 1),
        "last_sale": [date(2020, 9, 23 - max(n, 1)) for n in range(N - 1)],
        "price": [float(n) for n in range(N - 1)],
    }
)
# Best first: article 0, 1, 2, … for customer 0, and the other way round for customer 1.
CANDIDATES = pl.DataFrame(
    {
        "customer": [0] * N + [1] * N,
        "article": [*range(N)] * 2,
        "score": [*range(N, 0, -1), *range(1, N + 1)],
    }
)
BOUGHT = pl.DataFrame({"customer": [0, 0, 1, 1], "article": [0, 3, 3, 3]})


def worked_out(**rules: Any) -> ArticleRules:
    return article_rules(Rules(**rules), ARTICLES, SALES, AS_OF)


def lists(found: pl.DataFrame) -> dict[int, list[int]]:
    assert found.schema == RECOMMENDATIONS
    assert found.equals(found.sort("customer", "rank"))
    rows = found.group_by("customer", maintain_order=True).agg("article", "rank", "score")
    for row in rows.iter_rows(named=True):
        assert row["rank"] == [*range(1, len(row["rank"]) + 1)]
        assert row["score"] == sorted(row["score"], reverse=True)
    return dict(rows.select("customer", "article").iter_rows())


def shown(k: int = 4, **rules: Any) -> dict[int, list[int]]:
    return lists(apply_rules(CANDIDATES, worked_out(**rules), k, BOUGHT))


def test_no_rule_changes_nothing() -> None:
    assert worked_out().rules.in_force == []
    found = apply_rules(CANDIDATES, worked_out(), 5)
    assert found.equals(rank_by_score(CANDIDATES, 5))


@pytest.mark.parametrize(
    ("rules", "of_first", "of_second"),
    [
        ({"exclude_articles": ("0000000001", "0000000010")}, [0, 2, 3, 4], [11, 9, 8, 7]),
        ({"exclude": {"section_name": ("Ladies",)}}, [4, 5, 6, 7], [11, 10, 9, 8]),
        (
            {"exclude": {"section_name": ("Ladies",), "department_name": ("Jersey", "Knit")}},
            [5, 8, 11],
            [11, 8, 5],
        ),
        ({"only_on_sale_days": 2}, [0, 1, 2], [2, 1, 0]),
        ({"price_ceiling": 3}, [0, 1, 2, 3], [3, 2, 1, 0]),
        ({"price_ceiling": 0.5}, [0], [0]),
        ({"already_bought": "drop"}, [1, 2, 4, 5], [11, 10, 9, 8]),
        ({"already_bought": "only"}, [0, 3], [3]),
        ({"boost": {"section_name": {"Men": 2}}}, [4, 5, 0, 6], [7, 6, 5, 11]),
        ({"boost": {"section_name": {"Ladies": 0.5}}}, [4, 5, 0, 6], [11, 10, 9, 8]),
        (
            {"boost": {"section_name": {"Men": 2}, "department_name": {"Denim": 3}}},
            [5, 2, 4, 0],
            [5, 11, 8, 7],
        ),
        ({"at_most": {"product_code": 1}}, [0, 2, 4, 6], [11, 9, 7, 5]),
        ({"at_most": {"department_name": 1}}, [0, 1, 2], [11, 10, 9]),
        # Those without a section are as many as they like.
        ({"at_most": {"section_name": 1}}, [0, 4, 8, 9], [11, 10, 9, 8]),
        ({"at_most": {"product_code": 1, "department_name": 1}}, [0, 2, 4], [11, 9, 7]),
    ],
)
def test_each_rule(rules: dict[str, Any], of_first: list[int], of_second: list[int]) -> None:
    assert shown(**rules) == {0: of_first, 1: of_second}


def test_rules_hold_together() -> None:
    found = shown(
        exclude={"section_name": ["Ladies"]},
        price_ceiling=9,
        already_bought="drop",
        boost={"department_name": {"Denim": 10}},
        at_most={"product_code": 1},
    )
    assert found == {0: [5, 8, 6], 1: [8, 5, 7]}


def test_ties_go_by_the_code_whatever_the_order_of_the_rows() -> None:
    tied = CANDIDATES.with_columns(score=pl.lit(0.5))
    rules = worked_out(at_most={"product_code": 1})
    assert lists(apply_rules(tied, rules, 3)) == {0: [0, 2, 4], 1: [0, 2, 4]}
    shuffled = tied.sample(fraction=1, shuffle=True, seed=1)
    assert apply_rules(shuffled, rules, 3).equals(apply_rules(tied, rules, 3))


def test_one_article() -> None:
    one = CANDIDATES.filter(article=7)
    rules = worked_out(at_most={"product_code": 1, "department_name": 2})
    assert lists(apply_rules(one, rules, 12)) == {0: [7], 1: [7]}


def test_nothing_left() -> None:
    rules = worked_out(exclude={"department_name": ["Knit", "Jersey", "Denim"]})
    assert lists(apply_rules(CANDIDATES, rules, 12)) == {}
    assert lists(apply_rules(CANDIDATES.clear(), rules, 12)) == {}
    fallback = pl.DataFrame({"article": range(N), "score": [1.0] * N})
    kept = apply_rules(CANDIDATES, rules, 12)
    assert lists(fill_up(kept, fallback, pl.Series([0, 1]), rules, 12)) == {}


# --- filling up ---------------------------------------------------------------------------------

FALLBACK = pl.DataFrame({"article": range(N), "score": [1 / (1 + n) for n in range(N)]})


def test_filled_up_after_what_was_kept_and_under_the_same_rules() -> None:
    rules = worked_out(
        exclude={"section_name": ["Men"]}, already_bought="drop", at_most={"product_code": 1}
    )
    candidates = CANDIDATES.filter(pl.col("article").is_in([5, 9]), customer=0)
    kept = apply_rules(candidates, rules, 4, BOUGHT)
    assert lists(kept) == {0: [9]}
    filled = fill_up(kept, FALLBACK, pl.Series([2, 1, 0]), rules, 4, BOUGHT)
    # Customer 0 has bought 0, and 8 is the product of 9; customer 1 has bought 3.
    assert lists(filled) == {0: [9, 1, 2, 10], 1: [0, 2, 8, 10], 2: [0, 2, 8, 10]}
    assert filled.filter(rank=1)["score"].to_list() == [3, 0, 0]
    assert (filled.filter(pl.col("rank") > 1)["score"] == 0).all()


def test_a_boost_counts_in_the_fallback_too() -> None:
    rules = worked_out(boost={"department_name": {"Denim": 100}})
    none = pl.DataFrame(schema=RECOMMENDATIONS)
    assert lists(fill_up(none, FALLBACK, pl.Series([3]), rules, 5)) == {3: [2, 5, 8, 11, 0]}


def test_whole_lists_stay_and_others_customers_are_left_out() -> None:
    rules = worked_out(at_most={"product_code": 1})
    kept = apply_rules(CANDIDATES, rules, 3)
    filled = fill_up(kept, FALLBACK, pl.Series([1]), rules, 3)
    assert filled.equals(kept.filter(customer=1))


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"exclude_articles": ["108775015"]}, "exclude_articles: .* article_id '108775015'"),
        ({"exclude_articles": ["x", "0000000001", "y"]}, "'x', nor 1 more of those named"),
        ({"exclude": {"section_name": ["Lady"]}}, r"exclude\.section_name: .*'Ladies'\?"),
        ({"boost": {"index_name": {"Sport": 2}}}, "index_name 'Sport'"),
        ({"at_most": {"colour_group_name": 2}}, "no article of the shop has a colour_group_name"),
    ],
)
def test_what_the_shop_does_not_have_is_named(rules: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        worked_out(**rules)


def test_a_ceiling_needs_prices() -> None:
    unknown = SALES.with_columns(price=pl.lit(None, pl.Float64))
    with pytest.raises(ConfigError, match="price_ceiling: the price of no article is known"):
        article_rules(Rules(price_ceiling=1), ARTICLES, unknown, AS_OF)


@pytest.mark.parametrize(
    "rules",
    [
        {"exclude": {"section": ["Ladies"]}},
        {"boost": {"section_names": {"Ladies": 2}}},
        {"boost": {"section_name": {"Ladies": 0}}},
        {"at_most": {"product": 1}},
        {"at_most": {"product_code": 0}},
        {"only_on_sale_days": 0},
        {"price_ceiling": float("nan")},
        {"already_bought": "yes"},
        {"exclude_articles": [108775015]},
    ],
)
def test_settings_that_make_no_sense(rules: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Rules(**rules)


@pytest.mark.parametrize("score", [-0.1, float("nan"), float("inf"), None])
def test_scores_that_no_factor_fits(score: float | None) -> None:
    bad = pl.DataFrame({"customer": [0], "article": [0], "score": [score]}, strict=False)
    with pytest.raises(ValueError, match="0 or more"):
        apply_rules(bad.with_columns(pl.col("score").cast(pl.Float64)), worked_out(), 3)


def test_what_was_bought_must_be_given_where_it_matters() -> None:
    with pytest.raises(ValueError, match="needs what was bought"):
        apply_rules(CANDIDATES, worked_out(already_bought="drop"), 3)


def test_settings_go_to_json_and_back() -> None:
    rules = Rules(
        exclude={"section_name": ("Ladies",)},
        boost={"index_name": {"Sport": 1.5}},
        at_most={"product_code": 1},
        price_ceiling=0.1,
    )
    assert Rules.model_validate(rules.model_dump(mode="json")) == rules


# --- what each rule changed ---------------------------------------------------------------------


def test_counts_of_what_each_rule_changes() -> None:
    rules = worked_out(
        exclude_articles=["0000000001", "0000000007"],
        already_bought="drop",
        boost={"department_name": {"Jersey": 1.01}},
    )
    assert rules.forbidden() == {"exclude_articles": 2}
    found = summarise_changes([rule_changes(CANDIDATES, rules, 3, BOUGHT)]).to_dicts()
    assert found == [
        # Article 1 in one list; 7 is in no list of three.
        {"rule": "exclude_articles", "articles": 1, "recommendations": 1, "customers": 1},
        {"rule": "already_bought", "articles": 1, "recommendations": 1, "customers": 1},
        # 10 × 1.01 and 11 × 1.01: below what is one more.
        {"rule": "boost", "articles": 0, "recommendations": 0, "customers": 0},
        {"rule": "all", "articles": 2, "recommendations": 2, "customers": 1},
    ]


def test_another_order_is_a_change_without_an_article_gone() -> None:
    rules = worked_out(boost={"department_name": {"Jersey": 1.2}})
    found = summarise_changes([rule_changes(CANDIDATES, rules, 3)])
    assert found.row(0) == ("boost", 0, 0, 2)


def test_changes_of_disjoint_customers_add_up() -> None:
    rules = worked_out(price_ceiling=9, at_most={"product_code": 1, "section_name": 2})
    together = summarise_changes([rule_changes(CANDIDATES, rules, 4)])
    parts = [rule_changes(CANDIDATES.filter(customer=customer), rules, 4) for customer in (0, 1)]
    assert summarise_changes(parts).equals(together)
    assert summarise_changes([]).is_empty()


def test_no_rule_no_change() -> None:
    found = summarise_changes([rule_changes(CANDIDATES, worked_out(), 4)])
    assert found.rows() == [("all", 0, 0, 0)]


# --- properties ---------------------------------------------------------------------------------


def naive(
    candidates: list[tuple[int, float]],
    columns: Mapping[str, list[str | None]],
    at_most: Any,
    k: int,
) -> list[int]:
    """Go down the list of one customer, in plain Python."""
    taken: list[int] = []
    counts: Counter[tuple[str, str]] = Counter()
    for article, _ in sorted(candidates, key=lambda each: (-each[1], each[0])):
        values = [(column, columns[column][article]) for column in at_most]
        groups = [(column, value) for column, value in values if value is not None]
        if all(counts[group] < at_most[group[0]] for group in groups) and len(taken) < k:
            taken.append(article)
            counts.update(groups)
    return taken


COLUMNS = ("product_code", "department_name", "colour_group_name")


@given(st.data())
def test_at_most_n_of_each_is_what_going_down_the_list_gives(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 30))
    value = st.sampled_from(["a", "b", "c", None])
    values = {
        # One value at least, or the rule is refused.
        column: ["a", *data.draw(st.lists(value, min_size=n - 1, max_size=n - 1))]
        for column in COLUMNS
    }
    at_most = data.draw(st.dictionaries(st.sampled_from(COLUMNS), st.integers(1, 4)))
    k = data.draw(st.integers(1, 12))
    score = st.integers(0, 5).map(float)  # ties
    of_customers = data.draw(
        st.lists(st.dictionaries(st.integers(0, n - 1), score, max_size=n), max_size=4)
    )
    rules = article_rules(Rules(at_most=at_most), prepared_articles(values), SALES.clear(), AS_OF)
    candidates = pl.DataFrame(
        [
            (customer, article, score)
            for customer, scored in enumerate(of_customers)
            for article, score in scored.items()
        ],
        schema={"customer": pl.Int32, "article": pl.Int32, "score": pl.Float64},
        orient="row",
    )
    expected = {
        customer: naive([*scored.items()], values, at_most, k)
        for customer, scored in enumerate(of_customers)
        if scored
    }
    assert lists(apply_rules(candidates, rules, k)) == expected
    # Filled up from a list of all, nothing kept is lost and no number is exceeded.
    kept = apply_rules(candidates, rules, k)
    fallback = pl.DataFrame({"article": range(n), "score": [1.0] * n})
    everybody = pl.Series(range(len(of_customers)), dtype=pl.Int32)
    filled = lists(fill_up(kept, fallback, everybody, rules, k))
    for customer in range(len(of_customers)):
        first = expected.get(customer, [])
        places = {article: place for place, article in enumerate(first)}
        rest = [(article, -float(n)) for article in range(n) if article not in places]
        in_order = [(article, -float(place)) for article, place in places.items()] + rest
        assert filled[customer] == naive(in_order, values, at_most, k)


def test_every_rule_is_a_setting() -> None:
    assert set(RULES) == set(Rules.model_fields)
