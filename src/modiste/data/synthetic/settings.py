"""How large a synthetic shop is, and the constants of the model that fills it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ShopSize:
    """The exact counts of a synthetic shop, and how finely it is modelled.

    Attributes
    ----------
    customers, never_bought
        Rows of ``customers.csv``, and how many of them have no transaction.
    articles, never_sold
        Rows of ``articles.csv``, and how many of them have no transaction.
    rows
        Rows of ``transactions_train.csv``.
    first_day, last_day
        The days that the transactions span; model weeks end on the weekday of ``last_day``.
    looks, circles
        A niche is one look (section, style, colours, price level: visible in the attributes) in
        one circle (a hidden community of customers and products); there are looks x circles.
    personas
        Kinds of customers, each with its own preferences over all niches.
    life_weeks
        Median weeks that an article is on sale. A small shop keeps its articles for longer, or
        so few would be on sale at a time that everybody had to buy the same.
    contrast
        Factor on the differences in appeal between articles. With few articles on sale, the
        differences of a large shop would leave each taste with one or two articles to buy.
    block_customers
        Customers of one block: the unit of parallel work and of the random streams. It is part
        of the shop: another value gives another (equally distributed) shop.
    evaluated_weeks
        About how many customer-weeks the Monte-Carlo estimate of the ceiling simulates.
    """

    customers: int
    never_bought: int
    articles: int
    never_sold: int
    rows: int
    first_day: dt.date = dt.date(2018, 9, 20)
    last_day: dt.date = dt.date(2020, 9, 22)
    looks: int = 200
    circles: int = 2
    personas: int = 240
    life_weeks: float = 20.0
    contrast: float = 1.0
    block_customers: int = 65_536
    evaluated_weeks: int = 600_000

    def __post_init__(self) -> None:
        buyers, sold = self.customers - self.never_bought, self.articles - self.never_sold
        if min(self.never_bought, self.never_sold) < 0 or buyers < 1 or sold < 1:
            raise ValueError("a shop needs at least one buyer and one article that sells")
        if self.last_day <= self.first_day:
            raise ValueError("last_day must come after first_day")
        if self.rows < 2 * buyers:
            raise ValueError(f"{self.rows} rows are too few for {buyers} buyers: at least 2 each")
        if self.rows < 4 * sold:
            raise ValueError(f"{self.rows} rows are too few for {sold} articles: at least 4 each")

    @property
    def niches(self) -> int:
        """Looks x circles."""
        return self.looks * self.circles

    @property
    def blocks(self) -> int:
        """Number of blocks of customers."""
        return -(-self.customers // self.block_customers)

    def block_range(self, block: int) -> tuple[int, int]:
        """First and one-past-last customer of a block."""
        first = block * self.block_customers
        return first, min(first + self.block_customers, self.customers)


SCALES: dict[str, ShopSize] = {
    "demo": ShopSize(
        customers=4_000,
        never_bought=28,
        articles=1_500,
        never_sold=14,
        rows=90_000,
        looks=24,
        circles=2,
        life_weeks=45.0,
        contrast=0.5,
        personas=30,
        block_customers=1_000,
        evaluated_weeks=100_000,
    ),
    "small": ShopSize(
        customers=68_599,
        never_bought=485,
        articles=5_277,
        never_sold=50,
        rows=1_589_416,
        looks=34,
        circles=2,
        life_weeks=32.0,
        contrast=0.6,
        personas=60,
        block_customers=8_192,
        evaluated_weeks=300_000,
    ),
    # The counts of the Kaggle "H&M Personalized Fashion Recommendations" data.
    "full": ShopSize(
        customers=1_371_980,
        never_bought=9_699,
        articles=105_542,
        never_sold=995,
        rows=31_788_324,
    ),
    # Half of Kaggle's customers and their purchases, of the whole catalogue.
    "half": ShopSize(
        customers=685_990,
        never_bought=4_850,
        articles=105_542,
        never_sold=995,
        rows=15_894_162,
    ),
}


@dataclass(frozen=True)
class Model:
    """Constants of the generative model; docs/synthetic-shop.md tells the whole story.

    Shares are probabilities of one pick (one wish of a customer in a week) unless said otherwise.
    """

    # --- what a pick follows; the rest of the picks follow the customer's taste ---
    repurchase: float = 0.016
    """Mean share of picks that want an article of the recent purchases again."""
    same_product: float = 0.004
    """Share that wants a colour of a recently bought product."""
    partner: float = 0.075
    """Share that wants the partner product ("goes with") of a recently bought one."""
    drift: float = 0.14
    """Share of taste picks that stay in the niche of the last purchase or move to the next one."""
    best_sellers: float = 0.12
    """Share of taste picks that follow the whole shop's best sellers."""
    mate: float = 0.13
    """Probability that a pick takes another colour of its product along."""
    recency: float = 0.66
    """A purchase one step further back is this much less likely to be the one remembered."""
    memory: int = 12
    """Purchases that a customer remembers."""
    interests: int = 20
    """Niches in which a customer is interested."""
    show_colours: int = 4
    """Colours of a product that are on show: mates and product wishes choose among these."""

    # --- how much and how often ---
    appetites: tuple[float, ...] = (0.7, 2.2, 5.5, 13.0)
    """Means of the Poisson mixture of picks in a week with a visit."""
    appetite_shares: tuple[float, ...] = (0.40, 0.34, 0.19, 0.07)
    """Shares of the mixture for the average customer."""
    extra_trips: tuple[float, ...] = (0.10, 0.25, 0.55, 1.00)
    """Mean number of further shopping days in the week, by appetite."""
    appetite_spread: float = 0.35
    """Standard deviation of a customer's tilt towards large baskets."""
    repeats: float = 0.09
    """Rows that repeat another row exactly (quantities), for each row that does not."""
    repeats_again: float = 0.14
    """Share of these repeats that fall on a row already repeated."""
    rate_spread: float = 1.72
    """Standard deviation of the log of customers' visit rates."""
    burst: float = 0.28
    """What a visit adds to the expected visits of all later weeks together; half of it to the next
    week, and so on."""
    stay_weeks: float = 60.0
    """Mean number of weeks before a customer leaves."""
    old_customers: float = 0.65
    """Share of customers who knew the shop before the data begin."""
    first_return_weeks: float = 18.0
    """Mean weeks until an old customer's first visit in the data."""
    next_week_joiners: float = 0.58
    """Probability that a customer who never bought comes in the week after the data."""

    # --- articles ---
    life_spread: float = 1.05
    """Standard deviation of the log of that time."""
    appeal_spread: float = 1.75
    """Mean of how far a product stays behind the best in log appeal (exponential)."""
    colour_spread: float = 0.5
    """Standard deviation of the log appeal of a colour within its product."""
    wave_spread: float = 0.62
    """Standard deviation of an article's popularity wave (log)."""
    wave_memory: float = 0.58
    """Correlation of the wave with the week before."""
    season_strength: float = 0.9
    """Amplitude (log) of the demand for seasonal types over the year."""
    niche_spread: float = 1.05
    """Standard deviation of the log appeal of a niche to everybody."""


MODEL = Model()


def json_ready(value: Any) -> Any:
    """Dates as ISO text, so that sizes and settings can be written as JSON."""
    return value.isoformat() if isinstance(value, dt.date) else value
