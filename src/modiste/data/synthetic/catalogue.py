"""The catalogue: niches, products, their colours, how long they sell and how they are described."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from modiste.data.synthetic import words
from modiste.data.synthetic.arrays import Bools, Floats, Ints, draw_from, stacked_cdf, stream
from modiste.data.synthetic.calendar import Calendar
from modiste.data.synthetic.settings import Model, ShopSize

_PRICE_TIERS = np.array([0.7, 1.0, 1.9])
_TIER_SHARES = np.array([0.35, 0.45, 0.20])
# How many colours a product has, as in the H&M catalogue (mean 2.2, some with very many).
_COLOUR_COUNTS = np.array(
    [0.51, 0.252, 0.105, 0.050, 0.025, 0.0165, 0.010, 0.007, 0.0045, 0.004, 0.0025, 0.0135]
)


# How many newer products to look at for a partner of another kind.
_PARTNER_SEARCH = 12


@dataclass(frozen=True)
class Niches:
    """What articles and tastes have in common; one look in one circle.

    Attributes
    ----------
    section, style, palette, tier, circle : int16, (niches,)
        Rows of the vocabulary's tables; ``circle`` shows in no attribute.
    appeal : float64, (niches,)
        Log attraction to everybody.
    next_niche : int16, (niches,)
        Where a drifting taste goes from here: a fixed other niche of the same circle.
    """

    section: Ints
    style: Ints
    palette: Ints
    tier: Ints
    circle: Ints
    appeal: Floats
    next_niche: Ints


@dataclass(frozen=True)
class Catalogue:
    """Everything about articles that the model uses; rows follow ``articles.csv``.

    Attributes
    ----------
    niches : Niches
    product : int32, (articles,)
        Product of each article, 0 … products - 1, rising.
    niche : int16, (articles,)
    launch, end : int16, (articles,)
        First week on sale (negative: before the data) and the week it is gone.
    appeal : float32, (articles,)
        Log of the attraction, before life curve, wave and season.
    season_peak : float32, (articles,)
        Angle of the year at which demand is highest, radians; NaN for all-year articles.
    cents : int32, (articles,)
        Full price in euro cents.
    debut : int16, (articles,)
        Week of the one sale that every sold article is sure to have; -1 for those never sold.
    partner : int32, (products,)
        The product that goes with a product; -1 for none.
    """

    niches: Niches
    product: Ints
    niche: Ints
    launch: Ints
    end: Ints
    appeal: Floats
    season_peak: Floats
    cents: Ints
    debut: Ints
    partner: Ints

    @property
    def products(self) -> int:
        """Number of products."""
        return len(self.partner)


def make_catalogue(
    size: ShopSize, calendar: Calendar, seed: int, model: Model
) -> tuple[Catalogue, pl.DataFrame]:
    """Draw the articles of a shop.

    Returns
    -------
    catalogue : Catalogue
    articles : polars.DataFrame
        The 25 columns of ``articles.csv``, sorted by ``article_id`` (10 digits, leading zero).
    """
    rng = stream(seed, "catalogue")
    niches = _make_niches(size, rng, model)
    product, colours_of = _split_into_products(size.articles, rng)
    products = int(product[-1]) + 1
    niche_of = _niche_of_products(niches, products, rng)
    kind = _kind_of_products(niches, niche_of, rng)

    launch, end = _sale_weeks(size, calendar, product, kind, rng, model)
    never = _never_sold(size, calendar, launch, end, rng)
    spread = np.where(colours_of > 1, model.colour_spread, 0.0)
    appeal = (
        # Many products are duds and none is infinitely good: a long tail to the left only.
        -rng.exponential(model.appeal_spread, products)[product]
        + rng.normal(0.0, 1.0, size.articles) * spread
    ) * size.contrast
    euro = np.array([k.euro for k in words.KINDS])[kind]
    price = euro * _PRICE_TIERS[niches.tier[niche_of]] * np.exp(rng.normal(0, 0.18, products))
    catalogue = Catalogue(
        niches=niches,
        product=product,
        niche=niche_of[product].astype(np.int16),
        launch=launch.astype(np.int16),
        end=end.astype(np.int16),
        appeal=appeal.astype(np.float32),
        season_peak=_season_peak(kind)[product].astype(np.float32),
        # Prices end in 99 cents.
        cents=(np.maximum(np.round(price), 2) * 100 - 1).astype(np.int32)[product],
        debut=_debut_weeks(calendar, launch, end, never, rng),
        partner=_partners(niches, niche_of, kind, launch, product, rng),
    )
    return catalogue, _articles_frame(catalogue, niche_of, kind, rng)


def _make_niches(size: ShopSize, rng: np.random.Generator, model: Model) -> Niches:
    looks, circles = size.looks, size.circles
    weight = np.array([s.weight for s in words.SECTIONS])
    # Sections by largest remainder, so that a small shop has its main sections too.
    section = np.sort(_apportion(weight, looks))
    style = rng.integers(len(words.STYLES), size=looks)
    palette = rng.integers(len(words.PALETTES), size=looks)
    tier = rng.choice(len(_TIER_SHARES), size=looks, p=_TIER_SHARES)
    of_look = np.repeat(np.arange(looks), circles)
    circle = np.tile(np.arange(circles), looks)
    next_look = (rng.permutation(looks) + rng.integers(1, max(looks, 2))) % looks
    return Niches(
        section=section[of_look].astype(np.int16),
        style=style[of_look].astype(np.int16),
        palette=palette[of_look].astype(np.int16),
        tier=tier[of_look].astype(np.int16),
        circle=circle.astype(np.int16),
        appeal=rng.normal(0.0, model.niche_spread, looks * circles),
        next_niche=(next_look[of_look] * circles + circle).astype(np.int16),
    )


def _apportion(weight: Floats, total: int) -> Ints:
    """Labels 0 … len(weight) - 1, ``total`` of them, in proportion to the weights."""
    exact = weight / weight.sum() * total
    count = np.floor(exact).astype(np.int64)
    rest = total - int(count.sum())
    count[np.argsort(count - exact, kind="stable")[:rest]] += 1
    return np.repeat(np.arange(len(weight)), count)


def _split_into_products(articles: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Product of each article, and the number of colours of that product."""
    share = _COLOUR_COUNTS / _COLOUR_COUNTS.sum()
    count = 1 + rng.choice(len(share), size=articles, p=share)
    first = np.cumsum(count) - count
    product = np.repeat(np.arange(articles), count)[:articles].astype(np.int32)
    colours = np.bincount(product, minlength=int((first < articles).sum()))
    return product, colours[product]


