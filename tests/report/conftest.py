"""A small run on a shop whose every text is hostile, and the page made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from hybrids import drawn_hybrid
from modiste.data.dataset import Dataset, Window
from modiste.data.manifest import Manifest
from modiste.evaluation.backtest import BacktestResult, Catalogue, evaluate, recommend_to
from modiste.evaluation.protocol import Recommender
from modiste.evaluation.segments import segment_customers
from modiste.evaluation.settings import EvaluationSettings
from modiste.models.blend import Artifacts, Blend, BlendSettings, make_recommenders
from modiste.models.learning.description import NetworkDescription
from modiste.models.learning.epochs import Epoch
from modiste.ranking.calibration import Calibration
from modiste.ranking.examination import (
    examine,
    gains_of_hybrid,
    most_shown,
    probability_figures,
    recall_by_source,
    shown_by_source,
)
from modiste.ranking.hybrid import Hybrid
from modiste.ranking.rules import Rules
from modiste.report.ranking import RankingChoice
from modiste.report.results import RunMetrics
from modiste.report.run import write_run_report
from modiste.report.training import NetworkTraining
from shops import ALL_RECOMMENDERS, some_vectors, write_prepared

FIRST_DAY = date(2020, 6, 1)
DAYS = 60
TEST = Window(FIRST_DAY + timedelta(days=DAYS - 7), 7)

SCRIPT = "</script><script>alert('owned')</script>"
IMAGE = '"\'><img src="http://evil.example/x.png" onerror=alert(1)>&amp;{{ 7 * 7 }}'
LINK = '<a href="javascript:alert(2)">section</a>'

TIMINGS = {"fit": {"seconds": 12.5, "peak_mib": 900.0}, "tune": {"seconds": 3.0, "peak_mib": 1.5}}

TRIALS = pl.DataFrame(
    {
        "step": ["popularity", "repurchase", "weights"],
        "setting": ["decay, basket_power", "repeat_group", SCRIPT],
        "value": ["(0.5, 1.0)", LINK, "2"],
        "map": [0.1, 0.2, 0.3],
        "taken": [False, True, True],
    }
)


# What hostile texts a merchandiser could set.
RULES = Rules(exclude={"section_name": (LINK,)}, at_most={"product_code": 1})

CURVES = pl.DataFrame(
    {
        "one": ["blend"] * 3 + ["blend"] * 3 + ["lightgbm"] * 3,
        "other": ["lightgbm"] * 3 + ["tabnet"] * 3 + ["tabnet"] * 3,
        "share": [0.0, 0.5, 1.0] * 3,
        "map": [0.1, 0.3, 0.2, 0.4, 0.1, 0.2, 0.1, 0.1, 0.1],
    }
)
TRIED_WEIGHTS = pl.DataFrame(
    {
        "segment": ["lately", "lately"],
        "scorer": ["lightgbm", "tabnet"],
        "weight": [0.5, 2.0],
        "map": [0.2, 0.1],
        "taken": [True, False],
    }
)

SASREC = NetworkTraining(
    name="sasrec",
    earlier=NetworkDescription(
        as_of=TEST.as_of - timedelta(days=7),
        network=ALL_RECOMMENDERS.sasrec.network.model_dump(mode="json"),
        best_epoch=2,
        epochs=(
            Epoch(1, 6.51234567, 0.0123),
            Epoch(2, 5.25, 0.03456),
            Epoch(3, 5.125, 0.0334),
        ),
    ),
    submit=NetworkDescription(
        as_of=TEST.end,
        network=ALL_RECOMMENDERS.sasrec.network.model_dump(mode="json"),
        best_epoch=2,
        epochs=(),
    ),
    validation_days=5,
)


@dataclass(frozen=True)
class SmallRun:
    """What the stages before the report leave."""

    dataset: Dataset
    blend: Blend
    metrics: dict[str, Any]
    images: Path
    hybrid: Hybrid | None = None

    def write(
        self,
        target: Path,
        timings: dict[str, dict[str, float]] = TIMINGS,
        customers: int = 6,
        ceiling: float | None = 0.4,
        trainings: Sequence[NetworkTraining] = (SASREC,),
        rules: Rules | None = None,
    ) -> str:
        """Write the page; give its text back.

        Of a run with a hybrid the rules are what the page says of them: ``RULES``, or others.
        """
        write_run_report(
            target,
            dataset=self.dataset,
            blend=self.blend,
            recommender=self.hybrid or self.blend,
            metrics=RunMetrics.of(self.metrics),
            trials=TRIALS,
            config=f"seed: 0\nnote: {SCRIPT}\n",
            timings=timings,
            customers=customers,
            images=self.images,
            seed=3,
            ceiling=ceiling,
            trainings=trainings,
            ranking=None
            if self.hybrid is None
            else RankingChoice(
                CURVES, TRIED_WEIGHTS, rules or RULES, self.hybrid.settings.cascade, LEARNERS
            ),
        )
        return target.read_text(encoding="utf-8")


# Of whom each ranker learned.
LEARNERS = {"tabnet": ("lately",), "lightgbm": ("lately", "earlier")}


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    """Evaluate the baselines and a blend on 60 customers in three partitions."""
    folder = tmp_path_factory.mktemp("run")
    dataset = Dataset.open(_hostile_shop(folder / "shop"))
    settings = EvaluationSettings(resamples=50)
    models = ALL_RECOMMENDERS
    artifacts = Artifacts(some_vectors(dataset.until(TEST.as_of).n_articles))
    results = {}
    for window in (TEST.earlier(), TEST):
        history, labels = dataset.until(window.as_of), dataset.purchases(window)
        fitted: dict[str, Recommender] = {
            name: model.fit(history) for name, model in make_recommenders(models, artifacts).items()
        }
        blend = Blend(models, artifacts).fit(history)
        results[window] = evaluate(
            recommend_to(history, {"blend": blend, **fitted}, labels["customer"].unique(), 100),
            labels,
            segment_customers(history, labels["customer"].unique()),
            Catalogue.of(history, history.article_sales["article"].unique()),
            reference="popularity",
            settings=settings,
        )
    found = BacktestResult(results, settings).to_dict()
    validation, test = found["windows"]
    metrics = {
        "submission": {"as_of": str(dataset.next_day), "horizon_days": 7},
        "weights": models.weights,
        "test": test,
        "validation": [validation],
        "settings": found["settings"],
    }
    images = folder / "images"
    for name in ("0000000001", "0000002"):
        (images / name[:3]).mkdir(parents=True, exist_ok=True)
        (images / name[:3] / f"{name}.jpg").write_bytes(b"\xff\xd8\xff" + name.encode())
    return SmallRun(dataset, blend, metrics, images)


@pytest.fixture(scope="session")
def ranked_run(run: SmallRun) -> SmallRun:
    """The same run with a hybrid whose rankers have learned nothing of this shop, and rules."""
    history, labels = run.dataset.until(TEST.as_of), run.dataset.purchases(TEST)
    hybrid = drawn_hybrid(BlendSettings(), rules=RULES).fit(history)
    settings = EvaluationSettings(resamples=50)
    examined = examine(history, hybrid, labels, 100, settings.k)
    customers = labels["customer"].unique()
    blended = recommend_to(history, {"blend": run.blend}, customers, settings.depth)["blend"]
    # The simple models are stood in for by the blend: it is their names that count.
    others = dict.fromkeys(("blend", "popularity", "repurchase", "sasrec"), blended)
    evaluation = evaluate(
        {**examined.orders, **others},
        labels,
        segment_customers(history, customers),
        Catalogue.of(history, history.article_sales["article"].unique()),
        reference="popularity",
        settings=settings,
    )
    (test,) = BacktestResult({TEST: evaluation}, settings).to_dict()["windows"]
    calibrations = {
        name: Calibration().fit(scores, examined.bought) for name, scores in examined.scores.items()
    }
    ranking = {
        "watched": str(TEST.earlier()),
        "learned_from": [str(TEST.earlier().earlier())],
        "customers": 17,
        "rounds": {name: ranker.rounds for name, ranker in hybrid.rankers.items()},
        "weights": hybrid.weights,
        "map": {"blend": 0.11, "lightgbm": 0.12, "tabnet": 0.13, "logistic": 0.14, "hybrid": 0.15},
        "candidates": recall_by_source(examined.found, settings.k).to_dicts(),
        **gains_of_hybrid(evaluation.customers, examined.found, settings),
        **probability_figures(examined, calibrations),
        "shown": shown_by_source(examined.shown).to_dicts(),
        "most_shown": most_shown(examined.shown, history.articles, 12).to_dicts(),
        "rules": examined.changes.to_dicts(),
        "importance": [
            {
                "ranker": name,
                "feature": feature,
                "group": SCRIPT if number == 0 else "article",
                "meaning": IMAGE if number == 0 else f"meaning of {feature}",
                "importance": importance,
            }
            for name, ranker in hybrid.rankers.items()
            for number, (feature, importance) in enumerate(
                ranker.importance().sort("importance", "feature", descending=True).iter_rows()
            )
        ],
    }
    metrics = {**run.metrics, "recommender": "hybrid", "ranking": ranking, "test": test}
    return replace(run, metrics=metrics, hybrid=hybrid)


@pytest.fixture(scope="session")
def ranked_page(ranked_run: SmallRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the run with a hybrid."""
    target = tmp_path_factory.mktemp("ranked_page") / "report.html"
    ranked_run.write(target)
    return target


