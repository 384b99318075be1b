"""How long it takes to reach recall@20 = 0.17 on Gowalla: LightGCN, the filter, and peers.

    python benchmarks/gowalla_speed.py [--peer-python PYTHON] [--seconds 300] [--threads 2]

Each trains on the same training items, and is measured by the same code on the test items, at most
once an epoch; measuring is not counted. PyG's LightGCN is as in its example (BPR, batches of 8,192
edges, Adam at 1e-3, its own loss and propagation over all edges); ours are with softmax, as
``gowalla.py`` sets it, and the closed-form filter. With ``--peer-python``, an environment that has
the packages recbole and implicit, RecBole's LightGCN (BPR, 8,192 edges a batch, Adam at 1e-3; see
``gowalla_recbole.py``) stands beside them, and implicit's ALS and BPR for scale: they have no
graph. RecBole wants an older NumPy:

    python -m venv PEERS && PEERS/bin/pip install torch==2.13.0 recbole==1.2.1 implicit==0.7.3 \
        numpy==1.26.4 scipy==1.13.1 pandas==2.2.3

What has not got there after ``--seconds`` is left at what it reached. The last line is one JSON
object.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix, save_npz

from gowalla import FILTER, SETTINGS, of_filter, of_network
from gowalla_split import Scores, data_folder, measure, read_split
from machine import describe_machine
from modiste.models.graph.graph_filter import GraphFilter
from modiste.models.graph.lightgcn import LightGCN, train

WANTED = 0.17

# Users measured on the way: the standard error of recall is then 0.003.
_USERS = 5_000


class _EnoughError(Exception):
    pass


class Clock:
    """Seconds of training, and what was reached when.

    Parameters
    ----------
    limit
        Seconds after which to stop.
    """

    def __init__(self, known: csr_matrix, wanted: csr_matrix, limit: float) -> None:
        self._known, self._wanted, self._limit = known, wanted, limit
        asked = np.flatnonzero(np.diff(wanted.indptr))
        self._users = np.sort(np.random.default_rng(0).choice(asked, _USERS, replace=False))
        self._left_out, self._started = 0.0, time.perf_counter()
        self.reached: list[tuple[float, float]] = []

    def look(self, scores: Scores) -> float:
        """Measure; raise where it is enough, or time is up."""
        at = time.perf_counter()
        seconds = at - self._started - self._left_out
        recall = measure(scores, self._known, self._wanted, users=self._users).recall
        self._left_out += time.perf_counter() - at
        self.reached.append((round(seconds, 1), round(recall, 4)))
        print(f"  {seconds:7.1f} s  recall@20 {recall:.4f}", flush=True)
        if recall >= WANTED or seconds >= self._limit:
            raise _EnoughError
        return recall


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer-python", type=Path)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--data", type=Path, default=data_folder())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    known, wanted = read_split(options.data)
    ways: dict[str, Callable[[Clock], None]] = {
        "filter": lambda clock: by_filter(clock, known),
        "LightGCN, ours": lambda clock: by_ours(clock, known),
        "LightGCN, PyG": lambda clock: by_pyg(clock, known),
    }
    found = {}
    for name, way in ways.items():
        print(name, flush=True)
        clock = Clock(known, wanted, options.seconds)
        with suppress(_EnoughError):
            way(clock)
        found[name] = told(clock)
    if options.peer_python is not None:
        print("LightGCN, RecBole", flush=True)
        found["LightGCN, RecBole"] = by_recbole(options, known, wanted)
        for name in ("ALS, implicit", "BPR, implicit"):
            print(name, flush=True)
            found[name] = by_implicit(name, options, known, wanted)
    for name, figures in found.items():
        print(f"{name:20}{figures}")
    print(json.dumps({"benchmark": "gowalla_speed", **found, "machine": describe_machine()}))


def told(clock: Clock) -> dict[str, Any]:
    """Seconds to the wanted recall, None where it was not reached, and the last of what was."""
    seconds, recall = clock.reached[-1]
    return {
        "seconds_to_0.17": seconds if recall >= WANTED else None,
        "last": {"seconds": seconds, "recall@20": recall},
    }


def by_filter(clock: Clock, known: csr_matrix) -> None:
    """The closed form."""
    clock.look(of_filter(GraphFilter.fit(known, **FILTER), known))  # type: ignore[arg-type]


def by_ours(clock: Clock, known: csr_matrix) -> None:
    """LightGCN of this repository, measured after each epoch."""
    shape, training = SETTINGS["softmax"]
    training = training.model_copy(update={"epochs": 1000, "patience": 1000})
    network = LightGCN(known, shape, seed=1)
    train(
        network,
        training,
        lambda vectors: clock.look(of_network(network, vectors)),
        device=torch.device("cpu"),
    )


def by_pyg(clock: Clock, known: csr_matrix) -> None:
    """PyG's LightGCN, as its example trains it."""
    from torch_geometric.nn.models import LightGCN as PyGLightGCN

    torch.manual_seed(0)
    users, items = known.shape
    row, column = (torch.from_numpy(each.astype(np.int64)) for each in known.nonzero())
    network = PyGLightGCN(users + items, 64, 3)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.001)
    edges = torch.stack([row, column + users])
    both = torch.cat([edges, edges.flip(0)], dim=1)

    def scores() -> Scores:
        with torch.no_grad():
            vectors = network.get_embedding(both)
        return lambda asked: (vectors[torch.from_numpy(asked)] @ vectors[users:].t()).numpy()

    while True:
        for index in torch.split(torch.randperm(edges.shape[1]), 8192):
            drawn = torch.randint(users, users + items, (len(index),))
            positive = edges[:, index]
            pairs = torch.cat([positive, torch.stack([positive[0], drawn])], dim=1)
            optimizer.zero_grad()
            ranks = network(both, pairs).chunk(2)
            loss = network.recommendation_loss(*ranks, node_id=torch.unique(pairs))
            loss.backward()
            optimizer.step()
            if time.perf_counter() - clock._started > clock._limit + 60:
                break
        clock.look(scores())


