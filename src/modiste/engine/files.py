"""Atomic writes: a file or folder has its final name only when it is whole and on disk.

Both context managers give a temporary name beside the target, make the bytes durable (fsync) and
rename. A process killed in the middle leaves a ``*.partial`` name, which the next write of the same
target replaces and :func:`remove_partials` sweeps away.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modiste.errors import ModisteError

_SUFFIX = ".partial"


@contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """Give a temporary path to write ``target``'s bytes to; rename it when the block succeeds.

    Raises
    ------
    ModisteError
        When the disk is full or the place is not writable. The earlier ``target`` stays as it was.
    """
    partial = _partial(target)
    try:
        with _explained(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            yield partial
            _sync(partial)
            partial.replace(target)
            _sync(target.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Give an empty temporary folder to fill; rename it to ``target`` when the block succeeds.

    An earlier ``target`` folder is replaced as a whole, or left untouched on failure.

    Raises
    ------
    ModisteError
        When the disk is full or the place is not writable.
    """
    partial = _partial(target)
    try:
        with _explained(target):
            if partial.exists():
                shutil.rmtree(partial)
            partial.mkdir(parents=True)
            yield partial
            for path in sorted(partial.rglob("*")):
                _sync(path)
            _sync(partial)
            if target.exists():
                outgoing = target.with_name(f".{target.name}.outgoing{_SUFFIX}")
                if outgoing.exists():
                    shutil.rmtree(outgoing)
                target.rename(outgoing)
                partial.rename(target)
                shutil.rmtree(outgoing)
            else:
                partial.rename(target)
            _sync(target.parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def remove_partials(folder: Path) -> None:
    """Remove what killed processes left half written anywhere under ``folder``."""
    for path in sorted(folder.rglob(f"*{_SUFFIX}"), reverse=True):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _partial(target: Path) -> Path:
    return target.with_name(f".{target.name}{_SUFFIX}")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _explained(target: Path) -> Iterator[None]:
    """Turn the operating system's refusals into messages that say where and what to do."""
    try:
        yield
    except OSError as error:
        # Polars raises OSError without errno for a failed write; its text has the cause.
        if error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error):
            raise ModisteError(
                f"no room on disk for {target}: free some space or choose another place; "
                "what was there before is untouched"
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise ModisteError(
                f"no permission to write {target}: choose another place or change its permissions"
            ) from error
        raise
