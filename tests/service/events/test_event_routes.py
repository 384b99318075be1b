"""Events over HTTP: taken one by one or together, each with its own answer, and erased."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from modiste.service.app import make_app
from modiste.service.bundle import Bundle
from modiste.service.events.store import EventStore
from modiste.service.settings import ServiceSettings
from serving import UNHURRIED, listening

_numbers = count()


@pytest.fixture(scope="module")
def taking(
    bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[httpx2.Client, EventStore]]:
    """A service that takes events, and its store."""
    file = tmp_path_factory.mktemp("taking") / "events.sqlite"
    store = EventStore.create(str(file))
    app = make_app(bundle, ServiceSettings(limits=UNHURRIED), store=store)
    with listening(app) as client:
        yield client, store


@pytest.fixture
def client(taking: tuple[httpx2.Client, EventStore]) -> httpx2.Client:
    return taking[0]


@pytest.fixture
def event(bundle: Bundle) -> dict[str, Any]:
    """A valid event that nobody sent before."""
    return {
        "event_id": f"event {next(_numbers)}",
        "customer_id": f"customer {next(_numbers)}",
        "article_id": bundle.articles["article_id"][3],
        "kind": "purchase",
        "time": "2020-07-31T12:00:00Z",
        "price": 0.2,
        "channel": 1,
    }


def statuses(answer: httpx2.Response) -> list[int]:
    return [each["status"] for each in answer.json()["results"]]


def test_one_event_is_stored_once(
    taking: tuple[httpx2.Client, EventStore], event: dict[str, Any]
) -> None:
    client, store = taking
    first = client.post("/v1/events", json=event)
    assert first.status_code == 201, first.text
    assert first.json()["results"] == [
        {"event_id": event["event_id"], "status": 201, "outcome": "stored", "detail": None}
    ]
    assert client.post("/v1/events", json=event).status_code == 200
    again = client.post("/v1/events", json={**event, "kind": "return"})
    assert again.status_code == 409
    assert again.headers["content-type"] == "application/problem+json"
    assert "another event has this id" in again.json()["detail"]
    (stored,) = store.of_customer(event["customer_id"], stored_since(event))
    assert stored.model_dump(mode="json") == event


def stored_since(event: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(event["time"])


def test_of_a_list_each_is_taken_or_refused_by_itself(
    taking: tuple[httpx2.Client, EventStore], event: dict[str, Any]
) -> None:
    client, store = taking
    sent = [
        event,
        {**event, "event_id": event["event_id"] + " b", "article_id": "no such article"},
        {**event, "kind": "view"},
        {**event, "event_id": event["event_id"] + " c", "kind": "cart"},
    ]
    answer = client.post("/v1/events", json=sent)
    assert answer.status_code == 207
    assert statuses(answer) == [201, 422, 409, 201]
    assert len(store.of_customer(event["customer_id"], stored_since(event))) == 2
    right = [sent[0], sent[3]]
    assert client.post("/v1/events", json=right).status_code == 200
    more = [*right, {**event, "event_id": event["event_id"] + " d"}]
    answer = client.post("/v1/events", json=more)
    assert (answer.status_code, statuses(answer)) == (201, [200, 200, 201])


def test_an_article_that_nobody_knows(client: httpx2.Client, event: dict[str, Any]) -> None:
    answer = client.post("/v1/events", json={**event, "article_id": "<script>"})
    assert answer.status_code == 422
    assert "no article has this id" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"kind": "theft"}, "kind"),
        ({"time": "2020-07-31T12:00:00"}, "time"),
        ({"time": "9999-12-31T23:59:59-14:00"}, "time"),
        ({"time": "0001-01-01T00:00:00+14:00"}, "time"),
        ({"time": "1989-12-31T23:59:59Z"}, "time"),
        ({"time": 1e300}, "time"),
        ({"price": -0.01}, "price"),
        ({"price": float("inf")}, "price"),
        ({"price": float("nan")}, "price"),
        ({"price": "free"}, "price"),
        ({"channel": 128}, "channel"),
        ({"event_id": ""}, "event_id"),
        ({"event_id": "a" * 201}, "event_id"),
        ({"customer_id": "a\x00b"}, "customer_id"),
        ({"customer_id": "a\nb"}, "customer_id"),
        ({"customer_id": "\ud800"}, "customer_id"),
        ({"customer_id": 7}, "customer_id"),
        ({"more": 1}, "more"),
    ],
)
def test_what_is_no_event(
    change: dict[str, Any], place: str, client: httpx2.Client, event: dict[str, Any]
) -> None:
    headers = {"Content-Type": "application/json"}
    for sent in ({**event, **change}, [event, {**event, **change}]):
        answer = client.post("/v1/events", content=json.dumps(sent), headers=headers)
        assert answer.status_code == 422, answer.text
        assert place in answer.json()["detail"]
    # Of a list with one that is none, nothing was stored.
    assert client.post("/v1/events", json=event).status_code == 201


@pytest.mark.parametrize("body", ["[]", "null", "7", '"text"', "{}", "", "{", "[[]]", "[{}]"])
def test_bodies_that_are_nothing(body: str, client: httpx2.Client) -> None:
    answer = client.post("/v1/events", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_erased_data_is_gone_and_does_not_come_back(
    taking: tuple[httpx2.Client, EventStore], event: dict[str, Any]
) -> None:
    client, store = taking
    several = [{**event, "event_id": f"{event['event_id']} {n}"} for n in range(5)]
    assert client.post("/v1/events", json=several).status_code == 201
    path = f"/v1/customers/{event['customer_id']}/data"
    erased = client.delete(path)
    assert erased.status_code == 200
    assert erased.json()["events"] == 5
    assert store.of_customer(event["customer_id"], stored_since(event)) == []
    assert store.erased_at(event["customer_id"]) is not None
    answer = client.post("/v1/events", json=several)
    assert (answer.status_code, statuses(answer)) == (207, [410] * 5)
    assert client.post("/v1/events", json=event).status_code == 410
    assert client.delete(path).json()["events"] == 0


def test_the_next_answer_counts_what_was_sent(
    client: httpx2.Client, bundle: Bundle, event: dict[str, Any]
) -> None:
    as_of = bundle.manifest.as_of
    now = {**event, "time": f"{as_of}T09:00:00Z"}
    path = "/v1/customers/{}/recommendations"
    new = path.format(event["customer_id"])
    assert client.get(new).status_code == 404
    known = path.format(bundle.customers.customer_id(1))
    before = client.get(known).json()
    assert before["live_events"] == 0
    own = {"event_id": event["event_id"] + " b", "customer_id": bundle.customers.customer_id(1)}
    # An event from before the bundle's date is in its history, or never was.
    early = {**event, "event_id": event["event_id"] + " c", "time": "2020-07-30T23:59:59Z"}
    assert client.post("/v1/events", json=[now, {**now, **own}, early]).status_code == 201
    answer = client.get(new).json()
    assert (answer["live_events"], len(answer["recommendations"])) == (1, 12)
    after = client.get(known).json()
    assert after["live_events"] == 1
    assert after["as_of"] > before["as_of"]
    assert after["recommendations"] != before["recommendations"]


def test_an_id_with_slashes_is_one_id(client: httpx2.Client, event: dict[str, Any]) -> None:
    now = datetime.now(UTC).isoformat()
    for customer in ("/a/b", "/a%2fb", "a/similar"):
        sent = {"event_id": customer, "customer_id": customer, "time": now}
        assert client.post("/v1/events", json={**event, **sent}).status_code == 201
    for customer in ("/a/b", "/a%2fb", "a/similar"):
        path = f"/v1/customers/{quote(customer, safe='')}"
        assert client.get(path).json()["customer_id"] == customer
        assert client.get(f"{path}/recommendations").status_code == 200
        assert client.delete(f"{path}/data").json()["events"] == 1
        assert client.get(path).status_code == 404
    said = client.get("/v1/articles/07%2F06/similar").json()["detail"]
    assert "no article has this id" in said
    assert client.get("/v1/articles/07/06/similar").json()["detail"] != said


def test_nothing_of_who_was_erased_is_used(
    client: httpx2.Client, bundle: Bundle, event: dict[str, Any]
) -> None:
    """Not what the bundle knows either; what comes later is a new customer's."""
    customer = bundle.customers.customer_id(5)
    path = f"/v1/customers/{customer}"
    assert client.get(f"{path}/recommendations").status_code == 200
    assert client.delete(f"{path}/data").status_code == 200
    assert client.get(f"{path}/recommendations").status_code == 404
    assert client.get(path).status_code == 404
    late = {**event, "customer_id": customer, "time": datetime.now(UTC).isoformat()}
    assert client.post("/v1/events", json=late).status_code == 201
    assert client.get(path).json()["purchases"] == 1


def test_without_a_store_there_is_no_such_endpoint(bundle: Bundle, event: dict[str, Any]) -> None:
    with listening(make_app(bundle, ServiceSettings(limits=UNHURRIED))) as client:
        assert client.post("/v1/events", json=event).status_code == 404


def test_what_was_sent_is_there_when_the_service_has_ended(
    bundle: Bundle, event: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "events.sqlite"
    app = make_app(bundle, ServiceSettings(limits=UNHURRIED), store=EventStore.create(str(file)))
    with listening(app) as client:
        assert client.post("/v1/events", json=event).status_code == 201
    assert list(tmp_path.iterdir()) == [file]  # no log of SQLite's is left beside it
    store = EventStore.open(str(file))
    assert len(store.of_customer(event["customer_id"], stored_since(event))) == 1
    store.close()
