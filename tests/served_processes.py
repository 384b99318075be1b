"""The service as a process of its own, started by its command, killed and started again."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

_COMMAND = [sys.executable, "-c", "from modiste.cli import main; main()", "serve"]

_RUNNING = re.compile(r"Uvicorn running on (http://[^ ]+)")


class ServedProcess:
    """A running service.

    Attributes
    ----------
    process
        Its first process.
    address
        Of its root.
    lines
        Of its log, so far.
    """

    def __init__(self, bundle: Path, *options: str) -> None:
        self.process = subprocess.Popen(
            [*_COMMAND, str(bundle), "--set", "limits.seconds=600", *options],
            stderr=subprocess.PIPE,
            start_new_session=True,  # its own processes die with it
            text=True,
            encoding="utf-8",
        )
        self.lines: list[str] = []
        self.address = self._first_address()
        # Nobody who does not read may keep it from writing.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._wait_until_ready()

    def kill(self) -> None:
        """End it at once, as a power failure does."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.wait()

    def stop(self) -> int:
        """End it as a supervisor does, and give its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        status = self.process.wait(120)
        self._reader.join(10)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return status

    def log(self) -> list[dict[str, object]]:
        """What was logged, every line of it."""
        return [json.loads(line) for line in self.lines]

    def _first_address(self) -> str:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            found = _RUNNING.search(line)
            if found:
                return found[1]
        raise AssertionError("the service did not start:\n" + "".join(self.lines))

    def _wait_until_ready(self) -> None:
        # Of several processes the first one names the address before the others listen.
        while True:
            try:
                httpx2.get(f"{self.address}/v1/health/ready", timeout=60).raise_for_status()
                return
            except httpx2.ConnectError:
                assert self.process.poll() is None, "the service ended:\n" + "".join(self.lines)
                time.sleep(0.05)

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.lines.extend(self.process.stderr)


@contextmanager
def served(bundle: Path, *options: str) -> Iterator[tuple[ServedProcess, httpx2.Client]]:
    """A service on a free port, stopped at the end, and a client of it."""
    process = ServedProcess(bundle, "--port", "0", *options)
    try:
        with httpx2.Client(base_url=process.address, timeout=60) as client:
            yield process, client
    finally:
        if process.process.poll() is None:
            process.kill()
