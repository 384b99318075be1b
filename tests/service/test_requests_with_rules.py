"""Filters, exclusions and rules of one request, beside the shop's own; batches and explanations."""

from __future__ import annotations

from collections import Counter
from typing import Any

import httpx2
import pytest

from modiste.errors import ConfigError
from modiste.ranking.explanation import ExplainedCustomer
from modiste.ranking.reasons import reason
from modiste.ranking.rules import Rules
from modiste.service.bundle import Bundle
from serving import assert_problem

# Who bought something, and who never did.
BUYER, COLD = 1, 0


@pytest.fixture(scope="module")
def articles(bundle: Bundle) -> dict[str, dict[str, Any]]:
    return {row["article_id"]: row for row in bundle.articles.iter_rows(named=True)}


@pytest.fixture(params=[BUYER, COLD])
def path(request: pytest.FixtureRequest, bundle: Bundle) -> str:
    return f"/v1/customers/{bundle.customers.customer_id(request.param)}/recommendations"


def listed(client: httpx2.Client, path: str, **wanted: Any) -> list[str]:
    answer = client.post(path, json=wanted)
    assert answer.status_code == 200, answer.text
    return [each["article_id"] for each in answer.json()["recommendations"]]


def test_without_rules_both_ways_of_asking_agree(client: httpx2.Client, path: str) -> None:
    plain = client.get(path, params={"k": 7}).json()
    assert client.post(path, json={"k": 7}).json() == plain


def test_each_rule_of_a_request(
    client: httpx2.Client, path: str, articles: dict[str, dict[str, Any]], bundle: Bundle
) -> None:
    first, *others = listed(client, path, k=6)
    assert listed(client, path, k=5, rules={"exclude_articles": [first]}) == others
    only = listed(client, path, rules={"only": {"section_name": ["section 1"]}})
    assert {articles[each]["section_name"] for each in only} == {"section 1"}
    without = listed(client, path, rules={"exclude": {"department_name": ["department 2"]}})
    assert "department 2" not in {articles[each]["department_name"] for each in without}
    cheap = listed(client, path, rules={"price_ceiling": 0.2})
    prices = dict(bundle.latest_sales.select("article", "price").iter_rows())
    assert cheap
    assert all(prices[articles[each]["article"]] <= 0.2 for each in cheap)
    few = listed(client, path, k=8, rules={"at_most": {"section_name": 2}})
    assert max(Counter(articles[each]["section_name"] for each in few).values()) == 2
    boost = {"boost": {"section_name": {"section 3": 1e6}}}
    assert articles[listed(client, path, k=1, rules=boost)[0]]["section_name"] == "section 3"


def test_what_was_bought_leaves_by_rule(client: httpx2.Client, bundle: Bundle) -> None:
    bought = set(bundle.customers.batch([BUYER]).transactions["article"].to_list())
    own = set(bundle.articles["article_id"].gather(list(bought)).to_list())
    path = f"/v1/customers/{bundle.customers.customer_id(BUYER)}/recommendations"
    assert own & set(listed(client, path, k=40))
    assert not own & set(listed(client, path, k=40, rules={"already_bought": "drop"}))
    assert set(listed(client, path, k=40, rules={"already_bought": "only"})) <= own


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"rules": {"only": {"section_name": ["section 99"]}}}, "no article of the shop has"),
        ({"rules": {"only": {"section": ["section 1"]}}}, "did you mean 'section_no'?"),
        ({"rules": {"exclude_articles": ["nothing"]}}, "no article of the shop has"),
        ({"rules": {"price_ceiling": -1}}, "body.rules.price_ceiling"),
        ({"rules": {"at_most": {"product_code": 0}}}, "body.rules.at_most.product_code"),
        ({"rules": {"boost": {"section_name": {"section 1": 0}}}}, "body.rules.boost"),
        ({"rules": {"already_bought": "burn"}}, "body.rules.already_bought"),
        ({"rules": {"unheard": 1}}, "body.rules.unheard"),
        ({"k": 0}, "body.k"),
        ({"more": 1}, "body.more"),
    ],
)
def test_rules_that_cannot_be(
    wanted: dict[str, Any], said: str, client: httpx2.Client, path: str
) -> None:
    assert_problem(client.post(path, json=wanted), 422, said)