def _niche_of_products(niches: Niches, products: int, rng: np.random.Generator) -> Ints:
    """Niches by turns over a shuffle, so that each has products and none is far larger."""
    weight = np.exp(0.5 * niches.appeal)
    return rng.permutation(_apportion(weight, products))


def _kind_of_products(niches: Niches, niche_of: Ints, rng: np.random.Generator) -> Ints:
    sells = np.array([[k.letter in s.kinds for k in words.KINDS] for s in words.SECTIONS])
    weight = sells * np.array([k.weight for k in words.KINDS])
    # A niche is choosy about types as well: two looks of one section sell different things.
    taste = rng.gamma(0.8, size=(len(niches.section), len(words.KINDS))) + 0.02
    cdf = stacked_cdf(weight[niches.section] * taste)
    width = len(words.KINDS)
    return draw_from(cdf, niche_of, rng.random(len(niche_of))) - niche_of * width


def _season_peak(kind: Ints) -> Floats:
    days = np.array([words.SEASON_PEAKS.get(k.season, np.nan) for k in words.KINDS])
    return np.asarray(2 * np.pi * days[kind] / 365.25)


def _sale_weeks(
    size: ShopSize,
    calendar: Calendar,
    product: Ints,
    kind: Ints,
    rng: np.random.Generator,
    model: Model,
) -> tuple[Ints, Ints]:
    """Launch and end week of each article, all within reach of the data."""
    products = int(product[-1]) + 1
    life = np.exp(rng.normal(np.log(size.life_weeks), model.life_spread, products))
    life = np.clip(np.round(life), 2, 2 * calendar.weeks).astype(np.int64)
    # Uniform over the launches that leave at least one week inside the data.
    launch = (
        np.floor(rng.random(products) * (calendar.weeks + life - 1)).astype(np.int64) - life + 1
    )
    launch = _pull_to_season(launch, kind, calendar, rng)
    # A third of the further colours come some weeks after the product.
    late = rng.random(size.articles) < 0.33
    late[np.r_[True, product[1:] != product[:-1]]] = False
    delay = np.where(late, rng.integers(1, 6, size.articles), 0)
    delay[launch[product] + delay >= calendar.weeks] = 0
    first = launch[product] + delay
    end = np.maximum(launch[product] + life[product], first + 2)
    return first, np.maximum(end, 1)


