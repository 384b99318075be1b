"""A real server on loopback for the tests, and what its problems look like."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import uvicorn
from fastapi import FastAPI

from modiste.service.app import make_app
from modiste.service.bundle import Bundle
from modiste.service.live_events import LiveEvents
from modiste.service.settings import LimitSettings, ServiceSettings

# A busy machine may keep a test waiting for as long as it likes.
UNHURRIED = LimitSettings(seconds=600)

PROBLEM = "application/problem+json"


def assert_problem(answer: httpx2.Response, status: int, said: str = "") -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM
    problem = answer.json()
    assert problem["status"] == status
    assert said in problem["detail"]


@contextmanager
def listening(app: FastAPI) -> Iterator[httpx2.Client]:
    """A client of an application's server in a thread of this process, on a free port."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, access_log=False, log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        thread.join(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        yield client
    server.should_exit = True
    thread.join(30)
    assert not thread.is_alive(), "the server did not stop"


@contextmanager
def serving(
    bundle: Bundle, settings: ServiceSettings, live: LiveEvents | None = None
) -> Iterator[httpx2.Client]:
    """A client of a server that answers from a bundle, without keys and without a store."""
    with listening(make_app(bundle, settings, live)) as client:
        yield client
