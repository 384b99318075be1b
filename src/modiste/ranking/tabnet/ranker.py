"""TabNet as a ranker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from scipy.special import expit

from modiste.errors import DataError, damaged
from modiste.models.learning.epochs import Epoch, best_epoch
from modiste.models.learning.loop import pick_device, train_task
from modiste.ranking.encoding import Encoded, FeatureEncoding
from modiste.ranking.purchases import labels_of, lists_to_watch
from modiste.ranking.rows import LABEL, RankingRows
from modiste.ranking.tabnet.inference import FusedTabNet
from modiste.ranking.tabnet.network import TabNet
from modiste.ranking.tabnet.settings import TabNetNetworkSettings, TabNetSettings
from modiste.ranking.tabnet.training import PurchaseTask, WatchedLists

_NETWORK, _STATE = "network.safetensors", "tabnet.json"

# Of the rows learned from, evenly spread, how many are asked what they were scored by.
_ROWS_EXPLAINED = 20_000


class TabNetRanker:
    """Orders candidates by how likely they are bought, as a TabNet sees it.

    The same seed, rows and number of threads give the same weights on a CPU. A row's score does
    not depend on which others are scored with it but for rounding: products of matrices of another
    size add up in another order.

    Parameters
    ----------
    settings
        Of the network and its training. :meth:`load` keeps the network's from the folder.
    device
        Where it learns and scores; None: the fastest of the machine.

    Attributes
    ----------
    epochs
        What each epoch of the training came to.
    """

    def __init__(
        self, settings: TabNetSettings | None = None, device: torch.device | None = None
    ) -> None:
        self.settings = settings or TabNetSettings()
        self.epochs: list[Epoch] = []
        self._device = device
        self._rounds = 0
        self._encoding = FeatureEncoding()
        self._network: TabNet | None = None
        self._fused: FusedTabNet | None = None
        self._importance: NDArray[np.float64] = np.empty(0)

    @property
    def rounds(self) -> int:
        """Epochs after which the weights were best."""
        return self._rounds

    def fit(
        self,
        rows: RankingRows,
        watched: RankingRows | None = None,
        *,
        rounds: int | None = None,
        checkpoints: Path | None = None,
    ) -> Self:
        """Learn from rows; returns itself. See :class:`~modiste.ranking.protocol.Ranker`.

        With ``rounds`` the lists of ``watched`` are not looked at: training does not stop early.
        ``checkpoints`` must be a folder of its own for each training.

        Raises
        ------
        DataError
            When there is nothing to learn from, or no bought article in ``watched``.
        TrainingError, RunError
            See :func:`~modiste.models.learning.loop.train_task`.
        """
        training = self.settings.training
        if rounds is not None:
            training, watched = training.model_copy(update={"epochs": rounds}), None
        labels = labels_of(rows)
        self._encoding = FeatureEncoding().fit(rows)
        encoded = self._encoding.transform(rows.frame)
        share = labels.share_bought
        with torch.random.fork_rng():
            torch.manual_seed(training.seed)
            network = TabNet(
                self._encoding.columns, self.settings.network, float(np.log(share / (1 - share)))
            )
        task = PurchaseTask(network, encoded, labels, training, self._watched(watched))
        self.epochs = train_task(task, training, checkpoints, self._device)
        self._rounds = best_epoch(self.epochs, otherwise=len(self.epochs))
        self._use(network)
        some = np.linspace(0, len(encoded) - 1, min(len(encoded), _ROWS_EXPLAINED))
        self._importance = self._shares(encoded[np.unique(some.astype(np.int64))])
        return self

    def _watched(self, watched: RankingRows | None) -> WatchedLists | None:
        if watched is None:
            return None
        lists = lists_to_watch(watched)
        rows = self._encoding.transform(lists.frame)
        return WatchedLists(rows, lists.list_sizes(), lists.frame[LABEL].to_numpy())

    def _use(self, network: TabNet) -> None:
        """Score by a network, on the device of the settings."""
        self._network = network.eval()
        self._fused = FusedTabNet(network.to(self._device or pick_device()))

    def _shares(self, rows: Encoded) -> NDArray[np.float64]:
        of_rows = self._scorer.explain(rows).importance.astype(np.float64)
        total = float(of_rows.sum())
        n_features = of_rows.shape[1]
        return of_rows.sum(0) / total if total > 0 else np.full(n_features, 1 / n_features)

    @property
    def _scorer(self) -> FusedTabNet:
        if self._fused is None:
            raise DataError("this TabNet has learned nothing yet: fit it, or load one")
        return self._fused

    def score(self, frame: pl.DataFrame) -> NDArray[np.float32]:
        """The logit of each row's probability, shape (n_rows,)."""
        return self._scorer.logits(self._encoding.transform(frame))

    def probability(self, frame: pl.DataFrame) -> NDArray[np.float32]:
        """How likely each row is bought as the network sees it, shape (n_rows,)."""
        return expit(self.score(frame))

    def step_masks(self, frame: pl.DataFrame) -> NDArray[np.float32]:
        """How each step shares its attention out, shape (n_steps, n_rows, n_features).

        Adds up to 1 over the features, which are in the order that the ranker learned them in.
        """
        return self._scorer.explain(self._encoding.transform(frame)).masks

    def importance(self) -> pl.DataFrame:
        """Share of the attention that each feature had, steps counted by what they added."""
        names = [feature.name for feature in self._encoding.features]
        return pl.DataFrame({"feature": names, "importance": self._importance})

    def save(self, folder: Path) -> None:
        """Write what was learned into an existing, empty folder."""
        self._scorer  # noqa: B018  (there is nothing to save before)
        assert self._network is not None  # it is scored by
        weights = self._network.state_dict()
        tensors = {name: value.cpu().contiguous() for name, value in weights.items()}
        save_file(tensors, folder / _NETWORK)
        self._encoding.save(folder)
        state = {
            "network": self.settings.network.model_dump(mode="json"),
            "rounds": self._rounds,
            "epochs": [vars(epoch) for epoch in self.epochs],
            "importance": self._importance.tolist(),
        }
        (folder / _STATE).write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")

    def load(self, folder: Path) -> Self:
        """Read back what :meth:`save` wrote; returns itself.

        Raises
        ------
        DataError
            When the folder holds none, or a damaged one.
        """
        encoding = FeatureEncoding().load(folder)
        try:
            state: dict[str, Any] = json.loads((folder / _STATE).read_text(encoding="utf-8"))
            shape = TabNetNetworkSettings.model_validate(state["network"])
            with torch.random.fork_rng():
                network = TabNet(encoding.columns, shape)
            network.load_state_dict(load_file(folder / _NETWORK))
            epochs = [Epoch(**epoch) for epoch in state["epochs"]]
            rounds, importance = int(state["rounds"]), np.array(state["importance"], np.float64)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise damaged(folder, "trained TabNet", error, "train it anew") from error
        self.settings = self.settings.model_copy(update={"network": shape})
        self.epochs, self._rounds, self._importance = epochs, rounds, importance
        self._encoding = encoding
        self._use(network)
        return self
