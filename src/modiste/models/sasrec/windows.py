"""Windows over sequences: what a model sees at once, what it learns from, and what it is tried on.

A training window holds positions that have a target: the last basket before the cut is nobody's
input, since nothing is known of what follows it. A history longer than a window is cut from its end
on, ``stride`` items apart; where windows overlap, the items that an earlier window has trained are
context in the later one, so that every position is trained exactly once an epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from modiste.models.sasrec.sequences import Sequences


class WindowSettings(BaseModel):
    """How long histories are cut into windows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_length: Annotated[int, Field(ge=1, le=65_535)] = Field(
        default=100, description="Items that the model sees at once: the latest ones."
    )
    stride: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description=(
            "Items between the ends of a long history's training windows; smaller than max_length: "
            "the rest of each window is context. null: max_length, no item is seen twice."
        ),
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.stride is not None and self.stride > self.max_length:
            raise ValueError(
                f"stride {self.stride} leaves out items between windows of {self.max_length}: "
                "it is at most max_length"
            )
        return self


@dataclass(frozen=True, eq=False)
class Windows:
    """Pieces of sequences; each is at most ``max_length`` items that follow one another.

    Attributes
    ----------
    sequences
        What the windows are cut from.
    sequence
        Number of each window's sequence, int32 of shape (n_windows,).
    start
        Place of the first item in ``sequences.items``, int64 of shape (n_windows,).
    length
        Number of items, at least 1: int32 of shape (n_windows,).
    context
        Leading items that have no target here: int32 of shape (n_windows,), less than ``length``.
    basket
        Number of the basket that the first item is in, int64 of shape (n_windows,).
    n_baskets
        Number of baskets that the window has items of, int32 of shape (n_windows,).
    max_length
        The longest that a window may be.
    has_targets
        Whether every item has a next basket to learn from; otherwise the windows are for encoding.
    """

    sequences: Sequences
    sequence: npt.NDArray[np.int32]
    start: npt.NDArray[np.int64]
    length: npt.NDArray[np.int32]
    context: npt.NDArray[np.int32]
    basket: npt.NDArray[np.int64]
    n_baskets: npt.NDArray[np.int32]
    max_length: int
    has_targets: bool

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.start)


@dataclass(frozen=True, eq=False)
class Validation:
    """What a model is tried on: histories before a day, and the first basket from that day on.

    Attributes
    ----------
    windows
        The last items before the day, of every customer with purchases before and after.
    offsets
        Where each window's labels begin, and the end: int64 of shape (n_windows + 1,).
    labels
        Article codes of the first basket at or after the day, int32 of shape (n_labels,).
    """

    windows: Windows
    offsets: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int32]


def training_windows(
    sequences: Sequences, settings: WindowSettings, before: date | None = None
) -> Windows:
    """Windows over all positions that have a target, in the order of the sequences and of time.

    Parameters
    ----------
    sequences
        Whole ones.
    settings
        Length and stride.
    before
        Cut: neither inputs nor targets are of this day or a later one.
    """
    length, stride = settings.max_length, settings.stride or settings.max_length
    first = sequences.offsets[:-1]
    baskets = sequences.baskets_before(before)
    # The start of the last basket is the end of what has a target.
    end = sequences.baskets[sequences.first_baskets[:-1] + np.maximum(baskets - 1, 0)]
    items = end - first
    beyond = np.maximum(items - length, 0)
    count = np.where(items > 0, 1 + -(-beyond // stride), 0)
    sequence = np.repeat(np.arange(len(sequences)), count)
    number = np.arange(len(sequence)) - np.repeat(np.cumsum(count) - count, count)
    window_end = end[sequence] - (count[sequence] - 1 - number) * stride
    start = np.maximum(first[sequence], window_end - length)
    # All but a sequence's oldest window are full, and overlap the one before by this much.
    context = np.where(number > 0, length - stride, 0)
    return _windows(sequences, sequence, start, window_end, context, length, has_targets=True)


def last_windows(sequences: Sequences, max_length: int, before: date | None = None) -> Windows:
    """Each sequence's last items before a day, to encode; none for a sequence that begins later.

    Parameters
    ----------
    sequences
        Whole ones.
    max_length
        Number of items, at most.
    before
        No item is of this day or a later one; None: the end of the sequences.
    """
    baskets = sequences.baskets_before(before)
    return _last_windows(sequences, np.flatnonzero(baskets > 0), baskets, max_length)


def validation(sequences: Sequences, valid_from: date, max_length: int) -> Validation:
    """Split in time: last items before a day, and the first basket from that day on."""
    baskets = sequences.baskets_before(valid_from)
    known = np.flatnonzero((baskets > 0) & (baskets < np.diff(sequences.first_baskets)))
    label = sequences.first_baskets[known] + baskets[known]
    size = sequences.baskets[label + 1] - sequences.baskets[label]
    return Validation(
        windows=_last_windows(sequences, known, baskets, max_length),
        offsets=np.append(0, np.cumsum(size)),
        labels=sequences.items[ragged(sequences.baskets[label], size)],
    )


def ragged(
    start: npt.NDArray[np.int64], size: npt.NDArray[np.integer[Any]]
) -> npt.NDArray[np.int64]:
    """The numbers ``start`` to ``start + size`` of each pair, one range behind the other."""
    ends = np.cumsum(size, dtype=np.int64)
    numbers = np.arange(ends[-1] if len(ends) else 0)
    numbers += np.repeat(start - (ends - size), size)
    return numbers


def _last_windows(
    sequences: Sequences,
    chosen: npt.NDArray[np.int64],
    baskets: npt.NDArray[np.int64],
    max_length: int,
) -> Windows:
    """Windows of the sequences ``chosen``, each at the end of its first ``baskets`` baskets."""
    end = sequences.baskets[sequences.first_baskets[chosen] + baskets[chosen]]
    start = np.maximum(sequences.offsets[chosen], end - max_length)
    context = np.zeros(len(chosen), np.int64)
    return _windows(sequences, chosen, start, end, context, max_length, has_targets=False)


def _windows(
    sequences: Sequences,
    sequence: npt.NDArray[np.int64],
    start: npt.NDArray[np.int64],
    end: npt.NDArray[np.int64],
    context: npt.NDArray[np.int64],
    max_length: int,
    *,
    has_targets: bool,
) -> Windows:
    basket = np.searchsorted(sequences.baskets, start, side="right") - 1
    behind = np.searchsorted(sequences.baskets, end, side="left")
    return Windows(
        sequences=sequences,
        sequence=sequence.astype(np.int32),
        start=start,
        length=(end - start).astype(np.int32),
        context=context.astype(np.int32),
        basket=basket,
        n_baskets=(behind - basket).astype(np.int32),
        max_length=max_length,
        has_targets=has_targets,
    )
