"""Articles' pictures as vectors, beside those of their texts.

A model of the kind of CLIP (Radford et al., ICML 2021), as sentence-transformers runs it. The
vectors of the text and of the picture stand side by side in one. So the similarity of two articles
is a weighted mean of that of their texts and that of their pictures, and all that is done with
vectors (reduction, index, recommending) is done with these, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from modiste.data.images import picture_file
from modiste.engine.progress import Advance, progress, say
from modiste.errors import DataError
from modiste.vectors.article_vectors import ArticleVectors, unit_rows
from modiste.vectors.encoder import EncoderError, load_model
from modiste.vectors.store import VectorStore, key_of
from modiste.vectors.weights import cache_folder, find_weights, revision_of

if TYPE_CHECKING:
    from PIL.Image import Image
    from sentence_transformers import SentenceTransformer

Vectors = NDArray[np.float32]

# Pictures that are embedded between two writes to the disk: what a kill can cost.
CHUNK = 1024

# What photographs come as, whatever their files are called. Pillow knows more, and starts other
# programs for some.
_FORMATS = ("JPEG", "PNG", "WEBP")


class PictureVectorSettings(BaseModel):
    """Settings of the vectors of articles' pictures."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(
        default=False,
        description=(
            "Whether articles are compared by their pictures, too. The pictures are those of "
            "report.images."
        ),
    )
    model: str = Field(
        default="clip-ViT-B-32",
        description=(
            "Any sentence-transformers model that reads pictures: its name on the hub, or its "
            "folder."
        ),
    )
    folder: Path | None = Field(
        default=None, description="Folder of the model's files, where they are looked for first."
    )
    batch_size: Annotated[int, Field(ge=1)] = Field(default=32, description="Pictures in a batch.")
    weight: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.5,
        description=(
            "Share that their pictures have in the similarity of two articles; their texts have "
            "the rest."
        ),
    )


def open_picture_encoder(settings: PictureVectorSettings) -> PictureEncoder:
    """The encoder that the settings ask for; its weights are found, but not loaded yet.

    Raises
    ------
    WeightsError
        When the model's files are not to be found.
    """
    folder = find_weights(settings.model, settings.folder, setting="vectors.pictures.folder")
    return PictureEncoder(Path(settings.model).name, folder, settings.batch_size)


@dataclass
class PictureEncoder:
    """A model that reads pictures, ready to run; it is loaded when it is first needed.

    Attributes
    ----------
    name
        Of the model, for people.
    folder
        Of the model's files.
    batch_size
        Pictures in one batch.
    """

    name: str
    folder: Path
    batch_size: int = 32

    @cached_property
    def revision(self) -> str:
        """What identifies the model's files."""
        return revision_of(self.folder)

    def encode(self, pictures: Sequence[Image]) -> Vectors:
        """The pictures' vectors, as one batch: float32, (len(pictures), dimensions), of length 1.

        Raises
        ------
        EncoderError
            When the model cannot be loaded, or reads no pictures.
        """
        found = self._model.encode(
            list(pictures), batch_size=len(pictures), show_progress_bar=False
        )
        return unit_rows(found)

    @cached_property
    def _model(self) -> SentenceTransformer:
        model = load_model(self.folder)
        if not model.supports("image"):
            raise EncoderError(
                f"{self.folder} is a model that reads no pictures: choose one of the kind of CLIP "
                "(--set vectors.pictures.model=clip-ViT-B-32)"
            )
        return model


def embed_pictures(
    articles: pl.DataFrame,
    images: Path,
    encoder: PictureEncoder,
    cache: Path | None = None,
    *,
    chunk: int = CHUNK,
) -> ArticleVectors:
    """The vectors of all articles' pictures.

    Killed and started again, it goes on from the last chunk and ends with the same bytes. Pictures
    that cannot be read are counted on stderr, and are as if they were not there.

    Parameters
    ----------
    articles
        Columns of ``schema.PREPARED_ARTICLES``.
    images
        Folder of pictures: see :mod:`modiste.data.images`.
    encoder
        The model that reads pictures.
    cache
        Where vectors are kept for the next time; None: modiste's folder in the user's cache.
    chunk
        Pictures that are embedded between two writes to the disk, in whole batches.

    Returns
    -------
    Vectors of length 1; all zero for an article without a picture.

    Raises
    ------
    DataError
        When no article has a picture that can be read.
    EncoderError
        When the model cannot be loaded, or reads no pictures.
    ModisteError
        When the disk is full; what was embedded before is kept.
    """
    files = [
        picture_file(images, *row)
        for row in articles.select("article_id", "product_code").iter_rows()
    ]
    shown = sum(file is not None for file in files)
    if not shown:
        raise DataError(
            f"none of the {len(files):,} articles has a picture in {images}: they are looked for "
            "as 010/0108775015.jpg by article and as 010/0108775.jpg by product. Put them there, "
            "name another folder (report.images), or go without (vectors.pictures.enabled=false)"
        )
    store = VectorStore(
        (cache or cache_folder()) / "picture-vectors" / f"{encoder.name}-{encoder.revision[:16]}"
    )
    broken: dict[Path, str] = {}
    keys = _keys({file for file in files if file is not None}, broken)
    # One file for each distinct picture. Sorted: what is embedded together must not depend on the
    # order of the articles.
    distinct = dict(sorted((key, file) for file, key in keys.items()))
    found = store.load(distinct)
    missing = {key: file for key, file in distinct.items() if key not in found}
    say(
        f"{shown:,} of {len(files):,} articles have a picture; {len(distinct):,} distinct ones, "
        f"{len(missing):,} of them to be embedded with {encoder.name}"
    )
    if missing:
        _embed_into(store, encoder, missing, chunk, broken)
        found.update(store.load(missing))
    _say_broken(broken, files, keys, found)
    if not found:
        raise DataError(
            f"no picture in {images} can be read: unpack them again, or go without "
            "(vectors.pictures.enabled=false)"
        )
    dimensions = len(next(iter(found.values())))
    vectors = np.zeros((len(files), dimensions), dtype=np.float32)
    for row, file in enumerate(files):
        if file in keys and keys[file] in found:
            vectors[row] = found[keys[file]]
    origin = {"model": encoder.name, "revision": encoder.revision, "dimensions": dimensions}
    return ArticleVectors(vectors, origin)


