"""Histories laid out in rows for the network, and what each item of them is to predict.

Short histories share a row, so that a batch is nearly all items and hardly any padding. A history
that fills a row on its own needs no mask and goes first.

An item predicts the basket after its own. Between a basket of ``m`` items and the next of ``n``,
``max(m, n)`` pairs are dealt, round and round from a random start: every item predicts and every
item is predicted, the pairs change from epoch to epoch, and their number stays that of the items
where all m × n would let a few large baskets outweigh all others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modiste.models.flat_arrays import ranges
from modiste.models.sasrec.network import GAP_BUCKETS, Rows
from modiste.models.sasrec.sequences import Sequences

# A model is asked about the days after an as-of date: label windows are of 7 days. In training the
# date is drawn so that what was bought lies in such a window; were it the day of the purchase
# itself, the network would read from its input what it cannot know when it is asked.
_WINDOW_DAYS = 7


@dataclass(frozen=True)
class TrainingBatch:
    """Histories and what they predict.

    Attributes
    ----------
    rows
        The histories.
    sources
        int64, shape (n_pairs,): places in the flattened rows whose states predict; sorted by
        history.
    targets
        int64, shape (n_pairs,): article codes of the next basket.
    target_days
        int64, shape (n_pairs,): the days on which they were bought, as the sequences count days.
    pair_segments
        int64, shape (n_pairs,): the history of each pair, sorted.
    window_items
        int64, shape (n_window_items,): articles of all histories, targets included.
    window_segments
        int64, shape (n_window_items,): the history of each, sorted.
    """

    rows: Rows
    sources: Tensor
    targets: Tensor
    target_days: Tensor
    pair_segments: Tensor
    window_items: Tensor
    window_segments: Tensor

    def to(self, device: torch.device) -> TrainingBatch:
        """The same on another device."""
        return TrainingBatch(
            self.rows.to(device),
            *(
                part.to(device)
                for part in (
                    self.sources,
                    self.targets,
                    self.target_days,
                    self.pair_segments,
                    self.window_items,
                    self.window_segments,
                )
            ),
        )

    def pairs(self, kept: Tensor) -> TrainingBatch:
        """The same histories, and of what they predict only where ``kept``, bool, says so."""
        return replace(
            self,
            sources=self.sources[kept],
            targets=self.targets[kept],
            target_days=self.target_days[kept],
            pair_segments=self.pair_segments[kept],
        )


def training_batch(
    sequences: Sequences,
    which: NDArray[np.int64],
    max_length: int,
    rng: np.random.Generator,
    random_windows: bool = True,
    time_gaps: bool = False,
) -> TrainingBatch:
    """Lay out windows of some histories, and deal what they are to predict.

    Parameters
    ----------
    sequences
        All histories.
    which
        int64, shape (n,): the numbers of those of this batch.
    max_length
        Items of a window that are input; one more is predicted.
    rng
        Draws windows, pairs and as-of dates.
    random_windows
        Whether a longer history gives a window at random, or always its end.
    time_gaps
        Whether the gaps between baskets are laid out.
    """
    lengths = np.minimum(sequences.lengths[which], max_length + 1)
    slack = sequences.lengths[which] - lengths
    skipped = rng.integers(0, slack + 1) if random_windows else slack
    flat = ranges(sequences.offsets[which] + skipped, lengths)
    items = sequences.items[flat].astype(np.int64)
    days = sequences.days[flat]
    segment = np.repeat(np.arange(len(which)), lengths)
    basket, sizes, first_item, basket_segment = _baskets(segment, days)
    last = np.append(basket_segment[1:] != basket_segment[:-1], True)

    source, target = _deal(sizes, first_item, np.flatnonzero(~last), rng)
    is_input = ~last[basket]
    gaps = None
    if time_gaps:
        drawn = rng.integers(0, _WINDOW_DAYS, len(sizes))
        gaps = _gaps(days, basket, first_item, last, drawn, until=None)[is_input]
    rows, cells = _lay_out(items[is_input], segment[is_input], basket[is_input], gaps, len(which))
    input_number = np.cumsum(is_input) - 1
    return TrainingBatch(
        rows,
        torch.from_numpy(cells[input_number[source]]),
        torch.from_numpy(items[target]),
        torch.from_numpy(days[target].astype(np.int64)),
        torch.from_numpy(segment[source]),
        torch.from_numpy(items),
        torch.from_numpy(segment),
    )


def history_rows(
    sequences: Sequences,
    which: NDArray[np.int64],
    max_length: int,
    as_of: NDArray[np.int32] | None = None,
) -> tuple[Rows, Tensor]:
    """Lay out the latest items of some histories, to ask what comes next.

    Parameters
    ----------
    sequences
        All histories.
    which
        int64, shape (n,): the numbers of those of this batch; none of them empty.
    max_length
        The latest items of a history that are looked at.
    as_of
        int32, shape (n,): the day on which each is asked, counted as the days of the sequences
        are; None: gaps are not read.

    Returns
    -------
    The rows, and int64, shape (n,): the place of each history's last item in the flattened rows.
    """
    lengths = np.minimum(sequences.lengths[which], max_length)
    flat = ranges(sequences.offsets[which + 1] - lengths, lengths)
    items = sequences.items[flat].astype(np.int64)
    days = sequences.days[flat]
    segment = np.repeat(np.arange(len(which)), lengths)
    basket, sizes, first_item, basket_segment = _baskets(segment, days)
    gaps = None
    if as_of is not None:
        last = np.append(basket_segment[1:] != basket_segment[:-1], True)
        middle = np.full(len(sizes), _WINDOW_DAYS // 2)
        gaps = _gaps(days, basket, first_item, last, middle, until=as_of)
    rows, cells = _lay_out(items, segment, basket, gaps, len(which))
    return rows, torch.from_numpy(cells[np.cumsum(lengths) - 1])


def gap_bucket(days: NDArray[np.int64]) -> NDArray[np.int64]:
    """Buckets of a number of days: 0 for none (negative), then 0, 1, 2–3, 4–7, … days."""
    known = np.maximum(days, 0)
    bucket = 1 + np.ceil(np.log2(known + 1)).astype(np.int64)
    return np.where(days < 0, 0, np.minimum(bucket, GAP_BUCKETS - 1))


def _baskets(
    segment: NDArray[np.int64], days: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Basket of each item, and of each basket its size, first item and segment."""
    new = np.ones(len(segment), dtype=bool)
    new[1:] = (segment[1:] != segment[:-1]) | (days[1:] != days[:-1])
    (first_item,) = new.nonzero()
    sizes = np.diff(first_item, append=len(segment))
    return np.cumsum(new) - 1, sizes, first_item, segment[first_item]


