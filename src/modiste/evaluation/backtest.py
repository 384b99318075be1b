"""Compare recommenders on the same customers: in one label window, or in several by a backtest.

:func:`evaluate` is the core: it takes recommendations that somebody has already made. What makes
them, the pipeline or :func:`backtest`, asks every model about the same customers, those who bought
in the window; a model that has nothing to say about one of them scores 0 there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modiste.data.availability import on_sale
from modiste.data.dataset import Dataset, History, Partition, Window
from modiste.errors import ConfigError, DataError
from modiste.evaluation import metrics
from modiste.evaluation.intervals import percentiles, resample_means
from modiste.evaluation.protocol import RECOMMENDATIONS, Recommender
from modiste.evaluation.segments import segment_customers
from modiste.evaluation.settings import EvaluationSettings

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

DEFAULTS = EvaluationSettings()

# The kind and the segment that hold every customer.
ALL = "all"

# Columns of the summary that compare with the reference.
_DIFFERENCES = ("difference", "difference_low", "difference_high", "share_positive")

_ON_SALE_DAYS = 28


@dataclass(frozen=True)
class Catalogue:
    """What the catalogue metrics need to know of the articles as of a date.

    Attributes
    ----------
    on_sale
        Codes of the articles that could be recommended, int, sorted.
    sales
        Past sales by article code, shape (n_articles,), in pieces.
    """

    on_sale: Integers
    sales: Integers

    @classmethod
    def of(cls, history: History, on_sale: pl.Series) -> Catalogue:
        """Count the sales of a history."""
        sold = history.article_sales.group_by("article").agg(pl.col("sales").sum())
        sales = np.zeros(history.n_articles, dtype=np.int64)
        sales[sold["article"].to_numpy()] = sold["sales"].to_numpy()
        return cls(np.sort(on_sale.to_numpy()).astype(np.int64), sales)


@dataclass(frozen=True)
class Evaluation:
    """What several models scored on the same customers.

    Attributes
    ----------
    customers
        One row a model and customer, models in the order given, then by customer: ``model``,
        ``customer`` and the columns of :func:`modiste.evaluation.metrics.score_customers`.
    summary
        One row a model, kind of segment, segment and metric: ``model``, ``kind``, ``segment``,
        ``n_customers``, ``metric``, ``mean`` with its bootstrap interval ``low`` to ``high``; and
        against the reference ``difference``, ``difference_low``, ``difference_high`` and
        ``share_positive`` (null for the reference itself, and without one). Kind and segment
        "all" hold every customer.
    catalogue
        One row a model: ``model``, ``coverage``, ``novelty`` (bits), ``gini`` of the first ``k``
        recommendations to these customers; null where undefined.
    reference
        Name of the model that the others are compared with, or None.
    """

    customers: pl.DataFrame
    summary: pl.DataFrame
    catalogue: pl.DataFrame
    reference: str | None


@dataclass(frozen=True)
class BacktestResult:
    """The evaluations of one or more label windows."""

    evaluations: Mapping[Window, Evaluation]
    settings: EvaluationSettings

    def customers(self) -> pl.DataFrame:
        """Scores of every customer: those of the evaluations, after a column ``window``."""
        return self._stacked(lambda evaluation: evaluation.customers)

    def summary(self) -> pl.DataFrame:
        """Means, intervals and differences, after a column ``window``."""
        return self._stacked(lambda evaluation: evaluation.summary)

    def catalogue(self) -> pl.DataFrame:
        """Catalogue metrics, after a column ``window``."""
        return self._stacked(lambda evaluation: evaluation.catalogue)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the customers, as plain values that JSON can hold."""
        return {
            "settings": self.settings.model_dump(mode="json"),
            "windows": [
                {
                    "as_of": window.as_of.isoformat(),
                    "horizon_days": window.horizon,
                    "reference": evaluation.reference,
                    "models": _models_dict(evaluation),
                }
                for window, evaluation in self.evaluations.items()
            ],
        }

    def _stacked(self, frame: Callable[[Evaluation], pl.DataFrame]) -> pl.DataFrame:
        return pl.concat(
            frame(evaluation).select(pl.lit(str(window)).alias("window"), pl.all())
            for window, evaluation in self.evaluations.items()
        )


