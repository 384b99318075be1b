"""Training alone and beside other work on the same cores, by how threads wait for each other.

Threads of GNU's OpenMP (those of PyTorch and LightGBM on Linux) spin about a millisecond before
they sleep; the command line makes them spin less (``GOMP_SPINCOUNT``). Each training is a process
of its own, with as many threads as there are cores; the other work is a process that never pauses,
for each core. A training is given up after a minute, and counts as one.

    python benchmarks/shared_cores.py
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import psutil

from machine import describe_machine

FEATURES = 40

# Seconds after which a training is given up.
MOST = 60.0


def lightgbm(rows: int) -> float:
    """Seconds of fifty trees."""
    import lightgbm as lgb

    rng = np.random.default_rng(0)
    numbers = rng.standard_normal((rows * 20, FEATURES)).astype(np.float32)
    bought = rng.random(len(numbers)) < 1 / (1 + np.exp(3 - numbers[:, 0]))
    data = lgb.Dataset(numbers, bought.astype(np.float32)).construct()
    start = time.perf_counter()
    lgb.train({"objective": "binary", "num_leaves": 15, "verbose": -1}, data, 50)
    return time.perf_counter() - start


def tabnet(rows: int) -> float:
    """Seconds of an epoch of a small TabNet."""
    import polars as pl

    from modiste.ranking.rows import Feature, RankingRows
    from modiste.ranking.tabnet.ranker import TabNetRanker
    from modiste.ranking.tabnet.settings import (
        TabNetNetworkSettings,
        TabNetSettings,
        TabNetTrainingSettings,
    )

    rng = np.random.default_rng(0)
    names = [f"number {place}" for place in range(FEATURES)]
    numbers = rng.standard_normal((rows, FEATURES)).astype(np.float32)
    frame = pl.DataFrame(numbers, schema=names).with_columns(
        bought=rng.random(rows) < 0.1, weight=pl.lit(1.0).cast(pl.Float32)
    )
    learned_from = RankingRows(tuple(Feature(name, "drawn", "drawn") for name in names), frame)
    training = TabNetTrainingSettings(batch=512, epochs=1, least_steps_per_epoch=1)
    shape = TabNetNetworkSettings(decision_width=24, attention_width=24, steps=3)
    ranker = TabNetRanker(TabNetSettings(network=shape, training=training))
    start = time.perf_counter()
    ranker.fit(learned_from)
    return time.perf_counter() - start


TRAININGS = {"lightgbm": lightgbm, "tabnet": tabnet}

# How threads wait, and what the environment has to say so; the second is the command line's.
WAYS = {
    "as they come": {},
    "3,000 turns": {"GOMP_SPINCOUNT": "3000"},
    "asleep at once": {"OMP_WAIT_POLICY": "passive"},
}


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Other work: processes that never pause."""
    others = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)
    ]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def seconds_of(training: str, changed: dict[str, str], rows: int) -> float:
    """Of a training in a process of its own."""
    command = [sys.executable, __file__, "--rows", str(rows), "--child", training]
    kept = {name: value for name, value in os.environ.items() if "OMP_" not in name}
    environment = {**kept, **changed}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=MOST
        )
    except subprocess.TimeoutExpired:
        return MOST
    return float(done.stdout.splitlines()[-1])


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_480)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", choices=TRAININGS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child is not None:
        print(TRAININGS[given.child](given.rows))
        return
    result: dict[str, object] = dict(describe_machine())
    cores = len(psutil.Process().cpu_affinity())
    for training in TRAININGS:
        for others in (0, cores):
            found: dict[str, list[float]] = {way: [] for way in WAYS}
            with busy(others):
                for _ in range(given.rounds):
                    for way, seconds in found.items():
                        seconds.append(seconds_of(training, WAYS[way], given.rows))
            said = ", ".join(
                f"{way} {np.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"
                for way, seconds in found.items()
            )
            print(f"{training}, {others} busy processes beside it: {said}", flush=True)
            result[f"{training} beside {others}"] = found
    print(json.dumps(result))


if __name__ == "__main__":
    main()
