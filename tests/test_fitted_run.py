"""A run opened to be explained: what is missing is said, and hostile texts stay texts."""

from __future__ import annotations

import json
import shutil
import unicodedata
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from hybrids import drawn_hybrid
from modiste.cli import app
from modiste.data.dataset import Dataset
from modiste.errors import DataError
from modiste.evaluation.protocol import Recommender
from modiste.fitted_run import FITTED, FittedRun, note_fitted
from modiste.models.blend import Blend
from modiste.ranking.rules import Rules
from shops import write_prepared

FIRST = date(2021, 1, 1)
AS_OF = FIRST + timedelta(days=60)

# What a terminal, a page or a table might obey: colours, a title, bells, a line of its own, writing
# from right to left, markup of Rich and of HTML.
HOSTILE = (
    "\x1b[31mred\x1b]0;owned\x07",
    "line\nbreak\rback\u2028end",
    "\u202eright to left\u2066",
    "\x9b2Jclear",
    "[bold]markup[/bold] [/oops]",
    "<script>alert(1)</script>&amp;",
    "\U000e0041tag \u200dمرحبا 👩‍👧 ‘é’ 中文",
    "a" * 300,
)
ARTICLE_IDS = [*HOSTILE[:3], "0700", "0701", "0702", "00703", "0704"]
CUSTOMER_IDS = [f"{text} and more, so that it is long" for text in HOSTILE]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight customers in two partitions, eight articles of four products; one was never sold."""
    n = range(8)
    return write_prepared(
        tmp_path_factory.mktemp("hostile"),
        pl.DataFrame(
            {
                "article": n,
                "article_id": ARTICLE_IDS,
                "product_code": [f"{article // 2}" for article in n],
                "prod_name": [*HOSTILE[:7], None],
                "colour_group_name": HOSTILE,
                "department_name": [HOSTILE[article % 3] for article in n],
                "product_type_name": HOSTILE,
            }
        ),
        pl.DataFrame({"customer": n, "customer_id": CUSTOMER_IDS, "age": [30] * 8}),
        pl.DataFrame(
            {
                # The last customer never bought.
                "customer": [day % 7 for day in range(60)],
                "article": [day * 3 % 7 for day in range(60)],
                "t_dat": [FIRST + timedelta(days=day) for day in range(60)],
                "price": [0.5] * 60,
                "sales_channel_id": [1] * 60,
            }
        ),
        partition_customers=4,
    )


def _fitted(run: Path, recommender: Recommender, prepared: Path, noted: Path | None) -> Path:
    """What the stage ``fit`` leaves."""
    history = Dataset.open(prepared).until(AS_OF)
    folder = run / "stages" / "fit"
    folder.mkdir(parents=True)
    recommender.fit(history).save(folder)
    note_fitted(folder, history, noted)
    return run


@pytest.fixture(scope="module")
def run(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    hybrid = drawn_hybrid(rules=Rules(exclude_articles=("0701",)))
    return _fitted(tmp_path_factory.mktemp("fitted") / "run", hybrid, prepared, prepared)


def explain(run: Path, *arguments: str) -> str:
    # An id may begin with whatever an option begins with.
    done = CliRunner().invoke(app, ["explain", "--run", str(run), *arguments])
    assert done.exit_code == 0, done.exception
    return done.output


def assert_harmless(text: str) -> None:
    unseen = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    allowed = {"\n", "\u200c", "\u200d"}
    assert [c for c in text if unicodedata.category(c) in unseen and c not in allowed] == []


@pytest.mark.parametrize("customer", range(8))
def test_the_list_with_its_reasons(customer: int, run: Path) -> None:
    whole = CUSTOMER_IDS[customer]
    printed = explain(run, "--", whole)
    answer = json.loads(explain(run, "--json", "--", whole))
    for output in (printed, json.dumps(answer, ensure_ascii=False)):
        assert whole not in output
    assert answer["customer"] == f"{whole[:12]}…"
    assert answer["as_of"] == AS_OF.isoformat()
    fitted = FittedRun.open(run)
    expected = fitted.customer(whole).shown["article"].to_list()
    assert [each["article"]["code"] for each in answer["shown"]] == expected
    assert [each["place"] for each in answer["shown"]] == [*range(1, len(expected) + 1)]
    assert_harmless(printed)
    assert_harmless(explain(run, "--json", "--", whole))


@pytest.mark.parametrize("article", range(8))
def test_one_article(article: int, run: Path) -> None:
    whole, asked = CUSTOMER_IDS[2], ARTICLE_IDS[article]
    printed = explain(run, "--", whole, asked)
    raw = explain(run, "--json", "--", whole, asked)
    answer = json.loads(raw)
    assert answer["evidence"]["article"]["article_id"] == asked
    assert answer["evidence"]["article"]["colour"] == HOSTILE[article]
    assert whole not in json.dumps(answer, ensure_ascii=False)
    assert_harmless(printed)
    assert_harmless(raw)
    if answer["shown_at"] is None:
        assert "Why not: " in printed
        assert answer["reason"] is None
        assert answer["why_not"]
    else:
        assert f"Shown at place {answer['shown_at']} of {answer['candidates']}" in printed
        assert "Why: " in printed
        assert sum(each["part"] for each in answer["scorers"]) == pytest.approx(answer["score"])
    if article == 4:
        assert answer["rules"] == ["exclude_articles"]
        assert "never shows this article" in printed
    if article == 7:
        assert answer["absence"]["kind"] == "not on sale"


def test_so_many_as_were_asked_for(run: Path) -> None:
    whole = CUSTOMER_IDS[0]
    assert len(json.loads(explain(run, "-k", "2", "--json", "--", whole))["shown"]) == 2
    assert json.loads(explain(run, "-k", "2", "--json", "--", whole, "0700"))["k"] == 2


def test_unknown_ids(run: Path) -> None:
    fitted = FittedRun.open(run)
    for unknown, near in (("700", "'0700'"), ("703", "'00703'"), ("0705", "did you mean")):
        with pytest.raises(DataError, match=near):
            fitted.code(unknown)
    # Half a character, as a terminal in another encoding gives; and who is near is not told.
    for unknown in ("\udce9", "", CUSTOMER_IDS[3][:-1]):
        with pytest.raises(DataError, match="give the whole id") as raised:
            fitted.customer(unknown)
        assert "did you mean" not in str(raised.value)
        assert CUSTOMER_IDS[3] not in str(raised.value)
    with pytest.raises(DataError, match="no article"):
        fitted.code("\udce9")


def test_what_is_no_run(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DataError, match="no finished run"):
            FittedRun.open(folder)


def test_a_run_without_a_ranking(prepared: Path, tmp_path: Path) -> None:
    run = _fitted(tmp_path / "run", Blend(), prepared, prepared)
    with pytest.raises(DataError, match=r"no ranking \(ranking.enabled=false\)"):
        FittedRun.open(run)


def test_tables_that_were_moved(run: Path, prepared: Path, tmp_path: Path) -> None:
    """Of a prepared folder elsewhere and of the run's own."""
    moved, away = tmp_path / "moved", tmp_path / "away"
    shutil.copytree(prepared, away)
    shutil.copytree(run, moved)
    noted = json.loads((moved / "stages" / "fit" / FITTED).read_text())
    assert noted["data"] == str(prepared)
    (moved / "stages" / "fit" / FITTED).write_text(json.dumps({**noted, "data": "/nowhere"}))
    with pytest.raises(DataError, match="--data"):
        FittedRun.open(moved)
    assert FittedRun.open(moved, away).history.n_articles == 8
    assert explain(moved, "--data", str(away), "--", CUSTOMER_IDS[0]) == explain(
        run, "--", CUSTOMER_IDS[0]
    )
    (moved / "stages" / "fit" / FITTED).write_text(json.dumps({**noted, "data": None}))
    shutil.copytree(prepared, moved / "stages" / "ingest")
    assert FittedRun.open(moved).history.n_articles == 8


