"""Settings of the ingest: where a shop's tables lie and how they are read."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class TableSettings(BaseModel):
    """How one table of a shop is found and read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    files: list[str] | None = Field(
        default=None,
        description=(
            "Files or folders, relative to the data folder, or fsspec addresses; glob patterns are "
            "allowed. Left out: the Kaggle names (articles, customers, transactions_train) with "
            "any of the endings that are read."
        ),
    )
    columns: dict[str, str | list[str]] = Field(
        default_factory=dict,
        description=(
            "modiste's column -> the shop's column, or several whose non-empty texts are joined "
            "with a space. Columns with modiste's own names need no entry."
        ),
    )
    separator: Annotated[str, Field(min_length=1, max_length=1)] = Field(
        default=",", description="Character between the fields of a CSV file."
    )
    encoding: str = Field(
        default="utf-8", description="Encoding of CSV files, by Python's names; a BOM is skipped."
    )
    decimal_comma: bool = Field(
        default=False, description="Whether numbers are written with a comma: 12,99."
    )
    date_format: str | None = Field(
        default=None,
        description=(
            "strftime format of dates or timestamps that are not ISO 8601; timestamps are cut to "
            "days."
        ),
    )


class IngestSettings(BaseModel):
    """Settings of the ingest stage."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    articles: TableSettings = Field(default=TableSettings(), description="The table of articles.")
    customers: TableSettings = Field(default=TableSettings(), description="The table of customers.")
    transactions: TableSettings = Field(
        default=TableSettings(), description="The table of transactions."
    )
    unknown_articles: Literal["reject", "add"] = Field(
        default="reject",
        description=(
            "What becomes of a transaction whose article is not in the articles table: rejected, "
            "or the article is added with no attributes. With 'add' the table may be absent."
        ),
    )
    unknown_customers: Literal["reject", "add"] = Field(
        default="reject", description="The same for customers."
    )
    max_reject_share: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.01,
        description="Share of a table's rows that may be rejected before the run stops.",
    )
    partition_customers: Annotated[int, Field(ge=1)] = Field(
        default=65_536,
        description=(
            "Customers in one partition. Peak memory grows with it; results do not depend on it."
        ),
    )
    block_bytes: Annotated[int, Field(ge=1_024)] = Field(
        default=64 * 2**20, description="Bytes of a CSV file that are parsed at once by one worker."
    )
