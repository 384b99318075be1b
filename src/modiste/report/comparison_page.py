"""The page of a comparison of runs: one file that stands alone, in the report's style."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from modiste import __version__
from modiste.evaluation.backtest import ALL
from modiste.report.comparison import Comparison, MetricRow, PairedDifference
from modiste.report.pages import page_environment, source, yaml_text
from modiste.report.results import MAIN_METRIC, Interval, few_digits, readable, signed, verdict
from modiste.report.saved_run import TEST

# Width of the drawn intervals, in the units of their SVG; half of it is on either side of 0.
_WIDTH = 144.0


@dataclass(frozen=True)
class _Drawn:
    """Where a difference and the bounds of its interval lie, from left to right in the SVG."""

    low: float
    mean: float
    high: float


@dataclass(frozen=True)
class _Compared:
    """A recommender's paired differences of a run, by metric, and the drawing of the main one."""

    model: str
    differences: dict[str, PairedDifference]
    drawn: _Drawn


def comparison_html(comparison: Comparison) -> str:
    """Give the page as a text."""
    environment = page_environment()
    environment.filters |= {
        "count": lambda number: f"{number:,}",
        "score": lambda number: f"{number:.4f}",
        "signed": lambda value: signed(value).replace("-", "\N{MINUS SIGN}"),
        "readable": readable,
        "setting": setting_text,
        "figure": lambda figure: few_digits(figure).replace("-", "\N{MINUS SIGN}"),
        "verdict": verdict,
        "sentence": lambda text: text[:1].upper() + text[1:],
        "by_segment": _by_segment,
    }
    windows = list(dict.fromkeys(row.window for row in comparison.metrics))
    metrics = list(comparison.titles)
    orders = {window: models_best_first(comparison, window) for window in windows}
    return environment.get_template("comparison.html").render(
        comparison=comparison,
        names=comparison.names,
        titles=comparison.titles,
        main=MAIN_METRIC,
        test=TEST,
        windows=windows,
        best={name: _best(comparison, name) for name in comparison.names},
        overall={
            (window, metric): _rows(comparison, window, metric, orders[window], overall=True)
            for window in windows
            for metric in metrics
        },
        segments={
            metric: _rows(comparison, TEST, metric, orders[TEST], overall=False)
            for metric in metrics
        },
        paired={
            name: [
                (window, rows)
                for window in windows
                if (rows := _compared(comparison, name, window, orders[window]))
            ]
            for name in comparison.names[1:]
        },
        seconds={
            name: sum(used[name].seconds for used in comparison.stages.values() if name in used)
            for name in comparison.names
        },
        version=__version__,
        style=source("report.css", "comparison.css"),
    )


def setting_text(values: dict[str, Any], run: str) -> str:
    """A run's value of a setting, as it stands in a config file; a dash where it has none."""
    return yaml_text(values[run]) if run in values else "–"


def models_best_first(comparison: Comparison, window: str) -> list[str]:
    """Recommenders of a window by the main metric of the first run that has them, falling."""
    means = {
        model: next(
            (place, -runs[name].mean) for place, name in enumerate(comparison.names) if name in runs
        )
        for model, runs in comparison.main_figures(window).items()
    }
    return sorted(means, key=lambda model: means[model])


def _by_segment(rows: Sequence[MetricRow]) -> list[tuple[str, str, list[MetricRow]]]:
    """Kind, segment and rows of each segment, in order."""
    return [
        (kind, segment, list(of_segment))
        for (kind, segment), of_segment in groupby(rows, lambda row: (row.kind, row.segment))
    ]


def _best(comparison: Comparison, run: str) -> tuple[str, Interval]:
    """Name and main figure of the recommender that is best in a run's test window."""
    found = {
        model: runs[run] for model, runs in comparison.main_figures(TEST).items() if run in runs
    }
    return max(found.items(), key=lambda model: model[1].mean)


def _rows(
    comparison: Comparison, window: str, metric: str, order: Sequence[str], *, overall: bool
) -> list[MetricRow]:
    """Rows of a table: by segment, and within it the best recommender first."""
    rows = [
        row
        for row in comparison.metrics
        if row.window == window and row.metric == metric and (row.kind == ALL) == overall
    ]
    segments = list(dict.fromkeys((row.kind, row.segment) for row in rows))
    return sorted(
        rows, key=lambda row: (segments.index((row.kind, row.segment)), order.index(row.model))
    )


def _compared(
    comparison: Comparison, run: str, window: str, order: Sequence[str]
) -> list[_Compared]:
    found: dict[str, dict[str, PairedDifference]] = {model: {} for model in order}
    for difference in comparison.differences:
        if (difference.run, difference.window) == (run, window):
            found[difference.model][difference.metric] = difference
    main = [of_model[MAIN_METRIC] for of_model in found.values() if of_model]
    # The farthest bound reaches the edge; where all are 0, anything does.
    reach = max((abs(bound) for one in main for bound in (one.low, one.high)), default=0) or 1.0

    def place(value: float) -> float:
        return round(_WIDTH / 2 * (1 + value / reach), 1)

    return [
        _Compared(model, of_model, _Drawn(place(one.low), place(one.mean), place(one.high)))
        for model, of_model in found.items()
        if of_model
        for one in (of_model[MAIN_METRIC],)
    ]
