"""The truth of the horizon: what is most likely to be bought, and the best score one can expect.

Given what happened before, the picks of a customer's week are independent draws from one
distribution over articles, and each pick may take a mate (another colour of its product) along.
With picks as a Poisson process of mean ``m`` (one of the appetites), the set ``R`` of bought
articles follows in closed form from two numbers an article: the rate ``e`` at which it is bought
and, for two colours of one product, the rate ``x`` at which both are bought together.

For a ranking ``a_1 … a_12`` and ``D = min(|R|, 12)``::

    E[AP@12] = sum_k 1/k * sum_{j <= k} W(a_k, a_j),   W(a, b) = E[1{a in R} 1{b in R} / D]

Where no two of the articles in question are colours of one product, the order of probability is
exactly optimal (exchange two neighbours: the likelier one earns more with every other article).
Colours of one product are bought together more often than by chance, so that one may pull the other
up; :func:`best_order` searches for the best order with all this in view.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from modiste.data.synthetic.arrays import Floats, Ints, sum_by
from modiste.data.synthetic.catalogue import Catalogue
from modiste.data.synthetic.customers import People
from modiste.data.synthetic.market import Market
from modiste.data.synthetic.purchases import History, recency_cdf, taste, wish_shares
from modiste.data.synthetic.settings import Model

PLACES = 12
_CONTENDERS = 16
# Beginnings of a ranking that are followed up side by side.
_BEAM = 4
_CHUNK = 4_096
# Tables of E[1 / min(m + Poisson(mu), 12)] over mu.
_MU_STEP, _MU_MOST = 0.01, 40.0


@dataclass(frozen=True)
class Truth:
    """The best rankings of some customers, given that they buy in the horizon.

    Attributes
    ----------
    article : int32, (n, 12)
        Best first; -1 where fewer articles are on sale.
    probability : float32, (n, 12)
        Probability that the article is bought in the horizon.
    expected_ap : float64, (n,)
        Expected AP@12 of this ranking.
    """

    article: Ints
    probability: Floats
    expected_ap: Floats


@dataclass(frozen=True)
class NicheTops:
    """What taste alone makes of the horizon's market, with mates.

    ``rate`` of an article is its share of purchases per pick within its niche (or in the whole
    shop): its own probability, and that of being taken along as a mate.

    Attributes
    ----------
    rate, shop_rate : float64, (m,)
        By place in the market.
    top : int32, (niches, 12)
        Places of the articles with the highest rate; -1 where there are fewer.
    shop_top : int32, (12,)
    theta : float64, (m,)
        Probability of the article among its product's colours on show.
    product_share, product_shop_share : float64, (m,)
        Sum of ``share`` (``shop_share``) over the article's product.
    mates : float64, (m,)
        Mean number of mates of a pick of this article.
    niche_mates : float64, (niches,)
        Mean number of mates of a pick in the niche; ``shop_mates`` in the whole shop.
    tail_squares : float64, (niches,)
        Sum of the squared rates of a niche's articles after the first twelve;
        ``shop_tail_squares`` of the whole shop's.
    """

    rate: Floats
    shop_rate: Floats
    top: Ints
    shop_top: Ints
    theta: Floats
    product_share: Floats
    product_shop_share: Floats
    mates: Floats
    niche_mates: Floats
    shop_mates: float
    tail_squares: Floats
    shop_tail_squares: float


def niche_tops(market: Market, catalogue: Catalogue, model: Model) -> NicheTops:
    """Prepare a market for :func:`best_rankings`."""
    product = catalogue.product[market.article]
    m, width = len(product), market.show.shape[1]
    theta = np.zeros(m)
    shown = market.show[product]
    for column in range(width):
        theta += np.where(shown[:, column] == market.article, market.show_share[product, column], 0)
    product_share = sum_by(product, market.share, catalogue.products)[product]
    product_shop_share = sum_by(product, market.shop_share, catalogue.products)[product]
    c = model.mate
    rate = market.share + c * theta * (product_share - market.share)
    shop_rate = market.shop_share + c * theta * (product_shop_share - market.shop_share)
    mates = c * (1.0 - theta)
    niches = len(market.demand)
    top = np.full((niches, PLACES), -1, dtype=np.int32)
    niche = np.repeat(np.arange(niches), np.diff(market.niche_first))
    order = np.lexsort((-rate, niche))
    rank = np.arange(m) - market.niche_first[niche]
    top[niche[rank < PLACES], rank[rank < PLACES]] = order[rank < PLACES]
    shop_top = np.argsort(-shop_rate, kind="stable")[:PLACES]
    return NicheTops(
        rate=rate,
        shop_rate=shop_rate,
        top=top,
        shop_top=shop_top,
        theta=theta,
        product_share=product_share,
        product_shop_share=product_shop_share,
        mates=mates,
        niche_mates=sum_by(niche, market.share * mates, niches),
        shop_mates=float(market.shop_share @ mates),
        tail_squares=sum_by(niche[rank >= PLACES], rate[order[rank >= PLACES]] ** 2, niches),
        shop_tail_squares=float(np.sort(shop_rate**2)[:-PLACES].sum()),
    )


@dataclass(frozen=True)
class Memory:
    """What a customer's remembered purchases lead to in the horizon; slots newest first.

    Attributes
    ----------
    bought : int32, (n, slots)
        Place of the purchase in the market; -1 when it is not on sale.
    again : float64, (n, slots)
        Probability that a pick is this purchase again; 0 when not on sale.
    product, partner : int32, (n, slots)
        Product of the purchase and the one that goes with it; -1 for none on sale.
    same, complete : float64, (n, slots)
        Probability that a pick chooses among the colours of that product.
    """

    bought: Ints
    again: Floats
    product: Ints
    partner: Ints
    same: Floats
    complete: Floats

    @property
    def total(self) -> Floats:
        """Probability that a pick goes back to memory at all, (n,)."""
        return np.asarray((self.again + self.same + self.complete).sum(1))


def _memory(
    market: Market,
    catalogue: Catalogue,
    people: People,
    history: History,
    customer: Ints,
    model: Model,
) -> Memory:
    article = History(history.article[customer], history.count[customer]).newest_first()
    slot = np.diff(recency_cdf(model), axis=1, prepend=0.0)
    slot = slot[np.minimum(history.count[customer], model.memory)] * (article >= 0)
    again, same, partner = (share[customer, None] for share in wish_shares(people, model))
    own = np.where(article >= 0, catalogue.product[article], -1)
    goes = np.where(own >= 0, catalogue.partner[own], -1)
    on_show = market.show[:, 0] >= 0
    own = np.where((own >= 0) & on_show[own], own, -1)
    goes = np.where((goes >= 0) & on_show[goes], goes, -1)
    bought = np.where(article >= 0, market.place[article], -1)
    return Memory(
        bought=bought,
        again=again * slot * (bought >= 0),
        product=own,
        partner=goes,
        same=same * slot * (own >= 0),
        complete=partner * slot * (goes >= 0),
    )


def best_rankings(
    market: Market,
    tops: NicheTops,
    catalogue: Catalogue,
    people: People,
    history: History,
    model: Model,
) -> Truth:
    """Best ranking of every customer of a block, in chunks of bounded memory."""
    n = len(people.age)
    parts = [
        _best_of(market, tops, catalogue, people, history, np.arange(i, min(i + _CHUNK, n)), model)
        for i in range(0, n, _CHUNK)
    ]
    return Truth(
        article=np.concatenate([p.article for p in parts]),
        probability=np.concatenate([p.probability for p in parts]),
        expected_ap=np.concatenate([p.expected_ap for p in parts]),
    )


def _best_of(
    market: Market,
    tops: NicheTops,
    catalogue: Catalogue,
    people: People,
    history: History,
    customer: Ints,
    model: Model,
) -> Truth:
    contenders = find_contenders(market, tops, catalogue, people, history, customer, model)
    earned = earnings(contenders, people.appetite[customer], model)
    chosen = best_order(earned)
    rows = np.arange(len(customer))[:, None]
    place = contenders.place[rows, chosen]
    return Truth(
        article=np.where(place >= 0, market.article[place], -1),
        probability=contenders.probability(people.appetite[customer], model)[rows, chosen].astype(
            np.float32
        ),
        expected_ap=expected_ap(earned, chosen),
    )


@dataclass(frozen=True)
class Contenders:
    """The articles that a customer is likeliest to buy, with all that their joint law needs.

    Attributes
    ----------
    place : int32, (n, 16)
        Places in the market, by falling rate; -1 where there are fewer.
    rate : float64, (n, 16)
        Mean number of purchases per pick.
    joint : float64, (n, 16, 16)
        Mean number per pick of purchases of both, as mates.
    with_mate : float64, (n, 16)
        Mean number per pick of purchases of the article together with any mate.
    total : float64, (n,)
        Mean number of articles per pick, mates included.
    collisions : float64, (n, appetites)
        How many fewer distinct articles than purchases are expected, by appetite.
    squares : float64, (n, appetites)
        Sum of the squared probabilities of all articles, by appetite.
    """

    place: Ints
    rate: Floats
    joint: Floats
    with_mate: Floats
    total: Floats
    collisions: Floats
    squares: Floats

    def probability(self, appetite: Floats, model: Model) -> Floats:
        """Probability of each article in the week, given a visit; (n, 16)."""
        result = np.zeros(self.rate.shape)
        for j, mean in enumerate(model.appetites):
            result += appetite[:, j, None] * np.expm1(-mean * self.rate) / np.expm1(-mean)
        return result


def find_contenders(
    market: Market,
    tops: NicheTops,
    catalogue: Catalogue,
    people: People,
    history: History,
    customer: Ints,
    model: Model,
    count: int = _CONTENDERS,
) -> Contenders:
    """Find each customer's articles of highest rate, exactly.

    An article's rate is the sum of what memory and taste contribute. What memory contributes to is
    listed in full; of what only taste contributes to, the first twelve of each niche suffice.
    """
    memory = _memory(market, catalogue, people, history, customer, model)
    niche, weight = taste(market, catalogue, people, history, customer, model)
    weight *= (1.0 - memory.total)[:, None]
    # A niche may stand in several columns; its weights add up in the map, doubles go further down.
    niche_weight, shop_weight = weight[:, :-1], weight[:, -1]
    niche_map = _niche_map(niche, niche_weight, len(market.demand))

    special, special_rate = _from_memory(market, tops, memory, model)
    n, width = len(customer), niche.shape[1]
    usual = tops.top[niche].reshape(n, width * PLACES)
    place = np.concatenate(
        [special, np.broadcast_to(tops.shop_top, (n, len(tops.shop_top))), usual], axis=1
    )
    rate: Floats = np.zeros(place.shape)
    rate[:, : special.shape[1]] = special_rate
    place, rate = _sum_doubles(place, rate)
    rate += _taste_rate(market, tops, catalogue, place, niche_map, shop_weight)

    # Several copies of one article would collide with themselves; doubles are -1 by now.
    tail = np.asarray((niche_weight**2 * tops.tail_squares[niche]).sum(1))
    tail += shop_weight**2 * tops.shop_tail_squares
    collisions = np.empty((n, len(model.appetites)))
    squares = np.empty_like(collisions)
    for j, mean in enumerate(model.appetites):
        bought = -np.expm1(-mean * rate)
        # Articles further down in the niches: so unlikely that their squares suffice.
        collisions[:, j] = (mean * rate - bought).sum(1) + 0.5 * mean**2 * tail
        squares[:, j] = (bought**2).sum(1) + mean**2 * tail
    best = np.argpartition(-rate, min(count, rate.shape[1]) - 1, axis=1)[:, :count]
    best = np.take_along_axis(
        best, np.argsort(-np.take_along_axis(rate, best, 1), axis=1, kind="stable"), 1
    )
    place, rate = np.take_along_axis(place, best, 1), np.take_along_axis(rate, best, 1)
    place = np.where(rate > 0, place, -1)
    mates = (
        (memory.again * tops.mates[memory.bought]).sum(1)
        + (memory.same * _product_mates(market, memory.product, model)).sum(1)
        + (memory.complete * _product_mates(market, memory.partner, model)).sum(1)
        + (niche_weight * tops.niche_mates[niche]).sum(1)
        + shop_weight * tops.shop_mates
    )
    joint, with_mate = _pairs(
        market, tops, catalogue, memory, niche_map, shop_weight, place, rate, model
    )
    return Contenders(place, rate, joint, with_mate, 1.0 + mates, collisions, squares)


def _from_memory(
    market: Market, tops: NicheTops, memory: Memory, model: Model
) -> tuple[Ints, Floats]:
    """Places that memory contributes to, and its contributions to their rates."""
    c = model.mate
    n = len(memory.bought)
    theta_bought = np.where(memory.bought >= 0, tops.theta[memory.bought], 0.0)
    # The same article again; it is no mate of itself, which the colours below count.
    places = [memory.bought]
    rates = [memory.again * (1.0 - c * theta_bought)]
    for product, share, again in (
        (memory.product, memory.same, memory.again),
        (memory.partner, memory.complete, None),
    ):
        theta = market.show_share[product].astype(np.float64) * (product >= 0)[:, :, None]
        colours = np.where(theta > 0, market.place[market.show[product]], -1)
        rate = share[:, :, None] * theta * (1.0 + c * (1.0 - theta))
        if again is not None:
            rate += again[:, :, None] * c * theta
        places.append(colours.reshape(n, -1))
        rates.append(rate.reshape(n, -1))
    return np.concatenate(places, axis=1), np.concatenate(rates, axis=1)


def _sum_doubles(place: Ints, rate: Floats) -> tuple[Ints, Floats]:
    """Keep one copy of each place, with the sum of the rates; the other copies become -1, 0."""
    order = np.argsort(place, axis=1, kind="stable")
    place, rate = np.take_along_axis(place, order, 1), np.take_along_axis(rate, order, 1)
    last = np.concatenate([place[:, 1:] != place[:, :-1], np.ones((len(place), 1), bool)], axis=1)
    running = np.cumsum(rate, axis=1)
    # At the last copy: what has been summed since the last copy of the place before.
    upto = np.where(last, running, 0.0)
    before = np.maximum.accumulate(np.concatenate([np.zeros((len(place), 1)), upto], 1), axis=1)
    summed = np.where(last & (place >= 0), running - before[:, :-1], 0.0)
    return np.where(last, place, -1), np.maximum(summed, 0.0)


def _niche_map(niche: Ints, weight: Floats, niches: int) -> Floats:
    """Weight of every niche for every customer, (n, niches)."""
    dense = np.zeros((len(niche), niches), dtype=np.float32)
    rows = np.arange(len(niche))
    for column in range(niche.shape[1]):
        dense[rows, niche[:, column]] += weight[:, column].astype(np.float32)
    return dense


def _taste_rate(
    market: Market,
    tops: NicheTops,
    catalogue: Catalogue,
    place: Ints,
    niche_map: Floats,
    shop_weight: Floats,
) -> Floats:
    weight = np.take_along_axis(niche_map, catalogue.niche[market.article[place]], axis=1)
    rate = weight * tops.rate[place] + shop_weight[:, None] * tops.shop_rate[place]
    return np.where(place >= 0, rate, 0.0)


def _product_mates(market: Market, product: Ints, model: Model) -> Floats:
    """Mean number of mates of a pick among a product's colours."""
    theta = market.show_share[product].astype(np.float64)
    return np.asarray(model.mate * (1.0 - (theta**2).sum(-1)))


