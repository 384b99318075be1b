"""The endpoints about what was bought after the bundle's date: of one customer, and to measure."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from modiste.service.answering import Answering, NotKnownError
from modiste.service.endpoints import ASKED_FOR_ONE, CustomerId, answer, article_names
from modiste.service.evaluation import Evaluation
from modiste.service.evaluation_messages import (
    EvaluationRequest,
    EvaluationState,
    LaterPurchasesOfCustomer,
)
from modiste.service.turns import Turns

LINES = "application/x-ndjson"

# Steps between two lines of progress.
_STEPS_TOLD = 5


def evaluation_router() -> APIRouter:
    """The endpoints."""
    router = APIRouter(tags=["evaluation"])

    @router.get(
        "/customers/{customer_id}/later-purchases",
        summary="What a customer bought later",
        responses=ASKED_FOR_ONE,
    )
    async def later_purchases(
        request: Request, customer_id: CustomerId
    ) -> LaterPurchasesOfCustomer:
        """What was bought after the bundle's date, where the bundle was told of it."""
        return await answer(request, lambda answering: _later_purchases(answering, customer_id))

    @router.post(
        "/evaluations",
        summary="How good lists are under rules and weights",
        response_class=StreamingResponse,
        responses={
            **ASKED_FOR_ONE,
            200: {
                "description": "A line as often as there is progress; the last one is the result.",
                "content": {LINES: {"schema": EvaluationState.model_json_schema()}},
            },
        },
    )
    async def evaluate(request: Request, wanted: EvaluationRequest) -> StreamingResponse:
        """MAP@k with and without rules and other weights, on customers who bought later.

        The answer grows while it is measured, a JSON text a line; whoever closes the connection
        ends the work. Other requests are answered between its steps.
        """
        evaluation = await answer(request, lambda answering: Evaluation(answering, wanted))
        return StreamingResponse(_lines(evaluation, request.app.state.turns), media_type=LINES)

    return router


def _later_purchases(answering: Answering, customer_id: str) -> LaterPurchasesOfCustomer:
    bundle = answering.bundle
    if bundle.later is None:
        raise NotKnownError(
            "this bundle does not know what was bought later: export it with --purchases"
        )
    answering.customer(customer_id)
    code = bundle.customers.code(customer_id)
    articles = [] if code is None else bundle.later.articles(code)
    return LaterPurchasesOfCustomer(
        articles=[article_names(row) for row in bundle.article_rows(articles)]
    )


async def _lines(evaluation: Evaluation, turns: Turns) -> AsyncIterator[str]:
    for number, step in enumerate(evaluation.steps()):
        if number % _STEPS_TOLD == 0:
            yield _line(evaluation)
        await turns.take(step)
    yield _line(evaluation)


def _line(evaluation: Evaluation) -> str:
    return evaluation.state.model_dump_json() + "\n"
