"""What can be seen of a running service, and what must not be seen in it."""

from __future__ import annotations

import re
import shutil
import signal
from datetime import UTC, datetime, time
from pathlib import Path
from time import sleep

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from modiste.service.bundle import Bundle
from modiste.service.bundle_versions import BundleVersions
from served_processes import ServedProcess, served

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(client: httpx2.Client) -> Samples:
    """All samples that ``/metrics`` shows, read as Prometheus does."""
    text = client.get("/metrics").text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(found: Samples, name: str, **labels: str) -> float:
    return sum(
        value
        for (each, of_each), value in found.items()
        if each == name and labels.items() <= dict(of_each).items()
    )


@pytest.mark.parametrize("workers", [1, 2], ids=["one", "two"])
def test_a_service_from_its_start_to_its_end(
    workers: int, quick_bundle_folder: Path, bundle: Bundle, tmp_path: Path
) -> None:
    """Counted over all processes, logged without ids of people, ended when all is answered."""
    shutil.copytree(quick_bundle_folder, tmp_path / "bundles" / "monday")
    BundleVersions(tmp_path / "bundles").swap("monday")
    store, customer = tmp_path / "events.sqlite", bundle.customers.customer_id(1)
    options = ["--workers", str(workers), "--events", str(store)]
    with served(tmp_path / "bundles", *options) as (process, client):
        asked = 8
        for number in range(asked):
            # A connection each, so that all processes get some.
            with httpx2.Client(base_url=process.address, timeout=60) as own:
                path = f"/v1/customers/{customer}/recommendations"
                assert own.get(path, headers={"X-Request-ID": f"ask-{number}"}).status_code == 200
                event = {
                    "event_id": str(number),
                    "customer_id": customer,
                    "article_id": bundle.articles["article_id"][0],
                    "kind": "view",
                    "time": "2020-07-31T12:00:00Z",
                }
                assert own.post("/v1/events", json=event).status_code == 201
        unknown = client.get(f"/v1/customers/{customer}x/recommendations")
        found = samples(client)
        ended = process.stop()
    assert ended in (0, -signal.SIGTERM)
    assert not list(tmp_path.glob("events.sqlite-*"))  # closed: its log is merged
    route = "/v1/customers/{customer_id}/recommendations"
    requests = "modiste_http_requests_total"
    assert total(found, requests, route=route, status="200") == asked
    assert total(found, requests, route=route, status="404") == 1
    assert total(found, requests, route="/v1/events", method="POST") == asked
    assert total(found, "modiste_http_request_seconds_count", route=route) == asked + 1
    assert total(found, "modiste_events_total", kind="view", outcome="stored") == asked
    as_of = total(found, "modiste_bundle_as_of_timestamp_seconds")
    assert as_of == _timestamp(bundle)
    _assert_log(process, customer, unknown, asked)


def test_processes_end_with_the_one_that_started_them(
    quick_bundle_folder: Path, tmp_path: Path
) -> None:
    options = ["--workers", "2", "--events", str(tmp_path / "events.sqlite")]
    with served(quick_bundle_folder, *options) as (process, _):
        process.process.kill()
        process.wait()
        assert any(not _listens(process.address) for _ in range(600))


def _listens(address: str) -> bool:
    sleep(0.1)
    try:
        httpx2.get(address, timeout=60)
    except httpx2.ConnectError:
        return False
    except httpx2.TransportError:
        pass
    return True


def _timestamp(bundle: Bundle) -> float:
    return datetime.combine(bundle.manifest.as_of, time(), UTC).timestamp()


def _assert_log(
    process: ServedProcess, customer: str, unknown: httpx2.Response, asked: int
) -> None:
    assert customer not in "".join(process.lines)
    requests = [line for line in process.log() if line["logger"] == "modiste.service.requests"]
    ids = {line["request_id"]: line for line in requests}
    assert {f"ask-{number}" for number in range(asked)} < ids.keys()
    assert unknown.json()["request_id"] == unknown.headers["x-request-id"]
    line = ids[unknown.headers["x-request-id"]]
    assert (line["status"], line["method"]) == (404, "GET")
    assert line["route"] == "/v1/customers/{customer_id}/recommendations"


@pytest.mark.parametrize("given", ["", "a b", "a" * 65, "<script>", 'a","level":"error'])
def test_an_id_that_cannot_stand_in_a_log_is_replaced(given: str, client: httpx2.Client) -> None:
    answer = client.get("/v1/version", headers={"X-Request-ID": given})
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])


def test_an_id_of_the_client_stays(client: httpx2.Client) -> None:
    answer = client.get("/v1/version", headers={"X-Request-ID": "shop-7.a_B"})
    assert answer.headers["x-request-id"] == "shop-7.a_B"
