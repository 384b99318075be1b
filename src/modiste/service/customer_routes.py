"""The endpoints about a customer: itself, who is like it, and why an article is shown to it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import polars as pl
from fastapi import APIRouter, Query, Request

from modiste.candidates.settings import segment_of_customers
from modiste.ranking.explanation import Explanation
from modiste.ranking.reasons import (
    RULES,
    group_in_words,
    purchase_in_words,
    reason,
    source_in_words,
    why_not,
)
from modiste.service.answering import Answering
from modiste.service.customer_messages import (
    Customer,
    CustomerExplanation,
    FeaturePart,
    Proposal,
    Purchase,
    RankerParts,
    RelatedPurchase,
    ScorerPart,
    SimilarCustomer,
    SimilarCustomers,
)
from modiste.service.endpoints import (
    ASKED_FOR_ONE,
    ArticleId,
    CustomerId,
    Length,
    answer,
    article_names,
)

# Of a ranker's features the strongest are told.
_FEATURES = 12

# Of a similar customer the latest articles are told.
_LATEST = 12

_ONLINE = 2


def customer_router() -> APIRouter:
    """The endpoints."""
    router = APIRouter(prefix="/customers/{customer_id}", tags=["customers"])

    @router.get("", summary="A customer", responses=ASKED_FOR_ONE)
    async def customer(
        request: Request,
        customer_id: CustomerId,
        limit: Length = 50,
        offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    ) -> Customer:
        """What the shop knows of a customer, and what it bought: an entry an article and day."""
        return await answer(
            request, lambda answering: _customer(answering, customer_id, offset, limit)
        )

    @router.get("/similar", summary="Similar customers", responses=ASKED_FOR_ONE)
    async def similar(request: Request, customer_id: CustomerId, k: Length = 5) -> SimilarCustomers:
        """The customers whose vectors are nearest; none of who bought nothing yet."""
        return await answer(request, lambda answering: _similar(answering, customer_id, k))

    @router.get(
        "/explanations/{article_id}",
        summary="Why an article is shown, or not",
        responses=ASKED_FOR_ONE,
    )
    async def explain(
        request: Request, customer_id: CustomerId, article_id: ArticleId, k: Length = 12
    ) -> CustomerExplanation:
        """What proposed an article, what its score is made of, and the purchases that led to it."""

        def work(answering: Answering) -> CustomerExplanation:
            article = answering.article(article_id)
            explained = answering.explain(answering.customer(customer_id), k)
            return _explanation(answering, explained.explain(article))

        return await answer(request, work)

    return router


def _customer(answering: Answering, customer_id: str, offset: int, limit: int) -> Customer:
    visitor = answering.customer(customer_id)
    purchases = visitor.purchases
    (known,) = purchases.customers.iter_rows(named=True)
    entries = (
        purchases.transactions.group_by("article", "t_dat")
        .agg(
            pieces=pl.len(), price=pl.col("price").mean(), channel=pl.col("sales_channel_id").max()
        )
        .sort("t_dat", "article", descending=[True, False])
    )
    page = entries[offset : offset + limit]
    rows = answering.bundle.article_rows(page["article"].to_list())
    return Customer(
        customer_id=customer_id,
        age=known["age"],
        club_member_status=known["club_member_status"],
        fashion_news_frequency=known["fashion_news_frequency"],
        fashion_news=None if known["FN"] is None else known["FN"] == 1,
        active=None if known["Active"] is None else known["Active"] == 1,
        segment=str(segment_of_customers(purchases)["segment"].item()),
        as_of=purchases.as_of,
        live_events=visitor.live_events,
        purchases=entries.height,
        offset=offset,
        history=[
            Purchase(
                article=article_names(row),
                day=day,
                pieces=pieces,
                price=price,
                online=None if channel is None else channel == _ONLINE,
            )
            for row, (_, day, pieces, price, channel) in zip(rows, page.iter_rows(), strict=True)
        ],
    )


def _similar(answering: Answering, customer_id: str, k: int) -> SimilarCustomers:
    near = answering.similar_customers(customer_id, k)
    customers = answering.bundle.customers
    latest = {
        code: rows["article"].reverse().unique(maintain_order=True).head(_LATEST).to_list()
        for (code,), rows in customers.batch(code for code, _ in near).transactions.group_by(
            "customer"
        )
    }
    return SimilarCustomers(
        customers=[
            SimilarCustomer(
                customer_id=customers.customer_id(code),
                score=score,
                bought=[
                    article_names(row)
                    for row in answering.bundle.article_rows(latest.get(code, []))
                ],
            )
            for code, score in near
        ]
    )


def _explanation(answering: Answering, found: Explanation) -> CustomerExplanation:
    evidence = found.evidence
    bought = [each.article.code for each in evidence.purchases]
    (row, *rows) = answering.bundle.article_rows([evidence.article.code, *bought])
    return CustomerExplanation(
        article=article_names(row),
        as_of=found.as_of,
        segment=found.segment,
        k=found.k,
        shown_at=found.shown_at,
        place=found.place,
        candidates=found.candidates,
        reason=None if found.shown_at is None else reason(evidence),
        why_not=why_not(found),
        rules=[RULES[rule] for rule in found.rules],
        factor=found.factor,
        score=found.score,
        proposals=[
            Proposal(proposes=source_in_words(each.source), **asdict(each))
            for each in evidence.proposals
        ],
        purchases=[
            RelatedPurchase(
                article=article_names(names),
                day=each.day,
                days_ago=each.days_ago,
                times=each.times,
                relations=purchase_in_words(each),
            )
            for each, names in zip(evidence.purchases, rows, strict=True)
        ],
        scorers=[ScorerPart(**asdict(each), part=each.part) for each in found.scorers],
        rankers=[
            RankerParts(
                ranker=each.ranker,
                score=each.score,
                base=each.base,
                features=[
                    FeaturePart(
                        feature=part.feature,
                        meaning=part.meaning,
                        group=group_in_words(part.group),
                        value=part.value,
                        part=part.part,
                    )
                    for part in each.features[:_FEATURES]
                ],
            )
            for each in found.rankers
        ],
    )
