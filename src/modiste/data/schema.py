"""The columns and dtypes of the three tables: the one place that knows them.

The columns are those of the Kaggle competition "H&M Personalized Fashion Recommendations". Another
shop maps its own columns onto these names; a column that is not required may be missing, and is
then all null.

Prepared tables carry, besides, the dense int32 codes that ids are encoded to: ``article`` (row
number in ``articles.parquet``) and ``customer`` (row number over the ``customers/`` parts).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

import polars as pl

TableName = Literal["articles", "customers", "transactions"]
TABLES: tuple[TableName, ...] = ("articles", "customers", "transactions")

# A transaction before this day is a broken date, not history.
FIRST_DAY = date(1990, 1, 1)

# Ages outside this range (years) are typing errors.
AGES = (0, 120)

CODE = pl.Int32()


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    name
        As in the Kaggle files.
    dtype
        In the prepared table. Ids and categories are strings: a leading zero is part of an id.
    required
        Whether the table makes no sense without it. A required value is never null.
    meaning
        One line for the docs and for error messages.
    between
        Lowest and highest value that is not a typing error; None: whatever the dtype holds.
    """

    name: str
    dtype: pl.DataType
    required: bool
    meaning: str
    between: tuple[int, int] | None = None


def _text(name: str, meaning: str, *, required: bool = False) -> Column:
    return Column(name, pl.String(), required, meaning)


ARTICLES: tuple[Column, ...] = (
    _text("article_id", "identifies an article: a product in one colour", required=True),
    _text("product_code", "groups the colours of one product"),
    _text("prod_name", "name of the product"),
    _text("product_type_no", "code of the product type"),
    _text("product_type_name", "kind of product: trousers, sweater"),
    _text("product_group_name", "group of product types: upper body, shoes"),
    _text("graphical_appearance_no", "code of the appearance"),
    _text("graphical_appearance_name", "pattern: solid, stripe"),
    _text("colour_group_code", "code of the colour"),
    _text("colour_group_name", "colour: dark blue"),
    _text("perceived_colour_value_id", "code of the colour's value"),
    _text("perceived_colour_value_name", "value of the colour: dark, dusty light"),
    _text("perceived_colour_master_id", "code of the main colour"),
    _text("perceived_colour_master_name", "main colour: blue"),
    _text("department_no", "code of the department"),
    _text("department_name", "department of the shop that is responsible for it"),
    _text("index_code", "code of the index"),
    _text("index_name", "part of the range: ladieswear, divided"),
    _text("index_group_no", "code of the index group"),
    _text("index_group_name", "group of indices: ladieswear, baby/children"),
    _text("section_no", "code of the section"),
    _text("section_name", "section: womens everyday basics"),
    _text("garment_group_no", "code of the garment group"),
    _text("garment_group_name", "garment group: jersey basic"),
    _text("detail_desc", "description in words"),
)

CUSTOMERS: tuple[Column, ...] = (
    _text("customer_id", "identifies a customer", required=True),
    Column("FN", pl.Int8(), False, "1: gets fashion news"),
    Column("Active", pl.Int8(), False, "1: active for communication"),
    _text("club_member_status", "status in the customer club"),
    _text("fashion_news_frequency", "how often fashion news is sent"),
    Column("age", pl.Int16(), False, "age in years", AGES),
    _text("postal_code", "postal code (hashed)"),
)

TRANSACTIONS: tuple[Column, ...] = (
    Column("t_dat", pl.Date(), True, "day of the purchase"),
    _text("customer_id", "who bought", required=True),
    _text("article_id", "what was bought", required=True),
    Column("price", pl.Float32(), False, "price paid for one piece, in the shop's unit"),
    Column("sales_channel_id", pl.Int8(), False, "1: shop, 2: online"),
)

COLUMNS: dict[TableName, tuple[Column, ...]] = {
    "articles": ARTICLES,
    "customers": CUSTOMERS,
    "transactions": TRANSACTIONS,
}

# Prepared tables, as the stages read them.
PREPARED_ARTICLES: dict[str, pl.DataType] = {
    "article": CODE,
    **{column.name: column.dtype for column in ARTICLES},
}
PREPARED_CUSTOMERS: dict[str, pl.DataType] = {
    "customer": CODE,
    **{column.name: column.dtype for column in CUSTOMERS},
}
PREPARED_TRANSACTIONS: dict[str, pl.DataType] = {
    "customer": CODE,
    "article": CODE,
    "t_dat": pl.Date(),
    "price": pl.Float32(),
    "sales_channel_id": pl.Int8(),
}
