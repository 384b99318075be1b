"""The people: who they are, what they like, how often they come."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modiste.data.synthetic import words
from modiste.data.synthetic.arrays import Bools, Floats, Ints, draw_from, stacked_cdf, stream
from modiste.data.synthetic.calendar import Calendar
from modiste.data.synthetic.catalogue import Niches
from modiste.data.synthetic.settings import Model, ShopSize

_YOUNGEST, _OLDEST = 16, 99


@dataclass(frozen=True)
class Personas:
    """Kinds of customers. They show in no table; only in what people buy together.

    Attributes
    ----------
    niche_cdf : float64, (personas * niches,)
        Stacked cdf of the niches that each persona cares for.
    age_cdf : float64, (ages * personas,)
        Stacked cdf of the personas at each age from 16 to 99.
    count : int
    """

    niche_cdf: Floats
    age_cdf: Floats
    count: int


@dataclass(frozen=True)
class People:
    """The customers of one block; ``n`` rows in the order of their ids.

    Attributes
    ----------
    age : int16, (n,)
    interest : int16, (n, interests)
        Niches that the customer likes; one may stand there twice.
    liking : float32, (n, interests)
        Weight of each, summing to 1.
    loyalty : float32, (n,)
        Factor on the shares of picks that go back to bought products; mean 1.
    partner_taste : float32, (n,)
        Factor on the share of picks that complete earlier purchases; mean 1.
    appetite : float32, (n, appetites)
        Shares of the Poisson mixture of picks a week.
    rate : float32, (n,)
        Relative frequency of visits; mean about 1.
    join, leave : int16, (n,)
        Week of the first visit, and the week from which there are none; for those who never
        bought ``join`` is the week after the data.
    arrival : float32, (n,)
        Probability that the first visit happens in the week ``join``.
    online : float32, (n,)
        Probability that a shopping day is online (channel 2).
    """

    age: Ints
    interest: Ints
    liking: Floats
    loyalty: Floats
    partner_taste: Floats
    appetite: Floats
    rate: Floats
    join: Ints
    leave: Ints
    arrival: Floats
    online: Floats


def make_personas(size: ShopSize, niches: Niches, seed: int) -> Personas:
    """Draw the personas of a shop."""
    rng = stream(seed, "personas")
    count = size.personas
    sections = words.SECTIONS
    # A persona shops in some sections near its age, in some styles, colours and price levels …
    age = _draw_ages(count, rng).astype(np.float64)
    section_age = np.array([s.age for s in sections])
    section_spread = np.array([s.age_spread for s in sections])
    weight = np.log([s.weight for s in sections])
    section = weight - 0.5 * ((age[:, None] - section_age) / section_spread) ** 2
    section = 0.6 * section + rng.normal(0, 1.2, section.shape)
    style = rng.normal(0, 1.0, (count, len(words.STYLES)))
    palette = rng.normal(0, 0.6, (count, len(words.PALETTES)))
    tier = rng.normal(0, 0.8, (count, 3))
    # … and belongs to one circle, which no attribute shows.
    circle = rng.integers(size.circles, size=count)
    log_weight = (
        section[:, niches.section]
        + style[:, niches.style]
        + palette[:, niches.palette]
        + tier[:, niches.tier]
        + 2.2 * (circle[:, None] == niches.circle)
        + niches.appeal
    )
    preference = np.exp(log_weight - log_weight.max(1, keepdims=True))
    ages = np.arange(_YOUNGEST, _OLDEST + 1)
    near = np.exp(-0.5 * ((ages[:, None] - age) / 6.0) ** 2) + 1e-3
    return Personas(stacked_cdf(preference), stacked_cdf(near), count)


def _draw_ages(n: int, rng: np.random.Generator) -> Ints:
    """Ages as in the H&M data: many in their twenties, a second hill around fifty."""
    young = 20.5 + rng.gamma(2.2, 4.0, n) - 3.0
    older = rng.normal(50.5, 9.0, n)
    age = np.where(rng.random(n) < 0.565, young, older)
    return np.clip(np.round(age), _YOUNGEST, _OLDEST).astype(np.int16)


def never_bought(size: ShopSize, block: int, seed: int) -> Bools:
    """Which customers of a block never bought; their number over all blocks is exact."""
    first, last = size.block_range(block)
    # Block by block, the exact share so far: floor(last * share) - floor(first * share).
    quota = last * size.never_bought // size.customers - first * size.never_bought // size.customers
    never = np.zeros(last - first, dtype=bool)
    never[stream(seed, "never_bought", block).choice(last - first, quota, replace=False)] = True
    return never


def make_people(
    size: ShopSize,
    personas: Personas,
    niches: int,
    calendar: Calendar,
    block: int,
    seed: int,
    model: Model,
) -> People:
    """Draw the customers of a block."""
    rng = stream(seed, "people", block)
    first, last = size.block_range(block)
    n = last - first
    age = _draw_ages(n, rng)
    interest = _draw_interests(personas, niches, age, rng, model)
    liking = rng.standard_gamma(0.9, (n, model.interests), dtype=np.float32) + np.float32(1e-4)
    liking /= liking.sum(1, keepdims=True)
    tilt = rng.normal(0.0, model.appetite_spread, (n, 1)) * np.arange(len(model.appetites))
    appetite = np.asarray(model.appetite_shares) * np.exp(tilt)
    appetite /= appetite.sum(1, keepdims=True)
    never = never_bought(size, block, seed)
    join, leave = _membership(never, calendar, rng, model)
    spread = model.rate_spread
    return People(
        age=age,
        interest=interest,
        liking=liking,
        loyalty=rng.standard_gamma(1.5, n, dtype=np.float32) / np.float32(1.5),
        partner_taste=rng.standard_gamma(3.0, n, dtype=np.float32) / np.float32(3.0),
        appetite=appetite.astype(np.float32),
        rate=np.exp(rng.normal(-0.5 * spread**2, spread, n)).astype(np.float32),
        join=join,
        leave=leave,
        arrival=np.where(never, model.next_week_joiners, 1.0).astype(np.float32),
        online=rng.beta(0.85, 0.38, n).astype(np.float32),
    )


def _draw_interests(
    personas: Personas, niches: int, age: Ints, rng: np.random.Generator, model: Model
) -> Ints:
    """Most interests are of the own persona; some are another's, as presents and moods are."""
    n = len(age)
    row = age.astype(np.int64) - _YOUNGEST
    own = draw_from(personas.age_cdf, row, rng.random(n)) - row * personas.count
    other = rng.integers(personas.count, size=n)
    shape = (n, model.interests)
    persona = np.where(rng.random(shape) < 0.85, own[:, None], other[:, None])
    drawn = draw_from(personas.niche_cdf, persona.ravel(), rng.random(persona.size))
    return np.asarray((drawn.reshape(shape) - persona * niches).astype(np.int16))


