"""Fixtures that several folders of tests share."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import settings

from modiste.data.dataset import Dataset
from shops import (
    SMALL_SHOP_ARTICLES,
    SMALL_SHOP_DAYS,
    SMALL_SHOP_START,
    write_prepared,
)

# Those that take longest, which are begun first: none is left to one process when all else is done.
LONGEST = ("test_pipeline.py", "test_real_shops.py", "test_cli.py", "test_no_leak.py")

# How long an example takes is the machine's matter: nothing is asserted by the clock.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(scope="session", autouse=True)
def _one_thread_of_torch() -> None:
    """Let the tests' processes share the cores, not each of them take all."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def small_shop(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Give 90 customers in three partitions with 40 articles over 60 days; every ninth is cold.

    Customers have favourites and buy them again, and some articles sell better than others, so
    that both repurchase and popularity earn something.
    """
    rng = np.random.default_rng(11)
    n_customers, n_articles, n_rows = 90, SMALL_SHOP_ARTICLES, 1500
    buyers = np.array([c for c in range(n_customers) if c % 9], dtype=np.int32)
    customer = rng.choice(buyers, n_rows)
    popular = (n_articles * rng.random(n_rows) ** 2).astype(np.int32)
    favourite = (customer * 7 + rng.integers(0, 3, n_rows)) % n_articles
    days = np.sort(rng.integers(0, SMALL_SHOP_DAYS, n_rows))
    folder = write_prepared(
        tmp_path_factory.mktemp("small_shop"),
        articles=pl.DataFrame(
            {
                "article": range(n_articles),
                "product_code": [f"{article // 2:07d}" for article in range(n_articles)],
                "section_name": [f"section {article % 4}" for article in range(n_articles)],
                "department_name": [f"department {article % 5}" for article in range(n_articles)],
                "detail_desc": [f"article number {article}" for article in range(n_articles)],
            }
        ),
        customers=pl.DataFrame(
            {
                "customer": range(n_customers),
                "age": [None if c % 10 == 0 else 16 + c % 60 for c in range(n_customers)],
            }
        ),
        transactions=pl.DataFrame(
            {
                "customer": customer,
                "article": np.where(rng.random(n_rows) < 0.5, favourite, popular),
                "t_dat": [SMALL_SHOP_START + timedelta(days=int(day)) for day in days],
                "price": rng.choice([0.1, 0.2, 0.5], n_rows),
                "sales_channel_id": rng.integers(1, 3, n_rows),
            }
        ),
        partition_customers=30,
    )
    return Dataset.open(folder)
