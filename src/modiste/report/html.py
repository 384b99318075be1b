"""The page: one file that stands alone, works offline and fetches nothing.

All but the elements with the ids ``timings`` and ``took`` is the same bytes for the same data and
settings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
from jinja2 import Template

from modiste import __version__
from modiste.candidates.descriptions import describe
from modiste.data.manifest import Manifest
from modiste.engine import atomic_file
from modiste.report import figures, ranking
from modiste.report.examples import Example, Tile
from modiste.report.pages import Gallery, page_environment, source
from modiste.report.pictures import LARGEST_BYTES
from modiste.report.ranking import RankingChoice
from modiste.report.results import (
    BLEND,
    HYBRID,
    UNION,
    RankingMetrics,
    RunMetrics,
    WindowScores,
    few_digits,
    long_day,
    long_days,
    metric_titles,
    readable,
    short_day,
    signed,
    verdict,
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
    ranking
        How the ranking was chosen, where there is one.
    tiles
        The articles that most customers are shown, by their ids.
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
    ranking: RankingChoice | None = None
    tiles: Mapping[str, Tile] = field(default_factory=dict)


def write_report(target: Path, report: RunReport) -> None:
    """Write the page to ``target``.

    Raises
    ------
    ModisteError
        When the disk is full or the place is not writable.
    """
    with atomic_file(target) as partial:
        partial.write_text(render_report(report), encoding="utf-8")


@cache  # it takes a good part of a second to compile
def _template() -> Template:
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
        "source": lambda name: describe(name).name,
        "proposes": lambda name: describe(name).proposes,
        "share": lambda share: f"{100 * share:.3g} %",
        "duration": _duration,
        "weight": lambda weight: f"{weight:.4g}",
        "colour": lambda position: position % _SOURCE_COLOURS + 1,
        "verdict": verdict,
        "sentence": lambda text: text[:1].upper() + text[1:],
        "figure": lambda figure: few_digits(figure).replace("-", "\N{MINUS SIGN}"),
    }
    return environment.get_template("report.html")


def render_report(report: RunReport) -> str:
    """The page as a text."""
    from plotly.offline import get_plotlyjs

    metrics, test = report.metrics, report.metrics.test
    names = ["recall", *(f"recall@{depth}" for depth in metrics.settings.recall_at)]
    titles = metric_titles(
        metrics.settings.k,
        ["average_precision", *names, "hit", "ndcg", "reciprocal_rank"],
    )
    map_title = titles["average_precision"]
    compared = _compared_by_segment(test, report.chosen)
    used = [name for name, weight in metrics.weights.items() if weight]
    ranked = metrics.ranking
    # Sources of a hybrid are more than those of the blend; each keeps its colour.
    proposing = used if ranked is None else list(dict.fromkeys([*used, *ranked.sources]))
    page = _template().render(
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
        sources=proposing,
        ranked=None if ranked is None else _ranking_page(report, ranked, map_title),
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


def _ranking_page(report: RunReport, ranked: RankingMetrics, map_title: str) -> dict[str, Any]:
    """What the page says of the ranking, by the names that its templates use."""
    steps = ranking.climb(report.metrics.test, ranked)
    groups = ranking.importance_by_group(ranked)
    rankers = list(ranked.rounds)
    learned = [ranking.window_of(window) for window in ranked.learned_from]
    first, others = ([], []) if report.ranking is None else ranking.curves(report.ranking)
    return {
        "metrics": ranked,
        "climb": steps,
        "gain": ranked.gains.get(BLEND),
        "parts": ranking.parts(report.metrics.test, ranked),
        "shown": ranking.shown_first(ranked),
        "shown_figure": figures.shown_by_source(ranking.shown_first(ranked)),
        "most_shown": [
            (article, report.tiles[article.article_id])
            for article in ranked.most_shown
            if article.article_id in report.tiles
        ],
        "calibration_figure": figures.calibration_curve(ranked.calibration)
        if ranked.calibration
        else None,
        "costs": ranking.costs(steps, ranked, report.metrics.weights, report.timings),
        "segments": ranking.segments_found(ranked),
        "segment_words": ranking.SEGMENT_WORDS,
        "union": UNION,
        "top_source": ranking.top_source(ranked),
        "found_figure": figures.found_by_source(
            [row for row in ranked.candidates if row.segment == "all"]
        ),
        "rankers": rankers,
        "main": ranking.main_ranker(ranked),
        "groups": groups,
        "main_groups": list(groups.items())[:3],
        "groups_figure": figures.importance_by_group(groups, rankers),
        "importance_means": ranking.importance_means,
        "features": ranking.every_feature(ranked),
        "scorers": ranking.scorers(ranked),
        "shares": {segment: ranking.shares(of_it) for segment, of_it in ranked.weights.items()},
        "learners": {} if report.ranking is None else ranking.learners(report.ranking),
        "watched": ranking.window_of(ranked.watched),
        "learned_since": min((window.as_of for window in learned), default=None),
        "curves": [figures.weight_curve(curve, map_title) for curve in first],
        "other_curves": [figures.weight_curve(curve, map_title) for curve in others],
        "probability_metrics": ranking.PROBABILITY_METRICS,
        "rules": []
        if report.ranking is None
        else ranking.rules_in_force(report.ranking.rules, ranked),
        "changes": ranking.changes_together(ranked),
        "left_out": ranking.left_out(report.metrics.test, ranked),
    }


def _duration(seconds: float) -> str:
    """How long something took: 42 s, 6 min 20 s, 19 min, 1 h 23 min."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    if minutes >= 10:
        return f"{round(seconds / 60)} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _compared_by_segment(scores: WindowScores, chosen: str) -> list[str]:
    """The chosen model, the blend or else the best of the others, and the reference."""
    best_other = next((name for name, _ in scores.best_first() if name != chosen), chosen)
    other = BLEND if chosen == HYBRID and BLEND in scores.models else best_other
    return list(dict.fromkeys([chosen, other, scores.reference]))


def _reasons(manifest: Manifest) -> list[tuple[str, str, str, int]]:
    """Table, what became of rows, why, and how many."""
    return [
        (table, what, reason, rows)
        for table, account in manifest.tables.items()
        for what, by_reason in (("rejected", account.rejected), ("repaired", account.repaired))
        for reason, rows in by_reason.items()
    ]
