"""A PostgreSQL of the tests' own."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path


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