def evaluate(
    recommendations: Mapping[str, pl.DataFrame],
    labels: pl.DataFrame,
    segments: pl.DataFrame | None = None,
    catalogue: Catalogue | None = None,
    *,
    reference: str | None = None,
    settings: EvaluationSettings = DEFAULTS,
) -> Evaluation:
    """Score models' recommendations on the customers of the labels.

    Parameters
    ----------
    recommendations
        By the model's name, frames with the columns of ``RECOMMENDATIONS``, ``settings.depth``
        places deep if the recall there is to mean anything.
    labels
        Columns ``customer`` and ``article``: what was bought; one row or more.
    segments
        Columns ``customer``, ``kind``, ``segment`` (see
        :func:`modiste.evaluation.segments.segment_customers`); shown in the order of their dtype.
    catalogue
        For the catalogue metrics, which are null without it.
    reference
        Name of the model that the others are compared with.
    settings
        Cut-offs, and how intervals are drawn.
    """
    if labels.is_empty():
        raise DataError("nobody bought anything in the label window: there is nothing to score")
    _check_reference(reference, recommendations)
    scores = {
        model: metrics.score_customers(frame, labels, settings.k, settings.recall_at)
        for model, frame in recommendations.items()
    }
    return Evaluation(
        pl.concat(
            frame.select(pl.lit(model).alias("model"), pl.all()) for model, frame in scores.items()
        ),
        _summarise(scores, segments, reference, settings),
        _catalogue_metrics(recommendations, labels, catalogue, settings.k),
        reference,
    )


def backtest(
    dataset: Dataset,
    recommenders: Mapping[str, Callable[[], Recommender]],
    windows: Sequence[Window],
    *,
    reference: str | None = None,
    on_sale: Callable[[History], pl.Series] | None = None,
    settings: EvaluationSettings = DEFAULTS,
) -> BacktestResult:
    """Fit recommenders as of the start of each window and score what they recommend for it.

    The models of one window are held together, so that each partition is read once for all.

    Parameters
    ----------
    dataset
        The shop.
    recommenders
        By name, what makes a new recommender that is not fitted.
    windows
        Label windows, each whole within the data.
    reference
        Name of the recommender that the others are compared with.
    on_sale
        Gives the codes of the articles on sale as of a history's date, for the catalogue metrics;
        by default those sold in the last 28 days.
    settings
        Cut-offs, and how intervals are drawn.
    """
    _check_reference(reference, recommenders)
    evaluations = {}
    for window in windows:
        labels = _labels(dataset, window)
        customers = labels["customer"].unique().sort()
        history = dataset.until(window.as_of)
        fitted = {name: make().fit(history) for name, make in recommenders.items()}
        evaluations[window] = evaluate(
            recommend_to(history, fitted, customers, settings.depth),
            labels,
            segment_customers(history, customers),
            Catalogue.of(history, (on_sale or _sold_lately)(history)),
            reference=reference,
            settings=settings,
        )
    return BacktestResult(evaluations, settings)


def recommend_to(
    history: History, fitted: Mapping[str, Recommender], customers: pl.Series, k: int
) -> dict[str, pl.DataFrame]:
    """Ask fitted recommenders about some of a history's customers, partition by partition.

    Returns
    -------
    By the recommender's name, a frame with the columns of ``RECOMMENDATIONS``, sorted by
    (customer, rank).
    """
    parts = history.map(
        _recommend_partition, dict(fitted), customers, k, label=f"recommendations {history.as_of}"
    )
    empty = pl.DataFrame(schema=RECOMMENDATIONS)
    return {name: pl.concat([empty, *(part[name] for part in parts)]) for name in fitted}


def _recommend_partition(
    partition: Partition, fitted: dict[str, Recommender], customers: pl.Series, k: int
) -> dict[str, pl.DataFrame]:
    batch = partition.read().only(customers)
    return {
        name: model.recommend(batch, k).select(list(RECOMMENDATIONS)).sort("customer", "rank")
        for name, model in fitted.items()
    }


def _labels(dataset: Dataset, window: Window) -> pl.DataFrame:
    if window.end > dataset.next_day:
        raise DataError(
            f"the label window {window} is not over when the data ends on {dataset.last_day}: "
            "choose an earlier date or a shorter horizon"
        )
    labels = dataset.purchases(window)
    if labels.is_empty():
        raise DataError(f"nobody bought anything in the label window {window}")
    return labels


def _sold_lately(history: History) -> pl.Series:
    return pl.Series(on_sale(history, _ON_SALE_DAYS).nonzero()[0])


def _check_reference(reference: str | None, models: Mapping[str, object]) -> None:
    if reference is not None and reference not in models:
        raise ConfigError(
            f"the reference {reference!r} is none of the models compared: {', '.join(models)}"
        )


