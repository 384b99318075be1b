"""What is exported is what is opened, and nothing else is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from modiste.data.dataset import Dataset
from modiste.errors import BundleError, DataError
from modiste.fitted_run import FittedRun
from modiste.service.bundle import Bundle
from modiste.service.export import export_bundle
from modiste.service.manifest import read_manifest


def test_every_customer_is_found_with_all_purchases(bundle: Bundle, small_shop: Dataset) -> None:
    store = bundle.customers
    for batch in small_shop.until(small_shop.next_day).batches():
        found = store.batch(batch.customers["customer"])
        assert found.as_of == batch.as_of
        assert found.customers.equals(batch.customers)
        assert found.transactions.equals(batch.transactions)
        for code, customer_id in batch.customers.select("customer", "customer_id").iter_rows():
            assert store.code(customer_id) == code
            assert store.customer_id(code) == customer_id
            alone, among = store.batch([code]), batch.only(pl.Series([code]))
            assert alone.customers.equals(among.customers)
            assert alone.transactions.equals(among.transactions)


@pytest.mark.parametrize("unknown", ["", "nobody", "\udce9", "0" * 63, "é" * 300])
def test_nobody_else_is_found(unknown: str, bundle: Bundle) -> None:
    assert bundle.customers.code(unknown) is None


def test_the_same_run_gives_the_same_bundle(
    served_run: Path, bundle_folder: Path, tmp_path: Path
) -> None:
    again = export_bundle(served_run, tmp_path / "again")
    assert again == read_manifest(bundle_folder)


def test_an_earlier_bundle_is_replaced_and_nothing_else(
    served_run: Path, bundle_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(bundle_folder, tmp_path / "bundle")
    (tmp_path / "bundle" / "more").write_text("left over")
    export_bundle(served_run, tmp_path / "bundle")
    assert Bundle.open(tmp_path / "bundle").manifest == read_manifest(bundle_folder)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("the only copy")
    with pytest.raises(BundleError, match="is no bundle: choose another name"):
        export_bundle(served_run, tmp_path / "other")
    assert (tmp_path / "other" / "thesis.txt").read_text() == "the only copy"


def test_a_bundle_needs_nothing_of_the_run(bundle_folder: Path, served_run: Path) -> None:
    texts = [path.read_bytes() for path in bundle_folder.rglob("*") if path.is_file()]
    for place in (served_run, FittedRun.open(served_run).history._folder):
        assert not any(str(place).encode() in text for text in texts)


def _files(folder: Path) -> list[str]:
    return sorted(read_manifest(folder).files)


def test_any_changed_byte_is_noticed(bundle_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(bundle_folder, copy)
    for name in _files(copy):
        whole = (copy / name).read_bytes()
        if not whole:
            continue
        middle = len(whole) // 2
        (copy / name).write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
        with pytest.raises(BundleError, match="is not what was exported"):
            Bundle.open(copy)
        (copy / name).write_bytes(whole[:-1])
        with pytest.raises(BundleError, match="is not what was exported"):
            Bundle.open(copy, hashes=False)
        (copy / name).unlink()
        with pytest.raises(BundleError, match=f"lacks {name}"):
            Bundle.open(copy)
        (copy / name).write_bytes(whole)
    Bundle.open(copy)
    (copy / "hybrid" / "more.json").write_text("{}")
    with pytest.raises(BundleError, match=r"more\.json, which is no part of the bundle"):
        Bundle.open(copy)


def test_what_is_no_bundle(bundle_folder: Path, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere", bundle_folder / "manifest.json"):
        with pytest.raises(BundleError, match="is no bundle"):
            Bundle.open(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "bundle of format 99, made by modiste"),
        ({"kind": "another program's"}, "is no bundle of modiste"),
        ({"as_of": "yesterday"}, "is damaged"),
        ({"more": 1}, "is damaged"),
        ({"customers": 91}, "not of the sizes"),
    ],
)
def test_a_foreign_manifest(
    change: dict[str, object], message: str, bundle_folder: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(bundle_folder, copy)
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**manifest, **change}))
    with pytest.raises(BundleError, match=message):
        Bundle.open(copy)


@pytest.mark.parametrize("text", ["", "{", "[]", "\xff", "null"])
def test_a_damaged_manifest(text: str, bundle_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(bundle_folder, copy)
    (copy / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(BundleError, match="is no bundle"):
        Bundle.open(copy)


def test_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no finished run"):
        export_bundle(tmp_path, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []
