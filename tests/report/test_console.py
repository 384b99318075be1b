"""Tables on the terminal: whole figures in any width, and no markup from the shop's texts."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from rich.console import Console

from modiste.data.manifest import Manifest
from modiste.report.console import (
    print_ingest_account,
    print_results,
    print_scores,
    print_similar_customers,
)
from modiste.report.results import readable, signed


@dataclass(frozen=True)
class Result:
    folder: Path
    metrics: dict[str, Any]


@pytest.fixture
def result(run: Any, tmp_path: Path) -> Result:
    (tmp_path / "metrics.json").write_text("{}", encoding="utf-8")
    return Result(tmp_path, run.metrics)


def _printed(width: int) -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, width=width), text


@pytest.mark.parametrize("width", [36, 60, 90, 200])
def test_results_have_whole_figures(result: Result, width: int) -> None:
    console, text = _printed(width)
    print_results(result, console)
    printed = text.getvalue()
    figures = printed.split()
    for model in result.metrics["test"]["models"].values():
        score = model["metrics"]["average_precision"]
        assert f"{score['mean']:.4f}" in figures
        assert f"[{score['low']:.4f}, {score['high']:.4f}]" in printed
        assert f"{model['catalogue']['coverage']:.1%}" in figures
    assert "…" not in printed
    assert str(result.folder / "metrics.json") in printed
    assert "submission.csv" not in printed  # this run has none
    table = [line for line in printed.splitlines() if str(result.folder) not in line]
    assert max(map(len, table)) <= width


def test_what_is_submitted_is_first_then_the_best(result: Result) -> None:
    console, text = _printed(200)
    print_results(result, console)
    rows = [line.split("  ")[0] for line in text.getvalue().splitlines()[3:]]
    models = result.metrics["test"]["models"]
    best = max(models, key=lambda name: models[name]["metrics"]["average_precision"]["mean"])
    assert best != "blend"
    assert rows[:2] == ["blend", readable(best)]
    assert "Ranking" not in text.getvalue()


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.001, 0.003, "beyond chance"),
        (-0.003, -0.001, "beyond chance"),
        (-0.001, 0.003, "within what chance alone may do"),
    ],
)
def test_the_hybrid_is_first_with_what_it_gained(
    ranked_run: Any, tmp_path: Path, low: float, high: float, said: str
) -> None:
    gain = {"difference": (low + high) / 2, "low": low, "high": high, "share_positive": 0.5}
    ranking = ranked_run.metrics["ranking"]
    gains = {**ranking["gains"], "blend": gain}
    metrics = {**ranked_run.metrics, "ranking": {**ranking, "gains": gains}}
    console, text = _printed(200)
    print_results(Result(tmp_path, metrics), console)
    lines = text.getvalue().splitlines()
    assert lines[3].startswith("hybrid ")
    assert (
        f"Ranking: {signed(gain['difference'])} MAP@12 [{low:+.4f}, {high:+.4f}] beside the blend "
        f"on the same customers, {said}."
    ) in lines


def test_piped_results_are_not_cut(result: Result, capsys: pytest.CaptureFixture[str]) -> None:
    print_results(result)
    printed = capsys.readouterr().out
    assert printed.count("coverage") == 1
    assert "\x1b" not in printed


@pytest.mark.parametrize("width", [40, 120])
def test_ingest_account(run: Any, width: int) -> None:
    manifest = Manifest.read(run.dataset.folder)
    account = manifest.tables["transactions"].model_copy(
        update={"rows_in": 31_788_324, "rejected": {"[bold]no such article[/bold]": 1_234_567}}
    )
    tables = {**manifest.tables, "transactions": account}
    console, text = _printed(width)
    print_ingest_account(manifest.model_copy(update={"tables": tables}), Path("/prepared"), console)
    printed = text.getvalue()
    assert "31,788,324" in printed
    assert printed.count("1,234,567") == 2
    assert "[bold]" in printed
    assert "/prepared/rejects" in printed


def test_scores() -> None:
    scores = pl.DataFrame(
        {"customer": [1, 2], "n_labels": [1, 1], "average_precision": [0.5, 0.25], "hit": [1, 1]}
    )
    console, text = _printed(80)
    print_scores(scores, console=console)
    assert "2 customers" in text.getvalue()
    assert ["MAP@12", "0.37500"] in [line.split() for line in text.getvalue().splitlines()]
    assert "best possible" not in text.getvalue()
    print_scores(scores, console=console, ceiling=0.75)
    assert "That is 50.0% of the best possible MAP@12: 0.75000 is expected" in text.getvalue()


def test_signs() -> None:
    assert [signed(value) for value in (0.12345, -0.00004, 0.0, -0.2)] == [
        "+0.1235",
        "0.0000",
        "0.0000",
        "-0.2000",
    ]


@pytest.mark.parametrize("width", [40, 120])
def test_similar_customers_and_the_articles_for_one(width: int) -> None:
    """Two with the same id's beginning and score stay two; the table without figures is printed."""
    console, text = _printed(width)
    found = pl.DataFrame(
        {
            "rank": [1, 1, 2],
            "customer_id": ["customer-000…"] * 3,
            "score": [0.5, 0.5, 0.5],
            "article_id": ["1", "2", "3"],
            "prod_name": ["Dress", None, "[red]Coat[/red]"],
            "t_dat": [date(2020, 9, 3), date(2020, 9, 2), date(2020, 9, 1)],
        }
    )
    suggested = pl.DataFrame({"article_id": ["0108", "0109"], "prod_name": ["Strap top", None]})
    print_similar_customers("someone", found, suggested, console)
    printed = " ".join(text.getvalue().split())
    assert "Like someone" in printed
    assert printed.count("customer-000…") == 2
    assert "Dress" in printed
    assert "[red]Coat[/red]" in printed
    assert "0108 Strap top" in printed
    assert "0109" in printed
