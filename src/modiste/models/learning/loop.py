"""The training loop of every network: steps, validation, early stopping, checkpoints.

All that is random in a step (which examples, negatives, dropout) is drawn from the seed and the
number of the step. So the order of the data and the state of the generators need not be stored: a
training that was killed goes on from its last checkpoint and ends, on a CPU and with the same
number of threads, with the same bytes as one never killed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from filelock import FileLock, Timeout
from lightning_fabric import Fabric
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from modiste.engine.files import atomic_folder, remove_partials
from modiste.engine.progress import progress
from modiste.errors import ModisteError, RunError
from modiste.models.learning.epochs import Epoch
from modiste.models.learning.settings import LoopSettings

_CHECKPOINT, _STATE, _WEIGHTS = "checkpoint", "state.json", "state.safetensors"

# Of a history of losses, how far back the one on the progress line looks (steps).
_SHOWN_STEPS = 20

# What the streams of random numbers of a training are told apart by.
_ORDER, _STEP = 1, 2

# What may change between a training and its going on.
_FREE = {"epochs", "patience", "checkpoint_steps", "precision"}


# What a task makes of some of its examples.
Batch = TypeVar("Batch")


class TrainingError(ModisteError):
    """Training cannot go on."""


class Task(Protocol[Batch]):
    """A network and what it is to learn.

    Attributes
    ----------
    name
        Of the network, for the progress line.
    metric
        What :meth:`validate` measures: "NDCG@10".
    steps_an_epoch
        How many batches an epoch has.
    """

    name: str
    metric: str
    steps_an_epoch: int

    @property
    def network(self) -> nn.Module:
        """What is trained: its parameters, and with them what it counts in persistent buffers.

        Such as the running statistics of a batch normalisation: numbers of float32, which are
        averaged, kept and checkpointed as the weights are.
        """

    def batches(self, epoch: int, start: int) -> Iterator[Batch]:
        """An epoch's batches from the ``start``-th on; a function of the seed and of both."""

    def loss(
        self, batch: Batch, rng: np.random.Generator, forward: Callable[..., Any]
    ) -> Tensor | None:
        """Loss of a batch.

        Parameters
        ----------
        rng
            Of this step: nothing else may be random, but for PyTorch's own generator, which is
            seeded from it before.
        forward
            Calls the network, in the precision of the settings.

        Returns
        -------
        The loss; None where the batch has nothing to learn from.
        """

    def validate(self) -> float | None:
        """How good the network is, more is better; None where there is nothing to validate on."""

    def fingerprint(self) -> Iterator[NDArray[Any]]:
        """The data that must be the same for a checkpoint to be gone on from."""

    def shape(self) -> dict[str, Any]:
        """What else must be the same, as JSON: the network's shape, by name."""

    def in_words(self, batch: Batch) -> str:
        """A batch, for an error message: "the histories 1, 2, …"."""


def shuffled(numbers: NDArray[np.int64], seed: int, epoch: int) -> NDArray[np.int64]:
    """The order in which an epoch goes through examples."""
    return np.random.default_rng([seed, _ORDER, epoch]).permutation(numbers)


def slices(order: NDArray[np.int64], batch: int, start: int) -> Iterator[NDArray[np.int64]]:
    """``batch`` examples after the other, from the ``start``-th such batch on."""
    for first in range(start * batch, len(order), batch):
        yield order[first : first + batch]


@dataclass
class _Progress:
    """Where a training stands: all of it that is not a tensor."""

    step: int = 0
    loss_sum: float = 0.0
    best: float = -math.inf
    best_epoch: int = 0
    without_gain: int = 0
    epochs: list[Epoch] = field(default_factory=list)


def _seed(device: torch.device, seed: int) -> None:
    """Seed the generators that a step draws from.

    ``torch.manual_seed`` asks every kind of device, also those that are not there, and notes the
    whole stack for each: on a CPU a noticeable part of a small network's steps.
    """
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def pick_device() -> torch.device:
    """The fastest device of this machine: CUDA, Apple's MPS, or the CPU."""
    return Fabric(accelerator="auto", devices=1).device