def _pull_to_season(launch: Ints, kind: Ints, calendar: Calendar, rng: np.random.Generator) -> Ints:
    """Move seasonal products' launches towards some weeks before their season."""
    peak = _season_peak(kind)
    inside = (launch >= 0) & (launch < calendar.weeks) & ~np.isnan(peak)
    angle = calendar.season_angle[np.clip(launch, 0, calendar.weeks)]
    wanted = peak - 2 * np.pi * 9 / 52
    off = np.angle(np.exp(1j * np.where(inside, wanted - angle, 0.0))) / (2 * np.pi) * 52
    pull = rng.random(len(launch)) * 0.6
    moved = launch + np.round(off * pull).astype(np.int64)
    # Who would be moved out of the data stays: weeks at the ends must not collect the others.
    return np.where(inside & (moved >= 0) & (moved < calendar.weeks), moved, launch)


def _never_sold(
    size: ShopSize, calendar: Calendar, launch: Ints, end: Ints, rng: np.random.Generator
) -> Bools:
    """Pick the articles without a sale; most of them arrive in the week after the data."""
    never = np.zeros(size.articles, dtype=bool)
    chosen = rng.choice(size.articles, size.never_sold, replace=False)
    never[chosen] = True
    new = rng.random(size.never_sold) < 0.75
    # The others were delivered to no shop: they are on sale in no week at all.
    launch[chosen] = np.where(new, calendar.weeks, calendar.weeks + 1)
    end[chosen] = launch[chosen] + 12
    return never


def _debut_weeks(
    calendar: Calendar, launch: Ints, end: Ints, never: Bools, rng: np.random.Generator
) -> Ints:
    first, last = np.maximum(launch, 0), np.minimum(end, calendar.weeks) - 1
    # What was on sale before the data begin has its sure sale at any time, not all in week 0.
    anywhere = first + np.floor(rng.random(len(launch)) * np.maximum(last - first + 1, 1))
    debut = np.where(launch < 0, anywhere, first)
    return np.where(never, -1, debut).astype(np.int16)


def _partners(
    niches: Niches,
    niche_of: Ints,
    kind: Ints,
    launch: Ints,
    product: Ints,
    rng: np.random.Generator,
) -> Ints:
    """Give each product one that goes with it: same circle and people, other kind, same time."""
    first_article = np.r_[0, np.flatnonzero(np.diff(product)) + 1]
    when = launch[first_article] + rng.normal(0, 1.5, len(niche_of))
    people = np.array([s.group_number for s in words.SECTIONS])[niches.section[niche_of]]
    crowd = people.astype(np.int64) * 64 + niches.circle[niche_of]
    letter = np.array([ord(k.letter) for k in words.KINDS])[kind]
    order = np.lexsort((when, crowd))
    partner = np.full(len(niche_of), -1, dtype=np.int32)
    place = np.arange(len(order))
    # The next newer one of another kind; newer, so that completing leads on and never in circles.
    for step in range(1, _PARTNER_SEARCH + 1):
        there = place + step
        mine, other = order, order[np.clip(there, 0, len(order) - 1)]
        fits = (there >= 0) & (there < len(order)) & (partner[mine] < 0)
        fits &= (crowd[mine] == crowd[other]) & (letter[mine] != letter[other])
        partner[mine[fits]] = other[fits]
    return partner