def _pairs(
    market: Market,
    tops: NicheTops,
    catalogue: Catalogue,
    memory: Memory,
    niche_map: Floats,
    shop_weight: Floats,
    place: Ints,
    rate: Floats,
    model: Model,
) -> tuple[Floats, Floats]:
    """Rates at which contenders are bought with one another, and with any mate."""
    c = model.mate
    product = np.where(place >= 0, catalogue.product[market.article[place]], -1)
    niche_at = catalogue.niche[market.article[place]]
    theta = np.where(place >= 0, tops.theta[place], 0.0)
    # Probability that a pick is of the contender's product, in any colour.
    whole = np.take_along_axis(niche_map, niche_at, axis=1) * tops.product_share[place]
    whole += shop_weight[:, None] * tops.product_shop_share[place]
    bought_product = np.where(
        memory.bought >= 0, catalogue.product[market.article[memory.bought]], -2
    )
    for slot in range(memory.bought.shape[1]):
        for there, share in (
            (bought_product, memory.again),
            (memory.product, memory.same),
            (memory.partner, memory.complete),
        ):
            whole += np.where(product == there[:, slot, None], share[:, slot, None], 0.0)
    # rate = first + c * theta * (whole - first): how often it is the pick itself.
    first = np.maximum((rate - c * theta * whole) / (1.0 - c * theta), 0.0)
    joint = c * (first[:, :, None] * theta[:, None, :] + theta[:, :, None] * first[:, None, :])
    same = (product[:, :, None] == product[:, None, :]) & (product >= 0)[:, :, None]
    same &= ~np.eye(place.shape[1], dtype=bool)
    with_mate = c * theta * np.maximum(whole - first, 0.0) + first * c * (1.0 - theta)
    # Articles that are not among the colours on show may take a mate, but are none.
    return np.where(same, joint, 0.0), np.where(place >= 0, with_mate, 0.0)


