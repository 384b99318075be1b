"""Look-up of similar articles: by articles, by words, with filters, in milliseconds.

>>> from modiste.lookup import ArticleLookup
>>> ArticleLookup.open("run").similar("0706016001", k=5)  # doctest: +SKIP
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modiste.data.availability import on_sale
from modiste.data.dataset import History, Partition
from modiste.data.ids import did_you_mean, unknown_article
from modiste.data.schema import ARTICLES
from modiste.engine.stages import KEY_FILE
from modiste.errors import DataError
from modiste.vectors.article_vectors import ArticleVectors, unit_rows
from modiste.vectors.encoder import EncoderSettings, open_encoder
from modiste.vectors.index import VectorIndex
from modiste.vectors.neighbours import rerank
from modiste.vectors.pictures import without_picture
from modiste.vectors.reduction import Reduction, load_reduction
from modiste.vectors.saved_encoder import SavedEncoder, save_encoder

# Files of the stages of a run that a look-up opens.
CATALOGUE = "catalogue.parquet"
ITEM_INDEX = "item_faiss_index"
ENCODER = "encoder.json"

# Folder of a copy's own sentence model.
SAVED_ENCODER = "encoder"

# What is not liked pushes the question away, but less than what is liked draws it near: the terms
# of Rocchio's relevance feedback (in Salton, The SMART Retrieval System, 1971).
_UNLIKE_WEIGHT = 0.5

# A price seen longer ago than this says little of what the article costs.
_PRICE_DAYS = 365


class EncodesTexts(Protocol):
    """A sentence model."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The texts' vectors, shape (len(texts), dimensions), of length 1."""


@dataclass(frozen=True)
class Filters:
    """What may be found.

    Attributes
    ----------
    on_sale
        Only articles that can be bought, as estimated as of the run's date.
    where
        Value by column of the articles; compared without regard to case.
    min_price, max_price
        In the shop's unit, both included; an article without a known price is left out.
    without
        Ids of articles that are not wanted.
    """

    on_sale: bool = False
    where: Mapping[str, str] = field(default_factory=dict)
    min_price: float | None = None
    max_price: float | None = None
    without: Sequence[str] = ()

    def in_words(self) -> list[str]:
        """The filters, each as a few words."""
        words = ["on sale"] if self.on_sale else []
        words += [f"{column}: {value}" for column, value in self.where.items()]
        if self.min_price is not None:
            words.append(f"price from {self.min_price:g}")
        if self.max_price is not None:
            words.append(f"price up to {self.max_price:g}")
        return [*words, *(f"not {article}" for article in self.without)]


