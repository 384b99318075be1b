"""Runs side by side: which settings differ, what each measured, what each stage took.

The first run is the one that the others are compared with. Where both asked about the same
customers in the same days, the difference is taken customer by customer and has an interval of its
own: that of two separate intervals says far less. Where they did not, no difference is given, and
the reason is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydantic import BaseModel

from modiste import __version__
from modiste.data.dataset import Window
from modiste.engine import atomic_file
from modiste.errors import ConfigError, RunError
from modiste.evaluation.backtest import ALL
from modiste.evaluation.intervals import percentiles, resample_means
from modiste.evaluation.settings import EvaluationSettings
from modiste.report.results import MAIN_METRIC, Gain, Group, Interval, RankingMetrics, metric_titles
from modiste.report.saved_run import TEST, SavedRun, Usage

# Characters of a folder's name that lists runs; with more it says how many.
_LONGEST_NAME = 100


class ComparedWindow(BaseModel):
    """The days of a window, and the number of customers who were asked about."""

    as_of: str
    horizon_days: int
    customers: int


class ComparedRun(BaseModel):
    """One of the runs."""

    name: str
    folder: str
    modiste: str
    submission: str
    k: int
    windows: dict[str, ComparedWindow]


class MetricFigure(Interval):
    """A metric of a run, with its bootstrap interval, and the customers it is the mean of."""

    customers: int


class MetricRow(BaseModel):
    """A metric of a recommender in each of the runs that have it.

    ``kind`` and ``segment`` are "all" for all customers of the window.
    """

    window: str
    kind: str
    segment: str
    model: str
    metric: str
    runs: dict[str, MetricFigure]


class CatalogueRow(BaseModel):
    """A catalogue figure of a recommender in each of the runs that have it; it has no interval."""

    window: str
    model: str
    metric: str
    runs: dict[str, float | None]


class PairedDifference(Interval):
    """By how much a run's mean is above the first one's on the same customers.

    ``share_positive`` is the share of the resamples in which it is above.
    """

    run: str
    base: str
    window: str
    model: str
    metric: str
    customers: int
    share_positive: float


class GainRow(BaseModel):
    """What the hybrid's MAP is more than another model's, in each of the runs that have both."""

    model: str
    runs: dict[str, Gain]


class ProbabilityRow(BaseModel):
    """A figure of a ranker's probabilities in each of the runs that have it."""

    ranker: str
    metric: str
    runs: dict[str, float | None]


class NotCompared(BaseModel):
    """Why there are no paired differences of a run in a window."""

    run: str
    base: str
    window: str
    reasons: list[str]


class Comparison(BaseModel):
    """Runs side by side: the content of ``comparison.json``.

    Attributes
    ----------
    modiste
        Version that compared.
    runs
        In the order given; the first one is the base.
    settings
        By dotted key the runs' values, for settings that differ; a run that does not have one is
        left out.
    weights
        The same for the weights of the blend as they were chosen.
    ranking_weights
        The same for the weights of the hybrid's scorers, by "segment.scorer"; as the next two, of
        the runs that rank, where there are two or more.
    gains, probability
        What ranking gained in the test window of each run, and how good probabilities were there.
    metrics, catalogue
        Every figure, the test window first.
    stages
        By stage and run, where a run has noted it.
    differences
        Where runs could be paired.
    not_compared
        Where they could not.
    intervals
        How the intervals of the differences were drawn: as the first run says.
    """

    modiste: str
    runs: list[ComparedRun]
    settings: dict[str, dict[str, Any]]
    weights: dict[str, dict[str, Any]]
    ranking_weights: dict[str, dict[str, Any]] = {}
    gains: list[GainRow] = []
    probability: list[ProbabilityRow] = []
    metrics: list[MetricRow]
    catalogue: list[CatalogueRow]
    stages: dict[str, dict[str, Usage]]
    differences: list[PairedDifference]
    not_compared: list[NotCompared]
    intervals: EvaluationSettings

    @property
    def names(self) -> list[str]:
        """Names of the runs."""
        return [run.name for run in self.runs]

    @property
    def titles(self) -> dict[str, str]:
        """What each metric is called; "@k" where the runs looked at lists of several lengths."""
        names = list(dict.fromkeys(row.metric for row in self.metrics))
        if len({run.k for run in self.runs}) == 1:
            return metric_titles(self.runs[0].k, names)
        k = -1  # no length of a list
        return {name: title.replace("@-1", "@k") for name, title in metric_titles(k, names).items()}

    def main_figures(self, window: str) -> dict[str, dict[str, MetricFigure]]:
        """By recommender and run, the metric that models are ordered by, of all customers."""
        return {
            row.model: row.runs
            for row in self.metrics
            if (row.window, row.kind, row.metric) == (window, ALL, MAIN_METRIC)
        }

    def difference(
        self, run: str, model: str, metric: str, window: str = TEST
    ) -> PairedDifference | None:
        """The paired difference of a run, if there is one."""
        return next(
            (
                found
                for found in self.differences
                if (found.run, found.model, found.metric, found.window)
                == (run, model, metric, window)
            ),
            None,
        )


