"""What was done after the bundle's date counts as if the night had seen it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

import httpx2
import numpy as np
import polars as pl
import pytest

from hybrids import drawn_hybrid
from modiste.data.dataset import CustomerBatch, Dataset
from modiste.fitted_run import note_fitted
from modiste.ranking.rules import Rules
from modiste.service.answering import Answering, NotKnownError
from modiste.service.bundle import Bundle
from modiste.service.export import export_bundle
from modiste.service.live_events import EventKind, LiveEvent
from modiste.service.settings import LiveSettings, ServiceSettings
from serving import UNHURRIED, serving

# Pairs of a customer and a moment.
MOMENTS, CUSTOMERS = 12, 84

# The bundle is as of so many days before the shop's end: later purchases are live ones.
LIVE_DAYS = 20


class Events:
    """Events in memory."""

    def __init__(self, *erased: str) -> None:
        self.erased = set(erased)
        self.events: dict[str, list[LiveEvent]] = {}

    def add(self, customer_id: str, *events: LiveEvent) -> None:
        self.events.setdefault(customer_id, []).extend(events)

    def of_customer(self, customer_id: str, since: date) -> Sequence[LiveEvent]:
        return [each for each in self.events.get(customer_id, []) if each.time.date() >= since]

    def is_erased(self, customer_id: str) -> bool:
        return customer_id in self.erased


def at(day: date, hour: int = 12) -> datetime:
    return datetime.combine(day, time(hour), UTC)


def event(article_id: str, day: date, kind: EventKind = "purchase") -> LiveEvent:
    return LiveEvent(article_id, kind, at(day), 0.2, 2)


@pytest.fixture(scope="module")
def earlier(small_shop: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle as of a day with purchases after it."""
    folder = tmp_path_factory.mktemp("earlier")
    fit = folder / "run" / "stages" / "fit"
    fit.mkdir(parents=True)
    history = small_shop.until(small_shop.next_day - timedelta(days=LIVE_DAYS))
    drawn_hybrid().fit(history).save(fit)
    note_fitted(fit, history, small_shop.folder)
    export_bundle(folder / "run", folder / "bundle")
    return Bundle.open(folder / "bundle")


@pytest.fixture(scope="module")
def later(small_shop: Dataset) -> pl.DataFrame:
    """All customers' purchases to the shop's end, in the order of the tables."""
    return pl.concat(
        batch.transactions for batch in small_shop.until(small_shop.next_day).batches()
    )


@pytest.fixture
def article_ids(earlier: Bundle) -> list[str]:
    return earlier.articles["article_id"].to_list()


def differing(online: pl.DataFrame, offline: pl.DataFrame) -> list[str]:
    """Names of the columns that are not the same to the last bit."""
    assert online.schema == offline.schema
    return [name for name in online.columns if not online[name].equals(offline[name])]


def test_features_are_the_same_offline_and_online(
    earlier: Bundle, later: pl.DataFrame, small_shop: Dataset, article_ids: list[str]
) -> None:
    """Of customers and moments drawn at random: the night's tables against bundle and events."""
    start, customers = earlier.manifest.as_of, earlier.customers
    rng = np.random.default_rng(8)
    settings = LiveSettings(horizon_days=LIVE_DAYS)
    compared = with_events = 0
    for moment in rng.choice(LIVE_DAYS + 1, MOMENTS, replace=False):
        as_of = start + timedelta(days=int(moment))
        events = Events()
        for customer, article, day, price, channel in later.filter(
            pl.col("t_dat").is_between(start, as_of, closed="left")
        ).iter_rows():
            own = LiveEvent(article_ids[article], "purchase", at(day), price, channel)
            events.add(customers.customer_id(customer), own)
        answering = Answering(earlier, events, settings)
        drawn = {int(code) for code in rng.choice(len(customers), CUSTOMERS, replace=False)}
        visitors = {code: answering.customer(customers.customer_id(code)) for code in drawn}
        # Whoever bought nothing lately is seen as of an earlier day than the night would.
        for seen_from in {visitor.batch.as_of for visitor in visitors.values()}:
            codes = [code for code in drawn if visitors[code].batch.as_of == seen_from]
            nightly = [batch.only(pl.Series(codes)) for batch in small_shop.until(as_of).batches()]
            offline = earlier.hybrid.rows(
                CustomerBatch(
                    seen_from,
                    pl.concat(batch.customers for batch in nightly),
                    pl.concat(batch.transactions for batch in nightly),
                )
            )
            for code in codes:
                online = earlier.hybrid.rows(visitors[code].batch)
                assert differing(online, offline.filter(customer=code)) == []
                compared += 1
                with_events += bool(visitors[code].live_events)
    assert compared == MOMENTS * CUSTOMERS >= 1_000
    assert with_events > compared / 4


