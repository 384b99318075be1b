"""Atomic writes: a file or folder has its final name only when it is whole and on disk.

Both context managers give a temporary name beside the target, make the bytes durable (fsync) and
rename. A process killed in the middle leaves a ``*.partial`` name, which the next write of the same
target replaces and :func:`remove_partials` sweeps away.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from modiste.errors import ModisteError

_SUFFIX = ".partial"

# What makes a pattern of a path.
_PATTERN = "*?["

# The folder that a new one is about to replace, between two renames.
_OUTGOING = ".outgoing" + _SUFFIX


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
        with suppress(OSError):  # what went wrong first is what the user must hear
            partial.unlink(missing_ok=True)
        raise


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Give an empty temporary folder to fill; rename it to ``target`` when the block succeeds.

    An earlier ``target`` folder is replaced as a whole, or left untouched on failure.

    Raises
    ------
    ModisteError
        When the disk is full, the place is not writable, or its path is a pattern.
    """
    if any(sign in str(target.absolute()) for sign in _PATTERN):
        # Polars would read what is in there as the files that fit a pattern, and find none.
        raise ModisteError(
            f"{target} has one of {' '.join(_PATTERN)} in its path, which is taken for a pattern "
            "of names: choose a place without"
        )
    partial = _partial(target)
    try:
        with _explained(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            _sweep(target.parent.glob(f".{target.name}*{_SUFFIX}"))
            partial.mkdir(parents=True)
            yield partial
            for path in sorted(partial.rglob("*")):
                _sync(path)
            _sync(partial)
            outgoing = target.with_name(f".{target.name}{_OUTGOING}")
            if target.exists():
                target.rename(outgoing)
            partial.rename(target)
            _sync(target.parent)
            if outgoing.exists():
                shutil.rmtree(outgoing)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def remove_partials(folder: Path) -> None:
    """Remove what killed processes left half written anywhere under ``folder``.

    A folder that was about to be replaced and whose successor never came gets its name back.
    """
    _sweep(folder.rglob(f".*{_SUFFIX}"))


def _sweep(partials: Iterable[Path]) -> None:
    for path in sorted(partials, reverse=True):
        if path.name.endswith(_OUTGOING):
            target = path.with_name(path.name.removeprefix(".").removesuffix(_OUTGOING))
            if not target.exists():
                path.rename(target)
                continue
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
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        if full or any(sign in str(error) for sign in ("No space left", "File too large")):
            raise ModisteError(
                f"no room on disk for {target}: free some space or choose another place; "
                "what was there before is untouched"
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise ModisteError(
                f"no permission to write {target}: choose another place or change its permissions"
            ) from error
        raise
