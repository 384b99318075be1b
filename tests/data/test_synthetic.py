"""The synthetic shop: exact, reproducible, realistic, and with a truth that is true."""

from __future__ import annotations

import datetime as dt
import errno
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from modiste.data.synthetic import MODEL, SCALES, ShopSize, ShopSummary, write_shop
from modiste.data.synthetic.arrays import Floats, Ints, stream
from modiste.data.synthetic.calendar import Calendar, make_calendar
from modiste.data.synthetic.catalogue import Catalogue, make_catalogue
from modiste.data.synthetic.customers import People, make_people, make_personas
from modiste.data.synthetic.market import Market, market_file, write_markets
from modiste.data.synthetic.purchases import History, Purchases, Shopper, walk_through
from modiste.data.synthetic.statistics import MEANINGS, shop_statistics
from modiste.data.synthetic.truth import (
    PLACES,
    Truth,
    average_precision,
    best_rankings,
    earnings,
    expected_ap,
    find_contenders,
    niche_tops,
)
from modiste.engine import Engine
from modiste.errors import ModisteError

TINY = ShopSize(
    customers=600,
    never_bought=7,
    articles=300,
    never_sold=11,
    rows=9_000,
    first_day=dt.date(2019, 9, 20),
    looks=6,
    circles=2,
    personas=8,
    block_customers=170,
    evaluated_weeks=4_000,
)
FILES = {
    "articles.csv",
    "customers.csv",
    "transactions_train.csv",
    "next_week.csv",
    "truth.parquet",
    "truth.json",
}


class FullDisk(Engine):
    """Fails where the weeks are written."""

    def map(
        self, function: Callable[..., Any], items: Iterable[Any], *shared: Any, label: str
    ) -> list[Any]:
        if label == "weeks":
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().map(function, items, *shared, label=label)


@dataclass
class Written:
    """A written shop, read back."""

    folder: Path
    size: ShopSize
    summary: ShopSummary
    articles: pl.DataFrame
    customers: pl.DataFrame
    rows: pl.DataFrame
    next_week: pl.DataFrame
    truth: pl.DataFrame
    notes: dict[str, Any]


def write_and_read(folder: Path, size: ShopSize, seed: int, workers: int = 2) -> Written:
    summary = write_shop(folder, size, seed, Engine(workers=workers))
    text = {"article_id": pl.String, "product_code": pl.Int64}

    def read(name: str) -> pl.DataFrame:
        return pl.read_csv(folder / name, schema_overrides=text, try_parse_dates=True)

    return Written(
        folder,
        size,
        summary,
        read("articles.csv"),
        read("customers.csv"),
        read("transactions_train.csv"),
        read("next_week.csv"),
        pl.read_parquet(folder / "truth.parquet"),
        json.loads((folder / "truth.json").read_text()),
    )


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return write_and_read(tmp_path_factory.mktemp("tiny"), TINY, seed=3)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return write_and_read(tmp_path_factory.mktemp("demo"), SCALES["demo"], seed=0)


# --- what is written -----------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 3])
def test_same_seed_gives_same_bytes_on_any_number_of_workers(
    tiny: Written, tmp_path: Path, workers: int
) -> None:
    write_shop(tmp_path, TINY, 3, Engine(workers=workers))
    assert {f.name for f in tmp_path.iterdir()} == FILES
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (tiny.folder / name).read_bytes(), name


def test_other_seed_gives_another_shop(tiny: Written, tmp_path: Path) -> None:
    write_shop(tmp_path, TINY, 4, Engine(workers=2))
    for name in FILES:
        assert (tmp_path / name).read_bytes() != (tiny.folder / name).read_bytes(), name


