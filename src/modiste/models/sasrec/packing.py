"""Batches of windows: several to a row, or of a length, and what each position is to predict.

Most histories are short. Packed, rows of ``max_length`` slots hold several windows, one behind the
other, and attention stays inside each. Which windows share a row is decided on the histogram of the
lengths by best-fit decreasing, placing all windows of one length at once (Krell et al., "Efficient
sequence packing without cross-contamination", 2021): the work grows with the number of lengths and
not of customers.

The other way is batches of equally long windows, one a row. Both leave hardly a slot empty where
there are many windows of each length. Packed rows mask most of their attention, which costs as much
as if it were used; batches of a length hold customers that are alike in that.

The target of a position is one article of the customer's next basket, another one each epoch. In
an epoch basket-mates are given the next basket's articles in turn, beginning anywhere, and in the
next epoch one further: a position meets every article of the next basket once in as many epochs as
that has articles. So the loss is in the long run that of all pairs, a large basket weighs as much
as its items, and an epoch costs one target a position.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from modiste.models.sasrec.windows import Windows, ragged

# Segment of a slot without an item, and target where there is nothing to learn.
NONE = -1


@dataclass(frozen=True, eq=False)
class Packing:
    """Which row each window lies in, and where.

    Attributes
    ----------
    row_of_window
        Row of each window, int32 of shape (n_windows,).
    start_in_row
        Slot of its first item, int32 of shape (n_windows,).
    n_rows
        Number of rows.
    width
        Slots in a row.
    fill_rate
        Share of all slots that hold an item.
    """

    row_of_window: npt.NDArray[np.int32]
    start_in_row: npt.NDArray[np.int32]
    n_rows: int
    width: int
    fill_rate: float


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows of windows as a network takes them.

    All arrays but the last two have the shape (rows, width). A slot without an item has ``NONE`` in
    ``segments``, ``targets`` and ``target_days``, and 0 elsewhere.

    Attributes
    ----------
    items
        Article codes, int64.
    segments
        Place of the slot's window in ``windows``, int32: attention stays inside one.
    baskets
        Number of the basket inside its window, from 0, int32: equal for what was bought on one day.
    positions
        Place inside the window, from 0, int32. Inside a basket the order means nothing.
    days
        Day of the purchase, days since ``sequences.EPOCH``, int32.
    targets
        An article of the window's customer's next basket, int64; ``NONE`` where the position is
        context, and all over when the windows are for encoding.
    target_days
        Day of that basket, int32; to draw negatives that were on sale, and never an input: who
        knows when a customer comes back knows too much.
    channels, prices
        As in ``Sequences``, int32 and float32; None: not kept.
    windows
        Number of each of the batch's windows, in the order of rows and slots: int64, shape (n,).
    ends
        Slot of each window's last item, counted through the rows: int64 of shape (n,).
    """

    items: npt.NDArray[np.int64]
    segments: npt.NDArray[np.int32]
    baskets: npt.NDArray[np.int32]
    positions: npt.NDArray[np.int32]
    days: npt.NDArray[np.int32]
    targets: npt.NDArray[np.int64]
    target_days: npt.NDArray[np.int32]
    channels: npt.NDArray[np.int32] | None
    prices: npt.NDArray[np.float32] | None
    windows: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]


