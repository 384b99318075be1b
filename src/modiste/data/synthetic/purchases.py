"""Visits and purchases: the week-by-week walk of one block of customers through the shop.

Within a week a customer's picks are independent draws from one distribution that depends only on
what happened before the week. That is what lets :mod:`truth` compute it exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np

from modiste.data.synthetic.arrays import Bools, Floats, Ints, draw_from, stacked_cdf
from modiste.data.synthetic.calendar import Calendar
from modiste.data.synthetic.catalogue import Catalogue
from modiste.data.synthetic.customers import People
from modiste.data.synthetic.market import Market
from modiste.data.synthetic.settings import Model

_LARGEST_WEEK = 60  # picks; the mixture's largest mean is 13


class Attendance:
    """Who comes in which week: visits excite further visits, seasons and memberships bound them."""

    def __init__(self, people: People, calendar: Calendar, factor: float, model: Model) -> None:
        self._people, self._calendar = people, calendar
        self._factor, self._model = factor, model
        self._excitement = np.zeros(len(people.age), dtype=np.float32)

    def probability(self, week: int) -> Floats:
        """Probability of a visit in the week, given all weeks before; float32, (n,)."""
        people, model = self._people, self._model
        expected = np.float32(self._factor) * people.rate + np.float32(model.burst) * (
            self._excitement
        )
        expected *= np.float32(self._calendar.demand[week])
        probability = -np.expm1(-expected)
        probability[(week < people.join) | (week >= people.leave)] = 0.0
        first = week == people.join
        probability[first] = people.arrival[first]
        return probability

    def happened(self, visits: Bools) -> None:
        """Take note of who came."""
        self._excitement += visits
        self._excitement *= np.float32(0.5)

    def next_visitors(self, week: int, rng: np.random.Generator) -> Bools:
        """Draw who comes in the week, and take note of it."""
        visits = rng.random(len(self._excitement), dtype=np.float32) < self.probability(week)
        self.happened(visits)
        return visits


@dataclass(frozen=True)
class History:
    """The last purchases of each customer.

    Attributes
    ----------
    article : int32, (n, memory)
        A ring: purchase number ``k`` lies in column ``k % memory``.
    count : int32, (n,)
        Purchases so far.
    """

    article: Ints
    count: Ints

    @staticmethod
    def empty(n: int, memory: int) -> History:
        """Nobody has bought anything."""
        return History(np.full((n, memory), -1, np.int32), np.zeros(n, np.int32))

    def recent(self, customer: Ints, back: Ints) -> Ints:
        """Article bought ``back`` purchases before the last one."""
        column = (self.count[customer] - 1 - back) % self.article.shape[1]
        return np.asarray(self.article[customer, column])

    def newest_first(self) -> Ints:
        """All remembered purchases, (n, memory), newest first; -1 where there are fewer."""
        memory = self.article.shape[1]
        back = np.arange(memory)
        column = (self.count[:, None] - 1 - back) % memory
        newest = np.take_along_axis(self.article, column, axis=1)
        return np.where(back < self.count[:, None], newest, -1)

    def add(self, customer: Ints, article: Ints) -> None:
        """Append purchases; rows of one customer stand together, oldest first."""
        if not len(customer):
            return
        memory = self.article.shape[1]
        start = np.flatnonzero(np.r_[True, customer[1:] != customer[:-1]])
        length = np.diff(np.r_[start, len(customer)])
        turn = np.arange(len(customer)) - np.repeat(start, length)
        # Only the last ones stay, so that no cell is written twice.
        stays = turn >= np.repeat(length, length) - memory
        cell = (self.count[customer] + turn) % memory
        self.article[customer[stays], cell[stays]] = article[stays]
        self.count[customer[start]] += length.astype(np.int32)


def recency_cdf(model: Model) -> Floats:
    """How likely each remembered purchase is to come to mind.

    Returns
    -------
    float64, (memory + 1, memory)
        Row ``c``: cumulative probabilities when ``c`` purchases are remembered (row 0 unused).
    """
    weight = model.recency ** np.arange(model.memory)
    allowed = np.arange(model.memory) < np.maximum(np.arange(model.memory + 1), 1)[:, None]
    cdf = np.cumsum(weight * allowed, axis=1)
    return np.asarray(cdf / cdf[:, -1:])


def wish_shares(people: People, model: Model) -> tuple[Floats, Floats, Floats]:
    """Personal shares of picks: the article again, its product, its partner; (n,) each."""
    again = np.minimum(model.repurchase * people.loyalty, 0.30)
    product = np.minimum(model.same_product * people.loyalty, 0.20)
    partner = np.minimum(model.partner * people.partner_taste, 0.40)
    return again, product, partner


def taste(
    market: Market,
    catalogue: Catalogue,
    people: People,
    history: History,
    customer: Ints,
    model: Model,
) -> tuple[Ints, Floats]:
    """Niches that draw each customer this week, and how strongly.

    Returns
    -------
    niche : int16, (len(customer), interests + 2)
        The interests, then the niche of the last purchase and the one after it.
    weight : float64, (len(customer), interests + 3)
        Probabilities; the last column is the best sellers of the whole shop.
    """
    interest = people.interest[customer]
    last = np.where(
        history.count[customer] > 0, history.recent(customer, np.zeros_like(customer)), -1
    )
    here = np.where(last >= 0, catalogue.niche[last], 0).astype(np.int16)
    there = catalogue.niches.next_niche[here]
    niche = np.concatenate([interest, here[:, None], there[:, None]], axis=1)
    weight = np.empty((len(customer), model.interests + 3))
    own = people.liking[customer] * market.demand[interest]
    total = own.sum(1, keepdims=True)
    own /= np.where(total > 0, total, 1)
    weight[:, : model.interests] = own * (1 - model.drift - model.best_sellers)
    known = (last >= 0)[:, None]
    drift = 0.5 * model.drift * known * (market.demand[niche[:, -2:]] > 0)
    weight[:, -3:-1] = drift
    weight[:, -1] = model.best_sellers
    weight /= weight.sum(1, keepdims=True)
    return niche, weight


@dataclass(frozen=True)
class Purchases:
    """Rows bought in one week, ordered by customer, then day.

    Attributes
    ----------
    customer : int32, (rows,)
        Row of the block's people (or of the visitors' array that was passed).
    article, cents : int32, (rows,)
        Price in cents after all reductions.
    day, channel : uint8, (rows,)
        Day of the week (0 = the week's first day) and sales channel (1 store, 2 online).
    """

    customer: Ints
    article: Ints
    cents: Ints
    day: Ints
    channel: Ints


@dataclass(frozen=True)
class Shopper:
    """Draws what people buy; holds what is the same in every week.

    Attributes
    ----------
    recency : float64, (memory + 1, memory)
    sizes : float64, (appetites * 60,)
        Stacked cdfs of the number of picks in a week with a visit, by appetite.
    """

    catalogue: Catalogue
    people: People
    model: Model
    recency: Floats
    sizes: Floats

    @staticmethod
    def make(catalogue: Catalogue, people: People, model: Model) -> Shopper:
        """Prepare to draw purchases for these people."""
        mean = np.asarray(model.appetites)[:, None]
        number = np.arange(1, _LARGEST_WEEK + 1)
        # Poisson laws, each given that there is at least one pick.
        law = np.exp(number * np.log(mean) - np.cumsum(np.log(number)))
        return Shopper(catalogue, people, model, recency_cdf(model), stacked_cdf(law))

    def buy(
        self,
        market: Market,
        history: History,
        visitors: Ints,
        day_share: Floats,
        debuts: Ints,
        rng: np.random.Generator,
    ) -> Purchases:
        """Draw what the visitors of a week buy.

        Parameters
        ----------
        visitors : int64, (v,)
            Rows of the people; one may come several times (independent copies of the week).
        day_share : float64, (7,)
        debuts : int32, (d,)
            Articles that must sell: each replaces a random pick. At most ``v`` of them.
        """
        appetite = self._appetite(visitors, rng)
        picks = draw_from(self.sizes, appetite, rng.random(len(visitors)))
        picks += 1 - appetite * _LARGEST_WEEK
        owner = np.repeat(np.arange(len(visitors)), picks)
        article = self._wishes(market, history, visitors, owner, rng)
        article[rng.choice(len(article), len(debuts), replace=False)] = debuts
        mate = self._mates(market, article, rng)
        trips = 1 + rng.poisson(np.asarray(self.model.extra_trips)[appetite])
        trip, day, channel, discount = self._trips(visitors, trips, owner, day_share, rng)

        taken = np.flatnonzero(mate >= 0)
        pick = np.concatenate([np.arange(len(owner)), taken])
        bought = np.concatenate([article, mate[taken]])
        # By customer, day and pick: the order in which memory takes purchases up.
        order = np.lexsort((pick, day[trip[pick]], owner[pick]))
        pick, bought = pick[order], bought[order]
        cents = self._price(market, bought) * discount[trip[pick]]
        return Purchases(
            customer=owner[pick].astype(np.int32),
            article=bought.astype(np.int32),
            cents=np.maximum(np.round(cents), 1).astype(np.int32),
            day=day[trip[pick]].astype(np.uint8),
            channel=channel[trip[pick]].astype(np.uint8),
        )

    def _appetite(self, visitors: Ints, rng: np.random.Generator) -> Ints:
        cdf = np.cumsum(self.people.appetite[visitors], axis=1)[:, :-1]
        return np.asarray((rng.random((len(visitors), 1)) > cdf).sum(1))

    def _wishes(
        self,
        market: Market,
        history: History,
        visitors: Ints,
        owner: Ints,
        rng: np.random.Generator,
    ) -> Ints:
        """Article of each pick: a wish that goes back to bought products, or else taste."""
        article = self._by_taste(market, history, visitors, owner, rng)
        customer = visitors[owner]
        again, same, partner = wish_shares(self.people, self.model)
        which = rng.random(len(owner))
        bound = np.stack([again, again + same, again + same + partner])[:, customer]
        wish = (which >= bound).sum(0)
        wishing = np.flatnonzero((wish < 3) & (history.count[customer] > 0))
        customer, wish = customer[wishing], wish[wishing]

        remembered = np.minimum(history.count[customer], self.model.memory)
        back = (rng.random((len(wishing), 1)) > self.recency[remembered]).sum(1)
        bought = history.recent(customer, np.minimum(back, remembered - 1))
        own_product = self.catalogue.product[bought]
        product = np.where(wish == 2, self.catalogue.partner[own_product], own_product)
        found = draw_colour(market, product, rng)
        found = np.where(wish == 0, np.where(market.place[bought] >= 0, bought, -1), found)
        # A wish for what is not on sale is forgotten, and the pick follows taste.
        article[wishing] = np.where(found >= 0, found, article[wishing])
        return article

    def _by_taste(
        self,
        market: Market,
        history: History,
        visitors: Ints,
        owner: Ints,
        rng: np.random.Generator,
    ) -> Ints:
        niche, weight = taste(market, self.catalogue, self.people, history, visitors, self.model)
        row = draw_from(stacked_cdf(weight), owner, rng.random(len(owner)))
        column = row - owner * weight.shape[1]
        whole_shop = column == niche.shape[1]
        chosen = niche[owner, np.where(whole_shop, 0, column)].astype(np.int64)
        uniform = rng.random(len(owner))
        # A niche with nothing on sale has weight 0; row 0 stands in where the shop is meant.
        chosen = np.where(whole_shop, _any_niche(market), chosen)
        by_niche = draw_from(market.niche_cdf, chosen, uniform)
        by_shop = draw_from(market.shop_cdf, np.zeros(1, dtype=np.int64), uniform)
        return market.article[np.where(whole_shop, by_shop, by_niche)]

    def _mates(self, market: Market, article: Ints, rng: np.random.Generator) -> Ints:
        """Another colour of the product that a pick takes along; -1 for none."""
        takes = np.flatnonzero(rng.random(len(article)) < self.model.mate)
        mate = np.full(len(article), -1, dtype=np.int32)
        colour = draw_colour(market, self.catalogue.product[article[takes]], rng)
        mate[takes] = np.where(colour == article[takes], -1, colour)
        return mate

    def _trips(
        self,
        visitors: Ints,
        trips: Ints,
        owner: Ints,
        day_share: Floats,
        rng: np.random.Generator,
    ) -> tuple[Ints, Ints, Ints, Floats]:
        """Shopping days of the week: trip of each pick; day, channel and discount of each trip."""
        start = np.cumsum(trips) - trips
        trip = start[owner] + np.floor(rng.random(len(owner)) * trips[owner]).astype(np.int64)
        traveller = np.repeat(visitors, trips)
        total = len(traveller)
        day = draw_from(stacked_cdf(day_share[None]), np.zeros(1, np.int64), rng.random(total))
        channel = 1 + (rng.random(total) < self.people.online[traveller])
        # Members' offers.
        discount = np.array([1.0, 0.9, 0.8])[np.searchsorted([0.86, 0.95], rng.random(total))]
        return trip, day, channel, discount

    def _price(self, market: Market, article: Ints) -> Ints:
        place = market.place[article]
        # A debut that found no buyer in time is sold at full price.
        return np.where(place >= 0, market.cents[place], self.catalogue.cents[article])


def draw_colour(market: Market, product: Ints, rng: np.random.Generator) -> Ints:
    """One of the colours on show of each product; -1 where the product is -1 or not on sale."""
    cdf = np.cumsum(market.show_share[product], axis=1)
    column = (rng.random((len(product), 1)) >= cdf[:, :-1]).sum(1)
    # Rounding of float32 shares: never beyond the last colour on show.
    column = np.minimum(column, np.maximum((market.show[product] >= 0).sum(1) - 1, 0))
    return np.where(product >= 0, market.show[product, column], -1)


def _any_niche(market: Market) -> int:
    """A niche with something on sale."""
    return int(np.argmax(np.diff(market.niche_first) > 0))


@dataclass(frozen=True)
class BlockResult:
    """What a block has bought over all weeks, and where it stands at the end.

    Attributes
    ----------
    purchases : Purchases
        All rows, week by week; ``customer`` is the row within the block.
    week_first : int64, (weeks + 1,)
        First row of each week.
    history : History
    visit_probability : float32, (n,)
        Probability of a visit in the horizon.
    """

    purchases: Purchases
    week_first: Ints
    history: History
    visit_probability: Floats


def walk_through(
    markets: Callable[[int], Market],
    catalogue: Catalogue,
    people: People,
    calendar: Calendar,
    factor: float,
    debut_articles: Ints,
    visit_rng: np.random.Generator,
    pick_rng: np.random.Generator,
    model: Model,
) -> BlockResult:
    """Simulate a block of customers over all weeks of the data.

    Parameters
    ----------
    markets
        Gives the market of a week.
    factor
        Visits a week of a customer of rate 1.
    debut_articles : int32
        Articles whose sure sale this block has to make, in their ``debut`` weeks.
    """
    shopper = Shopper.make(catalogue, people, model)
    attendance = Attendance(people, calendar, factor, model)
    history = History.empty(len(people.age), model.memory)
    debut_articles = debut_articles[np.argsort(catalogue.debut[debut_articles], kind="stable")]
    due = np.searchsorted(catalogue.debut[debut_articles], np.arange(calendar.weeks), side="right")
    weeks: list[Purchases] = []
    made = 0
    for week in range(calendar.weeks):
        visitors = np.flatnonzero(attendance.next_visitors(week, visit_rng))
        # More debuts than visitors: the rest waits for the next week.
        now = min(int(due[week]) - made, len(visitors))
        bought = shopper.buy(
            markets(week),
            history,
            visitors,
            calendar.day_share[week],
            debut_articles[made : made + now],
            pick_rng,
        )
        made += now
        bought = replace(bought, customer=visitors[bought.customer].astype(np.int32))
        history.add(bought.customer, bought.article)
        weeks.append(bought)
    if made < len(debut_articles):
        raise ValueError(
            f"{len(debut_articles) - made} articles found no buyer: too few rows for the articles"
        )
    return BlockResult(
        purchases=_concatenate(weeks),
        week_first=np.cumsum([0] + [len(w.customer) for w in weeks]),
        history=history,
        visit_probability=attendance.probability(calendar.weeks),
    )


def _concatenate(parts: list[Purchases]) -> Purchases:
    columns = {
        f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Purchases)
    }
    return Purchases(**columns)


def expected_picks(
    people: People,
    calendar: Calendar,
    factor: float,
    visit_rng: np.random.Generator,
    model: Model,
) -> float:
    """Picks that a block is expected to make, given its visits at this factor.

    The visits are those of :func:`walk_through` at the same factor and random stream.
    """
    attendance = Attendance(people, calendar, factor, model)
    mean = np.asarray(model.appetites)
    picks = people.appetite @ (mean / -np.expm1(-mean))
    return float(
        sum(
            picks[attendance.next_visitors(week, visit_rng)].sum(dtype=np.float64)
            for week in range(calendar.weeks)
        )
    )
