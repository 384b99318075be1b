"""The endpoints about articles: one of them, what is like it, what words find, what rules name."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import APIRouter, Query, Request

from modiste.errors import DataError
from modiste.service.answering import Answering, NotKnownError
from modiste.service.article_messages import (
    AgeBand,
    Article,
    Attribute,
    FoundArticle,
    Likeness,
    SearchResults,
    SimilarArticles,
    WeekOfSales,
    WordSearch,
)
from modiste.service.catalogue import ATTRIBUTES, Found
from modiste.service.endpoints import (
    ASKED,
    ASKED_FOR_ONE,
    ArticleId,
    Length,
    answer,
    article_names,
    names_of,
)

OnSale = Annotated[bool, Query(description="Whether only articles on sale are found.")]


def article_router() -> APIRouter:
    """The endpoints."""
    router = APIRouter(tags=["articles"])

    @router.get("/articles/{article_id}", summary="An article", responses=ASKED_FOR_ONE)
    async def article(request: Request, article_id: ArticleId) -> Article:
        """What an article is, how it sells, who buys it, and its other colours."""
        return await answer(
            request, lambda answering: _article(answering, answering.article(article_id))
        )

    @router.get(
        "/articles/{article_id}/similar", summary="Similar articles", responses=ASKED_FOR_ONE
    )
    async def similar(
        request: Request, article_id: ArticleId, k: Length = 12, on_sale: OnSale = True
    ) -> SimilarArticles:
        """The articles that are most like one; how is said in the answer."""

        def work(answering: Answering) -> SimilarArticles:
            code = answering.article(article_id)
            try:
                found = answering.catalogue.similar(code, k, on_sale=on_sale)
            except DataError as error:
                raise NotKnownError(str(error)) from error
            return SimilarArticles(by=cast("Likeness", found.by), articles=_found(answering, found))

        return await answer(request, work)

    @router.get("/search", summary="Articles by words", responses=ASKED)
    async def search(
        request: Request,
        q: Annotated[str, Query(min_length=1, max_length=200, description="Words, in any order.")],
        k: Length = 12,
        on_sale: OnSale = True,
    ) -> SearchResults:
        """The articles that words describe; how they were found is said in the answer."""

        def work(answering: Answering) -> SearchResults:
            found = answering.catalogue.search(q, k, on_sale=on_sale)
            return SearchResults(by=cast("WordSearch", found.by), articles=_found(answering, found))

        return await answer(request, work)

    @router.get("/attributes", summary="What rules can name", responses=ASKED)
    async def attributes(request: Request) -> list[Attribute]:
        """The columns of the articles' table that say what an article is, with their values."""

        def work(answering: Answering) -> list[Attribute]:
            return [
                Attribute.model_validate({"column": column, "values": values})
                for column, values in answering.catalogue.values.items()
            ]

        return await answer(request, work)

    return router


def _article(answering: Answering, code: int) -> Article:
    bundle = answering.bundle
    colours = answering.catalogue.colours(code)
    row, *others = bundle.article_rows([code, *colours])
    buyers = bundle.facts.buyers(code)
    total = sum(buyers.values())
    return Article(
        **names_of(row),
        description=row["detail_desc"],
        attributes={name: row[name] for name in ATTRIBUTES if row[name] is not None},
        on_sale=row["on_sale"],
        sales=[WeekOfSales(first_day=day, pieces=n) for day, n in bundle.facts.sales(code)],
        buyers=[
            AgeBand(ages=ages, buyers=n, share=n / total if total else 0.0)
            for ages, n in buyers.items()
        ],
        colours=[article_names(other) for other in others],
    )


def _found(answering: Answering, found: Found) -> list[FoundArticle]:
    rows = answering.bundle.article_rows([code for code, _ in found.articles])
    return [
        FoundArticle(**names_of(row), score=score, on_sale=row["on_sale"])
        for row, (_, score) in zip(rows, found.articles, strict=True)
    ]
