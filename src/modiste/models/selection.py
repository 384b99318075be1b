"""The blend's settings, chosen on validation windows: popularity, shape of repurchase, weights.

The defaults measured best on H&M's data; another shop's data may speak for others (a grocer's
customers buy the same again for years). Each choice starts from what the settings say and moves
only on clear evidence, see :mod:`modiste.models.weight_search`: taking the best of many trials as
it comes measured worse on later days than taking none.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from modiste.data.dataset import CustomerBatch, Dataset, History, Partition, Window
from modiste.evaluation.metrics import score_customers
from modiste.evaluation.samples import purchases_of_some
from modiste.models.blend import (
    POPULARITY,
    RECOMMENDERS,
    Artifacts,
    BlendSettings,
    check_vectors,
    gather_candidates,
)
from modiste.models.popularity import Popularity
from modiste.models.weight_search import (
    FACTORS,
    Floats,
    ScoredCandidates,
    clearly_better,
    search_weights,
)

_POPULARITY_GRID: dict[str, tuple[Any, ...]] = {
    "decay": (0.0, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0),
    "basket_power": (0.0, 0.5, 1.0),
}

_REPURCHASE_GRID: dict[str, tuple[Any, ...]] = {
    "repeat_group": (None, "product_type_name", "article_id"),
    "purchase_decay": (0.25, 0.5, 1.0, 1.5),
    "popularity_power": (0.0, 0.25, 0.5),
    "repeat_days": (7, 30),
}

_REPURCHASE = "repurchase"
_ROUNDS = 2

# One list for all is noisy in a way that no number of customers averages out: the noise lies in its
# twelve articles. So it moves only for a gain of this share, and in every window.
_POPULARITY_GAIN = 0.05


class SelectionSettings(BaseModel):
    """How the blend's settings are chosen."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(
        default=True,
        description=(
            "Whether popularity, repurchase and weights are chosen on the validation windows; "
            "otherwise they are as the settings say."
        ),
    )
    z: Annotated[float, Field(ge=0)] = Field(
        default=3.0, description="Standard errors by which a gain must be clear to be taken."
    )
    max_customers: Annotated[int, Field(ge=1)] = Field(
        default=30_000,
        description="Label customers of a window that are looked at; a sample of more.",
    )
    seed: Annotated[int, Field(ge=0)] = Field(default=0, description="Seed of that sample.")


@dataclass(frozen=True)
class Selection:
    """The settings that were chosen, and what was tried.

    Attributes
    ----------
    settings
        With the weights.
    trials
        Columns ``step``, ``setting``, ``value``, ``map`` and ``taken``.
    """

    settings: BlendSettings
    trials: pl.DataFrame


# What recommenders propose to the label customers: for each window, by their names.
Proposals = Sequence[Mapping[str, pl.DataFrame]]

_TRIALS_SCHEMA = {
    "step": pl.String(),
    "setting": pl.String(),
    "value": pl.String(),
    "map": pl.Float64(),
    "taken": pl.Boolean(),
}


def select_settings(
    dataset: Dataset,
    windows: Sequence[Window],
    settings: BlendSettings,
    selection: SelectionSettings,
    k: int,
    artifacts: Artifacts | None = None,
) -> Selection:
    """Choose settings on validation windows.

    Parameters
    ----------
    dataset
        The shop.
    windows
        Validation windows; every customer of every window has one vote.
    settings
        Where the choice starts.
    selection
        How clear a gain must be, and how many customers are looked at.
    k
        Cut-off of MAP.
    artifacts
        What some recommenders are made of.

    Raises
    ------
    ConfigError
        When a recommender that needs vectors has a weight, and there are none.
    """
    artifacts = artifacts or Artifacts()
    check_vectors(settings, artifacts)
    prepared = [_ValidationWindow.of(dataset, window, selection, artifacts) for window in windows]
    search = _Search(prepared, selection.z, k)
    settings = search.choose_popularity(settings)
    # What these propose does not depend on what is still to be chosen.
    others = search.proposals(settings, [n for n in settings.weights if n != _REPURCHASE])
    settings = search.choose_repurchase(settings, others)
    settings = search.choose_weights(settings, others)
    return Selection(settings, pl.DataFrame(search.trials, schema=_TRIALS_SCHEMA))


@dataclass(frozen=True)
class _ValidationWindow:
    """A history, and a sample of those who bought afterwards."""

    history: History
    labels: pl.DataFrame
    batches: list[CustomerBatch]
    artifacts: Artifacts

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        window: Window,
        selection: SelectionSettings,
        artifacts: Artifacts,
    ) -> _ValidationWindow:
        labels = purchases_of_some(dataset, window, selection.max_customers, selection.seed)
        buyers = labels["customer"].unique().sort()
        history = dataset.until(window.as_of)
        batches = history.map(_read_some, buyers, label="label customers")
        return cls(history, labels, batches, artifacts)

    def propose(self, name: str, settings: BlendSettings, k: int) -> pl.DataFrame:
        """What a recommender, fitted with ``settings``, proposes to the label customers."""
        fitted = RECOMMENDERS[name](settings, self.artifacts).fit(self.history)
        return pl.concat([fitted.recommend(batch, k) for batch in self.batches])

    def popularity(self, settings: BlendSettings) -> Popularity:
        return Popularity(settings.popularity).fit(self.history)


def _read_some(partition: Partition, customers: pl.Series) -> CustomerBatch:
    return partition.read().only(customers)