@pytest.mark.parametrize("shop", ["tiny", "demo"])
def test_counts_are_exact(shop: str, request: pytest.FixtureRequest) -> None:
    written: Written = request.getfixturevalue(shop)
    size = written.size
    assert written.rows.height == size.rows == written.summary.rows
    assert written.customers.height == size.customers
    assert written.articles.height == size.articles
    assert written.rows["customer_id"].n_unique() == size.customers - size.never_bought
    assert written.rows["article_id"].n_unique() == size.articles - size.never_sold
    assert written.rows["t_dat"].min() == size.first_day
    assert written.rows["t_dat"].max() == size.last_day


def test_full_scale_has_the_counts_of_the_kaggle_data() -> None:
    full = SCALES["full"]
    assert (full.rows, full.customers, full.never_bought) == (31_788_324, 1_371_980, 9_699)
    assert (full.articles, full.never_sold) == (105_542, 995)
    assert (full.first_day, full.last_day) == (dt.date(2018, 9, 20), dt.date(2020, 9, 22))


def test_formats(demo: Written) -> None:
    assert demo.articles["article_id"].str.contains(r"^0\d{9}$").all()
    assert demo.articles["article_id"].is_sorted()
    assert demo.articles["article_id"].is_unique().all()
    code = demo.articles["article_id"].str.slice(0, 7).cast(pl.Int64)
    assert (code == demo.articles["product_code"]).all()
    assert demo.customers["customer_id"].str.contains(r"^[0-9a-f]{64}$").all()
    assert demo.customers["postal_code"].str.contains(r"^[0-9a-f]{64}$").all()
    assert demo.customers["customer_id"].is_sorted()
    assert demo.customers["customer_id"].is_unique().all()
    by_day = demo.rows.select("t_dat", "customer_id")
    assert by_day.equals(by_day.sort("t_dat", "customer_id"))
    assert demo.rows.columns == demo.next_week.columns
    assert set(demo.rows["sales_channel_id"]) == {1, 2}
    assert demo.rows["price"].is_between(0.0, 1.0, closed="right").all()


def test_articles_have_the_columns_of_the_kaggle_data(demo: Written) -> None:
    assert demo.articles.width == 25
    assert demo.articles.columns[0] == "article_id"
    assert demo.articles.columns[-1] == "detail_desc"
    one_product = demo.articles.group_by("product_code").agg(
        pl.col("detail_desc", "product_type_name", "section_name").n_unique()
    )
    assert one_product.drop("product_code").max().row(0) == (1, 1, 1)
    nulls = demo.articles.null_count().row(0, named=True)
    assert nulls.pop("detail_desc") < 0.03 * demo.articles.height
    assert set(nulls.values()) == {0}


def test_next_week_follows_the_data(demo: Written) -> None:
    days = demo.next_week["t_dat"]
    assert days.min() >= demo.size.last_day + dt.timedelta(1)  # type: ignore[operator]
    assert days.max() <= demo.size.last_day + dt.timedelta(7)  # type: ignore[operator]
    assert demo.next_week.height == demo.summary.next_week_rows
    assert demo.next_week["customer_id"].n_unique() == demo.summary.buyers_next_week
    known = demo.customers["customer_id"].implode()
    assert demo.next_week["customer_id"].is_in(known).all()


def test_a_failure_leaves_nothing_half_written(tmp_path: Path) -> None:
    with pytest.raises(ModisteError, match="no room on disk"):
        write_shop(tmp_path / "shop", TINY, 0, FullDisk(workers=1))
    assert list(tmp_path.iterdir()) == []


def test_a_foreign_folder_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "customers.csv").write_text("mine")
    with pytest.raises(ModisteError, match="is not replaced"):
        write_shop(tmp_path, TINY, 0, Engine(workers=1))
    assert (tmp_path / "customers.csv").read_text() == "mine"


@pytest.mark.parametrize(
    "wrong",
    [{"rows": 800}, {"rows": 1_180}, {"never_bought": 600}, {"last_day": dt.date(2019, 9, 1)}],
)
def test_impossible_sizes_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"too few|at least|must come after"):
        replace(TINY, **wrong)