@pytest.fixture(scope="session")
def sasrec() -> NetworkTraining:
    """How the page says that SASRec was trained."""
    return SASREC


@pytest.fixture(scope="session")
def page(run: SmallRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's report."""
    target = tmp_path_factory.mktemp("page") / "report.html"
    run.write(target)
    return target


def _hostile_shop(folder: Path) -> Path:
    rng = np.random.default_rng(5)
    n_customers, n_articles, n_rows = 60, 40, 1200
    names = [SCRIPT, IMAGE, "A name without any end " * 12, "Ordinary trousers"]
    write_prepared(
        folder,
        pl.DataFrame(
            {
                "article": range(n_articles),
                "product_code": [f"{article // 2:07d}" for article in range(n_articles)],
                "prod_name": [names[article % 4] for article in range(n_articles)],
                "product_type_name": [("Dress", IMAGE, None)[a % 3] for a in range(n_articles)],
                "colour_group_name": [("Dark Blue", SCRIPT)[a % 2] for a in range(n_articles)],
                "section_name": [(LINK, SCRIPT, "Men & women")[a % 3] for a in range(n_articles)],
            }
        ),
        pl.DataFrame(
            {
                "customer": range(n_customers),
                "customer_id": [f"{IMAGE}{customer}" for customer in range(n_customers)],
                "age": [None if c % 5 == 0 else 16 + c for c in range(n_customers)],
            }
        ),
        pl.DataFrame(
            {
                # The last six customers buy in the last week alone.
                "customer": np.concatenate(
                    [rng.integers(0, n_customers - 6, n_rows), np.arange(54, 60)]
                ),
                "article": (n_articles * rng.random(n_rows + 6) ** 2).astype(np.int32),
                "t_dat": [
                    FIRST_DAY + timedelta(days=int(day))
                    for day in [*rng.integers(0, DAYS, n_rows), *[DAYS - 2] * 6]
                ],
                "price": rng.choice([0.1, 0.2, 0.5], n_rows + 6),
            }
        ),
        partition_customers=20,
    )
    manifest = Manifest.read(folder)
    account = manifest.tables["transactions"].model_copy(
        update={"files": [SCRIPT], "rejected": {IMAGE: 3}, "repaired": {"zeros": 4}}
    )
    tables = {**manifest.tables, "transactions": account}
    manifest.model_copy(update={"tables": tables}).write(folder)
    return folder
