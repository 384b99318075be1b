"""What is exported is what the next night's ingest takes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from modiste.cli import app as command_line
from modiste.data.dataset import Dataset
from modiste.data.ingest import ingest
from modiste.data.settings import IngestSettings
from modiste.engine import Engine
from modiste.service.events.event import Event
from modiste.service.events.store import EventStore

_FIRST_DAY = date(2020, 7, 31)


def event(number: int, kind: str = "purchase", **values: object) -> Event:
    time = datetime.combine(_FIRST_DAY, datetime.min.time(), UTC) + timedelta(hours=8 * number)
    given: dict[str, object] = {
        "event_id": f"event {number}",
        "customer_id": "anna",
        "article_id": "0001",
        "kind": kind,
        "time": time,
    }
    return Event.model_validate({**given, **values})


@pytest.fixture
def filled_store(tmp_path: Path) -> str:
    """Twelve events of four days, nine of them purchases."""
    url = str(tmp_path / "events.sqlite")
    store = EventStore.create(url)
    kinds = ["purchase", "purchase", "view", "purchase", "purchase", "return"]
    store.append([event(n, kinds[n % 6]) for n in range(10)])
    store.append(
        [event(10, customer_id='bo, "the new"', price=0.25, channel=2), event(11, price=0.1)]
    )
    store.close()
    return url


def exported(url: str, out: Path, *options: str) -> tuple[list[str], str]:
    """The file's lines, and what the command says."""
    command = ["events", "export", "--store", url, "--out", str(out), *options]
    done = CliRunner().invoke(command_line, command)
    assert done.exit_code == 0, done.output
    return out.read_text().splitlines(), done.output


def test_purchases_in_the_kaggle_format(filled_store: str, tmp_path: Path) -> None:
    lines, said = exported(filled_store, tmp_path / "out.csv")
    assert lines[0] == "t_dat,customer_id,article_id,price,sales_channel_id"
    assert lines[1] == "2020-07-31,anna,0001,,"
    assert lines[-2:] == ['2020-08-03,"bo, ""the new""",0001,0.25,2', "2020-08-03,anna,0001,0.1,"]
    assert "9 purchases" in said
    assert "1 returns are left out" in said
    days = [line[:10] for line in lines[1:]]
    assert days == sorted(days)


def test_of_some_days(filled_store: str, tmp_path: Path) -> None:
    whole, _ = exported(filled_store, tmp_path / "whole.csv")
    days = {line[:10] for line in whole[1:]}
    for day in sorted(days):
        after = str(date.fromisoformat(day) + timedelta(days=1))
        lines, _ = exported(filled_store, tmp_path / "day.csv", "--from", day, "--until", after)
        assert lines[1:] == [line for line in whole if line.startswith(day)]
    assert len(days) == 4


def test_without_purchases_it_has_its_header_alone(filled_store: str, tmp_path: Path) -> None:
    lines, said = exported(filled_store, tmp_path / "out.csv", "--until", "2020-01-01")
    assert lines == ["t_dat,customer_id,article_id,price,sales_channel_id"]
    assert "0 purchases" in said


def test_what_is_erased_is_not_exported(filled_store: str, tmp_path: Path) -> None:
    store = EventStore.open(filled_store)
    store.erase("anna", datetime.now(UTC))
    store.close()
    lines, _ = exported(filled_store, tmp_path / "out.csv")
    assert [line.split(",")[1] for line in lines[1:]] == ['"bo']


def test_the_next_ingest_takes_it(filled_store: str, tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / "articles.csv").write_text("article_id\n0001\n0002\n")
    (shop / "customers.csv").write_text("customer_id\nanna\n")
    (shop / "transactions_train.csv").write_text(
        "t_dat,customer_id,article_id,price,sales_channel_id\n2020-07-30,anna,0002,0.5,1\n"
    )
    exported(filled_store, shop / "live.csv")
    settings = IngestSettings.model_validate(
        {
            "transactions": {"files": ["transactions_train.csv", "live.csv"]},
            "unknown_customers": "add",
        }
    )
    with Engine() as engine:
        ingest(str(shop), tmp_path / "prepared", settings, engine)
    dataset = Dataset.open(tmp_path / "prepared")
    history = dataset.until(dataset.next_day)
    rows = pl.concat([batch.transactions for batch in history.batches()])
    assert rows.height == 10
    assert dataset.last_day == date(2020, 8, 3)
    names = pl.concat([batch.customers for batch in history.batches()])["customer_id"].to_list()
    assert names == ["anna", 'bo, "the new"']
    assert rows.filter(pl.col("customer") == 1).select(
        "t_dat", "price", "sales_channel_id"
    ).rows() == [(date(2020, 8, 3), 0.25, 2)]


def test_what_was_pruned_changes_no_export(filled_store: str, tmp_path: Path) -> None:
    before, _ = exported(filled_store, tmp_path / "before.csv")
    command = ["events", "prune", "--store", filled_store, "--until", "2020-08-02"]
    done = CliRunner().invoke(command_line, command)
    assert done.exit_code == 0, done.output
    assert "2 views, carts and returns of before 2020-08-02 are deleted" in done.output
    assert exported(filled_store, tmp_path / "after.csv")[0] == before
    missing = CliRunner().invoke(command_line, [*command[:3], str(tmp_path / "no"), *command[4:]])
    assert missing.exit_code != 0
    assert not (tmp_path / "no").exists()
