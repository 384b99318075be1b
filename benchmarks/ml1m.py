"""SASRec on MovieLens-1M as the gSASRec paper splits it, beside the published figures.

    python benchmarks/ml1m.py [--setting default|bce] [--seed N] [--data FOLDER] [--minutes M]

Training is chosen on the 512 validation users and reported on the 6,040 test users: one article
each, ranked among all 3,416 without those of the history. It is checkpointed under
``$XDG_CACHE_HOME/modiste/ml1m`` (or ``~/.cache``); a call goes on from there, and where training is
done already it only ranks, in under a minute. For hours of training in the background:

    nohup nice python benchmarks/ml1m.py --setting default --seed 1 > ml1m.log 2>&1 &

``--minutes`` returns after that time, to be called again; ``--report`` ranks with the best weights
so far and trains nothing, while another process may. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from modiste.errors import DataError
from modiste.models.learning.epochs import Epoch
from modiste.models.learning.loop import load_trained, pick_device
from modiste.models.learning.ranks import ndcg_at, recall_at
from modiste.models.sasrec.network import SASRec
from modiste.models.sasrec.next_item import NextItems, ranks_of_next
from modiste.models.sasrec.sequences import Sequences
from modiste.models.sasrec.settings import NetworkSettings, TrainingSettings
from modiste.models.sasrec.training import train

ITEMS = 3_416

SETTINGS = {
    # The paper's loss and architecture: two blocks, one head, one negative.
    "bce": (
        NetworkSettings(blocks=2, heads=1, dropout=0.2),
        TrainingSettings(
            loss="bce", negatives=1, batch=64, weight_average=0.998, epochs=40, patience=40
        ),
    ),
    "default": (
        NetworkSettings(blocks=2, heads=2, dropout=0.2),
        TrainingSettings(
            loss="softmax",
            negatives=ITEMS,
            batch=64,
            weight_average=0.998,
            epochs=40,
            patience=40,
        ),
    ),
}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--setting", choices=SETTINGS, default="default")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("MODISTE_DATA", "../shared/data")) / "ml1m"
    )
    parser.add_argument("--epochs", type=int, help="at most so many (default: the setting's)")
    parser.add_argument("--minutes", type=float, help="return after about so long")
    parser.add_argument("--report", action="store_true", help="do not train")
    parser.add_argument("--threads", type=int, help="of torch (default: all)")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    started = time.monotonic()
    shape, training = SETTINGS[options.setting]
    changed = {"seed": options.seed, "epochs": options.epochs or training.epochs}
    training = training.model_copy(update=changed)
    folder = cache_folder() / f"{options.setting}-seed{options.seed}"
    sequences, validation, test = read_split(options.data)
    torch.manual_seed(options.seed)
    network = SASRec(ITEMS, shape)
    if options.report:
        epochs = load_trained(network, folder)
    else:
        deadline = None if options.minutes is None else started + 60 * options.minutes
        epochs = train(network, sequences, training, validation, folder, deadline=deadline)
    ranks = ranks_of_next(network, test)
    best = max(epochs, key=lambda epoch: epoch.ndcg or 0.0, default=Epoch(0, 0.0, None))
    latest = epochs[-1] if epochs else best
    result = {
        "benchmark": "ml1m",
        "setting": options.setting,
        "seed": options.seed,
        "ndcg@10": round(ndcg_at(ranks, 10), 4),
        "recall@10": round(recall_at(ranks, 10), 4),
        "validation_ndcg@10": round(best.ndcg or 0.0, 4),
        "best_epoch": best.epoch,
        "epochs": latest.epoch,
        "seconds": round(time.monotonic() - started, 1),
        "device": str(pick_device()),
        "weights": str(folder),
    }
    print(json.dumps(result))


def cache_folder() -> Path:
    """Where trained weights are kept, outside the repository."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "modiste" / "ml1m"


def read_split(folder: Path) -> tuple[Sequences, NextItems, NextItems]:
    """What is trained on, the validation and the test."""
    return (
        _sequences(_lines(folder / "train_input.txt.gz")),
        _asked(folder, "val"),
        _asked(folder, "test"),
    )


def _asked(folder: Path, part: str) -> NextItems:
    targets = _lines(folder / f"{part}_output.txt.gz")
    return NextItems(
        _sequences(_lines(folder / f"{part}_input.txt.gz")), np.concatenate(targets) - 1
    )


def _lines(path: Path) -> list[NDArray[np.int64]]:
    if not path.is_file():
        raise DataError(f"{path} is missing: name the folder of the split with --data")
    with gzip.open(path, "rt") as file:
        return [np.array(line.split(), dtype=np.int64) for line in file]


def _sequences(lines: list[NDArray[np.int64]]) -> Sequences:
    """One item a day: MovieLens has an order and no baskets."""
    lengths = np.array([len(line) for line in lines], dtype=np.int64)
    return Sequences(
        (np.concatenate(lines) - 1).astype(np.int32),
        np.concatenate([np.arange(length, dtype=np.int32) for length in lengths]),
        np.append(0, np.cumsum(lengths)),
    )


if __name__ == "__main__":
    main()
