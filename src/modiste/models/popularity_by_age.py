"""Popularity by age band: what sells best just now to customers of about the same age."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Self

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from modiste.data.dataset import CustomerBatch, History, Partition
from modiste.data.pairs import find
from modiste.evaluation.protocol import rank_arrays
from modiste.models.popularity import PopularitySettings, article_popularity, recent_baskets
from modiste.models.sorted_rows import SortedRows
from modiste.models.time_decay import decay, in_units


class PopularityByAgeSettings(BaseModel):
    """Settings of popularity by age band."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    band_starts: tuple[int, ...] = Field(
        default=(25, 35, 45, 55),
        description="Ages (years) at which the second and each later band starts.",
    )
    own_weight: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.8,
        description="Weight of the band's own popularity; the rest is that of all customers.",
    )


class PopularityByAge:
    """The best sellers of each age band; those of all where the age is not known.

    Parameters
    ----------
    settings
        The bands.
    popularity
        How popularity is counted, and so what is on sale.
    """

    def __init__(
        self,
        settings: PopularityByAgeSettings | None = None,
        popularity: PopularitySettings | None = None,
    ) -> None:
        self.settings = settings or PopularityByAgeSettings()
        self.popularity = popularity or PopularitySettings()
        self._lists = SortedRows(pl.DataFrame(), "band")

    def fit(self, history: History) -> Self:
        """Count the sales of the last days in each band."""
        settings = self.settings
        counting = self.popularity
        since = history.as_of - timedelta(days=counting.days)
        overall = article_popularity(history, counting)
        by_band = (
            history.collect(
                _band_units,
                settings.band_starts,
                since,
                counting.decay,
                counting.basket_power,
                label="purchases by age band",
            )
            .group_by("band", "article")
            .agg(pl.col("units").sum())
            .join(overall, on="article")
            .with_columns(own=pl.col("units") / pl.col("units").max().over("band"))
        )
        bands = by_band.select("band").unique()
        lists = (
            bands.join(overall, how="cross")
            .join(by_band.select("band", "article", "own"), on=["band", "article"], how="left")
            .select(
                "band",
                "article",
                score=settings.own_weight * pl.col("own").fill_null(0.0)
                + (1 - settings.own_weight) * pl.col("popularity"),
            )
            .vstack(overall.select(_UNKNOWN.alias("band"), "article", score="popularity"))
            .sort("band", "score", "article", descending=[False, True, False])
        )
        self._lists = SortedRows(lists, "band")
        return self

    def recommend(self, batch: CustomerBatch, k: int) -> pl.DataFrame:
        """The ``k`` best sellers of each customer's band."""
        age = batch.customers["age"].cast(pl.Float32).to_numpy()
        bands = self._lists.array("band")
        band = np.searchsorted(np.sort(self.settings.band_starts), age, side="right")
        # Of another type, all rows of the lists would be converted for the sake of a few.
        band = band.astype(bands.dtype)
        # A band that has bought nothing lately has no list of its own.
        band[np.isnan(age) | (find(band, bands) < 0)] = _UNKNOWN_BAND
        row, best = self._lists.rows(band, most=k)
        return rank_arrays(
            batch.customers["customer"].to_numpy()[row],
            self._lists.array("article")[best],
            self._lists.array("score")[best],
            k,
        )

    def save(self, folder: Path) -> None:
        """Write each band's popularity."""
        self._lists.table.write_parquet(folder / "popularity_by_age.parquet")

    def load(self, folder: Path) -> Self:
        """Read it back."""
        lists = pl.read_parquet(folder / "popularity_by_age.parquet")
        self._lists = SortedRows(lists, "band")
        return self


# The band of customers whose age is not known, or whose band has bought nothing lately.
_UNKNOWN_BAND = -1
_UNKNOWN = pl.lit(_UNKNOWN_BAND, pl.Int32)


def _band(starts: tuple[int, ...]) -> pl.Expr:
    """Number of a customer's age band: 0 below the first start."""
    band = pl.sum_horizontal(
        pl.lit(0, pl.Int32), *[(pl.col("age") >= start).cast(pl.Int32) for start in sorted(starts)]
    )
    return pl.when(pl.col("age").is_null()).then(_UNKNOWN).otherwise(band).alias("band")


def _band_units(
    partition: Partition,
    starts: tuple[int, ...],
    since: date,
    exponent: float,
    basket_power: float,
) -> pl.DataFrame:
    """Decayed purchases of each (known band, article) in one partition, in units of ``UNIT``."""
    bands = partition.read_customers().select("customer", _band(starts))
    weight = decay(partition.as_of, exponent) * pl.col("basket").pow(-basket_power)
    return (
        recent_baskets(partition, since)
        .join(bands, on="customer")
        .filter(pl.col("band") >= 0)
        .group_by("band", "article")
        .agg(in_units(weight).sum().alias("units"))
    )
