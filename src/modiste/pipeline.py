"""The stages of a run, from raw tables to a submission and a report.

Each stage is a plain function of typed inputs that writes its outputs into the folder it is given;
:func:`run_pipeline` puts them in order and lets :class:`modiste.engine.stages.Run` decide which of
them have to be done.

==============  ====================================================================================
``ingest``      raw tables → prepared tables
(articles)      vectors of the articles' texts, where they are wanted: see
                :mod:`modiste.article_stages`
(training)      networks, where they are wanted: see :mod:`modiste.training_stages`
``choose``      settings and weights of the blend to submit, on windows before its date
``rehearse``    the same for the blend to test, on windows before the test window; left out where
                both are the same
(ranking)       rankers and the weights of their ensemble: see :mod:`modiste.ranking_stages`
``evaluate``    every recommender and the blend, on the validation windows and the test window
``fit``         the hybrid, or the blend alone, as of the submission's date
``recommend``   twelve articles for every customer: submission.csv and Parquet
``report``      report.html
==============  ====================================================================================
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import polars as pl

from modiste import __version__, article_stages, ranking_stages, training_stages
from modiste.article_stages import ArticleStages, embedded_images, run_article_stages
from modiste.config import Config, dump_config
from modiste.customer_lookup import CATALOGUE
from modiste.customer_lookup import STAGE as NETWORK_INDEX
from modiste.data.dataset import Dataset, Partition, Window
from modiste.data.ingest import ingest
from modiste.data.manifest import FILE_NAME as MANIFEST
from modiste.data.settings import IngestSettings
from modiste.data.sources import fingerprint
from modiste.engine import Engine, atomic_file
from modiste.engine.hashing import sha256_of_file
from modiste.engine.stages import Run
from modiste.errors import ConfigError, DataError
from modiste.evaluation.backtest import (
    BacktestResult,
    Catalogue,
    Evaluation,
    evaluate,
    recommend_to,
)
from modiste.evaluation.metrics import score_customers
from modiste.evaluation.protocol import Recommender
from modiste.evaluation.segments import segment_customers
from modiste.evaluation.settings import EvaluationSettings
from modiste.evaluation.splits import Split, before_rankers, ranker_windows, split
from modiste.fitted_run import note_fitted
from modiste.models.blend import (
    COMBINED,
    NETWORKS,
    POPULARITY,
    RECOMMENDERS,
    Artifacts,
    Blend,
    BlendSettings,
    check_vectors,
    gather_candidates,
    make_recommenders,
    rank_candidates,
)
from modiste.models.popularity import Popularity, PopularitySettings
from modiste.models.selection import select_settings
from modiste.ranking.examination import (
    Examination,
    examine,
    gains_of_hybrid,
    most_shown,
    probability_figures,
    recall_by_source,
    shown_by_source,
)
from modiste.ranking.hybrid import HYBRID, Hybrid
from modiste.ranking_stages import Ranking, RankingParts, run_ranking_stages
from modiste.report.ranking import RankingChoice
from modiste.report.results import RunMetrics
from modiste.report.run import write_run_report
from modiste.report.training import NetworkTraining
from modiste.training_stages import GATE, TrainingStages, gated, run_training_stages, stages_of

if TYPE_CHECKING:
    from modiste.models.learning.network_recommender import NetworkRecommender

STAGES = (
    "ingest",
    *article_stages.STAGES,
    *training_stages.STAGES,
    "choose",
    "rehearse",
    *ranking_stages.STAGES,
    "evaluate",
    "fit",
    "recommend",
    NETWORK_INDEX,
    "report",
)

# The name of the blend beside the other recommenders', in tables and metrics.
BLEND = "blend"

# Articles that are named as those that most customers are shown.
_MOST_SHOWN = 12

# What differences are measured against.
REFERENCE = POPULARITY


@dataclass(frozen=True)
class RunResult:
    """Where a run lies, and what it measured: the content of ``metrics.json``, if it is there."""

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
        if stage is None:
            continue
        if stage not in STAGES:
            raise ConfigError(f"no stage '{stage}': there are {', '.join(STAGES)}")
        if stage in article_stages.STAGES and not config.vectors.enabled:
            raise ConfigError(f"stage '{stage}' needs article vectors: --set vectors.enabled=true")
        for network in NETWORKS:
            if stage in stages_of(network) and network not in config.models.enabled_networks:
                raise ConfigError(
                    f"stage '{stage}' trains a network that is not enabled: "
                    f"--set models.{network}.enabled=true"
                )
        if stage == GATE and not gated(config.models):
            raise ConfigError(
                f"stage '{stage}' needs both networks and --set models.combined.way=gated"
            )
    images = _images_of(data, config)
    if config.vectors.enabled:
        embedded_images(config.vectors, images)  # what is missing is said before the ingest
    with Run(out, redo_from=redo_from, only=only) as run:
        dataset = Dataset.open(prepared_folder(run, data, config.ingest, engine), engine)
        _refuse_split_ids(dataset)
        windows = split(dataset, config.as_of, config.horizon)
        k = config.evaluation.k
        articles = (
            _run_article_stages(run, dataset, config, windows.submit, images)
            if config.vectors.enabled
            else None
        )
        before = windows.before_all
        older = 0 if config.models.enabled_networks else config.ranking.older_windows
        if config.ranking.enabled:
            ranked = (dataset, windows, config.horizon, config.ranking.windows)
            before = min(before, before_rankers(*ranked))
        trained = run_training_stages(
            run,
            dataset,
            config.models,
            before,
            windows.submit,
            None if articles is None else articles.reduced,
        )
        artifacts = _artifacts_of(articles, trained.earlier)
        networks = [stages_of(network) for network in config.models.enabled_networks]
        made = [*(["reduce"] if articles else []), *(earlier for earlier, _ in networks)]
        made += [GATE] if gated(config.models) else []
        made_to_submit = [*made, *(submit for _, submit in networks)]

        def choose_on(name: str, chosen_on: tuple[Window, ...]) -> Path:
            return run.stage(
                name,
                lambda folder: choose(dataset, chosen_on, config, folder, artifacts()),
                settings={
                    "models": config.models.model_dump(mode="json"),
                    "selection": config.selection.model_dump(mode="json"),
                    "k": k,
                    "windows": [str(window) for window in chosen_on],
                },
                code=_BLEND_CODE,
                needs=["ingest", *made],
            )

        chosen = choose_on("choose", windows.selection)
        same = windows.selection == windows.validation
        to_test = "choose" if same else "rehearse"
        rehearsed = chosen if same else choose_on("rehearse", windows.validation)

        def rank(blend: Path, stage: str, validation: tuple[Window, ...], suffix: str) -> Ranking:
            return run_ranking_stages(
                run,
                dataset,
                ranker_windows(dataset, validation, config.horizon, config.ranking.windows, older),
                lambda: RankingParts(
                    chosen_settings(blend),
                    config.candidates,
                    config.ranking,
                    config.rules,
                    artifacts(),
                ),
                {
                    "candidates": config.candidates.model_dump(mode="json"),
                    "ranking": config.ranking.model_dump(mode="json"),
                },
                k,
                needs=["ingest", *made, stage],
                suffix=suffix,
            )

        ranking = ranking_to_test = None
        if config.ranking.enabled:
            ranking = rank(chosen, "choose", windows.selection, "")
            ranking_to_test = (
                ranking
                if same
                else rank(rehearsed, "rehearse", windows.validation, ranking_stages.TO_TEST)
            )
        evaluated = run.stage(
            "evaluate",
            lambda folder: evaluate_windows(
                dataset, windows, config, rehearsed, folder, artifacts(), ranking_to_test
            ),
            settings={
                "evaluation": config.evaluation.model_dump(mode="json"),
                "rules": config.rules.model_dump(mode="json"),
                "submission": [windows.submit, config.horizon],
                "windows": [str(window) for window in windows.reported],
            },
            code=_CODE,
            needs=[
                "ingest",
                *made,
                to_test,
                *(ranking_to_test.stages if ranking_to_test is not None else []),
            ],
        )
        submit_artifacts = _artifacts_of(articles, trained.submit)
        to_fit = [*made_to_submit, "choose"] if ranking is None else [*made, *ranking.stages]

        def unfitted() -> Recommender:
            if ranking is None:
                return Blend(chosen_settings(chosen), submit_artifacts())
            return ranking.hybrid()

        def saved(folder: Path) -> Recommender:
            return Blend().load(folder) if ranking is None else Hybrid.load(folder)

        fitted = run.stage(
            "fit",
            lambda folder: fit(
                dataset,
                windows.submit,
                unfitted(),
                config.models.popularity,
                folder,
                prepared=dataset.folder.resolve() if _is_prepared(data) else None,
            ),
            settings={
                "submit": windows.submit,
                "rules": config.rules.model_dump(mode="json"),
            },
            code=_CODE,
            needs=["ingest", *to_fit],
        )
        recommended = run.stage(
            "recommend",
            lambda folder: recommend(dataset, windows.submit, k, saved(fitted), folder),
            settings={"submit": windows.submit, "k": k},
            code=_CODE,
            needs=["ingest", "fit"],
        )
        if config.models.enabled_networks:
            run.stage(
                NETWORK_INDEX,
                lambda folder: index_networks(
                    dataset,
                    windows.submit,
                    config,
                    folder,
                    submit_artifacts(),
                ),
                settings={
                    "submit": windows.submit,
                    "models": config.models.model_dump(mode="json"),
                    "index": config.vectors.index.model_dump(mode="json"),
                    "privacy": config.privacy.model_dump(mode="json"),
                },
                code=(*_CODE, "modiste.vectors"),
                needs=["ingest", *made_to_submit],
            )
        ceiling = best_possible(Path(data))
        timings = {name: run.timings()[name] for name in STAGES[:-1] if name in run.timings()}
        reported = run.stage(
            "report",
            lambda folder: report(
                dataset,
                windows,
                config,
                rehearsed,
                evaluated,
                timings,
                images,
                ceiling,
                folder,
                artifacts(),
                trained,
                ranking_to_test,
            ),
            settings={
                "config": config.model_dump(mode="json"),
                "images": str(images),
                "ceiling": ceiling,
            },
            code=(*_CODE, "modiste.report"),
            needs=["ingest", *made_to_submit, to_test, "evaluate"],
        )
        with atomic_file(out / "config.yaml") as partial:
            partial.write_text(dump_config(config), encoding="utf-8")
        run.publish(recommended / "submission.csv", "submission.csv")
        run.publish(evaluated / "metrics.json", "metrics.json")
        run.publish(reported / "report.html", "report.html")
        metrics = out / "metrics.json"  # not there when --only names an early stage
        return RunResult(out, _read_json(metrics) if metrics.is_file() else {})


def run_article_pipeline(data: str, out: Path, config: Config, engine: Engine) -> None:
    """Do the ingest and the stages that concern articles alone, where they are not up to date.

    Parameters
    ----------
    data
        A folder, zip or fsspec address of raw tables, or a folder of prepared ones.
    out
        The run's folder; :func:`run_pipeline` may go on in it later.
    config
        All settings.
    engine
        Runs what is done partition by partition.

    Raises
    ------
    ModisteError
        For all that the user can put right.
    """
    images = _images_of(data, config)
    embedded_images(config.vectors, images)  # what is missing is said before the ingest
    with Run(out) as run:
        dataset = Dataset.open(prepared_folder(run, data, config.ingest, engine), engine)
        as_of = split(dataset, config.as_of, config.horizon).submit
        _run_article_stages(run, dataset, config, as_of, images)


def _run_article_stages(
    run: Run, dataset: Dataset, config: Config, as_of: date, images: Path | None
) -> ArticleStages:
    return run_article_stages(
        run,
        dataset,
        config.vectors,
        as_of=as_of,
        on_sale_days=config.models.popularity.days,
        images=images,
    )


def _artifacts_of(
    articles: ArticleStages | None, trained: Mapping[str, Path]
) -> Callable[[], Artifacts]:
    """What recommenders are made of; read where it is used: a run of one early stage has none."""
    return lambda: Artifacts(None if articles is None else articles.vectors(), trained)


# What blends are chosen by, and what the stages after that are made by.
_BLEND_CODE = ("modiste.engine", "modiste.data", "modiste.evaluation", "modiste.models", __name__)
_CODE = (*ranking_stages.CODE, __name__)


def prepared_folder(run: Run, data: str, settings: IngestSettings, engine: Engine) -> Path:
    """The folder of prepared tables, as the stage ``ingest``: the one given, or the stage's.

    What is made of them depends on their bytes: a shop's files that were copied or touched are read
    again, and where they say the same, nothing else is done again.
    """
    if _is_prepared(data):
        content = {"prepared": str(Path(data).resolve()), "files": _hashes(Path(data))}
        run.known("ingest", content)
        return Path(data)
    folder = run.stage(
        "ingest",
        lambda folder: _ingest_into(folder, data, settings, engine),
        settings={
            "source": fingerprint(data, settings),
            "settings": settings.model_dump(mode="json"),
        },
        code=("modiste.engine", "modiste.data"),
    )
    run.known("ingest", {"settings": settings.model_dump(mode="json"), "files": _hashes(folder)})
    return folder


def _hashes(folder: Path) -> dict[str, str]:
    """Of prepared tables, what was rejected and repaired, and the manifest that counts it."""
    files = [folder / MANIFEST, *folder.rglob("*.parquet")]
    return {str(file.relative_to(folder)): sha256_of_file(file) for file in files}


def _is_prepared(data: str) -> bool:
    return (Path(data) / MANIFEST).is_file()


def _ingest_into(folder: Path, data: str, settings: IngestSettings, engine: Engine) -> None:
    folder.rmdir()  # the ingest makes it itself, by a rename
    ingest(data, folder, settings, engine)


def choose(
    dataset: Dataset,
    windows: tuple[Window, ...],
    config: Config,
    folder: Path,
    artifacts: Artifacts | None = None,
) -> None:
    """Choose the blend's settings on windows before what they are chosen for.

    Writes ``models.json`` (the settings, with the weights) and ``trials.parquet`` (what was tried).

    Raises
    ------
    DataError
        When there is no validation window to choose on.
    """
    settings = config.models
    if config.selection.enabled:
        if not windows:
            raise DataError(
                "the data has no days to choose settings on before the day to recommend for: give "
                "a later --as-of, or --set selection.enabled=false to take them as they are"
            )
        selected = select_settings(
            dataset, windows, settings, config.selection, config.evaluation.k, artifacts
        )
        settings = selected.settings
        selected.trials.write_parquet(folder / "trials.parquet")
    (folder / "models.json").write_text(settings.model_dump_json(indent=2) + "\n", "utf-8")


def evaluate_windows(
    dataset: Dataset,
    windows: Split,
    config: Config,
    chosen: Path,
    folder: Path,
    artifacts: Artifacts | None = None,
    ranking: Ranking | None = None,
) -> None:
    """Score every recommender and the blend on the validation windows and the test window.

    With a ranking also the hybrid, each ranker and the blend of the same candidates, on the test
    window.

    Writes ``metrics.json``, ``summary.parquet`` (means, intervals, differences by segment) and
    ``customers.parquet`` (every customer's scores).
    """
    models = chosen_settings(chosen)
    k = config.evaluation.k
    examined = None
    if ranking is not None:
        history = dataset.until(windows.test.as_of)
        hybrid = ranking.hybrid().fit(history)
        depth = max(config.evaluation.depth, k)
        examined = examine(history, hybrid, dataset.purchases(windows.test), depth, k)
    evaluations = {
        window: _evaluate_window(
            dataset,
            window,
            models,
            config.evaluation,
            artifacts or Artifacts(),
            examined.orders if examined is not None and window == windows.test else {},
        )
        for window in windows.reported
    }
    result = BacktestResult(evaluations, config.evaluation)
    by_window = result.to_dict()["windows"]
    test = by_window[-1]
    best = BLEND if ranking is None else HYBRID
    _write_json(
        folder / "metrics.json",
        {
            "modiste": __version__,
            f"map@{k}": test["models"][best]["metrics"]["average_precision"]["mean"],
            "recommender": best,
            "submission": {"as_of": str(windows.submit), "horizon_days": config.horizon},
            "weights": models.weights,
            "ranking": None
            if ranking is None or examined is None
            else _ranking_metrics(
                ranking,
                examined,
                evaluations[windows.test].customers,
                dataset.until(windows.test.as_of).articles,
                config.evaluation,
            ),
            "test": test,
            "validation": by_window[:-1],
            "settings": result.to_dict()["settings"],
        },
    )
    result.summary().write_parquet(folder / "summary.parquet")
    result.customers().write_parquet(folder / "customers.parquet")


def _ranking_metrics(
    ranking: Ranking,
    examined: Examination,
    customers: pl.DataFrame,
    articles: pl.DataFrame,
    settings: EvaluationSettings,
) -> dict[str, Any]:
    """What there is to say of the ranking beside the scores of its lists."""
    return {
        **ranking.chosen(),
        "candidates": recall_by_source(examined.found, settings.k).to_dicts(),
        **gains_of_hybrid(customers, examined.found, settings),
        "shown": shown_by_source(examined.shown).to_dicts(),
        "most_shown": most_shown(examined.shown, articles, _MOST_SHOWN).to_dicts(),
        **probability_figures(examined, ranking.calibrations()),
        "rules": examined.changes.to_dicts(),
        "importance": ranking.importance().to_dicts(),
    }


def fit(
    dataset: Dataset,
    as_of: date,
    recommender: Recommender,
    popularity: PopularitySettings,
    folder: Path,
    *,
    prepared: Path | None = None,
) -> None:
    """Fit what recommends as of a date, and save it; note the date beside it.

    ``prepared`` is where the prepared tables lie; None: in the run's own folder.

    Raises
    ------
    DataError
        When nothing is on sale by then, so that nothing could be recommended.
    """
    history = dataset.until(as_of)
    if Popularity(popularity).fit(history).article_scores.is_empty():
        raise DataError(
            f"nothing was sold in the {popularity.days} days before {as_of} (the data ends on "
            f"{dataset.last_day}), so nothing is taken to be on sale: choose an earlier --as-of, "
            "or raise models.popularity.days"
        )
    recommender.fit(history).save(folder)
    note_fitted(folder, history, prepared)


def recommend(
    dataset: Dataset, as_of: date, k: int, recommender: Recommender, folder: Path
) -> None:
    """Recommend to every customer as of a date.

    Writes ``recommendations/part-*.parquet`` (``customer_id``, ``article_id``, ``rank``, ``score``)
    and ``submission.csv`` (Kaggle's format; every customer of the customers table, in its order).
    """
    history = dataset.until(as_of)
    ids = history.articles.select("article", "article_id")
    (folder / "recommendations").mkdir()
    parts = history.map(
        _recommend_partition,
        recommender,
        ids,
        k,
        folder,
        label=f"recommendations as of {as_of}",
    )
    with (folder / "submission.csv").open("wb") as submission:
        submission.write(b"customer_id,prediction\n")
        for part in parts:
            with part.open("rb") as lines:
                shutil.copyfileobj(lines, submission)
            part.unlink()


def report(
    dataset: Dataset,
    windows: Split,
    config: Config,
    chosen: Path,
    evaluated: Path,
    timings: Mapping[str, Mapping[str, float]],
    images: Path | None,
    ceiling: float | None,
    folder: Path,
    artifacts: Artifacts | None = None,
    trained: TrainingStages | None = None,
    ranking: Ranking | None = None,
) -> None:
    """Write ``report.html``.

    Its recommendations of some customers are those for the test window, so that they stand beside
    what was bought. ``timings`` are all that may differ between two runs of the same data.
    """
    history = dataset.until(windows.test.as_of)
    blend = Blend(chosen_settings(chosen), artifacts).fit(history)
    trials = chosen / "trials.parquet"  # absent when nothing was to be chosen
    write_run_report(
        folder / "report.html",
        dataset=dataset,
        blend=blend,
        recommender=blend if ranking is None else ranking.hybrid().fit(history),
        metrics=RunMetrics.of(_read_json(evaluated / "metrics.json")),
        trials=pl.read_parquet(trials) if trials.is_file() else None,
        config=dump_config(config),
        timings=timings,
        customers=config.report.customers,
        images=images,
        seed=config.report.seed,
        ceiling=ceiling,
        ranking=None
        if ranking is None
        else RankingChoice(
            curves=pl.read_parquet(ranking.choice / ranking_stages.CURVES),
            trials=pl.read_parquet(ranking.choice / ranking_stages.TRIALS),
            rules=config.rules,
            cascade=config.ranking.cascade,
            learners={name: config.ranking.segments_of(name) for name in config.ranking.rankers},
        ),
        trainings=[]
        if trained is None
        else [
            NetworkTraining.load(
                name,
                trained.earlier[name],
                trained.submit[name],
                getattr(config.models, name).validation_days,
            )
            for name in config.models.enabled_networks
        ],
    )


def index_networks(
    dataset: Dataset, as_of: date, config: Config, folder: Path, artifacts: Artifacts
) -> None:
    """Write the networks' vectors of all articles and customers, and Faiss indices of both.

    Of both networks combined where both are enabled, else of the one.
    """
    from modiste.models.network_index import write_network_index  # Faiss takes a second

    models = config.models
    enabled = models.enabled_networks
    name = COMBINED if len(enabled) == len(NETWORKS) else enabled[0]
    history = dataset.until(as_of)
    recommender = cast("NetworkRecommender", RECOMMENDERS[name](models, artifacts).fit(history))
    write_network_index(
        recommender,
        history,
        config.vectors.index,
        {"network": name, "as_of": as_of.isoformat()},
        folder,
        similar_customers=config.privacy.similar_customers,
    )
    history.articles.write_parquet(folder / CATALOGUE)


def evaluate_submission(
    submission: Path,
    data: Path,
    window: Window | None,
    purchases: Path | None,
    engine: Engine,
    k: int = 12,
) -> pl.DataFrame:
    """Score a submission in Kaggle's format on what was bought.

    Parameters
    ----------
    submission
        CSV with the columns ``customer_id`` and ``prediction`` (article ids, space-separated).
    data
        A folder of prepared tables, or a run's folder.
    window
        The days whose purchases count; None: the data's last 7 days.
    purchases
        CSV of purchases that the data does not have (``customer_id``, ``article_id``); they count
        instead of those of the window.
    engine
        Reads the partitions.
    k
        Recommendations a customer that are scored.

    Returns
    -------
    One row a customer who bought: see :func:`modiste.evaluation.metrics.score_customers`.

    Raises
    ------
    DataError
        When a file is not what it should be.
    """
    ingested = data / "stages" / "ingest"
    dataset = Dataset.open(ingested if ingested.is_dir() else data, engine)
    history = dataset.until(dataset.next_day)
    customers = pl.concat(
        [part.read_customers().select("customer", "customer_id") for part in history.partitions]
    )
    articles = history.articles.select("article", "article_id")
    if purchases is not None:
        bought = _read_strings(purchases, ["customer_id", "article_id"])
        labels = bought.join(customers, on="customer_id").join(articles, on="article_id")
    elif window is not None and window.as_of > dataset.last_day:
        raise DataError(
            f"the data ends on {dataset.last_day}, before {window.as_of}: choose an earlier "
            "--as-of, or give the later --purchases"
        )
    else:
        labels = dataset.purchases(window or Window(dataset.next_day, 7).earlier())
    predictions = _read_strings(submission, ["customer_id", "prediction"])
    twice = predictions.filter(pl.col("customer_id").is_duplicated())["customer_id"]
    if len(twice):
        raise DataError(f"{submission} has customer {twice[0]!r} more than once")
    known = predictions.join(customers, on="customer_id")
    if known.is_empty():
        raise DataError(f"{submission} has no customer of {data}: do they belong together?")
    lists = (
        known.select("customer", article_id=pl.col("prediction").fill_null("").str.split(" "))
        .explode("article_id")
        .filter(pl.col("article_id") != "")
        .with_columns(rank=pl.int_range(1, pl.len() + 1).over("customer"))
        .join(articles, on="article_id")
    )
    if labels.is_empty():
        raise DataError("nobody bought anything in these days: there is nothing to score")
    return score_customers(lists, labels.select("customer", "article"), k)


def _read_strings(file: Path, columns: list[str]) -> pl.DataFrame:
    try:
        return pl.read_csv(file, infer_schema=False).select(columns)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(
            f"{file} is no CSV file with the columns {' and '.join(columns)}: {error}"
        ) from error


def _refuse_split_ids(dataset: Dataset) -> None:
    """Stop before the work when a submission could not be read back.

    Raises
    ------
    DataError
        When an article's id holds white space, which separates the ids of a submission.
    """
    ids = dataset.until(dataset.next_day).articles["article_id"]
    bad = ids.filter(ids.str.contains(r"\s"))
    if len(bad):
        raise DataError(
            f"{len(bad):,} article ids hold white space, which separates the ids in "
            f"submission.csv; the first is {bad[0]!r}. Replace it in the articles and the "
            "transactions, for instance by '_'"
        )


def _images_of(data: str, config: Config) -> Path | None:
    """The folder of product pictures: the configured one, or the data's."""
    if config.report.images is not None:
        if not config.report.images.is_dir():
            raise ConfigError(f"report.images: no folder {config.report.images}")
        return config.report.images
    folder = Path(data) / "images"
    return folder if folder.is_dir() else None


def best_possible(shop: Path) -> float | None:
    """What the best possible lists for the week after the data reach, where a shop is synthetic."""
    try:
        return float(_read_json(shop / "truth.json")["expected_map"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # no truth, or another program's file of that name


def chosen_settings(chosen: Path) -> BlendSettings:
    """The blend's settings that :func:`choose` wrote into a folder."""
    return BlendSettings.model_validate_json((chosen / "models.json").read_text("utf-8"))


def _evaluate_window(
    dataset: Dataset,
    window: Window,
    models: BlendSettings,
    settings: EvaluationSettings,
    artifacts: Artifacts,
    ranked: Mapping[str, pl.DataFrame],
) -> Evaluation:
    """Score the recommenders, their blend and what is ranked, on a window's same customers."""
    history, labels = dataset.until(window.as_of), dataset.purchases(window)
    check_vectors(models, artifacts)
    fitted = {
        name: made.fit(history) for name, made in make_recommenders(models, artifacts).items()
    }
    customers = labels["customer"].unique().sort()
    proposals = recommend_to(history, fitted, customers, max(settings.depth, models.candidates))
    popularity = Popularity(models.popularity).fit(history)
    blended = rank_candidates(
        gather_candidates(
            {
                # Popularity fills every list to its end, as in ``Blend.candidates``.
                name: proposals[name]
                if name == POPULARITY
                else proposals[name].filter(pl.col("rank") <= models.candidates)
                for name in models.weights
            },
            popularity.article_scores,
        ),
        models.weights,
        settings.depth,
    )
    return evaluate(
        {**ranked, BLEND: blended, **proposals},
        labels,
        segment_customers(history, customers),
        Catalogue.of(history, popularity.article_scores["article"]),
        reference=REFERENCE,
        settings=settings,
    )


def _recommend_partition(
    partition: Partition, recommender: Recommender, ids: pl.DataFrame, k: int, folder: Path
) -> Path:
    """Write one partition's recommendations and its lines of the submission; return the latter."""
    batch = partition.read()
    customers = batch.customers.select("customer", "customer_id")
    decoded = (
        recommender.recommend(batch, k)
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