@pytest.mark.parametrize(
    ("customers", "articles", "block", "seed"),
    [(60, 40, 400, 0), (300, 150, 100, 1), (299, 41, 120, 2), (150, 149, 150, 3)],
)
def test_any_size_is_exact(
    tmp_path: Path, customers: int, articles: int, block: int, seed: int
) -> None:
    size = replace(
        TINY,
        customers=customers,
        articles=articles,
        never_bought=1,
        never_sold=3,
        rows=14 * customers + 12 * articles,
        block_customers=block,
        evaluated_weeks=100,
    )
    written = write_and_read(tmp_path, size, seed)
    assert written.rows.height == size.rows
    assert written.rows["customer_id"].n_unique() == customers - 1
    assert written.rows["article_id"].n_unique() == articles - 3


# --- the truth -----------------------------------------------------------------------------


@dataclass
class Horizon:
    """A shop in memory, at the start of its horizon."""

    market: Market
    catalogue: Catalogue
    people: People
    history: History
    calendar: Calendar
    purchases: Purchases
    truth: Truth

    def simulate(self, copies: int, seed: int, customers: Ints) -> tuple[Ints, Ints, Ints]:
        """Visitor's row, customer and article of purchases in independent horizons."""
        visitors = np.tile(customers, copies)
        bought = Shopper.make(self.catalogue, self.people, MODEL).buy(
            self.market,
            self.history,
            visitors,
            self.calendar.day_share[self.calendar.weeks],
            np.zeros(0, np.int32),
            np.random.default_rng(seed),
        )
        return bought.customer, visitors[bought.customer], bought.article

    def score(self, ranking: Ints, copies: int, seed: int) -> tuple[Floats, Floats]:
        """Mean AP@12 of each customer's ranking over simulated horizons, and standard error."""
        n = len(ranking)
        visitor, _, article = self.simulate(copies, seed, np.arange(n))
        ap = average_precision(np.tile(ranking, (copies, 1)), visitor, article).reshape(copies, n)
        return ap.mean(0), ap.std(0) / np.sqrt(copies)


@pytest.fixture(scope="module")
def horizon(tmp_path_factory: pytest.TempPathFactory) -> Horizon:
    size = replace(TINY, customers=400, block_customers=400, articles=400, rows=12_000)
    folder = tmp_path_factory.mktemp("horizon")
    calendar = make_calendar(size.first_day, size.last_day)
    catalogue, _ = make_catalogue(size, calendar, 5, MODEL)
    write_markets(folder, catalogue, calendar, 5, MODEL)
    personas = make_personas(size, catalogue.niches, 5)
    people = make_people(size, personas, size.niches, calendar, 0, 5, MODEL)
    result = walk_through(
        lambda week: Market.load(market_file(folder, week)),
        catalogue,
        people,
        calendar,
        0.15,
        np.zeros(0, np.int32),
        stream(5, "visits"),
        stream(5, "picks"),
        MODEL,
    )
    market = Market.load(market_file(folder, calendar.weeks))
    tops = niche_tops(market, catalogue, MODEL)
    truth = best_rankings(market, tops, catalogue, people, result.history, MODEL)
    return Horizon(market, catalogue, people, result.history, calendar, result.purchases, truth)


def contenders_of(horizon: Horizon, customers: Ints, count: int) -> Floats:
    tops = niche_tops(horizon.market, horizon.catalogue, MODEL)
    found = find_contenders(
        horizon.market,
        tops,
        horizon.catalogue,
        horizon.people,
        horizon.history,
        customers,
        MODEL,
        count,
    )
    return earnings(found, horizon.people.appetite[customers], MODEL)


