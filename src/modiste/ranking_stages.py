"""The stages of a run in which rankers learn, once for the submission and once for the test.

=====================  ============================================================================
``ranking_rows``       candidates of past windows with their features and what was bought
``choose_ranking``     how long each ranker learns, and the weights of all scorers, on the watched
                       window: rankers learn from the windows before it
``learn_ranking``      the rankers anew, just as long, on all windows before the date
=====================  ============================================================================

Those for the test have the same names with ``_to_test``; they are left out where both are the same.
What feeds features is fitted as of each window's date; networks, which are trained once, as of a
date before all of them (:mod:`modiste.training_stages`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from modiste.candidates.generator import CandidateGenerator
from modiste.candidates.settings import CandidateSettings, segment_of_customers
from modiste.data.dataset import Dataset, History, Partition, Window
from modiste.engine.stages import Run
from modiste.evaluation.samples import purchases_of_some
from modiste.evaluation.splits import RankerWindows
from modiste.models.blend import Artifacts, BlendSettings
from modiste.models.weight_search import ScoredCandidates
from modiste.ranking.calibration import Calibration
from modiste.ranking.ensemble import choose_weights, combine, weight_curve
from modiste.ranking.features.builder import FeatureBuilder
from modiste.ranking.hybrid import HYBRID, Hybrid
from modiste.ranking.labelled_rows import rows_of_window
from modiste.ranking.learning import WholeLists, learn_rankers
from modiste.ranking.rankers import load_rankers, save_rankers
from modiste.ranking.rows import LABEL, Feature, RankingRows
from modiste.ranking.rules import Rules
from modiste.ranking.scorers import score_rows, scorers_of
from modiste.ranking.settings import RankingSettings

ROWS, CHOOSE, LEARN = "ranking_rows", "choose_ranking", "learn_ranking"
TO_TEST = "_to_test"
STAGES = (ROWS, CHOOSE, LEARN, ROWS + TO_TEST, CHOOSE + TO_TEST, LEARN + TO_TEST)

# What hybrids are made by.
CODE = (
    "modiste.engine",
    "modiste.data",
    "modiste.evaluation",
    "modiste.models",
    "modiste.candidates",
    "modiste.ranking",
    __name__,
)

# What the stages' folders hold.
_FEATURES = "features.json"
_WATCHED, _LABELS, _SEGMENTS = "watched.parquet", "labels.parquet", "segments.parquet"
CHOICE, TRIALS, CURVES = "choice.json", "trials.parquet", "curves.parquet"
IMPORTANCE = "importance.parquet"
_RANKERS, _CALIBRATIONS = "rankers", "calibrations"

# A curve of two scorers has a point at every twentieth.
_SHARES = tuple(float(share) for share in np.linspace(0, 1, 21))


@dataclass(frozen=True)
class RankingParts:
    """All that a hybrid is made of before rankers learn.

    Attributes
    ----------
    models
        Settings of the recommenders, as chosen.
    candidates, ranking, rules
        Settings of the rest.
    artifacts
        What some recommenders are made of.
    """

    models: BlendSettings
    candidates: CandidateSettings
    ranking: RankingSettings
    rules: Rules
    artifacts: Artifacts

    def generator(self) -> CandidateGenerator:
        """The sources and their merge, not fitted yet."""
        return CandidateGenerator(self.candidates, self.models, self.artifacts)

    def builder(self, generator: CandidateGenerator) -> FeatureBuilder:
        """The features, not fitted yet."""
        return FeatureBuilder(generator, self.artifacts.vectors)


@dataclass(frozen=True)
class Ranking:
    """What the stages have made, for one date.

    Attributes
    ----------
    windows
        That were learned from and chosen on.
    parts
        Gives what a hybrid is made of; read where it is used.
    stages
        Names of the stages.
    choice, learned
        Folders of the chosen weights and of the rankers.
    """

    windows: RankerWindows
    parts: Callable[[], RankingParts]
    stages: tuple[str, ...]
    choice: Path
    learned: Path

    def hybrid(self) -> Hybrid:
        """The hybrid of what was learned; it is not fitted yet."""
        parts = self.parts()
        generator = parts.generator()
        return Hybrid(
            generator,
            parts.builder(generator),
            parts.ranking,
            load_rankers(parts.ranking, self.learned / _RANKERS),
            self.chosen()["weights"],
            parts.rules,
        )

    def calibrations(self) -> dict[str, Calibration]:
        """What makes probabilities of each ranker's scores."""
        folders = sorted((self.choice / _CALIBRATIONS).iterdir())
        return {folder.name: Calibration().load(folder) for folder in folders}

    def chosen(self) -> dict[str, Any]:
        """What :func:`choose_ranking` wrote into ``choice.json``."""
        found: dict[str, Any] = json.loads((self.choice / CHOICE).read_text(encoding="utf-8"))
        return found

    def importance(self) -> pl.DataFrame:
        """How much each feature counts, as :func:`learn_ranking` wrote it."""
        return pl.read_parquet(self.learned / IMPORTANCE)


