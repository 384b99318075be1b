"""Whatever is sent, nothing breaks: it is answered, refused with a reason, or cut off."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from modiste.service.app import make_app
from modiste.service.bundle import Bundle
from modiste.service.events.store import EventStore
from modiste.service.settings import LimitSettings, ServiceSettings
from served_processes import served
from serving import listening

_BODY_BYTES = 20_000


@pytest.fixture(scope="module")
def hostile(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """A client of a service with short bodies."""
    store = EventStore.create(str(tmp_path_factory.mktemp("hostile") / "events.sqlite"))
    limits = LimitSettings(seconds=600, body_bytes=_BODY_BYTES, body_seconds=0.5)
    with listening(make_app(bundle, ServiceSettings(limits=limits), store=store)) as client:
        yield client


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_the_api_keeps_to_its_description(mode: GenerationMode, hostile: httpx2.Client) -> None:
    schema = schemathesis.openapi.from_url(f"{hostile.base_url}/openapi.json")
    asked = set()
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        takes_nothing = not (operation.body or list(operation.iter_parameters()))
        if mode is GenerationMode.NEGATIVE and takes_nothing:
            continue

        @settings(max_examples=30, suppress_health_check=list(HealthCheck))
        @given(operation.as_strategy(generation_mode=mode))
        def keeps(case: schemathesis.Case[Any]) -> None:
            case.call_and_validate(
                checks=[
                    not_a_server_error,
                    status_code_conformance,
                    content_type_conformance,
                    response_schema_conformance,
                ]
            )

        keeps()
        asked.add(operation.label)
    assert {"POST /v1/events", "DELETE /v1/customers/{customer_id}/data"} < asked


def test_a_long_body_is_refused_before_it_is_sent(hostile: httpx2.Client) -> None:
    with _connected(hostile) as connection:
        connection.sendall(_head("POST /v1/events", f"Content-Length: {10**12}"))
        answer = _all(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"application/problem+json" in answer


def test_a_long_body_in_chunks_is_refused(hostile: httpx2.Client) -> None:
    with _connected(hostile) as connection:
        connection.sendall(_head("POST /v1/events", "Transfer-Encoding: chunked"))
        for _ in range(_BODY_BYTES // 4_096 + 1):
            connection.sendall(b"1000\r\n" + b"[" * 4_096 + b"\r\n")
        answer = _all(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_body_of_just_that_length_is_read(hostile: httpx2.Client) -> None:
    headers = {"Content-Type": "application/json"}
    short = hostile.post("/v1/events", content=b"{}".ljust(_BODY_BYTES), headers=headers)
    assert short.status_code == 422
    long = hostile.post("/v1/events", content=b"{}".ljust(_BODY_BYTES + 1), headers=headers)
    assert long.status_code == 413


@pytest.mark.parametrize(
    "body", [b"[" * 9_000 + b"]" * 9_000, b"[" * _BODY_BYTES, b'{"a":' * 4_000, b"9" * 10_000]
)
def test_deep_json(body: bytes, hostile: httpx2.Client) -> None:
    answer = hostile.post("/v1/events", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_body_that_does_not_come_is_not_waited_for(hostile: httpx2.Client) -> None:
    with _connected(hostile) as connection:
        connection.sendall(_head("POST /v1/events", "Content-Length: 100") + b"{")
        answer = _all(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    "text",
    [
        "'; DROP TABLE events; --",
        '<img src=x onerror="alert(1)">',
        "../../etc/passwd",
        "\u202egnp.exe",
        "👩‍👩‍👧‍👦",
        "%00",
        "\ufeff",
        "{{7*7}}",
        "${jndi:ldap://a}",
        "=cmd|' /C calc'!A0",
    ],
)
def test_odd_texts_are_texts(text: str, hostile: httpx2.Client, bundle: Bundle) -> None:
    event = {
        "event_id": text,
        "customer_id": text,
        "article_id": bundle.articles["article_id"][0],
        "kind": "view",
        "time": "2020-07-31T12:00:00Z",
    }
    stored = hostile.post("/v1/events", json=event)
    assert stored.status_code == 201, stored.text
    assert stored.json()["results"][0]["event_id"] == text
    # Nothing that was sent comes back in an error.
    unknown = hostile.post("/v1/events", json={**event, "event_id": "b", "article_id": text})
    assert unknown.status_code == 422
    assert text not in unknown.json()["detail"]


@pytest.mark.parametrize(
    "path",
    ["/v1/../metrics/..", "//v1/version", "/v1/version/", "/%2e%2e/%2e%2e/etc/passwd", "/\\"],
)
def test_paths_that_lead_nowhere(path: str, hostile: httpx2.Client) -> None:
    with _connected(hostile) as connection:
        connection.sendall(_head(f"GET {path}", "Connection: close"))
        answer = _all(connection)
    assert answer.split(b" ", 2)[1] == b"404"


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET /v1/version HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"GET /v1/version HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"\x00" * 100,
    ],
)
def test_what_is_no_http(sent: bytes, hostile: httpx2.Client) -> None:
    with _connected(hostile) as connection:
        connection.sendall(sent)
        assert _all(connection).startswith(b"HTTP/1.1 400 ")
    assert hostile.get("/v1/health/live").status_code == 200


def test_slow_and_endless_headers(quick_bundle_folder: Path, tmp_path: Path) -> None:
    options = ["--set", "limits.header_seconds=1", "--events", str(tmp_path / "events.sqlite")]
    with served(quick_bundle_folder, *options) as (_, client):
        silent, slow, endless = (_connected(client) for _ in range(3))
        with silent, slow, endless:
            slow.sendall(b"GET /v1/version HTTP/1.1\r\nHost: a\r\n")
            assert _all(silent) == b""
            assert _all(slow) == b""
            # In several pieces: one read of the server's is longer than what it allows.
            with pytest.raises(ConnectionError):  # noqa: PT012
                for _ in range(1_000):
                    endless.sendall(b"X-A: " + b"a" * 60_000 + b"\r\n")
                    time.sleep(0.001)
        assert client.get("/v1/version").status_code == 200


def _connected(client: httpx2.Client) -> socket.socket:
    return socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=60)


def _head(line: str, *headers: str) -> bytes:
    given = ["Host: a", "Content-Type: application/json", *headers]
    return "\r\n".join([f"{line} HTTP/1.1", *given, "", ""]).encode()


def _all(connection: socket.socket) -> bytes:
    """What comes until the other side closes."""
    received = bytearray()
    while piece := connection.recv(65_536):
        received += piece
    return bytes(received)
