"""Layout: each item once and in a place of its own, targets from the next basket only."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from modiste.models.sasrec.layout import history_rows, training_batch
from modiste.models.sasrec.network import Rows
from purchase_histories import Purchases, baskets_of, many_purchases, sequences_from


def _cells_of(rows: Rows) -> dict[int, list[int]]:
    """Flat cells of each history; of every other cell nothing but its being empty matters."""
    cells = defaultdict(list)
    for cell, segment in enumerate(rows.segments.flatten().tolist()):
        if segment >= 0:
            cells[segment].append(cell)
    return cells


def _check_rows(rows: Rows, expected: list[list[list[int]]]) -> None:
    """Against the naive baskets of each history."""
    cells = _cells_of(rows)
    width = rows.items.shape[1]
    assert set(cells) == {number for number, baskets in enumerate(expected) if baskets}
    for number, own in cells.items():
        # One behind the other, in one row.
        assert own == list(range(own[0], own[0] + len(own)))
        assert own[0] // width == own[-1] // width
        baskets = expected[number]
        assert rows.items.flatten()[own].tolist() == [item for each in baskets for item in each]
        positions = [place for place, each in enumerate(baskets) for _ in each]
        assert rows.positions.flatten()[own].tolist() == positions
        if own[0] // width < rows.plain:
            assert own[0] % width == 0
            assert all(len(each) == 1 for each in baskets)


@given(purchases=many_purchases(), length=st.integers(1, 12), seed=st.integers(0, 5))
@settings(max_examples=200, deadline=None)
def test_training_batches_against_naive_baskets(
    purchases: list[Purchases], length: int, seed: int
) -> None:
    assume(any(purchases))
    batch = training_batch(
        sequences_from(purchases),
        np.arange(len(purchases)),
        length,
        np.random.default_rng(seed),
        random_windows=False,
    )
    windows = [baskets_of(pairs[-length - 1 :]) for pairs in purchases]
    # Nothing is known of what follows the last basket: it is predicted, and no input.
    _check_rows(batch.rows, [baskets[:-1] for baskets in windows])
    assert batch.pair_segments.tolist() == sorted(batch.pair_segments.tolist())
    position = batch.rows.positions.flatten()[batch.sources]
    item = batch.rows.items.flatten()[batch.sources]
    pairs = defaultdict(list)
    for segment, basket, source, target in zip(
        batch.pair_segments.tolist(),
        position.tolist(),
        item.tolist(),
        batch.targets.tolist(),
        strict=True,
    ):
        pairs[segment, basket].append((source, target))
    dealt = {
        (segment, basket): (own, following)
        for segment, baskets in enumerate(windows)
        for basket, (own, following) in enumerate(pairwise(baskets))
    }
    assert set(pairs) == set(dealt)
    for key, (own, following) in dealt.items():
        assert len(pairs[key]) == max(len(own), len(following))
        sources, targets = zip(*pairs[key], strict=True)
        assert (set(sources), set(targets)) == (set(own), set(following))


@given(purchases=many_purchases(), length=st.integers(1, 12))
@settings(deadline=None)
def test_histories_against_naive_baskets(purchases: list[Purchases], length: int) -> None:
    filled = np.flatnonzero([len(pairs) > 0 for pairs in purchases])
    assume(len(filled) > 0)
    rows, cells = history_rows(sequences_from(purchases), filled, length)
    _check_rows(rows, [baskets_of(purchases[number][-length:]) for number in filled])
    assert [own[-1] for _, own in sorted(_cells_of(rows).items())] == cells.tolist()
