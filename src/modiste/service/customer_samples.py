"""Some customers to look at, for people who have no id at hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Annotated

import numpy as np
import polars as pl
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from modiste.candidates.settings import segment_of_customers
from modiste.service.answering import Answering
from modiste.service.endpoints import ASKED, answer
from modiste.service.messages import CUSTOMER

# A look at a few people, no way to copy them all out.
MOST_SAMPLED = 50


class SampledCustomer(BaseModel):
    """One of some customers."""

    customer_id: str = Field(examples=[CUSTOMER])
    age: int | None = Field(examples=[32])
    segment: str = Field(examples=["lately"])
    purchases: int = Field(description="Pieces bought before the bundle's date.", examples=[23])
    last_purchase: date | None = Field(description="Null: never bought.", examples=["2020-09-12"])


def customer_sample_router() -> APIRouter:
    """The endpoint."""
    router = APIRouter(tags=["customers"])

    @router.get("/customers", summary="Some customers", responses=ASKED)
    async def sample(
        request: Request,
        k: Annotated[int, Query(ge=1, le=MOST_SAMPLED)] = 12,
        seed: Annotated[int, Query(ge=0, le=2**31)] = 0,
        bought_later: Annotated[
            bool,
            Query(description="Only those of whom it is known that they bought after its date."),
        ] = False,
    ) -> list[SampledCustomer]:
        """Customers of the bundle, drawn at random: the same ones of the same seed."""
        everybody = _buyers if bought_later else _all
        return await answer(request, lambda answering: _sample(answering, everybody, k, seed))

    return router


def _all(answering: Answering) -> Sequence[int]:
    return range(len(answering.bundle.customers))


def _buyers(answering: Answering) -> Sequence[int]:
    later = answering.bundle.later
    return [] if later is None else later.customers.tolist()


def _sample(
    answering: Answering, among: Callable[[Answering], Sequence[int]], k: int, seed: int
) -> list[SampledCustomer]:
    store, codes = answering.bundle.customers, among(answering)
    places = np.random.default_rng(seed).choice(len(codes), min(k, len(codes)), replace=False)
    batch = store.batch([codes[place] for place in places.tolist()])
    rows = (
        batch.customers.select("customer", "customer_id", "age")
        .join(segment_of_customers(batch), on="customer", maintain_order="left")
        .join(
            batch.transactions.group_by("customer").agg(
                purchases=pl.len(), last_purchase=pl.col("t_dat").max()
            ),
            on="customer",
            how="left",
            maintain_order="left",
        )
        .with_columns(pl.col("purchases").fill_null(0))
        .drop("customer")
    )
    return [
        SampledCustomer(**row)
        for row in rows.iter_rows(named=True)
        if not answering.live.is_erased(row["customer_id"])
    ]
