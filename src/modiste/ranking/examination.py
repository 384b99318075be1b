"""What a hybrid gives the buyers of a label window, and how good every part of it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modiste.candidates.generator import rank_of
from modiste.candidates.settings import SEGMENTS, segment_of_customers
from modiste.data.dataset import History, Partition
from modiste.evaluation.intervals import paired_differences
from modiste.evaluation.probability import ProbabilityScores, calibration
from modiste.evaluation.protocol import RECOMMENDATIONS
from modiste.evaluation.settings import EvaluationSettings
from modiste.ranking.calibration import Calibration
from modiste.ranking.hybrid import HYBRID, Hybrid
from modiste.ranking.labelled_rows import blocks
from modiste.ranking.rules import summarise_changes

ALL = "all"


@dataclass(frozen=True)
class Examination:
    """Of the buyers of a label window.

    Attributes
    ----------
    orders
        By name, as of :meth:`modiste.ranking.hybrid.Hybrid.orders`, of all of them.
    found
        One row a purchase: ``customer``, ``article``, ``segment`` (of the customer), ``candidate``
        (Boolean) and each source's rank (null where it did not propose it), of which those beyond
        the merge's limit are not there.
    scores
        By ranker: its score of every candidate, float32.
    bought
        bool, of every candidate.
    shown
        One row a place in the lists that are shown: ``customer``, ``article``, ``rank``,
        ``segment``, each source's rank and ``bought`` (Boolean).
    changes
        What the shop's rules change in these lists: see
        :func:`modiste.ranking.rules.summarise_changes`; empty where none is in force.
    """

    orders: dict[str, pl.DataFrame]
    found: pl.DataFrame
    scores: dict[str, NDArray[np.float32]]
    bought: NDArray[np.bool_]
    shown: pl.DataFrame
    changes: pl.DataFrame


def examine(
    history: History, hybrid: Hybrid, labels: pl.DataFrame, k: int, shown: int
) -> Examination:
    """Ask a hybrid about the buyers of a window, partition by partition.

    Parameters
    ----------
    history
        As of the window's first day.
    hybrid
        Fitted on it.
    labels
        What was bought in the window: distinct pairs ``customer``, ``article``.
    k
        Recommendations a customer that are measured.
    shown
        Recommendations a customer that are shown, ``k`` at most.
    """
    parts = history.map(
        _examine_partition, hybrid, labels, k, shown, label=f"candidates in order {history.as_of}"
    )
    return Examination(
        {
            name: pl.concat([part.orders[name] for part in parts], how="vertical")
            for name in parts[0].orders
        },
        pl.concat([part.found for part in parts]),
        {name: np.concatenate([part.scores[name] for part in parts]) for name in parts[0].scores},
        np.concatenate([part.bought for part in parts]),
        # In one piece, for sums of fractions must not depend on where the pieces came from.
        pl.concat([part.shown for part in parts], rechunk=True),
        summarise_changes(part.changes for part in parts),
    )


def _examine_partition(
    partition: Partition, hybrid: Hybrid, labels: pl.DataFrame, k: int, shown: int
) -> Examination:
    batch = partition.read().only(labels["customer"].unique())
    orders: dict[str, list[pl.DataFrame]] = {}
    found, bought, listed, changes = [], [], [], []
    hit = labels.with_columns(bought=pl.lit(value=True))
    pair = ["customer", "article"]
    scores: dict[str, list[NDArray[np.float32]]] = {name: [] for name in hybrid.rankers}
    for block in blocks(batch):
        rows = hybrid.rows(block)
        scored = hybrid.scores(block, rows)
        for name, frame in hybrid.orders(block, scored, k).items():
            orders.setdefault(name, []).append(frame.select(list(RECOMMENDATIONS)))
        changes.append(hybrid.rule_changes(block, scored, shown))
        ranks = [rank_of(source) for source in hybrid.generator.sources]
        proposed = rows.select("customer", "article", *ranks, candidate=pl.lit(value=True))
        segments = segment_of_customers(block)
        found.append(
            labels.join(segments, on="customer")
            .join(proposed, on=pair, how="left")
            .with_columns(pl.col("candidate").fill_null(value=False))
        )
        marked = rows.select(pair).join(hit, on=pair, how="left", maintain_order="left")
        bought.append(marked["bought"].fill_null(value=False).to_numpy())
        listed.append(
            orders[HYBRID][-1]
            .filter(pl.col("rank") <= shown)
            .select("customer", "article", "rank")
            .join(segments, on="customer", how="left", maintain_order="left")
            .join(proposed.drop("candidate"), on=pair, how="left", maintain_order="left")
            .join(hit, on=pair, how="left", maintain_order="left")
            .with_columns(pl.col("bought").fill_null(value=False))
        )
        for name in hybrid.rankers:
            scores[name].append(scored[name].to_numpy())
    return Examination(
        {name: pl.concat(frames) for name, frames in orders.items()},
        pl.concat(found),
        {name: np.concatenate(each) for name, each in scores.items()},
        np.concatenate(bought),
        pl.concat(listed),
        pl.concat(changes),
    )


def recall_by_source(found: pl.DataFrame, k: int) -> pl.DataFrame:
    """What each source finds of what was bought, and what nobody else finds.

    Parameters
    ----------
    found
        Of an :class:`Examination`.
    k
        Places that a perfect order is scored on.

    Returns
    -------
    One row a segment ("all" first) and source, and "union" of all: ``segment``, ``customers``,
    ``source``, ``recall`` (mean over customers of the share of their purchases that it proposed),
    ``adds`` (by how much the union's recall would be lower without it) and, of the union,
    ``perfect_map`` (MAP@k of the candidates in the best order).
    """
    sources = _sources_of(found)
    by = {name: pl.col(rank_of(name)).is_not_null() for name in sources}
    number = pl.sum_horizontal(by.values())
    per_customer = (
        found.group_by("customer", "segment")
        .agg(
            *(proposed.mean().alias(name) for name, proposed in by.items()),
            *(
                (proposed & (number == 1)).mean().alias(f"only {name}")
                for name, proposed in by.items()
            ),
            pl.col("candidate").mean().alias("union"),
            perfect=pl.min_horizontal(pl.col("candidate").sum(), pl.lit(k))
            / pl.min_horizontal(pl.len(), pl.lit(k)),
        )
        .sort("customer")
    )  # means add up in one order
    rows = []
    for segment in (ALL, *SEGMENTS):
        group = (
            per_customer if segment == ALL else per_customer.filter(pl.col("segment") == segment)
        )
        if group.is_empty():
            continue
        means = group.drop("customer", "segment").mean().row(0, named=True)
        for source in (*sources, "union"):
            union = source == "union"
            rows.append(
                {
                    "segment": segment,
                    "customers": group.height,
                    "source": source,
                    "recall": means[source],
                    "adds": None if union else means[f"only {source}"],
                    "perfect_map": means["perfect"] if union else None,
                }
            )
    return pl.DataFrame(
        rows,
        schema={
            "segment": pl.String(),
            "customers": pl.UInt32(),
            "source": pl.String(),
            "recall": pl.Float64(),
            "adds": pl.Float64(),
            "perfect_map": pl.Float64(),
        },
    )


def shown_by_source(shown: pl.DataFrame) -> pl.DataFrame:
    """Which sources the articles that are shown come from, and how many of them are then bought.

    Parameters
    ----------
    shown
        Of an :class:`Examination`.

    Returns
    -------
    One row a segment ("all" first) and source: ``segment``, ``source``, ``places`` (share of the
    places in the lists whose article it proposed), ``first`` (share of the places whose article
    stands in its list before that of any other; shared out where several have it at the same
    place) and ``bought`` (share of what it proposed and was shown that was then bought; null where
    that is nothing). A place that was filled up comes from no source.
    """
    sources = _sources_of(shown)
    ranks = [pl.col(rank_of(name)) for name in sources]
    best = pl.min_horizontal(ranks)
    ahead = [(rank == best).fill_null(value=False) for rank in ranks]
    equals = pl.sum_horizontal(ahead)
    frames = []
    for segment in (ALL, *SEGMENTS):
        group = shown if segment == ALL else shown.filter(pl.col("segment") == segment)
        if group.is_empty():
            continue
        frames += [
            group.select(
                segment=pl.lit(segment),
                source=pl.lit(name),
                places=rank.is_not_null().mean(),
                first=pl.when(is_ahead).then(1 / equals).otherwise(0.0).mean(),
                bought=pl.col("bought").filter(rank.is_not_null()).mean(),
            )
            for name, rank, is_ahead in zip(sources, ranks, ahead, strict=True)
        ]
    return pl.concat(frames)


def most_shown(shown: pl.DataFrame, articles: pl.DataFrame, n: int) -> pl.DataFrame:
    """The articles that most customers are shown.

    Parameters
    ----------
    shown
        Of an :class:`Examination`.
    articles
        ``article`` and ``article_id``.
    n
        Number of articles.

    Returns
    -------
    ``article_id``, ``customers`` (number of lists that it is in), ``bought`` (how many of these
    customers then bought it) and ``source`` (the one that has it before all others in most of the
    lists; null: none proposed it); the article of most lists first.
    """
    sources = _sources_of(shown)
    best = pl.min_horizontal(rank_of(name) for name in sources)
    ahead = [(pl.col(rank_of(name)) == best).sum().alias(name) for name in sources]
    most = pl.max_horizontal(sources)
    return (
        shown.group_by("article")
        .agg(
            pl.len().cast(pl.Int64).alias("customers"),
            pl.col("bought").sum().cast(pl.Int64),
            *ahead,
        )
        .sort("customers", "article", descending=[True, False])
        .head(n)
        .join(articles, on="article", how="left", maintain_order="left")
        .select(
            "article_id",
            "customers",
            "bought",
            source=pl.coalesce(
                pl.when((pl.col(name) == most) & (most > 0)).then(pl.lit(name)) for name in sources
            ),
        )
    )


def _sources_of(frame: pl.DataFrame) -> list[str]:
    return [name.removesuffix("_rank") for name in frame.columns if name.endswith("_rank")]


def gains_of_hybrid(
    customers: pl.DataFrame, found: pl.DataFrame, settings: EvaluationSettings
) -> dict[str, Any]:
    """What the hybrid's lists score more than every other model's, paired by customer.

    Parameters
    ----------
    customers
        Scores of every model, the hybrid among them, and customer: see
        :attr:`modiste.evaluation.backtest.Evaluation.customers`.
    found
        Of an :class:`Examination`: its customers are the same, and it says their segments.
    settings
        How intervals are drawn.

    Returns
    -------
    Plain values: ``gains``, by model the content of a
    :class:`modiste.evaluation.intervals.Difference` of MAP; and ``segments``, by segment
    ``customers``, ``map`` (by model) and ``gains``.
    """
    segment_of = found.select("customer", "segment").unique()
    segments: dict[str, Any] = {}
    for segment in SEGMENTS:
        members = segment_of.filter(pl.col("segment") == segment).select("customer")
        scores = _scores_by_model(customers.join(members, on="customer", how="semi"))
        if members.height:
            segments[segment] = {
                "customers": members.height,
                "map": {model: float(of_model.mean()) for model, of_model in scores.items()},
                "gains": _gains(scores, settings),
            }
    return {"gains": _gains(_scores_by_model(customers), settings), "segments": segments}


def _scores_by_model(customers: pl.DataFrame) -> dict[str, NDArray[np.float64]]:
    """Average precision by model, customers in one order."""
    return {
        str(model): frame["average_precision"].to_numpy()
        for (model,), frame in customers.sort("customer").group_by("model", maintain_order=True)
    }


def _gains(
    scores: Mapping[str, NDArray[np.float64]], settings: EvaluationSettings
) -> dict[str, dict[str, float]]:
    others = {model: of_model for model, of_model in scores.items() if model != HYBRID}
    found = paired_differences(
        scores[HYBRID], others, settings.level, settings.resamples, settings.seed
    )
    return {model: asdict(gain) for model, gain in found.items()}


def probability_figures(
    examined: Examination, calibrations: Mapping[str, Calibration]
) -> dict[str, Any]:
    """How well each ranker's scores, as probabilities, foretold what was bought.

    Parameters
    ----------
    examined
        Of the buyers of a window.
    calibrations
        By ranker, learned on an earlier window.

    Returns
    -------
    As plain values by ranker: ``probability``, the fields of
    :class:`modiste.evaluation.probability.ProbabilityScores`; and ``calibration``, predicted and
    bought shares in bins that hold as many predicted purchases each, the rows of
    :func:`modiste.evaluation.probability.calibration`.
    """
    figures: dict[str, Any] = {"probability": {}, "calibration": {}}
    for name, scores in examined.scores.items():
        predicted = calibrations[name].probability(scores.astype(np.float64))
        found = ProbabilityScores.of(predicted, examined.bought)
        figures["probability"][name] = asdict(found)
        curve = calibration(predicted, examined.bought, alike="predicted")
        figures["calibration"][name] = curve.to_dicts()
    return figures