def best_possible(earned: Floats) -> float:
    """Highest expected AP@12 over all ordered choices, by dynamic programming over subsets."""
    count = len(earned)
    subsets = np.arange(1 << count)
    inside = (subsets[:, None] >> np.arange(count)) & 1
    size = inside.sum(1)
    gain = np.diag(earned) + inside @ earned
    best = np.full(1 << count, -np.inf)
    best[0] = 0.0
    for k in range(PLACES):
        layer = subsets[size == k]
        for item in range(count):
            free = layer[inside[layer, item] == 0]
            value = best[free] + gain[free, item] / (k + 1)
            np.maximum.at(best, free | (1 << item), value)
    return float(best[size == PLACES].max())


def test_no_ranking_is_better_than_the_truth(horizon: Horizon) -> None:
    """Against every ordered choice of 12 of the 14 likeliest articles."""
    customers = np.arange(0, 400, 5)
    truth = horizon.truth.expected_ap[customers]
    earned = contenders_of(horizon, customers, 14)
    best = [best_possible(e) for e in earned]
    assert np.all(np.array(best) <= truth * (1 + 1e-12))
    # Contenders stand in the order of probability, which is nearly as good, but not quite.
    by_probability = expected_ap(earned, np.tile(np.arange(PLACES), (len(customers), 1)))
    assert 0.9995 * truth.mean() < by_probability.mean() < truth.mean()


def test_perturbed_rankings_are_not_better(horizon: Horizon) -> None:
    customers = np.arange(200)
    earned = contenders_of(horizon, customers, 16)
    truth = horizon.truth.expected_ap[customers]
    rng = np.random.default_rng(0)
    for _ in range(40):
        shuffled = np.argsort(np.arange(16) + rng.exponential(2.0, (200, 16)), axis=1)[:, :PLACES]
        other = expected_ap(earned, shuffled)
        assert np.all(other <= truth * (1 + 1e-12))
        assert other.mean() < truth.mean()


def test_simulated_weeks_average_to_the_expectation(horizon: Horizon) -> None:
    score, error = horizon.score(horizon.truth.article, 600, 1)
    expected = horizon.truth.expected_ap
    assert score.mean() == pytest.approx(expected.mean(), rel=0.012)
    # Each customer by itself: a little wider than chance, for the approximation.
    assert (np.abs(score - expected) < 4 * error + 0.02 * expected).mean() > 0.99


def test_popularity_is_worse_than_the_truth_in_simulated_weeks(horizon: Horizon) -> None:
    top = horizon.market.article[np.argsort(-horizon.market.shop_share)[:PLACES]]
    popular, _ = horizon.score(np.tile(top, (400, 1)), 50, 2)
    best, _ = horizon.score(horizon.truth.article, 50, 2)
    assert popular.mean() < 0.8 * best.mean()


def test_probabilities_are_those_of_simulated_weeks(horizon: Horizon) -> None:
    copies, customers = 4_000, np.arange(0, 400, 40)
    visitor, customer, article = horizon.simulate(copies, 3, customers)
    once = np.unique(np.stack([visitor, customer, article]), axis=1)
    for one in customers:
        mine = once[2][once[1] == one]
        seen = np.array([(mine == a).sum() for a in horizon.truth.article[one]]) / copies
        p = horizon.truth.probability[one].astype(float)
        assert np.all(np.abs(seen - p) < 5 * np.sqrt(p * (1 - p) / copies) + 1e-3)


def test_truth_files_agree_with_each_other(demo: Written) -> None:
    truth, notes = demo.truth, demo.notes
    assert truth["customer_id"].equals(demo.customers["customer_id"])
    assert (truth["article_ids"].list.len() == PLACES).all()
    assert (truth["article_ids"].list.n_unique() == PLACES).all()
    weighted = np.average(truth["expected_ap"], weights=truth["buys"])
    assert notes["expected_map"] == pytest.approx(weighted)
    assert notes["expected_buyers"] == pytest.approx(truth["buys"].sum())
    gap = abs(notes["simulated_map"] - notes["expected_map"])
    assert gap < 4 * notes["simulated_map_error"] + 0.006 * notes["expected_map"]
    assert notes["horizon_start"] == "2020-09-23"


