"""The report of a run, made of what its stages have left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from modiste.data.dataset import Dataset
from modiste.evaluation.protocol import Recommender
from modiste.models.blend import Blend
from modiste.report.examples import make_examples, make_tiles
from modiste.report.html import RunReport, write_report
from modiste.report.pictures import PictureFolder
from modiste.report.ranking import RankingChoice
from modiste.report.results import RunMetrics
from modiste.report.shop import shop_statistics
from modiste.report.training import NetworkTraining


def write_run_report(
    target: Path,
    *,
    dataset: Dataset,
    blend: Blend,
    recommender: Recommender,
    metrics: RunMetrics,
    trials: pl.DataFrame | None,
    config: str,
    timings: Mapping[str, Mapping[str, float]],
    customers: int,
    images: Path | None,
    seed: int,
    ceiling: float | None = None,
    trainings: Sequence[NetworkTraining] = (),
    ranking: RankingChoice | None = None,
) -> None:
    """Write ``report.html``.

    Parameters
    ----------
    target
        The file to write.
    dataset
        The shop.
    blend, recommender
        Fitted as of the first day of the test window; the recommender's lists are shown, and what
        the blend's sources say of them. It may be the blend.
    metrics
        Content of the run's ``metrics.json``.
    trials
        What was tried to choose settings (see :class:`modiste.models.selection.Selection`), or
        None.
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
    ceiling
        Expected MAP of the best possible recommendations, where the truth is known.
    trainings
        How the networks were trained, for each recommender that is one.
    ranking
        How the ranking was chosen, where there is one.
    """
    pictures = PictureFolder(images)
    examples = make_examples(
        dataset,
        metrics.test.window,
        recommender,
        blend,
        k=metrics.settings.k,
        n=customers,
        seed=seed,
        pictures=pictures,
    )
    most_shown = [] if metrics.ranking is None else metrics.ranking.most_shown
    tiles = make_tiles(
        dataset.until(metrics.test.as_of).articles,
        [article.article_id for article in most_shown],
        pictures,
    )
    write_report(
        target,
        RunReport(
            metrics=metrics,
            trials=trials,
            manifest=dataset.manifest,
            shop=shop_statistics(dataset.until(metrics.submission.as_of)),
            examples=examples,
            config=config,
            timings=timings,
            chosen=metrics.recommender,
            ceiling=ceiling,
            trainings=trainings,
            ranking=ranking,
            tiles=tiles,
            pictures_left_out=len(pictures.too_large),
        ),
    )
