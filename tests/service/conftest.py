"""A run's bundle, and a real server that answers from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from hybrids import ALL_RANKERS, drawn_hybrid
from modiste.data.dataset import Dataset
from modiste.fitted_run import note_fitted
from modiste.service.bundle import Bundle
from modiste.service.export import export_bundle
from modiste.service.settings import ServiceSettings
from serving import UNHURRIED, serving

# Of these rankers the one that needs no torch: a process that serves it starts in a second.
_QUICK = ALL_RANKERS.model_copy(update={"rankers": ("lightgbm",)})


@pytest.fixture(scope="session")
def quick_bundle_folder(small_shop: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle for services in processes of their own."""
    run = tmp_path_factory.mktemp("quick") / "run"
    folder = run / "stages" / "fit"
    folder.mkdir(parents=True)
    history = small_shop.until(small_shop.next_day)
    drawn_hybrid(settings=_QUICK).fit(history).save(folder)
    note_fitted(folder, history, small_shop.folder)
    export_bundle(run, run.parent / "bundle")
    return run.parent / "bundle"


@pytest.fixture(scope="session")
def served_run(small_shop: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the stage ``fit`` of a run leaves, all sources and rankers in it."""
    run = tmp_path_factory.mktemp("served") / "run"
    folder = run / "stages" / "fit"
    folder.mkdir(parents=True)
    history = small_shop.until(small_shop.next_day)
    drawn_hybrid().fit(history).save(folder)
    note_fitted(folder, history, small_shop.folder)
    return run


@pytest.fixture(scope="session")
def bundle_folder(served_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "bundle"
    export_bundle(served_run, folder)
    return folder


@pytest.fixture(scope="session")
def bundle(bundle_folder: Path) -> Bundle:
    return Bundle.open(bundle_folder)


@pytest.fixture(scope="session")
def client(bundle: Bundle) -> Iterator[httpx2.Client]:
    with serving(bundle, ServiceSettings(limits=UNHURRIED)) as client:
        yield client
