"""Accuracy on real H&M rows, where they are: chosen on earlier days, scored on the benchmark's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modiste.config import load_config
from modiste.engine import Engine
from modiste.pipeline import run_pipeline

RANKED = {"hybrid", "blend_of_candidates", "lightgbm", "lightgbm_known"}
# Minutes less than at the default settings, and the same order of the models.
FEWER = (
    "ranking.windows=2",
    "ranking.older_windows=1",
    "ranking.lightgbm.rounds=60",
    "ranking.rankers=[lightgbm, lightgbm_known]",
    "models.graph_filter.frequencies=16",
)
TO_EVALUATE = (
    "ingest",
    "choose",
    "ranking_rows",
    "choose_ranking",
    "learn_ranking",
    "evaluate",
)

HM = Path(os.environ.get("MODISTE_DATA", "../shared/data")) / "hm"


@pytest.mark.slow
@pytest.mark.skipif(not HM.is_dir(), reason=f"no real H&M rows at {HM} (see MODISTE_DATA)")
def test_hm_real(tmp_path: Path) -> None:
    """Up to the scores: recommending to all 254,051 customers takes minutes and proves no more."""
    settings = ("as_of=2020-09-20", "horizon=3", "evaluation.resamples=20", *FEWER)
    config = load_config(overrides=settings)
    for stage in TO_EVALUATE:
        result = run_pipeline(str(HM), tmp_path / "run", config, Engine(), only=stage)
    scores = {
        name: model["metrics"]["average_precision"]["mean"]
        for name, model in result.metrics["test"]["models"].items()
    }
    assert result.metrics["map@12"] == scores["hybrid"] >= 0.0295
    assert max(scores.keys() - RANKED, key=lambda name: scores[name]) == "blend"