def _shared_credit(first: int) -> Floats:
    """E[1 / min(first + Poisson(mu), 12)] over ``mu``, and its second derivative in ``mu``.

    The derivative of an expectation under the Poisson law is the expectation of the difference.
    """
    mu = np.arange(0.0, _MU_MOST + 2 * _MU_STEP, _MU_STEP)
    extra = np.arange(200)
    credit = 1.0 / np.minimum(first + extra, PLACES)
    second = (
        credit
        - 2.0 / np.minimum(first + extra + 1, PLACES)
        + 1.0 / np.minimum(first + extra + 2, PLACES)
    )
    table = np.zeros((2, len(mu)))
    probability = np.exp(-mu)
    for k in extra:
        table += np.array([[credit[k]], [second[k]]]) * probability
        probability = probability * mu / (k + 1)
    return table


_CREDIT = {1: _shared_credit(1), 2: _shared_credit(2)}


def _credit(first: int, mu: Floats, excess: Floats) -> Floats:
    """E[1 / min(first + X, 12)] for a count X of mean ``mu`` and variance ``mu + 2 excess``."""
    index = (np.clip(mu, 0.0, _MU_MOST) * (1.0 / _MU_STEP) + 0.5).astype(np.int32)
    table = _CREDIT[first]
    return np.asarray(table[0][index] + excess * table[1][index])


