"""A service over a shop whose every text is hostile, and tabs of a browser that show its page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import polars as pl
import pytest
from PIL import Image

from browsing import browser
from hybrids import drawn_hybrid
from modiste.data.dataset import Dataset
from modiste.fitted_run import note_fitted
from modiste.service.bundle import Bundle
from modiste.service.export import export_bundle
from modiste.service.settings import ServiceSettings
from serving import UNHURRIED, serving
from shops import write_prepared

SCRIPT = "</script><script>alert('owned')</script>"
IMAGE = '"\'><img src="http://evil.example/x.png" onerror=alert(1)>&amp;{{ 7 * 7 }}'

N_CUSTOMERS, N_ARTICLES, DAYS = 40, 30, 80
FIRST_DAY = date(2020, 6, 1)

# The id of the first customer is a path trick, a query and a tag in one.
HOSTILE_CUSTOMER = "..?a=b#c%2F/<b>"

BUSY = 4

# Whose photograph the shop has.
PHOTOGRAPHED = "0000000003"

Opened = Callable[..., AbstractContextManager[Any]]


def customer_id(code: int) -> str:
    return HOSTILE_CUSTOMER if code == 0 else f"{code:064d}"


@pytest.fixture(scope="package")
def page_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle with a map, results and later purchases."""
    folder = tmp_path_factory.mktemp("page")
    shop = _hostile_shop(folder / "shop")
    run = folder / "run"
    for stage in ("fit", "map"):
        (run / "stages" / stage).mkdir(parents=True)
    history = shop.until(shop.next_day)
    drawn_hybrid().fit(history).save(run / "stages" / "fit")
    note_fitted(run / "stages" / "fit", history, shop.folder)
    places = np.random.default_rng(2).normal(size=(N_ARTICLES, 2)).astype(np.float32)
    places[-1] = np.nan
    np.save(run / "stages" / "map" / "places.npy", places)
    (run / "metrics.json").write_text(json.dumps(_metrics()), encoding="utf-8")
    later = pl.DataFrame(
        {
            "customer_id": [customer_id(code) for code in range(8) for _ in range(2)],
            "article_id": [f"{article:010d}" for _ in range(8) for article in (0, 1)],
        }
    )
    later.write_csv(folder / "later.csv")
    export_bundle(run, folder / "bundle", purchases=folder / "later.csv")
    return Bundle.open(folder / "bundle")


@pytest.fixture(scope="package")
def service(
    page_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx2.Client]:
    """A client of the service that serves the page."""
    images = tmp_path_factory.mktemp("images")
    (images / PHOTOGRAPHED[:3]).mkdir()
    Image.new("RGB", (20, 30), "teal").save(images / PHOTOGRAPHED[:3] / f"{PHOTOGRAPHED}.jpg")
    with serving(page_bundle, ServiceSettings(limits=UNHURRIED, images=images)) as client:
        yield client


@pytest.fixture(scope="package")
def launched() -> Iterator[Any]:
    with browser() as launched:
        yield launched


@pytest.fixture
def open_view(service: httpx2.Client, launched: Any) -> Opened:
    """Opens a tab at a view's address; afterwards nothing but what is expected has gone wrong."""
    base = str(service.base_url).rstrip("/")

    @contextmanager
    def opened(
        address: str,
        *,
        width: int = 1366,
        height: int = 900,
        scheme: str = "light",
        expected: str | None = None,
    ) -> Iterator[Any]:
        context = launched.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            reduced_motion="reduce",
        )
        tab = context.new_page()
        wrong: list[str] = []

        def note(event: str) -> None:
            if expected is None or expected not in event:
                wrong.append(event)

        def dismiss(dialog: Any) -> None:
            note(f"dialog: {dialog.message}")
            dialog.dismiss()

        def note_foreign(request: Any) -> None:
            if not request.url.startswith(base):
                note(f"request: {request.url}")

        tab.on("console", lambda message: note(f"{message.type}: {message.text}"))
        tab.on("pageerror", lambda error: note(f"error: {error}"))
        tab.on("dialog", dismiss)
        tab.on("request", note_foreign)
        tab.set_default_timeout(60_000)
        tab.goto(f"{base}/{address}")
        tab.wait_for_selector("main[aria-busy=false] h1")
        yield tab
        context.close()
        assert wrong == []

    return opened


def _hostile_shop(folder: Path) -> Dataset:
    rng = np.random.default_rng(7)
    n_rows = 900
    # One customer has more than a page of purchases.
    customers = np.where(np.arange(n_rows) < 100, BUSY, rng.integers(0, N_CUSTOMERS - 2, n_rows))
    names = [SCRIPT, IMAGE, "A name without any end " * 8, "Ordinary trousers"]
    write_prepared(
        folder,
        pl.DataFrame(
            {
                "article": range(N_ARTICLES),
                "product_code": [f"{article // 2:07d}" for article in range(N_ARTICLES)],
                "prod_name": [names[article % 4] for article in range(N_ARTICLES)],
                "product_type_name": [("Dress", IMAGE, None)[a % 3] for a in range(N_ARTICLES)],
                "colour_group_name": [("Dark Blue", SCRIPT)[a % 2] for a in range(N_ARTICLES)],
                "section_name": [(IMAGE, SCRIPT, "Men")[a % 3] for a in range(N_ARTICLES)],
                "index_group_name": [("Ladies", "Sport")[a % 2] for a in range(N_ARTICLES)],
                "detail_desc": [f"{SCRIPT} warm {a}" for a in range(N_ARTICLES)],
            }
        ),
        pl.DataFrame(
            {
                "customer": range(N_CUSTOMERS),
                "customer_id": [customer_id(code) for code in range(N_CUSTOMERS)],
                "age": [None if c % 5 == 1 else 16 + c for c in range(N_CUSTOMERS)],
                "club_member_status": [IMAGE] * N_CUSTOMERS,
            }
        ),
        pl.DataFrame(
            {
                "customer": customers,
                "article": (N_ARTICLES * rng.random(n_rows) ** 2).astype(np.int32),
                "t_dat": [
                    FIRST_DAY + timedelta(days=int(d)) for d in rng.integers(0, DAYS, n_rows)
                ],
                "price": rng.choice([0.01, 0.02, 0.05], n_rows),
                "sales_channel_id": rng.integers(1, 3, n_rows),
            }
        ),
    )
    return Dataset.open(folder)


def _metrics() -> dict[str, Any]:
    """What an evaluation of two models leaves."""

    def scores(mean: float, more: float) -> dict[str, Any]:
        difference = {"mean": more, "low": more - 0.01, "high": more + 0.01}
        precision = {"mean": mean, "low": mean - 0.02, "high": mean + 0.02}
        return {
            "customers": 321,
            "metrics": {"average_precision": {**precision, "difference": difference}},
        }

    return {
        "submission": {"as_of": "2020-08-20"},
        "recommender": "hybrid",
        "weights": {"popularity": 1.0},
        "test": {
            "as_of": "2020-08-13",
            "horizon_days": 7,
            "reference": "popularity",
            "models": {"popularity": scores(0.05, 0.0), "hybrid": scores(0.125, 0.075)},
        },
        "validation": [],
        "settings": {"k": 12},
    }
