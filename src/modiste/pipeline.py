"""The stages of a run, from raw tables to a submission and a report.

Each stage is a plain function of typed inputs that writes its outputs into the folder it is given;
:func:`run_pipeline` puts them in order and lets :class:`modiste.engine.stages.Run` decide which of
them have to be done.

==============  ===================================================================================
``ingest``      raw tables → prepared tables
``fit``         every baseline, as of the start of each window and as of the submission's date
``tune``        the weights of the blend, on the validation windows
``evaluate``    every baseline and the blend, on the test window
``recommend``   twelve articles for every customer: submission.csv and Parquet
``report``      report.html
==============  ===================================================================================
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from modiste import __version__
from modiste.config import Config, dump_config
from modiste.data.availability import on_sale
from modiste.data.dataset import Dataset, Partition, Window
from modiste.data.ingest import fingerprint, ingest
from modiste.data.manifest import FILE_NAME as MANIFEST
from modiste.data.settings import IngestSettings
from modiste.engine import Engine, atomic_file
from modiste.engine.stages import Run
from modiste.errors import ConfigError, DataError
from modiste.evaluation.backtest import (
    BacktestResult,
    Catalogue,
    evaluate,
    recommend_to,
)
from modiste.evaluation.metrics import score_customers
from modiste.evaluation.segments import segment_customers
from modiste.evaluation.splits import Split, split
from modiste.models.blend import BASELINES, Blend, BlendSettings, blend_proposals
from modiste.models.weight_search import ScoredCandidates, search_weights

STAGES = ("ingest", "fit", "tune", "evaluate", "recommend", "report")

# The name of the blend beside the baselines', in tables and metrics.
BLEND = "blend"

# What differences are measured against, and whose weight in the blend is 1.
REFERENCE = "popularity"


@dataclass(frozen=True)
class RunResult:
    """Where a run lies, and what it measured (the content of ``metrics.json``)."""

    folder: Path
    metrics: dict[str, Any]


def run_pipeline(
    data: str,
    out: Path,
    config: Config,
    engine: Engine,
    *,
    redo_from: str | None = None,
    only: str | None = None,
) -> RunResult:
    """Do every stage that is not up to date in the run's folder ``out``.

    Parameters
    ----------
    data
        A folder, zip or fsspec address of raw tables, or a folder of prepared ones.
    out
        The run's folder.
    config
        All settings.
    engine
        Runs what is done partition by partition.
    redo_from, only
        Names of stages, see :class:`modiste.engine.stages.Run`.

    Raises
    ------
    ModisteError
        For all that the user can put right.
    """
    for stage in (redo_from, only):
        if stage is not None and stage not in STAGES:
            raise ConfigError(f"no stage '{stage}': there are {', '.join(STAGES)}")
    with Run(out, redo_from=redo_from, only=only) as run:
        prepared = _prepared_folder(run, data, config.ingest, engine)
        dataset = Dataset.open(prepared, engine)
        windows = split(dataset, config.as_of, config.horizon, config.evaluation)
        dates = sorted({window.as_of for window in windows.all} | {windows.submit})
        models, k = config.models.model_dump(mode="json", exclude={"weights"}), config.evaluation.k
        window_keys = {"windows": [str(window) for window in windows.all]}

        fitted = run.stage(
            "fit",
            lambda folder: fit(dataset, dates, config.models, folder),
            settings={"models": models, "dates": dates},
            code=_CODE,
            needs=["ingest"],
        )
        tuned = run.stage(
            "tune",
            lambda folder: tune(dataset, windows, config, fitted, folder),
            settings={
                "models": config.models.model_dump(mode="json"),
                "evaluation": config.evaluation.model_dump(mode="json"),
                **window_keys,
            },
            code=_CODE,
            needs=["fit"],
        )
        evaluated = run.stage(
            "evaluate",
            lambda folder: evaluate_on_test(dataset, windows, config, fitted, tuned, folder),
            settings={"evaluation": config.evaluation.model_dump(mode="json"), **window_keys},
            code=_CODE,
            needs=["tune"],
        )
        recommended = run.stage(
            "recommend",
            lambda folder: recommend(
                dataset, windows.submit, config.models, k, fitted, tuned, folder
            ),
            settings={"submit": windows.submit, "k": k},
            code=_CODE,
            needs=["tune"],
        )
        with atomic_file(out / "config.yaml") as partial:
            partial.write_text(dump_config(config), encoding="utf-8")
        run.publish(recommended / "submission.csv", "submission.csv")
        metrics_file = run.publish(evaluated / "metrics.json", "metrics.json")
        return RunResult(out, json.loads(metrics_file.read_text(encoding="utf-8")))


# What the stages after the ingest are made by.
_CODE = ("modiste.engine", "modiste.data", "modiste.evaluation", "modiste.models", __name__)


def _prepared_folder(run: Run, data: str, settings: IngestSettings, engine: Engine) -> Path:
    """The folder of prepared tables: the one given, or the ingest stage's."""
    if (Path(data) / MANIFEST).is_file():
        manifest = (Path(data) / MANIFEST).read_text(encoding="utf-8")
        run.known("ingest", {"prepared": str(Path(data).resolve()), "manifest": manifest})
        return Path(data)
    return run.stage(
        "ingest",
        lambda folder: _ingest_into(folder, data, settings, engine),
        settings={
            "source": fingerprint(data, settings),
            "settings": settings.model_dump(mode="json"),
        },
        code=("modiste.engine", "modiste.data"),
    )


