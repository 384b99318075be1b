"""Packing: each window once and nothing on top of it; targets from the next basket only."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import fields
from datetime import date

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modiste.models.sasrec.packing import (
    NONE,
    Batch,
    Batches,
    bucketed_batches,
    pack,
    packed_batches,
    padded_batches,
)
from modiste.models.sasrec.sequences import Sequences
from modiste.models.sasrec.windows import (
    Windows,
    WindowSettings,
    last_windows,
    training_windows,
)
from purchase_histories import START_DAY, Purchases, baskets_of, day, many_purchases, sequences_from

lengths_and_width = st.integers(1, 30).flatmap(
    lambda width: st.tuples(st.lists(st.integers(1, width), max_size=200), st.just(width))
)


@given(case=lengths_and_width)
@settings(max_examples=300, deadline=None)
def test_each_window_has_its_own_slots(case: tuple[list[int], int]) -> None:
    lengths, width = case
    packing = pack(np.array(lengths, np.int32), width)
    taken = Counter(
        (int(row), slot)
        for row, start, length in zip(
            packing.row_of_window, packing.start_in_row, lengths, strict=True
        )
        for slot in range(start, start + length)
    )
    assert not taken or max(taken.values()) == 1
    assert all(0 <= slot < width for _, slot in taken)
    assert {row for row, _ in taken} == set(range(packing.n_rows))
    assert packing.n_rows == len(best_fit_decreasing(lengths, width))
    assert packing.fill_rate == pytest.approx(sum(lengths) / max(packing.n_rows * width, 1))


def best_fit_decreasing(lengths: list[int], width: int) -> list[int]:
    """Room left in each row, window by window."""
    rooms: list[int] = []
    for length in sorted(lengths, reverse=True):
        fitting = [number for number, room in enumerate(rooms) if room >= length]
        if not fitting:
            rooms.append(width)
            fitting = [len(rooms) - 1]
        tightest = min(fitting, key=lambda number: rooms[number])
        rooms[tightest] -= length
    return rooms


def test_a_window_longer_than_a_row_is_refused() -> None:
    with pytest.raises(ValueError, match="rows of 3"):
        pack(np.array([1, 4], np.int32), 3)


def test_many_windows_in_rows_of_thousands() -> None:
    lengths = np.random.default_rng(0).geometric(0.01, 20_000).clip(max=5000).astype(np.int32)
    assert pack(lengths, 5000).fill_rate > 0.99


def segments_of(batch: Batch) -> dict[int, npt.NDArray[np.int64]]:
    """Flat slots of each of the batch's windows, by the window's number."""
    segments = batch.segments.ravel()
    return {
        int(window): np.flatnonzero(segments == segment)
        for segment, window in enumerate(batch.windows)
    }


def check_batches(batches: Batches, windows: Windows, purchases: list[Purchases]) -> None:
    """Against the windows and the naive baskets of the customers."""
    sequences = windows.sequences
    numbers = sequences.basket_numbers()
    met = []
    for batch in batches:
        assert batch.items.dtype == batch.targets.dtype == np.int64
        assert batch.items.shape == batch.targets.shape == batch.segments.shape
        filled = batch.segments.ravel() != NONE
        assert filled.sum() == windows.length[batch.windows].sum()
        assert (batch.targets.ravel()[~filled] == NONE).all()
        for name in ("items", "baskets", "positions", "days"):
            assert (getattr(batch, name).ravel()[~filled] == 0).all()
        for place, (window, slots) in enumerate(segments_of(batch).items()):
            met.append(window)
            start, length = int(windows.start[window]), int(windows.length[window])
            # One behind the other, in one row.
            assert slots.tolist() == list(range(slots[0], slots[0] + length))
            width = batch.items.shape[1]
            assert slots[0] // width == slots[-1] // width
            assert batch.ends[place] == slots[-1]
            whole = slice(start, start + length)
            assert (batch.items.ravel()[slots] == sequences.items[whole]).all()
            assert (batch.days.ravel()[slots] == sequences.days[whole]).all()
            assert batch.positions.ravel()[slots].tolist() == list(range(length))
            assert (batch.baskets.ravel()[slots] == numbers[whole] - numbers[start]).all()
            baskets = baskets_of(purchases[windows.sequence[window]])
            days = sorted({when for _, when in purchases[windows.sequence[window]]})
            for inside, slot in enumerate(slots):
                target = batch.targets.ravel()[slot]
                target_day = batch.target_days.ravel()[slot]
                if not windows.has_targets or inside < windows.context[window]:
                    assert target == target_day == NONE
                else:
                    following = numbers[start + inside] + 1
                    assert target in baskets[following]
                    assert target_day == START_DAY + days[following]
    assert sorted(met) == list(range(len(windows)))


@given(
    purchases=many_purchases(),
    length=st.integers(1, 12),
    stride=st.integers(1, 12),
    batch_rows=st.integers(1, 5),
    cut=st.one_of(st.none(), st.integers(0, 14)),
    epoch=st.integers(0, 5),
)
@settings(max_examples=100, deadline=None)
def test_batches_hold_every_window_once(
    purchases: list[Purchases],
    length: int,
    stride: int,
    batch_rows: int,
    cut: int | None,
    epoch: int,
) -> None:
    sequences = sequences_from(purchases)
    chosen = WindowSettings(max_length=length, stride=min(stride, length))
    before = None if cut is None else day(cut)
    for windows in (
        training_windows(sequences, chosen, before),
        last_windows(sequences, length, before),
    ):
        for batches in (
            packed_batches(windows, batch_rows, 1, epoch),
            bucketed_batches(windows, 3 * length, 1, epoch),
        ):
            check_batches(batches, windows, purchases)
            slots = sum(batch.items.size for batch in batches)
            assert batches.fill_rate == pytest.approx(windows.length.sum() / max(slots, 1))
            if before is not None:
                assert_before(batches, before)


def assert_before(batches: Batches, cut: date) -> None:
    last = START_DAY + (cut - day(0)).days
    for batch in batches:
        assert (batch.days < last).all()
        assert (batch.target_days < last).all()


def some_sequences() -> Sequences:
    rng = np.random.default_rng(4)
    customers = 300
    sizes = rng.geometric(0.1, customers)
    purchases = [
        sorted(
            {(int(article), int(when)) for article, when in rng.integers(0, 30, (size, 2))},
            key=lambda pair: (pair[1], pair[0]),
        )
        for size in sizes
    ]
    return sequences_from(purchases)


def equal(one: Batch, other: Batch) -> bool:
    return all(
        np.array_equal(getattr(one, field.name), getattr(other, field.name))
        for field in fields(Batch)
        if getattr(one, field.name) is not None
    )


@pytest.mark.parametrize(("make", "size"), [(packed_batches, 8), (bucketed_batches, 128)])
def test_the_seed_and_the_epoch_decide(
    make: Callable[[Windows, int, int, int], Batches], size: int
) -> None:
    windows = training_windows(some_sequences(), WindowSettings(max_length=16))
    batches, again = make(windows, size, 1, 0), make(windows, size, 1, 0)
    assert len(batches) > 3
    assert all(equal(one, other) for one, other in zip(batches, again, strict=True))
    # A batch does not depend on those asked for before it.
    assert equal(make(windows, size, 1, 0)[2], list(batches)[2])
    for other in (make(windows, size, 2, 0), make(windows, size, 1, 1)):
        assert len(other) == len(batches)
        assert not any(equal(one, two) for one, two in zip(batches, other, strict=True))
    with pytest.raises(IndexError):
        batches[len(batches)]


def targets_of(batches: Batches, windows: Windows) -> dict[int, int]:
    """Target of each item, by its place among all."""
    found = {}
    for batch in batches:
        for window, slots in segments_of(batch).items():
            for inside, slot in enumerate(slots):
                target = int(batch.targets.ravel()[slot])
                if target != NONE:
                    found[int(windows.start[window]) + inside] = target
    return found


def test_targets_do_not_depend_on_windows_or_rows() -> None:
    sequences = some_sequences()
    one = training_windows(sequences, WindowSettings(max_length=16))
    other = training_windows(sequences, WindowSettings(max_length=9, stride=4))
    expected = targets_of(packed_batches(one, 8, 1, 3), one)
    assert targets_of(packed_batches(other, 5, 1, 3), other) == expected
    assert targets_of(packed_batches(one, 8, 2, 3), one) != expected
    assert targets_of(bucketed_batches(other, 100, 1, 3), other) == expected


def test_every_article_of_the_next_basket_is_met_equally_often() -> None:
    purchases = [[(1, 0), (2, 0), (3, 1), (4, 1), (5, 1), (6, 2)]]
    windows = training_windows(sequences_from(purchases), WindowSettings(max_length=10))
    met: dict[int, Counter[int]] = defaultdict(Counter)
    for epoch in range(6):
        found = targets_of(packed_batches(windows, 1, 1, epoch), windows)
        # Basket-mates share the next basket out among them.
        assert found[0] != found[1]
        for place, target in found.items():
            met[place][target] += 1
    assert met[0] == met[1] == Counter({3: 2, 4: 2, 5: 2})
    assert met[2] == met[3] == met[4] == Counter({6: 6})
    assert 5 not in met


def test_the_first_target_is_drawn_evenly() -> None:
    purchases = [[(0, 0), (1, 1), (2, 1), (3, 1)]] * 6000
    windows = training_windows(sequences_from(purchases), WindowSettings(max_length=10))
    counts = np.bincount(list(targets_of(packed_batches(windows, 64, 7, 0), windows).values()))
    assert counts[1:] == pytest.approx([2000] * 3, rel=0.1)


def test_channels_and_prices_go_along() -> None:
    plain = some_sequences()
    rng = np.random.default_rng(0)
    sequences = Sequences(
        plain.items,
        plain.days,
        plain.offsets,
        channels=rng.integers(1, 3, len(plain.items)).astype(np.int8),
        prices=rng.random(len(plain.items), np.float32),
    )
    assert sequences.channels is not None
    assert sequences.prices is not None
    windows = last_windows(sequences, 16)
    for batch in packed_batches(windows, 4, 0, 0):
        assert batch.channels is not None
        assert batch.prices is not None
        for window, slots in segments_of(batch).items():
            whole = slice(windows.start[window], windows.start[window] + windows.length[window])
            assert (batch.channels.ravel()[slots] == sequences.channels[whole]).all()
            assert (batch.prices.ravel()[slots] == sequences.prices[whole]).all()
        assert np.isfinite(batch.prices).all()


def test_padded_batches_are_as_wide_as_their_longest() -> None:
    windows = last_windows(some_sequences(), 16)
    batches = padded_batches(windows, 64)
    met = np.concatenate([batch.windows for batch in batches])
    assert sorted(met) == list(range(len(windows)))
    assert (np.diff(windows.length[met]) <= 0).all()
    for batch in batches:
        lengths = windows.length[batch.windows]
        rows, width = batch.items.shape
        assert rows * width <= 64
        assert width == lengths.max()
        assert batch.ends.tolist() == (np.arange(rows) * width + lengths - 1).tolist()