def _deal(
    sizes: NDArray[np.int64],
    first_item: NDArray[np.int64],
    baskets: NDArray[np.int64],
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of items of ``baskets`` and of the baskets right after them."""
    own, following = sizes[baskets], sizes[baskets + 1]
    pairs = np.maximum(own, following)
    source_start, target_start = rng.integers(0, own), rng.integers(0, following)
    number = ranges(np.zeros_like(pairs), pairs)
    basket = np.repeat(baskets, pairs)
    source = (np.repeat(source_start, pairs) + number) % sizes[basket]
    target = (np.repeat(target_start, pairs) + number) % sizes[basket + 1]
    return first_item[basket] + source, first_item[basket + 1] + target


def _gaps(
    days: NDArray[np.int32],
    basket: NDArray[np.int64],
    first_item: NDArray[np.int64],
    last: NDArray[np.bool_],
    into_window: NDArray[np.int64],
    until: NDArray[np.int32] | None,
) -> NDArray[np.int64]:
    """Buckets of days since the previous basket and to the as-of date, shape (n_items, 2).

    The as-of date of a basket that has a following one lies ``into_window`` days before that, but
    after the basket itself.
    """
    day = days[first_item].astype(np.int64)
    since = np.diff(day, prepend=day[:1])
    since[0] = -1
    since[1:][last[:-1]] = -1
    following = np.append(day[1:], 0)
    as_of = np.maximum(following - into_window, day + 1)
    if until is not None:
        as_of[last] = until
    buckets = np.stack([gap_bucket(since), gap_bucket(as_of - day)], axis=1)
    return buckets[basket]


def _lay_out(
    items: NDArray[np.int64],
    segment: NDArray[np.int64],
    basket: NDArray[np.int64],
    gaps: NDArray[np.int64] | None,
    segments: int,
) -> tuple[Rows, NDArray[np.int64]]:
    """Rows of items that are sorted by segment and time, and each item's place in them."""
    lengths = np.bincount(segment, minlength=segments)
    starts = np.cumsum(lengths) - lengths
    single = np.ones(segments, dtype=bool)
    mates = np.flatnonzero((basket[1:] == basket[:-1]) & (segment[1:] == segment[:-1]))
    single[segment[mates]] = False
    length = int(lengths.max(initial=1))
    row, column, plain, n_rows = _pack(lengths, length, single)
    within = np.arange(len(items)) - starts[segment]
    cells = row[segment] * length + column[segment] + within

    # A basket that the window cuts counts from 0 like any other.
    position = basket - basket[starts[segment]] if len(items) else basket

    def filled(values: NDArray[np.int64], padding: int) -> Tensor:
        whole = np.full((n_rows * length, *values.shape[1:]), padding, dtype=np.int64)
        whole[cells] = values
        return torch.from_numpy(whole.reshape(n_rows, length, *values.shape[1:]))

    rows = Rows(
        filled(items, int(items[0]) if len(items) else 0),
        filled(segment, -1),
        filled(basket, 0),
        filled(position, 0),
        None if gaps is None else filled(gaps, 0),
        plain,
    )
    return rows, cells


def _pack(
    lengths: NDArray[np.int64], capacity: int, single: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], int, int]:
    """Row and column of the first item of each history, first-fit by falling length.

    Returns
    -------
    Rows and columns, int64, shape (n,); how many rows, at the beginning, hold one whole history of
    baskets of one item; the number of rows.
    """
    row, column = np.zeros(len(lengths), dtype=np.int64), np.zeros(len(lengths), dtype=np.int64)
    # A history that nearly fills its row gains more from the causal kernel than from company.
    alone = single & (lengths > capacity * 0.9)
    plain = int(alone.sum())
    row[alone] = np.arange(plain)
    rest = np.flatnonzero(~alone & (lengths > 0))
    rest = rest[np.argsort(-lengths[rest], kind="stable")]
    free = np.full(len(rest), capacity)
    used = 0
    for history in rest:
        # The first row with room; beyond those in use every row is empty.
        place = int(np.argmax(free[: used + 1] >= lengths[history]))
        used = max(used, place + 1)
        row[history] = plain + place
        column[history] = capacity - free[place]
        free[place] -= lengths[history]
    return row, column, plain, max(plain + used, 1)
