"""Ways to make one vector of two, so that one inner product scores by both.

Of all ways: ``sequence`` and ``graph`` are vectors of the same customers or articles by SASRec and
by the graph network, float32, shapes (n, d1) and (n, d2).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modiste.data.dataset import CustomerBatch
from modiste.errors import ConfigError, damaged

Vectors = NDArray[np.float32]

# What a gate reads of a customer: see `facts_of`.
FACTS = ("one", "purchases", "days_since_the_last", "days_with_purchases")

_GATE = "gate.json"


class Joining(Protocol):
    """Makes one vector of two."""

    def of_articles(self, sequence: Vectors, graph: Vectors) -> Vectors:
        """Joined vectors of articles, float32, shape (n, d)."""

    def of_customers(self, sequence: Vectors, graph: Vectors, facts: Vectors) -> Vectors:
        """Joined vectors of customers, float32, shape (n, d).

        Parameters
        ----------
        facts
            As :func:`facts_of` gives them.
        """


@dataclass(frozen=True)
class Concatenated:
    """Side by side: a score is the weighted sum of both networks' scores."""

    sequence_weight: float
    graph_weight: float

    def of_articles(self, sequence: Vectors, graph: Vectors) -> Vectors:
        """Side by side."""
        return np.hstack([sequence, graph])

    def of_customers(self, sequence: Vectors, graph: Vectors, facts: Vectors) -> Vectors:
        """Side by side, each times its weight."""
        del facts
        weights = np.float32(self.sequence_weight), np.float32(self.graph_weight)
        return np.hstack([weights[0] * sequence, weights[1] * graph])


@dataclass(frozen=True)
class Mean:
    """The mean of both vectors, of customers and of articles, as the networks give them.

    Not made of length 1: a customer vector's length is how sure a network is of what it says, and
    without it popularity outweighs all that a history tells.
    """

    def of_articles(self, sequence: Vectors, graph: Vectors) -> Vectors:
        """The mean; where one network has learned nothing, the other's vectors.

        Raises
        ------
        ConfigError
            When the networks' vectors have different numbers of dimensions.
        """
        if not (sequence.shape[1] and graph.shape[1]):
            return np.hstack([sequence, graph])
        if sequence.shape[1] != graph.shape[1]:
            raise ConfigError(
                f"vectors of {sequence.shape[1]} and of {graph.shape[1]} dimensions have no mean: "
                "set models.sasrec.network.dimensions and models.gnn.network.dimensions to the "
                "same, or models.combined.way to concatenated"
            )
        return (sequence + graph) / np.float32(2)

    def of_customers(self, sequence: Vectors, graph: Vectors, facts: Vectors) -> Vectors:
        """The mean; where one network has learned nothing, the other's vectors."""
        del facts
        return self.of_articles(sequence, graph)


@dataclass(frozen=True, eq=False)
class Gated:
    """Side by side, with weights that depend on how much and how lately a customer bought.

    ``weights = softplus(facts · coefficients)``: a gate of two experts (Jacobs et al., "Adaptive
    Mixtures of Local Experts", Neural Computation 1991) on the scale of scores.

    Attributes
    ----------
    coefficients
        float32, shape (facts, 2): for the sequence and for the graph.
    """

    coefficients: Vectors

    def of_articles(self, sequence: Vectors, graph: Vectors) -> Vectors:
        """Side by side."""
        return np.hstack([sequence, graph])

    def of_customers(self, sequence: Vectors, graph: Vectors, facts: Vectors) -> Vectors:
        """Side by side, each times the customer's weight for it."""
        weights = np.logaddexp(0, facts @ self.coefficients).astype(np.float32)
        return np.hstack([weights[:, :1] * sequence, weights[:, 1:] * graph])

    def save(self, folder: Path) -> None:
        """Write the coefficients into a folder that is there."""
        rows = dict(zip(FACTS, self.coefficients.tolist(), strict=True))
        (folder / _GATE).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Gated:
        """Read them back.

        Raises
        ------
        DataError
            When there are none, or damaged ones.
        """
        try:
            rows = json.loads((folder / _GATE).read_text(encoding="utf-8"))
            return cls(np.array([rows[name] for name in FACTS], dtype=np.float32).reshape(-1, 2))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise damaged(folder, "gate", repr(error), "learn it anew") from error


def facts_of(batch: CustomerBatch, customers: NDArray[np.int32]) -> Vectors:
    """What a gate reads of customers.

    Parameters
    ----------
    batch
        What is known of them.
    customers
        int32, shape (n,): codes, rising, of some who bought anything.

    Returns
    -------
    float32, shape (n, 4): 1, and the logarithms of 1 + purchases (each article and day once), of
    the days since the last one, and of the number of days with purchases; the three divided by
    their usual size, so that one learning rate fits all.
    """
    counted = (
        batch.interactions.group_by("customer")
        .agg(
            purchases=pl.len(),
            since=(pl.lit(batch.as_of) - pl.col("t_dat").max()).dt.total_days(),
            days=pl.col("t_dat").n_unique(),
        )
        .join(pl.DataFrame({"customer": customers}), on="customer", how="right")
        .sort("customer")
    )
    return np.column_stack(
        [
            np.ones(len(customers)),
            np.log1p(counted["purchases"].to_numpy()) / 3,
            np.log(counted["since"].to_numpy()) / 4,
            np.log1p(counted["days"].to_numpy()) / 2,
        ]
    ).astype(np.float32)