def _summarise(
    scores: Mapping[str, pl.DataFrame],
    segments: pl.DataFrame | None,
    reference: str | None,
    settings: EvaluationSettings,
) -> pl.DataFrame:
    names = metrics.metric_names(settings.recall_at)
    models = list(scores)
    customers = scores[models[0]]["customer"]
    # (customers, models, metrics); score_customers gives every model the same customers in order.
    values = np.stack([frame.select(names).to_numpy() for frame in scores.values()], axis=1)
    base = None if reference is None else models.index(reference)
    groups = [
        pl.DataFrame({"model": np.repeat(models, len(names)), "metric": names * len(models)})
        .with_columns(
            pl.lit(kind).alias("kind"),
            pl.lit(segment).alias("segment"),
            pl.lit(len(members), pl.UInt32).alias("n_customers"),
        )
        .select("model", "kind", "segment", "n_customers", "metric")
        .hstack(_summarise_group(values[members], base, settings))
        for kind, segment, members in _groups(customers, segments)
    ]
    in_order = pl.col("model").cast(pl.Enum(models))
    return pl.concat(groups).sort(in_order, maintain_order=True)


def _groups(
    customers: pl.Series, segments: pl.DataFrame | None
) -> Iterator[tuple[str, str, Integers]]:
    """Give kind, segment and the rows of its customers, all customers first."""
    yield ALL, ALL, np.arange(len(customers))
    if segments is None:
        return
    rows = customers.to_frame().with_row_index("row")
    members = (
        segments.join(rows, on="customer")
        .group_by("kind", "segment")
        .agg(pl.col("row").sort())
        .sort("kind", "segment")
    )
    for kind, segment, row in members.iter_rows():
        yield kind, segment, np.asarray(row, dtype=np.int64)


def _summarise_group(
    values: Floats, base: int | None, settings: EvaluationSettings
) -> pl.DataFrame:
    """Summarise scores of shape (customers, models, metrics): one row a model and metric."""
    n, n_models, n_metrics = values.shape
    resampled = resample_means(values.reshape(n, -1), settings.resamples, settings.seed)
    resampled = resampled.reshape(-1, n_models, n_metrics)
    mean = values.mean(axis=0)
    low, high = percentiles(resampled, settings.level)
    compared = np.full((len(_DIFFERENCES), n_models, n_metrics), np.nan)
    if base is not None:
        gaps = resampled - resampled[:, [base]]
        gap_low, gap_high = percentiles(gaps, settings.level)
        compared[:] = mean - mean[base], gap_low, gap_high, (gaps > 0).mean(axis=0)
        compared[:, base] = np.nan
    names = ("mean", "low", "high", *_DIFFERENCES)
    figures = zip(names, (mean, low, high, *compared), strict=True)
    return pl.DataFrame({name: figure.ravel() for name, figure in figures}).fill_nan(None)


def _catalogue_metrics(
    recommendations: Mapping[str, pl.DataFrame],
    labels: pl.DataFrame,
    catalogue: Catalogue | None,
    k: int,
) -> pl.DataFrame:
    rows: list[tuple[str, float | None, float | None, float | None]] = []
    for model, frame in recommendations.items():
        if catalogue is None:
            rows.append((model, None, None, None))
            continue
        made = frame.filter(pl.col("rank") <= k).join(labels, on="customer", how="semi")
        rows.append(
            (
                model,
                metrics.coverage(made, catalogue.on_sale),
                metrics.novelty(made, catalogue.sales),
                metrics.gini(made, catalogue.on_sale),
            )
        )
    columns = {"coverage": pl.Float64(), "novelty": pl.Float64(), "gini": pl.Float64()}
    frame = pl.DataFrame(rows, schema={"model": pl.String(), **columns}, orient="row")
    return frame.with_columns(pl.col(list(columns)).fill_nan(None))


def _models_dict(evaluation: Evaluation) -> dict[str, Any]:
    models: dict[str, Any] = {}
    for row in evaluation.summary.iter_rows(named=True):
        model = models.setdefault(row["model"], {"segments": {}})
        group = model
        if row["kind"] != ALL:
            group = model["segments"].setdefault(row["kind"], {}).setdefault(row["segment"], {})
        group["customers"] = row["n_customers"]
        figures = {name: row[name] for name in ("mean", "low", "high")}
        if row["difference"] is not None:
            figures["difference"] = {
                "mean": row["difference"],
                "low": row["difference_low"],
                "high": row["difference_high"],
                "share_positive": row["share_positive"],
            }
        group.setdefault("metrics", {})[row["metric"]] = figures
    for row in evaluation.catalogue.iter_rows(named=True):
        models[row.pop("model")]["catalogue"] = row
    return models