def test_the_next_answer_counts_a_purchase(earlier: Bundle, article_ids: list[str]) -> None:
    customer = earlier.customers.customer_id(0)
    assert earlier.customers.batch([0]).transactions.is_empty()
    events = Events()
    with serving(earlier, ServiceSettings(limits=UNHURRIED), events) as client:
        path = f"/v1/customers/{customer}"
        cold = client.get(f"{path}/recommendations").json()
        assert cold["live_events"] == 0
        assert cold["as_of"] == earlier.manifest.as_of.isoformat()
        events.add(customer, event(article_ids[30], earlier.manifest.as_of))
        warm = client.get(f"{path}/recommendations").json()
        assert warm["live_events"] == 1
        assert warm["as_of"] == (earlier.manifest.as_of + timedelta(days=1)).isoformat()
        assert warm["recommendations"] != cold["recommendations"]
        profile = client.get(path).json()
        assert [each["article"]["article_id"] for each in profile["history"]] == [article_ids[30]]
        assert profile["segment"] == "lately"


def test_a_new_customer_is_known_by_its_events(earlier: Bundle, article_ids: list[str]) -> None:
    events = Events()
    answering = Answering(earlier, events)
    with pytest.raises(NotKnownError):
        answering.customer("a new one")
    events.add("a new one", event(article_ids[3], earlier.manifest.as_of))
    assert answering.customer("a new one").live_events == 1


def test_nothing_is_left_of_who_was_erased(earlier: Bundle, article_ids: list[str]) -> None:
    customer = earlier.customers.customer_id(1)
    assert earlier.customers.batch([1]).transactions.height
    events = Events(customer)
    answering = Answering(earlier, events)
    with pytest.raises(NotKnownError):
        answering.customer(customer)
    events.add(customer, event(article_ids[5], earlier.manifest.as_of))
    found = answering.customer(customer)
    assert found.batch.transactions["article"].to_list() == [5]
    assert found.batch.customers["age"].to_list() == [None]


def test_returns_take_purchases_back(earlier: Bundle, article_ids: list[str]) -> None:
    day = earlier.manifest.as_of
    own = earlier.customers.batch([1]).transactions
    customer = earlier.customers.customer_id(1)
    article = own["article"][-1]
    events = Events()
    answering = Answering(earlier, events)
    events.add(customer, event(article_ids[article], day, "return"))
    found = answering.customer(customer).batch
    assert found.transactions.equals(own[:-1])
    assert found.as_of == day
    # Bought again and given back: the bundle's purchase stays gone, the later one goes.
    events.add(
        customer,
        event(article_ids[article], day),
        event(article_ids[article], day + timedelta(days=1), "return"),
    )
    assert answering.customer(customer).batch.transactions.equals(own[:-1])
    # What was never bought cannot be given back.
    never = next(n for n in range(40) if n not in own["article"])
    events.events[customer] = [event(article_ids[never], day, "return")]
    assert answering.customer(customer).batch.transactions.equals(own)


def test_views_count_and_are_not_bought(earlier: Bundle, article_ids: list[str]) -> None:
    day = earlier.manifest.as_of
    customer = earlier.customers.customer_id(0)
    events = Events()
    events.add(customer, event(article_ids[2], day, "view"), event(article_ids[4], day))
    visitor = Answering(earlier, events).customer(customer)
    assert visitor.batch.transactions["article"].to_list() == [2, 4]
    assert visitor.bought["article"].to_list() == [4]
    drop = Rules(already_bought="drop")
    shown = [each.article for each in Answering(earlier, events).recommend(visitor, 40, drop)]
    assert 2 in shown
    assert 4 not in shown
    purchases_alone = LiveSettings(counted=frozenset({"purchase"}))
    alone = Answering(earlier, events, purchases_alone).customer(customer)
    assert alone.batch.transactions["article"].to_list() == [4]


def test_an_old_bundle_does_not_age_its_customers(earlier: Bundle, article_ids: list[str]) -> None:
    customer = earlier.customers.customer_id(1)
    events = Events()
    events.add(customer, event(article_ids[7], earlier.manifest.as_of + timedelta(days=900)))
    batch = Answering(earlier, events).customer(customer).batch
    assert batch.as_of == earlier.manifest.as_of + timedelta(days=7)
    assert batch.transactions["t_dat"][-1] == earlier.manifest.as_of + timedelta(days=6)


def test_a_session_is_a_customer_of_whom_no_more_is_known(
    client: httpx2.Client, bundle: Bundle
) -> None:
    ids = bundle.articles["article_id"].to_list()
    seen = [{"article_id": ids[7]}, {"article_id": ids[8], "days_ago": 3}]
    answer = client.post("/v1/sessions/recommendations", json={"articles": seen, "k": 5})
    assert answer.status_code == 200, answer.text
    visitor = Answering(bundle).visitor([(7, 0), (8, 3)])
    days = visitor.batch.transactions["t_dat"].to_list()
    assert [(bundle.manifest.as_of - day).days for day in days] == [4, 1]
    expected = bundle.hybrid.recommend(visitor.batch, 5)["article"]
    shown = [each["article_id"] for each in answer.json()["recommendations"]]
    assert shown == [ids[article] for article in expected]
    nothing = client.post("/v1/sessions/recommendations", json={"articles": []}).json()
    assert nothing["recommendations"] != answer.json()["recommendations"]
    unknown = client.post("/v1/sessions/recommendations", json={"articles": [{"article_id": "?"}]})
    assert unknown.status_code == 404
