"""Statistics of the shop: what all rows at once give, partition by partition."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modiste.data.dataset import Dataset
from modiste.report.figures import plot_text, shop_figures
from modiste.report.shop import ShopStatistics, shop_statistics
from shops import write_prepared


def test_a_worked_example(tmp_path: Path) -> None:
    day = date(2020, 3, 2)  # a Monday
    shop = _statistics(
        tmp_path,
        pl.DataFrame({"article": [0, 1, 2], "section_name": ["a", "b", None]}),
        pl.DataFrame({"customer": [0, 1, 2], "age": [30, None, 30]}),
        pl.DataFrame(
            {
                "customer": [0, 0, 0, 1, 1],
                "article": [0, 0, 1, 0, 2],
                "t_dat": [day, day, day.replace(day=5), day, day.replace(day=9)],
                "price": [1.0, 1.0, 10.0, None, 0.0],
            }
        ),
        as_of=day.replace(day=9),
    )
    assert (shop.customers, shop.buyers, shop.articles, shop.sold_articles) == (3, 2, 3, 2)
    assert shop.transactions == 4
    assert shop.sales_by_day.rows() == [
        (day, 3),
        (day.replace(day=3), 0),
        (day.replace(day=4), 0),
        (day.replace(day=5), 1),
    ]
    assert shop.sales_by_weekday.rows() == [(1, 3.0), (2, 0.0), (3, 0.0), (4, 1.0)]
    assert shop.purchases.rows() == [(0, 1), (1, 1), (3, 1)]
    assert shop.gaps.rows() == [(3, 1)]
    assert shop.baskets.rows() == [(1, 2), (2, 1)]
    assert shop.ages.rows() == [(30, 2)]
    assert shop.lives.rows() == [(1, 2)]
    assert shop.sections.rows() == [("a", 3), ("b", 1)]
    assert shop.prices["count"].sum() == 3
    assert shop.prices["low"][0] == pytest.approx(1.0)
    assert shop.prices["high"][-1] > 10
    assert shop.lorenz.rows() == [(0.0, 0.0), (0.5, 0.25), (1.0, 1.0)]
    assert shop.gini == pytest.approx(0.25)


def test_gini_as_by_its_definition(small_shop: Dataset) -> None:
    history = small_shop.until(small_shop.next_day)
    sales = history.article_sales.group_by("article").agg(pl.col("sales").sum())["sales"].to_numpy()
    differences = np.abs(np.subtract.outer(sales.astype(float), sales.astype(float)))
    expected = differences.mean() / 2 / sales.mean()
    assert shop_statistics(history).gini == pytest.approx(expected)


def test_partitions_do_not_matter(small_shop: Dataset, tmp_path: Path) -> None:
    tables = [
        pl.read_parquet(small_shop.folder / name)
        for name in ("articles.parquet", "customers/*.parquet", "transactions/*.parquet")
    ]
    whole = _statistics(tmp_path, tables[0], tables[1], tables[2], as_of=small_shop.next_day)
    parts = shop_statistics(small_shop.until(small_shop.next_day))
    for name, value in vars(whole).items():
        other = getattr(parts, name)
        assert value.equals(other) if isinstance(value, pl.DataFrame) else value == other


def test_columns_that_a_shop_does_not_have_are_not_drawn(tmp_path: Path) -> None:
    shop = _statistics(
        tmp_path,
        pl.DataFrame({"article": [0]}),
        pl.DataFrame({"customer": [0]}),
        pl.DataFrame({"customer": [0], "article": [0], "t_dat": [date(2020, 1, 1)]}),
        as_of=date(2020, 1, 2),
    )
    drawn = {name for name, *_ in shop_figures(shop)}
    assert drawn == {
        "sales-by-day",
        "sales-by-weekday",
        "purchases",
        "baskets",
        "lives",
        "lorenz",
    }


def test_a_shop_without_a_sale(tmp_path: Path) -> None:
    shop = _statistics(
        tmp_path,
        pl.DataFrame({"article": [0], "section_name": ["a"]}),
        pl.DataFrame({"customer": [0], "age": [20]}),
        pl.DataFrame({"customer": [0], "article": [0], "t_dat": [date(2020, 1, 1)]}),
        as_of=date(2020, 1, 1),
    )
    assert {name for name, *_ in shop_figures(shop)} == {"purchases", "ages"}


def test_texts_in_plots_are_shown_as_they_are() -> None:
    assert plot_text("<b>men\n & women</b>") == "&lt;b&gt;men &amp; women&lt;/b&gt;"
    assert len(plot_text("x" * 100)) < 30


def _statistics(
    folder: Path,
    articles: pl.DataFrame,
    customers: pl.DataFrame,
    transactions: pl.DataFrame,
    as_of: date,
) -> ShopStatistics:
    write_prepared(folder / "shop", articles, customers, transactions)
    return shop_statistics(Dataset.open(folder / "shop").until(as_of))