def test_tables_of_another_shop(run: Path, tmp_path: Path) -> None:
    other = write_prepared(
        tmp_path,
        pl.DataFrame({"article": range(3)}),
        pl.DataFrame({"customer": range(2)}),
        pl.DataFrame({"customer": [0], "article": [0], "t_dat": [FIRST]}),
    )
    with pytest.raises(DataError, match="has 3 articles and 2 customers"):
        FittedRun.open(run, other)


@pytest.mark.parametrize("text", ["", "{}", '{"as_of": "yesterday"}', "[]"])
def test_a_damaged_note(text: str, run: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "run"
    shutil.copytree(run, damaged)
    (damaged / "stages" / "fit" / FITTED).write_text(text)
    with pytest.raises(DataError, match="stage 'fit' again"):
        FittedRun.open(damaged)


def test_one_customer_is_read_as_with_all_others(prepared: Path) -> None:
    history = Dataset.open(prepared).until(AS_OF - timedelta(days=20))
    for batch in history.batches():
        for code, customer_id in batch.customers.select("customer", "customer_id").iter_rows():
            alone, among = history.customer(customer_id), batch.only(pl.Series([code]))
            assert alone is not None
            assert alone.as_of == among.as_of
            assert alone.customers.equals(among.customers)
            assert alone.transactions.equals(among.transactions)
