"""What the service says of customers: a bundle's answers, with nothing of HTTP in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl

from modiste.data.dataset import CustomerBatch
from modiste.data.days import day_number
from modiste.data.schema import PREPARED_CUSTOMERS, PREPARED_TRANSACTIONS
from modiste.errors import ModisteError
from modiste.ranking.explanation import ExplainedCustomer
from modiste.ranking.hybrid import Hybrid, bought_pairs
from modiste.ranking.rules import ArticleRules, Rules, article_rules
from modiste.service.bundle import Bundle
from modiste.service.catalogue import Catalogue
from modiste.service.live_events import (
    LiveEvent,
    LiveEvents,
    LiveEventsUnavailableError,
    LivePurchase,
    NoLiveEvents,
    with_live_purchases,
)
from modiste.service.settings import LiveSettings

# Of the schema's channels: what a visitor of the service looks at is looked at online.
_ONLINE = 2

# Different rules that are kept worked out: a shop's pages ask with the same few.
_KEPT_RULES = 64


class NotKnownError(ModisteError):
    """Something that was asked about is not in the bundle."""


@dataclass(frozen=True)
class Visitor:
    """Somebody who is answered: a customer, or a visitor of whom a few articles are known.

    Attributes
    ----------
    batch
        This one alone, with all that counts as purchases, the live ones, too.
    purchases
        The same without what was only looked at.
    live_events
        Events after the bundle's date that were counted; None: they cannot be read now.
    """

    batch: CustomerBatch
    purchases: CustomerBatch
    live_events: int | None = 0

    @property
    def bought(self) -> pl.DataFrame:
        """``customer`` and ``article`` of what was really bought, a pair once."""
        return bought_pairs(self.purchases)

    @property
    def code(self) -> int:
        """The code that the batch has it under."""
        return int(self.batch.customers["customer"][0])


@dataclass(frozen=True)
class Recommended:
    """One recommended article.

    Attributes
    ----------
    article
        Its code.
    rank
        Its place, from 1 on.
    score
        By which the list is ordered; 0 for what filled it up.
    """

    article: int
    rank: int
    score: float


class Answering:
    """Answers about customers from one bundle and what happened since.

    Parameters
    ----------
    bundle
        Opened.
    live
        Where later events come from; None: there are none.
    settings
        Of these events.
    """

    def __init__(
        self,
        bundle: Bundle,
        live: LiveEvents | None = None,
        settings: LiveSettings | None = None,
    ) -> None:
        self.bundle = bundle
        self.catalogue = Catalogue(bundle)
        self.live = live or NoLiveEvents()
        self.settings = settings or LiveSettings()
        # Of this bundle alone: kept with the answers, and gone with them.
        self._article_rules = lru_cache(_KEPT_RULES)(self._work_out)

    @property
    def as_of(self) -> date:
        """The day that the bundle recommends for."""
        return self.bundle.manifest.as_of

    def warm_up(self) -> None:
        """Answer a visitor once, so that no request waits for what is made on first use."""
        first_article = 0
        found = self.recommend(self.visitor([(first_article, 0)]), 1)
        self.bundle.article_rows([each.article for each in found])
        # The model of texts takes seconds to open.
        self.catalogue.search("words", 1, on_sale=True)

    def article(self, article_id: str) -> int:
        """The code of an article.

        Raises
        ------
        NotKnownError
            When no article has the id.
        """
        code = self.bundle.code_of_article.get(article_id)
        if code is None:
            raise NotKnownError("no article has this id: leading zeros are part of it")
        return code

    def customer(self, customer_id: str) -> Visitor:
        """A customer with all that it bought, before the bundle's date and after.

        One who is not in the bundle and has events since is a new customer; what the bundle holds
        of one who was erased is not looked at. While events cannot be read, what is known from
        before the date is all.

        Raises
        ------
        NotKnownError
            When nobody has the id.
        LiveEventsUnavailableError
            When it may be a new customer's, and events cannot be read now.
        """
        bundle = self.bundle
        code = None
        if not self.live.is_erased(customer_id):
            code = bundle.customers.code(customer_id)
        events: Sequence[LiveEvent] = ()
        readable = True
        try:
            events = self.live.of_customer(customer_id, self.as_of)
        except LiveEventsUnavailableError:
            if code is None:
                raise
            readable = False
        if code is None and not events:
            # No near ids, and not this one: they are other people's.
            raise NotKnownError("nobody has this customer id: give the whole one")
        batch = self._newcomer(None) if code is None else bundle.customers.batch([code])
        purchases: list[LivePurchase] = []
        returned: list[int] = []
        counted = 0
        for event in events:
            article = bundle.code_of_article.get(event.article_id)
            if article is None or event.kind not in self.settings.counted:
                continue  # an article that is newer than the bundle
            counted += 1
            if event.kind == "return":
                # What was bought since is not bought any more; else the bundle's purchase is gone.
                own = [each for each in purchases if each.article == article and each.bought]
                if own:
                    purchases.remove(own[-1])
                else:
                    returned.append(article)
                continue
            purchases.append(
                LivePurchase(
                    article, event.time.date(), event.price, event.channel, event.kind == "purchase"
                )
            )
        horizon = self.settings.horizon_days
        counting = with_live_purchases(batch, purchases, returned, horizon)
        bought = [each for each in purchases if each.bought]
        return Visitor(
            counting,
            counting
            if len(bought) == len(purchases)
            else with_live_purchases(batch, bought, returned, horizon),
            counted if readable else None,
        )

    def similar_customers(self, customer_id: str, k: int) -> list[tuple[int, float]]:
        """The codes of the customers nearest to one, and their cosines; without those erased.

        Raises
        ------
        NotKnownError
            When nobody has the id in the bundle, or it has no vectors of customers.
        """
        bundle = self.bundle
        if bundle.similar_customers is None:
            raise NotKnownError(
                "this bundle has no vectors of customers: export a run with a network, and with "
                "privacy.similar_customers"
            )
        code = bundle.customers.code(customer_id)
        if code is None or self.live.is_erased(customer_id):
            raise NotKnownError("nobody has this customer id: give the whole one")
        near = bundle.similar_customers.nearest(code, k)
        return [
            (other, score)
            for other, score in near
            if not self.live.is_erased(bundle.customers.customer_id(other))
        ]

    def visitor(self, seen: Sequence[tuple[int, int]], age: int | None = None) -> Visitor:
        """An anonymous visitor, as of the bundle's date.

        Parameters
        ----------
        seen
            Codes of articles, and how many days ago each was looked at: 0 is the last day before
            the date.
        age
            In years; None: not known.
        """
        batch = self._newcomer(age)
        # By day, then by article.
        article, days_ago = (
            np.array(sorted(seen, key=lambda each: (-each[1], each[0])), dtype=np.int32)
            .reshape(-1, 2)
            .T
        )
        yesterday = day_number(self.as_of) - 1
        columns: dict[str, Any] = {
            "customer": np.zeros(len(seen), dtype=np.int32),
            "article": article,
            "t_dat": yesterday - days_ago,
            "price": self.bundle.articles["price"][article],
            "sales_channel_id": np.full(len(seen), _ONLINE, dtype=np.int8),
        }
        rows = pl.DataFrame(
            [
                pl.Series(name, values).cast(PREPARED_TRANSACTIONS[name])
                for name, values in columns.items()
            ]
        )
        return Visitor(CustomerBatch(self.as_of, batch.customers, rows), batch)

    def recommend(
        self,
        visitor: Visitor,
        k: int,
        rules: Rules | None = None,
        weights: Mapping[str, float] | None = None,
    ) -> list[Recommended]:
        """The first ``k`` articles of one visitor, under the shop's rules and further ones.

        Raises
        ------
        ConfigError
            When a rule names what the shop does not have, or a weight a scorer that is not there.
        """
        found = self.hybrid(weights).recommend(
            visitor.batch, k, self.article_rules(rules or Rules()), visitor.bought
        )
        return _in_order(found)

    def shown(self, explained: ExplainedCustomer) -> list[Recommended]:
        """What is shown of an explained customer: as :meth:`recommend` gives it."""
        return _in_order(explained.shown)

    def hybrid(self, weights: Mapping[str, float] | None) -> Hybrid:
        """The bundle's hybrid, or the same with other weights of the scorers.

        Raises
        ------
        ConfigError
            When there is no such scorer, or none has a weight.
        """
        hybrid = self.bundle.hybrid
        return hybrid if weights is None else hybrid.with_weights(weights)

    def explain(
        self,
        visitor: Visitor,
        k: int,
        rules: Rules | None = None,
        weights: Mapping[str, float] | None = None,
    ) -> ExplainedCustomer:
        """One visitor's candidates, to be explained, under the rules of :meth:`recommend`."""
        return ExplainedCustomer(
            self.hybrid(weights),
            visitor.batch,
            self.bundle.articles,
            k,
            self.article_rules(rules or Rules()),
            visitor.bought,
        )

    def article_rules(self, further: Rules) -> ArticleRules | None:
        """The shop's rules with further ones, worked out; None where none is in force.

        Raises
        ------
        ConfigError
            When a rule names what the shop does not have.
        """
        if not further.in_force:
            return self.bundle.hybrid.article_rules
        # As text: what its dictionaries hold cannot be hashed.
        return self._article_rules(further.model_dump_json())

    def _work_out(self, further: str) -> ArticleRules:
        bundle = self.bundle
        rules = bundle.hybrid.rules.beside(Rules.model_validate_json(further))
        # Its price is that of the latest sales, as where the shop's own rules are worked out.
        articles = bundle.articles.drop("price")
        return article_rules(rules, articles, bundle.latest_sales, self.as_of)

    def _newcomer(self, age: int | None) -> CustomerBatch:
        """Somebody without any purchase, of whom nothing but the age may be known."""
        return CustomerBatch(self.as_of, _unknown_customer(age), _NO_PURCHASES)


@lru_cache
def _unknown_customer(age: int | None) -> pl.DataFrame:
    unknown = dict.fromkeys(PREPARED_CUSTOMERS)
    # No model looks at a code.
    known = {**unknown, "customer": 0, "customer_id": "", "age": age}
    return pl.DataFrame([known], schema=PREPARED_CUSTOMERS)


_NO_PURCHASES = pl.DataFrame(schema=PREPARED_TRANSACTIONS)


def _in_order(found: pl.DataFrame) -> list[Recommended]:
    columns = (found[name].to_list() for name in ("article", "rank", "score"))
    return [Recommended(*row) for row in zip(*columns, strict=True)]