def _membership(
    never: Bools, calendar: Calendar, rng: np.random.Generator, model: Model
) -> tuple[Ints, Ints]:
    """Weeks in which customers come for the first time and stop coming."""
    n = len(never)
    returning = np.floor(rng.exponential(model.first_return_weeks, n)) % calendar.weeks
    demand = np.cumsum(calendar.demand[:-1])
    joining = np.searchsorted(demand / demand[-1], rng.random(n), side="right")
    old = rng.random(n) < model.old_customers
    join = np.where(old, returning, np.minimum(joining, calendar.weeks - 1))
    join = np.where(never, calendar.weeks, join)
    leave = join + 1 + np.floor(rng.exponential(model.stay_weeks, n))
    # Weeks are 16-bit numbers; nobody needs to stay for longer than a century.
    return join.astype(np.int16), np.minimum(leave, 5_000).astype(np.int16)


def make_ids(size: ShopSize, block: int, seed: int) -> pl.Series:
    """Customer ids of a block: 64 hex digits, rising within and across blocks."""
    first, last = size.block_range(block)
    rng = stream(seed, "ids", block)
    n = last - first
    # The first 8 bytes rise evenly over all customers, so that blocks need not be merged.
    step = (1 << 64) // size.customers
    start = np.arange(first, last, dtype=np.uint64) * np.uint64(step)
    head = start + rng.integers(0, step, n, dtype=np.uint64)
    key = np.empty((n, 32), dtype=np.uint8)
    key[:, :8] = head.astype(">u8").view(np.uint8).reshape(n, 8)
    key[:, 8:] = rng.integers(0, 256, (n, 24), dtype=np.uint8)
    return _hex_rows(key).alias("customer_id")


def customers_frame(
    size: ShopSize, ids: pl.Series, people: People, block: int, seed: int
) -> pl.DataFrame:
    """Rows of ``customers.csv`` of a block."""
    rng = stream(seed, "cards", block)
    n = len(ids)
    # Frequent customers read the fashion news a little more often.
    reads = rng.random(n) < 0.30 + 0.12 * np.minimum(people.rate, 2.0) * 0.5
    active = reads & (rng.random(n) < 0.97)
    club = rng.choice(3, n, p=[0.931, 0.0685, 0.0005])
    news = np.where(reads, 1, np.where(rng.random(n) < 0.001, 2, 0))
    codes = max(size.customers // 4, 1)
    # Postal codes are as unequal as towns are; the odd multiplier scatters their digits.
    town = np.floor(codes * rng.random(n) ** 2).astype(np.uint64)
    postal = np.stack([(town + np.uint64(k)) * np.uint64(odd) for k, odd in enumerate(_ODD, 1)], 1)
    return pl.DataFrame(
        {
            "customer_id": ids,
            "FN": pl.Series(np.where(reads, 1.0, np.nan)).fill_nan(None),
            "Active": pl.Series(np.where(active, 1.0, np.nan)).fill_nan(None),
            "club_member_status": pl.Series(["ACTIVE", "PRE-CREATE", "LEFT CLUB"])[club],
            "fashion_news_frequency": pl.Series(["NONE", "Regularly", "Monthly"])[news],
            "age": pl.Series(
                np.where(rng.random(n) < 0.0116, np.nan, people.age.astype(np.float64))
            ).fill_nan(None),
            "postal_code": _hex_rows(postal.astype(">u8").view(np.uint8).reshape(n, 32)),
        }
    )


_ODD = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93)


def _hex_rows(key: NDArray[np.uint8]) -> pl.Series:
    """Text of 64 hex digits for each row of 32 bytes."""
    digits = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
    text = digits[np.stack([key >> 4, key & 15], axis=2)].tobytes().decode("ascii")
    # One text of all rows, cut by position: no Python string for each row.
    return pl.Series([text]).str.extract_all(".{64}").explode()