def earnings(contenders: Contenders, appetite: Floats, model: Model) -> Floats:
    """``W(a, b)``: expected value of ``1{a in R} 1{b in R} / min(|R|, 12)``, given a visit.

    Probabilities are exact. The number of further distinct articles, given that ``a`` and ``b``
    are bought, is taken with its mean and variance as a corrected Poisson law
    (docs/synthetic-shop.md gives the error).

    Returns
    -------
    float64, (n, 16, 16)
    """
    n, count = contenders.rate.shape
    diagonal = np.arange(count)
    result = np.zeros((n, count, count))
    for j, mean in enumerate(model.appetites):
        e = mean * contenders.rate
        x = mean * contenders.joint
        p = -np.expm1(-e)
        # Purchases together with mates, and how many more come with a when a is bought.
        mates = mean * contenders.with_mate
        odds = np.where(p > 0, 1.0 / np.maximum(p, 1e-300) - 1.0, 0.0)
        brought = mates * odds
        distinct = mean * contenders.total - contenders.collisions[:, j]
        alone = distinct[:, None] - p + brought
        # Articles bought or not narrow the count's spread, mates that come in pairs widen it.
        spread = mean * (contenders.total - 1.0) - 0.5 * contenders.squares[:, j]
        own_spread = 0.5 * p**2 - mates

        both = p[:, :, None] * p[:, None, :]
        if x.any():
            sure = np.exp(-(e[:, :, None] + e[:, None, :]))
            both += sure * np.expm1(x)
        mu = alone[:, :, None] + (brought - p)[:, None, :]
        # The mate that one of them brings may be the other itself.
        mu -= x * (odds[:, :, None] + odds[:, None, :])
        excess = spread[:, None, None] + own_spread[:, :, None] + own_spread[:, None, :]
        w = both * _credit(2, mu, excess)
        w[:, diagonal, diagonal] = p * _credit(1, alone, spread[:, None] + own_spread)
        result += (appetite[:, j] / -np.expm1(-mean))[:, None, None] * w
    return result


