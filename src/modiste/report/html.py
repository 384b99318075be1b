"""The page: one file that stands alone, works offline and fetches nothing.

All but the element with the id ``timings`` is the same bytes for the same data and settings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from modiste import __version__
from modiste.data.manifest import Manifest
from modiste.engine import atomic_file
from modiste.report import figures
from modiste.report.examples import Example
from modiste.report.pages import Gallery, page_environment, source
from modiste.report.pictures import LARGEST_BYTES
from modiste.report.results import (
    RunMetrics,
    WindowScores,
    long_day,
    long_days,
    metric_titles,
    readable,
    short_day,
    signed,
)
from modiste.report.shop import ShopStatistics
from modiste.report.training import NetworkTraining

# Sources have a colour each, in the order of the weights; there are as many in the style sheet.
_SOURCE_COLOURS = 8


@dataclass(frozen=True)
class RunReport:
    """All that the page shows.

    Attributes
    ----------
    metrics
        Content of ``metrics.json``.
    trials
        What was tried to choose settings, or None: they were given.
    manifest
        Account of the ingest.
    shop
        Statistics of the shop.
    examples
        Customers to show.
    config
        All settings, as YAML.
    timings
        By stage ``seconds`` and ``peak_mib``.
    chosen
        The model that the submission is made with.
    ceiling
        Expected MAP of the best possible recommendations, where the truth is known.
    pictures_left_out
        Number of photographs that were too large to embed.
    trainings
        How the networks were trained, for each recommender that is one.
    """

    metrics: RunMetrics
    trials: pl.DataFrame | None
    manifest: Manifest
    shop: ShopStatistics
    examples: Sequence[Example]
    config: str
    timings: Mapping[str, Mapping[str, float]]
    chosen: str
    ceiling: float | None = None
    pictures_left_out: int = 0
    trainings: Sequence[NetworkTraining] = ()


def write_report(target: Path, report: RunReport) -> None:
    """Write the page to ``target``.

    Raises
    ------
    ModisteError
        When the disk is full or the place is not writable.
    """
    with atomic_file(target) as partial:
        partial.write_text(render_report(report), encoding="utf-8")


def render_report(report: RunReport) -> str:
    """The page as a text."""
    from plotly.offline import get_plotlyjs

    environment = page_environment()
    environment.filters |= {
        "count": lambda number: f"{number:,}",
        "score": lambda number: f"{number:.4f}",
        "percent": lambda share: f"{share:.1%}",
        "signed": lambda value: signed(value).replace("-", "\N{MINUS SIGN}"),
        "day": long_day,
        "days": long_days,
        "short_day": short_day,
        "readable": readable,
        "weight": lambda weight: f"{weight:.4g}",
        "colour": lambda position: position % _SOURCE_COLOURS + 1,
    }
    metrics, test = report.metrics, report.metrics.test
    names = ["recall", *(f"recall@{depth}" for depth in metrics.settings.recall_at)]
    titles = metric_titles(
        metrics.settings.k,
        ["average_precision", *names, "hit", "ndcg", "reciprocal_rank"],
    )
    map_title = titles["average_precision"]
    compared = _compared_by_segment(test, report.chosen)
    used = [name for name, weight in metrics.weights.items() if weight]
    page = environment.get_template("report.html").render(
        report=report,
        version=__version__,
        test=test,
        chosen=test.models[report.chosen],
        reference=test.reference,
        titles=titles,
        map_title=map_title,
        map_figure=figures.map_by_model(test, report.chosen, map_title, report.ceiling),
        compared=compared,
        segment_figures={
            kind: figures.map_by_segment(kind, test, compared, report.chosen, map_title)
            for kind in test.models[report.chosen].segments
        },
        windows=[*metrics.validation, test],
        sources=used,
        search=None if report.trials is None else figures.search(report.trials, map_title),
        moves=[] if report.trials is None else report.trials.filter(pl.col("taken")).to_dicts(),
        training_figures={one.name: figures.training(one) for one in report.trainings},
        shop_figures=figures.shop_figures(report.shop),
        reasons=_reasons(report.manifest),
        rejected=any(table.rows_rejected for table in report.manifest.tables.values()),
        gallery=Gallery(),
        largest_kib=LARGEST_BYTES // 1024,
        style=source("report.css"),
    )
    # Last, and not by Jinja: five megabytes that need no escaping.
    return page.replace("/*plotly.js*/", get_plotlyjs(), 1)


def _compared_by_segment(scores: WindowScores, chosen: str) -> list[str]:
    """The chosen model, the best of the others, and the reference."""
    best_other = next((name for name, _ in scores.best_first() if name != chosen), chosen)
    return list(dict.fromkeys([chosen, best_other, scores.reference]))


def _reasons(manifest: Manifest) -> list[tuple[str, str, str, int]]:
    """Table, what became of rows, why, and how many."""
    return [
        (table, what, reason, rows)
        for table, account in manifest.tables.items()
        for what, by_reason in (("rejected", account.rejected), ("repaired", account.repaired))
        for reason, rows in by_reason.items()
    ]
