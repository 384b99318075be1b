"""What the page shows of a ranking: its figures, put in the order and the words of a reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import polars as pl

from modiste.candidates.settings import LATELY_DAYS, SEGMENTS
from modiste.data.dataset import Window
from modiste.ranking.hybrid import BY_BLEND, WITHOUT_CASCADE, WITHOUT_RULES
from modiste.ranking.rankers import RANKERS, SLOW
from modiste.ranking.reasons import group_in_words
from modiste.ranking.rules import TOGETHER, Rules
from modiste.ranking.settings import BLEND_SCORER, RankerName
from modiste.report.pages import yaml_text
from modiste.report.results import (
    BLEND,
    HYBRID,
    UNION,
    Gain,
    ModelScores,
    RankingMetrics,
    RuleChanges,
    ShownSource,
    SourceRecall,
    WindowScores,
    readable,
)

# Segments of customers, as the candidates know them, for a reader.
SEGMENT_WORDS = {
    "all": "all customers",
    "cold": "never bought",
    "lately": f"bought in the last {LATELY_DAYS} days",
    "earlier": "bought, but longer ago",
}

# What counts as a feature's importance.
_IMPORTANCE = {
    "lightgbm": "how much splits by the feature lowered the loss (gain)",
    "logistic": "the standard deviation of what the feature adds to the score",
    "tabnet": "the attention that the feature had, each step counted by what it added",
}

# Metrics of probabilities, and what they mean.
PROBABILITY_METRICS = {
    "rmse": "Root of the MSE, on the scale of a probability; the less, the better.",
    "mse": (
        "Mean square of the distance between the probability and what happened (1: bought, "
        "0: not); the less, the better."
    ),
    "mae": "Mean of that distance itself; saying 0 of everything makes it small, too.",
    "r2": (
        "Share of the variance that is explained: 0 is no better than the mean share for every "
        "row, below 0 is worse."
    ),
    "log_loss": (
        "Mean of the negative logarithm of the probability that was given to what happened; the "
        "less, the better."
    ),
    "auc": (
        "How often a bought row has a higher probability than one that was not: 0.5 is chance, "
        "1 is a perfect order."
    ),
    "calibration_error": (
        "Mean distance between the predicted share and the share that was bought, over tenths of "
        "the rows by probability; 0 is well calibrated."
    ),
}

# What is drawn first where it is there; all other pairs are drawn as well.
_FIRST_PAIRS = ((BLEND_SCORER, "lightgbm"), ("tabnet", "sasrec"))

# From the floor up.
_RANKERS_IN_ORDER: tuple[RankerName, ...] = ("logistic", "lightgbm", "tabnet")

# Stages that a source of candidates is made by, where it is not made on the spot.
_NETWORK_STAGES = {name: (f"train_{name}_earlier",) for name in ("sasrec", "gnn")}
_SOURCE_STAGES: dict[str, tuple[str, ...]] = {
    "content": ("embed", "reduce"),
    **_NETWORK_STAGES,
    "combined": (*_NETWORK_STAGES["sasrec"], *_NETWORK_STAGES["gnn"], "learn_gate"),
}
_RANKING_STAGES = ("ranking_rows", "choose_ranking", "learn_ranking")


@dataclass(frozen=True)
class RankingChoice:
    """How the ranking of a run was chosen, beside what ``metrics.json`` says of it.

    Attributes
    ----------
    curves
        MAP of two scorers by the share of the one: ``one``, ``other``, ``share``, ``map``.
    trials
        Weights that were tried: ``segment``, ``scorer``, ``weight``, ``map``, ``taken``.
    rules
        The shop's own.
    cascade
        Candidates of a customer that slow rankers score.
    learners
        Segments of customers that each ranker learns from, by its name.
    """

    curves: pl.DataFrame
    trials: pl.DataFrame
    rules: Rules
    cascade: int
    learners: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """A step of the climb from popularity to the hybrid.

    Attributes
    ----------
    model
        Name of the model.
    means
        What it is, in a few words.
    scores
        Its scores in the test window.
    gain
        By how much the hybrid's MAP is more; None of the hybrid itself.
    """

    model: str
    means: str
    scores: ModelScores
    gain: Gain | None


def climb(test: WindowScores, ranking: RankingMetrics) -> list[Step]:
    """The models that build on one another, from the simplest to the whole, that there are."""
    meanings: dict[str, str] = {
        "popularity": "what sells best lately, the same for everybody",
        "repurchase": "what the customer bought before",
        BLEND: "the sources' scores, weighed and added up",
        BY_BLEND: "the same order, of the candidates of all sources",
        **dict.fromkeys(_RANKERS_IN_ORDER, "alone puts the same candidates in order"),
        HYBRID: "all scores together, by segment of customers",
    }
    return [
        Step(model, means, test.models[model], ranking.gains.get(model))
        for model, means in meanings.items()
        if model in test.models
    ]


@dataclass(frozen=True)
class Cost:
    """What a step of the climb takes before it can recommend.

    Attributes
    ----------
    step
        The step.
    stages
        Stages of the run that it needs and that were timed.
    seconds, peak_mib
        Their time together, and the most memory that any of them held; None where there are none.
    """

    step: Step
    stages: list[str]
    seconds: float | None
    peak_mib: float | None


def costs(
    steps: Sequence[Step],
    ranking: RankingMetrics,
    weights: Mapping[str, float],
    timings: Mapping[str, Mapping[str, float]],
) -> list[Cost]:
    """What each step takes.

    Parameters
    ----------
    steps
        Of the climb.
    ranking
        Says which sources there are.
    weights
        Of the sources in the blend.
    timings
        By stage ``seconds`` and ``peak_mib``.
    """
    found = []
    for step in steps:
        sources: list[str] = []
        if step.model == BLEND:
            sources = [source for source, weight in weights.items() if weight]
        elif step.gain is None or step.model in (BY_BLEND, *RANKERS):
            sources = ranking.sources
        needed = {"ingest", *(["choose"] if sources else [])}
        needed |= {stage for source in sources for stage in _SOURCE_STAGES.get(source, ())}
        if step.model in (HYBRID, *RANKERS):
            needed |= set(_RANKING_STAGES)
        stages = [stage for stage in timings if stage in needed]
        found.append(
            Cost(
                step,
                stages,
                sum(timings[stage]["seconds"] for stage in stages) if stages else None,
                max((timings[stage]["peak_mib"] for stage in stages), default=None),
            )
        )
    return found


def parts(test: WindowScores, ranking: RankingMetrics) -> list[Step]:
    """The scorers that the hybrid weighs, each alone in the test window, best first."""
    found = [
        Step(name, "", test.models[name], ranking.gains[name])
        for name in scorers(ranking)
        if name in test.models and name in ranking.gains
    ]
    return sorted(found, key=lambda step: -step.scores.main.mean)


def shown_first(ranking: RankingMetrics) -> list[ShownSource]:
    """What all customers are shown, by the sources: who leads most of the places first."""
    of_all = [row for row in ranking.shown if row.segment == "all"]
    return sorted(of_all, key=lambda row: (-row.first, -row.places))


def segments_found(ranking: RankingMetrics) -> list[SourceRecall]:
    """What the union of the sources found in each segment that has customers, all of them first."""
    return [row for row in ranking.candidates if row.source == UNION]


def top_source(ranking: RankingMetrics) -> SourceRecall:
    """What the source that found most of all customers' purchases found."""
    of_all = [row for source in ranking.sources if (row := ranking.found(source))]
    return max(of_all, key=lambda row: row.recall)