# This runs in the environment that is given: it has no modiste.
_IMPLICIT = """
import sys, time
import numpy as np
from scipy.sparse import load_npz
from implicit.als import AlternatingLeastSquares
from implicit.bpr import BayesianPersonalizedRanking
name, file, seconds, threads, out = sys.argv[1:]
known, seconds, threads = load_npz(file), float(seconds), int(threads)
spent, taken = 0.0, 0
rounds = {"ALS, implicit": [1, 2, 3, 5, 8, 12, 20], "BPR, implicit": [20, 50, 100, 200, 400, 800]}
for iterations in rounds[name]:
    kind = AlternatingLeastSquares if name.startswith("ALS") else BayesianPersonalizedRanking
    model = kind(64, iterations=iterations, num_threads=threads, random_state=0)
    started = time.perf_counter()
    model.fit(known, show_progress=False)
    spent = time.perf_counter() - started
    factors = {"users": model.user_factors, "items": model.item_factors}
    np.savez(f"{out}-{taken}.npz", seconds=spent, **factors)
    taken += 1
    if spent > seconds / 3:
        break
"""


def by_implicit(
    name: str, options: argparse.Namespace, known: csr_matrix, wanted: csr_matrix
) -> dict[str, Any]:
    """A model of the package implicit, fitted anew with more and more iterations."""
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder) / "known.npz", Path(folder) / "factors"
        save_npz(file, csr_matrix(known))
        arguments = [name, str(file), str(options.seconds), str(options.threads), str(out)]
        subprocess.run([options.peer_python, "-c", _IMPLICIT, *arguments], check=True)
        return of_factors(Path(folder), known, wanted)


def by_recbole(
    options: argparse.Namespace, known: csr_matrix, wanted: csr_matrix
) -> dict[str, Any]:
    """LightGCN of RecBole, its vectors written after each epoch and measured afterwards."""
    script = Path(__file__).with_name("gowalla_recbole.py")
    with tempfile.TemporaryDirectory() as folder:
        save_npz(Path(folder) / "known.npz", csr_matrix(known))
        arguments = [folder, str(options.seconds), str(options.threads)]
        command = [options.peer_python, "-W", "ignore", script, *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return of_factors(Path(folder), known, wanted)


def of_factors(folder: Path, known: csr_matrix, wanted: csr_matrix) -> dict[str, Any]:
    """Measure what a peer wrote, in turn, until it is enough."""
    clock = Clock(known, wanted, np.inf)
    for path in sorted(folder.glob("factors-*.npz")):
        with np.load(path) as found:
            users, items = found["users"], found["items"]
            seconds = round(float(found["seconds"]), 1)
        recall = measure(
            lambda asked, users=users, items=items: users[asked] @ items.T,  # type: ignore[misc]
            known,
            wanted,
            users=clock._users,
        ).recall
        print(f"  {seconds:7.1f} s  recall@20 {recall:.4f}", flush=True)
        clock.reached.append((seconds, round(recall, 4)))
        if recall >= WANTED:
            break
    return told(clock)


if __name__ == "__main__":
    main()
