"""Atomic writes: a name is only ever whole, old or new."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from modiste.engine import atomic_file, atomic_folder, remove_partials
from modiste.errors import ModisteError


def test_file_appears_whole(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "deep" / "a.txt") as partial:
        partial.write_text("new")
        assert not (tmp_path / "deep" / "a.txt").exists()
    assert (tmp_path / "deep" / "a.txt").read_text() == "new"
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["a.txt"]


def test_failed_write_keeps_the_earlier_file(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_file(target) as partial:
        partial.write_bytes(b"half" * (1 // 0))
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_folder_replaces_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "t"
    target.mkdir()
    (target / "stale").touch()
    with atomic_folder(target) as partial:
        (partial / "fresh").touch()
    assert [p.name for p in target.iterdir()] == ["fresh"]
    assert list(tmp_path.iterdir()) == [target]


def test_failed_folder_keeps_the_earlier_one(tmp_path: Path) -> None:
    target = tmp_path / "t"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(ZeroDivisionError), atomic_folder(target) as partial:
        (partial / "half").write_bytes(b"half" * (1 // 0))
    assert [p.name for p in target.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [target]


def test_killed_in_the_middle_leaves_only_what_the_sweep_removes(tmp_path: Path) -> None:
    code = """
        import sys, time
        from pathlib import Path
        from modiste.engine import atomic_file, atomic_folder
        with atomic_folder(Path(sys.argv[1]) / "t") as folder, \\
             atomic_file(Path(sys.argv[1]) / "f") as file:
            (folder / "half").write_text("half")
            file.write_text("half")
            print("there", flush=True)
            time.sleep(60)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"there\n"
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "t").exists()
    assert not (tmp_path / "f").exists()
    assert len(list(tmp_path.iterdir())) == 2
    remove_partials(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_sweep_gives_an_outgoing_folder_its_name_back(tmp_path: Path) -> None:
    """Killed between the two renames: the earlier result is not lost."""
    outgoing = tmp_path / ".t.outgoing.partial"
    outgoing.mkdir()
    (outgoing / "old").touch()
    remove_partials(tmp_path)
    assert (tmp_path / "t" / "old").exists()
    assert not outgoing.exists()


@pytest.mark.parametrize("name", ["shop[1]", "shop*", "what?"])
def test_a_path_that_is_a_pattern_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModisteError, match="pattern"), atomic_folder(tmp_path / name / "in"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_no_permission_is_a_clear_error(tmp_path: Path) -> None:
    """As another user, in a process of its own: root may write anywhere."""
    locked = tmp_path / "locked"
    locked.mkdir()
    if os.geteuid() != 0:
        locked.chmod(0o555)
        with pytest.raises(ModisteError, match="no permission to write"):
            _write(locked / "a.txt")
        return
    pid = os.fork()
    if pid == 0:
        try:
            os.setuid(65534)
            _write(locked / "a.txt")
        except ModisteError as error:
            os._exit(0 if "no permission to write" in str(error) else 1)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mount") is None, reason="needs root to mount a small disk"
)
def test_full_disk_is_a_clear_error_and_keeps_the_earlier_result(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a tmpfs is not allowed here")
    try:
        target = disk / "a.txt"
        _write(target)
        with pytest.raises(ModisteError, match=r"no room on disk for .*a\.txt"):
            _write(target, size=1_000_000)
        assert target.read_bytes() == b"x"
        assert list(disk.iterdir()) == [target]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def _write(target: Path, size: int = 1) -> None:
    with atomic_file(target) as partial:
        partial.write_bytes(b"x" * size)