def _articles_frame(
    catalogue: Catalogue, niche_of: Ints, kind: Ints, rng: np.random.Generator
) -> pl.DataFrame:
    niches, product, products = catalogue.niches, catalogue.product, catalogue.products
    code = 100_000 + np.cumsum(
        rng.integers(5, 14, products) * (850_000 // 9) // max(products, 1) + 1
    )
    number = np.arange(len(product)) - np.r_[0, np.flatnonzero(np.diff(product)) + 1][product] + 1
    colour = _colours(niches.palette[niche_of][product], rng)
    style = _mostly(niches.style[niche_of], len(words.STYLES), 0.85, rng)
    pattern = np.array([s.patterns[:2] for s in words.STYLES])[
        style, (rng.random(products) < 0.3).astype(np.int64)
    ]
    section = niches.section[niche_of]
    department = 1000 + section * 64 + kind
    described = _descriptions(kind, style, section, niches.tier[niche_of], rng)
    name = rng.integers(len(words.NAMES), size=products)

    type_name = _texts([k.name for k in words.KINDS], kind)
    index_name = _texts([s.index_name for s in words.SECTIONS], section)
    serial = pl.Series(rng.integers(1, 100, products)).cast(pl.String)
    of_product = pl.DataFrame(
        {
            "product_code": code,
            "prod_name": _joined(_texts(list(words.NAMES), name), type_name, serial),
            "product_type_no": np.array([k.number for k in words.KINDS])[kind],
            "product_type_name": type_name,
            "product_group_name": _texts([k.group for k in words.KINDS], kind),
            "graphical_appearance_no": np.array([p[0] for p in words.PATTERNS])[pattern],
            "graphical_appearance_name": _texts([p[1] for p in words.PATTERNS], pattern),
            "department_no": department,
            "department_name": _joined(type_name, index_name),
            "index_code": _texts([s.index_code for s in words.SECTIONS], section),
            "index_name": index_name,
            "index_group_no": np.array([s.group_number for s in words.SECTIONS])[section],
            "index_group_name": _texts([s.group_name for s in words.SECTIONS], section),
            "section_no": np.array([s.number for s in words.SECTIONS])[section],
            "section_name": _texts([s.name for s in words.SECTIONS], section),
            "garment_group_no": np.array([k.garment_number for k in words.KINDS])[kind],
            "garment_group_name": _texts([k.garment for k in words.KINDS], kind),
            "detail_desc": described,
        }
    )[product]
    of_article = pl.DataFrame(
        {
            "article_id": pl.Series(code[product] * 1000 + number).cast(pl.String).str.zfill(10),
            "colour_group_code": np.array([c.number for c in words.COLOURS])[colour],
            "colour_group_name": _texts([c.name for c in words.COLOURS], colour),
            "perceived_colour_value_id": np.array([c.value_number for c in words.COLOURS])[colour],
            "perceived_colour_value_name": _texts([c.value_name for c in words.COLOURS], colour),
            "perceived_colour_master_id": np.array([c.master_number for c in words.COLOURS])[
                colour
            ],
            "perceived_colour_master_name": _texts([c.master_name for c in words.COLOURS], colour),
        }
    )
    return pl.concat([of_product, of_article], how="horizontal").select(ARTICLE_COLUMNS)


ARTICLE_COLUMNS = (
    "article_id",
    "product_code",
    "prod_name",
    "product_type_no",
    "product_type_name",
    "product_group_name",
    "graphical_appearance_no",
    "graphical_appearance_name",
    "colour_group_code",
    "colour_group_name",
    "perceived_colour_value_id",
    "perceived_colour_value_name",
    "perceived_colour_master_id",
    "perceived_colour_master_name",
    "department_no",
    "department_name",
    "index_code",
    "index_name",
    "index_group_no",
    "index_group_name",
    "section_no",
    "section_name",
    "garment_group_no",
    "garment_group_name",
    "detail_desc",
)


def _texts(values: list[str], rows: Ints) -> pl.Series:
    """Look words up by row number."""
    return pl.Series(values, dtype=pl.String)[rows.astype(np.int64)]


def _joined(*columns: pl.Series) -> pl.Series:
    """Texts of one row with spaces between."""
    frame = pl.DataFrame({str(i): column for i, column in enumerate(columns)})
    return frame.select(pl.concat_str(pl.all(), separator=" ")).to_series()


def _mostly(value: Ints, count: int, share: float, rng: np.random.Generator) -> Ints:
    """The value with probability ``share``, else any other: attributes tell a niche with noise."""
    other = rng.integers(count, size=len(value))
    return np.where(rng.random(len(value)) < share, value, other)


def _colours(palette: Ints, rng: np.random.Generator) -> Ints:
    of = np.array([c.palette for c in words.COLOURS])
    weight = np.array([c.weight for c in words.COLOURS])
    likes = np.where(of[None, :] == np.arange(len(words.PALETTES))[:, None], 6.0, 1.0)
    cdf = stacked_cdf(weight * likes)
    return draw_from(cdf, palette, rng.random(len(palette))) - palette * len(of)


def _descriptions(
    kind: Ints, style: Ints, section: Ints, tier: Ints, rng: np.random.Generator
) -> pl.Series:
    """Sentences that a shop would write, with style, fabric (price level), details and fit."""
    n = len(kind)
    adjective = _pick([s.adjectives for s in words.STYLES], style, rng)
    fabrics = [words.FABRICS[k.fabric][level] for k in words.KINDS for level in range(3)]
    fabric = _pick(fabrics, kind * 3 + tier, rng)
    details = [s.details for s in words.STYLES]
    first, second = _pick(details, style, rng), _pick(details, style, rng)
    noun = _texts([k.noun for k in words.KINDS], kind)
    fit = _texts(list(words.FITS), rng.integers(len(words.FITS), size=n))
    wearer = _texts([_WEARERS.get(s.group_name, "") for s in words.SECTIONS], section)
    sentence = pl.DataFrame(
        [adjective, noun, wearer, fabric, first, second, fit], schema=list("anwfdes")
    ).select(
        pl.when(pl.lit(pl.Series(rng.random(n) < _NO_DESCRIPTION)))
        .then(pl.lit(None, dtype=pl.String))
        .when(pl.col.d == pl.col.e)
        .then(pl.format("{} {}{} in {} with {}. {}.", "a", "n", "w", "f", "d", "s"))
        .otherwise(
            pl.format("{} {}{} in {} with {} and {}. {}.", "a", "n", "w", "f", "d", "e", "s")
        )
    )
    return sentence.to_series()


# Share of products without a description, as in the H&M table (416 of 105,542 articles).
_NO_DESCRIPTION = 0.004
_WEARERS: dict[str, str] = {
    "Baby/Children": " for children",
    "Menswear": " for men",
    "Sport": " for training",
}


def _pick(choices: list[tuple[str, ...]], row: Ints, rng: np.random.Generator) -> pl.Series:
    """One of the row's words, each as likely."""
    flat = [word for group in choices for word in group]
    length = np.array([len(group) for group in choices])
    start = np.cumsum(length) - length
    which = np.floor(rng.random(len(row)) * length[row]).astype(np.int64)
    return _texts(flat, start[row] + which)