def _ingest_into(folder: Path, data: str, settings: IngestSettings, engine: Engine) -> None:
    folder.rmdir()  # the ingest makes it itself, by a rename
    ingest(data, folder, settings, engine)


def fit(dataset: Dataset, dates: list[date], settings: BlendSettings, folder: Path) -> None:
    """Fit every baseline as of each date; save them under ``folder/<date>/``."""
    for as_of in dates:
        (folder / str(as_of)).mkdir()
        every_source = dict.fromkeys(BASELINES, 1.0)
        Blend(settings, every_source).fit(dataset.until(as_of)).save(folder / str(as_of))


def tune(dataset: Dataset, windows: Split, config: Config, fitted: Path, folder: Path) -> None:
    """Measure the weights of the blend on the validation windows, unless they are given.

    Writes ``weights.json`` (the weights), ``trials.parquet`` (all that were tried) and
    ``validation.json`` (every baseline and the blend on the validation windows).
    """
    settings, k = config.models, config.evaluation.k
    proposals = {
        window: _proposals(dataset, window, settings, fitted) for window in windows.validation
    }
    trials: list[dict[str, float]] = []
    weights = settings.weights
    if weights is None:
        if not windows.validation:
            raise DataError(
                "the data has no days before the test window to measure weights on: give "
                "models.weights, or an earlier --as-of with a shorter --horizon"
            )
        found = search_weights(
            [
                ScoredCandidates.of(proposals[window], dataset.purchases(window), list(BASELINES))
                for window in windows.validation
            ],
            list(BASELINES),
            start=settings.start_weights,
            anchor=REFERENCE,
            k=k,
        )
        weights, trials = found.weights, found.trials
    _write_json(folder / "weights.json", weights)
    pl.DataFrame(trials).write_parquet(folder / "trials.parquet")
    result = _evaluate_windows(dataset, proposals, weights, config)
    _write_json(folder / "validation.json", result.to_dict())
    result.summary().write_parquet(folder / "summary.parquet")


def evaluate_on_test(
    dataset: Dataset, windows: Split, config: Config, fitted: Path, tuned: Path, folder: Path
) -> None:
    """Score every baseline and the blend on the test window.

    Writes ``metrics.json``, ``summary.parquet`` (means, intervals, differences by segment) and
    ``customers.parquet`` (every customer's scores).
    """
    weights = _read_json(tuned / "weights.json")
    proposals = {windows.test: _proposals(dataset, windows.test, config.models, fitted)}
    result = _evaluate_windows(dataset, proposals, weights, config)
    (test,) = result.to_dict()["windows"]
    score = test["models"][BLEND]["metrics"]["average_precision"]
    _write_json(
        folder / "metrics.json",
        {
            "modiste": __version__,
            f"map@{config.evaluation.k}": score["mean"],
            "submission": {"as_of": str(windows.submit), "horizon_days": config.horizon},
            "weights": weights,
            "test": test,
            "validation": _read_json(tuned / "validation.json")["windows"],
            "settings": result.to_dict()["settings"],
        },
    )
    result.summary().write_parquet(folder / "summary.parquet")
    result.customers().write_parquet(folder / "customers.parquet")


def recommend(
    dataset: Dataset,
    as_of: date,
    settings: BlendSettings,
    k: int,
    fitted: Path,
    tuned: Path,
    folder: Path,
) -> None:
    """Recommend to every customer as of a date.

    Writes ``recommendations/part-*.parquet`` (``customer_id``, ``article_id``, ``rank``, ``score``)
    and ``submission.csv`` (Kaggle's format; every customer of the customers table, in its order).
    """
    history = dataset.until(as_of)
    blend = _load_blend(settings, fitted / str(as_of))
    blend.keep(_read_json(tuned / "weights.json"))
    ids = history.articles.select("article", "article_id")
    (folder / "recommendations").mkdir()
    parts = history.map(
        _recommend_partition, blend, ids, k, folder, label=f"recommendations as of {as_of}"
    )
    with (folder / "submission.csv").open("wb") as submission:
        submission.write(b"customer_id,prediction\n")
        for part in parts:
            with part.open("rb") as lines:
                shutil.copyfileobj(lines, submission)
            part.unlink()


