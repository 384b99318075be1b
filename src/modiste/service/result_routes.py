"""The endpoints of what the run behind a bundle measured and chose."""

from __future__ import annotations

from datetime import date

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from modiste.report.results import Interval
from modiste.service.answering import Answering, NotKnownError
from modiste.service.endpoints import ASKED, ASKED_FOR_ONE, answer


class ModelResult(BaseModel):
    """How good a model's lists are: MAP@k."""

    model: str = Field(examples=["lightgbm"])
    map: Interval = Field(description="Over the window's customers, with its bootstrap interval.")
    difference: Interval | None = Field(
        description="By how much it is above the reference on the same customers."
    )


class RunResults(BaseModel):
    """What the run's models scored in its test window, which none of them had seen."""

    recommender: str = Field(description="The model that recommends.", examples=["hybrid"])
    reference: str = Field(examples=["popularity"])
    first_day: date = Field(description="Of the window.")
    days: int
    customers: int = Field(description="Who bought in it.")
    k: int = Field(description="Articles of each list that count.")
    level: float = Field(description="Of the intervals.", examples=[0.95])
    models: list[ModelResult] = Field(description="The best first.")


class Scorer(BaseModel):
    """Something that scores candidates: the blend of the sources, a ranker, a network."""

    scorer: str = Field(examples=["lightgbm"])
    weights: dict[str, float] = Field(
        description="How much it counts, by the customers' segment.",
        examples=[{"cold": 0.0, "lately": 1.0, "earlier": 2.0}],
    )


def result_router() -> APIRouter:
    """The endpoints."""
    router = APIRouter(tags=["service"])

    @router.get("/results", summary="How good the models are", responses=ASKED_FOR_ONE)
    async def results(request: Request) -> RunResults:
        """MAP@k of every model of the run in its test window."""
        return await answer(request, _results)

    @router.get("/scorers", summary="What orders the candidates", responses=ASKED)
    async def scorers(request: Request) -> list[Scorer]:
        """The scorers and the weights that the run has chosen for them."""
        return await answer(request, _scorers)

    return router


def _results(answering: Answering) -> RunResults:
    metrics = answering.bundle.results
    if metrics is None:
        raise NotKnownError("this bundle's run was not evaluated")
    test = metrics.test
    return RunResults(
        recommender=metrics.recommender,
        reference=test.reference,
        first_day=test.as_of,
        days=test.horizon_days,
        customers=test.customers,
        k=metrics.settings.k,
        level=metrics.settings.level,
        models=[
            ModelResult(
                model=name,
                map=scores.main,
                difference=None if name == test.reference else scores.main.difference,
            )
            for name, scores in test.best_first()
        ],
    )


def _scorers(answering: Answering) -> list[Scorer]:
    hybrid = answering.bundle.hybrid
    return [
        Scorer(
            scorer=name,
            weights={segment: of_it.get(name, 0.0) for segment, of_it in hybrid.weights.items()},
        )
        for name in hybrid.scorers
    ]
