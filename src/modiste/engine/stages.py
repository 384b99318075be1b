"""Stages of a run: each is done once, keeps its outputs in one folder, and is known by a key.

A stage's key is a hash of the code that makes its outputs, of its settings and of its inputs' keys.
A run redoes the stages whose key has changed and no others. A stage's folder appears by one rename,
with its key inside, so that a run killed anywhere either has a whole stage or none of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from modiste.engine.files import atomic_file, atomic_folder, remove_partials
from modiste.engine.memory import PeakMemory
from modiste.engine.progress import say
from modiste.errors import RunError

KEY_FILE = "stage.json"
_TIMINGS_FILE = "timings.json"
_SOURCES = (".py", ".html", ".css", ".js")


class Run:
    """A run's folder, its lock, and the stages done in it.

    Use it as a context manager: the folder is locked while it is open.

    Parameters
    ----------
    folder
        Made when missing. A non-empty folder that is not a run is refused.
    redo_from
        Name of the first stage to redo although its outputs are there; all after it follow.
    only
        Name of the one stage to do; those before it must have their outputs, those after it are
        left as they are.

    Raises
    ------
    RunError
        When another process works in the folder, or when it holds something else.
    """

    def __init__(
        self, folder: Path, *, redo_from: str | None = None, only: str | None = None
    ) -> None:
        self.folder = folder
        self._redo_from, self._only = redo_from, only
        self._redoing = False
        self._keys: dict[str, str] = {}
        self._lock = FileLock(folder / ".lock")

    def __enter__(self) -> Run:
        try:
            self._refuse_foreign()
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise RunError(
                f"another process works in {self.folder}: wait for it or choose another --out"
            ) from error
        except OSError as error:
            raise RunError(
                f"{self.folder} cannot be used ({error.strerror}): choose another --out"
            ) from error
        remove_partials(self.folder)
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def _refuse_foreign(self) -> None:
        if self.folder.is_file():
            raise RunError(f"{self.folder} is a file: --out names a folder")
        if not self.folder.is_dir():
            return
        names = {path.name for path in self.folder.iterdir()}
        if names and not names & {".lock", "stages"}:
            raise RunError(
                f"{self.folder} is not empty and not a run of modiste: choose another --out"
            )

    def stage(
        self,
        name: str,
        work: Callable[[Path], None],
        *,
        settings: Mapping[str, Any],
        code: Sequence[str],
        needs: Sequence[str] = (),
    ) -> Path:
        """Do a stage unless its outputs are there already; return the folder of its outputs.

        Parameters
        ----------
        name
            Names the stage and its folder.
        work
            Writes the outputs into the folder that it is given.
        settings
            All that the outputs depend on besides code and earlier stages; JSON-able.
        code
            Modules and packages of modiste whose source makes the outputs.
        needs
            Names of the earlier stages whose outputs this one reads.

        Raises
        ------
        RunError
            When ``only`` names a later stage and this one has no up-to-date outputs.
        """
        key = _hash(
            {
                "name": name,
                "settings": dict(settings),
                "code": [_code_hash(module) for module in code],
                "needs": [self._keys[need] for need in needs],
            }
        )
        self._keys[name] = key
        folder = self.folder / "stages" / name
        self._redoing = self._redoing or name == self._redo_from
        fresh = _key_of(folder) == key
        if self._only is not None and self._only != name:
            if not fresh and self._only not in self._keys:
                raise RunError(
                    f"stage '{name}' has no up-to-date outputs in {self.folder}: "
                    f"run without --only {self._only} first"
                )
            return folder
        if fresh and not self._redoing and self._only != name:
            _say(f"{name}: there already")
            return folder
        _say(f"{name} …")
        start = time.monotonic()
        with PeakMemory() as memory, atomic_folder(folder) as partial:
            work(partial)
            (partial / KEY_FILE).write_text(json.dumps({"key": key}) + "\n", encoding="utf-8")
        shutil.rmtree(self._checkpoints(name), ignore_errors=True)
        with suppress(OSError):  # it is not there, or another stage has some
            self._checkpoints(name).parent.rmdir()
        seconds = time.monotonic() - start
        self._note_timing(name, seconds, memory.peak_mib)
        _say(f"{name}: {seconds:.1f} s, {memory.peak_mib:,.0f} MiB at most")
        return folder

    def checkpoints(self, name: str) -> Path:
        """Where the work of a stage keeps what it can go on from when it was interrupted.

        It lasts until the stage is done, and is made by nothing but the same code, settings and
        inputs: where those have changed, it is empty.
        """
        folder = self._checkpoints(name) / self._keys[name]
        for other in folder.parent.glob("*"):
            if other != folder:
                shutil.rmtree(other)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _checkpoints(self, name: str) -> Path:
        return self.folder / "checkpoints" / name

    def known(self, name: str, key: Mapping[str, Any]) -> None:
        """Let what follows a stage depend on ``key``, and on nothing else of that stage.

        For outputs that were made elsewhere, and for those whose bytes are their best name.
        """
        self._redoing = self._redoing or name == self._redo_from
        self._keys[name] = _hash(dict(key))

    def publish(self, source: Path, name: str) -> None:
        """Show a stage's output under ``name`` at the top of the run's folder, if it is there."""
        target = self.folder / name
        if not source.exists() or (target.exists() and target.samefile(source)):
            return
        with atomic_file(target) as partial:
            partial.unlink(missing_ok=True)
            try:
                os.link(source, partial)
            except OSError:  # a file system without hard links
                shutil.copyfile(source, partial)

    def timings(self) -> dict[str, dict[str, float]]:
        """Seconds and peak MiB of each stage, as of the last time that it was done."""
        return _read_object(self.folder / _TIMINGS_FILE)

    def _note_timing(self, name: str, seconds: float, peak_mib: float) -> None:
        timings = self.timings() | {
            name: {"seconds": round(seconds, 2), "peak_mib": round(peak_mib, 1)}
        }
        with atomic_file(self.folder / _TIMINGS_FILE) as partial:
            partial.write_text(json.dumps(timings, indent=2) + "\n", encoding="utf-8")


def _key_of(folder: Path) -> str | None:
    key: str | None = _read_object(folder / KEY_FILE).get("key")
    return key


def _read_object(path: Path) -> dict[str, Any]:
    """A small JSON file; nothing where there is none or it is damaged: it is then made again."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _hash(value: object) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def _code_hash(module_name: str) -> str:
    """Hash of the source of a module, or of all of a package: modules, templates, styles."""
    source = import_module(module_name).__file__
    if source is None:
        raise ValueError(f"{module_name} has no source file")
    path = Path(source)
    whole = sorted(file for file in path.parent.rglob("*") if file.suffix in _SOURCES)
    files = whole if path.name == "__init__.py" else [path]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _say(line: str) -> None:
    say(f"modiste: {line}")
