"""The protocol of a group of features, and expressions that all groups share."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, Self

import polars as pl

from modiste.data.dataset import CustomerBatch, History
from modiste.ranking.rows import Feature

# A feature beside the expression that gives it.
Defined = tuple[Feature, pl.Expr]


class FeatureGroup(Protocol):
    """Some features of a candidate that are made together.

    A fitted group holds what concerns articles and what is shared; what concerns a customer comes
    with the batch, as for recommenders.
    """

    @property
    def features(self) -> tuple[Feature, ...]:
        """The group's features, in their order; known before it is fitted."""

    def fit(self, history: History) -> Self:
        """Take from a history what the features need; returns itself."""

    def join(self, batch: CustomerBatch, candidates: pl.DataFrame) -> pl.DataFrame:
        """Add the features' columns to candidates, which keep their order.

        Parameters
        ----------
        batch
            The customers of the candidates, with their purchases.
        candidates
            Columns ``customer``, ``article``, each source's score and rank, and others, sorted by
            customer and article.
        """

    def save(self, folder: Path) -> None:
        """Write what was learned into an existing, empty folder."""

    def load(self, folder: Path) -> Self:
        """Read it back; returns itself."""


def days_since(day: pl.Expr, as_of: pl.Expr) -> pl.Expr:
    """Days from a day to a later date (Float32): 1 for the last day before it."""
    return (as_of - day).dt.total_days().cast(pl.Float32)


def in_order(defined: list[Defined]) -> list[pl.Expr]:
    """The expressions, each named and of the dtype of its feature."""
    return [
        expression.cast(pl.Float32 if feature.n_categories is None else pl.Int32).alias(
            feature.name
        )
        for feature, expression in defined
    ]
