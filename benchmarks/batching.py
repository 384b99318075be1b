"""Three ways to lay histories out in rows: what each takes to train on and to encode.

    PYTHONPATH=src python benchmarks/batching.py SEQUENCES [--steps 16] [--batch 128]

SEQUENCES is a folder that ``build_sequences`` wrote, or one of MovieLens-1M's split (see ml1m.py).
Packed: what modiste does, short histories share a row. Padded: each has a row, as wide as the
longest of the batch. Bucketed: the same, but batches are of like length, every n-th batch of a
large sample. Whole training steps with each in turn; and the vectors of sampled customers, which
are always made of like length together, so that packed stands beside bucketed. Least CPU seconds
of all rounds, on one thread. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from machine import describe_machine
from ml1m import read_split
from modiste.models.sasrec import next_item, training
from modiste.models.sasrec.layout import TrainingBatch, history_rows, training_batch
from modiste.models.sasrec.network import Rows, SASRec
from modiste.models.sasrec.next_item import customer_vectors
from modiste.models.sasrec.sequences import Sequences
from modiste.models.sasrec.settings import NetworkSettings, TrainingSettings
from modiste.models.sasrec.training import train


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sequences", type=Path)
    parser.add_argument("--batch", type=int, default=TrainingSettings().batch)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--customers", type=int, default=20_000, help="of whom vectors are made")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    is_split = (options.sequences / "train_input.txt.gz").is_file()
    whole = read_split(options.sequences)[0] if is_split else Sequences.load(options.sequences)
    histories = np.random.default_rng(0).permutation(whole.with_several_baskets)
    first = histories[: options.steps * options.batch]
    by_length = histories[: 16 * len(first)]
    by_length = by_length[np.argsort(-lengths(whole)[by_length], kind="stable")]
    batches = np.array_split(by_length, len(by_length) // options.batch)
    middle = (np.arange(options.steps) + 0.5) * len(batches) / options.steps
    like = np.concatenate([batches[int(number)][: options.batch] for number in middle])
    trained = {name: part(whole, first) for name in ("packed", "padded")}
    trained["bucketed"] = part(whole, like)
    customers = part(whole, histories[: options.customers])
    results: dict[str, list[dict[str, float]]] = {}
    for _ in range(options.rounds):
        for layout, sequences in trained.items():
            found = train_with(layout, sequences, options.batch)
            results.setdefault(f"train {layout}", []).append(found)
        for layout in ("packed", "bucketed"):
            results.setdefault(f"encode {layout}", []).append(encode_with(layout, customers))
    result = {
        "benchmark": "batching",
        "batch": options.batch,
        "best": {what: min(each, key=lambda r: r["seconds"]) for what, each in results.items()},
        "seconds": {what: [round(r["seconds"], 2) for r in each] for what, each in results.items()},
        "machine": describe_machine(),
    }
    print(json.dumps(result))


def lengths(sequences: Sequences) -> NDArray[np.int64]:
    """Items that the network reads of each history: int64, shape (n_sequences,)."""
    return np.minimum(sequences.lengths, NetworkSettings().max_length)


def part(sequences: Sequences, which: NDArray[np.int64]) -> Sequences:
    """Some histories, in this order."""
    places = [np.arange(sequences.offsets[one], sequences.offsets[one + 1]) for one in which]
    flat = np.concatenate(places)
    offsets = np.cumsum([0, *map(len, places)])
    return Sequences(sequences.items[flat], sequences.days[flat], offsets)


def train_with(layout: str, sequences: Sequences, batch: int) -> dict[str, float]:
    """An epoch; bucketed histories must come sorted by length."""
    cells: list[int] = []
    items: list[int] = []
    started: list[float] = []
    making: list[float] = []

    def laid_out(of: Sequences, which: NDArray[np.int64], *others: Any) -> TrainingBatch:
        if layout == "bucketed":
            which = np.arange(len(of))[len(cells) * batch :][:batch]
        started.append(time.process_time())
        made = training_batch(of, which, *others)
        making.append(time.process_time() - started[-1])
        if layout != "packed":
            rows, place = one_a_row(made.rows)
            made = replace(made, rows=rows, sources=place[made.sources])
        cells.append(made.rows.items.numel())
        items.append(int((made.rows.segments >= 0).sum()))
        return made

    with mock.patch.object(training, "training_batch", laid_out):
        settings = TrainingSettings(batch=batch, epochs=1)
        train(network_for(sequences), sequences, settings, device=torch.device("cpu"))
    seconds = time.process_time() - started[0]
    return {
        "seconds": seconds,
        "steps_per_second": round(len(cells) / seconds, 2),
        "interactions_per_second": round(sum(items) / seconds),
        "fill": round(sum(items) / sum(cells), 3),
        "share_of_layout": round(sum(making) / seconds, 4),
    }


def encode_with(layout: str, sequences: Sequences) -> dict[str, float]:
    """The vectors of all customers."""
    making: list[float] = []

    def laid_out(*arguments: Any) -> tuple[Rows, Tensor]:
        started = time.process_time()
        rows, cells = history_rows(*arguments)
        making.append(time.process_time() - started)
        if layout == "packed":
            return rows, cells
        rows, place = one_a_row(rows)
        return rows, place[cells]

    network = network_for(sequences)
    with mock.patch.object(next_item, "history_rows", laid_out):
        started = time.process_time()
        customer_vectors(network, sequences)
        seconds = time.process_time() - started
    return {
        "seconds": seconds,
        "customers_per_second": round(len(sequences) / seconds),
        "interactions_per_second": round(int(lengths(sequences).sum()) / seconds),
        "share_of_layout": round(sum(making) / seconds, 4),
    }


def network_for(sequences: Sequences) -> SASRec:
    """A network as by default, with weights as drawn."""
    torch.manual_seed(0)
    return SASRec(int(sequences.items.max()) + 1, NetworkSettings())


def one_a_row(rows: Rows) -> tuple[Rows, Tensor]:
    """The same histories, each in a row of its own, and where each cell of before is now."""
    segments = rows.segments.flatten()
    (filled,) = (segments >= 0).nonzero(as_tuple=True)
    filled = filled[segments[filled].argsort(stable=True)]
    own = segments[filled]
    lengths = own.bincount()
    within = torch.arange(len(own)) - (lengths.cumsum(0) - lengths)[own]
    # Baskets of one item each need no mask, whatever padding follows: those histories go first.
    single = own.new_ones(len(lengths)).scatter_reduce(
        0, own, (rows.positions.flatten()[filled] == within).long(), "amin"
    )
    row = (1 - single).argsort(stable=True).argsort()
    place = torch.zeros_like(segments)
    place[filled] = row[own] * lengths.max() + within

    def moved(values: Tensor, padding: int) -> Tensor:
        whole = values.new_full((len(lengths), int(lengths.max())), padding)
        whole.view(-1)[place[filled]] = values.flatten()[filled]
        return whole

    return (
        Rows(
            moved(rows.items, int(rows.items[0, 0])),
            moved(rows.segments, -1),
            moved(rows.baskets, 0),
            moved(rows.positions, 0),
            plain=int(single.sum()),
        ),
        place,
    )


if __name__ == "__main__":
    main()
