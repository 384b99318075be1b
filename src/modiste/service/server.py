"""The server process, or processes: a socket, a bundle that is checked once, and a graceful end."""

from __future__ import annotations

import os
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from modiste.service.app import make_app
from modiste.service.bundle import Bundle
from modiste.service.manifest import check_files, read_manifest
from modiste.service.settings import ServiceSettings

# How the processes that answer are told what to open: they are started anew, and inherit no memory.
_BUNDLE, _SETTINGS = "MODISTE_BUNDLE", "MODISTE_SERVICE"


def serve(bundle: Path, settings: ServiceSettings) -> None:
    """Answer requests until the process is told to stop (SIGTERM or SIGINT).

    Parameters
    ----------
    bundle
        Folder of the bundle.
    settings
        Of the service.

    Raises
    ------
    BundleError
        When the bundle is foreign, of another format or damaged; before anything is listened on.
    """
    check_files(bundle, read_manifest(bundle), hashes=settings.verify)
    os.environ[_BUNDLE] = str(bundle.absolute())
    os.environ[_SETTINGS] = settings.model_dump_json()
    if settings.workers == 1:
        application: FastAPI | str = app_of_environment()
    else:
        application = "modiste.service.server:app_of_environment"
    uvicorn.run(
        application,
        factory=settings.workers > 1,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        access_log=False,
        timeout_graceful_shutdown=settings.shutdown_seconds,
        server_header=False,
    )


def app_of_environment() -> FastAPI:
    """The application of a process that answers, by what :func:`serve` has left for it."""
    settings = ServiceSettings.model_validate_json(os.environ[_SETTINGS])
    # Every byte was looked at once, by the process that started this one.
    return make_app(Bundle.open(os.environ[_BUNDLE], hashes=False), settings)
