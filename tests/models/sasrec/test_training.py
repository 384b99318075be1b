from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock

from histories import ARTICLES, make_network, make_sequences
from modiste.errors import DataError, RunError
from modiste.models.learning import loop
from modiste.models.learning.loop import TrainingError, load_trained
from modiste.models.learning.losses import columns_of
from modiste.models.learning.popularity_prior import PopularityPrior
from modiste.models.learning.ranks import ndcg_at
from modiste.models.sasrec import training
from modiste.models.sasrec.network import SASRec
from modiste.models.sasrec.next_item import NextItems, ranks_of_next
from modiste.models.sasrec.sequences import Sequences
from modiste.models.sasrec.settings import NetworkSettings, TrainingSettings
from modiste.models.sasrec.training import NextItemTask, train

CPU = torch.device("cpu")
LENGTHS = [3, 12, 20, 5, 7, 2, 11, 12, 30, 4]


def _settings(**changed: object) -> TrainingSettings:
    return TrainingSettings.model_validate(
        {"batch": 4, "negatives": 20, "epochs": 3, "warm_up_steps": 2, **changed}
    )


def _validation() -> NextItems:
    return NextItems(make_sequences([4, 6, 9], seed=1), np.array([1, 2, 3]))


class _KilledError(Exception):
    pass


@pytest.mark.parametrize("loss", ["softmax", "gbce", "bce"])
def test_resumed_is_uninterrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loss: str
) -> None:
    sequences = make_sequences(LENGTHS)
    settings = _settings(loss=loss, negatives=2 if loss == "bce" else 20, checkpoint_steps=2)
    whole = make_network(dropout=0.3)
    epochs = train(whole, sequences, settings, _validation(), tmp_path / "whole", CPU)

    real, steps = loop._Trainer._step, [0]

    def killed(trainer: loop._Trainer[Any]) -> float:
        steps[0] += 1
        if steps[0] == 6:  # in the second epoch, after the checkpoint of step 4
            raise _KilledError
        return real(trainer)

    monkeypatch.setattr(loop._Trainer, "_step", killed)
    with pytest.raises(_KilledError):
        train(make_network(dropout=0.3), sequences, settings, _validation(), tmp_path / "cut", CPU)
    monkeypatch.undo()
    torch.manual_seed(99)  # what the generator was left at does not matter
    resumed = make_network(dropout=0.3)
    again = train(resumed, sequences, settings, _validation(), tmp_path / "cut", CPU)

    assert [(e.epoch, e.loss, e.ndcg) for e in again] == [(e.epoch, e.loss, e.ndcg) for e in epochs]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    one, other = (tmp_path / kind / "checkpoint" / "state.safetensors" for kind in ("whole", "cut"))
    assert one.read_bytes() == other.read_bytes()


def test_sixteen_bits_of_the_network_and_no_word(capfd: pytest.CaptureFixture[str]) -> None:
    full, half = make_network(), make_network()
    sequences = make_sequences(LENGTHS, basket=2)
    losses = [
        [epoch.loss for epoch in train(network, sequences, _settings(**precision), device=CPU)]
        for network, precision in ((full, {}), (half, {"precision": "bf16-mixed"}))
    ]
    assert losses[1] != losses[0]
    assert losses[1] == pytest.approx(losses[0], rel=0.01)
    assert all(parameter.dtype == torch.float32 for parameter in half.parameters())
    assert "bfloat16" not in "".join(capfd.readouterr())


def test_finished_training_is_only_loaded(tmp_path: Path) -> None:
    sequences = make_sequences(LENGTHS)
    first, second = make_network(), make_network(seed=5)
    train(first, sequences, _settings(), _validation(), tmp_path / "run", CPU)
    before = (tmp_path / "run" / "checkpoint" / "state.json").stat().st_mtime_ns
    train(second, sequences, _settings(), _validation(), tmp_path / "run", CPU)
    assert (tmp_path / "run" / "checkpoint" / "state.json").stat().st_mtime_ns == before
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])


def test_weights_of_a_training_are_loaded(tmp_path: Path) -> None:
    first, second = make_network(), make_network(seed=5)
    args = make_sequences(LENGTHS), _settings(), _validation(), tmp_path / "run", CPU
    epochs = train(first, *args)
    assert load_trained(second, tmp_path / "run") == epochs
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])
    with pytest.raises(RunError, match="another shape"):
        load_trained(make_network(dimensions=8), tmp_path / "run")
    with pytest.raises(RunError, match="missing or damaged"):
        load_trained(second, tmp_path / "nothing")


