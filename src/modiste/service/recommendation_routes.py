"""The endpoints that recommend: to a customer, to an anonymous visitor, to several customers."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Request

from modiste.ranking.reasons import reason
from modiste.service.answering import Answering, NotKnownError, Recommended, Visitor
from modiste.service.endpoints import ASKED, ASKED_FOR_ONE, CustomerId, Length, answer, names_of
from modiste.service.recommendation_messages import (
    BatchRecommendations,
    BatchRequest,
    CustomerRecommendations,
    RecommendationRequest,
    Recommendations,
    RecommendedArticle,
    SessionRequest,
)


def recommendation_router() -> APIRouter:
    """The endpoints."""
    router = APIRouter(tags=["recommendations"])

    @router.get(
        "/customers/{customer_id}/recommendations",
        summary="Articles for a customer",
        responses=ASKED_FOR_ONE,
    )
    async def recommend(
        request: Request, customer_id: CustomerId, k: Length = 12
    ) -> Recommendations:
        """The articles that a customer most likely buys next, under the shop's own rules."""
        wanted = RecommendationRequest(k=k)
        return await answer(
            request,
            lambda answering: _recommendations(answering, answering.customer(customer_id), wanted),
        )

    @router.post(
        "/customers/{customer_id}/recommendations",
        summary="Articles for a customer, with filters and rules",
        responses=ASKED_FOR_ONE,
    )
    async def recommend_by_rules(
        request: Request, customer_id: CustomerId, wanted: RecommendationRequest
    ) -> Recommendations:
        """The same under further rules, with reasons where they are asked for."""
        return await answer(
            request,
            lambda answering: _recommendations(answering, answering.customer(customer_id), wanted),
        )

    @router.post(
        "/sessions/recommendations",
        summary="Articles for an anonymous visitor",
        responses=ASKED_FOR_ONE,
    )
    async def recommend_to_visitor(request: Request, wanted: SessionRequest) -> Recommendations:
        """The articles that suit who looked at some; nothing of it is kept."""

        def work(answering: Answering) -> Recommendations:
            seen = [(answering.article(each.article_id), each.days_ago) for each in wanted.articles]
            return _recommendations(answering, answering.visitor(seen, wanted.age), wanted)

        return await answer(request, work)

    @router.post(
        "/batch/recommendations", summary="Articles for several customers", responses=ASKED
    )
    async def recommend_to_several(request: Request, wanted: BatchRequest) -> BatchRecommendations:
        """Each customer's list as if asked for alone; ids that nobody has are named."""

        def work(answering: Answering) -> BatchRecommendations:
            lists, unknown = [], []
            for customer_id in wanted.customer_ids:
                try:
                    visitor = answering.customer(customer_id)
                except NotKnownError:
                    unknown.append(customer_id)
                    continue
                found = answering.recommend(visitor, wanted.k, wanted.rules, wanted.scorer_weights)
                lists.append(
                    CustomerRecommendations(
                        customer_id=customer_id, recommendations=_articles(answering, found)
                    )
                )
            return BatchRecommendations(
                as_of=answering.as_of,
                bundle=answering.bundle.manifest.version,
                customers=lists,
                unknown=unknown,
            )

        return await answer(request, work)

    return router


def _recommendations(
    answering: Answering, visitor: Visitor, wanted: RecommendationRequest
) -> Recommendations:
    if wanted.reasons:
        explained = answering.explain(visitor, wanted.k, wanted.rules, wanted.scorer_weights)
        found = answering.shown(explained)
        reasons: list[str | None] = [reason(each) for each in explained.listed()]
    else:
        found = answering.recommend(visitor, wanted.k, wanted.rules, wanted.scorer_weights)
        reasons = [None] * len(found)
    return Recommendations(
        as_of=visitor.batch.as_of,
        bundle=answering.bundle.manifest.version,
        live_events=visitor.live_events,
        recommendations=_articles(answering, found, reasons),
    )


def _articles(
    answering: Answering,
    found: Sequence[Recommended],
    reasons: Sequence[str | None] | None = None,
) -> list[RecommendedArticle]:
    rows = answering.bundle.article_rows([each.article for each in found])
    return [
        RecommendedArticle(**names_of(row), rank=each.rank, score=each.score, reason=said)
        for row, each, said in zip(rows, found, reasons or [None] * len(found), strict=True)
    ]