def test_average_precision_by_hand() -> None:
    ranking = np.full((3, 12), -1)
    ranking[0, :4] = [5, 6, 7, 8]
    ranking[1, :2] = [1, 2]
    # Customer 0 buys 5 (twice), 8 and 9: (1/1 + 2/4) / 3. Customer 1 buys 2: 1/2.
    customer = np.array([0, 0, 0, 0, 1])
    article = np.array([5, 5, 8, 9, 2])
    assert average_precision(ranking, customer, article).tolist() == [0.5, 0.5, 0.0]


# --- the signals ---------------------------------------------------------------------------


def map_at_12(ranking: dict[str, list[str]], rows: pl.DataFrame) -> float:
    bought = rows.group_by("customer_id").agg(pl.col("article_id").unique()).iter_rows()
    scores = []
    for customer, articles in bought:
        hits, score = 0, 0.0
        for place, article in enumerate(ranking[customer][:12], 1):
            if article in articles:
                hits += 1
                score += hits / place
        scores.append(score / min(len(articles), 12))
    return float(np.mean(scores))


def test_personal_signal_beats_popularity_and_the_ceiling_is_above(demo: Written) -> None:
    since = demo.size.last_day - dt.timedelta(6)
    last_week = demo.rows.filter(pl.col("t_dat") >= since)
    popular = last_week["article_id"].value_counts(sort=True)["article_id"][:12].to_list()
    on_sale = last_week["article_id"].unique().implode()
    own = dict(
        demo.rows.filter(pl.col("article_id").is_in(on_sale))
        .group_by("customer_id", "article_id")
        .agg(pl.col("t_dat").max(), pl.len())
        .sort("len", "t_dat", "article_id", descending=True)
        .group_by("customer_id", maintain_order=True)
        .agg("article_id")
        .iter_rows()
    )
    everyone = demo.customers["customer_id"].to_list()
    by_popularity = dict.fromkeys(everyone, popular)
    by_repurchase = {
        c: own.get(c, []) + [a for a in popular if a not in own.get(c, [])] for c in everyone
    }
    by_truth = dict(demo.truth.select("customer_id", "article_ids").iter_rows())
    popularity = map_at_12(by_popularity, demo.next_week)
    repurchase = map_at_12(by_repurchase, demo.next_week)
    truth = map_at_12(by_truth, demo.next_week)
    assert popularity < repurchase < truth
    assert truth > 1.5 * repurchase
    assert truth == pytest.approx(demo.notes["next_week"]["map"])


def test_baskets_lead_on_to_the_partners_of_what_was_bought(horizon: Horizon) -> None:
    product = horizon.catalogue.product[horizon.purchases.article]
    customer = horizon.purchases.customer
    order = np.argsort(customer, kind="stable")
    product, customer = product[order], customer[order]
    same = customer[1:] == customer[:-1]
    follows = (horizon.catalogue.partner[product[:-1]] == product[1:])[same].mean()
    rng = np.random.default_rng(0)
    chance = np.mean(
        [(horizon.catalogue.partner[product] == rng.permutation(product)).mean() for _ in range(9)]
    )
    assert follows > 1.5 * chance


def test_circles_show_in_baskets_but_not_in_attributes(horizon: Horizon) -> None:
    niches = horizon.catalogue.niches
    circle = niches.circle[horizon.catalogue.niche[horizon.purchases.article]]
    customer = horizon.purchases.customer
    first = np.array([(circle[customer == c] == 0).mean() for c in np.unique(customer)])
    # If circles did not matter, customers would differ by chance only.
    assert first.std() > 0.2
    for attribute in (niches.section, niches.style, niches.palette, niches.tier):
        in_circle = [np.bincount(attribute[niches.circle == c], minlength=30) for c in (0, 1)]
        assert np.array_equal(in_circle[0], in_circle[1])


