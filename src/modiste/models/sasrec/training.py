"""What SASRec learns: to score what was bought next above what was not."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from modiste.errors import DataError
from modiste.models.learning.epochs import Epoch
from modiste.models.learning.loop import shuffled, slices, some_of, train_task
from modiste.models.learning.losses import (
    SharedArticles,
    binary_cross_entropy,
    columns_of,
    generalised_cross_entropy,
    seen_columns,
    softmax_cross_entropy,
)
from modiste.models.learning.negatives import NegativeSampler, Popularity, Uniform
from modiste.models.learning.popularity_prior import PopularityPrior
from modiste.models.learning.ranks import ndcg_at
from modiste.models.sasrec.layout import TrainingBatch, training_batch
from modiste.models.sasrec.network import SASRec
from modiste.models.sasrec.next_item import NextItems, ranks_of_next, require_as_of
from modiste.models.sasrec.sequences import Sequences
from modiste.models.sasrec.settings import TrainingSettings


def train(
    network: SASRec,
    sequences: Sequences,
    settings: TrainingSettings,
    validation: NextItems | None = None,
    folder: Path | None = None,
    device: torch.device | None = None,
    deadline: float | None = None,
    prior: PopularityPrior | None = None,
) -> list[Epoch]:
    """Train a network; it then has the weights that were best on the validation.

    Parameters
    ----------
    network
        Freshly made, with weights of the caller's seed. Moved to the device.
    sequences
        What it learns from. Those of one basket predict nothing and are left out.
    settings
        Of training.
    validation
        What is to be predicted after each epoch, for early stopping; None: the last weights are
        kept.
    folder, device, deadline
        As of :func:`~modiste.models.learning.loop.train_task`.
    prior
        Popularity at the time, that the network need not learn; negatives are then only articles
        on sale at the time. For the softmax loss. None: all articles are negatives, always.

    Returns
    -------
    What each epoch came to.

    Raises
    ------
    DataError
        When no history has purchases on two days.
    TrainingError, RunError
        See :func:`~modiste.models.learning.loop.train_task`.
    """
    task = NextItemTask(network, sequences, settings, validation, prior)
    return train_task(task, settings, folder, device, deadline)


class NextItemTask:
    """Each item of a history predicts those of the next basket; parameters as of :func:`train`."""

    name, metric = "SASRec", "NDCG@10"

    def __init__(
        self,
        network: SASRec,
        sequences: Sequences,
        settings: TrainingSettings,
        validation: NextItems | None = None,
        prior: PopularityPrior | None = None,
    ) -> None:
        self.network: SASRec = network
        self.sequences, self.settings, self.validation = sequences, settings, validation
        self.trainable = sequences.with_several_baskets
        self.steps_an_epoch = math.ceil(len(self.trainable) / settings.batch)
        if not len(self.trainable):
            raise DataError(
                "no history has purchases on two days, so there is nothing to learn an order "
                "from: give more of the past"
            )
        if validation is not None:
            require_as_of(network, validation.as_of)
        self.articles = len(network.ids.weight)
        self.prior = prior
        self.on_sale = np.arange(self.articles) if prior is None else prior.ever_on_sale
        self.sampler = _sampler(sequences, self.articles, self.on_sale, settings)

    def batches(self, epoch: int, start: int) -> Iterator[NDArray[np.int64]]:
        """Numbers of histories with something to predict, each once."""
        settings = self.settings
        return slices(shuffled(self.trainable, settings.seed, epoch), settings.batch, start)

    def loss(
        self,
        batch: NDArray[np.int64],
        rng: np.random.Generator,
        forward: Callable[..., Tensor],
    ) -> Tensor | None:
        """Mean over all pairs of a state and an article that came next."""
        pairs = training_batch(
            self.sequences,
            batch,
            self.network.settings.max_length,
            rng,
            self.settings.random_windows,
            self.network.settings.time_gaps,
        )
        if self.prior is not None:
            pairs = pairs.pairs(_known_on_sale(pairs, self.prior))
        if not len(pairs.targets):  # large baskets that fill a window each: nothing follows
            return None
        pairs = pairs.to(self.network.ids.weight.device)
        return self._loss(pairs, rng, forward)

    def validate(self) -> float | None:
        """NDCG@10 of what came next."""
        if self.validation is None:
            return None
        return ndcg_at(ranks_of_next(self.network, self.validation), 10)

    def fingerprint(self) -> Iterator[NDArray[Any]]:
        """Histories, what is on sale, the prior, and what is predicted."""
        yield from (self.sequences.items, self.sequences.days, self.sequences.offsets, self.on_sale)
        if self.prior is not None:
            yield from (self.prior.days, self.prior.log_share)
        if self.validation is not None:
            yield self.validation.targets

    def shape(self) -> dict[str, Any]:
        """Of the network, and the number of articles."""
        network = self.network.settings.model_dump(mode="json")
        return {"articles": self.articles, "network": network}

    def in_words(self, batch: NDArray[np.int64]) -> str:
        """The histories' numbers."""
        return some_of("the histories", batch)

    def _loss(
        self,
        batch: TrainingBatch,
        rng: np.random.Generator,
        forward: Callable[..., Tensor],
    ) -> Tensor:
        settings, network = self.settings, self.network
        if settings.loss == "bce":
            drawn = self.sampler.draw_each(len(batch.targets), settings.negatives, rng)
            log_expected = None
        else:
            shared_by_all = self.sampler.draw(settings.negatives, rng)
            if not settings.leave_out_seen:
                # A state is most like the articles that it was made of: were they rarely among the
                # negatives, their scores would rise beyond all measure.
                shared_by_all = shared_by_all.together_with(batch.window_items.cpu())
            drawn, log_expected = shared_by_all
        drawn = drawn.to(self.network.ids.weight.device)
        all_drawn = log_expected is not None and len(drawn) == self.articles
        # Each article's vector is made once, whatever it is needed for: its content is projected
        # once, and gradients of the size of the catalogue are added up once.
        if all_drawn:
            needed = drawn
            vectors = network.item_vectors()
        else:
            needed = torch.unique(torch.cat([batch.window_items, drawn.flatten()]))
            vectors = network.item_vectors(needed)
        column = columns_of(needed, self.articles)
        rows = batch.rows._replace(items=column[batch.rows.items])
        # An embedding's backward pass adds up rows several times as fast as an index's.
        states = functional.embedding(batch.sources, forward(rows, vectors).flatten(0, 1))
        positives = functional.embedding(column[batch.targets], vectors)
        if log_expected is None:
            negatives = functional.embedding(column[drawn], vectors)
            left_out = None
            if settings.leave_out_seen:
                left_out = torch.isin(
                    batch.pair_segments[:, None] * self.articles + drawn,
                    batch.window_segments * self.articles + batch.window_items,
                )
            return binary_cross_entropy(states, positives, negatives, left_out)
        shared = self._shared(
            batch,
            drawn,
            vectors if all_drawn else functional.embedding(column[drawn], vectors),
            None if all_drawn else -log_expected.to(self.network.ids.weight.device)[None],
        )
        if settings.loss == "gbce":
            return generalised_cross_entropy(
                states, positives, shared, len(self.on_sale), settings.calibration
            )
        return softmax_cross_entropy(states, positives, shared)

    def _shared(
        self, batch: TrainingBatch, drawn: Tensor, vectors: Tensor, offsets: Tensor | None
    ) -> SharedArticles:
        """The drawn articles as negatives to all pairs of a batch, by its seen ones and the prior.

        ``vectors`` and ``offsets`` (None: nothing) are those of the drawn articles.
        """
        drawn_column = columns_of(drawn, self.articles)
        seen = None
        if self.settings.leave_out_seen:
            seen = seen_columns(
                batch.pair_segments,
                drawn_column[batch.window_items],
                batch.window_segments,
                int(batch.window_segments[-1]) + 1,
            )
        periods = positive_offsets = None
        if self.prior is not None:
            periods, log_share, positive_offsets = self._prior_of(batch, drawn)
            offsets = log_share if offsets is None else log_share + offsets
        return SharedArticles(
            vectors, offsets, drawn_column[batch.targets], seen, periods, positive_offsets
        )

    def _prior_of(self, batch: TrainingBatch, drawn: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Row of each pair, logarithm of the drawn articles' shares in each, and the positives'."""
        prior = self.prior
        assert prior is not None
        of_pairs = prior.periods_of(batch.target_days.cpu().numpy())
        met, rows = np.unique(of_pairs, return_inverse=True)
        log_share = prior.log_share[np.ix_(met, drawn.cpu().numpy())]
        own = prior.log_share[of_pairs, batch.targets.cpu().numpy()]
        return (
            torch.from_numpy(rows).to(self.network.ids.weight.device),
            torch.from_numpy(log_share).to(self.network.ids.weight.device),
            torch.from_numpy(own).to(self.network.ids.weight.device),
        )


def _known_on_sale(batch: TrainingBatch, prior: PopularityPrior) -> Tensor:
    """Which pairs' articles were known to be on sale: bool, shape (n_pairs,).

    Others are not recommended, and say nothing of taste: after days that nothing is known of, they
    are most of what was bought, and teach that what is not on sale is liked by everybody.
    """
    periods = prior.periods_of(batch.target_days.numpy())
    return torch.from_numpy(np.isfinite(prior.log_share[periods, batch.targets.numpy()]))


def _sampler(
    sequences: Sequences, articles: int, on_sale: NDArray[np.int64], settings: TrainingSettings
) -> NegativeSampler:
    if settings.sampler == "uniform":
        return Uniform(on_sale)
    counts = np.zeros(articles, dtype=np.int64)
    counts[on_sale] = np.bincount(sequences.items, minlength=articles)[on_sale]
    return Popularity(counts, settings.sampler_power)
