"""LightGCN and the graph filter on Gowalla, as the LightGCN paper splits it.

    python benchmarks/gowalla.py [--setting softmax|bpr] [--seed N] [--data FOLDER] [--minutes M]

Settings and the number of epochs are chosen with ``--held-out``: a tenth of each user's training
items is kept back, and recall@20 and NDCG@20 of them are measured after each epoch; the latter is
what is chosen by. Without it the network is trained on all training items for as many epochs as the
setting says, and the test is looked at once, at the end. Training is checkpointed under
``$XDG_CACHE_HOME/modiste/gowalla`` (or ``~/.cache``); a call goes on from there, and where training
is done already it only measures, in a minute. For training in the background:

    nohup nice python benchmarks/gowalla.py --setting softmax > gowalla.log 2>&1 &

``--minutes`` returns after that time, to be called again. Beside the network stand the closed-form
filter, and both together: the sum of their scores, each divided by its standard deviation over a
user's items, the network's times ``--weight``, which is chosen on the held-out items, too. All
items are ranked but the user's training items. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor

from gowalla_split import (
    Measured,
    Scores,
    cache_folder,
    data_folder,
    hold_out,
    measure,
    read_split,
)
from machine import describe_machine
from modiste.models.graph.graph_filter import GraphFilter
from modiste.models.graph.lightgcn import LightGCN, train, vectors_to_score
from modiste.models.graph.lightgcn_settings import LightGCNSettings, LightGCNTraining

SETTINGS = {
    "softmax": (
        LightGCNSettings(layers=2),
        LightGCNTraining(
            temperature=0.1,
            popularity_power=0.75,
            hide_batch=True,
            batch=16_384,
            negatives=8_192,
            learning_rate=2e-2,
            vector_penalty=1e-4,
            weight_average=0.99,
            epochs=13,
            patience=13,
            checkpoint_steps=100,
        ),
    ),
    # The paper's loss and penalty, with larger steps than its 1e-3 and 2,048 edges.
    "bpr": (
        LightGCNSettings(start="normal"),
        LightGCNTraining(
            loss="bpr",
            vector_penalty=1e-4,
            batch=8192,
            learning_rate=5e-3,
            weight_average=0.98,
            epochs=100,
            patience=100,
            checkpoint_steps=100,
        ),
    ),
}
FILTER = {"frequencies": 512, "ideal_weight": 0.3}
PUBLISHED = {
    "LightGCN (He et al., 2020)": (0.1830, 0.1554),
    "GF-CF": (0.1850, 0.1518),
    "UltraGCN": (0.1862, 0.1580),
    "NESCL": (0.1917, 0.1617),
    "BSPM": (0.1920, 0.1597),
}
_VALIDATION_USERS = 4_000


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--setting", choices=SETTINGS, default="softmax")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--held-out", action="store_true", help="choose: the test is not looked at")
    parser.add_argument("--epochs", type=int, help="so many (default: the setting's)")
    parser.add_argument("--minutes", type=float, help="return after about so long")
    parser.add_argument("--weight", type=float, nargs="+", default=[6.0])
    parser.add_argument("--threads", type=int, help="of torch (default: all)")
    parser.add_argument("--device", default="cpu", help="to train on (default: cpu)")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    started = time.monotonic()
    shape, training = SETTINGS[options.setting]
    changed = {"seed": options.seed, "epochs": options.epochs or training.epochs}
    training = training.model_copy(update=changed)
    known, wanted = read_split(options.data)
    users = None
    if options.held_out:
        known, wanted = hold_out(known)
        asked = np.flatnonzero(np.diff(wanted.indptr))
        users = np.sort(np.random.default_rng(0).choice(asked, _VALIDATION_USERS, replace=False))

    def measured(scores: Scores) -> Measured:
        return measure(scores, known, wanted, users=users)

    network = LightGCN(known, shape, options.seed)
    folder = cache_folder() / (
        f"{options.setting}-seed{options.seed}" + ("-held-out" if options.held_out else "")
    )
    deadline = None if options.minutes is None else started + 60 * options.minutes
    epochs = train(
        network,
        training,
        (lambda vectors: told(measured(of_network(network, vectors))))
        if options.held_out
        else None,
        folder,
        torch.device(options.device),
        deadline,
    )
    trained = time.monotonic()
    filtered = GraphFilter.fit(known, **FILTER)  # type: ignore[arg-type]
    filter_seconds = time.monotonic() - trained
    by_network = of_network(network, vectors_to_score(network, training))
    by_filter = of_filter(filtered, known)
    found: dict[str, Any] = {
        "LightGCN": measured(by_network)._asdict(),
        "filter": measured(by_filter)._asdict(),
    }
    for weight in options.weight:
        both = measured(together(by_network, by_filter, weight))
        found[f"both, {weight:g}"] = both._asdict()
    for name, figures in found.items():
        print(f"{name:28}recall@20 {figures['recall']:.4f}  NDCG@20 {figures['ndcg']:.4f}")
    for name, (recall, ndcg) in PUBLISHED.items():
        print(f"{name:28}recall@20 {recall:.4f}  NDCG@20 {ndcg:.4f}  published")
    result = {
        "benchmark": "gowalla",
        "setting": options.setting,
        "seed": options.seed,
        "held_out": options.held_out,
        "found": {name: {k: round(v, 4) for k, v in each.items()} for name, each in found.items()},
        "epochs": len(epochs),
        "filter_seconds": round(filter_seconds, 1),
        "seconds": round(time.monotonic() - started, 1),
        "shape": shape.model_dump(mode="json"),
        "training": training.model_dump(mode="json"),
        "machine": describe_machine(),
        "weights": str(folder),
    }
    print(json.dumps(result))


def told(found: Measured) -> float:
    """NDCG, for the training to choose by; both are printed."""
    print(f"held out: recall@20 {found.recall:.4f}  NDCG@20 {found.ndcg:.4f}", flush=True)
    return found.ndcg


def of_network(network: LightGCN, vectors: Tensor) -> Scores:
    """Scores of users by inner products."""
    items = vectors[network.n_customers :].t().contiguous()

    def scores(users: NDArray[np.int64]) -> NDArray[np.float32]:
        return (vectors[torch.from_numpy(users)] @ items).numpy()

    return scores


def of_filter(filtered: GraphFilter, known: csr_matrix) -> Scores:
    """Scores of users by their rows."""
    return lambda users: filtered.scores(known[users])


def together(one: Scores, other: Scores, weight: float) -> Scores:
    """``weight`` times the one and the other, each by its deviation over a user's items."""

    def scaled(scores: NDArray[np.float32]) -> NDArray[np.float32]:
        deviation = np.maximum(scores.std(axis=1, keepdims=True), np.float32(1e-12))
        return np.asarray(scores / deviation, dtype=np.float32)

    return lambda users: weight * scaled(one(users)) + scaled(other(users))


if __name__ == "__main__":
    main()
