"""SASRec's training beside RecTools' SASRecModel: interactions per second, memory, NDCG@10.

    python -m venv RECTOOLS && RECTOOLS/bin/pip install torch==2.13.0 'rectools[torch]==0.19.0'
    PYTHONPATH=src python benchmarks/sasrec_speed.py --peer-python RECTOOLS/bin/python \
        [--data FOLDER] [--shop PREPARED] [--losses softmax bce gbce] [--epochs N] [--parts …]

RecTools has an environment of its own, since it wants an older NumPy; install the build of torch
there that modiste runs on (without a GPU the CPU's).

Two data sets: MovieLens-1M in gSASRec's split (``ml1m.py``); and a synthetic shop, prepared by
``modiste ingest``, as of seven days before its data ends. Of the shop some of those customers are
trained on whose window has two baskets: from one alone RecTools learns an order and we learn
nothing. All of those who buy something new in the seven days are asked about one such article.

Equal on both sides: interactions (the last ``length + 1`` of a history), dimensions, blocks, heads,
dropout, batch, loss, negatives, learning rate, epochs, threads of torch. Each side's own: RecTools
pads, and drops attention weights too; we pack, warm up, clip gradients, average weights, and take
articles of a history for no negatives to it. Of gbce's negatives RecTools draws 128 for each
position, we 128 for a batch.

The two run by turns, each in a process of its own. Interactions per second are those of an epoch
times the epochs, by the seconds of training alone, and by its CPU seconds: with one thread the
latter hardly depend on what else the machine does. Memory is the peak of the whole process.
``--parts`` trains ours once more for each part named, that part replaced by what is usual. The last
line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from machine import describe_machine
from modiste.data.days import day_number
from modiste.models.learning.ranks import ndcg_at
from modiste.models.sasrec.next_item import NextItems
from modiste.models.sasrec.sequences import Sequences
from processes import measure

NEGATIVES = {"softmax": 1, "bce": 1, "gbce": 128}


@dataclass(frozen=True)
class Setting:
    """What is equal on both sides; ``items`` is the number of articles."""

    items: int
    length: int
    batch: int
    epochs: int
    threads: int
    seed: int
    loss: str = "softmax"
    negatives: int = 1
    calibration: float = 0.75
    dimensions: int = 128
    blocks: int = 2
    heads: int = 2
    dropout: float = 0.2
    learning_rate: float = 1e-3


def main() -> None:
    """Run the benchmark, or our side of it in this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer-python", type=Path, help="that RecTools is installed for")
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("MODISTE_DATA", "../shared/data")) / "ml1m"
    )
    parser.add_argument("--shop", type=Path, help="folder of prepared tables (default: no shop)")
    parser.add_argument("--histories", type=int, default=10_000, help="trained on, at most")
    parser.add_argument("--sets", nargs="+", choices=["ml1m", "shop"], default=["ml1m", "shop"])
    parser.add_argument("--losses", nargs="+", choices=NEGATIVES, default=["softmax", "bce"])
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    parser.add_argument("--rounds", type=int, default=1, help="how often each side runs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--parts", nargs="+", choices=[*CHANGED, *REPLACED], default=[], help="to replace"
    )
    parser.add_argument("--out", type=Path, help="where to work (default: a temporary folder)")
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run is not None:
        ours(options.run, options.parts)
        return
    with tempfile.TemporaryDirectory(dir=options.out) as work:
        print(json.dumps(benchmark(options, Path(work))))


