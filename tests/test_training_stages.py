"""The stages that train networks and the gate: of which days they know."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
import torch

from modiste.data.dataset import Dataset
from modiste.engine.stages import Run
from modiste.evaluation.splits import split
from modiste.models.combined.settings import CombinedSettings, GateSettings
from modiste.models.learning.description import NetworkDescription
from modiste.training_stages import TrainingStages, run_training_stages
from shops import ALL_RECOMMENDERS, write_prepared

GATE_DAYS = 9
HORIZON = 5

GATED = ALL_RECOMMENDERS.model_copy(
    update={"combined": CombinedSettings(way="gated", gate=GateSettings(days=GATE_DAYS, steps=20))}
)


def trained(dataset: Dataset, as_of: date, out: Path) -> TrainingStages:
    with Run(out) as run:
        run.known("ingest", {"shop": str(dataset.folder)})
        windows = split(dataset, as_of, HORIZON)
        return run_training_stages(run, dataset, GATED, windows.before_all, windows.submit, None)


@pytest.mark.parametrize("days_with_labels", [0, HORIZON])
def test_the_gates_days_are_over_before_any_window_and_new_to_the_networks(
    days_with_labels: int, small_shop: Dataset, tmp_path: Path
) -> None:
    """Both where the data ends with the day before the submission's, and where it goes on."""
    as_of = small_shop.next_day - timedelta(days=days_with_labels)
    made = trained(small_shop, as_of, tmp_path / "run")
    windows = split(small_shop, as_of, HORIZON)
    first = min(window.as_of for window in (*windows.selection, *windows.reported))
    for network in ("sasrec", "gnn"):
        known = NetworkDescription.load(made.earlier[network])
        assert known.as_of + timedelta(days=GATE_DAYS) <= first
    assert made.earlier["combined"] == made.submit["combined"]
    assert (made.earlier["combined"] / "gate.json").is_file()


@pytest.mark.parametrize(("days_before", "same"), [(0, True), (1, False)])
def test_the_gate_is_blind_to_all_windows(
    days_before: int,
    same: bool,
    small_shop: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Other purchases from the first window on: the same gate, to the byte; a day before it not."""
    # On a GPU the same training ends in the same bytes by chance alone.
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    as_of = small_shop.next_day
    windows = split(small_shop, as_of, HORIZON)
    first = min(window.as_of for window in (*windows.selection, *windows.reported))
    history = small_shop.until(as_of)
    batches = list(history.batches())
    bought = pl.concat([batch.transactions for batch in batches])
    changed = pl.col("t_dat") >= first - timedelta(days=days_before)
    another = (pl.col("article") + 7) % history.n_articles
    other = bought.with_columns(
        pl.when(changed).then(another).otherwise("article").alias("article")
    )
    customers = pl.concat([batch.customers for batch in batches])
    gates = []
    for name, rows in (("one", bought), ("other", other)):
        folder = write_prepared(tmp_path / name, history.articles, customers, rows, 30)
        made = trained(Dataset.open(folder), as_of, tmp_path / f"run of {name}")
        gates.append((made.earlier["combined"] / "gate.json").read_bytes())
    assert (gates[0] == gates[1]) == same
