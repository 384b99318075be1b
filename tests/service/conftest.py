"""A run's bundle, and a real server on loopback that answers from it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
import uvicorn

from hybrids import drawn_hybrid
from modiste.data.dataset import Dataset
from modiste.fitted_run import note_fitted
from modiste.service.app import make_app
from modiste.service.bundle import Bundle
from modiste.service.export import export_bundle
from modiste.service.settings import LimitSettings, ServiceSettings

# A busy machine may keep a test waiting for as long as it likes.
UNHURRIED = LimitSettings(seconds=600)


@pytest.fixture(scope="session")
def served_run(small_shop: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the stage ``fit`` of a run leaves, all sources and rankers in it."""
    run = tmp_path_factory.mktemp("served") / "run"
    folder = run / "stages" / "fit"
    folder.mkdir(parents=True)
    history = small_shop.until(small_shop.next_day)
    drawn_hybrid().fit(history).save(folder)
    note_fitted(folder, history, small_shop.folder)
    return run


@pytest.fixture(scope="session")
def bundle_folder(served_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "bundle"
    export_bundle(served_run, folder)
    return folder


@pytest.fixture(scope="session")
def bundle(bundle_folder: Path) -> Bundle:
    return Bundle.open(bundle_folder)


@contextmanager
def serving(bundle: Bundle, settings: ServiceSettings) -> Iterator[httpx2.Client]:
    """A client of a server in a thread of this process, on a free port of loopback."""
    config = uvicorn.Config(
        make_app(bundle, settings), host="127.0.0.1", port=0, access_log=False, log_config=None
    )
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


@pytest.fixture(scope="session")
def client(bundle: Bundle) -> Iterator[httpx2.Client]:
    with serving(bundle, ServiceSettings(limits=UNHURRIED)) as client:
        yield client