def test_two_do_not_train_into_one_folder(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with (
        FileLock(tmp_path / "run" / ".lock"),
        pytest.raises(RunError, match="another process is training"),
    ):
        train(make_network(), make_sequences(LENGTHS), _settings(), None, tmp_path / "run", CPU)


def test_another_training_is_refused(tmp_path: Path) -> None:
    sequences = make_sequences(LENGTHS)
    train(make_network(), sequences, _settings(), folder=tmp_path / "run", device=CPU)
    with pytest.raises(RunError, match=r"learning_rate 0.001 there, 0.002 here"):
        train(
            make_network(), sequences, _settings(learning_rate=0.002), None, tmp_path / "run", CPU
        )
    with pytest.raises(RunError, match="data"):
        train(make_network(), make_sequences(LENGTHS, 1), _settings(), None, tmp_path / "run", CPU)
    (tmp_path / "run" / "checkpoint" / "state.json").write_text("{")
    with pytest.raises(RunError, match="damaged"):
        train(make_network(), sequences, _settings(), None, tmp_path / "run", CPU)


def test_not_a_number_stops_with_the_batch_named() -> None:
    content = torch.randn(ARTICLES, 4)
    content[7, 2] = torch.nan
    network = SASRec(ARTICLES, NetworkSettings(dimensions=16, heads=2, max_length=12), content)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    sequences = Sequences(
        np.array([1, 7, 2], dtype=np.int32), np.array([0, 1, 2], dtype=np.int32), np.array([0, 3])
    )
    with pytest.raises(TrainingError, match=r"batch 1 of epoch 1, which holds the histories 0;"):
        train(network, sequences, _settings(), device=CPU)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


def test_memory_that_does_not_suffice_gives_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(NextItemTask, "_loss", full)
    with pytest.raises(TrainingError, match=r"lower training\.batch"):
        train(make_network(), make_sequences(LENGTHS), _settings(), device=CPU)


def test_nothing_to_learn_from() -> None:
    with pytest.raises(DataError, match="purchases on two days"):
        train(make_network(), make_sequences([1, 1, 0]), _settings(), device=CPU)
    with pytest.raises(DataError, match="purchases on two days"):
        train(make_network(), make_sequences([3, 2], basket=3), _settings(), device=CPU)


@pytest.mark.parametrize("loss", ["softmax", "bce"])
def test_a_basket_that_fills_the_window_teaches_nothing(loss: str) -> None:
    days = np.repeat([0, 1], 30).astype(np.int32)
    items = (np.arange(60) % ARTICLES).astype(np.int32)
    sequences = Sequences(items, days, np.array([0, 60]))
    settings = _settings(loss=loss, random_windows=False)
    assert train(make_network(), sequences, settings, device=CPU)[0].loss == 0


def test_gaps_are_learnt_from() -> None:
    sequences = make_sequences(LENGTHS, basket=2)
    known = _validation()
    asked = NextItems(known.histories, known.targets, np.full(3, 30, dtype=np.int32))
    epochs = train(make_network(time_gaps=True), sequences, _settings(), asked, None, CPU)
    assert len(epochs) == 3
    with pytest.raises(DataError, match="no as-of date is given"):
        train(make_network(time_gaps=True), sequences, _settings(), known, None, CPU)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"leave_out_seen": False},
        {"sampler": "popularity"},
        {"loss": "gbce"},
        {"loss": "bce", "negatives": 4},
    ],
)
def test_an_order_is_learnt(changed: dict[str, object]) -> None:
    # Everybody goes round the articles: the next one is the last plus one.
    starts = np.arange(64)[:, None] * 7 + np.arange(10)[None]
    items = (starts % ARTICLES).astype(np.int32).ravel()
    days = np.tile(np.arange(10, dtype=np.int32), 64)
    sequences = Sequences(items, days, np.arange(65) * 10)
    torch.manual_seed(0)
    network = SASRec(ARTICLES, NetworkSettings(dimensions=16, blocks=1, heads=2, max_length=12))
    asked = NextItems(sequences, (items[9::10].astype(np.int64) + 1) % ARTICLES)
    settings = _settings(
        batch=16, epochs=60, learning_rate=0.01, weight_average=0.8, patience=60, **changed
    )
    epochs = train(network, sequences, settings, asked, None, CPU)
    assert epochs[-1].loss < epochs[0].loss
    assert ndcg_at(ranks_of_next(network, asked), 10) > 0.9


@pytest.mark.parametrize("sampler", ["uniform", "popularity"])
def test_negatives_are_on_sale(sampler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = set()

    def watch(shared: torch.Tensor, articles: int) -> torch.Tensor:
        if len(shared) <= 5:  # else what a batch needs in all
            drawn.update(shared.tolist())
        return columns_of(shared, articles)

    monkeypatch.setattr(training, "columns_of", watch)
    on_sale = np.array([30, 2, 5, 9, 4])
    log_share = np.full((2, ARTICLES), -np.inf, dtype=np.float32)
    log_share[0] = -np.log(ARTICLES)
    log_share[1, on_sale] = -np.log(5)
    prior = PopularityPrior(np.array([np.iinfo(np.int64).min, 0]), log_share)
    sequences = make_sequences(LENGTHS)
    train(make_network(), sequences, _settings(sampler=sampler), device=CPU, prior=prior)
    assert drawn == set(on_sale.tolist()) & set(sequences.items.tolist())


@pytest.mark.parametrize(
    ("scores", "stopped_after"),
    [
        ([0.1, 0.3, 0.2, 0.3, 0.1, 0.1], 5),
        # Patience begins with the first epoch that finds anything.
        ([0.0, 0.0, 0.0, 0.0, 0.0, 0.1, 0.0, 0.1, 0.1, 0.3], 9),
    ],
)
def test_early_stopping(
    scores: list[float], stopped_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = iter(scores)
    monkeypatch.setattr(training, "ndcg_at", lambda *_: next(measured))
    epochs = train(
        make_network(), make_sequences(LENGTHS), _settings(epochs=50, patience=3), _validation()
    )
    assert [epoch.ndcg for epoch in epochs] == scores[:stopped_after]


def test_the_callers_random_numbers_are_left_alone() -> None:
    torch.manual_seed(3)
    wanted = torch.rand(1)
    network = make_network()
    torch.manual_seed(3)
    train(network, make_sequences(LENGTHS), _settings(epochs=1), device=CPU)
    assert torch.equal(torch.rand(1), wanted)
