"""Look-up of similar customers, and of articles for one, in a run's vectors of both.

>>> from modiste.customer_lookup import CustomerLookup
>>> CustomerLookup.open("run").similar("00000dbacae5ab…", k=5)  # doctest: +SKIP
"""

from __future__ import annotations

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


def with_beginnings(found: pl.DataFrame) -> pl.DataFrame:
    """What :meth:`CustomerLookup.similar` found, with the beginnings of ids instead of them."""
    ids = found["customer_id"]
    return found.with_columns(
        customer_id=pl.Series([beginning(each) for each in ids], dtype=pl.String)
    )


@dataclass(frozen=True)
class CustomerLookup:
    """Answers which customers are like one, and what suits it; open one with :meth:`open`."""

    _folder: Path
    _vectors: NDArray[np.float32]
    _items: VectorIndex
    _users: VectorIndex

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
            np.load(folder / CUSTOMERS, mmap_mode="r"),
            VectorIndex.load(folder, ITEM_INDEX),
            VectorIndex.load(folder, USER_INDEX),
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
        own = np.array(self._vectors[code : code + 1])
        others = np.ones(len(self._vectors), dtype=np.bool_)
        others[code] = False
        unit = own / np.linalg.norm(own)
        found = self._users.search(unit, k, allowed=others)
        ids = found.ids[0][found.ids[0] >= 0]
        near = pl.DataFrame(
            {
                "customer": ids.astype(np.int32),
                "score": found.scores[0][: len(ids)],
                "rank": np.arange(1, len(ids) + 1, dtype=np.uint16),
            }
        )
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
        found = self._items.search(asking(np.array(self._vectors[code : code + 1])), k)
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
        if not self._vectors[code].any():
            raise DataError(
                f"customer {customer} bought nothing yet, so nobody is known to be like it"
            )
        return code
