"""Hybrids whose rankers have learned from rows drawn at random: an order, if a senseless one."""

from __future__ import annotations

from functools import cache

import numpy as np
import polars as pl

from modiste.candidates.generator import CandidateGenerator
from modiste.models.blend import Artifacts, BlendSettings
from modiste.ranking.features.builder import FeatureBuilder
from modiste.ranking.hybrid import Hybrid
from modiste.ranking.lightgbm_settings import LightGBMSettings
from modiste.ranking.protocol import Ranker
from modiste.ranking.rankers import make_rankers
from modiste.ranking.rows import KEYS, LABEL, WEIGHT, Feature, RankingRows
from modiste.ranking.rules import Rules
from modiste.ranking.settings import RankingSettings
from modiste.ranking.tabnet.settings import (
    TabNetNetworkSettings,
    TabNetSettings,
    TabNetTrainingSettings,
)
from modiste.vectors.article_vectors import ArticleVectors

ALL_RANKERS = RankingSettings(
    rankers=("lightgbm", "tabnet", "logistic"),
    lightgbm=LightGBMSettings(rounds=5, min_rows=5),
    tabnet=TabNetSettings(
        network=TabNetNetworkSettings(decision_width=4, attention_width=4, steps=2),
        training=TabNetTrainingSettings(batch=128, epochs=1, least_steps_per_epoch=1),
    ),
    cascade=5,
)

# No network is among them: a customer's scores do not depend on who else is asked about.
EXACT_RANKERS = ALL_RANKERS.model_copy(update={"rankers": ("lightgbm", "logistic")})

# So that every scorer and every segment counts.
WEIGHTS = {
    segment: {"blend": 1.0, "lightgbm": 0.5, "tabnet": 0.5, "logistic": 0.25}
    for segment in ("cold", "lately", "earlier")
}


def drawn_rows(features: tuple[Feature, ...], lists: int = 40, each: int = 10) -> RankingRows:
    """Rows without any sense, a fifth of them bought, some values missing."""
    rng = np.random.default_rng(5)
    n = lists * each
    frame = pl.DataFrame(
        {
            "window": np.zeros(n),
            "customer": np.repeat(np.arange(lists), each),
            "article": np.tile(np.arange(each), lists),
            LABEL: rng.random(n) < 0.2,
            WEIGHT: np.ones(n, dtype=np.float32),
            **{
                feature.name: rng.normal(size=n).astype(np.float32)
                if feature.n_categories is None
                else rng.integers(0, feature.n_categories, n).astype(np.int32)
                for feature in features
            },
        },
    ).cast(KEYS)  # type: ignore[arg-type]
    missing = pl.int_range(pl.len()) % 7 == 0
    names = [feature.name for feature in features]
    return RankingRows(
        features, frame.with_columns(pl.when(~missing).then(pl.col(name)) for name in names)
    )


def drawn_hybrid(
    models: BlendSettings | None = None,
    vectors: ArticleVectors | None = None,
    rules: Rules | None = None,
    settings: RankingSettings = ALL_RANKERS,
) -> Hybrid:
    """A hybrid that is not fitted yet, with rankers that are."""
    generator = CandidateGenerator(models=models, artifacts=Artifacts(vectors))
    builder = FeatureBuilder(generator, vectors)
    rankers = _drawn_rankers(builder.features, settings.model_dump_json())
    weights = {
        segment: {name: each for name, each in of_segment.items() if name in {"blend", *rankers}}
        for segment, of_segment in WEIGHTS.items()
    }
    return Hybrid(generator, builder, settings, rankers, weights, rules)


@cache
def _drawn_rankers(features: tuple[Feature, ...], settings: str) -> dict[str, Ranker]:
    rows = drawn_rows(features)
    made = make_rankers(RankingSettings.model_validate_json(settings))
    return {name: ranker.fit(rows, rounds=3) for name, ranker in made.items()}