def run_ranking_stages(
    run: Run,
    dataset: Dataset,
    windows: RankerWindows,
    parts: Callable[[], RankingParts],
    settings: Mapping[str, Any],
    k: int,
    *,
    needs: Sequence[str],
    suffix: str,
) -> Ranking:
    """Do those stages that are not up to date.

    Parameters
    ----------
    run
        Has done what ``needs`` names.
    dataset
        The shop.
    windows
        To learn from and to choose on.
    parts
        Gives what a hybrid is made of; called where a stage is done.
    settings
        Of the candidates and of the ranking, as plain values.
    k
        Recommendations a customer that count.
    needs
        Names of the earlier stages.
    suffix
        Of the stages' names: nothing, or ``TO_TEST``.
    """
    laid = {
        "watched": str(windows.watched),
        "before": [str(window) for window in windows.before],
        "learned": [str(window) for window in windows.learned],
    }
    wrote, chose, learned = ROWS + suffix, CHOOSE + suffix, LEARN + suffix
    rows = run.stage(
        wrote,
        lambda folder: write_rows(dataset, windows, parts(), folder),
        settings={**settings, "windows": laid},
        code=CODE,
        needs=needs,
    )
    choice = run.stage(
        chose,
        lambda folder: choose_ranking(windows, parts(), rows, k, folder, run.checkpoints(chose)),
        settings={"k": k},
        code=CODE,
        needs=[wrote],
    )
    made = run.stage(
        learned,
        lambda folder: learn_ranking(
            windows, parts(), rows, choice, folder, run.checkpoints(learned)
        ),
        settings={},
        code=CODE,
        needs=[wrote, chose],
    )
    return Ranking(windows, parts, (wrote, chose, learned), choice, made)


def write_rows(dataset: Dataset, windows: RankerWindows, parts: RankingParts, folder: Path) -> None:
    """Write the rows of every window that rankers learn from, and those that are watched.

    Writes ``rows-DATE-DAYS.parquet`` of each window (all purchases, some of the rest),
    ``watched.parquet`` (whole lists), ``labels.parquet`` (what their customers bought),
    ``segments.parquet`` and ``features.json``.

    Raises
    ------
    DataError
        When no customer of a window bought anything.
    """
    ranking = parts.ranking
    learned = {*windows.before, *windows.learned}
    features: tuple[Feature, ...] = ()
    for number, window in enumerate(sorted({windows.watched, *learned})):
        history = dataset.until(window.as_of)
        generator = parts.generator().fit(history)
        builder = parts.builder(generator).fit(history)
        features = builder.features

        def write(
            customers: int,
            negatives: int | None,
            file: str,
            window: Window = window,
            number: int = number,
            history: History = history,
            generator: CandidateGenerator = generator,
            builder: FeatureBuilder = builder,
        ) -> pl.DataFrame:
            labels = purchases_of_some(dataset, window, customers, ranking.seed)
            if negatives is not None:
                labels = _learned_from(history, labels, ranking.segments_learned_from)
            rows_of_window(
                dataset,
                window,
                number,
                generator,
                builder,
                labels,
                negatives=negatives,
                seed=ranking.seed,
            ).write_parquet(folder / file, compression="zstd")
            return labels

        if window in learned:
            write(ranking.customers, ranking.negatives, _file_of(window))
        if window == windows.watched:
            labels = write(ranking.watched, None, _WATCHED)
            labels.write_parquet(folder / _LABELS)
            _segments_of(history, labels).write_parquet(folder / _SEGMENTS)
    described = [asdict(feature) for feature in features]
    (folder / _FEATURES).write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")


def choose_ranking(
    windows: RankerWindows,
    parts: RankingParts,
    rows: Path,
    k: int,
    folder: Path,
    checkpoints: Path,
) -> None:
    """Choose how long each ranker learns and the weights of the scorers, on the watched window.

    Writes ``choice.json`` (rounds, weights, and MAP of each scorer alone and of all together),
    ``trials.parquet``, ``curves.parquet`` (MAP of two scorers by the share of the one) and, for
    each ranker, what makes probabilities of its scores.

    Raises
    ------
    DataError
        When there is nothing to learn from.
    """
    watched = read_whole_lists(rows)
    learning = read_rows(rows, windows.before)
    rankers = learn_rankers(parts.ranking, learning, watched.rows, checkpoints=checkpoints)
    scorers = scorers_of(rankers, parts.generator().sources)
    raw = score_rows(watched.rows.frame, rankers, parts.models.weights, scorers)
    bought = watched.rows.frame[LABEL].to_numpy()
    for name in rankers:
        place = _made(folder / _CALIBRATIONS / name)
        Calibration().fit(raw[name].to_numpy(), bought).save(place)
    scored, labels = watched.scored(raw, scorers), watched.labels
    chosen = choose_weights(
        scored,
        labels,
        watched.segments,
        parts.ranking.first_weights(scorers),
        k,
        parts.ranking.z,
    )
    chosen.trials.write_parquet(folder / TRIALS)
    _curves(scored, labels, scorers, k).write_parquet(folder / CURVES)
    score = pl.Series("score", combine(scored, chosen.weights))
    together = scored.select("customer", "article", score)
    choice = {
        "watched": str(windows.watched),
        "learned_from": [str(window) for window in windows.before],
        "customers": labels["customer"].n_unique(),
        "rounds": {name: ranker.rounds for name, ranker in rankers.items()},
        "weights": chosen.weights,
        "map": {
            **{name: _map(scored, labels, name, k) for name in scorers},
            HYBRID: _map(together, labels, "score", k),
        },
    }
    (folder / CHOICE).write_text(json.dumps(choice, indent=2) + "\n", encoding="utf-8")