class _Search:
    """The steps of the choice; what is tried is noted in ``trials``."""

    def __init__(self, windows: Sequence[_ValidationWindow], z: float, k: int) -> None:
        self._windows, self._z, self._k = windows, z, k
        self.trials: list[dict[str, Any]] = []

    def choose_popularity(self, settings: BlendSettings) -> BlendSettings:
        """Move decay and basket power together, on the one list for everybody."""
        start = self._list_precision(settings)
        before = np.concatenate(start)
        bar = before.sum() * (1 + _POPULARITY_GAIN)
        best, chosen = bar, settings
        for values in itertools.product(*_POPULARITY_GRID.values()):
            trial = _with(settings, POPULARITY, dict(zip(_POPULARITY_GRID, values, strict=True)))
            by_window = self._list_precision(trial)
            precision = np.concatenate(by_window)
            taken = (
                precision.sum() > best
                and clearly_better(precision, before, self._z)
                and all(new.sum() >= old.sum() for new, old in zip(by_window, start, strict=True))
            )
            if taken:
                best, chosen = precision.sum(), trial
            self._note(POPULARITY, "decay, basket_power", values, precision, taken)
        return chosen

    def _list_precision(self, settings: BlendSettings) -> list[Floats]:
        """AP@k of each window's label customers with the best sellers for all."""
        found = []
        for window in self._windows:
            best = window.popularity(settings).article_scores
            places = best.sort("score", "article", descending=[True, False]).head(self._k)
            places = places.select("article", rank=pl.int_range(1, pl.len() + 1))
            hits = window.labels.join(places, on="article").select("customer", "article", "rank")
            scores = score_customers(hits, window.labels, self._k)
            found.append(scores["average_precision"].to_numpy())
        return found

    def choose_repurchase(self, settings: BlendSettings, others: Proposals) -> BlendSettings:
        """Move the shape of repurchase, coordinate by coordinate; its weight follows each trial."""
        if _REPURCHASE not in settings.weights:
            return settings
        current = self._blend_precision(settings, others, factors=(1.0,))[0]
        for _ in range(_ROUNDS):
            before = settings
            for name, values in _REPURCHASE_GRID.items():
                best, chosen = current, settings
                for value in values:
                    if value == getattr(settings.repurchase, name):
                        continue
                    trial = _with(settings, _REPURCHASE, {name: value})
                    precision, trial = self._blend_precision(trial, others, factors=_REFIT_FACTORS)
                    taken = precision.sum() > best.sum() and clearly_better(
                        precision, current, self._z
                    )
                    if taken:
                        best, chosen = precision, trial
                    self._note(_REPURCHASE, name, value, precision, taken)
                current, settings = best, chosen
            if settings == before:
                break
        return settings

    def choose_weights(self, settings: BlendSettings, others: Proposals) -> BlendSettings:
        """Move the weights; popularity's stays."""
        candidates = self._candidates(settings, others)
        found = search_weights(candidates, settings.weights, POPULARITY, self._k, self._z)
        self.trials += [
            {
                "step": "weights",
                "setting": trial["source"],
                "value": f"{trial['weight']:g}",
                "map": trial["map"],
                "taken": trial["taken"],
            }
            for trial in found.trials
        ]
        return settings.model_copy(update={"weights": found.weights})

    def proposals(self, settings: BlendSettings, names: Sequence[str]) -> Proposals:
        """What the recommenders propose, by window and name."""
        return [
            {
                name: window.propose(
                    name, settings, self._k if name == POPULARITY else settings.candidates
                )
                for name in names
            }
            for window in self._windows
        ]

    def _candidates(self, settings: BlendSettings, others: Proposals) -> list[ScoredCandidates]:
        """The blend's candidates in each window: the others' and repurchase's own."""
        own = self.proposals(settings, [n for n in settings.weights if n == _REPURCHASE])
        return [
            ScoredCandidates.of(
                gather_candidates({**rest, **mine}, window.popularity(settings).article_scores),
                window.labels,
                list(settings.weights),
            )
            for window, rest, mine in zip(self._windows, others, own, strict=True)
        ]

    def _blend_precision(
        self, settings: BlendSettings, others: Proposals, factors: Sequence[float]
    ) -> tuple[Floats, BlendSettings]:
        """AP@k of the blend with repurchase's weight at the best of some factors."""
        candidates = self._candidates(settings, others)
        results = []
        for factor in factors:
            weights = {**settings.weights, _REPURCHASE: settings.weights[_REPURCHASE] * factor}
            precision = np.concatenate(
                [window.average_precision(weights, list(weights), self._k) for window in candidates]
            )
            results.append((precision, settings.model_copy(update={"weights": weights})))
        return max(results, key=lambda result: float(result[0].sum()))

    def _note(self, step: str, setting: str, value: object, precision: Floats, taken: bool) -> None:
        self.trials.append(
            {
                "step": step,
                "setting": setting,
                "value": str(value),
                "map": float(precision.mean()),
                "taken": taken,
            }
        )


# A new shape has another scale: its weight is tried at these factors.
_REFIT_FACTORS = (1.0, *(factor for factor in FACTORS if factor))


def _with(settings: BlendSettings, model: str, values: dict[str, Any]) -> BlendSettings:
    changed = getattr(settings, model).model_copy(update=values)
    return settings.model_copy(update={model: changed})
