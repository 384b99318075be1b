"""Vectors of all articles and customers by a trained network, on disk, and Faiss indices of both.

Articles are looked for by inner product with a customer's vector, popularity included: it is one
more dimension of both, ``[h, 1] · [e, log share]``. Faiss's lists are made for vectors of one
length, so that a further dimension, to which customers are blind, makes all articles equally long,
as in Bachrach et al., "Speeding Up the Xbox Recommender System Using a Euclidean Transformation for
Inner-Product Spaces" (RecSys 2014). One search then finds what all scores would. Customers are
found by the cosine of their vectors.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modiste.data.dataset import History, Partition
from modiste.errors import DataError
from modiste.vectors.article_vectors import unit_rows
from modiste.vectors.index import VectorIndex
from modiste.vectors.index_settings import IndexSettings

if TYPE_CHECKING:
    # It imports PyTorch, which takes seconds and is not for every command.
    from modiste.models.learning.network_recommender import NetworkRecommender

ITEM_INDEX, USER_INDEX = "item_faiss_index", "user_faiss_index"
ARTICLES, CUSTOMERS = "articles.npy", "customers.npy"
CUSTOMER_IDS, BOUGHT = "customer_ids.parquet", "bought.parquet"

# Customers whose vectors are in memory at once beside those of the index: 64 MiB of 256 dimensions.
_ROWS_IN_A_BLOCK = 1 << 16

# Of a customer the latest so many articles are kept, to be shown.
_SHOWN_ARTICLES = 12


def equally_long(vectors: NDArray[np.float32], offsets: NDArray[np.float32]) -> NDArray[np.float32]:
    """Articles as the index of articles holds them.

    Parameters
    ----------
    vectors
        float32, shape (n_articles, dimensions).
    offsets
        float32, shape (n_articles,): added to a score; minus infinity: not to be found.

    Returns
    -------
    float32, shape (n_articles, dimensions + 2): of length 1, or zeros where not to be found. The
    inner product with what :func:`asking` gives falls as the score does.
    """
    (found,) = np.isfinite(offsets).nonzero()
    extended = np.hstack([vectors[found], offsets[found, None]])
    lengths = np.linalg.norm(extended, axis=1)
    longest = lengths.max(initial=0)
    blind = np.sqrt(np.maximum(longest**2 - lengths**2, 0))[:, None]
    rows = np.zeros((len(vectors), vectors.shape[1] + 2), dtype=np.float32)
    rows[found] = unit_rows(np.hstack([extended, blind]))
    return rows


def asking(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Customers' vectors as the index of articles is asked: shape (n, dimensions + 2)."""
    ones, zeros = np.ones((len(vectors), 1)), np.zeros((len(vectors), 1))
    return np.hstack([vectors, ones, zeros]).astype(np.float32)


def write_network_index(
    recommender: NetworkRecommender,
    history: History,
    settings: IndexSettings,
    origin: dict[str, Any],
    folder: Path,
    *,
    similar_customers: bool,
) -> None:
    """Write all vectors and the indices.

    Parameters
    ----------
    recommender
        Fitted on the history.
    history
        Its customers.
    settings
        Of both indices.
    origin
        What made the vectors.
    folder
        Gets ``articles.npy`` and ``customers.npy`` (float32, shape (n, dimensions), to be mapped
        into memory; row number = code, zeros for who bought nothing), and the index of articles;
        with ``similar_customers`` the index of customers, too, and what its look-up shows: ids,
        and each one's latest articles.

    Raises
    ------
    DataError
        When there is nothing to index: nothing on sale, or nobody who bought anything.
    """
    articles, offsets = recommender.article_vectors, recommender.article_offsets
    if not np.isfinite(offsets).any() or not len(articles):
        raise DataError(
            f"as of {history.as_of} nothing is on sale, or the networks have learned nothing: "
            "there are no vectors to index"
        )
    np.save(folder / ARTICLES, articles)
    customers = np.lib.format.open_memmap(
        folder / CUSTOMERS, "w+", np.float32, (history.n_customers, articles.shape[1])
    )
    for batch in history.batches():
        codes, vectors = recommender.customer_vectors(batch)
        customers[codes] = vectors
    customers.flush()
    known = np.flatnonzero(customers.any(axis=1))
    if not len(known):
        raise DataError(f"nobody bought anything before {history.as_of}: there is no vector")
    some = np.random.default_rng(settings.seed).permutation(known)[: settings.queries]
    VectorIndex.build(
        equally_long(articles, offsets), origin, settings, asking(customers[np.sort(some)])
    ).save(folder, ITEM_INDEX)
    if similar_customers:
        _index_of_customers(customers, origin, settings, folder).save(folder, USER_INDEX)
        pl.concat(history.map(_ids, label="customers' ids")).write_parquet(folder / CUSTOMER_IDS)
        shown = history.map(_latest_articles, label="customers' latest articles")
        pl.concat(shown).write_parquet(folder / BOUGHT)


def _index_of_customers(
    customers: NDArray[np.float32], origin: dict[str, Any], settings: IndexSettings, folder: Path
) -> VectorIndex:
    """The index by cosine; its unit vectors lie on disk meanwhile, so that memory has them once."""
    with TemporaryDirectory(dir=folder) as scratch:
        unit = np.lib.format.open_memmap(
            Path(scratch) / CUSTOMERS, "w+", np.float32, customers.shape
        )
        for first in range(0, len(customers), _ROWS_IN_A_BLOCK):
            block = slice(first, first + _ROWS_IN_A_BLOCK)
            unit[block] = unit_rows(customers[block])
        return VectorIndex.build(unit, origin, settings)


def _ids(partition: Partition) -> pl.DataFrame:
    return partition.read_customers().select("customer", "customer_id")


def _latest_articles(partition: Partition) -> pl.DataFrame:
    """Of each customer the latest articles: ``customer``, ``article``, ``t_dat``, latest first."""
    return (
        partition.read_transactions(["customer", "article", "t_dat"])
        .group_by("customer", "article")
        .agg(pl.col("t_dat").max())
        .sort("customer", "t_dat", "article", descending=[False, True, False])
        .group_by("customer", maintain_order=True)
        .head(_SHOWN_ARTICLES)
    )
