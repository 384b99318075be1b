"""Runs side by side: real small runs, what differs, paired differences, and the page."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from rich.console import Console
from typer.testing import CliRunner

from browsing import browser, fits, needs_chromium, opened
from modiste.cli import app
from modiste.config import load_config
from modiste.data.dataset import Dataset
from modiste.data.synthetic import SCALES, write_shop
from modiste.engine import Engine
from modiste.errors import ConfigError, RunError
from modiste.evaluation.intervals import paired_difference
from modiste.pipeline import run_pipeline
from modiste.report.comparison import (
    Comparison,
    compare_runs,
    default_folder,
    flattened,
    write_comparison,
)
from modiste.report.comparison_page import comparison_html
from modiste.report.console import print_comparison
from modiste.report.results import few_digits, signed
from outlines import Outline

SETTINGS = (
    "evaluation.resamples=50",
    "report.customers=1",
    "selection.enabled=false",
    "ranking.windows=1",
    "ranking.older_windows=0",
    "ranking.lightgbm.rounds=20",
)
# A run's name, and what it has otherwise than the base. The name of the last one is hostile.
HOSTILE = "<img src=x onerror=alert(1)>{{ 7 * 7 }}[bold]"
# Customers stand the other way round in this run's tables, so that their codes are others.
REVERSED = "other"
RUNS = {
    "base": (),
    "other": (
        "models.popularity.days=14",
        "models.weights.co_visitation=0",
        "ingest.partition_customers=700",
    ),
    HOSTILE: ("as_of=2020-09-10", "evaluation.k=10"),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compared")
    shop, other = folder / "shop", folder / "reversed"
    size = replace(SCALES["demo"], customers=1_500, never_bought=10, articles=600, rows=33_000)
    write_shop(shop, size, 1, Engine(workers=1))
    shutil.copytree(shop, other)
    customers = pl.read_csv(shop / "customers.csv", infer_schema=False)
    customers.reverse().write_csv(other / "customers.csv")
    for name, more in RUNS.items():
        data = other if name == REVERSED else shop
        config = load_config(overrides=(*SETTINGS, *more))
        run_pipeline(str(data), folder / "made", config, Engine(workers=1))
        (folder / "made").rename(folder / name)
    return folder


@pytest.fixture(scope="module")
def comparison(runs: Path) -> Comparison:
    return compare_runs([runs / name for name in RUNS])


def test_settings_that_differ_and_no_others(comparison: Comparison) -> None:
    assert comparison.names == list(RUNS)
    base, other, last = RUNS
    assert comparison.settings == {
        "as_of": {base: None, other: None, last: "2020-09-10"},
        "ingest.partition_customers": {base: 65536, other: 700, last: 65536},
        "models.popularity.days": {base: 28, other: 14, last: 28},
        "models.weights.co_visitation": {base: 100.0, other: 0.0, last: 100.0},
        "evaluation.k": {base: 12, other: 12, last: 10},
    }
    assert comparison.weights == {"co_visitation": {base: 100.0, other: 0.0, last: 100.0}}


def test_rankings_are_put_side_by_side(runs: Path, comparison: Comparison) -> None:
    rankings = {
        name: json.loads((runs / name / "metrics.json").read_text())["ranking"] for name in RUNS
    }
    for row in comparison.gains:
        assert {name: (gain.mean, gain.low) for name, gain in row.runs.items()} == {
            name: (found["difference"], found["low"])
            for name, ranking in rankings.items()
            for model, found in ranking["gains"].items()
            if model == row.model
        }
    assert {row.model for row in comparison.gains} == set(rankings["base"]["gains"])
    for figure in comparison.probability:
        assert figure.runs == {
            name: ranking["probability"][figure.ranker][figure.metric]
            for name, ranking in rankings.items()
        }
    assert {row.ranker for row in comparison.probability} == {
        "lightgbm",
        "lightgbm_known",
        "logistic",
    }
    for key, values in comparison.ranking_weights.items():
        segment, scorer = key.split(".")
        assert values == {
            name: ranking["weights"][segment][scorer] for name, ranking in rankings.items()
        }
        assert len(set(values.values())) > 1


def test_one_ranking_alone_is_not_compared(runs: Path, tmp_path: Path) -> None:
    bare = _copied(runs / "other", tmp_path / "bare")
    # The folder's file is a hard link of the stage's, which is what a run's must be.
    for file in (bare / "stages" / "evaluate" / "metrics.json", bare / "metrics.json"):
        metrics = json.loads(file.read_text())
        file.unlink()
        file.write_text(json.dumps({**metrics, "ranking": None}))
    found = compare_runs([runs / "base", bare])
    assert (found.ranking_weights, found.gains, found.probability) == ({}, [], [])
    page = comparison_html(found)
    assert 'id="ranking"' not in page
    assert "#ranking" not in page
    assert "hybrid beside" not in _printed(found, 200)


def test_flat_settings_keep_lists_and_empty_trees() -> None:
    tree = {"a": {"b": {"c": 1, "d": []}, "e": {}}, "f": [1, {"g": 2}], "h": None}
    assert flattened(tree) == {"a.b.c": 1, "a.b.d": [], "a.e": {}, "f": [1, {"g": 2}], "h": None}


def test_every_figure_is_the_run_s_own(runs: Path, comparison: Comparison) -> None:
    rows = {
        (row.window, row.kind, row.segment, row.model, row.metric): row.runs
        for row in comparison.metrics
    }
    figures = 0
    for name in RUNS:
        metrics = json.loads((runs / name / "metrics.json").read_text())
        windows = {"test": metrics["test"]}
        for window in metrics["validation"]:
            days = window["horizon_days"]
            windows[f"validation of {days} day{'s' if days > 1 else ''}"] = window
        for role, window in windows.items():
            for model, scores in window["models"].items():
                groups = {("all", "all"): scores} | {
                    (kind, segment): group
                    for kind, segments in scores["segments"].items()
                    for segment, group in segments.items()
                }
                for group, found in groups.items():
                    for metric, score in found["metrics"].items():
                        figure = rows[role, *group, model, metric][name]
                        assert figure.customers == found["customers"]
                        assert (figure.mean, figure.low, figure.high) == (
                            score["mean"],
                            score["low"],
                            score["high"],
                        )
                        figures += 1
    assert figures == sum(len(row.runs) for row in comparison.metrics)
    coverage = next(row for row in comparison.catalogue if row.metric == "coverage")
    assert list(coverage.runs) == list(RUNS)


def test_time_and_memory_of_each_stage(runs: Path, comparison: Comparison) -> None:
    for name in RUNS:
        noted = json.loads((runs / name / "timings.json").read_text())
        assert noted == {
            stage: used[name].model_dump()
            for stage, used in comparison.stages.items()
            if name in used
        }


def test_paired_differences_are_those_of_the_customers_scores(
    runs: Path, comparison: Comparison
) -> None:
    """Of the same days, whatever the codes; the figure is that of the two means."""
    assert {each.run for each in comparison.differences} == {"other"}
    assert {each.window for each in comparison.differences} == {
        "test",
        "validation of 7 days",
        "validation of 1 day",
    }
    scores = {}
    for name in ("base", "other"):
        dataset = Dataset.open(runs / name / "stages" / "ingest")
        history = dataset.until(dataset.next_day)
        ids = pl.concat(
            [part.read_customers().select("customer", "customer_id") for part in history.partitions]
        )
        scores[name] = pl.read_parquet(
            runs / name / "stages" / "evaluate" / "customers.parquet"
        ).join(ids, on="customer")
    codes = [
        scores[name].select("customer_id", "customer").unique().sort("customer_id")
        for name in scores
    ]
    assert not codes[0].equals(codes[1])
    keys = ["window", "model", "customer_id"]
    pairs = scores["base"].join(scores["other"], on=keys, suffix="_other").sort("customer")
    test = pairs.filter(window="2020-09-16..2020-09-22", model="blend")
    for metric in ("average_precision", "recall@100"):
        found = comparison.difference("other", "blend", metric)
        assert found is not None
        expected = paired_difference(
            test[f"{metric}_other"], test[metric], resamples=50, level=0.95, seed=0
        )
        assert found.customers == test.height
        assert (found.mean, found.low, found.high, found.share_positive) == pytest.approx(
            (expected.difference, expected.low, expected.high, expected.share_positive)
        )
        means = next(
            row.runs
            for row in comparison.metrics
            if (row.window, row.kind, row.model, row.metric) == ("test", "all", "blend", metric)
        )
        assert found.mean == pytest.approx(means["other"].mean - means["base"].mean)
    assert comparison.difference("other", "popularity", "average_precision") is not None
    assert comparison.difference(HOSTILE, "blend", "average_precision") is None


def test_another_split_is_not_compared_and_told(comparison: Comparison) -> None:
    assert {each.run for each in comparison.not_compared} == {HOSTILE}
    test = next(each for each in comparison.not_compared if each.window == "test")
    assert test.reasons == [
        "not the same split: 2020-09-16 to 2020-09-22 in base, 2020-09-10 to 2020-09-16 in "
        + HOSTILE,
        f"not the same length of lists: 12 in base, 10 in {HOSTILE}",
    ]
    assert comparison.titles["average_precision"] == "MAP@k"


def _copied(run: Path, target: Path) -> Path:
    shutil.copytree(run, target)
    return target


def test_a_run_and_its_copy_differ_in_nothing(runs: Path, tmp_path: Path) -> None:
    found = compare_runs([runs / "base", _copied(runs / "base", tmp_path / "copy")])
    assert found.settings == found.weights == {}
    assert found.not_compared == []
    assert all(
        (each.mean, each.low, each.high, each.share_positive) == (0, 0, 0, 0)
        for each in found.differences
    )
    assert "None: all settings are the same." in comparison_html(found)
    assert _printed(found, 100).startswith("\nAll settings are the same.")


def _edit_customers(run: Path, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    file = run / "stages" / "evaluate" / "customers.parquet"
    change(pl.read_parquet(file)).write_parquet(file)


def test_other_customers_or_purchases_are_not_compared(runs: Path, tmp_path: Path) -> None:
    fewer = _copied(runs / "base", tmp_path / "fewer")
    _edit_customers(fewer, lambda rows: rows.filter(pl.col("customer") != rows["customer"][-1]))
    bought = _copied(runs / "base", tmp_path / "bought")
    _edit_customers(bought, lambda rows: rows.with_columns(pl.col("n_labels") + 1))
    without = _copied(runs / "base", tmp_path / "without")
    (without / "stages" / "evaluate" / "customers.parquet").unlink()
    found = compare_runs([runs / "base", fewer, bought, without])
    reasons = {each.run: each.reasons for each in found.not_compared if each.window == "test"}
    customers = found.runs[0].windows["test"].customers
    assert reasons == {
        "fewer": ["not the same customers: 1 of them are in base only"],
        "bought": [
            f"not the same purchases: {customers:,} customers bought another number of articles"
        ],
        "without": [
            "without has no scores by customer: its stages/evaluate/customers.parquet is gone"
        ],
    }
    assert not [each for each in found.differences if each.window == "test"]


def test_a_recommender_that_one_run_has_is_shown_and_not_compared(
    runs: Path, tmp_path: Path
) -> None:
    more = _copied(runs / "base", tmp_path / "more")
    for file in (more / "metrics.json", more / "stages" / "evaluate" / "metrics.json"):
        metrics = json.loads(file.read_text())
        models = metrics["test"]["models"]
        models["only_here"] = models["popularity"]
        file.unlink()  # the two are one file
        file.write_text(json.dumps(metrics))
    found = compare_runs([runs / "base", more])
    row = next(row for row in found.metrics if row.model == "only_here")
    assert list(row.runs) == ["more"]
    assert found.difference("more", "blend", "hit") is not None
    assert found.difference("more", "only_here", "hit") is None
    assert "only here" in comparison_html(found)
    assert re.search(r"only here +– +0\.\d{4}", _printed(found, 200))


# --- what is no finished run ----------------------------------------------------------------------


def test_what_is_not_a_finished_run_is_told(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "begun" / "stages" / "ingest").mkdir(parents=True)
    missing = _copied(runs / "base", tmp_path / "missing")
    (missing / "submission.csv").unlink()
    older = _copied(runs / "base", tmp_path / "older")
    (older / "stages" / "evaluate" / "metrics.json").write_text("{}")
    (older / "metrics.json").unlink()
    shutil.copy(runs / "base" / "metrics.json", older / "metrics.json")
    damaged = _copied(runs / "base", tmp_path / "damaged")
    shutil.rmtree(damaged / "stages")
    (damaged / "metrics.json").write_text("{}")
    for folder, message in {
        tmp_path / "nowhere": "no folder .*nowhere",
        runs / "base" / "config.yaml": "no folder",
        tmp_path / "empty": "empty is not a run of modiste",
        runs / "shop": "shop is not a run of modiste",
        tmp_path / "begun": "begun is not finished, as config.yaml is not there",
        missing: "missing is not finished, as submission.csv is not there",
        older: "older is not finished, as metrics.json is older than what stage 'evaluate'",
        damaged: "damaged cannot be read",
    }.items():
        with pytest.raises(RunError, match=message):
            compare_runs([runs / "base", folder])


def test_two_runs_at_least_and_each_once(runs: Path) -> None:
    with pytest.raises(ConfigError, match="two runs or more"):
        compare_runs([runs / "base"])
    with pytest.raises(ConfigError, match="base is named twice"):
        compare_runs([runs / "base", runs / "other", runs / "other" / ".." / "base"])


def test_runs_of_one_name_are_told_apart(runs: Path, tmp_path: Path) -> None:
    copy = _copied(runs / "base", tmp_path / "base")
    assert compare_runs([runs / "base", copy]).names == [str(runs / "base"), str(copy)]


# --- console, JSON and page -----------------------------------------------------------------------


def _printed(comparison: Comparison, width: int, files: Sequence[Path] = ()) -> str:
    text = io.StringIO()
    print_comparison(comparison, files, Console(file=text, width=width))
    return text.getvalue()


@pytest.mark.parametrize("width", [60, 200])
def test_the_console_has_whole_figures(comparison: Comparison, width: int) -> None:
    printed = _printed(comparison, width, [Path("/x/comparison.html")])
    assert HOSTILE[:8] in printed
    assert "models.popularity.days" in printed
    gap = comparison.difference("other", "blend", "average_precision")
    assert gap is not None
    assert f"{gap.mean:+.4f}" in printed
    for used in comparison.stages["evaluate"].values():
        assert f"{used.peak_mib:,.0f}" in printed
    assert printed.count("not compared") == 3
    assert "What the hybrid's MAP@k is more" in printed
    for figure in comparison.probability:
        for value in figure.runs.values():
            assert few_digits(value) in printed
    assert "comparison.html /x/comparison.html" in printed


def test_the_command_writes_both_files(runs: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["compare", str(runs / "base"), str(runs / "other")])
    assert done.exit_code == 0, done.output
    folder = runs / "compare_base_other"
    assert str(folder / "comparison.html") in done.output.replace("\n", "")
    assert sorted(path.name for path in folder.iterdir()) == ["comparison.html", "comparison.json"]
    saved = Comparison.model_validate_json((folder / "comparison.json").read_bytes())
    assert saved == compare_runs([runs / "base", runs / "other"])
    asked = ["compare", str(runs / "base"), str(runs / "other"), "--out", str(tmp_path / "a" / "b")]
    assert CliRunner().invoke(app, asked).exit_code == 0
    for file in folder.iterdir():
        assert (tmp_path / "a" / "b" / file.name).read_bytes() == file.read_bytes()


def test_a_place_that_cannot_be_written(comparison: Comparison, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "folder"):
        with pytest.raises(RunError, match="--out names a folder"):
            write_comparison(comparison, "", out)


def test_the_folder_s_name_stays_short() -> None:
    folders = [Path("/runs") / f"run_{n}" for n in range(40)]
    assert default_folder(folders[:2]) == Path("/runs/compare_run_0_run_1")
    assert default_folder(folders) == Path("/runs/compare_run_0_and_39_more")


@pytest.fixture(scope="module")
def page(comparison: Comparison, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("page") / "comparison.html"
    target.write_text(comparison_html(comparison), encoding="utf-8")
    return target


@pytest.fixture(scope="module")
def outline(page: Path) -> Outline:
    return Outline(page.read_text(encoding="utf-8"))


def test_the_page_is_well_formed_and_every_reference_finds_its_element(outline: Outline) -> None:
    assert outline.open == []
    ids = Counter(attributes["id"] for _, attributes in outline.elements if "id" in attributes)
    assert max(ids.values()) == 1
    for tag, attributes in outline.elements:
        targets = (attributes.get("aria-labelledby") or "").split()
        if tag == "a":
            assert (attributes["href"] or "").startswith("#")
            targets.append((attributes["href"] or "").removeprefix("#"))
        for target in targets:
            assert target in ids


def test_headings_skip_no_level_and_tables_have_captions(outline: Outline) -> None:
    levels = [int(tag[1]) for tag, _ in outline.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below - above <= 1 for above, below in pairwise(levels))
    assert len(outline.named("table")) == len(outline.named("caption")) > 10
    assert all(attributes.get("scope") for attributes in outline.named("th"))


def test_hostile_names_are_texts_and_nothing_is_fetched(outline: Outline) -> None:
    assert not [attributes for _, attributes in outline.elements if "onerror" in attributes]
    assert not outline.named("img", "script")
    assert not [attributes for _, attributes in outline.elements if "src" in attributes]
    assert HOSTILE in " ".join(outline.texts)


def test_the_page_shows_every_figure(comparison: Comparison, outline: Outline) -> None:
    text = " ".join(" ".join(outline.texts).split())
    for row in comparison.metrics:
        if row.window == "test" or row.kind == "all":
            for figure in row.runs.values():
                assert f"{figure.mean:.4f} [{figure.low:.4f}, {figure.high:.4f}]" in text
    for each in comparison.not_compared:
        assert "; ".join(each.reasons)[1:] in text
    for key in (*comparison.settings, *comparison.ranking_weights):
        assert key in text
    for gained in comparison.gains:
        for gain in gained.runs.values():
            assert (
                f"[{signed(gain.low)}, {signed(gain.high)}]".replace("-", "\N{MINUS SIGN}") in text
            )
    for probability in comparison.probability:
        for value in probability.runs.values():
            assert few_digits(value).replace("-", "\N{MINUS SIGN}") in text


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as launched:
        yield launched


@needs_chromium
@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1400, "dark")])
def test_in_a_browser(chromium: Any, page: Path, width: int, scheme: str) -> None:
    with opened(chromium, page, width, scheme=scheme) as tab:
        assert fits(tab)
        tab.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert fits(tab)
        assert HOSTILE in tab.locator("h1").inner_text()
        assert tab.locator("#differences .whisker").first.is_visible()


def test_the_command_explains_itself_and_refuses_without_a_traceback(runs: Path) -> None:
    assert "settings that differ" in CliRunner().invoke(app, ["compare", "--help"]).output
    assert "RUN" in CliRunner().invoke(app, ["compare"]).output
    refused = CliRunner().invoke(app, ["compare", str(runs / "base"), str(runs / "shop")])
    assert isinstance(refused.exception, RunError)
