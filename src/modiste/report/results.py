"""The content of ``metrics.json``, typed, as both the terminal and the page show it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Annotated, Any, Self

from pydantic import AliasChoices, BaseModel, BeforeValidator, Field

from modiste.data.dataset import Window
from modiste.evaluation.settings import EvaluationSettings

# What models are ordered by.
MAIN_METRIC = "average_precision"

# Models that a ranking is looked at beside.
HYBRID, BLEND = "hybrid", "blend"

# What all sources of candidates together are called among them.
UNION = "union"

# Names that are more than their words.
_NAMES = {
    "sasrec": "SASRec",
    "gnn": "GNN",
    "combined": "both networks",
    "lightgbm": "LightGBM",
    "lightgbm_known": "LightGBM of all who bought before",
    "tabnet": "TabNet",
    "logistic": "logistic regression",
    "blend_of_candidates": "blend of all candidates",
    "rmse": "RMSE",
    "mse": "MSE",
    "mae": "MAE",
    "r2": "R²",
    "log_loss": "log-loss",
    "auc": "AUC",
    "observed": "bought share",
    "predicted": "predicted share",
}


class Interval(BaseModel):
    """A mean and its bootstrap interval."""

    mean: float
    low: float
    high: float


def verdict(difference: Interval) -> str:
    """In one word, whether a difference is beyond chance: "more", "less", or nothing."""
    return "more" if difference.low > 0 else "less" if difference.high < 0 else ""


class Score(Interval):
    """A metric of a model, and what it is more than the reference's on the same customers."""

    difference: Interval | None = None


class Group(BaseModel):
    """A model's scores on some customers."""

    customers: int
    metrics: dict[str, Score]

    @property
    def main(self) -> Score:
        """The score that models are ordered by."""
        return self.metrics[MAIN_METRIC]


class ModelScores(Group):
    """A model's scores on all customers of a window, and by segment."""

    segments: dict[str, dict[str, Group]] = {}
    catalogue: dict[str, float | None] = {}


class WindowScores(BaseModel):
    """Every model's scores in one label window."""

    as_of: date
    horizon_days: int
    reference: str
    models: dict[str, ModelScores]

    @property
    def window(self) -> Window:
        """The window."""
        return Window(self.as_of, self.horizon_days)

    @property
    def customers(self) -> int:
        """Number of customers that every model was scored on."""
        return next(iter(self.models.values())).customers

    def best_first(self, first: str | None = None) -> list[tuple[str, ModelScores]]:
        """Names and scores of the models by falling MAP, but one of them ``first`` if it is named.

        Equal ones stay in the order that they were measured in.
        """
        return sorted(
            self.models.items(), key=lambda model: (model[0] != first, -model[1].main.mean)
        )


def _defined(value: Any) -> Any:
    """Nothing in place of "not a number", which is how an undefined figure is written."""
    return None if isinstance(value, float) and math.isnan(value) else value


# A figure that is not defined everywhere, as an AUC where nothing was bought.
Figure = Annotated[float | None, BeforeValidator(_defined)]


class Gain(Interval):
    """By how much the hybrid's MAP is above another model's, on the same customers."""

    mean: float = Field(validation_alias=AliasChoices("mean", "difference"))


class SourceRecall(BaseModel):
    """What a source of candidates, or the union of all, found of what a segment's customers bought.

    ``adds`` is what the union would lose without the source; ``perfect_map`` is of the union, in
    the best order.
    """

    segment: str
    customers: int
    source: str
    recall: float
    adds: float | None = None
    perfect_map: float | None = None


class SegmentGains(BaseModel):
    """Every model's MAP in a segment of customers, and what the hybrid's is more."""

    customers: int
    map: dict[str, float]
    gains: dict[str, Gain]


class ProbabilityFigures(BaseModel):
    """How well a ranker's scores, as probabilities, foretold what was bought.

    See :class:`modiste.evaluation.probability.ProbabilityScores`.
    """

    rows: int
    weight: float
    observed: float
    predicted: float
    mse: float
    rmse: float
    mae: float
    r2: Figure
    log_loss: float
    auc: Figure
    calibration_error: float


class CalibrationBin(BaseModel):
    """Predicted and bought shares of rows whose predictions lie together.

    See :func:`modiste.evaluation.probability.calibration`.
    """

    low: float
    high: float
    predicted: float
    observed: float
    n: int
    weight: float


class ShownSource(BaseModel):
    """How much of what a segment's customers are shown comes from a source.

    See :func:`modiste.ranking.examination.shown_by_source`.
    """

    segment: str
    source: str
    places: float
    first: float
    bought: float | None = None


class ShownArticle(BaseModel):
    """An article that many customers are shown.

    See :func:`modiste.ranking.examination.most_shown`.
    """

    article_id: str
    customers: int
    bought: int
    source: str | None = None


class RuleChanges(BaseModel):
    """What a rule of the shop changes in the lists without any, or all rules together do.

    See :func:`modiste.ranking.rules.summarise_changes`.
    """

    rule: str
    articles: int
    recommendations: int
    customers: int