def compare_runs(folders: Sequence[Path]) -> Comparison:
    """Put runs side by side.

    Parameters
    ----------
    folders
        Two or more folders of finished runs; the others are compared with the first one.

    Raises
    ------
    ConfigError
        When there are fewer than two, or one is named twice.
    RunError
        When a folder is not a finished run.
    """
    if len(folders) < 2:
        raise ConfigError("name two runs or more to compare: modiste compare RUN RUN …")
    twice = [path for path, n in Counter(folder.resolve() for folder in folders).items() if n > 1]
    if twice:
        raise ConfigError(f"the run {twice[0]} is named twice: name each run once")
    runs = dict(zip(_names(folders), (SavedRun.open(folder) for folder in folders), strict=True))
    base, *others = runs
    intervals = runs[base].metrics.settings
    differences: list[PairedDifference] = []
    not_compared: list[NotCompared] = []
    for name in others:
        for window in runs[base].windows | runs[name].windows:
            reasons, found = _paired(runs, base, name, window, intervals)
            differences += found
            if reasons:
                not_compared.append(
                    NotCompared(run=name, base=base, window=window, reasons=reasons)
                )
    ranked = {name: run.metrics.ranking for name, run in runs.items() if run.metrics.ranking}
    if len(ranked) < 2:
        ranked = {}  # nothing to put side by side
    return Comparison(
        modiste=__version__,
        runs=[_described(name, run) for name, run in runs.items()],
        settings=_differing({name: flattened(run.config) for name, run in runs.items()}),
        weights=_differing({name: run.metrics.weights for name, run in runs.items()}),
        ranking_weights=_differing(
            {name: flattened(ranking.weights) for name, ranking in ranked.items()}
        ),
        gains=[
            GainRow(model=model, runs=of_runs)
            for model, of_runs in _by_key(
                {name: ranking.gains for name, ranking in ranked.items()}
            ).items()
        ],
        probability=_probability_rows(ranked),
        metrics=_metric_rows(runs),
        catalogue=_catalogue_rows(runs),
        stages=_by_key({name: run.timings for name, run in runs.items()}),
        differences=differences,
        not_compared=not_compared,
        intervals=intervals,
    )


def write_comparison(comparison: Comparison, page: str, out: Path) -> list[Path]:
    """Write ``comparison.json`` and ``comparison.html`` into a folder, which is made if need be.

    Raises
    ------
    ModisteError
        When the folder cannot be written.
    """
    texts = {
        "comparison.json": comparison.model_dump_json(indent=2) + "\n",
        "comparison.html": page,
    }
    for name, text in texts.items():
        try:
            with atomic_file(out / name) as partial:
                partial.write_text(text, encoding="utf-8")
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise RunError(f"{out} cannot be written to: --out names a folder") from error
    return [out / name for name in texts]


