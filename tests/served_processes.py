"""The service as a process of its own, started by its command, killed and started again."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
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
            text=True,
            encoding="utf-8",
        )
        self.lines: list[str] = []
        self.address = self._first_address()
        # Nobody who does not read may keep it from writing.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def kill(self) -> None:
        """End it at once, as a power failure does."""
        self.process.kill()
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
