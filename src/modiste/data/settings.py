"""Settings of the ingest: where a shop's tables lie and how they are read."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from modiste.data.schema import COLUMNS


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
            "with a space; an empty list: not read. Columns with modiste's own names need no entry."
        ),
    )
    separator: Annotated[str, Field(pattern=r'^[^"\r\n\x80-\U0010ffff]$')] = Field(
        default=",", description="Character (ASCII) between the fields of a CSV file."
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

    @model_validator(mode="after")
    def _known_columns(self) -> Self:
        for table, columns in COLUMNS.items():
            known = [column.name for column in columns]
            for name in getattr(self, table).columns:
                if name not in known:
                    near = get_close_matches(name, known, n=1)
                    hint = f", did you mean {near[0]!r}?" if near else ""
                    raise ValueError(
                        f"{table}.columns: {name!r} is none of modiste's columns{hint} "
                        f"They are {', '.join(known)}"
                    )
        return self
