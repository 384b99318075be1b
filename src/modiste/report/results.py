"""The content of ``metrics.json``, typed, as both the terminal and the page show it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, Self

from pydantic import BaseModel

from modiste.data.dataset import Window
from modiste.evaluation.settings import EvaluationSettings

# What models are ordered by.
MAIN_METRIC = "average_precision"


class Interval(BaseModel):
    """A mean and its bootstrap interval."""

    mean: float
    low: float
    high: float


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

    def best_first(self) -> list[tuple[str, ModelScores]]:
        """Names and scores of the models, by falling MAP."""
        return sorted(self.models.items(), key=lambda model: -model[1].main.mean)


class Submission(BaseModel):
    """What a run recommends for."""

    as_of: date


class RunMetrics(BaseModel):
    """What a run measured."""

    submission: Submission
    recommender: str = "blend"
    weights: dict[str, float]
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
    """A model's, stage's or source's name in words."""
    return name.replace("_", " ").replace("co visitation", "co-visitation")


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


def signed(value: float) -> str:
    """A difference to four decimals, with its sign unless it is 0."""
    text = f"{value:+.4f}"
    return text if text.strip("+-0.") else text[1:]
