"""Content: what is described like the articles that a customer bought.

Two articles are as similar as the cosine of their vectors. A customer's score of an article is the
sum, over what they bought, of ``age ** -purchase_decay * cosine ** similarity_power``, times a
power of the article's popularity; that an article is similar to itself does not count. It is the
one that can recommend an article before its first sale.

Neighbours of articles, and not the nearest articles of an average purchase: who bought a coat and a
bikini wants nothing that lies between the two. It also measured better, and the search is done once
for each article instead of for each customer.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy import sparse

from modiste.data.dataset import CustomerBatch, History
from modiste.data.pairs import codes_of, groups_of_sorted, sums_by_pair
from modiste.errors import ConfigError
from modiste.evaluation.protocol import RECOMMENDATIONS, rank_arrays
from modiste.models.flat_arrays import ranges
from modiste.models.popularity import PopularitySettings, article_popularity
from modiste.models.time_decay import UNIT, latest_articles
from modiste.vectors.article_vectors import ArticleVectors

# Cosines of a block of articles, at once in memory: 32 MiB of float32.
_COSINES_IN_A_BLOCK = 1 << 23

# Neighbours of a block of customers' articles, before they are added up.
_NEIGHBOURS_IN_A_BLOCK = 1 << 21

_ARRAYS = ("indptr", "indices", "data")


class ContentSettings(BaseModel):
    """Settings of content."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    purchase_decay: Annotated[float, Field(ge=0)] = Field(
        default=1.0, description="A purchase of n days ago counts n ** -purchase_decay."
    )
    similarity_power: Annotated[float, Field(gt=0)] = Field(
        default=4.0, description="Power of the cosine: a high one listens to close likeness alone."
    )
    popularity_power: Annotated[float, Field(ge=0)] = Field(
        default=0.5, description="Power of the recommended article's popularity."
    )
    neighbours: Annotated[int, Field(ge=1)] = Field(
        default=50, description="Best neighbours kept for each article."
    )
    recent_articles: Annotated[int, Field(ge=1)] = Field(
        default=10, description="Of a customer's articles, the latest that are looked up."
    )
    never_sold: bool = Field(
        default=False,
        description=(
            "Whether articles without any sale so far are recommended too, as newcomers of median "
            "popularity. Right for a shop whose catalogue lists only what can be bought."
        ),
    )


