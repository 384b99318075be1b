"""Stores of both kinds: a file of SQLite, and a PostgreSQL of the tests' own."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from modiste.service.events.store import EventStore
from postgresql_servers import PostgreSQL

_DEBIAN = Path("/usr/lib/postgresql")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    found = shutil.which("initdb")
    programs = [Path(found).parent] if found else sorted(_DEBIAN.glob("*/bin"))
    if not programs:
        pytest.skip("no PostgreSQL server is installed")
    folder = Path(tempfile.mkdtemp(prefix="modiste-postgresql-"))
    if getpass.getuser() == "root":
        owner = pwd.getpwnam("postgres")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    server = PostgreSQL(programs[-1], folder)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of an empty store."""
    if request.param == "sqlite":
        return str(tmp_path / "events.sqlite")
    server: PostgreSQL = request.getfixturevalue("postgresql")
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS events, erasures")
    return server.url


@pytest.fixture
def store(store_url: str) -> Iterator[EventStore]:
    store = EventStore.create(store_url)
    yield store
    store.close()
