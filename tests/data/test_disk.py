"""No room and no permission: a clear error, the earlier result as it was, no stray files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from modiste.errors import ModisteError
from raw_shops import larger_shop, prepare, write_files, write_tables

# The ingest in a process of its own: prints the message of the error that stopped it. A first
# ingest imports all modules: another user than root may not be able to look where they lie.
_SCRIPT = """
import os, resource, sys
from pathlib import Path
from modiste.data.ingest import ingest
from modiste.data.settings import IngestSettings
from modiste.engine import Engine
from modiste.errors import ModisteError

def run(raw, target):
    settings = IngestSettings(max_reject_share=1, unknown_customers="add", unknown_articles="add")
    ingest(raw, Path(target), settings, Engine(workers=2))

warm_raw, warm_target, raw, target, restriction = sys.argv[1:]
run(warm_raw, warm_target)
exec(restriction)
try:
    run(raw, target)
except ModisteError as error:
    print(error)
"""
_BECOME_NOBODY = "os.setgroups([]); os.setgid(65534); os.setuid(65534)"


def _restricted(raw: Path, target: Path, warm_up: Path, restriction: str) -> str:
    """What the ingest says when a line of Python has restricted the process."""
    little = write_files(warm_up / "raw")
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, little, warm_up / "out", raw, target, restriction],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mount") is None, reason="needs root to mount a small disk"
)
@pytest.mark.parametrize("kilobytes", [150, 400])
def test_a_full_disk(tmp_path: Path, kilobytes: int) -> None:
    raw = write_tables(tmp_path / "raw", larger_shop(rows=40_000))
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(disk)], check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a tmpfs is not allowed here")
    try:
        target = disk / "out"
        prepare(write_files(tmp_path / "little"), target)
        before = _files(disk)
        with pytest.raises(ModisteError, match=r"no room on disk for .*out: free some space"):
            prepare(raw, target)
        assert _files(disk) == before
        assert list(disk.iterdir()) == [target]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("limit", [2_000, 20_000, 200_000])
def test_a_limit_on_the_size_of_files(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, limit: int
) -> None:
    raw = write_tables(tmp_path / "raw", larger_shop(rows=40_000))
    target = tmp_path / "out"
    prepare(write_files(tmp_path / "little"), target)
    before = _files(target)
    message = _restricted(
        raw,
        target,
        tmp_path_factory.mktemp("warm"),
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))",
    )
    assert f"no room on disk for {target}" in message
    assert _files(target) == before
    assert {path.name for path in tmp_path.iterdir()} == {"raw", "little", "out"}


@pytest.fixture
def open_path() -> Iterator[Path]:
    """Give a folder that another user can reach; pytest's own are private."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_no_permission_to_write(open_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    raw = write_files(open_path / "raw")
    locked = open_path / "locked"
    locked.mkdir(mode=0o555)
    restriction = _BECOME_NOBODY if os.geteuid() == 0 else ""
    message = _restricted(raw, locked / "out", tmp_path_factory.mktemp("warm"), restriction)
    assert f"no permission to write {locked / 'out'}" in message
    assert list(locked.iterdir()) == []


@pytest.mark.parametrize("place", ["target", "source"])
def test_a_folder_that_may_not_be_entered(
    open_path: Path, tmp_path_factory: pytest.TempPathFactory, place: str
) -> None:
    raw = write_files(open_path / "raw")
    closed = open_path / "closed"
    closed.mkdir(mode=0)
    restriction = _BECOME_NOBODY if os.geteuid() == 0 else ""
    source, target = (raw, closed / "out") if place == "target" else (closed, open_path / "out")
    message = _restricted(source, target, tmp_path_factory.mktemp("warm"), restriction)
    assert "permission" in message.lower()
    assert str(closed) in message


@pytest.mark.parametrize("name", ["customers.csv", "articles.csv.gz", "customers.parquet"])
def test_no_permission_to_read(
    open_path: Path, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    stem = name.partition(".")[0]
    raw = write_files(open_path / "raw", {f"{stem}.csv": None, name: "x"})
    (raw / name).chmod(0)
    free = open_path / "free"
    free.mkdir()
    free.chmod(0o777)
    restriction = _BECOME_NOBODY if os.geteuid() == 0 else ""
    message = _restricted(raw, free / "out", tmp_path_factory.mktemp("warm"), restriction)
    assert f"{name} cannot be read: Permission denied" in message
    assert list(free.iterdir()) == []