def shares(weights: Mapping[str, float]) -> dict[str, float]:
    """Each weight's share of their sum."""
    total = sum(weights.values()) or 1.0
    return {name: weight / total for name, weight in weights.items()}


def scorers(ranking: RankingMetrics) -> list[str]:
    """Names of all that have a weight, if it is 0, in the order in which they are written."""
    return list(dict.fromkeys(name for of_it in ranking.weights.values() for name in of_it))


def main_ranker(ranking: RankingMetrics) -> str:
    """The ranker with the most weight, counting customers."""
    customers = {row.segment: row.customers for row in segments_found(ranking)}

    def weight(ranker: str) -> float:
        return sum(
            shares(of_it).get(ranker, 0.0) * customers.get(segment, 0)
            for segment, of_it in ranking.weights.items()
        )

    return max(ranking.rounds, key=weight)


def importance_by_group(ranking: RankingMetrics) -> dict[str, dict[str, float]]:
    """By group in words, then by ranker, the features' importance together; the largest first."""
    groups: dict[str, dict[str, float]] = {}
    for row in ranking.importance:
        of_group = groups.setdefault(group_in_words(row.group), dict.fromkeys(ranking.rounds, 0.0))
        of_group[row.ranker] += row.importance
    main = main_ranker(ranking)
    return dict(sorted(groups.items(), key=lambda group: -group[1][main]))


