"""What customers did after a bundle was made, and how it becomes purchases that features see.

Where events come from is a :class:`LiveEvents`. An answer counts them as the next night's run will:
each is a row of the customer's purchases on its day, and the customer is seen as of the day after
the last one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal, Protocol, get_args

import polars as pl

from modiste.data.dataset import CustomerBatch
from modiste.data.schema import PREPARED_TRANSACTIONS
from modiste.errors import ModisteError

EventKind = Literal["view", "cart", "purchase", "return"]
KINDS: tuple[EventKind, ...] = get_args(EventKind)


@dataclass(frozen=True)
class LiveEvent:
    """What a customer did with an article.

    Attributes
    ----------
    article_id
        The article's.
    kind
        What was done.
    time
        When, in UTC.
    price
        Paid for one piece, in the shop's unit; None: not told.
    channel
        1: shop, 2: online; None: not told.
    """

    article_id: str
    kind: EventKind
    time: datetime
    price: float | None = None
    channel: int | None = None


class LiveEventsUnavailableError(ModisteError):
    """The events cannot be read now."""


class LiveEvents(Protocol):
    """Where the events since a bundle come from."""

    def of_customer(self, customer_id: str, since: date) -> Sequence[LiveEvent]:
        """A customer's events from a day (UTC) on, the earliest first; none of who is not known.

        Raises
        ------
        LiveEventsUnavailableError
            When they cannot be read now.
        """

    def is_erased(self, customer_id: str) -> bool:
        """Whether all that a bundle holds of a customer is to be taken for unknown."""


class NoLiveEvents:
    """No events, and nobody erased: the bundle alone."""

    def of_customer(self, customer_id: str, since: date) -> Sequence[LiveEvent]:
        """None."""
        del customer_id, since
        return ()

    def is_erased(self, customer_id: str) -> bool:
        """No."""
        del customer_id
        return False


@dataclass(frozen=True)
class LivePurchase:
    """A row of purchases after a bundle's date.

    Attributes
    ----------
    article
        Its code.
    day
        Of the event, in UTC.
    price, channel
        As in the shop's transactions; None: not known.
    bought
        Whether it was bought, and not looked at alone.
    """

    article: int
    day: date
    price: float | None
    channel: int | None
    bought: bool


def with_live_purchases(
    batch: CustomerBatch,
    purchases: Sequence[LivePurchase],
    returned: Collection[int],
    horizon: int,
) -> CustomerBatch:
    """One customer with what it did after the batch's date.

    Parameters
    ----------
    batch
        One customer, as of the bundle's date.
    purchases
        Since that date, the earliest first.
    returned
        Codes of the articles that were given back: of each the latest row of the batch is gone,
        once for each time that it is named.
    horizon
        Days after the bundle's date that are told apart: what is later counts as of the last of
        them.

    Returns
    -------
    The customer as of the day after the last purchase; the batch itself where there is none.
    """
    rows = batch.transactions
    for article in returned:
        place = (rows["article"] == article).arg_true()
        if len(place):
            last = int(place[-1])
            rows = pl.concat([rows[:last], rows[last + 1 :]])
    if not purchases:
        return CustomerBatch(batch.as_of, batch.customers, rows) if returned else batch
    latest = batch.as_of + timedelta(days=horizon - 1)
    days = [min(each.day, latest) for each in purchases]
    added = pl.DataFrame(
        {
            "customer": [batch.customers["customer"][0]] * len(purchases),
            "article": [each.article for each in purchases],
            "t_dat": days,
            "price": [each.price for each in purchases],
            "sales_channel_id": [each.channel for each in purchases],
        },
        schema=PREPARED_TRANSACTIONS,
    ).sort("t_dat", maintain_order=True)
    return CustomerBatch(
        max(batch.as_of, max(days) + timedelta(days=1)),
        batch.customers,
        pl.concat([rows, added]),
    )
