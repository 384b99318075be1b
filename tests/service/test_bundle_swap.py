"""Another bundle is taken over while requests are answered, or refused and the old one goes on."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
from typer.testing import CliRunner

from hybrids import drawn_hybrid
from modiste.cli import app as command_line
from modiste.data.dataset import Dataset
from modiste.errors import BundleError
from modiste.fitted_run import note_fitted
from modiste.service.app import make_app
from modiste.service.bundle import Bundle
from modiste.service.bundle_versions import BundleVersions
from modiste.service.export import export_bundle
from modiste.service.manifest import read_manifest
from modiste.service.settings import ServiceSettings
from serving import UNHURRIED, listening

_SETTINGS = ServiceSettings(limits=UNHURRIED, swap_seconds=0.02)


@pytest.fixture(scope="module")
def earlier_bundle(small_shop: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a week before the other one."""
    run = tmp_path_factory.mktemp("earlier") / "run"
    folder = run / "stages" / "fit"
    folder.mkdir(parents=True)
    history = small_shop.until(small_shop.next_day - timedelta(days=7))
    drawn_hybrid().fit(history).save(folder)
    note_fitted(folder, history, small_shop.folder)
    export_bundle(run, run.parent / "bundle")
    return run.parent / "bundle"


@pytest.fixture
def versions(bundle_folder: Path, earlier_bundle: Path, tmp_path: Path) -> BundleVersions:
    """A folder of two bundles, of which the earlier one is current."""
    shutil.copytree(earlier_bundle, tmp_path / "bundles" / "monday")
    shutil.copytree(bundle_folder, tmp_path / "bundles" / "tuesday")
    versions = BundleVersions(tmp_path / "bundles")
    versions.swap("monday")
    return versions


@contextmanager
def watching(versions: BundleVersions) -> Iterator[httpx2.Client]:
    bundle = Bundle.open(versions.current.resolve())
    with listening(make_app(bundle, _SETTINGS, current=versions.current)) as client:
        yield client


def version_of(folder: Path) -> str:
    return read_manifest(folder).version


def served_version(client: httpx2.Client) -> str:
    version = client.get("/v1/version").json()["bundle"]
    assert isinstance(version, str)
    return version


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def swaps(client: httpx2.Client, outcome: str) -> float:
    sample = f'modiste_bundle_swaps_total{{outcome="{outcome}"}} '
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.removeprefix(sample)) for line in lines if line.startswith(sample))


def test_no_request_is_dropped_by_swaps(versions: BundleVersions) -> None:
    monday, tuesday = (version_of(versions.folder / name) for name in ("monday", "tuesday"))
    seen: list[tuple[int, str]] = []
    stop = threading.Event()
    with watching(versions) as client:
        customer = Bundle.open(versions.current.resolve()).customers.customer_id(1)

        def ask() -> None:
            with httpx2.Client(base_url=client.base_url, timeout=60) as own:
                while not stop.is_set():
                    answer = own.get(f"/v1/customers/{customer}/recommendations")
                    seen.append((answer.status_code, answer.json()["bundle"]))

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for name, version in (("tuesday", tuesday), ("monday", monday), ("tuesday", tuesday)):
            versions.swap(name)
            wait_until(lambda: served_version(client) == version)  # noqa: B023
            before = len(seen)
            wait_until(lambda: len(seen) > before + 5)  # noqa: B023
        stop.set()
        for thread in threads:
            thread.join(60)
        assert swaps(client, "taken") == 3
    assert {status for status, _ in seen} == {200}
    assert {version for _, version in seen} == {monday, tuesday}


def test_a_swapped_bundle_recommends_as_one_that_was_opened(
    versions: BundleVersions, bundle: Bundle
) -> None:
    path = f"/v1/customers/{bundle.customers.customer_id(1)}/recommendations"
    with watching(versions) as client:
        versions.swap("tuesday")
        wait_until(lambda: served_version(client) == bundle.manifest.version)
        swapped = client.get(path).json()
    with listening(make_app(bundle, _SETTINGS)) as client:
        assert client.get(path).json() == swapped


def test_a_bundle_that_cannot_be_served_is_refused_and_the_old_one_goes_on(
    versions: BundleVersions,
) -> None:
    """Not by the command, which would have looked: by hand, or damaged after it."""
    folder, link = versions.folder, versions.current
    monday = version_of(folder / "monday")
    damaged = folder / "damaged"
    shutil.copytree(folder / "tuesday", damaged)
    file = damaged / "catalogue.parquet"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    (folder / "foreign").mkdir()
    with watching(versions) as client:
        for target in ("damaged", "foreign", "nowhere", None):
            before = swaps(client, "refused")
            link.unlink()
            if target is not None:
                link.symlink_to(target)
            wait_until(lambda: swaps(client, "refused") > before)  # noqa: B023
            assert served_version(client) == monday
        # And it takes the next good one.
        versions.swap("tuesday")
        wait_until(lambda: served_version(client) == version_of(folder / "tuesday"))


def test_swap_and_rollback_by_command(versions: BundleVersions) -> None:
    def run(*arguments: str) -> str:
        done = CliRunner().invoke(command_line, ["bundle", *arguments])
        assert done.exit_code == 0, done.output
        return done.output

    folder = str(versions.folder)
    assert "Current is tuesday: version" in run("swap", folder, "tuesday")
    assert versions.current.resolve().name == "tuesday"
    listed = run("list", folder).splitlines()
    assert [line.split()[:2] for line in listed] == [["previous", "monday"], ["current", "tuesday"]]
    assert "Current is monday again" in run("rollback", folder)
    assert versions.current.resolve().name == "monday"
    assert "Current is tuesday again" in run("rollback", folder)
    assert not list(versions.folder.glob(".*"))


@pytest.mark.parametrize(
    "name", ["nowhere", "current", "previous", "", ".", "..", "../bundles/tuesday", "tuesday/."]
)
def test_what_is_no_bundle_of_the_folder(name: str, versions: BundleVersions) -> None:
    with pytest.raises(BundleError):
        versions.swap(name)
    assert versions.name_of("current") == "monday"
    assert versions.name_of("previous") is None


def test_a_damaged_bundle_is_not_swapped_to(versions: BundleVersions) -> None:
    (versions.folder / "tuesday" / "catalogue.parquet").write_bytes(b"")
    with pytest.raises(BundleError, match="is not what was exported"):
        versions.swap("tuesday")
    assert versions.name_of("current") == "monday"


def test_no_rollback_before_the_first_swap(versions: BundleVersions) -> None:
    with pytest.raises(BundleError, match="no bundle was served"):
        versions.rollback()
    versions.swap("monday")
    with pytest.raises(BundleError, match="no bundle was served"):
        versions.rollback()


def test_no_folder_of_bundles(tmp_path: Path, bundle_folder: Path) -> None:
    with pytest.raises(BundleError, match="there is no folder"):
        BundleVersions(tmp_path / "nowhere")
    assert not BundleVersions.holds(bundle_folder)