def benchmark(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """All figures."""
    sides = {"ours": [sys.executable, __file__, "--run", str(work / "data")]}
    if options.peer_python is not None:
        script = Path(__file__).with_name("sasrec_peer.py")
        sides = {
            "peer": [str(options.peer_python), "-W", "ignore", str(script), str(work / "data")],
            **sides,
        }
    for part in options.parts:
        sides[part] = [*sides["ours"], "--parts", part]
    found = []
    for name in options.sets:
        if name == "shop" and options.shop is None:
            print("no shop: name one with --shop", flush=True)
            continue
        read = {"ml1m": read_ml1m, "shop": read_shop}[name]
        sequences, asked, setting = read(options, work)
        interactions = int(np.minimum(sequences.lengths, setting.length + 1).sum())
        print(
            f"{name}: {len(sequences):,} histories, {interactions:,} interactions an epoch, "
            f"{setting.items:,} articles, {len(asked.targets):,} asked",
            flush=True,
        )
        for loss in options.losses:
            of_loss = replace(setting, loss=loss, negatives=NEGATIVES[loss])
            hand_over(work / "data", sequences, asked, of_loss)
            runs: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
            for _ in range(options.rounds):
                for side, command in sides.items():
                    runs[side].append(run(command, work / "data", interactions * options.epochs))
                    print(f"{name:5}{loss:8}", shown(side, runs[side][-1]), flush=True)
            found.append({"set": name, "interactions": interactions, **asdict(of_loss), **runs})
    print(table(found))
    return {"benchmark": "sasrec_speed", "found": found, "machine": describe_machine()}


def read_ml1m(
    options: argparse.Namespace,
    work: Path,  # noqa: ARG001
) -> tuple[Sequences, NextItems, Setting]:
    """MovieLens-1M: what is trained on, what is asked, and the setting."""
    from ml1m import ITEMS, read_split

    sequences, _, asked = read_split(options.data)
    drawn = np.random.default_rng(options.seed).permutation(len(sequences))[: options.histories]
    sequences = numbered(sequences, drawn)
    return sequences, asked, Setting(ITEMS, 200, 64, options.epochs, options.threads, options.seed)


def read_shop(options: argparse.Namespace, work: Path) -> tuple[Sequences, NextItems, Setting]:
    """A shop as of seven days before its data ends: the same."""
    from modiste.data.dataset import Dataset
    from modiste.models.sasrec.sequences import build_sequences

    dataset = Dataset.open(options.shop)
    whole = build_sequences(dataset.until(dataset.next_day), work / "sequences")
    setting = Setting(
        int(whole.items.max()) + 1, 50, 128, options.epochs, options.threads, options.seed
    )
    as_of = day_number(dataset.next_day - timedelta(days=7))
    known = kept(whole, whole.days < as_of)
    candidates = np.flatnonzero(known.lengths > 1)
    ends = known.offsets[1:][candidates]
    starts = np.maximum(known.offsets[:-1][candidates], ends - setting.length - 1)
    several = candidates[known.days[starts] != known.days[ends - 1]]
    rng = np.random.default_rng(options.seed)
    asked, targets = [], []
    for number in several[known.lengths[several] < whole.lengths[several]]:
        earlier = known.items[known.offsets[number] : known.offsets[number + 1]]
        new = np.setdiff1d(whole.items[whole.offsets[number] : whole.offsets[number + 1]], earlier)
        if len(new):
            asked.append(number)
            targets.append(rng.choice(new))
    trained = rng.permutation(several)[: options.histories]
    return (
        numbered(known, trained),
        NextItems(numbered(known, np.array(asked)), np.array(targets, dtype=np.int64)),
        setting,
    )


def numbered(sequences: Sequences, numbers: NDArray[np.int64]) -> Sequences:
    """Some of the sequences, in their order, none of them empty: ``numbers`` is int64, (n,)."""
    taken = np.zeros(len(sequences), dtype=bool)
    taken[numbers] = True
    some = kept(sequences, np.repeat(taken, sequences.lengths))
    return Sequences(some.items, some.days, np.unique(some.offsets))


def kept(sequences: Sequences, items: NDArray[np.bool_]) -> Sequences:
    """All sequences with some of their items: ``items`` is bool, shape (n_items,)."""
    before = np.append(0, np.cumsum(items))
    return Sequences(sequences.items[items], sequences.days[items], before[sequences.offsets])


def hand_over(folder: Path, sequences: Sequences, asked: NextItems, setting: Setting) -> None:
    """Write what a side needs into a new folder."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, part in (("train", sequences), ("asked", asked.histories)):
        (folder / name).mkdir(parents=True)
        part.save(folder / name)
    np.save(folder / "targets.npy", asked.targets)
    (folder / "setting.json").write_text(json.dumps(asdict(setting)))


def run(command: Sequence[str], folder: Path, interactions: int) -> dict[str, float]:
    """Run a side in a process of its own: its figures."""
    used = measure(command)
    found = json.loads((folder / "found.json").read_text())
    return {
        "interactions_per_second": round(interactions / found["training_seconds"]),
        "interactions_per_cpu_second": round(interactions / found["training_cpu_seconds"]),
        "peak_mib": round(used.peak_mib),
        "ndcg@10": round(ndcg_at(np.load(folder / "ranks.npy"), 10), 4),
        **{name: round(value, 2) for name, value in found.items()},
        "seconds": round(used.seconds, 1),
    }


def shown(side: str, figures: dict[str, float]) -> str:
    """A run on a line."""
    return f"{side:18}" + "  ".join(f"{name} {value:g}" for name, value in figures.items())


def table(found: list[dict[str, Any]]) -> str:
    """Medians, and the ratios to the peer, as a table for people."""
    columns = ("interactions_per_second", "interactions_per_cpu_second", "peak_mib")
    lines = [
        f"{'':35}{'interactions/s':>22}{'interactions/CPU s':>22}{'peak MiB':>22}{'NDCG@10':>9}"
    ]
    for each in found:
        sides = {side: runs for side, runs in each.items() if isinstance(runs, list)}

        def median(side: str, name: str, sides: dict[str, Any] = sides) -> float:
            return float(statistics.median(run[name] for run in sides[side]))

        for side in sides:
            line = f"{each['set']:6}{each['loss']:9}{side:20}"
            for name in columns:
                value = median(side, name)
                peer = f"×{value / median('peer', name):.2f}" if "peer" in sides else ""
                line += f"{value:14,.0f}{peer:>8}"
            lines.append(line + f"{median(side, 'ndcg@10'):9.4f}")
    return "\n".join(lines)


def ours(folder: Path, parts: Sequence[str]) -> None:
    """Our side: train, then rank; some parts replaced."""
    import torch

    from modiste.models.sasrec.network import SASRec
    from modiste.models.sasrec.next_item import ranks_of_next
    from modiste.models.sasrec.settings import NetworkSettings, TrainingSettings
    from modiste.models.sasrec.training import train

    setting = Setting(**json.loads((folder / "setting.json").read_text()))
    changed: dict[str, Any] = {}
    for part in parts:
        changed |= CHANGED.get(part, {})
        if part in REPLACED:
            REPLACED[part]()
    shape = {
        "dimensions": setting.dimensions,
        "blocks": setting.blocks,
        "heads": setting.heads,
        "dropout": setting.dropout,
        "max_length": setting.length,
    }
    training = {
        "loss": setting.loss,
        "negatives": setting.items if setting.loss == "softmax" else setting.negatives,
        "calibration": setting.calibration,
        "batch": setting.batch,
        "learning_rate": setting.learning_rate,
        "epochs": setting.epochs,
        "seed": setting.seed,
        # As RecTools has it: always the end of a history.
        "random_windows": False,
    }
    of_shape = changed.keys() & NetworkSettings.model_fields
    shape |= {name: changed[name] for name in of_shape}
    training |= {name: changed[name] for name in changed.keys() - of_shape}
    torch.set_num_threads(setting.threads)
    torch.manual_seed(setting.seed)
    started = time.perf_counter()
    sequences = Sequences.load(folder / "train")
    network = SASRec(setting.items, NetworkSettings(**shape))
    set_up, set_up_cpu = time.perf_counter(), time.process_time()
    train(network, sequences, TrainingSettings(**training), device=torch.device("cpu"))
    ended, ended_cpu = time.perf_counter(), time.process_time()
    asked = NextItems(Sequences.load(folder / "asked"), np.load(folder / "targets.npy"))
    np.save(folder / "ranks.npy", ranks_of_next(network, asked))
    found = {
        "set_up_seconds": set_up - started,
        "training_seconds": ended - set_up,
        "training_cpu_seconds": ended_cpu - set_up_cpu,
    }
    (folder / "found.json").write_text(json.dumps(found))


def _padding() -> None:
    """Each history in a row of its own, with the causal kernel wherever that is right."""
    from modiste.models.sasrec import layout

    def pack(
        lengths: NDArray[np.int64],
        capacity: int,  # noqa: ARG001
        single: NDArray[np.bool_],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], int, int]:
        row = np.empty(len(lengths), dtype=np.int64)
        row[np.argsort(~single, kind="stable")] = np.arange(len(lengths))
        return row, np.zeros_like(row), int(single.sum()), len(lengths)

    layout._pack = pack


def _masked() -> None:
    """No history alone in its row by right, and so no causal kernel."""
    from modiste.models.sasrec import layout

    packed = layout._pack
    layout._pack = lambda lengths, capacity, single: packed(
        lengths, capacity, np.zeros_like(single)
    )


def _whole_scores() -> None:
    """The same loss from all scores of a batch at once, by autograd."""
    import torch
    from torch import Tensor
    from torch.nn import functional

    from modiste.models.learning.losses import SharedArticles
    from modiste.models.sasrec import training

    def whole(states: Tensor, positives: Tensor, shared: SharedArticles) -> Tensor:  # noqa: ARG001
        scores = states @ shared.vectors.t()
        left_out = torch.zeros(scores.shape, dtype=torch.bool)
        seen = shared.seen
        assert seen is not None
        for history, first in enumerate(seen.pair_bounds[:-1]):
            columns = seen.columns[seen.column_bounds[history] : seen.column_bounds[history + 1]]
            left_out[first : seen.pair_bounds[history + 1], columns] = True
        left_out[torch.arange(len(scores)), shared.positive_columns] = False
        return functional.cross_entropy(
            scores.masked_fill_(left_out, -torch.inf), shared.positive_columns
        )

    vars(training)["softmax_cross_entropy"] = whole


def _torch_dropout() -> None:
    """PyTorch's dropout."""
    from torch import nn

    from modiste.models.sasrec import network

    vars(network)["Dropout"] = nn.Dropout


# What is usual in place of a part of ours: by a setting, or by a function put in its place.
CHANGED: dict[str, dict[str, Any]] = {
    "attention-dropout": {"attention_dropout": Setting.dropout},
    "seen-negatives": {"leave_out_seen": False},
    "no-average": {"weight_average": 0.0},
}
REPLACED: dict[str, Callable[[], None]] = {
    "padding": _padding,
    "masked": _masked,
    "whole-scores": _whole_scores,
    "torch-dropout": _torch_dropout,
}


if __name__ == "__main__":
    main()