class FeatureImportance(BaseModel):
    """How much a feature counts with a ranker; all of a ranker's add up to 1."""

    ranker: str
    feature: str
    group: str
    meaning: str
    importance: float


class RankingMetrics(BaseModel):
    """What a run's ranking was made of and what it gained.

    Attributes
    ----------
    watched, learned_from
        Windows that lengths of learning and weights were chosen on, and that rankers learned from
        meanwhile, as ``str(Window)`` writes them.
    customers
        Buyers of the watched window whose lists were looked at.
    rounds
        How long each ranker learned.
    weights
        Of the scorers, by segment of customers.
    map
        On the watched window, of each scorer alone and of the hybrid.
    candidates
        By segment ("all" first) and source, and the union of all.
    gains
        By every other model of the test window.
    segments
        The same for each segment of customers; a run of an earlier version has none, and nothing
        of what is shown, of calibration and of rules.
    shown, most_shown
        Where what the test window's customers are shown comes from, and the articles that most of
        them are shown.
    probability, calibration
        By ranker.
    rules
        What each rule in force changes in these lists, all together last.
    importance
        By ranker, the most important features first.
    """

    watched: str
    learned_from: list[str]
    customers: int
    rounds: dict[str, int]
    weights: dict[str, dict[str, float]]
    map: dict[str, float]
    candidates: list[SourceRecall]
    gains: dict[str, Gain]
    segments: dict[str, SegmentGains] = {}
    shown: list[ShownSource] = []
    most_shown: list[ShownArticle] = []
    probability: dict[str, ProbabilityFigures]
    calibration: dict[str, list[CalibrationBin]] = {}
    rules: list[RuleChanges] = []
    importance: list[FeatureImportance]

    @property
    def sources(self) -> list[str]:
        """Names of the sources of candidates."""
        return list(dict.fromkeys(row.source for row in self.candidates if row.source != UNION))

    def found(self, source: str, segment: str = "all") -> SourceRecall | None:
        """What a source found of a segment's purchases."""
        return next(
            (row for row in self.candidates if (row.source, row.segment) == (source, segment)),
            None,
        )

    def shown_from(self, source: str, segment: str = "all") -> ShownSource | None:
        """How much of what a segment's customers are shown comes from a source."""
        return next(
            (row for row in self.shown if (row.source, row.segment) == (source, segment)), None
        )

    def strongest(self, ranker: str, n: int | None = None) -> list[FeatureImportance]:
        """The ``n`` features that count most with a ranker; None: all."""
        own = [row for row in self.importance if row.ranker == ranker]
        return sorted(own, key=lambda row: -row.importance)[:n]


class Submission(BaseModel):
    """What a run recommends for."""

    as_of: date


class RunMetrics(BaseModel):
    """What a run measured."""

    submission: Submission
    recommender: str = "blend"
    weights: dict[str, float]
    ranking: RankingMetrics | None = None
    test: WindowScores
    validation: list[WindowScores]
    settings: EvaluationSettings

    @classmethod
    def of(cls, metrics: dict[str, Any]) -> Self:
        """Take the content of ``metrics.json``."""
        return cls.model_validate(metrics)


def metric_titles(k: int, names: Sequence[str]) -> dict[str, str]:
    """What each metric is called for a reader, by the names that the evaluation gives them."""
    titles = {
        "average_precision": f"MAP@{k}",
        "recall": f"recall@{k}",
        "hit": f"hit rate@{k}",
        "ndcg": f"NDCG@{k}",
        "reciprocal_rank": f"MRR@{k}",
    }
    return {name: titles.get(name, name) for name in names}


def readable(name: str) -> str:
    """The name of a model, a stage, a source or a figure in words."""
    return _NAMES.get(name, name.replace("_", " ").replace("co visitation", "co-visitation"))


def long_day(day: date) -> str:
    """A day for a reader: 3 September 2020."""
    return f"{day.day} {day:%B %Y}"


def short_day(day: date) -> str:
    """A day where there is little room: 3 Sep 2020."""
    return f"{day.day} {day:%b %Y}"


def long_days(window: Window) -> str:
    """A window's days for a reader: 16–22 September 2020."""
    first, last = window.as_of, window.end - timedelta(days=1)
    if first == last:
        return long_day(last)
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day}–{long_day(last)}"
    if first.year == last.year:
        return f"{first.day} {first:%B} – {long_day(last)}"
    return f"{long_day(first)} – {long_day(last)}"


def few_digits(figure: float | None) -> str:
    """A figure to four digits, a large one as a whole number; a dash where it is not defined."""
    if figure is None:
        return "–"
    return f"{figure:,.0f}" if abs(figure) >= 1000 else f"{figure:#.4g}"


def signed(value: float) -> str:
    """A difference to four decimals, with its sign unless it is 0."""
    text = f"{value:+.4f}"
    return text if text.strip("+-0.") else text[1:]