@dataclass(frozen=True)
class ArticleLookup:
    """Answers which articles are like others, or like words; open one with :meth:`open`.

    Attributes
    ----------
    articles
        Columns of ``schema.PREPARED_ARTICLES``, ``on_sale`` (bool) and ``price`` (float, null where
        it is not known).
    """

    articles: pl.DataFrame
    _vectors: ArticleVectors
    _reduction: Reduction
    _index: VectorIndex
    _open_encoder: Callable[[], EncodesTexts]

    @classmethod
    def open(cls, run: Path | str) -> Self:
        """Open the vectors and the index of a run.

        Raises
        ------
        DataError
            When the run has none.
        """
        stages = Path(run) / "stages"
        if not holds_lookup(stages):
            raise DataError(
                f"{run} has no article vectors: make them with 'modiste embed --data … --out "
                f"{run}', or a run with --set vectors.enabled=true"
            )
        return cls.of_stages(stages, pl.read_parquet(stages / "index" / CATALOGUE))

    @classmethod
    def of_stages(cls, stages: Path, articles: pl.DataFrame) -> Self:
        """Open what stages of a run have left, and :func:`copy_lookup` has copied.

        Parameters
        ----------
        stages
            Holds a folder of each stage.
        articles
            As :attr:`articles`.

        Raises
        ------
        DataError
            When a file is missing or damaged.
        """
        vectors = ArticleVectors.load(stages / "reduce")
        return cls(
            articles,
            vectors,
            load_reduction(stages / "reduce"),
            VectorIndex.load(stages / "index", ITEM_INDEX, origin=vectors.origin),
            _opens_encoder(stages / "embed"),
        )

    @property
    def origin(self) -> dict[str, Any]:
        """What made the vectors that are searched: model, revision, precision, texts, reduction."""
        return self._vectors.origin

    def similar(
        self,
        *articles: str,
        text: str | None = None,
        unlike: Sequence[str] = (),
        filters: Filters | None = None,
        k: int = 12,
    ) -> pl.DataFrame:
        """The articles nearest to some articles, to words, or to both.

        Parameters
        ----------
        articles
            Ids; the question is the mean of their vectors.
        text
            Words, such as "red linen summer dress".
        unlike
            Ids of articles to keep away from.
        filters
            What may be found.
        k
            Number of articles.

        Returns
        -------
        Up to ``k`` rows, nearest first: the columns of :attr:`articles`, ``score`` (cosine,
        float32) and ``same_product`` (whether it is another colour of one that was asked about).
        Articles that were asked about are not among them.

        Raises
        ------
        DataError
            When an id or a value is unknown, or an article has no vector; when nothing was asked.
        """
        liked, unliked = self.codes(articles), self.codes(unlike)
        question = self._question(liked, unliked, text)
        allowed = self._allowed(filters or Filters())
        allowed[[*liked, *unliked]] = False
        # Compressed vectors (ivf_pq) find about the right ones; exact ones say which are nearest.
        wider = self._index.search(question[None, :], 2 * k, allowed=allowed)
        found = rerank(wider, question[None, :], self._vectors.vectors, k)
        ids, scores = found.ids[0], found.scores[0]
        rows: pl.DataFrame = self.articles[ids[ids >= 0].tolist()]
        products = self.articles[liked]["product_code"].drop_nulls()
        return rows.with_columns(
            score=pl.Series(scores[ids >= 0], dtype=pl.Float32),
            same_product=pl.col("product_code").is_in(products.implode()).fill_null(False),
        )

    def codes(self, ids: Sequence[str]) -> list[int]:
        """The codes (rows) of articles.

        Raises
        ------
        DataError
            When an id is unknown.
        """
        known = self._code_by_id
        for article in ids:
            if article not in known:
                raise unknown_article(article, list(known))
        return [known[article] for article in ids]

    def _question(
        self, liked: list[int], unliked: list[int], text: str | None
    ) -> NDArray[np.float32]:
        vectors = self._vectors.vectors
        for code in (*liked, *unliked):
            if not vectors[code].any():
                nothing = "neither text nor picture" if self._with_pictures else "no text"
                raise DataError(
                    f"article {self.articles['article_id'][code]} has {nothing}, and so no vector"
                )
        terms = [vectors[code] for code in liked]
        if text is not None:
            if not text.strip():
                raise DataError("the text to look for is empty")
            words = without_picture(self._text_encoder.encode([text]), self._vectors.origin)
            terms.append(self._reduction.transform(words)[0])
        if not terms:
            raise DataError("nothing to look for: name an article, or give a text")
        question: NDArray[np.float32] = np.mean(terms, axis=0)
        if unliked:
            question = question - _UNLIKE_WEIGHT * np.mean(vectors[unliked], axis=0)
        return unit_rows(question[None, :]).reshape(-1)

    def _allowed(self, filters: Filters) -> NDArray[np.bool_]:
        condition = pl.lit(True)
        if filters.on_sale:
            condition &= pl.col("on_sale")
        for column, value in filters.where.items():
            self._check_value(column, value)
            condition &= pl.col(column).str.to_lowercase() == value.lower()
        if filters.min_price is not None:
            condition &= pl.col("price") >= filters.min_price
        if filters.max_price is not None:
            condition &= pl.col("price") <= filters.max_price
        met = self.articles.select(condition.fill_null(False).alias("met"))["met"]
        allowed = np.broadcast_to(met.to_numpy(), (self.articles.height,)).copy()
        allowed[self.codes(filters.without)] = False
        return allowed

    def _check_value(self, column: str, value: str) -> None:
        names = [each.name for each in ARTICLES]
        if column not in names:
            hint = did_you_mean(column, names) or f": they are {', '.join(names)}"
            raise DataError(f"no column {column!r} of the articles{hint}")
        values = self.articles[column].drop_nulls().unique().to_list()
        if value.lower() not in {each.lower() for each in values}:
            raise DataError(f"no article has {column} {value!r}{did_you_mean(value, values)}")

    @cached_property
    def _code_by_id(self) -> dict[str, int]:
        return dict(
            zip(self.articles["article_id"].to_list(), range(self.articles.height), strict=True)
        )

    @property
    def _with_pictures(self) -> bool:
        return "pictures" in self._vectors.origin

    @cached_property
    def _text_encoder(self) -> EncodesTexts:
        return self._open_encoder()