def _keys(files: Iterable[Path], broken: dict[Path, str]) -> dict[Path, bytes]:
    """The key of each file's content; what cannot be read is added to ``broken``."""
    files = sorted(files)
    keys: dict[Path, bytes] = {}
    with progress("pictures read", len(files)) as advance:
        for file in files:
            try:
                keys[file] = key_of(file.read_bytes())
            except OSError as error:
                broken[file] = str(error)
            advance()
    return keys


def _embed_into(
    store: VectorStore,
    encoder: PictureEncoder,
    files: dict[bytes, Path],
    chunk: int,
    broken: dict[Path, str],
) -> None:
    with progress("pictures embedded", len(files)) as advance:
        batches = _batches(encoder, _readable(files, broken, advance))
        while some := list(islice(batches, max(1, chunk // encoder.batch_size))):
            store.add(
                [key for keys, _ in some for key in keys],
                np.concatenate([vectors for _, vectors in some]),
            )


def _batches(
    encoder: PictureEncoder, pictures: Iterator[tuple[bytes, Image]]
) -> Iterator[tuple[list[bytes], Vectors]]:
    # Full batches of what can be read: the same ones however often broken pictures are tried again.
    while batch := list(islice(pictures, encoder.batch_size)):
        yield [key for key, _ in batch], encoder.encode([picture for _, picture in batch])


def _readable(
    files: dict[bytes, Path], broken: dict[Path, str], advance: Advance
) -> Iterator[tuple[bytes, Image]]:
    """The pictures one by one; what cannot be read is added to ``broken``."""
    import PIL.Image

    for key, file in files.items():
        try:
            with PIL.Image.open(file, formats=_FORMATS) as opened:
                picture = opened.convert("RGB")
        except MemoryError:
            raise
        except Exception as error:  # decoders raise nearly anything on damaged bytes
            broken[file] = f"{type(error).__name__}: {error}"
        else:
            yield key, picture
        advance()


def _say_broken(
    broken: dict[Path, str],
    files: Sequence[Path | None],
    keys: dict[Path, bytes],
    found: dict[bytes, Vectors],
) -> None:
    if not broken:
        return
    articles = sum(file is not None and keys.get(file) not in found for file in files)
    first = min(broken)
    say(
        f"{len(broken):,} pictures cannot be read, and {articles:,} articles are taken to have "
        f"none; the first is {first} ({broken[first]})"
    )


def joined(text: ArticleVectors, pictures: ArticleVectors, weight: float) -> ArticleVectors:
    """Vectors of texts and of pictures in one: the text's dimensions first, then the picture's.

    Parameters
    ----------
    text, pictures
        Of the same articles.
    weight
        Share of the squared length that the picture has, between 0 and 1.

    Returns
    -------
    Vectors of length 1. An article with one of the two alone has zeros in place of the other; all
    zero for an article with neither. The origin names both.

    Notes
    -----
    A question that has no picture is ``sqrt(1 - weight)`` as similar to an article that has both as
    to one that has that text alone: words find articles without a picture first.
    """
    both = text.known & pictures.known
    dimensions = text.vectors.shape[1]
    vectors = np.zeros(
        (len(both), dimensions + pictures.vectors.shape[1]),
        dtype=np.float32,
    )
    for part, of, share in (
        (vectors[:, :dimensions], text, 1 - weight),
        (vectors[:, dimensions:], pictures, weight),
    ):
        scale = np.where(both, np.sqrt(share), 1).astype(np.float32)
        np.multiply(of.vectors, scale[:, None], out=part)
    origin = {**text.origin, "pictures": {**pictures.origin, "weight": weight}}
    return ArticleVectors(vectors, origin)


def without_picture(text: Vectors, origin: dict[str, Any]) -> Vectors:
    """Vectors of texts alone, to be compared with article vectors of that origin."""
    if "pictures" not in origin:
        return text
    return np.pad(text, ((0, 0), (0, origin["pictures"]["dimensions"])))
