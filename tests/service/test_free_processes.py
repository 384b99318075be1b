"""Of several processes on one port, one that is at work hands its connections on."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from modiste.service.app import make_app
from modiste.service.bundle import Bundle
from modiste.service.settings import ServiceSettings
from modiste.service.turns import Turns
from serving import UNHURRIED, listening


@pytest.mark.parametrize(("workers", "while_at_work"), [(1, None), (2, "close")])
def test_a_connection_that_finds_its_process_at_work_is_closed(
    workers: int, while_at_work: str | None, bundle: Bundle
) -> None:
    """One that finds it free is kept, and so is every one where no other process is."""
    app = make_app(bundle, ServiceSettings(workers=workers, limits=UNHURRIED))
    turns: Turns = app.state.turns
    done = threading.Event()

    @app.get("/work")
    async def work() -> bool:
        return await turns.take(done.wait)

    with listening(app) as client, ThreadPoolExecutor(1) as another:

        def connection(path: str) -> str | None:
            answer = client.get(path)
            assert answer.status_code == 200
            return answer.headers.get("connection")

        assert connection("/v1/version") is None
        first = another.submit(connection, "/work")
        while not turns.waiting:
            time.sleep(0.01)
        assert connection("/v1/version") == while_at_work
        done.set()
        assert first.result() is None
        assert connection("/v1/version") is None