def _opens_encoder(folder: Path) -> Callable[[], EncodesTexts]:
    """What opens the sentence model of a run, or the one that a copy of it holds."""
    if (folder / SAVED_ENCODER).is_dir():
        return partial(SavedEncoder, folder / SAVED_ENCODER)
    settings = EncoderSettings.model_validate_json((folder / ENCODER).read_text("utf-8"))
    return partial(open_encoder, settings)


def holds_lookup(stages: Path) -> bool:
    """Whether the stages of a run hold all that :class:`ArticleLookup` opens."""
    return (stages / "index" / f"{ITEM_INDEX}.bin").is_file()


def copy_lookup(stages: Path, folder: Path) -> None:
    """Copy what :meth:`ArticleLookup.of_stages` opens into an existing, empty folder.

    The sentence model itself is part of the copy, which can be opened where no model is installed.

    Raises
    ------
    WeightsError, EncoderError
        When the model is not to be found here any more, or is damaged.
    """
    for stage in ("embed", "reduce", "index"):
        (folder / stage).mkdir()
    settings = EncoderSettings.model_validate_json((stages / "embed" / ENCODER).read_text("utf-8"))
    (folder / "embed" / SAVED_ENCODER).mkdir()
    save_encoder(open_encoder(settings), folder / "embed" / SAVED_ENCODER)
    for name in (f"{ITEM_INDEX}.bin", f"{ITEM_INDEX}.json"):
        shutil.copyfile(stages / "index" / name, folder / "index" / name)
    for path in sorted((stages / "reduce").iterdir()):
        # What the stage notes of itself is the run's alone.
        if path.is_file() and path.name != KEY_FILE:
            shutil.copyfile(path, folder / "reduce" / path.name)


def write_catalogue(history: History, days: int, folder: Path) -> None:
    """Write what a look-up filters by: the articles, whether each is on sale, and its last price.

    Parameters
    ----------
    history
        What was known as of the run's date.
    days
        An article sold in so many last days is on sale.
    folder
        Gets ``catalogue.parquet``.
    """
    since = history.as_of - timedelta(days=_PRICE_DAYS)
    prices = pl.concat(history.map(_last_prices, since, label="prices"))
    last = (
        prices.filter(pl.col("t_dat") == pl.col("t_dat").max().over("article"))
        .group_by("article")
        .agg(price=pl.col("total").sum() / pl.col("pieces").sum() / 1e6)
    )
    history.articles.with_columns(on_sale=pl.Series(on_sale(history, days))).join(
        last, on="article", how="left", maintain_order="left"
    ).write_parquet(folder / CATALOGUE, compression="zstd")


def _last_prices(partition: Partition, since: date) -> pl.DataFrame:
    """Sum and number of the prices of each article's last day of sale in a partition."""
    rows = partition.read_transactions(["article", "t_dat", "price"], since).drop_nulls("price")
    return (
        rows.filter(pl.col("t_dat") == pl.col("t_dat").max().over("article"))
        .group_by("article", "t_dat")
        # In integers of a millionth, so that the sum does not depend on the order.
        .agg(
            total=(pl.col("price").cast(pl.Float64) * 1e6).round().cast(pl.Int64).sum(),
            pieces=pl.len(),
        )
    )