def best_order(earned: Floats) -> Ints:
    """Order of contenders with the highest expected AP@12, by beam search.

    A place adds what its article earns with those before it. Taking the article that earns most,
    place by place, can be a little wrong where one colour would pull another up; keeping the best
    few beginnings in view finds the optimum (the tests compare it with dynamic programming).

    Parameters
    ----------
    earned : float64, (n, count, count)
        From :func:`earnings`; ``count`` is at least 12.

    Returns
    -------
    int64, (n, 12)
        Columns of ``earned``, best first.
    """
    n, count = earned.shape[:2]
    rows = np.arange(n)[:, None]
    value: Floats = np.zeros((n, 1))
    gain = np.einsum("nkk->nk", earned)[:, None, :].copy()
    chosen: Ints = np.zeros((n, 1, 0), dtype=np.int64)
    for k in range(PLACES):
        reached = (value[:, :, None] + gain / (k + 1)).reshape(n, -1)
        best = np.argsort(-reached, axis=1, kind="stable")[:, :_BEAM]
        beginning, item = best // count, best % count
        value = np.take_along_axis(reached, best, axis=1)
        chosen = np.concatenate([chosen[rows, beginning], item[:, :, None]], axis=2)
        gain = gain[rows, beginning] + earned[rows, item]
        # Each article once.
        gain[rows, np.arange(best.shape[1]), item] = -np.inf
    return np.asarray(chosen[:, 0])


