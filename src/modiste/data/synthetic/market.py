"""What is on sale in each week, at what price and how attractive: life curves, waves, seasons.

Weeks are written one file each, so that any block can read them and none is held in memory.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from modiste.data.synthetic.arrays import Floats, Ints, stream
from modiste.data.synthetic.calendar import Calendar
from modiste.data.synthetic.catalogue import Catalogue
from modiste.data.synthetic.settings import Model


@dataclass(frozen=True)
class Market:
    """The shop in one week. ``m`` articles are on sale, ordered by niche.

    Attributes
    ----------
    article : int32, (m,)
        Within a niche the most attractive first.
    place : int32, (articles,)
        Where an article stands in ``article``; -1 when it is not on sale.
    niche_first : int32, (niches + 1,)
        A niche's articles are ``niche_first[g]`` … ``niche_first[g + 1] - 1``.
    share : float64, (m,)
        Probability of the article within its niche.
    niche_cdf : float64, (m,)
        Stacked cdf of ``share``: niche ``g`` rises from ``g`` to ``g + 1``.
    shop_share, shop_cdf : float64, (m,)
        Probability of the article among best-seller picks, and its cdf.
    demand : float32, (niches,)
        What the week adds to a taste for the niche; 0 when it has nothing on sale.
    cents : int32, (m,)
        This week's price.
    show : int32, (products, show_colours)
        Best-selling colours of each product; -1 where it has fewer on sale.
    show_share : float32, (products, show_colours)
        Probabilities of these; a row sums to 1, or to 0 when nothing is on sale.
    """

    article: Ints
    place: Ints
    niche_first: Ints
    share: Floats
    niche_cdf: Floats
    shop_share: Floats
    shop_cdf: Floats
    demand: Floats
    cents: Ints
    show: Ints
    show_share: Floats

    def save(self, file: Path) -> None:
        """Write as ``.npz``."""
        np.savez(file, **{f.name: getattr(self, f.name) for f in fields(self)})

    @staticmethod
    def load(file: Path) -> Market:
        """Read what :meth:`save` wrote."""
        with np.load(file) as arrays:
            return Market(**{f.name: arrays[f.name] for f in fields(Market)})


def market_file(folder: Path, week: int) -> Path:
    """Where a week's market lies."""
    return folder / f"market-{week:03d}.npz"


def write_markets(
    folder: Path, catalogue: Catalogue, calendar: Calendar, seed: int, model: Model
) -> None:
    """Write the market of every week and of the horizon after them."""
    rng = stream(seed, "market")
    by_niche = np.argsort(catalogue.niche, kind="stable")
    wave = rng.standard_normal(len(by_niche), dtype=np.float32)
    fresh = np.float32(np.sqrt(1 - model.wave_memory**2))
    for week in range(calendar.weeks + 1):
        wave *= np.float32(model.wave_memory)
        wave += fresh * rng.standard_normal(len(wave), dtype=np.float32)
        market = _make_market(catalogue, by_niche, wave, week, calendar, model)
        market.save(market_file(folder, week))


def _make_market(
    catalogue: Catalogue,
    by_niche: Ints,
    wave: Floats,
    week: int,
    calendar: Calendar,
    model: Model,
) -> Market:
    launch, end = catalogue.launch[by_niche], catalogue.end[by_niche]
    on_sale = by_niche[(launch <= week) & (week < end)]
    weight = _attraction(catalogue, on_sale, wave[on_sale], week, calendar, model)
    niche = catalogue.niche[on_sale]
    order = np.lexsort((-weight, niche))
    article, weight, niche = on_sale[order], weight[order], niche[order]

    niches = len(catalogue.niches.section)
    total = np.bincount(niche, weights=weight, minlength=niches)
    share = weight / total[niche]
    first = np.searchsorted(niche, np.arange(niches + 1))
    # Larger assortments in season draw more, though less than in proportion.
    usual = total[total > 0].mean()
    demand = np.exp(0.5 * catalogue.niches.appeal) * (total / usual) ** 0.6
    # Best sellers are what the niches' demand makes of them.
    shop = demand[niche] * share
    shop /= shop.sum()
    place = np.full(len(by_niche), -1, dtype=np.int32)
    place[article] = np.arange(len(article), dtype=np.int32)
    show, show_share = _show_colours(catalogue, article, weight, model.show_colours)
    return Market(
        article=article.astype(np.int32),
        place=place,
        niche_first=first.astype(np.int32),
        share=share,
        niche_cdf=_cdf_by_niche(share, niche, first),
        shop_share=shop,
        shop_cdf=_cdf(shop),
        demand=demand.astype(np.float32),
        cents=_week_price(catalogue, article, week),
        show=show,
        show_share=show_share,
    )


def _attraction(
    catalogue: Catalogue,
    article: Ints,
    wave: Floats,
    week: int,
    calendar: Calendar,
    model: Model,
) -> Floats:
    """Weight of each article in this week."""
    age = (week - catalogue.launch[article]).astype(np.float64)
    left = catalogue.end[article] - week
    life = age + left
    # New articles start at half of their strength and fade over their life.
    curve = np.where(age < 1, np.log(0.55), 0.0) - 1.3 * age / life
    # Clearance: cheaper, so a little more again in the last weeks.
    curve += np.where((left <= 2) & (life > 6), 0.25, 0.0)
    peak = catalogue.season_peak[article]
    turn = np.where(np.isnan(peak), 0.0, np.cos(calendar.season_angle[week] - peak))
    season = np.where(np.isnan(peak), 0.0, model.season_strength * turn)
    return np.exp(catalogue.appeal[article] + curve + season + model.wave_spread * wave)


def _week_price(catalogue: Catalogue, article: Ints, week: int) -> Ints:
    left = catalogue.end[article] - week
    life = catalogue.end[article] - catalogue.launch[article]
    cut = np.select([left <= 1, left <= 3], [0.5, 0.7], 1.0)
    cut = np.where(life > 6, cut, 1.0)
    return np.asarray(np.round(catalogue.cents[article] * cut).astype(np.int32))


def _cdf(probability: Floats) -> Floats:
    cdf = np.cumsum(probability)
    cdf /= cdf[-1]
    cdf[-1] = 1.0
    return cdf


def _cdf_by_niche(share: Floats, niche: Ints, first: Ints) -> Floats:
    running = np.cumsum(share)
    before = np.r_[0.0, running][first[:-1]]
    cdf = niche + np.minimum(running - before[niche], 1.0)
    last = first[1:][np.diff(first) > 0] - 1
    # Rounding must leave no gap at the top of a niche.
    cdf[last] = niche[last] + 1.0
    return np.asarray(cdf)


def _show_colours(
    catalogue: Catalogue, article: Ints, weight: Floats, width: int
) -> tuple[Ints, Floats]:
    product = catalogue.product[article]
    order = np.lexsort((-weight, product))
    product, article, weight = product[order], article[order], weight[order]
    start = np.flatnonzero(np.r_[True, product[1:] != product[:-1]])
    rank = np.arange(len(product)) - np.repeat(start, np.diff(np.r_[start, len(product)]))
    shown = rank < width
    show = np.full((catalogue.products, width), -1, dtype=np.int32)
    share = np.zeros((catalogue.products, width), dtype=np.float32)
    show[product[shown], rank[shown]] = article[shown]
    share[product[shown], rank[shown]] = weight[shown]
    total = share.sum(1, keepdims=True)
    share /= np.where(total > 0, total, 1)
    return show, share
