"""Stores of both kinds: a file of SQLite, and a PostgreSQL of the tests' own."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from modiste.service.events.store import EventStore

_DEBIAN = Path("/usr/lib/postgresql")


class PostgreSQL:
    """A server in a folder of its own, on a free port of loopback."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self._folder = programs, folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._run("initdb", "-D", str(folder), "-U", "modiste", "-A", "trust", "-E", "UTF8")

    @property
    def url(self) -> str:
        return f"postgresql://modiste@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        options = f"-p {self._port} -c listen_addresses=127.0.0.1 -k {self._folder}"
        log = self._folder / "log"
        self._run("pg_ctl", "-D", str(self._folder), "-o", options, "-l", str(log), "-w", "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self._folder), "-m", "immediate", "-w", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        # It refuses to run as root.
        as_other = {"user": "postgres", "group": "postgres"} if os.getuid() == 0 else {}
        subprocess.run(
            [str(self._programs / program), *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
            **as_other,  # type: ignore[call-overload]
        )


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
