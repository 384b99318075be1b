"""Gradient-boosted trees as a ranker: LightGBM, by LambdaRank or by log-loss.

Ke et al., "LightGBM: A Highly Efficient Gradient Boosting Decision Tree", 2017; Burges, "From
RankNet to LambdaRank to LambdaMART: An Overview", 2010.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modiste.errors import DataError, damaged
from modiste.ranking.lightgbm_alone import lightgbm
from modiste.ranking.lightgbm_settings import LightGBMSettings
from modiste.ranking.purchases import Labels, labels_of, lists_to_watch
from modiste.ranking.quick_scorer import QuickScorer
from modiste.ranking.rows import Feature, RankingRows, require_features

_K = 12
_MODEL, _STATE = "trees.txt", "trees.json"


class LightGBMRanker:
    """Trees over the features; a missing value is a value of its own.

    Parameters
    ----------
    settings
        How the trees are grown.
    """

    def __init__(self, settings: LightGBMSettings | None = None) -> None:
        self.settings = settings or LightGBMSettings()
        self._names: list[str] = []
        self._booster: lightgbm.Booster | None = None
        # None where the trees are such as only LightGBM itself can ask.
        self._scorer: QuickScorer | None = None

    @property
    def rounds(self) -> int:
        """Number of trees."""
        return int(self._fitted.current_iteration())

    def fit(
        self,
        rows: RankingRows,
        watched: RankingRows | None = None,
        *,
        rounds: int | None = None,
        checkpoints: Path | None = None,
    ) -> Self:
        """Grow trees; seconds to minutes, so that there is nothing to go on from after a kill.

        Raises
        ------
        DataError
            When there is nothing to learn from, or no bought article in ``watched``.
        """
        del checkpoints
        labels = labels_of(rows)
        settings = self.settings
        used = [f for f in rows.features if settings.categories or f.n_categories is None]
        if not used:
            raise DataError("the rows have no features, so there is nothing to learn from")
        self._names = [feature.name for feature in used]
        learned = self._dataset(rows, labels, used)
        parameters = {
            "objective": settings.loss,
            "metric": "map",
            "eval_at": _K,
            "lambdarank_truncation_level": _K + 3,
            "num_leaves": settings.leaves,
            "learning_rate": settings.learning_rate,
            "min_data_in_leaf": settings.min_rows,
            "feature_fraction": settings.features,
            "lambda_l2": settings.l2,
            "min_data_per_group": settings.min_rows,
            "cat_smooth": 50.0,
            "seed": settings.seed,
            # The same trees from the same rows on any number of cores.
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }
        stops: dict[str, Any] = {}
        if watched is not None and rounds is None:
            # Lists without a purchase are ordered equally well by any trees.
            lists = lists_to_watch(watched)
            stops = {
                "valid_sets": [self._dataset(lists, labels_of(lists), used, learned)],
                "callbacks": [lightgbm.early_stopping(settings.patience, verbose=False)],
            }
        booster = lightgbm.train(parameters, learned, rounds or settings.rounds, **stops)
        best = booster.best_iteration if stops else -1
        # What follows the best tree is left out, for good.
        text = booster.model_to_string(num_iteration=best)
        return self._use(lightgbm.Booster(model_str=text))

    def _use(self, booster: lightgbm.Booster) -> Self:
        self._booster, self._scorer = booster, QuickScorer.of(booster)
        return self

    def score(self, frame: pl.DataFrame) -> NDArray[np.float32]:
        """Sum of the trees' answers for each row, shape (n_rows,)."""
        matrix = self._matrix(frame)
        if self._scorer is None:
            scores = np.asarray(self._fitted.predict(matrix, raw_score=True))
        else:
            scores = self._scorer.score(np.ascontiguousarray(matrix.T))
        return scores.astype(np.float32)

    def contributions(self, frame: pl.DataFrame) -> pl.DataFrame:
        """What each feature adds to a row's score: SHAP values.

        Lundberg et al., "From local explanations to global understanding with explainable AI for
        trees", 2020.

        Returns
        -------
        One column (float64) a feature that the trees see, and ``expected``: each row adds up to
        its score.
        """
        values = self._fitted.predict(self._matrix(frame), pred_contrib=True)
        return pl.DataFrame(np.asarray(values), schema=[*self._names, "expected"])

    def importance(self) -> pl.DataFrame:
        """How much each feature lowered the loss (gain), as a share of all."""
        gain = self._fitted.feature_importance("gain").astype(np.float64)
        share = gain / gain.sum() if gain.sum() else gain
        return pl.DataFrame({"feature": self._names, "importance": share})

    def save(self, folder: Path) -> None:
        """Write the trees as text."""
        trees = self._fitted.model_to_string()
        state = {"features": self._names, "sha256": sha256(trees.encode()).hexdigest()}
        (folder / _MODEL).write_text(trees, encoding="utf-8")
        (folder / _STATE).write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")

    def load(self, folder: Path) -> Self:
        """Read them back.

        Raises
        ------
        DataError
            When the folder holds none, or damaged ones.
        """
        try:
            state = json.loads((folder / _STATE).read_text(encoding="utf-8"))
            trees = (folder / _MODEL).read_text(encoding="utf-8")
            # LightGBM takes half of its text for a whole one.
            if sha256(trees.encode()).hexdigest() != state["sha256"]:
                raise ValueError(f"{_MODEL} is not what was written")
            booster, names = lightgbm.Booster(model_str=trees), list(state["features"])
        except (OSError, ValueError, KeyError, TypeError, lightgbm.basic.LightGBMError) as error:
            raise damaged(folder, "trees", error, "train the ranker anew") from error
        self._names = names
        return self._use(booster)

    @property
    def _fitted(self) -> lightgbm.Booster:
        if self._booster is None:
            raise DataError("this ranker has learned nothing yet: fit it, or load one")
        return self._booster

    def _matrix(self, frame: pl.DataFrame) -> NDArray[np.float32]:
        require_features(self._names, frame)
        # What is not known comes out as NaN, which is what trees take for it.
        values = frame[self._names]
        if any(dtype != pl.Float32 for dtype in values.dtypes):  # codes of categories
            values = values.cast(pl.Float32)
        return values.to_numpy()

    def _dataset(
        self,
        rows: RankingRows,
        labels: Labels,
        used: list[Feature],
        reference: lightgbm.Dataset | None = None,
    ) -> lightgbm.Dataset:
        ranked = self.settings.loss == "lambdarank"
        return lightgbm.Dataset(
            self._matrix(rows.frame),
            labels.bought,
            # The loss of an order compares the rows that are there.
            weight=None if ranked else labels.weights,
            group=rows.list_sizes(),
            feature_name=self._names,
            categorical_feature=[f.name for f in used if f.n_categories is not None],
            reference=reference,
        )