def importance_means(ranker: str) -> str:
    """What a ranker's importance of a feature is."""
    return _IMPORTANCE.get(ranker, "how much the feature counts")


def every_feature(ranking: RankingMetrics) -> list[tuple[str, str, str, dict[str, float]]]:
    """Name, group and meaning of each feature, and its importance by ranker.

    Those that count most with the main ranker come first.
    """
    rows: dict[str, tuple[str, str, str, dict[str, float]]] = {}
    main = main_ranker(ranking)
    for row in [*ranking.strongest(main), *ranking.importance]:
        group = group_in_words(row.group)
        of_feature = rows.setdefault(row.feature, (row.feature, group, row.meaning, {}))
        of_feature[3][row.ranker] = row.importance
    return list(rows.values())


@dataclass(frozen=True)
class Curve:
    """MAP of two scorers together, by the share of the one.

    Attributes
    ----------
    one, other
        Names of the scorers.
    share, map
        Points: shares of the one, rising, and MAP.
    """

    one: str
    other: str
    share: list[float]
    map: list[float]

    @property
    def best(self) -> int:
        """Which point has the highest MAP."""
        return max(range(len(self.map)), key=self.map.__getitem__)


def curves(choice: RankingChoice) -> tuple[list[Curve], list[Curve]]:
    """The curves to show first, and all others.

    First come the blend against LightGBM and TabNet against SASRec, where they are there.
    """
    pairs = choice.curves.partition_by("one", "other", as_dict=True, maintain_order=True)
    every = {
        (str(one), str(other)): Curve(
            str(one), str(other), frame["share"].to_list(), frame["map"].to_list()
        )
        for (one, other), frame in pairs.items()
    }
    first = [pair for pair in _FIRST_PAIRS if pair in every] or list(every)[:1]
    return [every[pair] for pair in first], [
        curve for pair, curve in every.items() if pair not in first
    ]


@dataclass(frozen=True)
class RuleInForce:
    """A rule of the shop.

    Attributes
    ----------
    name
        Of the rule.
    value
        What it is set to, as it stands in a config file.
    changes
        What it alone changes in the lists without any; None where a run did not count it.
    """

    name: str
    value: str
    changes: RuleChanges | None


def rules_in_force(rules: Rules, ranking: RankingMetrics) -> list[RuleInForce]:
    """Each rule that is set, with what it changes."""
    set_ = rules.model_dump(mode="json")
    changes = {row.rule: row for row in ranking.rules}
    return [RuleInForce(name, yaml_text(set_[name]), changes.get(name)) for name in rules.in_force]


def changes_together(ranking: RankingMetrics) -> RuleChanges | None:
    """What all rules together change; None where none is in force, or it was not counted."""
    return next((row for row in ranking.rules if row.rule == TOGETHER), None)


def left_out(test: WindowScores, ranking: RankingMetrics) -> list[Step]:
    """The hybrid without what costs something, where there is any: rules, and the cascade."""
    meanings = {
        WITHOUT_RULES: "the shop's rules",
        WITHOUT_CASCADE: f"{' and '.join(readable(name) for name in sorted(SLOW))} scoring only "
        "the first candidates",
    }
    return [
        Step(model, means, test.models[model], ranking.gains[model])
        for model, means in meanings.items()
        if model in test.models and model in ranking.gains
    ]


def window_of(text: str) -> Window:
    """The window that ``str(window)`` writes so."""
    first, _, last = text.partition("..")
    as_of = date.fromisoformat(first)
    end = date.fromisoformat(last or first) + timedelta(days=1)
    return Window(as_of, (end - as_of).days)


def learners(choice: RankingChoice) -> dict[str, list[str]]:
    """Rankers by whom they learn from, in words; none where all learn from everybody."""
    found: dict[str, list[str]] = {}
    for ranker, segments in choice.learners.items():
        words = ", or ".join(SEGMENT_WORDS[segment] for segment in segments)
        found.setdefault(words, []).append(ranker)
    everybody = all(set(segments) == set(SEGMENTS) for segments in choice.learners.values())
    return {} if everybody else found
