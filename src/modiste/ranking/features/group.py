"""The protocol of a group of features, and expressions that all groups share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modiste.data.dataset import CustomerBatch, History
from modiste.ranking.rows import Feature

# What a merchandiser calls an attribute of articles, and how purchases share it with an article.
ATTRIBUTE_WORDS = {
    "product_code": ("product", "of this product"),
    "product_type_name": ("product type", "of this product type"),
    "department_name": ("department", "from this department"),
    "section_name": ("section", "from this section"),
    "index_group_name": ("part of the range", "from this part of the range"),
    "garment_group_name": ("garment group", "of this garment group"),
    "colour_group_name": ("colour", "in this colour"),
    "graphical_appearance_name": ("pattern", "with this pattern"),
}

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


def with_features(
    candidates: pl.DataFrame, values: Mapping[str, NDArray[np.number[Any]]]
) -> pl.DataFrame:
    """The candidates with further columns (Float32), by name; null where a value is NaN."""
    return candidates.hstack(
        [
            pl.Series(name, column.astype(np.float32, copy=False), nan_to_null=True)
            for name, column in values.items()
        ]
    )


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
