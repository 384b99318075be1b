"""From a shop's history to a trained network: what is learned from, validated on, and kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from modiste.data.dataset import History
from modiste.data.days import day_number
from modiste.models.learning.description import NetworkDescription, no_network
from modiste.models.learning.epochs import Epoch, best_epoch
from modiste.models.learning.evaluating import evaluating
from modiste.models.learning.next_articles import next_articles
from modiste.models.learning.popularity_prior import (
    PopularityPrior,
    article_offsets,
    popularity_prior,
)
from modiste.models.popularity import PopularitySettings
from modiste.models.sasrec.network import SASRec
from modiste.models.sasrec.next_item import NextItems
from modiste.models.sasrec.sequences import Sequences, build_sequences
from modiste.models.sasrec.settings import NetworkSettings, SASRecSettings
from modiste.models.sasrec.training import train
from modiste.vectors.article_vectors import ArticleVectors

_NETWORK, _ARTICLES = "network.safetensors", "articles.npy"


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A network as it is asked, without what only training needs.

    Attributes
    ----------
    network
        Knows no articles of its own: their vectors are given to it.
    articles
        float32, shape (n_articles, dimensions): the articles' vectors, as input and as output.
    as_of
        Nothing of this day or a later one was learned from.
    epochs
        What each epoch on the history without its last days came to; empty where there was none.
    best_epoch
        For how many epochs it was trained on the whole history.
    """

    network: SASRec
    articles: NDArray[np.float32]
    as_of: date
    epochs: tuple[Epoch, ...]
    best_epoch: int

    @classmethod
    def of(
        cls, network: SASRec, as_of: date, epochs: tuple[Epoch, ...] = (), best_epoch: int = 0
    ) -> Self:
        """Part a network from the articles' codes and content that it was trained with.

        Draws random numbers, of which nothing is kept.
        """
        with evaluating(network):
            articles = network.item_vectors().cpu().numpy()
        bare = SASRec(1, network.settings)
        weights = network.state_dict() | {"ids.weight": torch.zeros_like(bare.ids.weight)}
        bare.load_state_dict({name: weights[name] for name in bare.state_dict()})
        return cls(bare.eval(), articles, as_of, epochs, best_epoch)

    def save(self, folder: Path) -> None:
        """Write it into an existing folder."""
        weights = self.network.state_dict()
        save_file({name: weights[name].contiguous() for name in weights}, folder / _NETWORK)
        np.save(folder / _ARTICLES, self.articles)
        NetworkDescription(
            as_of=self.as_of,
            network=self.network.settings.model_dump(mode="json"),
            best_epoch=self.best_epoch,
            epochs=self.epochs,
        ).save(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read it back.

        Raises
        ------
        DataError
            When the folder holds none, or a damaged one.
        """
        description = NetworkDescription.load(folder)
        try:
            network = SASRec(1, NetworkSettings.model_validate(description.network))
            network.load_state_dict(load_file(folder / _NETWORK))
            articles = np.load(folder / _ARTICLES)
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise no_network(folder, error) from error
        return cls(
            network.eval(),
            articles,
            description.as_of,
            description.epochs,
            description.best_epoch,
        )


def fit_network(
    history: History,
    settings: SASRecSettings,
    popularity: PopularitySettings | None = None,
    vectors: ArticleVectors | None = None,
    *,
    epochs: int | None = None,
    checkpoints: Path | None = None,
) -> TrainedNetwork | None:
    """Train a network on a history.

    Parameters
    ----------
    history
        What it learns from.
    settings
        Of SASRec.
    popularity
        How popularity is counted, for the prior, and so what is on sale.
    vectors
        Of the shop's articles.
    epochs
        Train on the whole history for so many. None: find how many are best first, on the last
        days.
    checkpoints
        Folder that an interrupted training goes on from. None: there are none.

    Returns
    -------
    The network; None where nobody bought on two days, so that there is no order to learn.

    Raises
    ------
    DataError
        When the vectors are not those of this shop's articles.
    TrainingError
        See :func:`~modiste.models.sasrec.training.train`.
    """
    fitting = _Fitting(settings, vectors, popularity or PopularitySettings(), checkpoints)
    with TemporaryDirectory() as scratch, torch.random.fork_rng():
        sequences = build_sequences(history, Path(scratch) / "sequences")
        if not len(sequences.with_several_baskets):
            return None
        measured: list[Epoch] = []
        if epochs is None:
            measured = fitting.try_epochs(history, sequences)
            epochs = best_epoch(measured, otherwise=settings.training.epochs)
        network = fitting.train(history, sequences, epochs)
        # What was never bought still has the vector that was drawn for its code.
        never = np.bincount(sequences.items, minlength=history.n_articles) == 0
        with torch.no_grad():
            network.ids.weight[torch.from_numpy(never)] = 0
        return TrainedNetwork.of(network, history.as_of, tuple(measured), epochs)


class _Fitting:
    """Trains networks on one shop's histories."""

    def __init__(
        self,
        settings: SASRecSettings,
        vectors: ArticleVectors | None,
        popularity: PopularitySettings,
        checkpoints: Path | None,
    ) -> None:
        self._settings, self._vectors = settings, vectors if settings.content else None
        self._popularity, self._checkpoints = popularity, checkpoints

    def try_epochs(self, history: History, sequences: Sequences) -> list[Epoch]:
        """Train without the last days and validate on them; nothing where that cannot be done."""
        earlier = history.before(history.as_of - timedelta(days=self._settings.validation_days))
        known = sequences.before(earlier.as_of)
        asked = self._validation(earlier, sequences)
        if asked is None or not len(known.with_several_baskets):
            return []
        network = self._new_network(history)
        return train(
            network,
            known,
            self._settings.training,
            asked,
            self._folder("validated"),
            prior=self._prior(earlier),
        )

    def train(self, history: History, sequences: Sequences, epochs: int) -> SASRec:
        """Train for so many epochs on everything."""
        network = self._new_network(history)
        train(
            network,
            sequences,
            self._settings.training.model_copy(update={"epochs": epochs}),
            None,
            self._folder("whole"),
            prior=self._prior(history),
        )
        return network

    def _validation(self, earlier: History, sequences: Sequences) -> NextItems | None:
        """What some customers bought next after the earlier history, as the shop would be asked.

        Of each an article of the first basket, that was on sale by then: others are not
        recommended.
        """
        day = day_number(earlier.as_of)
        offsets = article_offsets(earlier, self._popularity, self._settings.popularity_prior)
        rows, articles = next_articles(
            sequences.offsets,
            sequences.items,
            sequences.days,
            day,
            np.isfinite(offsets),
            np.random.default_rng(self._settings.training.seed),
        )
        if not len(rows):
            return None
        return NextItems(
            sequences.only(rows).before(earlier.as_of),
            articles,
            np.full(len(rows), day, dtype=np.int32),
            offsets,
            leave_out_seen=False,
        )

    def _folder(self, name: str) -> Path | None:
        return None if self._checkpoints is None else self._checkpoints / name

    def _prior(self, history: History) -> PopularityPrior | None:
        if not self._settings.popularity_prior:
            return None
        return popularity_prior(history, self._popularity, self._settings.prior_days)

    def _new_network(self, history: History) -> SASRec:
        torch.manual_seed(self._settings.training.seed)
        return SASRec(history.n_articles, self._settings.network, self._content(history))

    def _content(self, history: History) -> torch.Tensor | None:
        if self._vectors is None:
            return None
        vectors = self._vectors.of_all(history.n_articles)
        return torch.from_numpy(np.array(vectors, dtype=np.float32))