def default_folder(folders: Sequence[Path]) -> Path:
    """Where a comparison goes that was told no place: beside the first run, named by them all."""
    names = [folder.resolve().name for folder in folders]
    name = "_".join(["compare", *names])
    if len(name) > _LONGEST_NAME:
        name = f"compare_{names[0]}_and_{len(names) - 1}_more"
    return folders[0].resolve().parent / name


def flattened(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A tree of settings as one level, with dotted keys; a list is one value."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            flat |= {f"{key}.{inner}": each for inner, each in flattened(value).items()}
        else:
            flat[str(key)] = value
    return flat


def _names(folders: Sequence[Path]) -> list[str]:
    """The runs' folders without what they have in common, so that no two are alike."""
    names = [folder.resolve().name for folder in folders]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]


def _described(name: str, run: SavedRun) -> ComparedRun:
    return ComparedRun(
        name=name,
        folder=str(run.folder),
        modiste=run.version,
        submission=str(run.metrics.submission.as_of),
        k=run.metrics.settings.k,
        windows={
            role: ComparedWindow(
                as_of=str(scores.as_of),
                horizon_days=scores.horizon_days,
                customers=scores.customers,
            )
            for role, scores in run.windows.items()
        },
    )


def _by_key(of_runs: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Values by key, then by run, in the order in which keys first come."""
    keys = dict.fromkeys(key for values in of_runs.values() for key in values)
    return {
        key: {name: values[key] for name, values in of_runs.items() if key in values}
        for key in keys
    }


def _differing(of_runs: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        key: values
        for key, values in _by_key(of_runs).items()
        if len(values) < len(of_runs)
        or any(value != next(iter(values.values())) for value in values.values())
    }


def _metric_rows(runs: Mapping[str, SavedRun]) -> list[MetricRow]:
    figures: dict[tuple[str, str, str, str, str], dict[str, MetricFigure]] = {}

    def add(run: str, window: str, kind: str, segment: str, model: str, group: Group) -> None:
        for metric, score in group.metrics.items():
            figures.setdefault((window, kind, segment, model, metric), {})[run] = MetricFigure(
                customers=group.customers, mean=score.mean, low=score.low, high=score.high
            )

    for name, run in runs.items():
        for window, scores in run.windows.items():
            for model, of_model in scores.models.items():
                add(name, window, ALL, ALL, model, of_model)
                for kind, segments in of_model.segments.items():
                    for segment, group in segments.items():
                        add(name, window, kind, segment, model, group)
    fields = ("window", "kind", "segment", "model", "metric")
    return [
        MetricRow(**dict(zip(fields, key, strict=True)), runs=of_runs)
        for key, of_runs in figures.items()
    ]


def _catalogue_rows(runs: Mapping[str, SavedRun]) -> list[CatalogueRow]:
    figures: dict[tuple[str, str, str], dict[str, float | None]] = {}
    for name, run in runs.items():
        for window, scores in run.windows.items():
            for model, of_model in scores.models.items():
                for metric, figure in of_model.catalogue.items():
                    figures.setdefault((window, model, metric), {})[name] = figure
    return [
        CatalogueRow(window=window, model=model, metric=metric, runs=of_runs)
        for (window, model, metric), of_runs in figures.items()
    ]


def _probability_rows(ranked: Mapping[str, RankingMetrics]) -> list[ProbabilityRow]:
    figures: dict[tuple[str, str], dict[str, float | None]] = {}
    for name, ranking in ranked.items():
        for ranker, found in ranking.probability.items():
            for metric, figure in found.model_dump().items():
                figures.setdefault((ranker, metric), {})[name] = figure
    return [
        ProbabilityRow(ranker=ranker, metric=metric, runs=of_runs)
        for (ranker, metric), of_runs in figures.items()
    ]


def _paired(
    runs: Mapping[str, SavedRun],
    base: str,
    name: str,
    role: str,
    intervals: EvaluationSettings,
) -> tuple[list[str], list[PairedDifference]]:
    """Why two runs cannot be paired in a window, or else their differences there."""
    reasons = _not_the_same_split(runs, base, name, role)
    if reasons:
        return reasons, []
    window = runs[base].windows[role].window
    one, other = runs[base].customers(window), runs[name].customers(window)
    reasons = _not_the_same_customers(base, one, name, other)
    if reasons:
        return reasons, []
    known = ("model", "customer", "customer_id", "n_labels")
    metrics = [column for column in one.columns if column in other.columns and column not in known]
    models = [
        model for model in one["model"].unique(maintain_order=True) if model in set(other["model"])
    ]
    pairs = (
        one.select("model", "customer", "customer_id", *metrics)
        .join(
            other.select("model", "customer_id", *metrics),
            on=["model", "customer_id"],
            suffix="_other",
        )
        .sort("model", "customer")
    )
    if not models or not metrics:
        return ["they have no recommender and metric in common"], []
    # (customers, models × metrics); customers in the order of the base's evaluation.
    gaps = np.concatenate(
        [
            of_model.select([f"{metric}_other" for metric in metrics]).to_numpy()
            - of_model.select(metrics).to_numpy()
            for of_model in (pairs.filter(pl.col("model") == model) for model in models)
        ],
        axis=1,
    )
    resampled = resample_means(gaps, intervals.resamples, intervals.seed)
    low, high = percentiles(resampled, intervals.level)
    rows = [(model, metric) for model in models for metric in metrics]
    return [], [
        PairedDifference(
            run=name,
            base=base,
            window=role,
            model=model,
            metric=metric,
            customers=len(gaps),
            mean=float(gaps[:, column].mean()),
            low=float(low[column]),
            high=float(high[column]),
            share_positive=float((resampled[:, column] > 0).mean()),
        )
        for column, (model, metric) in enumerate(rows)
    ]


def _not_the_same_split(runs: Mapping[str, SavedRun], base: str, name: str, role: str) -> list[str]:
    """What differs in the days and in what is counted as a hit, or is not there to be paired."""
    ours, theirs = runs[base].windows.get(role), runs[name].windows.get(role)
    if ours is None or theirs is None:
        return [f"not the same split: {base if ours is None else name} has no such window"]
    reasons = []
    if ours.window != theirs.window:
        reasons.append(
            f"not the same split: {_days(ours.window)} in {base}, {_days(theirs.window)} in {name}"
        )
    k, other_k = (runs[each].metrics.settings.k for each in (base, name))
    if k != other_k:
        reasons.append(f"not the same length of lists: {k} in {base}, {other_k} in {name}")
    reasons += [
        f"{each} has no scores by customer: its stages/evaluate/customers.parquet is gone"
        for each in (base, name)
        if not runs[each].has_customers
    ]
    return reasons


def _days(window: Window) -> str:
    return str(window).replace("..", " to ")


def _not_the_same_customers(
    base: str, one: pl.DataFrame, name: str, other: pl.DataFrame
) -> list[str]:
    """Which customers are not in both, or bought another number of articles."""
    labels = ["customer_id", "n_labels"]
    ours, theirs = one.select(labels).unique(), other.select(labels).unique()
    reasons = [
        f"not the same customers: {only:,} of them are in {which} only"
        for which, only in (
            (base, ours.join(theirs, on="customer_id", how="anti").height),
            (name, theirs.join(ours, on="customer_id", how="anti").height),
        )
        if only
    ]
    others = ours.join(theirs, on="customer_id").filter(
        pl.col("n_labels") != pl.col("n_labels_right")
    )
    if others.height:
        reasons.append(
            f"not the same purchases: {others.height:,} customers bought another number of articles"
        )
    return reasons
