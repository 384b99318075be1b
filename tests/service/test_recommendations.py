"""Over HTTP as offline: the same articles in the same order."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from modiste.data.dataset import Dataset
from modiste.fitted_run import FittedRun
from modiste.service.bundle import Bundle
from serving import assert_problem


@pytest.fixture(scope="module")
def offline(small_shop: Dataset, served_run: Any) -> dict[str, list[tuple[str, int]]]:
    """By customer what the run itself recommends: article and rank, all customers at once."""
    fitted = FittedRun.open(served_run)
    articles = fitted.history.articles["article_id"]
    lists: dict[str, list[tuple[str, int]]] = {}
    for batch in fitted.history.batches():
        names = dict(batch.customers.select("customer", "customer_id").iter_rows())
        lists |= {name: [] for name in names.values()}
        for customer, article, _, rank in fitted.hybrid.recommend(batch, 12).iter_rows():
            lists[names[customer]].append((articles[article], rank))
    return lists


def shown(answer: httpx2.Response) -> list[tuple[str, int]]:
    assert answer.status_code == 200, answer.text
    return [(each["article_id"], each["rank"]) for each in answer.json()["recommendations"]]


def test_every_customer_gets_what_the_run_recommends(
    client: httpx2.Client, offline: dict[str, list[tuple[str, int]]]
) -> None:
    assert len(offline) == 90
    for customer, expected in offline.items():
        answer = client.get(f"/v1/customers/{customer}/recommendations")
        assert shown(answer) == expected
    assert any(offline.values())


def test_so_many_as_were_asked_for(client: httpx2.Client, bundle: Bundle) -> None:
    path = f"/v1/customers/{bundle.customers.customer_id(1)}/recommendations"
    whole = shown(client.get(path, params={"k": 200}))
    assert [rank for _, rank in whole] == [*range(1, len(whole) + 1)]
    for k in (1, 5, 12):
        assert shown(client.get(path, params={"k": k})) == whole[:k]


@pytest.mark.parametrize("k", ["0", "-1", "201", "999999999999999999999999", "1.5", "twelve", ""])
def test_a_senseless_number_of_articles(k: str, client: httpx2.Client, bundle: Bundle) -> None:
    path = f"/v1/customers/{bundle.customers.customer_id(1)}/recommendations"
    assert_problem(client.get(path, params={"k": k}), 422, "query.k: ")


@pytest.mark.parametrize(
    "unknown",
    [
        "nobody",
        "..%2f..%2fetc%2fpasswd",
        "%00",
        "%ff%fe",
        "%ed%b3%a9",
        "'%20OR%201=1--",
        "%3Cscript%3E",
        "%E2%80%AE",
        "%F0%9F%91%97",
        "a" * 200,
    ],
)
def test_unknown_and_odd_customers(unknown: str, client: httpx2.Client) -> None:
    answer = client.get(f"/v1/customers/{unknown}/recommendations")
    assert_problem(answer, 404)


def test_ids_that_are_no_ids(client: httpx2.Client) -> None:
    assert_problem(client.get(f"/v1/customers/{'a' * 201}/recommendations"), 422)
    assert_problem(client.get("/v1/nowhere"), 404)
    assert_problem(client.delete("/v1/version"), 405)


def test_what_is_served(client: httpx2.Client, bundle: Bundle) -> None:
    told = client.get("/v1/version").json()
    assert told["bundle"] == bundle.manifest.version
    assert told["as_of"] == bundle.manifest.as_of.isoformat()
    assert (told["articles"], told["customers"]) == (40, 90)
    assert client.get("/v1/health/live").json() == {"status": "ok"}
    assert client.get("/v1/health/ready").json() == {"status": "ok"}
