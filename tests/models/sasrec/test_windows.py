"""Windows: every position once, nothing after the cut, labels from the first basket after it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from modiste.models.sasrec.windows import (
    WindowSettings,
    last_windows,
    training_windows,
    validation,
)
from purchase_histories import Purchases, baskets_of, day, many_purchases, sequences_from

cuts = st.one_of(st.none(), st.integers(0, 14))


@st.composite
def window_settings(draw: st.DrawFn) -> WindowSettings:
    length = draw(st.integers(1, 12))
    return WindowSettings(
        max_length=length, stride=draw(st.one_of(st.none(), st.integers(1, length)))
    )


@given(purchases=many_purchases(), chosen=window_settings(), cut=cuts)
@settings(max_examples=200, deadline=None)
def test_every_position_with_a_target_is_trained_once(
    purchases: list[Purchases], chosen: WindowSettings, cut: int | None
) -> None:
    sequences = sequences_from(purchases)
    found = training_windows(sequences, chosen, None if cut is None else day(cut))
    expected = []
    for number, pairs in enumerate(purchases):
        known = baskets_of([pair for pair in pairs if cut is None or pair[1] < cut])
        first = sequences.offsets[number]
        expected += list(range(first, first + sum(len(basket) for basket in known[:-1])))
    trained = []
    for number in range(len(found)):
        start, length, context = (
            int(values[number]) for values in (found.start, found.length, found.context)
        )
        trained += list(range(start + context, start + length))
        assert 0 <= context < length <= chosen.max_length
        # Context reaches as far back as a window may.
        assert context == 0 or length == chosen.max_length
        sequence = found.sequence[number]
        assert sequences.offsets[sequence] <= start
        numbers = sequences.basket_numbers()[start : start + length]
        assert found.basket[number] == sequences.first_baskets[sequence] + numbers[0]
        assert found.n_baskets[number] == numbers[-1] - numbers[0] + 1
    assert trained == expected
    assert found.has_targets
    if chosen.stride in (None, chosen.max_length):
        assert not found.context.any()


@given(purchases=many_purchases(), length=st.integers(1, 12), cut=cuts)
@settings(deadline=None)
def test_last_windows(purchases: list[Purchases], length: int, cut: int | None) -> None:
    sequences = sequences_from(purchases)
    found = last_windows(sequences, length, None if cut is None else day(cut))
    expected = [
        (number, [article for article, when in pairs if cut is None or when < cut][-length:])
        for number, pairs in enumerate(purchases)
        if any(cut is None or when < cut for _, when in pairs)
    ]
    assert [
        (int(number), sequences.items[start : start + size].tolist())
        for number, start, size in zip(found.sequence, found.start, found.length, strict=True)
    ] == expected
    assert not found.has_targets


@given(purchases=many_purchases(), length=st.integers(1, 12), cut=st.integers(0, 14))
@settings(max_examples=200, deadline=None)
def test_validation_is_split_in_time(purchases: list[Purchases], length: int, cut: int) -> None:
    sequences = sequences_from(purchases)
    found = validation(sequences, day(cut), length)
    expected = []
    for number, pairs in enumerate(purchases):
        before = [article for article, when in pairs if when < cut]
        after = baskets_of([pair for pair in pairs if pair[1] >= cut])
        if before and after:
            expected.append((number, before[-length:], after[0]))
    windows = found.windows
    assert [
        (
            int(windows.sequence[number]),
            sequences.items[windows.start[number] :][: windows.length[number]].tolist(),
            found.labels[found.offsets[number] : found.offsets[number + 1]].tolist(),
        )
        for number in range(len(windows))
    ] == expected
    assert found.labels.dtype == np.int32


def test_a_long_history_is_cut_from_its_end() -> None:
    """The oldest window takes what is left; the others are full."""
    sequences = sequences_from([[(1, number) for number in range(24)]])
    found = training_windows(sequences, WindowSettings(max_length=10, stride=6))
    # 23 positions have a target.
    assert found.start.tolist() == [0, 1, 7, 13]
    assert found.length.tolist() == [5, 10, 10, 10]
    assert found.context.tolist() == [0, 4, 4, 4]


def test_a_stride_that_leaves_out_items_is_refused() -> None:
    with pytest.raises(ValidationError, match="leaves out items"):
        WindowSettings(max_length=10, stride=11)