class Content:
    """Articles described like those that a customer bought.

    Parameters
    ----------
    vectors
        Of the shop's articles; None for one that is loaded, not fitted.
    settings
        Of content.
    popularity
        How popularity is counted, and so what is on sale.
    """

    def __init__(
        self,
        vectors: ArticleVectors | None = None,
        settings: ContentSettings | None = None,
        popularity: PopularitySettings | None = None,
    ) -> None:
        self.vectors = vectors
        self.settings = settings or ContentSettings()
        self.popularity = popularity or PopularitySettings()
        self._neighbours = sparse.csr_array((0, 0), dtype=np.int64)

    def __getstate__(self) -> dict[str, Any]:
        """What is sent to workers: the vectors are large, and for fitting alone."""
        return {**self.__dict__, "vectors": None}

    @property
    def neighbours(self) -> pl.DataFrame:
        """The best neighbours that can be recommended.

        Columns ``source`` and ``target`` (int32 article codes) and ``units`` (int64: the power of
        the cosine times the target's power of popularity, in units of ``UNIT``), sorted by both.
        """
        found = self._neighbours.tocoo()
        source, target = (codes.astype(np.int32) for codes in found.coords)
        return pl.DataFrame({"source": source, "target": target, "units": found.data})

    def fit(self, history: History) -> Self:
        """Find the best neighbours, of those on sale, of every article.

        Raises
        ------
        ConfigError
            When there are no vectors.
        DataError
            When they are not those of this shop's articles.
        """
        if self.vectors is None:
            raise ConfigError("content needs article vectors, and there are none")
        vectors = self.vectors.of_all(history.n_articles)
        factors = self._popularity_factors(history)
        factors[~self.vectors.known] = 0
        self._neighbours = sparse.csr_array((len(vectors), len(vectors)), dtype=np.int64)
        (targets,) = factors.nonzero()
        if not len(targets):
            return self
        target_vectors = _whole(vectors[targets])
        blocks = [
            self._best(_whole(vectors[first:last]), first, target_vectors, targets, factors)
            for first, last in _blocks(len(vectors), len(targets))
        ]
        source, target, units = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
        self._neighbours = sparse.csr_array((units, (source, target)), self._neighbours.shape)
        self._neighbours.eliminate_zeros()
        return self

    def _popularity_factors(self, history: History) -> NDArray[np.float64]:
        """Power of each article's popularity; 0: not to be recommended."""
        table = article_popularity(history, self.popularity)
        popularity = table["popularity"].to_numpy()
        power = self.settings.popularity_power
        factors = np.zeros(history.n_articles)
        if self.settings.never_sold and len(popularity):
            factors[:] = np.median(popularity) ** power
            factors[history.article_sales["article"].to_numpy()] = 0
        factors[table["article"].to_numpy()] = popularity**power
        return factors

    def _best(
        self,
        vectors: NDArray[np.float32],
        first: int,
        target_vectors: NDArray[np.float32],
        targets: NDArray[np.int64],
        factors: NDArray[np.float64],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Best neighbours of a block of articles from ``first`` on: source, target, units."""
        power = self.settings.similarity_power
        # The order of cosine ** power * factor, without a power of each of billions of cosines.
        rooted = (factors[targets] ** (1 / power)).astype(np.float32)
        scores = vectors @ target_vectors.T
        scores *= rooted
        own = (targets >= first) & (targets < first + len(vectors))
        scores[targets[own] - first, own.nonzero()[0]] = 0
        kept = min(self.settings.neighbours, len(targets))
        # By the value of the last one that is kept, and ties by code: which of several equal ones a
        # partition picks is not the same on every machine.
        least = np.partition(scores, len(targets) - kept, axis=1)[:, [len(targets) - kept]]
        least = np.maximum(least, np.finfo(np.float32).tiny)
        row, column = np.divmod(np.flatnonzero(scores >= least), len(targets))
        order = np.lexsort((column, -scores[row, column], row))
        row, column = row[order], column[order]
        place = np.arange(len(row)) - np.searchsorted(row, row)
        row, column = row[place < kept], column[place < kept]
        cosine = scores[row, column].astype(np.float64) / (
            rooted[column] * _length(vectors.shape[1]) ** 2
        )
        units = np.rint(cosine**power * factors[targets[column]] / UNIT).astype(np.int64)
        return row + first, targets[column], units

    def recommend(self, batch: CustomerBatch, k: int) -> pl.DataFrame:
        """Up to ``k`` articles, bought ones included, for each customer with purchases."""
        settings = self.settings
        customer, article, units = latest_articles(
            batch, settings.purchase_decay, settings.recent_articles
        )
        # A customer's rows stay in one block: their scores are sums.
        customers, _ = groups_of_sorted(customer)
        step = max(_NEIGHBOURS_IN_A_BLOCK // (settings.recent_articles * settings.neighbours), 1)
        ranked = [pl.DataFrame(schema=RECOMMENDATIONS)]
        for rows in np.split(np.arange(len(customer)), customers[step::step]):
            first = self._neighbours.indptr[article[rows]].astype(np.int64)
            n = self._neighbours.indptr[article[rows] + 1] - first
            of, neighbour = np.repeat(rows, n), ranges(first, n)
            pairs, total = sums_by_pair(
                customer[of],
                self._neighbours.indices[neighbour],
                units[of] * self._neighbours.data[neighbour],
            )
            ranked.append(rank_arrays(*codes_of(pairs), total * (UNIT * UNIT), k))
        return pl.concat(ranked)

    def save(self, folder: Path) -> None:
        """Write the neighbours, a sparse matrix, as three arrays."""
        for name in _ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self._neighbours, name))

    def load(self, folder: Path) -> Self:
        """Read them back; the vectors are not needed."""
        indptr, indices, data = (np.load(folder / f"{name}.npy") for name in _ARRAYS)
        size = len(indptr) - 1
        self._neighbours = sparse.csr_array((data, indices, indptr), shape=(size, size))
        return self


def _whole(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Unit vectors made ``_length`` times as long, in whole numbers.

    The products of two such vectors add up to at most ``2 ** 24`` however far the sum has come, and
    float32 holds every whole number up to there: a cosine is the same bytes whatever order a matrix
    product adds in, on any number of threads. It is off by some 0.0001.
    """
    whole: NDArray[np.float32] = np.rint(vectors * np.float32(_length(vectors.shape[1])))
    return whole


def _length(dimensions: int) -> float:
    # Rounding makes a vector longer by half the diagonal of a unit cube at most.
    return float(2**12 - 1 - np.sqrt(dimensions) / 2)


def _blocks(articles: int, targets: int) -> Iterator[tuple[int, int]]:
    step = max(_COSINES_IN_A_BLOCK // max(targets, 1), 1)
    return ((first, min(first + step, articles)) for first in range(0, articles, step))