def train_task(
    task: Task[Batch],
    settings: LoopSettings,
    folder: Path | None = None,
    device: torch.device | None = None,
    deadline: float | None = None,
) -> list[Epoch]:
    """Train a task's network; it then has the weights that were best on the validation.

    Parameters
    ----------
    task
        With a network freshly made, with weights of the caller's seed. Moved to the device.
    settings
        Of training.
    folder
        Where checkpoints are; one that is there already is gone on from. None: none are made.
    device
        None: the fastest.
    deadline
        Time of ``time.monotonic()`` at which to stop, wherever training stands, with a checkpoint
        written and the best weights so far in the network.

    Returns
    -------
    What each epoch came to.

    Raises
    ------
    TrainingError
        When a loss or a gradient is not a number, or memory does not suffice.
    RunError
        When the folder holds a training of other data or with other settings, or another process
        is training into it.
    """
    trainer = _Trainer(task, settings, folder, device or pick_device())
    with _alone_in(folder), torch.random.fork_rng():
        return trainer.run(deadline)


def load_trained(network: nn.Module, folder: Path) -> list[Epoch]:
    """Give a network the best weights of a training, be it finished or still going on.

    Parameters
    ----------
    network
        Of the same shape and number of articles.
    folder
        Of the training's checkpoints.

    Returns
    -------
    What each epoch came to so far.
    """
    at, tensors = _read(folder)[1:]
    names = list(_state_of(network))
    kind = "best" if f"best.{names[0]}" in tensors else "average"
    try:
        network.load_state_dict({name: tensors[f"{kind}.{name}"] for name in names}, strict=False)
    except (KeyError, RuntimeError) as error:
        raise RunError(
            f"the weights in {folder} are of a network of another shape ({error}): make the "
            "network with the settings that it was trained with"
        ) from error
    return at.epochs


@contextmanager
def _alone_in(folder: Path | None) -> Iterator[None]:
    """Within the block no other process trains into the folder."""
    if folder is None:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RunError(
            f"another process is training into {folder}: wait for it, or choose another folder"
        ) from error
    try:
        remove_partials(folder)
        yield
    finally:
        lock.release()


def _read(folder: Path) -> tuple[dict[str, Any], _Progress, dict[str, Tensor]]:
    """A checkpoint: what it is of, where it stands, and its tensors."""
    try:
        state = json.loads((folder / _CHECKPOINT / _STATE).read_text())
        tensors = load_file(folder / _CHECKPOINT / _WEIGHTS)
        of, at = state["of"], state["at"]
        at["epochs"] = [Epoch(**epoch) for epoch in at["epochs"]]
        at["best"] = -math.inf if at["best"] is None else at["best"]
        return of, _Progress(**at), tensors
    except Exception as error:
        raise RunError(
            f"the checkpoint in {folder} is missing or damaged ({error}): delete the folder to "
            "train anew"
        ) from error