def evaluate_submission(
    submission: Path, data: Path, as_of: date | None, horizon: int, engine: Engine
) -> pl.DataFrame:
    """Score a submission in Kaggle's format on what was bought in a window.

    Parameters
    ----------
    submission
        CSV with the columns ``customer_id`` and ``prediction`` (article ids, space-separated).
    data
        A folder of prepared tables, or a run's folder.
    as_of
        First day of the window; None: the last window of the data.
    horizon
        Length of the window in days.

    Returns
    -------
    One row a customer who bought: see :func:`modiste.evaluation.metrics.score_customers`.
    """
    ingested = data / "stages" / "ingest"
    dataset = Dataset.open(ingested if ingested.is_dir() else data, engine)
    window = Window(as_of, horizon) if as_of else Window(dataset.next_day, horizon).earlier()
    history = dataset.until(window.as_of)
    try:
        lists = pl.read_csv(submission, schema_overrides={"prediction": pl.String})
        lists = lists.select(pl.col("customer_id").cast(pl.String), "prediction")
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(
            f"{submission} is no submission (a CSV file with the columns customer_id and "
            f"prediction): {error}"
        ) from error
    customers = pl.concat(
        [batch.customers.select("customer", "customer_id") for batch in history.batches()]
    )
    articles = history.articles.select("article", "article_id")
    ranked = (
        lists.join(customers, on="customer_id")
        .select("customer", article_id=pl.col("prediction").fill_null("").str.split(" "))
        .explode("article_id")
        .filter(pl.col("article_id") != "")
        .with_columns(rank=pl.int_range(1, pl.len() + 1).over("customer"))
        .join(articles, on="article_id")
    )
    return score_customers(ranked, dataset.purchases(window))


def _load_blend(settings: BlendSettings, folder: Path) -> Blend:
    return Blend(settings).load(folder)


def _proposals(
    dataset: Dataset, window: Window, settings: BlendSettings, fitted: Path
) -> dict[str, pl.DataFrame]:
    """What every baseline proposes to the customers who bought in a window."""
    customers = dataset.purchases(window)["customer"].unique()
    blend = _load_blend(settings, fitted / str(window.as_of))
    return recommend_to(dataset.until(window.as_of), blend.sources, customers, settings.candidates)


def _evaluate_windows(
    dataset: Dataset,
    proposals: Mapping[Window, Mapping[str, pl.DataFrame]],
    weights: Mapping[str, float],
    config: Config,
) -> BacktestResult:
    """Score the baselines' proposals and their blend in each window."""
    evaluations = {}
    for window, by_source in proposals.items():
        history, labels = dataset.until(window.as_of), dataset.purchases(window)
        available = on_sale(history, config.models.popularity.on_sale_days)
        blended = blend_proposals(by_source, weights, config.evaluation.depth)
        evaluations[window] = evaluate(
            {BLEND: blended, **by_source},
            labels,
            segment_customers(history, labels["customer"].unique()),
            Catalogue.of(history, pl.Series(available.nonzero()[0])),
            reference=REFERENCE,
            settings=config.evaluation,
        )
    return BacktestResult(evaluations, config.evaluation)


def _recommend_partition(
    partition: Partition, blend: Blend, ids: pl.DataFrame, k: int, folder: Path
) -> Path:
    """Write one partition's recommendations and its lines of the submission; return the latter."""
    batch = partition.read()
    customers = batch.customers.select("customer", "customer_id")
    decoded = (
        blend.recommend(batch, k)
        .join(customers, on="customer", maintain_order="left")
        .join(ids, on="article", maintain_order="left")
    )
    decoded.select("customer_id", "article_id", "rank", "score").write_parquet(
        folder / "recommendations" / f"part-{partition.index:05d}.parquet", compression="zstd"
    )
    predictions = decoded.group_by("customer", maintain_order=True).agg(
        prediction=pl.col("article_id").str.join(" ")
    )
    lines = folder / f"submission-{partition.index:05d}.csv"
    customers.join(predictions, on="customer", how="left", maintain_order="left").select(
        "customer_id", "prediction"
    ).write_csv(lines, include_header=False)
    return lines


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _read_json(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return value
