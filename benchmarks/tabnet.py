"""TabNet's training and scoring beside pytorch-tabnet: rows per second and peak memory.

    PYTHONPATH=src:benchmarks python benchmarks/tabnet.py [--features 100] [--threads 1]

Rows of drawn numbers, of which some make a purchase likely. Equal on both sides: the network (the
mission's settings, unless told otherwise), rows, batch, virtual batch, learning rate, threads of
torch, one epoch. Each side's own: pytorch-tabnet has Adam and two outputs, we AdamW, averaged
weights and a warm-up, and encode features from a frame, which is part of the time of scoring.

Both sides run by turns, each in a process of its own. Rows per second are by the seconds of the
epoch, and of scoring all rows, alone; with one thread those per CPU second hardly depend on what
else the machine does. The figure of each side is the median of its rounds. The last line is one
JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from machine import describe_machine
from processes import measure

SIDES = ("peer", "ours")
LEARNING_RATE = 0.02
FIGURES = (
    "train_rows_per_second",
    "train_rows_per_cpu_second",
    "score_rows_per_second",
    "score_rows_per_cpu_second",
    "peak_mib",
)


def main() -> None:
    """Run the benchmark, or one side of it in this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--features", type=int, default=100)
    parser.add_argument("--rows", type=int, default=20_480, help="trained on, and scored")
    parser.add_argument("--width", type=int, default=128, help="n_d and n_a")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side runs")
    parser.add_argument("--run", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        found = {"peer": peer, "ours": ours}[options.run](options)
        options.out.write_text(json.dumps(found))
        return
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for _ in range(options.rounds):
        for side in SIDES:
            runs[side].append(run(options, side))
            print(f"{side:6}{runs[side][-1]}", flush=True)
    medians = {
        side: {name: statistics.median(each[name] for each in runs[side]) for name in FIGURES}
        for side in SIDES
    }
    ratios = {name: round(medians["ours"][name] / medians["peer"][name], 2) for name in FIGURES}
    for name in FIGURES:
        print(f"{name}: {medians['ours'][name]:,.0f} ({ratios[name]} x pytorch-tabnet)")
    setting = {
        name: getattr(options, name)
        for name in ("features", "rows", "width", "steps", "batch", "threads", "device", "rounds")
    }
    figures = {"benchmark": "tabnet", **setting, **medians, "ratios": ratios}
    print(json.dumps({**figures, "machine": describe_machine()}))


def run(options: argparse.Namespace, side: str) -> dict[str, float]:
    """One side in a process of its own."""
    names = ("features", "rows", "width", "steps", "batch", "threads", "device")
    given = [f"--{name}={getattr(options, name)}" for name in names]
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "found.json"
        command = [sys.executable, "-W", "ignore", __file__, "--run", side, f"--out={out}"]
        used = measure([*command, *given])
        found: dict[str, float] = json.loads(out.read_text())
    return found | {"peak_mib": round(used.peak_mib)}


def data(options: argparse.Namespace) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Features, shape (rows, features), and what was bought: about one row in twelve."""
    rng = np.random.default_rng(0)
    numbers = rng.standard_normal((options.rows, options.features), dtype=np.float32)
    logit = 1.5 * numbers[:, 0] + numbers[:, -1] * (numbers[:, 1] > 0) - 3.5
    return numbers, rng.random(options.rows) < 1 / (1 + np.exp(-logit))


def ours(options: argparse.Namespace) -> dict[str, float]:
    """Train and score with modiste."""
    import polars as pl
    import torch

    from modiste.models.learning.loop import train_task
    from modiste.ranking.encoding import FeatureEncoding
    from modiste.ranking.purchases import labels_of
    from modiste.ranking.rows import Feature, RankingRows
    from modiste.ranking.tabnet.inference import FusedTabNet
    from modiste.ranking.tabnet.network import TabNet
    from modiste.ranking.tabnet.settings import TabNetNetworkSettings, TabNetTrainingSettings
    from modiste.ranking.tabnet.training import PurchaseTask

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    numbers, bought = data(options)
    names = [f"number {place}" for place in range(options.features)]
    frame = pl.DataFrame(numbers, schema=names).with_columns(
        pl.Series("bought", bought), pl.lit(1.0).cast(pl.Float32).alias("weight")
    )
    rows = RankingRows(tuple(Feature(name, "drawn", "drawn") for name in names), frame)
    shape = TabNetNetworkSettings(
        decision_width=options.width, attention_width=options.width, steps=options.steps
    )
    training = TabNetTrainingSettings(batch=options.batch, learning_rate=LEARNING_RATE, epochs=1)
    encoding = FeatureEncoding().fit(rows)
    network = TabNet(encoding.columns, shape)
    task = PurchaseTask(network, encoding.transform(frame), labels_of(rows), training)
    start = now()
    train_task(task, training, device=torch.device(options.device))
    trained = now() - start
    fused = FusedTabNet(network.eval())
    fused.logits(encoding.transform(frame.head(2 * options.batch)))
    start = now()
    fused.logits(encoding.transform(frame))
    return figures(options, trained, now() - start)


def peer(options: argparse.Namespace) -> dict[str, float]:
    """Train and score with pytorch-tabnet."""
    import torch
    from pytorch_tabnet.tab_model import TabNetClassifier

    torch.set_num_threads(options.threads)
    numbers, bought = data(options)
    model = TabNetClassifier(
        n_d=options.width,
        n_a=options.width,
        n_steps=options.steps,
        gamma=1.3,
        lambda_sparse=1e-3,
        momentum=0.02,
        optimizer_params={"lr": LEARNING_RATE},
        device_name=options.device,
        verbose=0,
    )
    trained = np.zeros(2)
    train_epoch = model._train_epoch

    def timed(loader: Any) -> None:
        nonlocal trained
        start = now()
        train_epoch(loader)
        trained = now() - start

    model._train_epoch = timed
    model.fit(
        numbers,
        bought.astype(np.int64),
        max_epochs=1,
        batch_size=options.batch,
        virtual_batch_size=128,
        compute_importance=False,
    )
    model.predict_proba(numbers[: 2 * options.batch])
    start = now()
    model.predict_proba(numbers)
    return figures(options, trained, now() - start)


def now() -> NDArray[np.float64]:
    """Wall-clock and CPU seconds."""
    return np.array([time.perf_counter(), time.process_time()])


def figures(
    options: argparse.Namespace, trained: NDArray[np.float64], scored: NDArray[np.float64]
) -> dict[str, float]:
    """Rows per second and per CPU second; in training full batches alone are gone through."""
    in_batches = options.rows // options.batch * options.batch
    values = [*(in_batches / trained), *(options.rows / scored)]
    return {name: round(float(value)) for name, value in zip(FIGURES, values, strict=False)}


if __name__ == "__main__":
    main()
