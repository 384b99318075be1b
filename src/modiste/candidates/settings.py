"""Settings of the candidates: which source proposes how many, to whom, and how many are kept."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

from modiste.data.dataset import CustomerBatch
from modiste.data.days import day_number, day_numbers
from modiste.models.blend import RECOMMENDERS

# Customers are asked different sources by how long ago they last bought.
SEGMENTS = ("cold", "lately", "earlier")

LATELY_DAYS = 30

_NAMES = pl.Series("segment", SEGMENTS, dtype=pl.Enum(SEGMENTS))

Quota = Annotated[int, Field(ge=0)]


class CandidateSettings(BaseModel):
    """How articles are proposed to the ranker."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: Annotated[int, Field(ge=1)] = Field(
        default=200, description="Candidates of a customer at most, of all sources together."
    )
    quotas: dict[str, dict[str, Quota]] = Field(
        default={
            "cold": {"popularity": 200, "popularity_by_age": 100},
            "lately": {
                "repurchase": 60,
                "most_frequent": 30,
                "other_colours": 40,
                "co_visitation": 60,
                "popularity_by_section": 120,
                "popularity": 80,
                "popularity_by_age": 40,
                "content": 30,
                "sasrec": 60,
                "gnn": 100,
                "combined": 60,
            },
            "earlier": {
                "repurchase": 60,
                "most_frequent": 30,
                "other_colours": 40,
                "co_visitation": 40,
                "popularity_by_section": 120,
                "popularity": 100,
                "popularity_by_age": 40,
                "content": 30,
                "sasrec": 60,
                "gnn": 100,
                "combined": 60,
            },
        },
        description=(
            "For customers who never bought (cold), bought in the last 30 days (lately) or "
            "earlier: the first places of each source's list that are candidates. A source that "
            "is not enabled is passed over."
        ),
    )

    @field_validator("quotas")
    @classmethod
    def _quotas_name_segments_and_sources(
        cls, quotas: dict[str, dict[str, int]]
    ) -> dict[str, dict[str, int]]:
        if set(quotas) != set(SEGMENTS):
            raise ValueError(f"quotas are of the segments {', '.join(SEGMENTS)}")
        for segment, sources in quotas.items():
            unknown = sources.keys() - RECOMMENDERS.keys()
            if unknown:
                raise ValueError(
                    f"no source {', '.join(sorted(unknown))} (quotas.{segment}): there are "
                    f"{', '.join(RECOMMENDERS)}"
                )
        return quotas

    @property
    def sources(self) -> list[str]:
        """Sources with a quota, in the order of the recommenders."""
        return [
            name
            for name in RECOMMENDERS
            if any(quotas.get(name) for quotas in self.quotas.values())
        ]


def segment_of_customers(batch: CustomerBatch) -> pl.DataFrame:
    """Each customer's segment: ``customer`` and ``segment`` (an Enum of ``SEGMENTS``)."""
    return pl.DataFrame([batch.customers["customer"], _NAMES[segment_numbers(batch)]])


def segment_numbers(batch: CustomerBatch) -> NDArray[np.int64]:
    """The place in ``SEGMENTS`` of the segment of each of a batch's customers."""
    return batch.once("segments", lambda: _segment_numbers(batch))


def _segment_numbers(batch: CustomerBatch) -> NDArray[np.int64]:
    customers = batch.customers["customer"]
    bought = batch.transactions["customer"].to_numpy()
    # Sorted by day, a customer's last purchase is its last row.
    after = np.searchsorted(bought, customers.to_numpy(), side="right")
    cold = after == np.searchsorted(bought, customers.to_numpy())
    days = day_number(batch.as_of) - day_numbers(batch.transactions["t_dat"])
    # One more, where nobody bought anything.
    since = np.append(days, LATELY_DAYS)[after - 1]
    return np.where(cold, 0, np.where(since <= LATELY_DAYS, 1, 2))


def with_segments(rows: pl.DataFrame, batch: CustomerBatch) -> pl.DataFrame:
    """The rows in their order, with a column ``segment`` of their customers, who are a batch's."""
    customers = batch.customers["customer"].to_numpy()
    row = np.searchsorted(customers, rows["customer"].to_numpy())
    return rows.hstack([_NAMES[segment_numbers(batch)[row]]])