def learn_ranking(
    windows: RankerWindows,
    parts: RankingParts,
    rows: Path,
    choice: Path,
    folder: Path,
    checkpoints: Path,
) -> None:
    """Let the rankers learn from all windows before the date, as long as was best before.

    Writes each ranker, and ``importance.parquet``: ``ranker``, ``feature``, ``group``, ``meaning``
    and ``importance`` (a ranker's add up to 1), the most important first.
    """
    learning = read_rows(rows, windows.learned)
    rounds = json.loads((choice / CHOICE).read_text(encoding="utf-8"))["rounds"]
    rankers = learn_rankers(parts.ranking, learning, rounds=rounds, checkpoints=checkpoints)
    meanings = pl.DataFrame(
        [(feature.name, feature.group, feature.meaning) for feature in learning.features],
        schema=["feature", "group", "meaning"],
        orient="row",
    )
    counted = [
        ranker.importance()
        .join(meanings, on="feature")
        .select(pl.lit(name).alias("ranker"), "feature", "group", "meaning", "importance")
        .sort("importance", "feature", descending=[True, False])
        for name, ranker in rankers.items()
    ]
    save_rankers(rankers, _made(folder / _RANKERS))
    pl.concat(counted).write_parquet(folder / IMPORTANCE)


def read_rows(folder: Path, windows: Sequence[Window]) -> RankingRows:
    """The rows of some windows to learn from, as :func:`write_rows` wrote them into a folder."""
    return _read(folder, [_file_of(window) for window in windows])


def read_whole_lists(folder: Path) -> WholeLists:
    """The whole lists of the watched window, as :func:`write_rows` wrote them into a folder."""
    labels, segments = (pl.read_parquet(folder / name) for name in (_LABELS, _SEGMENTS))
    return WholeLists(_read(folder, [_WATCHED]), labels, segments)


def _file_of(window: Window) -> str:
    return f"rows-{window.as_of}-{window.horizon}.parquet"


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _segments_of(history: History, labels: pl.DataFrame) -> pl.DataFrame:
    """Each buyer's segment as of the window's date: ``customer`` and ``segment``."""
    return pl.concat(history.map(_segments, labels["customer"].unique(), label="segments"))


def _learned_from(history: History, labels: pl.DataFrame, wanted: Collection[str]) -> pl.DataFrame:
    """The purchases of the customers in some segments, or of all where none of those bought."""
    segments = _segments_of(history, labels)
    customers = segments.filter(pl.col("segment").cast(pl.String).is_in(list(wanted)))
    found = labels.join(customers, on="customer", how="semi", maintain_order="left")
    return labels if found.is_empty() else found


def _segments(partition: Partition, customers: pl.Series) -> pl.DataFrame:
    return segment_of_customers(partition.read().only(customers))


def _read(folder: Path, files: Sequence[str]) -> RankingRows:
    described = json.loads((folder / _FEATURES).read_text(encoding="utf-8"))
    frames = [pl.read_parquet(folder / file) for file in files]
    return RankingRows(
        tuple(Feature(**each) for each in described),
        pl.concat(frames).sort("window", "customer", "article"),
    )


def _map(scored: pl.DataFrame, labels: pl.DataFrame, scorer: str, k: int) -> float:
    candidates = ScoredCandidates.of(scored, labels, [scorer])
    return float(candidates.average_precision({scorer: 1.0}, [scorer], k).mean())


def _curves(
    scored: pl.DataFrame, labels: pl.DataFrame, scorers: Sequence[str], k: int
) -> pl.DataFrame:
    """MAP of every two scorers: ``one``, ``other``, ``share`` (of the one) and ``map``."""
    curves = [
        weight_curve(scored, labels, one, other, _SHARES, k).select(
            pl.lit(one).alias("one"), pl.lit(other).alias("other"), "share", "map"
        )
        for one, other in combinations(scorers, 2)
    ]
    return pl.concat(curves)
