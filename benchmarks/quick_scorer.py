"""Scores of boosted trees by bit masks beside LightGBM's own prediction, on one thread.

    python benchmarks/quick_scorer.py [--trees stages/fit/rankers/lightgbm_known/trees.txt]

Without a file, trees of the ranker's default size are grown on random numbers first.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from machine import describe_machine
from modiste.ranking.lightgbm_settings import LightGBMSettings
from modiste.ranking.quick_scorer import QuickScorer

# A live request's candidates, and some thousand customers'.
ROWS = (200, 400_000)
ROUNDS = 5


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trees", type=Path, help="as a run has saved them")
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    booster = _grown(rng) if given.trees is None else lightgbm.Booster(model_file=given.trees)
    scorer = QuickScorer.of(booster)
    if scorer is None:
        raise SystemExit("these trees can only be asked by LightGBM itself")
    result: dict[str, Any] = {**describe_machine(), "trees": booster.num_trees()}
    scorer.score(np.zeros((booster.num_feature(), 1), dtype=np.float32))  # compiled
    for n_rows in ROWS:
        rows = _rows(rng, n_rows, booster.num_feature())
        columns = np.ascontiguousarray(rows.T)
        own = _best(partial(scorer.score, columns))
        predict = partial(booster.predict, rows, raw_score=True, num_threads=1)
        peer = _best(predict)
        same = np.array_equal(scorer.score(columns), np.asarray(predict()))
        result[f"{n_rows} rows"] = {"ms": own, "lightgbm_ms": peer, "ratio": peer / own}
        print(
            f"{n_rows:,} rows, {booster.num_trees()} trees: {own:.3f} ms, LightGBM {peer:.3f} ms "
            f"(x {peer / own:.1f}); {'the same' if same else 'NOT the same'} scores"
        )
    print(json.dumps(result))


def _grown(rng: np.random.Generator) -> lightgbm.Booster:
    rows = _rows(rng, 50_000, 90)
    target = np.nan_to_num(rows).sum(axis=1)
    settings = LightGBMSettings()
    parameters = {"num_leaves": settings.leaves, "verbosity": -1}
    return lightgbm.train(parameters, lightgbm.Dataset(rows, target), settings.rounds)


def _rows(rng: np.random.Generator, n_rows: int, n_features: int) -> NDArray[np.float32]:
    values = rng.normal(scale=10.0, size=(n_rows, n_features)).astype(np.float32)
    values[rng.random(values.shape) < 0.2] = np.nan
    return values


def _best(work: Callable[[], object]) -> float:
    """Milliseconds of the quickest of some rounds."""
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times) * 1e3


if __name__ == "__main__":
    main()
