"""The report of a run, made of what its stages have left."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import polars as pl

from modiste.data.dataset import Dataset
from modiste.evaluation.protocol import Recommender
from modiste.report.examples import make_examples
from modiste.report.html import RunReport, write_report
from modiste.report.pictures import PictureFolder
from modiste.report.results import RunMetrics
from modiste.report.shop import shop_statistics


def write_run_report(
    target: Path,
    *,
    dataset: Dataset,
    submit: date,
    sources: Mapping[str, Recommender],
    candidates: int,
    evaluated: Path,
    tuned: Path,
    config: str,
    timings: Mapping[str, Mapping[str, float]],
    customers: int,
    images: Path | None,
    seed: int,
    chosen: str = "blend",
    ceiling: float | None = None,
) -> None:
    """Write ``report.html``.

    Parameters
    ----------
    target
        The file to write.
    dataset
        The shop.
    submit
        The date that the submission is made as of; the shop's statistics are of the days before.
    sources
        The blend's sources, fitted as of the first day of the test window.
    candidates
        Articles that each source proposes to a customer.
    evaluated
        Folder of the stage ``evaluate``: ``metrics.json``.
    tuned
        Folder of the stage ``tune``: ``trials.parquet``.
    config
        All settings, as YAML.
    timings
        By stage ``seconds`` and ``peak_mib``, see :meth:`modiste.engine.stages.Run.timings`.
    customers
        Number of customers whose recommendations are shown.
    images
        Folder of photographs as in the Kaggle data, or None.
    seed
        Of the draw of these customers.
    chosen
        The model that the submission is made with.
    ceiling
        Expected MAP of the best possible recommendations, where the truth is known.
    """
    metrics = RunMetrics.of(json.loads((evaluated / "metrics.json").read_text(encoding="utf-8")))
    pictures = PictureFolder(images)
    examples = make_examples(
        dataset,
        metrics.test.window,
        sources,
        metrics.weights,
        candidates=candidates,
        k=metrics.settings.k,
        n=customers,
        seed=seed,
        pictures=pictures,
    )
    write_report(
        target,
        RunReport(
            metrics=metrics,
            submit=submit,
            trials=pl.read_parquet(tuned / "trials.parquet"),
            manifest=dataset.manifest,
            shop=shop_statistics(dataset.until(submit)),
            examples=examples,
            config=config,
            timings=timings,
            chosen=chosen,
            ceiling=ceiling,
            pictures_left_out=len(pictures.too_large),
        ),
    )