def expected_ap(earned: Floats, ranking: Ints) -> Floats:
    """Expected AP@12 of rankings of contenders.

    Parameters
    ----------
    earned : float64, (n, count, count)
        From :func:`earnings`.
    ranking : int64, (n, places)
        Columns of ``earned``, best first, each at most once.
    """
    rows = np.arange(len(ranking))[:, None, None]
    w = earned[rows, ranking[:, :, None], ranking[:, None, :]]
    lower = np.tril(np.ones(w.shape[1:]))
    return np.asarray((w * lower).sum(2) @ (1.0 / np.arange(1, ranking.shape[1] + 1)))


def average_precision(ranking: Ints, customer: Ints, article: Ints) -> Floats:
    """AP@12 of rankings against purchases.

    Parameters
    ----------
    ranking : int32, (customers, 12)
        Articles, best first; -1 for none.
    customer, article : int32, (rows,)
        Purchases, ``customer`` being a row of ``ranking``; an article bought several times
        counts once.

    Returns
    -------
    float64, (customers,)
        0 for those without a purchase.
    """
    key = np.unique(customer.astype(np.int64) << 32 | article)
    customer, article = key >> 32, (key & 0xFFFFFFFF).astype(np.int32)
    relevant = np.bincount(customer, minlength=len(ranking))
    row, place = np.nonzero(ranking[customer] == article[:, None])
    hits = np.zeros(ranking.shape)
    hits[customer[row], place] = 1.0
    precision = np.cumsum(hits, axis=1) / np.arange(1, ranking.shape[1] + 1)
    return np.asarray((hits * precision).sum(1) / np.clip(relevant, 1, ranking.shape[1]))
