"""Accuracy on real H&M rows, where they are: chosen on earlier days, scored on the benchmark's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modiste.config import load_config
from modiste.engine import Engine
from modiste.pipeline import run_pipeline

HM = Path(os.environ.get("MODISTE_DATA", "../shared/data")) / "hm"


@pytest.mark.slow
@pytest.mark.skipif(not HM.is_dir(), reason=f"no real H&M rows at {HM} (see MODISTE_DATA)")
def test_hm_real(tmp_path: Path) -> None:
    config = load_config(
        overrides=["as_of=2020-09-20", "horizon=3", "evaluation.resamples=20", "report.customers=0"]
    )
    result = run_pipeline(str(HM), tmp_path / "run", config, Engine())
    scores = {
        name: model["metrics"]["average_precision"]["mean"]
        for name, model in result.metrics["test"]["models"].items()
    }
    assert result.metrics["map@12"] >= 0.0285
    assert max(scores, key=lambda name: scores[name]) == "blend"
