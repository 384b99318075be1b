"""RecTools' SASRecModel on what ``sasrec_speed.py`` hands over; runs in RecTools' own environment.

    PEER_PYTHON benchmarks/sasrec_peer.py FOLDER

FOLDER holds what :func:`sasrec_speed.hand_over` wrote. Written there: ``found.json`` with the
seconds, ``ranks.npy`` with the rank of each target, ``NOT_RANKED`` where it is not among the ten.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel

NOT_RANKED = 1_000_000

# Our names of the losses that both have.
_LOSSES = {"softmax": "softmax", "bce": "BCE", "gbce": "gBCE"}


class Stopwatch(Callback):  # type: ignore[misc]
    """When the first step began and the last one ended."""

    started = ended = started_cpu = ended_cpu = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Called before the first step."""
        self.started, self.started_cpu = time.perf_counter(), time.process_time()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Called after the last step."""
        self.ended, self.ended_cpu = time.perf_counter(), time.process_time()


def main(folder: Path) -> None:
    """Train, then rank."""
    setting = json.loads((folder / "setting.json").read_text())
    torch.set_num_threads(setting["threads"])
    seed_everything(setting["seed"])
    started = time.perf_counter()
    model = SASRecModel(
        n_blocks=setting["blocks"],
        n_heads=setting["heads"],
        n_factors=setting["dimensions"],
        dropout_rate=setting["dropout"],
        session_max_len=setting["length"],
        loss=_LOSSES[setting["loss"]],
        n_negatives=setting["negatives"],
        gbce_t=setting["calibration"],
        lr=setting["learning_rate"],
        batch_size=setting["batch"],
        get_trainer_func=trainer_of,
        get_trainer_func_kwargs={"epochs": setting["epochs"]},
    )
    model.fit(read_interactions(folder / "train"))
    stopwatch = model.fit_trainer.callbacks[0]
    found = {
        "set_up_seconds": stopwatch.started - started,
        "training_seconds": stopwatch.ended - stopwatch.started,
        "training_cpu_seconds": stopwatch.ended_cpu - stopwatch.started_cpu,
    }
    np.save(folder / "ranks.npy", ranks(model, folder))
    (folder / "found.json").write_text(json.dumps(found))


def trainer_of(epochs: int) -> Trainer:
    """RecTools' own trainer, timed."""
    stopwatch = Stopwatch()
    trainer = Trainer(
        max_epochs=epochs,
        min_epochs=epochs,
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=False,
        enable_checkpointing=False,
        accelerator="cpu",
        devices=1,
        callbacks=[stopwatch],
    )
    trainer.callbacks.remove(stopwatch)
    trainer.callbacks.insert(0, stopwatch)
    return trainer


def read_interactions(folder: Path) -> Any:
    """The sequences of a folder as RecTools' dataset; a user's number is the sequence's."""
    offsets = np.load(folder / "offsets.npy")
    frame = pd.DataFrame(
        {
            Columns.User: np.repeat(np.arange(len(offsets) - 1), np.diff(offsets)),
            Columns.Item: np.load(folder / "items.npy"),
            Columns.Weight: 1.0,
            Columns.Datetime: np.load(folder / "days.npy").astype("datetime64[D]"),
        }
    )
    return Dataset.construct(frame)


def ranks(model: Any, folder: Path) -> NDArray[np.int64]:
    """Rank of each target: int64, shape (n_asked,)."""
    targets = np.load(folder / "targets.npy")
    asked = read_interactions(folder / "asked")
    recommended = model.recommend(np.arange(len(targets)), asked, k=10, filter_viewed=True)
    users = recommended[Columns.User].to_numpy()
    hit = recommended[Columns.Item].to_numpy() == targets[users]
    found = np.full(len(targets), NOT_RANKED)
    found[users[hit]] = recommended[Columns.Rank].to_numpy()[hit]
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]))
