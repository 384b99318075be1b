"""The stages of a run that concern articles alone: from their texts to what finds similar ones.

==========  ========================================================================================
``embed``   the articles' texts, and their pictures where that is switched on → vectors
``reduce``  vectors → shorter ones
``index``   shorter vectors → a Faiss index, and the catalogue that a look-up filters by
``map``     vectors → a map of the catalogue, as a page
==========  ========================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from modiste.data.dataset import Dataset, History
from modiste.data.images import state_of
from modiste.engine.stages import Run
from modiste.errors import ConfigError
from modiste.lookup import ENCODER, ITEM_INDEX, write_catalogue
from modiste.report.catalogue_map import catalogue_map_html
from modiste.report.pictures import PictureFolder
from modiste.vectors.article_vectors import ArticleVectors
from modiste.vectors.embed import embed_articles
from modiste.vectors.encoder import open_encoder
from modiste.vectors.index import VectorIndex
from modiste.vectors.landmark_umap import LandmarkUmap
from modiste.vectors.pictures import embed_pictures, joined, open_picture_encoder
from modiste.vectors.reduction import ReductionSettings, reduce_articles, save_reduction
from modiste.vectors.settings import VectorSettings

STAGES = ("embed", "reduce", "index", "map")

MAP_PAGE = "catalogue_map.html"

_CODE = ("modiste.engine", "modiste.data", "modiste.vectors", __name__)


@dataclass(frozen=True)
class ArticleStages:
    """Folders of what the stages have made.

    Attributes
    ----------
    reduced
        The vectors that are searched: see :meth:`ArticleVectors.load`.
    """

    reduced: Path

    def vectors(self) -> ArticleVectors:
        """The vectors that are searched."""
        return ArticleVectors.load(self.reduced)


def embedded_images(settings: VectorSettings, images: Path | None) -> Path | None:
    """The folder of pictures of which vectors are made; None where that is switched off.

    Parameters
    ----------
    settings
        Of the vectors.
    images
        The folder of pictures, where there is one.

    Raises
    ------
    ConfigError
        When it is switched on and there is no folder.
    """
    if not settings.pictures.enabled:
        return None
    if images is None:
        raise ConfigError(
            "vectors.pictures.enabled: there is no folder of pictures, neither as report.images "
            "nor as images in the folder of the data. Name one (--set report.images=FOLDER), or "
            "go without (--set vectors.pictures.enabled=false)"
        )
    return images


def run_article_stages(
    run: Run,
    dataset: Dataset,
    settings: VectorSettings,
    *,
    as_of: date,
    on_sale_days: int,
    images: Path | None,
) -> ArticleStages:
    """Do those stages that are not up to date.

    Parameters
    ----------
    run
        Has done the ingest.
    dataset
        What it gave.
    settings
        Of the vectors.
    as_of
        The run's date: what is on sale is estimated as of it.
    on_sale_days
        An article sold in so many last days is on sale.
    images
        Folder of pictures: for the map, and to be embedded where that is switched on.

    Raises
    ------
    ConfigError
        When it is switched on and there is no folder.
    """
    history = dataset.until(as_of)
    pictures = embedded_images(settings, images)
    embed_settings: dict[str, Any] = {
        "text": settings.text.model_dump(mode="json"),
        "encoder": settings.encoder.model_dump(mode="json"),
    }
    if pictures is not None:
        embed_settings["pictures"] = settings.pictures.model_dump(mode="json")
        embed_settings["images"] = [str(pictures), state_of(pictures)]
    embedded = run.stage(
        "embed",
        lambda folder: embed(history, settings, pictures, folder),
        settings=embed_settings,
        code=_CODE,
        needs=["ingest"],
    )
    reduced = run.stage(
        "reduce",
        lambda folder: reduce(embedded, settings.reduction, folder),
        settings={"reduction": settings.reduction.model_dump(mode="json")},
        code=_CODE,
        needs=["embed"],
    )
    indexed = run.stage(
        "index",
        lambda folder: index(history, reduced, settings, on_sale_days, folder),
        settings={
            "index": settings.index.model_dump(mode="json"),
            "as_of": as_of,
            "on_sale_days": on_sale_days,
        },
        code=(*_CODE, "modiste.lookup"),
        needs=["ingest", "reduce"],
    )
    for suffix in (".bin", ".json"):
        run.publish(indexed / f"{ITEM_INDEX}{suffix}", f"{ITEM_INDEX}{suffix}")
    if settings.map:
        mapped = run.stage(
            "map",
            lambda folder: draw_map(history, embedded, images, folder),
            settings={"images": str(images), "as_of": as_of},
            code=(*_CODE, "modiste.report"),
            needs=["ingest", "embed"],
        )
        run.publish(mapped / MAP_PAGE, MAP_PAGE)
    return ArticleStages(reduced)


def embed(history: History, settings: VectorSettings, pictures: Path | None, folder: Path) -> None:
    """Write the articles' vectors, and the settings of the sentence model.

    Parameters
    ----------
    history
        Has the articles.
    settings
        Of the vectors.
    pictures
        Folder of the pictures that are embedded beside the texts, if they are.
    folder
        Gets the vectors.
    """
    encoder = open_encoder(settings.encoder)
    # Opened before hours are spent on the texts: it may not be there.
    picture_encoder = None if pictures is None else open_picture_encoder(settings.pictures)
    vectors = embed_articles(history.articles, settings.text, encoder, settings.cache)
    if pictures is not None and picture_encoder is not None:
        seen = embed_pictures(history.articles, pictures, picture_encoder, settings.cache)
        vectors = joined(vectors, seen, settings.pictures.weight)
    vectors.save(folder)
    (folder / ENCODER).write_text(settings.encoder.model_dump_json(indent=2) + "\n", "utf-8")


def reduce(embedded: Path, settings: ReductionSettings, folder: Path) -> None:
    """Write shorter vectors, and the reduction that makes them of others."""
    reduction, reduced = reduce_articles(ArticleVectors.load(embedded), settings)
    save_reduction(reduction, settings, folder)
    reduced.save(folder)


def index(
    history: History, reduced: Path, settings: VectorSettings, on_sale_days: int, folder: Path
) -> None:
    """Write the index of the articles, and the catalogue that a look-up filters by."""
    vectors = ArticleVectors.load(reduced)
    VectorIndex.build(vectors.vectors, vectors.origin, settings.index).save(folder, ITEM_INDEX)
    write_catalogue(history, on_sale_days, folder)


def draw_map(history: History, embedded: Path, images: Path | None, folder: Path) -> None:
    """Write the places of the articles in the plane, and the page that shows them."""
    articles = ArticleVectors.load(embedded)
    vectors = articles.vectors
    places = LandmarkUmap(n_components=2).fit(vectors).places(vectors)
    np.save(folder / "places.npy", places)
    best_sellers = (
        history.article_sales.group_by("article")
        .agg(pl.col("sales").sum())
        .sort("sales", "article", descending=[True, False])["article"]
    )
    page = catalogue_map_html(
        history.articles,
        places,
        PictureFolder(images),
        explanation="Articles whose texts say like things "
        + ("and whose pictures look alike " if "pictures" in articles.origin else "")
        + "lie near each other.",
        priority=best_sellers.to_list(),
    )
    (folder / MAP_PAGE).write_text(page, "utf-8")
