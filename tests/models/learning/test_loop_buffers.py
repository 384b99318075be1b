"""What a network counts beside its weights is averaged, kept and checkpointed as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from modiste.models.learning.loop import load_trained, shuffled, slices, train_task
from modiste.models.learning.settings import LoopSettings

ROWS = np.random.default_rng(0).normal(3, 2, (40, 2)).astype(np.float32)
CPU = torch.device("cpu")


class Mean(nn.Module):
    """A line through rows less their running mean."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(2, 1)
        self.register_buffer("mean", torch.zeros(2))
        self.register_buffer("passing", torch.zeros(2), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.mean.lerp_(x.mean(0), 0.3)
        made: Tensor = self.line(x - self.mean)
        return made


class MeanTask:
    name, metric, steps_an_epoch = "mean", "nothing", 4

    def __init__(self, found: list[float], die_at: int = 1000) -> None:
        torch.manual_seed(0)
        self.network: Mean = Mean()
        self.found, self.die_at, self.steps = found, die_at, 0
        self.validated: list[Tensor] = []

    def batches(self, epoch: int, start: int) -> Iterator[NDArray[np.int64]]:
        return slices(shuffled(np.arange(len(ROWS)), 0, epoch), 10, start)

    def loss(
        self,
        batch: NDArray[np.int64],
        rng: np.random.Generator,  # noqa: ARG002  (nothing is random)
        forward: Callable[..., Tensor],
    ) -> Tensor:
        self.steps += 1
        if self.steps == self.die_at:
            raise KeyboardInterrupt
        return (forward(torch.from_numpy(ROWS[batch])) - 1).square().mean()

    def validate(self) -> float:
        self.validated.append(self.network.mean.clone())
        return self.found[len(self.validated) - 1]

    def fingerprint(self) -> Iterator[NDArray[Any]]:
        yield ROWS

    def shape(self) -> dict[str, Any]:
        return {}

    def in_words(self, batch: NDArray[np.int64]) -> str:  # noqa: ARG002  (for no message here)
        return "rows"


def settings(average: float) -> LoopSettings:
    return LoopSettings(epochs=3, weight_average=average, warm_up_steps=0, checkpoint_steps=1)


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_the_best_epochs_are_kept(average: float, tmp_path: Path) -> None:
    task = MeanTask([0.1, 0.5, 0.2])
    train_task(task, settings(average), tmp_path, CPU)
    assert not torch.equal(task.validated[1], task.validated[2])
    assert torch.equal(task.network.mean, task.validated[1])
    loaded = Mean()
    load_trained(loaded, tmp_path)
    assert torch.equal(loaded.mean, task.network.mean)


def test_they_are_averaged_only_to_be_validated() -> None:
    plain, averaged = MeanTask([0.1, 0.2, 0.3]), MeanTask([0.1, 0.2, 0.3])
    train_task(plain, settings(0.0), device=CPU)
    train_task(averaged, settings(0.9), device=CPU)
    assert not torch.equal(plain.validated[0], averaged.validated[0])
    one = MeanTask([0.3, 0.2, 0.1])
    train_task(one, settings(0.0), device=CPU)
    assert torch.equal(one.validated[2], plain.validated[2])


def test_killed_and_gone_on(tmp_path: Path) -> None:
    whole = MeanTask([0.1, 0.5, 0.2])
    train_task(whole, settings(0.9), tmp_path / "whole", CPU)
    with pytest.raises(KeyboardInterrupt):
        train_task(MeanTask([0.1, 0.5, 0.2], die_at=7), settings(0.9), tmp_path / "cut", CPU)
    resumed = MeanTask([0.5, 0.2])
    train_task(resumed, settings(0.9), tmp_path / "cut", CPU)
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name
    one, other = (tmp_path / kind / "checkpoint" / "state.safetensors" for kind in ("whole", "cut"))
    assert one.read_bytes() == other.read_bytes()