def test_rules_of_a_request_do_not_lift_the_shops() -> None:
    shop = Rules(
        exclude_articles=("1",),
        only={"section_name": ("a", "b")},
        price_ceiling=5,
        at_most={"product_code": 2},
        boost={"section_name": {"a": 2.0}},
        already_bought="drop",
    )
    asked = Rules(
        exclude_articles=("2",),
        only={"section_name": ("b", "c"), "colour_group_name": ("red",)},
        price_ceiling=9,
        only_on_sale_days=3,
        at_most={"product_code": 3, "section_name": 1},
        boost={"section_name": {"a": 3.0, "b": 0.5}},
    )
    assert shop.beside(asked) == Rules(
        exclude_articles=("1", "2"),
        only={"section_name": ("b",), "colour_group_name": ("red",)},
        price_ceiling=5,
        only_on_sale_days=3,
        at_most={"product_code": 2, "section_name": 1},
        boost={"section_name": {"a": 6.0, "b": 0.5}},
        already_bought="drop",
    )
    assert shop.beside(Rules()) == shop == Rules().beside(shop)
    with pytest.raises(ConfigError, match="leave one out"):
        shop.beside(Rules(already_bought="only"))


def test_several_customers_get_what_each_alone_gets(client: httpx2.Client, bundle: Bundle) -> None:
    ids = [bundle.customers.customer_id(code) for code in (5, 0, 3)]
    answer = client.post(
        "/v1/batch/recommendations", json={"customer_ids": [*ids, "nobody"], "k": 4}
    ).json()
    assert [each["customer_id"] for each in answer["customers"]] == ids
    assert answer["unknown"] == ["nobody"]
    for each in answer["customers"]:
        path = f"/v1/customers/{each['customer_id']}/recommendations"
        alone = client.get(path, params={"k": 4}).json()
        assert each["recommendations"] == alone["recommendations"]
    for wrong in ([], ["x"] * 101):
        answer = client.post("/v1/batch/recommendations", json={"customer_ids": wrong})
        assert_problem(answer, 422, "body.customer_ids")


def test_reasons_and_explanations_are_those_of_the_run(
    client: httpx2.Client, bundle: Bundle
) -> None:
    customer = bundle.customers.customer_id(BUYER)
    path = f"/v1/customers/{customer}"
    explained = ExplainedCustomer(bundle.hybrid, bundle.customers.batch([BUYER]), bundle.articles)
    shown = client.post(f"{path}/recommendations", json={"reasons": True}).json()
    expected = [reason(each) for each in explained.listed()]
    assert [each["reason"] for each in shown["recommendations"]] == expected
    for article in bundle.articles["article"]:
        own = bundle.articles["article_id"][article]
        answer = client.get(f"{path}/explanations/{own}")
        assert answer.status_code == 200, answer.text
        said, found = answer.json(), explained.explain(article)
        assert said["shown_at"] == found.shown_at
        assert (said["reason"] is None) == (found.shown_at is None) == (said["why_not"] is not None)
        assert sum(each["part"] for each in said["scorers"]) == pytest.approx(said["score"] or 0)
        assert len(said["proposals"]) == len(found.evidence.proposals)
        assert [each["times"] for each in said["purchases"]] == [
            each.times for each in found.evidence.purchases
        ]


def test_a_customer_page_by_page(client: httpx2.Client, bundle: Bundle) -> None:
    batch = bundle.customers.batch([BUYER])
    entries = batch.transactions.group_by("article", "t_dat").len()
    path = f"/v1/customers/{bundle.customers.customer_id(BUYER)}"
    whole = client.get(path, params={"limit": 200}).json()
    assert whole["age"] == batch.customers["age"][0]
    assert whole["purchases"] == len(whole["history"]) == entries.height
    days = [each["day"] for each in whole["history"]]
    assert days == sorted(days, reverse=True)
    assert sum(each["pieces"] for each in whole["history"]) == batch.transactions.height
    pages = [
        each
        for offset in range(0, entries.height + 3, 3)
        for each in client.get(path, params={"limit": 3, "offset": offset}).json()["history"]
    ]
    assert pages == whole["history"]
    cold = client.get(f"/v1/customers/{bundle.customers.customer_id(COLD)}").json()
    assert (cold["segment"], cold["history"]) == ("cold", [])
    assert not {"postal_code", "customer"} & cold.keys()


def test_every_endpoint_is_told_in_openapi(client: httpx2.Client) -> None:
    told = client.get("/openapi.json").json()
    for path, methods in told["paths"].items():
        for operation in methods.values():
            assert operation["summary"], path
            assert operation["description"], path
