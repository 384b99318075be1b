"""Rows to learn from: candidates as of past dates, with features and what was bought afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from modiste.candidates.generator import CandidateGenerator
from modiste.candidates.settings import with_segments
from modiste.data.dataset import CustomerBatch, Dataset, Partition, Window
from modiste.ranking.features.builder import FeatureBuilder
from modiste.ranking.rows import LABEL, SEGMENT, WEIGHT

# Customers whose candidates are made and described at once: some 1.6 million rows of them.
_CUSTOMERS_IN_A_BLOCK = 8_192


def rows_of_window(
    dataset: Dataset,
    window: Window,
    number: int,
    generator: CandidateGenerator,
    builder: FeatureBuilder,
    labels: pl.DataFrame,
    *,
    negatives: int | None,
    seed: int,
) -> pl.DataFrame:
    """The rows of one window, for the ``frame`` of :class:`modiste.ranking.rows.RankingRows`.

    Parameters
    ----------
    dataset
        The shop.
    window
        Its date is the generator's and the builder's, too.
    number
        Of the window among others.
    generator, builder
        Fitted as of the window's date.
    labels
        What was bought: the customers of the rows are its customers.
    negatives
        Candidates that were not bought which are kept of a list, drawn by ``seed``, each with a
        weight of how many it stands for; lists without a purchase are left out. None: every
        candidate of every list is kept.
    """
    history = dataset.until(window.as_of)
    parts = history.map(
        _rows_of_partition,
        number,
        generator,
        builder,
        labels,
        negatives,
        seed,
        label=f"rows of {window}",
    )
    return pl.concat(parts)


def blocks(batch: CustomerBatch) -> Iterator[CustomerBatch]:
    """A batch in pieces of so few customers that all their candidates fit into memory.

    One at least: a piece of no customers has rows with the columns of all others.
    """
    customers = batch.customers["customer"]
    if len(customers) <= _CUSTOMERS_IN_A_BLOCK:
        yield batch
        return
    for first in range(0, len(customers), _CUSTOMERS_IN_A_BLOCK):
        yield batch.only(customers[first : first + _CUSTOMERS_IN_A_BLOCK])


def _rows_of_partition(
    partition: Partition,
    number: int,
    generator: CandidateGenerator,
    builder: FeatureBuilder,
    labels: pl.DataFrame,
    negatives: int | None,
    seed: int,
) -> pl.DataFrame:
    found = []
    rng = np.random.default_rng([seed, number, partition.index])
    bought = labels.with_columns(pl.lit(True).alias(LABEL))
    for block in blocks(partition.read().only(labels["customer"].unique())):
        rows = generator.candidates(block).join(
            bought, on=["customer", "article"], how="left", maintain_order="left"
        )
        rows = with_segments(rows, block).with_columns(
            pl.col(LABEL).fill_null(False), pl.lit(1.0, pl.Float32).alias(WEIGHT)
        )
        if negatives is not None:
            rows = _some_negatives(rows, negatives, rng)
        features = builder.build(block, rows)
        keyed = rows.select(
            pl.lit(number, pl.Int16).alias("window"), "customer", "article", SEGMENT, LABEL, WEIGHT
        )
        found.append(keyed.hstack(features.drop("customer", "article")))
    return pl.concat(found)


def _some_negatives(rows: pl.DataFrame, negatives: int, rng: np.random.Generator) -> pl.DataFrame:
    """All that was bought, and of each list with a purchase some of the rest."""
    draw = pl.Series("draw", rng.random(rows.height, dtype=np.float32))
    left = pl.col("draw").filter(~pl.col(LABEL)).len().over("customer")
    place = pl.col("draw").rank("ordinal").over("customer", LABEL)
    kept = pl.min_horizontal(pl.lit(negatives), left)
    return (
        rows.with_columns(draw)
        .filter(pl.col(LABEL).any().over("customer"))
        .with_columns(
            pl.when(LABEL).then(1.0).otherwise(left / kept).cast(pl.Float32).alias(WEIGHT),
            place=place,
        )
        .filter(pl.col(LABEL) | (pl.col("place") <= negatives))
        .drop("draw", "place")
    )
