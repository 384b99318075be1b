"""Ranking of the one article that comes next: how sequence models are compared in the papers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from modiste.errors import DataError
from modiste.models.learning.evaluating import evaluating
from modiste.models.learning.ranks import ranks_of_targets
from modiste.models.sasrec.layout import history_rows
from modiste.models.sasrec.network import SASRec
from modiste.models.sasrec.sequences import Sequences

# Items of histories read at once: 2 MiB of states. Four times as many take a CPU a seventh longer:
# they leave its caches, and histories of a batch are less alike in length.
_ITEMS_IN_A_BATCH = 4096


@dataclass(frozen=True)
class NextItems:
    """Histories, and the one article that each goes on with.

    Attributes
    ----------
    histories
        What is known.
    targets
        int64, shape (n_sequences,): article codes.
    as_of
        int32, shape (n_sequences,): the day on which each is asked; None: gaps are not read.
    log_share
        float32, shape (n_articles,): added to the scores, see
        :class:`~modiste.models.learning.popularity_prior.PopularityPrior`; what is minus infinity
        is not ranked. None: nothing.
    leave_out_seen
        Whether the articles of a history are not ranked, as in the papers.
    """

    histories: Sequences
    targets: NDArray[np.int64]
    as_of: NDArray[np.int32] | None = None
    log_share: NDArray[np.float32] | None = None
    leave_out_seen: bool = True

    def __post_init__(self) -> None:
        if len(self.histories) != len(self.targets):
            raise DataError(
                f"there are {len(self.histories):,} histories but {len(self.targets):,} articles "
                "that come next: give one for each history"
            )


def customer_vectors(
    network: SASRec,
    sequences: Sequences,
    as_of: NDArray[np.int32] | None = None,
    articles: torch.Tensor | None = None,
) -> NDArray[np.float32]:
    """The last state of each history.

    Parameters
    ----------
    network
        Trained.
    sequences
        Of which none is empty.
    as_of
        int32, shape (n_sequences,): see :class:`NextItems`; needed where the network reads gaps.
    articles
        What ``network.item_vectors()`` gave, so that content is not projected at each call; None:
        it is asked.

    Returns
    -------
    float32, shape (n_sequences, dimensions).
    """
    lengths = np.minimum(sequences.lengths, network.settings.max_length)
    if not lengths.all():
        raise DataError(
            f"the history with number {int(lengths.argmin())} is empty and has no vector: "
            "leave such histories out"
        )
    require_as_of(network, as_of)
    device = network.ids.weight.device
    vectors = np.empty((len(sequences), network.settings.dimensions), dtype=np.float32)
    # Of like length together, so that rows are short where histories are.
    order = np.argsort(lengths, kind="stable")
    number = (np.cumsum(lengths[order]) - 1) // _ITEMS_IN_A_BATCH
    batches = np.split(order, np.flatnonzero(np.diff(number)) + 1) if len(order) else []
    with evaluating(network):
        known = network.item_vectors() if articles is None else articles
        for which in batches:
            rows, cells = history_rows(
                sequences,
                which,
                network.settings.max_length,
                None if as_of is None or network.gaps is None else as_of[which],
            )
            states = network(rows.to(device), known).flatten(0, 1)[cells.to(device)]
            vectors[which] = states.float().cpu().numpy()
    return vectors


def ranks_of_next(network: SASRec, asked: NextItems) -> NDArray[np.int64]:
    """Rank of each target among all articles, usually without those of its history.

    Parameters
    ----------
    network
        Trained.
    asked
        Histories and targets. A target that is in its own history is ranked all the same.

    Returns
    -------
    int64, shape (n_sequences,): 1 is best. Of equal scores the lower article code goes first.
    """
    histories = asked.histories
    with evaluating(network):
        known = network.item_vectors()
        vectors = customer_vectors(network, histories, asked.as_of, known)
        articles = known.float().cpu()
    return ranks_of_targets(
        torch.from_numpy(vectors),
        articles,
        asked.targets,
        asked.log_share,
        (histories.offsets, histories.items) if asked.leave_out_seen else None,
    )


def require_as_of(network: SASRec, as_of: NDArray[np.int32] | None) -> None:
    """Raise :class:`DataError` where the network reads days that nobody tells."""
    if network.gaps is not None and as_of is None:
        raise DataError(
            "the network reads the days to the as-of date (network.time_gaps), and no as-of date "
            "is given: give as_of, a day for each history"
        )