class Batches:
    """Batches that are made when they are asked for, by number or one after the other.

    A batch depends on its number and on nothing that was asked before: a training that resumes
    begins in the middle, and one on several devices takes every n-th.
    """

    def __init__(
        self,
        windows: Windows,
        order: npt.NDArray[np.int64],
        bounds: npt.NDArray[np.int64],
        rows: npt.NDArray[np.int64],
        starts: npt.NDArray[np.int64],
        shapes: npt.NDArray[np.int64],
        seed: int,
        epoch: int,
    ) -> None:
        """Batch ``i`` has the windows ``order[bounds[i]:bounds[i + 1]]``, sorted by place."""
        self._windows = windows
        self._order, self._bounds = order, bounds
        self._rows, self._starts, self._shapes = rows, starts, shapes
        self._seed, self._epoch = seed, epoch

    def __len__(self) -> int:
        """Number of batches."""
        return len(self._shapes)

    def __iter__(self) -> Iterator[Batch]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, number: int) -> Batch:
        if not 0 <= number < len(self):
            raise IndexError(f"batch {number} of {len(self)}")
        part = slice(self._bounds[number], self._bounds[number + 1])
        rows, width = self._shapes[number].tolist()
        return _lay_out(
            self._windows,
            self._order[part],
            self._rows[part],
            self._starts[part],
            (rows, width),
            self._seed,
            self._epoch,
        )

    @property
    def fill_rate(self) -> float:
        """Share of all slots that hold an item."""
        slots = int(self._shapes.prod(axis=1).sum())
        return float(self._windows.length.sum(dtype=np.int64) / max(slots, 1))

    @property
    def attended_share(self) -> float:
        """Share of all pairs of slots of a row that lie in one window: the rest is masked."""
        pairs = int((self._shapes[:, 0] * self._shapes[:, 1] ** 2).sum())
        return float((self._windows.length.astype(np.int64) ** 2).sum() / max(pairs, 1))