def test_descriptions_tell_the_style(demo: Written) -> None:
    """Words of one style meet in a description far more often than by chance."""
    text = demo.articles.unique("product_code")["detail_desc"].drop_nulls()
    sporty = text.str.contains("Sporty|Athletic|Functional")
    stripes = text.str.contains("side stripes|drawstring|fast-drying|reflective")
    assert (sporty & stripes).sum() == sporty.sum() > 0


def test_statistics_of_the_demo_are_those_of_a_fashion_shop(demo: Written) -> None:
    s = shop_statistics(demo.rows, demo.articles, demo.customers, demo.next_week)
    assert set(s) == set(MEANINGS)
    assert 0.27 < s["one_week"] < 0.40
    assert 7 <= s["gap_median"] <= 12
    assert s["basket_median"] == 2
    assert 0.60 < s["gini"] < 0.80
    assert 0.12 < s["exact_repeats"] < 0.32
    assert s["jaccard_100"] < 0.6
    assert 1.0 < s["saturday"] < 1.25
    assert 22 <= s["age_q1"] <= 26
    assert 47 <= s["age_q3"] <= 51


# --- statistics by hand --------------------------------------------------------------------


def test_shop_statistics_by_hand() -> None:
    day = dt.date(2020, 9, 22)
    rows = pl.DataFrame(
        [
            # the week before the last: a buys x twice (one row repeated), b buys y
            (day - dt.timedelta(10), "a", "x", 0.1, 1),
            (day - dt.timedelta(10), "a", "x", 0.1, 1),
            (day - dt.timedelta(8), "b", "y", 0.2, 2),
            # the last week: a buys x again and z of the same product, c is new and buys w
            (day - dt.timedelta(3), "a", "x", 0.1, 1),
            (day - dt.timedelta(3), "a", "z", 0.1, 1),
            (day, "c", "w", 0.3, 2),
        ],
        schema=["t_dat", "customer_id", "article_id", "price", "sales_channel_id"],
        orient="row",
    )
    articles = pl.DataFrame(
        {
            "article_id": ["w", "x", "y", "z"],
            "product_code": [4, 1, 2, 1],
            "product_type_name": ["Top", "Top", "Top", "Top"],
        }
    )
    customers = pl.DataFrame({"customer_id": ["a", "b", "c"], "age": [20, 30, None]})
    s = shop_statistics(rows, articles, customers)
    assert s["rows"] == 6
    assert s["buyers"] == 3
    assert s["one_row"] == pytest.approx(2 / 3)
    assert s["one_day"] == pytest.approx(2 / 3)
    assert s["one_week"] == pytest.approx(2 / 3)
    assert s["gap_median"] == 7
    assert s["exact_repeats"] == pytest.approx(2 / 6)
    assert s["basket_mean"] == pytest.approx(6 / 4)
    assert s["mates"] == pytest.approx(2 / 5)  # x and z of five distinct basket articles
    assert s["same_article"] == pytest.approx(1 / 6)
    assert s["same_product"] == pytest.approx(2 / 6)
    assert s["same_type"] == pytest.approx(2 / 6)
    assert s["sold_articles"] == 4
    assert s["life_q3"] == 0  # 0, 0, 0, 7: the nearest rank to 0.75 * 3
    # Sales 1, 1, 1, 3: 2 * (1 + 2 + 3 + 4 * 3) / (4 * 6) - 5 / 4
    assert s["gini"] == pytest.approx(0.25)
    assert s["top_10"] == pytest.approx(0.5)
    assert s["new_buyers"] == pytest.approx(1 / 2)
    assert s["new_articles"] == pytest.approx(2 / 3)
    assert s["next_week_on_sale_before"] == pytest.approx(1 / 3)
    assert s["jaccard_12"] == pytest.approx(1 / 4)  # {x, z, w} against {x, y}
    next_week = pl.DataFrame({"article_id": ["z", "y"]})
    with_next = shop_statistics(rows, articles, customers, next_week)
    assert with_next["next_week_on_sale_before"] == pytest.approx(1 / 2)
