"""Purchases as a transactions file that the next ingest takes."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path

from modiste.data.schema import TRANSACTIONS
from modiste.engine import atomic_file
from modiste.service.events.store import EventStore


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes
    ----------
    purchases
        Rows of the file.
    returns
        Events that were left out: the ingest knows no returns, and what was sent back was bought.
    """

    purchases: int
    returns: int


def export_purchases(
    store: EventStore, out: Path, since: date | None, until: date | None
) -> Exported:
    """Write the purchases of some days (UTC) as a CSV file in the Kaggle format, oldest first.

    Parameters
    ----------
    store
        Of events.
    out
        The file; an earlier one is replaced when this one is whole.
    since, until
        First day, and the day after the last one; None: all there are.

    Raises
    ------
    EventStoreUnavailableError
        When the store cannot be read now.
    ModisteError
        When the file cannot be written.
    """
    first, end = _midnight(since), _midnight(until)
    rows = 0
    with atomic_file(out) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([column.name for column in TRANSACTIONS])
        for each in store.purchases(first, end):
            writer.writerow(
                [each.time.date(), each.customer_id, each.article_id, each.price, each.channel]
            )
            rows += 1
    return Exported(rows, store.count("return", first, end))


def _midnight(day: date | None) -> datetime | None:
    return None if day is None else datetime.combine(day, time(), UTC)
