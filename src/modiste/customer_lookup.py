"""Look-up of similar customers, and of articles for one, in a run's vectors of both.

>>> from modiste.customer_lookup import CustomerLookup
>>> CustomerLookup.open("run").similar("00000dbacae5ab…", k=5)  # doctest: +SKIP
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modiste.data.ids import beginning
from modiste.errors import DataError
from modiste.models.network_index import (
    BOUGHT,
    CUSTOMER_IDS,
    CUSTOMERS,
    ITEM_INDEX,
    USER_INDEX,
    asking,
)
from modiste.vectors.index import VectorIndex

# The stage that writes what is looked up, and the articles that it names.
STAGE = "network_index"
CATALOGUE = "catalogue.parquet"

# What says which customers are like one.
_CUSTOMER_FILES = (CUSTOMERS, f"{USER_INDEX}.bin", f"{USER_INDEX}.json")


def with_beginnings(found: pl.DataFrame) -> pl.DataFrame:
    """What :meth:`CustomerLookup.similar` found, with the beginnings of ids instead of them."""
    ids = found["customer_id"]
    return found.with_columns(
        customer_id=pl.Series([beginning(each) for each in ids], dtype=pl.String)
    )


@dataclass(frozen=True)
class SimilarCustomers:
    """Which customers are like one, by their vectors; open one with :meth:`open`."""

    _vectors: NDArray[np.float32]
    _index: VectorIndex

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open the vectors and the index of customers in a folder that :func:`holds_customers`.

        Raises
        ------
        DataError
            When a file is missing or damaged.
        """
        return cls(np.load(folder / CUSTOMERS, mmap_mode="r"), VectorIndex.load(folder, USER_INDEX))

    def __len__(self) -> int:
        """Number of customers, those without a vector, too."""
        return len(self._vectors)

    def vector(self, customer: int) -> NDArray[np.float32]:
        """A customer's vector, shape (1, dimensions); zeros where it bought nothing."""
        return np.array(self._vectors[customer : customer + 1])

    def nearest(self, customer: int, k: int) -> list[tuple[int, float]]:
        """The codes of the customers whose vectors are nearest, and their cosines.

        Empty for who bought nothing: nobody is known to be like it.
        """
        own = self.vector(customer)
        if not own.any():
            return []
        others = np.ones(len(self._vectors), dtype=np.bool_)
        others[customer] = False
        found = self._index.search(own / np.linalg.norm(own), k, allowed=others)
        near = zip(found.ids[0].tolist(), found.scores[0].tolist(), strict=True)
        return [(code, score) for code, score in near if code >= 0]


def holds_customers(folder: Path) -> bool:
    """Whether a folder holds the vectors and the index of customers."""
    return all((folder / name).is_file() for name in _CUSTOMER_FILES)


def copy_customers(folder: Path, to: Path) -> None:
    """Copy what :meth:`SimilarCustomers.open` opens into an existing folder."""
    for name in _CUSTOMER_FILES:
        shutil.copyfile(folder / name, to / name)


@dataclass(frozen=True)
class CustomerLookup:
    """Answers which customers are like one, and what suits it; open one with :meth:`open`."""

    _folder: Path
    _items: VectorIndex
    _users: SimilarCustomers

    @classmethod
    def open(cls, run: Path | str) -> Self:
        """Open a run's vectors of customers.

        Raises
        ------
        DataError
            When the run has none, or was told to keep no similar customers.
        """
        folder = Path(run) / "stages" / STAGE
        if not (folder / CUSTOMERS).is_file():
            raise DataError(
                f"{run} has no vectors of customers: they come with a network, as by "
                "'modiste run --set models.gnn.enabled=true'"
            )
        if not (folder / f"{USER_INDEX}.bin").is_file():
            raise DataError(
                f"{run} keeps no index of customers: looking for similar ones is switched off "
                "there (privacy.similar_customers)"
            )
        return cls(
            folder,
            VectorIndex.load(folder, ITEM_INDEX),
            SimilarCustomers.open(folder),
        )

    def similar(self, customer: str, k: int = 5) -> pl.DataFrame:
        """The customers whose vectors are nearest, and what they bought last.

        Parameters
        ----------
        customer
            Its id.
        k
            Number of customers.

        Returns
        -------
        One row for each customer and article, the nearest customer first and of each the latest
        article: ``rank`` (of the customer, from 1 on), ``customer_id``, ``score`` (cosine,
        float32), ``article_id``, ``prod_name``, ``t_dat``.

        Raises
        ------
        DataError
            When nobody has the id, or who has it bought nothing.
        """
        code = self._code(customer)
        near = pl.DataFrame(
            self._users.nearest(code, k),
            schema={"customer": pl.Int32, "score": pl.Float32},
            orient="row",
        ).with_columns(rank=pl.int_range(1, pl.len() + 1, dtype=pl.UInt16))
        ids_of = pl.scan_parquet(self._folder / CUSTOMER_IDS)
        bought = pl.scan_parquet(self._folder / BOUGHT)
        return (
            near.lazy()
            .join(ids_of, on="customer")
            .join(bought, on="customer")
            .join(self._names, on="article")
            .sort("rank", "t_dat", "article", descending=[False, True, False])
            .select("rank", "customer_id", "score", "article_id", "prod_name", "t_dat")
            .collect()
        )

    def suggested(self, customer: str, k: int = 12) -> pl.DataFrame:
        """The articles on sale that a customer's vector goes best with, the best first.

        Returns
        -------
        Columns ``article_id`` and ``prod_name``.

        Raises
        ------
        DataError
            As :meth:`similar`.
        """
        code = self._code(customer)
        found = self._items.search(asking(self._users.vector(code)), k)
        ids = found.ids[0][found.ids[0] >= 0]
        places = pl.DataFrame({"article": ids.astype(np.int32), "place": np.arange(len(ids))})
        return (
            places.lazy()
            .join(self._names, on="article")
            .sort("place")
            .select("article_id", "prod_name")
            .collect()
        )

    @property
    def _names(self) -> pl.LazyFrame:
        names = ["article", "article_id", "prod_name"]
        return pl.scan_parquet(self._folder / CATALOGUE).select(names)

    def _code(self, customer: str) -> int:
        rows = (
            pl.scan_parquet(self._folder / CUSTOMER_IDS)
            .filter(pl.col("customer_id") == customer)
            .collect()
        )
        if rows.is_empty():
            raise DataError(
                f"no customer {customer!r}: give the whole id, as in the customers' table"
            )
        code = int(rows["customer"][0])
        if not self._users.vector(code).any():
            raise DataError(
                f"customer {customer} bought nothing yet, so nobody is known to be like it"
            )
        return code