class _Trainer(Generic[Batch]):
    def __init__(
        self, task: Task[Batch], settings: LoopSettings, folder: Path | None, device: torch.device
    ) -> None:
        # It says on the console which precision it takes, which the settings say already.
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
        # One device: tasks call methods of the network beside forward, which several could not
        # tell of.
        self.fabric = Fabric(
            accelerator=device.type,
            devices=1 if device.index is None else [device.index],
            precision=settings.precision,
        )
        self.task, self.settings, self.folder = task, settings, folder
        network = task.network.to(self.fabric.device)
        self.device = self.fabric.device
        self.steps_an_epoch = task.steps_an_epoch
        self.parameters = list(network.parameters())
        # The parameters, then the buffers.
        self.state = _state_of(network)
        self.optimizer = _optimizer(self.parameters, settings, device)
        self.forward, self.fabric_optimizer = self.fabric.setup(network, self.optimizer)
        self.average = self._weights()
        self.best: list[Tensor] | None = None
        self.at = _Progress()
        self.fingerprint = self._fingerprint()
        self._batches: Iterator[Batch] | None = None

    def run(self, deadline: float | None) -> list[Epoch]:
        """Train until nothing is left to do, or until a time."""
        settings = self.settings
        if self.folder is not None and (self.folder / _CHECKPOINT).is_dir():
            self._restore(self.folder)
        total = settings.epochs * self.steps_an_epoch
        left = max(total - self.at.step, 0)
        recent: list[float] = []
        with progress(f"train {self.task.name}", left) as advance:
            while self.at.step < total and self.at.without_gain < settings.patience:
                if deadline is not None and time.monotonic() >= deadline:
                    break
                loss = self._step()
                recent = [*recent[1 - _SHOWN_STEPS :], loss]
                self.at.loss_sum += loss
                self.at.step += 1
                if self.at.step % self.steps_an_epoch == 0:
                    self._end_epoch()
                if self.at.step % settings.checkpoint_steps == 0:
                    self._checkpoint()
                advance(1, f"loss {np.mean(recent):.4f}" + self._shown())
        if left:
            self._checkpoint()
        self._set_weights(self.average if self.best is None else self.best)
        return self.at.epochs

    def _step(self) -> float:
        """One step of gradient descent; returns its loss."""
        settings, step = self.settings, self.at.step
        rng = np.random.default_rng([settings.seed, _STEP, step])
        batch = self._next_batch()
        _seed(self.device, int(rng.integers(1 << 62)))
        self.task.network.train()
        try:
            loss = self.task.loss(batch, rng, self.forward)
            if loss is None:
                return 0.0
            self.optimizer.zero_grad()
            self.fabric.backward(loss)
            norm = self.fabric.clip_gradients(
                self.forward,
                self.fabric_optimizer,
                max_norm=settings.gradient_norm,
                error_if_nonfinite=False,  # it is told below, with the batch named
            )
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error):
                raise self._out_of_memory(batch) from error
            raise
        assert norm is not None  # there is one where max_norm is given
        value = float(loss.detach())
        if not math.isfinite(value) or not math.isfinite(float(norm)):
            raise self._not_a_number(value, batch)
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate * min((step + 1) / (settings.warm_up_steps + 1), 1)
        self.fabric_optimizer.step()
        # A mean over few steps at first: it must not remember the weights that were drawn.
        keep = min(settings.weight_average, (step + 1) / (step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, list(self.state.values()), 1 - keep)
        return value

    def _next_batch(self) -> Batch:
        """The batch of this step."""
        if self._batches is None:
            self._batches = self.task.batches(*divmod(self.at.step, self.steps_an_epoch))
        return next(self._batches)

    def _end_epoch(self) -> None:
        """Validate if it is time, and note what the epoch came to."""
        at = self.at
        epoch = at.step // self.steps_an_epoch
        ndcg = None
        if epoch % self.settings.validate_epochs == 0:
            with self._averaged():
                ndcg = self.task.validate()
        if ndcg is not None:
            # Nothing right after nothing right: learning has yet to begin, and is not at its end.
            if at.best > 0:
                at.without_gain += 1
            if ndcg > at.best:
                at.best, at.best_epoch, at.without_gain = ndcg, epoch, 0
                self.best = [weights.clone() for weights in self.average]
        at.epochs.append(Epoch(epoch, at.loss_sum / self.steps_an_epoch, ndcg))
        at.loss_sum = 0.0
        self._batches = None

    def _shown(self) -> str:
        """The latest and the best validation, for the progress line."""
        measured = [epoch.ndcg for epoch in self.at.epochs if epoch.ndcg is not None]
        if not measured:
            return ""
        return (
            f", epoch {self.at.step / self.steps_an_epoch:.1f}, {self.task.metric} "
            f"{measured[-1]:.4f} (best {self.at.best:.4f} after epoch {self.at.best_epoch})"
        )

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Within the block the network has the averaged weights."""
        trained = self._weights()
        self._set_weights(self.average)
        try:
            yield
        finally:
            self._set_weights(trained)

    def _weights(self) -> list[Tensor]:
        return [value.detach().clone() for value in self.state.values()]

    def _set_weights(self, weights: list[Tensor]) -> None:
        with torch.no_grad():
            for current, value in zip(self.state.values(), weights, strict=True):
                current.copy_(value)

    def _fingerprint(self) -> dict[str, Any]:
        """What must be the same for a checkpoint to be gone on from."""
        digest = hashlib.sha256()
        for part in self.task.fingerprint():
            digest.update(np.ascontiguousarray(part).tobytes())
        return {
            "data": digest.hexdigest(),
            **self.task.shape(),
            "training": self.settings.model_dump(mode="json", exclude=_FREE),
        }

    def _checkpoint(self) -> None:
        if self.folder is None:
            return
        kinds = {"trained": [value.detach() for value in self.state.values()]}
        kinds["average"] = self.average
        if self.best is not None:
            kinds["best"] = self.best
        for moment in ("step", "exp_avg", "exp_avg_sq"):
            of_all = [self.optimizer.state[parameter].get(moment) for parameter in self.parameters]
            if all(value is not None for value in of_all):
                kinds[moment] = of_all
        tensors = {
            f"{kind}.{name}": value.cpu().contiguous()
            for kind, values in kinds.items()
            # The optimizer knows nothing of the buffers, which come last.
            for name, value in zip(self.state, values, strict=False)
        }
        at = {**vars(self.at), "epochs": [vars(epoch) for epoch in self.at.epochs]}
        at["best"] = None if math.isinf(self.at.best) else self.at.best
        with atomic_folder(self.folder / _CHECKPOINT) as partial:
            save_file(tensors, partial / _WEIGHTS)
            (partial / _STATE).write_text(
                json.dumps({"of": self.fingerprint, "at": at}, indent=1) + "\n"
            )

    def _restore(self, folder: Path) -> None:
        of, at, tensors = _read(folder)
        if of != self.fingerprint:
            differing = ", ".join(_differences(of, self.fingerprint))
            raise RunError(
                f"{folder} holds a training of other data or settings ({differing}): choose "
                "another folder, or delete it to train anew"
            )

        def of_kind(kind: str) -> list[Tensor] | None:
            names = [name for name in self.state if f"{kind}.{name}" in tensors]
            return [tensors[f"{kind}.{name}"].to(self.device) for name in names] or None

        trained, average = of_kind("trained"), of_kind("average")
        if trained is None or average is None:
            raise RunError(
                f"the checkpoint in {folder} has no weights: delete the folder to train anew"
            )
        self._set_weights(trained)
        self.average, self.best = average, of_kind("best")
        moments = {kind: of_kind(kind) for kind in ("step", "exp_avg", "exp_avg_sq")}
        for place, parameter in enumerate(self.parameters):
            for kind, values in moments.items():
                if values is not None:
                    self.optimizer.state[parameter][kind] = values[place]
        self.at = at

    def _not_a_number(self, loss: float, batch: Batch) -> TrainingError:
        epoch, place = divmod(self.at.step, self.steps_an_epoch)
        return TrainingError(
            f"the loss or its gradient is not a number (loss {loss}) in batch {place + 1} of epoch "
            f"{epoch + 1}, which holds {self.task.in_words(batch)}; the weights are as before it. "
            "Look for values that are not finite in the content vectors, or lower "
            f"training.learning_rate (now {self.settings.learning_rate:g})"
        )

    def _out_of_memory(self, batch: Batch) -> TrainingError:
        return TrainingError(
            f"memory does not suffice for a batch of {self.settings.batch} examples "
            f"({self.task.in_words(batch)}): lower training.batch or training.negatives, or what "
            "the network reads of each"
        )


def _state_of(network: nn.Module) -> dict[str, Tensor]:
    """All that training changes, by name: the parameters, then the persistent buffers."""
    persistent = network.state_dict().keys()
    buffers = {name: value for name, value in network.named_buffers() if name in persistent}
    return dict[str, Tensor](network.named_parameters()) | buffers


def _optimizer(
    parameters: list[nn.Parameter], settings: LoopSettings, device: torch.device
) -> torch.optim.Optimizer:
    matrices = [parameter for parameter in parameters if parameter.ndim > 1]
    vectors = [parameter for parameter in parameters if parameter.ndim <= 1]
    return torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": settings.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=settings.learning_rate,
        betas=(0.9, settings.second_moment_decay),
        fused=device.type in ("cpu", "cuda"),
    )


def some_of(what: str, numbers: NDArray[np.int64]) -> str:
    """The first of some numbers, for an error message: "the histories 1, 2, …"."""
    return f"{what} {', '.join(map(str, numbers[:10]))}" + (", …" if len(numbers) > 10 else "")


def _differences(one: dict[str, Any], other: dict[str, Any]) -> Iterator[str]:
    for key in sorted({*one, *other}):
        first, second = one.get(key), other.get(key)
        if isinstance(first, dict) and isinstance(second, dict):
            yield from _differences(first, second)
        elif first != second:
            shown = "" if key == "data" else f" {first} there, {second} here"
            yield f"{key}{shown}"
