"""The server process, or processes: a socket, a bundle that is checked once, and a graceful end."""

from __future__ import annotations

import gc
import ipaddress
import os
import signal
import tempfile
import threading
from multiprocessing import parent_process
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from modiste.errors import ConfigError
from modiste.service.app import make_app
from modiste.service.bundle import Bundle
from modiste.service.bundle_versions import BundleVersions
from modiste.service.connections import DeadlineProtocol
from modiste.service.events.store import EventStore
from modiste.service.keys import KeyFile, Keys
from modiste.service.logs import LOG_CONFIG
from modiste.service.manifest import check_files, read_manifest
from modiste.service.metrics import MULTIPROCESS_FOLDER
from modiste.service.settings import ServiceSettings

# How the processes that answer are told what to open: they are started anew, and inherit no memory.
_BUNDLE, _SETTINGS = "MODISTE_BUNDLE", "MODISTE_SERVICE"


def serve(bundle: Path, settings: ServiceSettings) -> None:
    """Answer requests until the process is told to stop (SIGTERM or SIGINT).

    Parameters
    ----------
    bundle
        Folder of the bundle, or of several, whose current one is served and may change.
    settings
        Of the service.

    Raises
    ------
    BundleError
        When the bundle is foreign, of another format or damaged; before anything is listened on.
    ConfigError
        When others than this machine could ask without keys.
    EventStoreError
        When events cannot be kept where they shall be.
    """
    _check_access(settings)
    folder = BundleVersions(bundle).current if BundleVersions.holds(bundle) else bundle
    check_files(folder, read_manifest(folder), hashes=settings.verify)
    if settings.events.store is not None:
        # Created once, not by all processes at the same time.
        EventStore.create(settings.events.store, settings.events.seconds).close()
    os.environ[_BUNDLE] = str(bundle.absolute())
    os.environ[_SETTINGS] = settings.model_dump_json()
    if settings.workers == 1:
        _run(app_of_environment(), settings)
        return
    with tempfile.TemporaryDirectory(prefix="modiste-metrics-") as metrics:
        os.environ[MULTIPROCESS_FOLDER] = metrics
        _run("modiste.service.server:app_of_environment", settings)


def app_of_environment() -> FastAPI:
    """The application of a process that answers, by what :func:`serve` has left for it."""
    settings = ServiceSettings.model_validate_json(os.environ[_SETTINGS])
    folder = Path(os.environ[_BUNDLE])
    current = BundleVersions(folder).current if BundleVersions.holds(folder) else None
    events = settings.events
    _end_with_the_first_process()
    # Every byte was looked at once, by the process that started this one.
    app = make_app(
        Bundle.open((current or folder).resolve(), hashes=False),
        settings,
        store=None if events.store is None else EventStore.open(events.store, events.seconds),
        keys=None if settings.keys is None else KeyFile(settings.keys),
        current=current,
    )
    # What a bundle holds stays: looked through for garbage, it would hold up some answer.
    gc.freeze()
    return app


def _end_with_the_first_process() -> None:
    """Be told to stop when the process that started this one is gone: killed, it tells nobody."""
    first = parent_process()
    if first is None:
        return

    def wait() -> None:
        first.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="modiste-first-process", daemon=True).start()


def _run(application: FastAPI | str, settings: ServiceSettings) -> None:
    uvicorn.run(
        application,
        factory=settings.workers > 1,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        http=DeadlineProtocol,
        access_log=False,
        log_config=LOG_CONFIG,
        limit_concurrency=settings.limits.connections,
        timeout_keep_alive=settings.limits.header_seconds,
        timeout_graceful_shutdown=settings.shutdown_seconds,
        server_header=False,
    )


def _check_access(settings: ServiceSettings) -> None:
    """Refuse to let others than this machine ask without keys."""
    if settings.keys is not None:
        Keys.read(settings.keys)
        return
    if not _is_own(settings.host):
        raise ConfigError(
            f"without API keys whoever reaches {settings.host} may ask for everything and erase "
            "it: make keys ('modiste keys add') and name their file (--keys), or listen on "
            "127.0.0.1 alone"
        )


def _is_own(host: str) -> bool:
    """Whether an address is this machine's alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