def packed_batches(windows: Windows, batch_rows: int, seed: int, epoch: int) -> Batches:
    """Batches of packed rows, every window once.

    Parameters
    ----------
    windows
        To pack into rows of ``windows.max_length`` slots.
    batch_rows
        Rows in a batch; the last one has what is left.
    seed, epoch
        Decide who shares a row, the order of the rows, and the targets. The number of batches is
        the same for any.
    """
    width = windows.max_length
    rng = np.random.default_rng((seed, epoch))
    packing = pack(windows.length, width, rng.permutation(len(windows)))
    row = rng.permutation(packing.n_rows)[packing.row_of_window]
    order = np.argsort(row * width + packing.start_in_row)
    n_batches = -(-packing.n_rows // batch_rows)
    firsts = np.arange(n_batches + 1) * batch_rows
    row = row[order]
    return Batches(
        windows,
        order,
        np.searchsorted(row, firsts),
        row % batch_rows,
        packing.start_in_row[order].astype(np.int64),
        np.stack([np.diff(np.minimum(firsts, packing.n_rows)), np.full(n_batches, width)], axis=1),
        seed,
        epoch,
    )


def bucketed_batches(windows: Windows, batch_slots: int, seed: int, epoch: int) -> Batches:
    """Batches of equally long windows, one a row, every window once, the batches in random order.

    Parameters
    ----------
    windows
        Each takes a row as wide as its batch's longest.
    batch_slots
        Rows times width of a batch, at most; a window that is longer has a batch of its own.
    seed, epoch
        Decide which of the equally long share a batch, the order of the batches, and the targets.
        The number of batches is the same for any.
    """
    rng = np.random.default_rng((seed, epoch))
    mixed = rng.permutation(len(windows))
    order = mixed[np.argsort(-windows.length[mixed], kind="stable")]
    starts, sizes = _buckets(windows.length[order], batch_slots)
    drawn = rng.permutation(len(starts))
    return _one_a_row(
        windows, order[ragged(starts[drawn], sizes[drawn])], sizes[drawn], seed, epoch
    )


def padded_batches(windows: Windows, batch_slots: int) -> Batches:
    """Batches of one window a row, longest first: to encode.

    Parameters
    ----------
    windows
        Each takes a row as wide as its batch's longest.
    batch_slots
        Rows times width of a batch, at most; a window that is longer has a batch of its own.
    """
    order = np.argsort(-windows.length, kind="stable")
    _, sizes = _buckets(windows.length[order], batch_slots)
    return _one_a_row(windows, order, sizes, seed=0, epoch=0)


def _buckets(
    falling: npt.NDArray[np.int32], batch_slots: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """First window and number of windows of each batch, of windows whose lengths are falling."""
    bounds = [0]
    while bounds[-1] < len(falling):
        rows = max(1, batch_slots // int(falling[bounds[-1]]))
        bounds.append(min(bounds[-1] + rows, len(falling)))
    return np.array(bounds[:-1], np.int64), np.diff(bounds)


def _one_a_row(
    windows: Windows,
    order: npt.NDArray[np.int64],
    sizes: npt.NDArray[np.int64],
    seed: int,
    epoch: int,
) -> Batches:
    """Batches of ``sizes`` windows in this order, the longest of each first."""
    bounds = np.append(0, np.cumsum(sizes))
    return Batches(
        windows,
        order,
        bounds,
        ragged(np.zeros(len(sizes), np.int64), sizes),
        np.zeros(len(order), np.int64),
        np.stack([sizes, windows.length[order[bounds[:-1]]].astype(np.int64)], axis=1),
        seed,
        epoch,
    )


def pack(
    lengths: npt.NDArray[np.int32], width: int, order: npt.NDArray[np.int64] | None = None
) -> Packing:
    """Put windows into as few rows as best-fit decreasing finds.

    Parameters
    ----------
    lengths
        Of the windows, 1 to ``width``: shape (n_windows,).
    width
        Slots in a row.
    order
        The numbers of all windows: of equally long ones, the first is placed first. None: as they
        come.

    Raises
    ------
    ValueError
        When a length is out of range.
    """
    if len(lengths) and not 1 <= lengths.min() <= lengths.max() <= width:
        raise ValueError(f"windows of {lengths.min()} to {lengths.max()} items in rows of {width}")
    histogram = np.bincount(lengths, minlength=width + 1)
    if order is None:
        order = np.arange(len(lengths))
    # Unsigned 16 bits where they suffice: NumPy then sorts by counting.
    short = np.uint16 if width < 2**16 else np.int64
    by_length = order[np.argsort(lengths[order].astype(short), kind="stable")]
    # Of each length, where its next window stands in ``by_length``.
    following = np.cumsum(histogram) - histogram
    row_of_window = np.empty(len(lengths), np.int32)
    start_in_row = np.empty(len(lengths), np.int32)
    n_rows = 0
    for rows in _plan(histogram, width):
        start = 0
        for length, each in rows.content:
            count = rows.count * each
            placed = by_length[following[length] : following[length] + count]
            following[length] += count
            row_of_window[placed] = n_rows + np.repeat(np.arange(rows.count), each)
            start_in_row[placed] = start + np.tile(np.arange(each) * length, rows.count)
            start += each * length
        n_rows += rows.count
    slots = n_rows * width
    filled = int(lengths.sum(dtype=np.int64))
    return Packing(row_of_window, start_in_row, n_rows, width, filled / max(slots, 1))


@dataclass(frozen=True)
class _Rows:
    """Rows that hold windows of the same lengths: pairs of a length and how many of it in each."""

    count: int
    content: tuple[tuple[int, int], ...]


def _plan(histogram: npt.NDArray[np.int64], width: int) -> list[_Rows]:
    """Best-fit decreasing on the number of windows of each length.

    The longest first, each into the row with the least room that still has enough. A row that
    takes one window of a length is then the tightest for the next one of that length, so that rows
    with equal room are filled up one after the other: whole groups of rows at once.
    """
    open_rows: dict[int, list[_Rows]] = {width: []}
    for length in range(width, 0, -1):
        left = int(histogram[length])
        if not left:
            continue
        for room in sorted(room for room in open_rows if room >= length):
            groups, open_rows[room] = open_rows[room], []
            for number, group in enumerate(groups):
                if not left:
                    open_rows[room] += groups[number:]
                    break
                left -= _place(open_rows, group, room, length, left)
        if left:
            unopened = _Rows(-(-left // (width // length)), ())
            _place(open_rows, unopened, width, length, left)
    return [group for groups in open_rows.values() for group in groups]


def _place(
    open_rows: dict[int, list[_Rows]], group: _Rows, room: int, length: int, left: int
) -> int:
    """Place up to ``left`` windows into a group of rows with equal room; give how many."""
    each = room // length
    full = min(group.count, left // each)
    rest = left - full * each if full < group.count else 0
    for count, taken in ((full, each), (1 if rest else 0, rest)):
        if count:
            rows = _Rows(count, (*group.content, (length, taken)))
            open_rows.setdefault(room - taken * length, []).append(rows)
    untouched = group.count - full - (1 if rest else 0)
    if untouched:
        open_rows.setdefault(room, []).append(_Rows(untouched, group.content))
    return full * each + rest


def _lay_out(
    windows: Windows,
    chosen: npt.NDArray[np.int64],
    row: npt.NDArray[np.int64],
    start: npt.NDArray[np.int64],
    shape: tuple[int, int],
    seed: int,
    epoch: int,
) -> Batch:
    """A batch of the windows ``chosen``, sorted by ``row`` and ``start``, of shape (n,) each."""
    sequences = windows.sequences
    length = windows.length[chosen].astype(np.int64)
    first_slot = row * shape[1] + start
    # Of every item in the batch: its place among all items, and its slot.
    place = ragged(windows.start[chosen], length)
    slot = ragged(first_slot, length)

    def spread(values: npt.NDArray[Any], dtype: npt.DTypeLike, empty: int = 0) -> npt.NDArray[Any]:
        slots = np.full(shape[0] * shape[1], empty, dtype)
        slots[slot] = values
        return slots.reshape(shape)

    # Of every basket in the batch: its number among all, and how many of its items are here.
    n_baskets = windows.n_baskets[chosen]
    basket = ragged(windows.basket[chosen], n_baskets)
    begin = np.repeat(windows.start[chosen], n_baskets)
    end = begin + np.repeat(length, n_baskets)
    here = np.minimum(sequences.baskets[basket + 1], end)
    here -= np.maximum(sequences.baskets[basket], begin)
    inside = basket - np.repeat(windows.basket[chosen], n_baskets)
    position = ragged(np.zeros(len(chosen), np.int64), length)
    if windows.has_targets:
        aim = _targets(sequences.baskets, basket, here, place, seed, epoch)
        learns = position >= np.repeat(windows.context[chosen], length)
        targets = np.where(learns, sequences.items[aim], NONE)
        target_days = np.where(learns, sequences.days[aim], NONE)
    else:
        targets = target_days = np.full(len(place), NONE)
    return Batch(
        items=spread(sequences.items[place], np.int64),
        segments=spread(np.repeat(np.arange(len(chosen)), length), np.int32, NONE),
        baskets=spread(np.repeat(inside, here), np.int32),
        positions=spread(position, np.int32),
        days=spread(sequences.days[place], np.int32),
        targets=spread(targets, np.int64, NONE),
        target_days=spread(target_days, np.int32, NONE),
        channels=None
        if sequences.channels is None
        else spread(sequences.channels[place], np.int32),
        prices=None if sequences.prices is None else spread(sequences.prices[place], np.float32),
        windows=chosen,
        ends=first_slot + length - 1,
    )


def _targets(
    baskets: npt.NDArray[np.int64],
    basket: npt.NDArray[np.int64],
    here: npt.NDArray[np.int64],
    place: npt.NDArray[np.int64],
    seed: int,
    epoch: int,
) -> npt.NDArray[np.int64]:
    """Place of each item's target among all items, int64 of shape (n_items_of_the_batch,).

    A function of the item's and its basket's place, the seed and the epoch: which windows or rows
    they came in, and from which machine, does not matter.
    """
    following = baskets[basket + 1]
    size = baskets[basket + 2] - following
    turn = _scrambled(basket, seed) + epoch - baskets[basket]
    return np.repeat(following, here) + (np.repeat(turn, here) + place) % np.repeat(size, here)


def _scrambled(numbers: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.int64]:
    """A number below 2^62 for each number, as good as random (SplitMix64), same shape."""
    mixed = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed += np.random.SeedSequence(seed).generate_state(1, np.uint64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(2)).astype(np.int64)
